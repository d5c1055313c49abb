"""A ledger with something in every table, written by the ledger's own functions; and dumps of it that outlive them.

Run as a program it dumps what the present version writes: once for each version, when it is released.
"""

from __future__ import annotations

import base64
import json
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ledger_values import NOW, contact, record, run, sequence, signal, touch
from sqlalchemy import Connection, Engine, MetaData, Table, insert

from crmdrip.core.caps import CapScope, counter_at
from crmdrip.core.engagement import Engagement
from crmdrip.core.model import BoxPending, DelayUnit, RunStatus, SignalKind, Step, StepKind, TouchState
from crmdrip.core.received import MAIL_TYPE, Delivery
from crmdrip.core.struct import replace
from crmdrip.core.writes import (
    ApprovalWrite,
    BounceWrite,
    ControlWrite,
    OptOutWrite,
    Priority,
    ReplyWrite,
    SequenceWrite,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
)
from crmdrip.ledger import (
    copying,
    definitions,
    engagements,
    forwards,
    mails,
    marks,
    outbox,
    people,
    received,
    runs,
    suppressions,
    tallies,
    touches,
)
from crmdrip.ledger.mails import ReadMail
from crmdrip.ledger.store import HEAD, Ledger, open_ledger
from crmdrip.testing.mailer import build_message

DUMPS = Path(__file__).parent / "dumps"
"""One for each version that a ledger can have: {version}.json."""

STEP = Step(id="step", order=1.0, kind=StepKind.EMAIL, delay=2, delay_unit=DelayUnit.DAYS, subject="Grüße", body="<p>x")
WRITES: tuple[Write, ...] = (
    StatusWrite(
        key="status:1",
        ref=contact(),
        status="Active",
        reason="",
        step="1 of 2",
        next_touch=NOW,
        last_touch=None,
        run=1,
        enrolled=True,
        sequence_id="seq",
        replied_at=NOW,
        out_of_office_until=NOW,
    ),
    TaskWrite(
        key="task:1",
        touch_id=f"{1:032x}",
        ref=contact(),
        owner_id="005",
        at=NOW,
        subject="Grüße",
        body="text",
        sequence="Trial",
        sequence_id="seq",
        step="1 of 2",
        step_id="step",
        run=1,
        outcome="Sent",
        message_id="<1@example.com>",
    ),
    ReplyWrite(key="reply:1", reply_id="ab", ref=contact(), owner_id=None, at=NOW, subject="Re: Grüße", body="No."),
    TouchWrite(key="touch:1", touch_id=f"{1:032x}", ref=contact(), outcome="Opened", opens=2, clicks=1),
    ApprovalWrite(key="approval:1", ref=contact()),
    OptOutWrite(key="opt_out:1", ref=contact()),
    BounceWrite(key="bounce:1", ref=contact(), reason="5.1.1", at=NOW),
    SequenceWrite(key="sequence:seq", sequence_id="seq", version="v1", error="", counts={"active": 3}),
    ControlWrite(key="control", heartbeat=NOW, claim="c", calls_used=1, calls_limit=15_000, state="Running."),
)


def fill(ledger: Ledger) -> None:
    """Something in every table that a copy takes along, and every kind of what is stored as bytes."""
    with ledger.write() as connection:
        marks.set_mark(connection, marks.ORG, "00D000000000001AAA")
        marks.next_heartbeat(connection, NOW)
        marks.save_cursor(connection, "pull", "2026-03-02", NOW)
        definitions.save_good(connection, sequence(steps=(STEP,)), NOW)
        definitions.save_broken(connection, "bad", "Broken", "It has no steps.", NOW)
        people.remember_records(connection, [record(number, account_id="001") for number in range(1, 4)])
        people.expect_box(connection, [contact(2)], BoxPending.OFF)
        runs.add_runs(
            connection,
            [
                run(1, next_step_id="step", steps_done=1, last_touch_at=NOW, thread=("<1@example.com>",)),
                run(2, status=RunStatus.HELD, reason="hold.in_doubt", reason_detail="1 of 2", unproven=True),
            ],
        )
        runs.add_runs(connection, [run(3, status=RunStatus.STOPPED, reason="stop.replied")], ended_at=NOW)
        kept = {
            1: touch(1, state=TouchState.ACCEPTED, subject="Grüße", provider_id="p", address="p1@example.com"),
            2: touch(2, state=TouchState.IN_DOUBT, not_before=NOW + timedelta(minutes=5)),
            3: touch(3, state=TouchState.NEEDS_PERSON),
        }
        touches.add_touches(connection, kept.values())
        people.add_signals(
            connection, [signal(), signal("ooo", until=date(2026, 3, 9), kind=SignalKind.AUTO_REPLY)], NOW
        )
        engagements.add_events(
            connection, [signal("open", kind=SignalKind.OPENED, address=None, touch_id=kept[1].id)], NOW
        )
        engagements.save(
            connection, [Engagement(touch_id=kept[1].id, outcome=SignalKind.OPENED, first_at=NOW, opens=1)]
        )
        suppressions.leave_sequence(connection, ["k" * 32], "seq", NOW, "reply")
        for way, kind, body in (
            ("events", "application/json", b'[{"event":"open"}]'),
            ("imap", MAIL_TYPE, b"\x00\xff"),
        ):
            received.store(connection, [Delivery(source=way, key="1", body=body, content_type=kind, received_at=NOW)])
        mails.keep(
            connection,
            ReadMail(
                key="m" * 32,
                received_at=NOW,
                source="imap:replies",
                kind="reply",
                why="",
                how="thread",
                sender="p1@example.com",
                subject="Re: Grüße",
                body=b"From: p1@example.com\r\n\r\nNo.\xff",
            ),
        )
        forwards.add(connection, replace(build_message(1), touch_id="f" * 32), NOW)
        outbox.owe(connection, [(write, Priority.STOP) for write in WRITES], NOW)
        tallies.add(connection, {counter_at(CapScope.SENDER_DAY, "rep@example.com", NOW): 5})
        tallies.add_totals(connection, {("seq", "sent"): 7})


# --- dumps --------------------------------------------------------------------------------------------------------


def dump(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, as JSON can hold it."""
    return {
        table.name: [
            {name: _to_json(value) for name, value in zip(table.c.keys(), row, strict=True)}
            for row in copying.read_rows(connection, table)
        ]
        for table in copying.tables()
    }


def load(engine: Engine, dumped: dict[str, list[dict[str, Any]]]) -> None:
    """Put the rows of a dump into the tables that its version made."""
    tables = MetaData()
    with engine.connect().execution_options(crmdrip_write=True) as connection, connection.begin():
        tables.reflect(connection)
        for table in tables.sorted_tables:
            rows = [{name: _from_json(value) for name, value in row.items()} for row in dumped.get(table.name, [])]
            if rows:
                connection.execute(insert(Table(table.name, tables)), rows)


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    return {"date": value.isoformat()} if isinstance(value, date) else value


def _from_json(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return base64.b64decode(value["bytes"]) if "bytes" in value else date.fromisoformat(value["date"])


def store_dump() -> Path:
    """Dump what the present version writes. A version that was released keeps its dump as it is."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(f"sqlite:///{folder}/ledger.sqlite3")
        fill(ledger)
        with ledger.read() as connection:
            text = json.dumps(dump(connection), ensure_ascii=False, indent=1, sort_keys=True)
        ledger.close()
    file = DUMPS / f"{HEAD}.json"
    file.write_text(text + "\n", encoding="utf-8")
    return file


if __name__ == "__main__":
    print(store_dump())  # noqa: T201 - a program's output
