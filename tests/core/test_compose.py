"""A complete email: addresses, threads, signature, footer, headers, and the reasons to wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from crmdrip.core.compose import Composer, TaskText, compose_task, merge_paths
from crmdrip.core.compose_settings import ComposeSettings, ReplyTo
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.footer import WORDINGS
from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.message import EmailMessage
from crmdrip.core.model import (
    DelayUnit,
    Enrollment,
    Owner,
    Record,
    RecordKind,
    RecordRef,
    RunStatus,
    SenderPolicy,
    Sequence,
    SequenceStatus,
    Step,
    StepKind,
)
from crmdrip.core.reasons import HoldReason, MissingFields, Reason
from crmdrip.core.struct import replace
from crmdrip.core.tokens import ReplyTokens, Unsubscriber, UnsubscribeTags, UnsubscribeTokens
from crmdrip.core.unsubscribing import read_address

KEYS = ("k" * 32,)
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
TOUCH = "0123456789abcdef" * 2
ADDRESS = "li@customer.example"

SETTINGS = ComposeSettings(
    company="Acme GmbH",
    postal_address="1 Main Street\n10115 Berlin",
    unsubscribe_url="https://mail.acme.example/u/",
    org_id="00D1",
    signing_keys=KEYS,
)

OWNER = Owner(id="005A", name="Ana Kern", email="Ana@acme.example", active=True, title="AE", phone="+49 30 1")

STEP = Step(
    id="s1",
    order=1,
    kind=StepKind.EMAIL,
    delay=1,
    delay_unit=DelayUnit.DAYS,
    subject="Hello {{ first_name }}",
    body="<p>Hi {{ first_name }}, how is {{ account.name }}?</p>",
)

SEQUENCE = Sequence(id="q1", name="Intro", status=SequenceStatus.LIVE, version="v", steps=(STEP,))

FIELDS: dict[str, Any] = {"first_name": "Li", "last_name": "Na", "account.name": "Ng & Co"}

RECORD = Record(
    ref=RecordRef(kind=RecordKind.CONTACT, id="003A"),
    email=ADDRESS,
    enrolled=True,
    sequence_id="q1",
    modified_at=NOW,
    fields=FIELDS,
)

RUN = Enrollment(
    id=1,
    person=person_key(ADDRESS),
    address=ADDRESS,
    ref=RECORD.ref,
    sequence_id="q1",
    run=1,
    status=RunStatus.ACTIVE,
    entered_at=NOW,
    due_at=NOW,
)

FOLLOW_UP = replace(STEP, id="s2", order=2, subject="", body="Any news?", continue_thread=True)

IN_THREAD = replace(RUN, thread=("<a@acme.example>",), thread_subject="Hello Li", sender="ana@acme.example")


def attempt(
    *,
    settings: ComposeSettings = SETTINGS,
    step: Step = STEP,
    sequence: Sequence = SEQUENCE,
    run: Enrollment = RUN,
    record: Record = RECORD,
    owner: Owner | None = OWNER,
) -> EmailMessage | Reason:
    """Compose with the values above, but for the given ones."""
    return Composer(settings).compose(
        step=step, sequence=sequence, enrollment=run, record=record, owner=owner, touch_id=TOUCH
    )


def email(**changes: Any) -> EmailMessage:
    """The email; fails the test when there is none."""
    made = attempt(**changes)
    assert isinstance(made, EmailMessage), made
    return made


def held(**changes: Any) -> Reason:
    """The reason; fails the test when an email came."""
    made = attempt(**changes)
    assert isinstance(made, Reason), made
    return made


def with_fields(**changes: Any) -> Record:
    """The record with some fields changed."""
    return replace(RECORD, fields={**FIELDS, **changes})


# --- the email


def test_an_email_is_complete() -> None:
    """Addresses, names, subject and both bodies."""
    made = email()
    assert (made.touch_id, made.to_address, made.to_name) == (TOUCH, ADDRESS, "Li Na")
    assert (made.from_address, made.from_name, made.reply_to) == ("Ana@acme.example", "Ana Kern", "")
    assert made.subject == "Hello Li"
    assert "<p>Hi Li, how is Ng &amp; Co?</p>" in made.html
    assert made.text.startswith("Hi Li, how is Ng & Co?\n\nAna Kern\nAE\n+49 30 1\n\n-- \n")


def test_the_category_is_the_sequence_and_nothing_personal() -> None:
    """Providers keep it for long and show it to their staff."""
    assert email().category == "q1"


def test_every_email_says_who_sends_it_and_how_to_stop_it_p7() -> None:
    """In HTML and in plain text."""
    made = email()
    link = f"https://mail.acme.example/u/{UnsubscribeTokens(KEYS).sign(RUN.person, '00D1', SEQUENCE.id)}"
    for body in (made.html, made.text):
        assert "Acme GmbH · 1 Main Street · 10115 Berlin" in body
        assert body.count(link) == 1
    assert f'<a style="color:#5f6672" href="{link}">Unsubscribe</a>' in made.html


def test_one_click_headers_p7() -> None:
    """RFC 8058."""
    made = email()
    link = re.search(r'href="(https://mail[^"]+)"', made.html)
    assert link is not None
    assert made.headers["List-Unsubscribe"] == f"<{link.group(1)}>"
    assert made.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_mail_address_to_unsubscribe_stands_second() -> None:
    """The token rides in its subject."""
    made = email(settings=replace(SETTINGS, unsubscribe_mailto="stop@acme.example"))
    token = UnsubscribeTokens(KEYS).sign(RUN.person, "00D1", SEQUENCE.id)
    assert made.headers["List-Unsubscribe"].endswith(f"{token}>, <mailto:stop@acme.example?subject={token}>")


def test_an_address_of_the_reply_domain_takes_unsubscribes_p7() -> None:
    """B22: a mail to it needs no subject, since the address itself is signed."""
    made = email(settings=replace(SETTINGS, unsubscribe_domain="in.acme.example"))
    found = re.search(r">, <mailto:([^?]+)\?subject=unsubscribe>$", made.headers["List-Unsubscribe"])
    assert found is not None
    who = read_address([found[1].upper()], "in.acme.example", UnsubscribeTags(KEYS), "00D1")
    assert who == Unsubscriber(person=RUN.person, org="00D1")


def test_a_mailbox_of_its_own_goes_before_the_reply_domain() -> None:
    """What was configured in so many words counts."""
    made = email(
        settings=replace(SETTINGS, unsubscribe_mailto="stop@acme.example", unsubscribe_domain="in.acme.example")
    )
    assert "mailto:stop@acme.example" in made.headers["List-Unsubscribe"]
    assert "in.acme.example" not in made.headers["List-Unsubscribe"]


@pytest.mark.parametrize("language", sorted(WORDINGS))
def test_the_footer_speaks_the_sequence_s_language(language: str) -> None:
    """Ten languages; the page says which it is in."""
    made = email(settings=replace(SETTINGS, languages={"q1": language}))
    assert f'<html lang="{language}">' in made.html
    assert f"{WORDINGS[language].question} {WORDINGS[language].link}: https://" in made.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"company": " "}, "company is missing"),
        ({"postal_address": ""}, "postal_address is missing"),
        ({"unsubscribe_url": ""}, "unsubscribe_url is missing"),
        ({"unsubscribe_url": "http://mail.acme.example"}, "https"),
        ({"unsubscribe_url": "https://"}, "plain URL"),
        ({"unsubscribe_url": "https://x.example/?a=1"}, "plain URL"),
        ({"unsubscribe_url": 'https://x.example/"><script>'}, "plain URL"),
        ({"unsubscribe_url": "https://[x"}, "not a URL"),
        ({"unsubscribe_mailto": "stop"}, "unsubscribe_mailto"),
        ({"unsubscribe_domain": "in acme.example"}, "unsubscribe_domain"),
        ({"signing_keys": ()}, "signing key"),
        ({"signing_keys": ("short",)}, "signing key"),
        ({"language": "tlh"}, "no footer in 'tlh'"),
        ({"languages": {"q1": "tlh"}}, "no footer in 'tlh'"),
        ({"company": "Acme {{ x }}"}, "braces"),
        ({"reply_to": ReplyTo.TOKEN}, "reply_address"),
        ({"reply_to": ReplyTo.TOKEN, "reply_address": "much-too-long-for-a-tag@x.example"}, "reply_address"),
        ({"reply_to": ReplyTo.ADDRESS, "reply_address": "x"}, "reply_address"),
    ],
)
def test_no_composer_without_what_the_law_asks_for_p7(changes: dict[str, Any], says: str) -> None:
    """Refused at config time."""
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        Composer(replace(SETTINGS, **changes))


def test_all_that_is_wrong_with_the_settings_is_said_at_once() -> None:
    """An engineer corrects the file in one go."""
    with pytest.raises(ConfigurationError) as caught:
        Composer(replace(SETTINGS, company="", postal_address="", unsubscribe_url=""))
    assert caught.value.what.count("is missing") == 3


def test_a_loopback_address_may_do_without_https() -> None:
    """The sandbox is reached by configuration alone."""
    Composer(replace(SETTINGS, unsubscribe_url="http://127.0.0.1:8000/u"))


def test_settings_do_not_show_their_keys() -> None:
    """A repr ends up in logs."""
    assert KEYS[0] not in repr(SETTINGS)


# --- missing and broken


def test_missing_fields_of_subject_and_body_are_told_together_b24() -> None:
    """In the words of a CRM user, each once."""
    step = replace(
        STEP, subject="{{ Contact.FirstName }}: {{ title }}", body="<p>{{ first_name }} {{ account.name }}</p>"
    )
    reason = held(step=step, record=with_fields(first_name="", **{"account.name": None}))
    assert isinstance(reason, MissingFields)
    assert (reason.code, reason.detail) == (HoldReason.MISSING_FIELD, "First Name, Title, Account Name")
    assert reason.paths == ("FirstName", "title", "first_name", "account.name")
    assert reason.sentence.startswith("Waiting: missing First Name, Title, Account Name.")


def test_a_filled_field_goes_out_b24() -> None:
    """The same step, once the rep has filled it in."""
    step = replace(STEP, body="{{ title }}")
    assert held(step=step).detail == "Title"
    assert "CTO" in email(step=step, record=with_fields(title="CTO")).text


@pytest.mark.parametrize("body", ["", "  \n", "<p>&nbsp;</p>", "{% if title %}x{% endif %}", "<!-- x -->"])
def test_an_empty_body_is_held_b24(body: str) -> None:
    """Also one that only renders empty."""
    assert held(step=replace(STEP, body=body)) == Reason(code=HoldReason.TEMPLATE_BROKEN, detail="the body is empty")


@pytest.mark.parametrize("subject", ["", " ", '{{ title | default: "" }}'])
def test_an_empty_subject_is_held_b24(subject: str) -> None:
    """Nobody opens it."""
    assert held(step=replace(STEP, subject=subject)).detail == "the subject is empty"


def test_a_subject_too_long_for_the_timeline_is_held() -> None:
    """255 characters on the CRM's activity."""
    assert "longer than 255" in held(step=replace(STEP, subject="x" * 256)).detail


