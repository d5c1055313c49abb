"""The demo's own count of mistakes: what came back held against what the ledger took it for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmdrip.core.model import Signal, SignalKind
from crmdrip.demo.answers import Tally, tally
from crmdrip.ledger import mails, people
from crmdrip.ledger.mails import ReadMail
from crmdrip.ledger.store import Ledger, open_ledger

AT = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    yield opened
    opened.close()


def answer(truth: str, **given: Any) -> dict[str, Any]:
    """A mail that came back to the reply address."""
    told = {"truth": truth, "way": "inbound_parse", "sender": "Kai@Kunde.example", "subject": "Re: Hello"}
    return {**told, "record_id": "", **given}


def read(ledger: Ledger, kind: str, number: int = 0, **given: Any) -> None:
    """The ledger took a mail for this."""
    known = {"sender": "kai@kunde.example", "subject": "Re: Hello", "source": "sendgrid:inbound", "why": "", "how": ""}
    with ledger.write() as connection:
        at = AT + timedelta(minutes=number)
        mails.keep(connection, ReadMail(key=f"{number:032x}", received_at=at, kind=kind, **{**known, **given}))


def hear(ledger: Ledger, kind: SignalKind, record_id: str) -> None:
    """A pull took an email of the CRM for this."""
    one = Signal(key=f"salesforce:{kind}:{record_id}", kind=kind, at=AT, source="salesforce", record_id="003X")
    with ledger.write() as connection:
        people.add_signals(connection, [one], AT)


def test_what_was_understood_is_no_mistake(ledger: Ledger) -> None:
    """Sender without case, subject, and order tell which mail is which."""
    read(ledger, "out_of_office", 1)
    read(ledger, "reply", 2)
    found = tally([answer("out_of_office"), answer("reply")], ledger)
    assert found == Tally(replies=1, auto_replies=1)


def test_a_reply_taken_for_a_machine_s_and_the_other_way_round_are_counted_apart(ledger: Ledger) -> None:
    """B8: each kind of mistake has its own figure."""
    read(ledger, "out_of_office", 1)
    read(ledger, "reply", 2)
    found = tally([answer("reply"), answer("left_company")], ledger)
    assert (found.reply_taken_for_auto_reply, found.auto_reply_taken_for_reply) == (1, 1)


def test_a_reply_that_nobody_read_is_unheard(ledger: Ledger) -> None:
    """So is one in which nothing could be read; what machines wrote is not missed."""
    read(ledger, "unreadable", 1, sender="eva@kunde.example")
    found = tally([answer("reply"), answer("reply", sender="eva@kunde.example"), answer("receipt")], ledger)
    assert found.unheard == 2


def test_a_calendar_s_answer_is_neither(ledger: Ledger) -> None:
    """It counts on neither side, whatever it was taken for."""
    read(ledger, "reply")
    assert tally([answer("calendar")], ledger) == Tally()


def test_what_came_by_the_crm_is_known_by_its_record(ledger: Ledger) -> None:
    """As the pull took it; one that no pull has seen yet is no mistake."""
    hear(ledger, SignalKind.AUTO_REPLY, "02s1")
    logged = {"way": "crm", "subject": "anything"}
    found = tally([answer("reply", record_id="02s1", **logged), answer("reply", record_id="02s2", **logged)], ledger)
    assert found == Tally(replies=2, reply_taken_for_auto_reply=1)
