"""What anybody may type into any field stays what it is: text (B27). From the CRM through ledger and mail, and back."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from sqlalchemy import inspect

from crmdrip.daemon import passes
from crmdrip.sandbox.salesforce.refusals import Refusal as SalesforceRefusal

SQL = (
    "'; DROP TABLE touch; --",
    '" OR ""="',
    "x') UNION SELECT body FROM received --",
    "\\'; DELETE FROM enrollment; --",
    "Robert'); UPDATE enrollment SET status='active'; --",
)
SOQL = ("' OR Name != '", "x' AND Email LIKE '%", "\\' OR Id != null --", "%", "_")
MARKUP = (
    "<script>alert(1)</script>",
    "</p><img src=x onerror=alert(1)>",
    "\"><a href='https://evil.example'>win</a>",
    "&lt;script&gt;",
    "<!--",
)
TEMPLATE = (
    "{{ 7 | times: 7 }}",
    "{{ owner.email }}",
    "{% assign x = 'y' %}{{ x }}",
    "{!Contact.Email}",
    "${7*7}",
    "{{ ''.__class__.__mro__ }}",
    "%(secret)s {0.__class__}",
)
HEADER = (
    "Ann\r\nBcc: all@victim.example",
    "Ann\nX-Evil: 1",
    "Ann\u2028Bcc: x@y.example",
    "Ann\x00",
    "=?utf-8?q?=0ABcc=3A_x?=",
)
HOSTILE = (*SQL, *SOQL, *MARKUP, *TEMPLATE, *HEADER)


class _Page(HTMLParser):
    """The elements and attributes that a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)


def _page(email) -> str:
    message = email if isinstance(email, dict) else email.message
    return next(part["value"] for part in message["content"] if part["type"] == "text/html")


def _tables(stage) -> set[str]:
    with stage.parts.ledger.read() as connection:
        return set(inspect(connection).get_table_names())


def _read(page: str) -> _Page:
    reader = _Page()
    reader.feed(page)
    return reader


BODY = "<p>Hi {{ contact.first_name }} {{ contact.title }} of {{ account.name }}, says {{ owner.name }}.</p>"


@pytest.fixture
def tables(stage):
    """The ledger's tables, as they have to be afterwards."""
    return _tables(stage)


def test_what_stands_in_a_persons_fields_is_text_everywhere(stage, tables):
    """B27: one email each, of as many elements as the template has, without a header or recipient of their making.

    Whoever has a brace in a field gets none: it would look like a mistake of ours (B24), and the record says so.
    """
    template = {"Drip_Subject__c": "For {{ contact.title }}", "Drip_Body__c": BODY, "Drip_Delay__c": 0}
    sequence = stage.sequence(template, Drip_Minimum_Gap_Hours__c=0)
    people = {}
    for number, text in enumerate(("Boss", *HOSTILE)):
        account = stage.do(stage.sandbox.org.insert, "Account", {"Name": f"Co {text}"})
        address = f"p{number}@firm{number}.example"
        fields = {"FirstName": f"F {text}"[:40], "Title": f"T {text}", "AccountId": account}
        people[text] = address, stage.contact(address, **fields)
        stage.tick(people[text][1], sequence)
    stage.turn()
    calm = stage.sent(people["Boss"][0])[0].message
    stage.turn()
    braced = {text for text in HOSTILE if "{" in text}
    for text, (address, record) in people.items():
        if text in braced:
            assert stage.sent(address) == []
            assert stage.shown(record)[0] == "Held", text
            assert "a brace" in stage.shown(record)[1], text
            continue
        (email,) = stage.sent(address)
        assert _read(_page(email)).elements == _read(_page({"content": calm["content"]})).elements, text
        assert email.message["headers"].keys() == calm["headers"].keys(), text
        (block,) = email.message["personalizations"]
        assert [one["email"] for one in block["to"]] == [address], text
        assert not {"cc", "bcc"} & block.keys(), text
        subject = email.message.get("subject") or block["subject"]
        assert subject.startswith("For T "), text
        assert len(subject.splitlines()) == 1, text
        assert stage.shown(record)[0] == "Finished", text
    assert _tables(stage) == tables