def test_a_broken_step_is_held_with_its_problem_b24() -> None:
    """An invalid edit that came through all the same."""
    reason = held(step=replace(STEP, body="{{ contact.first_nam } x"))
    assert reason.code is HoldReason.TEMPLATE_BROKEN
    assert "is not closed" in reason.sentence


@pytest.mark.parametrize("where", ["subject", "body"])
def test_template_code_in_a_crm_value_is_held_b27(where: str) -> None:
    """Never run, never shown."""
    step = replace(STEP, **{where: "{{ first_name }}"})
    reason = held(step=step, record=with_fields(first_name="{{ 7 | times: 7 }}"))
    assert reason == Reason(code=HoldReason.TEMPLATE_BROKEN, detail="First Name contains a brace")


def test_html_in_a_first_name_is_text_b27() -> None:
    """Escaped in HTML, as it is in plain text and subject."""
    made = email(record=with_fields(first_name="<img src=x onerror=alert(1)>"))
    assert "<img" not in made.html
    assert "&lt;img src=x onerror=alert(1)&gt;" in made.html
    assert made.subject == "Hello <img src=x onerror=alert(1)>"


@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r", "\u2028", "\x00", "\x0b"])
def test_no_value_ends_a_header_b27(ending: str) -> None:
    """Neither in the subject nor in a name, nor through the sender."""
    evil = f"Li{ending}Bcc: x@evil.example"
    made = email(
        record=with_fields(first_name=evil, last_name=evil),
        owner=replace(OWNER, name=evil),
        step=replace(STEP, subject="Hello\n {{ first_name }}"),
    )
    headers = [made.subject, made.to_name, made.from_name, made.reply_to, *made.headers.values()]
    assert not any(ending in value or "\n" in value for value in headers)


