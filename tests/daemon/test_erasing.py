"""A person's data is erased: nothing tells who it was, and still they are never mailed again (P1, P2, P7)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from constraints import let_touches_move
from sqlalchemy import Connection, select, update
from stage import Stage

from crmdrip.core.engagement import Engagement
from crmdrip.core.errors import RetriableError
from crmdrip.core.keys import person_key
from crmdrip.core.model import RunStatus, Signal, SignalKind, TouchState
from crmdrip.core.received import MAIL_TYPE, Delivery
from crmdrip.core.struct import replace
from crmdrip.core.unsubscribing import left_task
from crmdrip.core.writes import Priority
from crmdrip.daemon.erasing import erase_person
from crmdrip.ledger import engagements, erasure, forwards, mails, outbox, people, received, runs, schema, touches
from crmdrip.ledger.addressees import by_touches
from crmdrip.ledger.erasure import find_traces, read_rows
from crmdrip.ledger.mails import ReadMail
from crmdrip.testing.mailer import build_message

ANN = "ann@acme.example"
BOB = "bob@acme.example"


@pytest.fixture
def sequence(stage: Stage) -> str:
    """One that runs again for whoever went through it."""
    return stage.sequence(Drip_Re_Enrollment__c="After Days", Drip_Re_Enroll_After_Days__c=0)


@pytest.fixture
def ann(stage: Stage, sequence: str) -> str:
    """A contact who has got an email and has done a great deal since, beside another who stays."""
    contact = stage.contact(ANN)
    stage.tick(contact, sequence)
    stage.tick(stage.contact(BOB), sequence)
    stage.turn()
    touch = stage.touches(contact)[0]
    now = stage.now
    kinds = (SignalKind.DELIVERED, SignalKind.OPENED, SignalKind.REPLY)
    signals = [
        Signal(key=f"t:{kind}", kind=kind, at=now, source="t", address=ANN, touch_id=touch.id, detail="Ann says no")
        for kind in kinds
    ]
    events = json.dumps([{"event": "open", "email": "Ann@Acme.example"}, {"event": "open", "email": BOB}])
    mail = b"From: Ann <ANN@acme.example>\r\nSubject: Re: Hello\r\n\r\nPlease stop.\r\n"
    with stage.parts.ledger.write() as connection:
        people.add_signals(connection, signals, now)
        received.store(
            connection,
            [
                Delivery(
                    source="s:events", key="1", body=events.encode(), content_type="application/json", received_at=now
                ),
                Delivery(source="imap:a", key="2", body=mail, content_type=MAIL_TYPE, received_at=now),
                Delivery(source="imap:a", key="3", body=b"From: bob\r\n\r\n", content_type=MAIL_TYPE, received_at=now),
            ],
        )
        mails.keep(
            connection,
            ReadMail(
                key="k",
                received_at=now,
                source="imap:a",
                kind="reply",
                why="",
                how="address",
                sender=ANN,
                subject="Re: Hello",
                address=ANN,
                record_id=contact,
                touch_id=touch.id,
                body=mail,
            ),
        )
        forwards.add(connection, replace(build_message(1), reply_to=ANN), now)
        engagements.save(
            connection, [Engagement(touch_id=touch.id, outcome=SignalKind.DELIVERED, first_at=now, opens=1)]
        )
        outbox.owe(connection, [(left_task(stage.run(contact), None, "org", now), Priority.REPORT)], now)
    return contact


def erase(stage: Stage, *addresses: str) -> None:
    """As the command does it, without asking the CRM."""
    with stage.parts.ledger.write() as connection:
        traces = find_traces(connection, addresses, ())
        erase_person(connection, traces, (), stage.parts.org_id, stage.now)
    erasure.scrub(stage.parts.ledger)


def naming(connection: Connection, *names: str) -> set[str]:
    """The tables in which one of the names stands, in any column of any row."""
    found = set()
    for table in schema.metadata.sorted_tables:
        for row in connection.execute(select(table)):
            text = " ".join(v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in row).lower()
            if any(name.lower() in text for name in names):
                found.add(table.name)
    return found


def files_of(stage: Stage) -> list[Path]:
    """Those in which the ledger's rows are, once everything is written to them."""
    if stage.parts.ledger.path is not None:
        return list(stage.folder.glob("crmdrip.sqlite3*"))
    with stage.parts.ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")
        folder = connection.exec_driver_sql("SHOW data_directory").scalar_one()
        known = connection.exec_driver_sql("SELECT oid FROM pg_database WHERE datname = current_database()")
        return list((Path(folder) / "base" / str(known.scalar_one())).iterdir())