def test_what_stands_in_a_sequences_fields_is_text_or_a_mistake_that_is_told(stage, tables):
    """B27: RevOps may paste anything; either it goes out as text, or the sequence's record says what is wrong."""
    silent = []
    for number, text in enumerate(HOSTILE):
        address = f"p{number}@firm{number}.example"
        body = f"<p>Hi {{{{ contact.last_name }}}}</p>{text}"
        step = {"Drip_Subject__c": "Hello", "Drip_Body__c": body, "Drip_Delay__c": 0}
        sequence = stage.sequence(step, Name=f"S {text}"[:80], Drip_Public_Name__c=f"N {text}"[:80])
        stage.tick(stage.contact(address), sequence)
        stage.turn()
        stage.turn()
        sent = stage.sent(address)
        for email in sent:
            assert not {"script", "iframe", "object", "style", "form"} & _read(_page(email)).elements, text
            assert "on" not in {name[:2] for name in _read(_page(email)).attributes}, text
        if not sent and not stage.record(sequence)["Drip_Error__c"]:
            silent.append(text)
    assert silent == []
    assert _tables(stage) == tables


def test_whoever_is_looked_for_by_a_hostile_word_is_nobody(stage):
    """B27: PERSON of a command reaches SOQL as a literal, and a percent sign finds what holds one."""
    stage.contact("ann@acme.example", LastName="Plain")
    passes.pull(stage.parts)
    assert {text: stage.parts.source.find(text) for text in (*SQL, *SOQL)} == dict.fromkeys((*SQL, *SOQL), ())


@pytest.mark.parametrize("text", HEADER)
def test_a_senders_name_makes_no_header(stage, text):
    """B27: also a rep may have a line break in the name."""
    stage.do(stage.sandbox.org.update, stage.rep, {"LastName": text})
    stage.tick(stage.contact("ann@acme.example"), stage.sequence({"Drip_Delay__c": 0}))
    stage.turn()
    (email,) = stage.sent()
    name = email.message["from"].get("name", "")
    assert len(name.splitlines()) <= 1
    assert "\x00" not in name


TEXTS = frozenset({"string", "textarea", "picklist", "combobox", "url", "phone", "email"})


def _text_fields(stage, name: str) -> list:
    """Every field of an object that a person may type into."""
    fields = stage.sandbox.org.schema[name].fields.values()
    return [one for one in fields if one.type in TEXTS and one.createable and not one.restricted]


@pytest.mark.parametrize("name", ["Contact", "Lead", "Drip_Sequence__c", "Drip_Step__c"])
def test_every_text_field_may_hold_a_query(stage, tables, name):
    """B27: whichever field it stands in, it asks nothing, and whoever has none of it in theirs is mailed as ever."""
    calm = "calm@calm.example"
    stage.tick(stage.contact(calm), stage.sequence())
    mailed = {calm}
    refused = tried = 0
    for number, field in enumerate(_text_fields(stage, name)):
        text = (*SQL, *SOQL)[number % (len(SQL) + len(SOQL))][: field.length or 80]
        address = f"p{number}@firm{number}.example"
        mailed.add(address)
        tried += 1
        given = {field.name: text}
        try:
            sequence = stage.sequence(
                {"Drip_Delay__c": 0, **(given if name == "Drip_Step__c" else {})},
                **(given if name == "Drip_Sequence__c" else {}),
            )
            person = (stage.lead if name == "Lead" else stage.contact)(address)
            stage.tick(person, sequence)
            if name in {"Contact", "Lead"}:
                stage.change(person, **given)
        except SalesforceRefusal:  # the org itself does not take it: an address, a number of another shape
            refused += 1
    stage.turn()
    stage.turn()
    assert refused <= tried / 2, f"{refused} of {tried}"
    assert calm in {email.to for email in stage.sent()}
    assert {email.to for email in stage.sent()} <= mailed
    assert _tables(stage) == tables