@pytest.mark.parametrize(
    "address", ["li@customer.example\r\nBcc: x@evil.example", "a b@customer.example", "<li@x.example>"]
)
def test_an_address_that_is_none_is_held_b27(address: str) -> None:
    """Whatever let it into the run."""
    run = replace(RUN, address=normalize_address(address))
    assert held(run=run, record=replace(RECORD, email=address)).detail == "the email address is not valid"


def test_names_lose_quotes_and_brackets_b27() -> None:
    """They would pretend to be another address."""
    made = email(owner=replace(OWNER, name='Ana "A" <ceo@customer.example>'), record=with_fields(last_name="{{x}}"))
    assert made.from_name == "Ana A ceo@customer.example"
    assert made.to_name == ""


def test_a_very_long_value_is_held_b27() -> None:
    """10 MB in a text field."""
    reason = held(record=with_fields(first_name="x" * 10_000_000))
    assert reason.code is HoldReason.TEMPLATE_BROKEN


# --- addresses and senders


@pytest.mark.parametrize("now", ["li@other.example", ""])
def test_the_old_address_is_never_mailed_again_b15(now: str) -> None:
    """The record moved on between the plan and the email."""
    assert held(record=replace(RECORD, email=now)).code is HoldReason.ADDRESS_CHANGED