class TestErased:
    """What is left."""

    def test_no_table_names_the_person(self, stage: Stage, ann: str) -> None:
        """Neither address nor record, but for what the CRM must still be told."""
        with stage.parts.ledger.read() as connection:
            before = naming(connection, ANN, ann)
        assert {"enrollment", "touch", "signal", "record", "mail", "forward", "received", "outbox"} <= before
        erase(stage, ANN)
        with stage.parts.ledger.read() as connection:
            assert naming(connection, ANN) == set()
            assert naming(connection, ann) <= {"outbox", "record"}
        stage.turn()
        with stage.parts.ledger.read() as connection:
            assert naming(connection, ANN, "Re: Hello", "Ann says no", "Please stop") == set()
            assert naming(connection, ann) <= {"record"}

    def test_the_files_do_not_name_the_person_either(self, stage: Stage, ann: str) -> None:
        """What SQLite frees is overwritten, in the file and its journal; on PostgreSQL tables are written anew."""
        erase(stage, ANN)
        files = files_of(stage)
        assert files
        for file in files:
            assert ANN.encode() not in file.read_bytes().lower()

    def test_others_stay_as_they_are(self, stage: Stage, ann: str) -> None:
        """Also in the batch of events that spoke of both, and the mail of somebody else."""
        erase(stage, ANN)
        with stage.parts.ledger.read() as connection:
            (run,) = runs.runs_of_address(connection, BOB)
            waiting = received.claim(connection, stage.now, 10)
        assert (run.status.live, run.address) == (True, BOB)
        assert [one.delivery.key for one in waiting] == ["1", "3"]
        assert [event["email"] for event in json.loads(waiting[0].delivery.body)] == ["erased", BOB]

    def test_the_run_stops_and_the_record_says_so(self, stage: Stage, ann: str) -> None:
        """P3: in plain words, and the opt-out box is ticked (B22)."""
        erase(stage, ANN)
        stage.turn()
        status, reason = stage.shown(ann)
        assert status == "Stopped"
        assert reason.startswith("This address was erased at the person's request on 2 Nov 2026.")
        assert stage.record(ann)["HasOptedOutOfEmail"]

    def test_every_record_of_the_address_is_opted_out(self, stage: Stage, sequence: str) -> None:
        """B13: twins too, that were refused."""
        contact, lead = stage.contact(ANN), stage.lead(ANN)
        for one in (contact, lead):
            stage.tick(one, sequence)
        stage.turn()
        erase(stage, ANN)
        stage.turn()
        assert stage.record(contact)["HasOptedOutOfEmail"]
        assert stage.record(lead)["HasOptedOutOfEmail"]

    def test_an_address_the_record_had_before_goes_too(self, stage: Stage, ann: str) -> None:
        """B15: it is the same human."""
        stage.change(ann, Email="ann.lee@acme.example")
        stage.later(minutes=1)
        stage.turn()
        erase(stage, "ann.lee@acme.example")
        with stage.parts.ledger.read() as connection:
            assert naming(connection, ANN, "ann.lee@acme.example") == set()
            kept = people.suppressed(connection, [person_key(ANN), person_key("ann.lee@acme.example")])
        assert {kind for kind, _ in kept.values()} == {SignalKind.ERASED}
        assert len(kept) == 2

    def test_a_colleague_s_record_does_not_name_them(self, stage: Stage, ann: str) -> None:
        """What happened to others may say who answered; it goes on without the name, also on its way to the CRM."""
        with stage.parts.ledger.write() as connection:
            (bob,) = runs.runs_of_address(connection, BOB)
            paused = replace(bob, reason="hold.colleague_replied", reason_detail=f" ({ANN}) on 2 Nov 2026")
            runs.save_runs(connection, [paused], stage.now)
            write = replace(left_task(bob, None, "org", stage.now), body=f"{ANN} replied")
            outbox.owe(connection, [(write, Priority.REPORT)], stage.now)
        erase(stage, ANN)
        with stage.parts.ledger.read() as connection:
            assert naming(connection, ANN) == set()
            (bob,) = runs.runs_of_address(connection, BOB)
            owed = {one.write.key: one.write for one in outbox.due(connection, stage.now, 100)}
        assert bob.reason_detail == " (erased) on 2 Nov 2026"
        assert getattr(owed[write.key], "body", "") == "erased replied"

    def test_erasing_twice_changes_nothing(self, stage: Stage, ann: str) -> None:
        """A second request finds nobody."""
        erase(stage, ANN)
        erase(stage, ANN)
        with stage.parts.ledger.read() as connection:
            found = read_rows(connection, find_traces(connection, [ANN], ()))
        assert {name for name, rows in found.items() if rows} == {"suppressions"}


