"""Unsubscribing by mail: the signature says who is meant, and nothing else does (B22, B28)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.inbound import InboundMail
from crmdrip.core.keys import person_key
from crmdrip.core.model import Enrollment, RecordKind, RecordRef, RunStatus
from crmdrip.core.struct import replace
from crmdrip.core.tokens import Unsubscriber, UnsubscribeTags, UnsubscribeTokens
from crmdrip.core.unsubscribing import LEFT, left_task, read_address, read_mail, unsubscribe_address

KEYS = ("k" * 32,)
TAGS, TOKENS = UnsubscribeTags(KEYS), UnsubscribeTokens(KEYS)
LI = person_key("li@x.example")
DOMAIN = "in.acme.example"
ADDRESS = unsubscribe_address(TAGS.sign(LI, "org"), DOMAIN)
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


def read(mail: InboundMail, domain: str = DOMAIN) -> Unsubscriber | None:
    return read_mail(mail, domain=domain, tags=TAGS, tokens=TOKENS, org="org")


@pytest.mark.parametrize("sender", ["li@x.example", "li.private@mail.example", ""])
def test_a_mail_to_a_signed_address_unsubscribes_its_owner(sender: str) -> None:
    """B22: whoever's program sent it, from whatever address."""
    assert read(InboundMail(sender=sender, delivered_to=("ana@acme.example", ADDRESS))) == Unsubscriber(
        person=LI, org="org"
    )


def test_a_token_as_the_subject_does_the_same() -> None:
    """B22: so does the mailbox of `[unsubscribe] mailto`; from everything, whichever sequence wrote."""
    mail = InboundMail(subject=f" {TOKENS.sign(LI, 'org', 'seq')} ", delivered_to=("stop@acme.example",))
    assert read(mail) == Unsubscriber(person=LI, org="org")
    assert read(mail, domain="") == Unsubscriber(person=LI, org="org")


@pytest.mark.parametrize(
    "mail",
    [
        InboundMail(),
        InboundMail(subject="unsubscribe", delivered_to=(f"unsubscribe@{DOMAIN}",)),
        InboundMail(subject=TOKENS.sign(LI, "another")),
        InboundMail(delivered_to=(ADDRESS.replace(DOMAIN, "in.evil.example"),)),
        InboundMail(delivered_to=(ADDRESS.replace("unsubscribe+", "reply+"),)),
        InboundMail(delivered_to=(unsubscribe_address(TAGS.sign(LI, "another"), DOMAIN),)),
        InboundMail(delivered_to=(ADDRESS.replace(LI, person_key("bo@x.example")),)),
    ],
)
def test_a_mail_without_our_signature_unsubscribes_nobody(mail: InboundMail) -> None:
    """B28: neither another's tag, nor another account's, nor another domain's."""
    assert read(mail) is None


@given(st.lists(st.text(max_size=80), max_size=3), st.text(max_size=700))
def test_no_address_or_subject_is_an_error(addresses: list[str], subject: str) -> None:
    """B27: whatever a stranger writes."""
    assert read(InboundMail(delivered_to=tuple(addresses), subject=subject)) is None


def test_the_domain_is_compared_without_case() -> None:
    """As mail servers do."""
    assert read_address([ADDRESS.upper()], DOMAIN.title(), TAGS, "org") is not None


def test_each_record_has_one_entry_for_having_left_a_sequence() -> None:
    """P6: under a key of its own, so that it is written once however often somebody presses."""
    run = Enrollment(
        id=1,
        person=LI,
        address="li@x.example",
        ref=RecordRef(kind=RecordKind.CONTACT, id="003A"),
        sequence_id="q1",
        run=2,
        status=RunStatus.STOPPED,
        entered_at=NOW,
        due_at=None,
    )
    entry = left_task(run, None, "org", NOW)
    assert (entry.outcome, entry.sequence_id, entry.run, entry.step_id) == (LEFT, "q1", 2, "")
    assert left_task(run, None, "org", NOW.replace(year=2027)).touch_id == entry.touch_id
    other = replace(run, ref=RecordRef(kind=RecordKind.LEAD, id="00QA"))
    assert left_task(other, None, "org", NOW).touch_id != entry.touch_id