@pytest.mark.parametrize(
    ("owner", "says"),
    [
        (None, "the record's owner"),
        (replace(OWNER, active=False), "Ana Kern is deactivated"),
        (replace(OWNER, is_person=False, name="Inbound"), "Inbound is a queue"),
        (replace(OWNER, email=""), "no valid email address"),
        (replace(OWNER, email=f"a@{'é' * 80}.example"), "no valid email address"),
        (replace(OWNER, email="a@b.example\r\nBcc: c@d.example"), "no valid email address"),
    ],
)
def test_a_sender_who_cannot_send_holds_b16(owner: Owner | None, says: str) -> None:
    """And resumes by itself when mended."""
    reason = held(owner=owner)
    assert reason.code is HoldReason.SENDER_BROKEN
    assert says in reason.sentence
    assert "cannot send" in reason.sentence


def test_a_fixed_sender_sends_whoever_owns_the_record() -> None:
    """With the sequence's own display name, and without the owner's signature."""
    fixed = replace(SEQUENCE, sender_policy=SenderPolicy.FIXED, from_address='"The Team" <team@acme.example>')
    made = email(sequence=fixed, owner=replace(OWNER, active=False))
    assert (made.from_address, made.from_name) == ("team@acme.example", "The Team")
    assert "+49 30 1" not in made.text
    assert made.headers["Message-ID"] == f"<{TOUCH}@acme.example>"


def test_a_fixed_sender_without_an_address_holds_b16() -> None:
    """The sequence needs its From Address."""
    fixed = replace(SEQUENCE, sender_policy=SenderPolicy.FIXED, from_address="nobody")
    assert held(sequence=fixed).detail == "the sequence's From Address"


@pytest.mark.parametrize(
    ("policy", "address", "expected"),
    [
        (ReplyTo.SENDER, "", ""),
        (ReplyTo.OWNER, "", "Ana@acme.example"),
        (ReplyTo.ADDRESS, "sales@acme.example", "sales@acme.example"),
        (ReplyTo.TOKEN, "re@in.acme.example", f"re+{ReplyTokens(KEYS).sign(TOUCH)}@in.acme.example"),
    ],
)
def test_answers_go_where_the_policy_says(policy: ReplyTo, address: str, expected: str) -> None:
    """For a sequence from a fixed sender."""
    fixed = replace(SEQUENCE, sender_policy=SenderPolicy.FIXED, from_address="team@acme.example")
    made = email(settings=replace(SETTINGS, reply_to=policy, reply_address=address), sequence=fixed)
    assert made.reply_to == expected


def test_html_signatures_are_cleaned_and_read_as_text() -> None:
    """CRM users paste anything."""
    owner = replace(
        OWNER, signature='<p onclick="x()">Ana<br><a href="https://acme.example">Acme</a></p><script>x</script>'
    )
    made = email(owner=owner)
    assert '<p>Ana<br><a href="https://acme.example">Acme</a></p>' in made.html
    assert "\n\nAna\nAcme (https://acme.example)\n\n-- \n" in made.text
    assert "script" not in made.html


def test_plain_signatures_keep_their_lines() -> None:
    """As typed, with links that work."""
    made = email(owner=replace(OWNER, signature="Ana & Co\r\n\r\nwww.acme.example"))
    assert "<p>Ana &amp; Co</p>" in made.html
    assert '<a href="https://www.acme.example">' in made.html
    assert "\n\nAna & Co\n\nwww.acme.example\n\n-- \n" in made.text