class TestNeverAgain:
    """The hash holds."""

    def test_the_same_touch_can_never_be_sent_again(self, stage: Stage, ann: str) -> None:
        """P1: its row stands under its id, and the database lets nobody intend it anew."""
        (touch,) = stage.touches(ann)
        erase(stage, ANN)
        with stage.parts.ledger.read() as connection:
            state = connection.execute(select(schema.touch.c.state).where(schema.touch.c.id == touch.id)).scalar()
        assert state == TouchState.ACCEPTED.value

    def test_ticking_the_box_again_is_refused(self, stage: Stage, ann: str, sequence: str) -> None:
        """P2: although somebody cleared the CRM's own opt-out."""
        erase(stage, ANN)
        stage.turn()
        stage.later(days=2)
        stage.change(ann, HasOptedOutOfEmail=False)
        stage.tick(ann, sequence)
        stage.play(stage.now + timedelta(days=3), step=timedelta(hours=8))
        assert stage.shown(ann)[0] == "Refused"
        assert len(stage.sent(ANN)) == 1

    def test_a_new_import_is_refused(self, stage: Stage, ann: str, sequence: str) -> None:
        """P2: another record, in another spelling, and nothing of it is kept in clear."""
        erase(stage, ANN)
        again = stage.lead("Ann@ACME.example")
        stage.tick(again, sequence)
        stage.turn()
        assert stage.shown(again) == (
            "Refused",
            "Not started: this address was erased at the person's request on 2 Nov 2026.",
        )
        with stage.parts.ledger.read() as connection:
            assert naming(connection, ANN) == set()

    def test_somebody_nobody_knows_can_be_kept_out(self, stage: Stage, sequence: str) -> None:
        """A request may come before the import does."""
        erase(stage, "new@acme.example")
        person = stage.contact("new@acme.example")
        stage.tick(person, sequence)
        stage.turn()
        assert stage.shown(person)[0] == "Refused"

    def test_events_that_come_late_are_not_kept(self, stage: Stage, ann: str) -> None:
        """B23: a provider repeats what it told, for hours."""
        (touch,) = stage.touches(ann)
        erase(stage, ANN)
        late = Signal(
            key="t:late", kind=SignalKind.CLICKED, at=stage.now, source="t", address=ANN, touch_id=touch.id, detail="x"
        )
        with stage.parts.ledger.write() as connection:
            assert people.add_signals(connection, [late], stage.now) == []
            assert engagements.touches_told_of(connection, [touch.id]) == {}
            assert by_touches(connection, [touch.id]) == {}

    def test_a_rebuild_of_an_older_copy_brings_nothing_back(self, stage: Stage, ann: str) -> None:
        """P6: the CRM's record still tells of the run, and the ledger knows not to take it over."""
        erase(stage, ANN)
        stage.turn()
        with stage.parts.ledger.write() as connection:
            connection.execute(schema.cursor.delete())
        stage.restart()
        stage.turn()
        with stage.parts.ledger.read() as connection:
            assert naming(connection, ANN) == set()


class TestOpen:
    """What is under way."""

    @pytest.mark.parametrize("state", [TouchState.IN_DOUBT, TouchState.NEEDS_PERSON, TouchState.REFUSED])
    def test_what_was_open_is_looked_up_no_more(self, stage: Stage, ann: str, state: TouchState) -> None:
        """B1: by moves that the database allows."""
        (touch,) = stage.touches(ann)
        with stage.parts.ledger.write() as connection:
            let_touches_move(connection)  # to bring it there
            connection.execute(update(schema.touch).where(schema.touch.c.id == touch.id).values(state=state.value))
        erase(stage, ANN)
        with stage.parts.ledger.read() as connection:
            assert touches.needing_person(connection) == []
            assert (
                connection.execute(select(schema.touch.c.state).where(schema.touch.c.id == touch.id)).scalar_one()
                == TouchState.SKIPPED.value
            )

    def test_nobody_is_erased_while_their_email_is_on_its_way(self, stage: Stage, ann: str) -> None:
        """P1: its outcome must find its row; nothing is half done."""
        (touch,) = stage.touches(ann)
        with stage.parts.ledger.write() as connection:
            let_touches_move(connection)  # to bring it there
            connection.execute(update(schema.touch).where(schema.touch.c.id == touch.id).values(state="intended"))
        with pytest.raises(RetriableError, match="on its way"):
            erase(stage, ANN)
        assert stage.run(ann).status is RunStatus.ACTIVE
        with stage.parts.ledger.read() as connection:
            assert people.suppressed(connection, [person_key(ANN)]) == {}
