"""From whom the doctor expects emails: fixed senders as sequences write them, and owners who can send."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from crmdrip.core.model import Owner, Record, RecordKind, RecordRef, SequenceDraft
from crmdrip.doctor import read_senders
from crmdrip.ports import PullPage

OWNERS = {
    "005A": Owner(id="005A", name="Rita", email="rita@acme.example", active=True),
    "005B": Owner(id="005B", name="Otto", email="otto@acme.example", active=False),
    "00G1": Owner(id="00G1", name="Inbound", email="", active=True, is_person=False),
}


def _senders(*fixed: str | None, owners: tuple[str, ...] = ()) -> frozenset[str]:
    asked: Any = SimpleNamespace(owners=lambda ids: {name: OWNERS[name] for name in ids})
    drafts = tuple(SequenceDraft(id=f"s{n}", steps=(), fields={"from_address": text}) for n, text in enumerate(fixed))
    records = tuple(
        Record(
            ref=RecordRef(kind=RecordKind.CONTACT, id=f"003{n}"),
            email="ann@firm.example",
            enrolled=True,
            sequence_id="s0",
            owner_id=owner,
            modified_at=datetime(2026, 11, 2, tzinfo=UTC),
        )
        for n, owner in enumerate(owners)
    )
    return read_senders(asked, PullPage(sequences=drafts, records=records, cursor="1"))


@pytest.mark.parametrize(
    "text", ["sales@acme.example", "Acme Sales <sales@acme.example>", '"Acme, Sales" <sales@acme.example>']
)
def test_a_fixed_sender_is_its_address_without_the_name(text: str) -> None:
    """Its domain is what is looked up in DNS; the name before it is no part of that."""
    assert _senders(text) == {"sales@acme.example"}


def test_a_sequence_without_a_fixed_sender_adds_none() -> None:
    """The field is empty where owners send."""
    assert _senders(None, "") == frozenset()


def test_owners_who_can_send_are_senders() -> None:
    """A deactivated user sends nothing, and a queue has no address."""
    assert _senders(owners=("005A", "005B", "00G1")) == {"rita@acme.example"}