def test_a_signature_with_a_brace_is_held_b24() -> None:
    """It was meant to be filled in by another program."""
    assert "signature of Ana Kern" in held(owner=replace(OWNER, signature="{{ name }}")).detail


def test_sender_and_owner_fields_need_no_look_up() -> None:
    """They are known from the user who sends."""
    step = replace(
        STEP, body="{{ sender.first_name }}/{{ sender.email }}/{{ owner.name }}/{!User.Title}/{{ owner.phone }}"
    )
    assert email(step=step).text.startswith("Ana/Ana@acme.example/Ana Kern/AE/+49 30 1\n")


# --- threads


def test_a_first_email_begins_a_thread() -> None:
    """Message-ID from the touch and the sender's domain, and nothing to answer to."""
    made = email()
    assert made.headers["Message-ID"] == f"<{TOUCH}@acme.example>"
    assert "In-Reply-To" not in made.headers
    assert "References" not in made.headers


def test_a_follow_up_goes_on_in_the_thread() -> None:
    """With the thread's subject where it has none of its own."""
    made = email(step=FOLLOW_UP, run=IN_THREAD)
    assert made.subject == "Re: Hello Li"
    assert made.headers["In-Reply-To"] == "<a@acme.example>"
    assert made.headers["References"] == "<a@acme.example>"


def test_re_is_not_said_twice() -> None:
    """A thread that began with one."""
    assert email(step=FOLLOW_UP, run=replace(IN_THREAD, thread_subject="RE: Hello")).subject == "RE: Hello"


def test_a_follow_up_may_have_its_own_subject() -> None:
    """The headers still tie it to the thread."""
    made = email(step=replace(FOLLOW_UP, subject="One more thing"), run=IN_THREAD)
    assert made.subject == "One more thing"
    assert made.headers["In-Reply-To"] == "<a@acme.example>"


def test_references_keep_the_root_and_the_nine_newest() -> None:
    """Headers have a limit, threads have none."""
    thread = tuple(f"<{number}@x>" for number in range(20))
    made = email(step=FOLLOW_UP, run=replace(IN_THREAD, thread=thread))
    assert made.headers["References"].split() == ["<0@x>", *(f"<{number}@x>" for number in range(11, 20))]
    assert made.headers["In-Reply-To"] == "<19@x>"


def test_another_sender_begins_a_new_thread_b16() -> None:
    """With a subject of its own: that of the email before."""
    made = email(
        step=FOLLOW_UP,
        run=IN_THREAD,
        owner=replace(OWNER, name="Bo Lund", email="bo@acme.example"),
        sequence=replace(SEQUENCE, steps=(STEP, FOLLOW_UP)),
    )
    assert made.subject == "Hello Li"
    assert "In-Reply-To" not in made.headers


def test_a_step_outside_the_thread_does_not_touch_it() -> None:
    """Unless it says so, a step is a new email."""
    assert "References" not in email(run=IN_THREAD).headers


# --- paths and tasks


def test_the_last_look_asks_for_what_the_steps_use() -> None:
    """Of every step, with the name; the sender's own fields are known."""
    steps = (STEP, replace(FOLLOW_UP, body="{{ contact.Title }} {{ sender.name }} {% if owner.title %}x{% endif %}"))
    assert merge_paths(steps) == {"first_name", "last_name", "account.name", "Title", "owner.title"}


def test_a_broken_step_does_not_keep_the_others_from_their_fields() -> None:
    """It is reported where definitions are read."""
    assert "account.name" in merge_paths((replace(STEP, body="{{ x"), STEP))


def test_a_task_is_filled_in_as_an_email_is() -> None:
    """Plain text, for the rep."""
    step = replace(
        STEP, kind=StepKind.TASK, subject="Call {{ first_name }}", body="<p>Ask about {{ account.name }}</p>"
    )
    made = compose_task(step=step, sequence=SEQUENCE, record=RECORD, owner=None)
    assert made == TaskText(subject="Call Li", body="Ask about Ng & Co")


def test_a_task_with_a_missing_field_is_held_b24() -> None:
    """As an email is."""
    step = replace(STEP, kind=StepKind.TASK, body="{{ title }}")
    made = compose_task(step=step, sequence=SEQUENCE, record=RECORD, owner=OWNER)
    assert made == MissingFields(detail="Title", paths=("title",))
