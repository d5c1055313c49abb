"""What the SQL connector writes that the contract does not ask for: on a server, as a user with few rights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sql_driver import SqlDriver
from sql_peer import APART, PostgresqlPeer, SqlitePeer, shared_postgresql
from sqlalchemy import func, select, text

from crmdrip.core.errors import ErrorClass, RetriableError
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.core.struct import replace
from crmdrip.ports import BounceWrite, ControlWrite, OptOutWrite, Purpose, ReplyWrite, SequenceWrite
from crmdrip.testing.crm import AT, CrmTrouble, read_all, status_write, task_write, touch_write, write_all


@pytest.fixture(scope="module")
def postgresql():
    """A server, started once."""
    return shared_postgresql()


@pytest.fixture
def peer(postgresql):
    """A database without rows."""
    with PostgresqlPeer(postgresql) as peer:
        yield peer


@pytest.fixture
def crm(peer):
    """Whoever works in it."""
    return SqlDriver(peer)


@pytest.fixture
def sink(peer):
    """The sink under test."""
    return peer.sink(peer.source())


@pytest.fixture
def people(crm):
    """Twenty of them."""
    return [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example", enrolled=True) for n in range(20)]


def by_hand(peer, statement: str) -> None:
    """Somebody else's statement."""
    peer.run(lambda connection: connection.execute(text(statement)))


def reply(ref: RecordRef, reply_id: str = "f" * 32, **given: object) -> ReplyWrite:
    """What somebody wrote."""
    words = {"owner_id": None, "at": AT, "subject": "Re: Hello", "body": "Call me."}
    return ReplyWrite(key="reply", reply_id=reply_id, ref=ref, **{**words, **given})


def test_one_locked_row_of_many_waits_and_the_others_are_written(crm, sink, people):
    """B21: whoever holds it keeps nobody else's news from being told."""
    crm.lock(people[7])
    outcomes = write_all(sink, *(status_write(ref, f"s{n}") for n, ref in enumerate(people)))
    crm.unlock(people[7])
    assert {key for key, one in outcomes.items() if one.error is not None} == {"s7"}
    assert outcomes["s7"].error is ErrorClass.RETRIABLE
    assert crm.read(people[6], "status") == crm.read(people[8], "status") == "Active"
    assert not crm.read(people[7], "status")


def test_a_file_that_somebody_holds_is_not_waited_for_row_by_row(tmp_path):
    """B21: a lock of SQLite's is one of everything; each batch waits once."""
    with SqlitePeer(tmp_path / "crm.sqlite3") as peer:
        crm = SqlDriver(peer)
        people = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(40)]
        sink = peer.sink(peer.source())
        crm.lock(people[0])
        before = peer.database.meter.budget().calls_made
        outcomes = write_all(sink, *(status_write(ref, f"s{n}") for n, ref in enumerate(people)))
        assert {one.error for one in outcomes.values()} == {ErrorClass.RETRIABLE}
        assert peer.database.meter.budget().calls_made - before < 20
        crm.unlock(people[0])


def test_a_touch_of_an_owner_who_is_gone_stands_without_one(peer, crm, sink, people):
    """B16: a constraint refuses the owner, and what happened is told all the same."""
    by_hand(peer, "ALTER TABLE drip_touches ADD CONSTRAINT owned FOREIGN KEY (owner_id) REFERENCES users (id)")
    try:
        rita = crm.add_user("Rita Rep", "rita@acme.example", active=True)
        outcomes = write_all(
            sink,
            task_write(people[0], "a" * 32, "a", owner_id=rita),
            task_write(people[1], "b" * 32, "b", owner_id="77"),
        )
        assert [one.error for one in outcomes.values()] == [None, None]
        assert [crm.timeline(ref)[0]["owner"] for ref in people[:2]] == [int(rita), None]
    finally:
        by_hand(peer, "ALTER TABLE drip_touches DROP CONSTRAINT owned")


def test_a_touch_of_somebody_who_is_gone_is_skipped(peer, crm, sink, people):
    """B14: a constraint refuses it, and nothing is left to do."""
    by_hand(peer, "ALTER TABLE drip_touches ADD CONSTRAINT kept FOREIGN KEY (contact_id) REFERENCES contacts (id)")
    try:
        crm.delete(people[0].id)
        outcomes = write_all(sink, task_write(people[0], "a" * 32, "gone"), task_write(people[1], "b" * 32, "there"))
        assert {key: one.error for key, one in outcomes.items()} == {"gone": ErrorClass.SKIPPABLE, "there": None}
    finally:
        by_hand(peer, "ALTER TABLE drip_touches DROP CONSTRAINT kept")


def test_a_missing_right_holds_up_its_own_table_alone(peer, crm, sink, people):
    """B21: touches may not be written, and a stop is told all the same; it works again once granted."""
    by_hand(peer, "REVOKE INSERT ON drip_touches FROM crmdrip")
    stop = status_write(people[0], "stop", status="Stopped", enrolled=False)
    outcomes = write_all(sink, stop, task_write(people[0], "a" * 32), task_write(people[1], "b" * 32, "other"))
    assert outcomes["stop"].error is None
    assert {outcomes[key].error for key in ("task", "other")} == {ErrorClass.CONFIGURATION}
    assert "drip_touches" in outcomes["task"].detail
    peer.run(peer.grant)
    assert write_all(sink, task_write(people[0], "a" * 32))["task"].error is None


def test_text_that_is_too_long_is_cut_where_people_read_it(crm, sink, people):
    """B21: a reason is cut to its column; what would be another id is refused instead."""
    outcomes = write_all(
        sink,
        status_write(people[0], reason="r" * 300),
        BounceWrite(key="b", ref=people[0], reason="x" * 5_000, at=AT),
        task_write(people[0], "a" * 32, subject="s" * 2_000, sequence="n" * 400),
        task_write(people[1], "b" * 70, "bad"),
    )
    assert {key for key, one in outcomes.items() if one.error is not None} == {"bad"}
    assert outcomes["bad"].error is ErrorClass.REJECTED
    assert len(crm.read(people[0], "reason")) == len(crm.read(people[0], "bounced_reason")) == 255
    assert len(crm.timeline(people[0])[0]["subject"]) == 998


def test_whatever_people_write_can_be_stored(crm, sink, people):
    """B27: zero bytes, lone surrogates and quotes, in a mail and in a reason."""
    body = "Hi\x00 \ud800 'there' %s :name \\ -- 漢字"
    assert write_all(sink, reply(people[0], body=body, subject="\x00"))["reply"].error is None
    assert write_all(sink, status_write(people[0], reason=body))["status"].error is None
    (entry,) = crm.timeline(people[0])
    assert entry["body"] == crm.read(people[0], "reason") == "Hi ? 'there' %s :name \\ -- 漢字"


def test_an_answer_and_a_note_are_no_touches(peer, crm, sink, people):
    """P6: a lost ledger counts what went out, and nothing else."""
    source = peer.source()
    write_all(sink, reply(people[0]), task_write(people[0], "b" * 32, note=True), task_write(people[0], "c" * 32, "c"))
    assert [entry["kind"] for entry in crm.timeline(people[0])] == ["reply", "note", "email"]
    assert [one.touch_id for page, _ in source.touches(None) for one in page] == ["c" * 32]


def test_a_person_is_changed_once_whatever_is_owed(peer, crm, sink, people):
    """P5: status, opt-out and bounce are one row, and every key comes back."""
    write_all(sink, status_write(people[2]))  # after which the tables are known
    before = peer.database.meter.budget().calls_made
    write_all(sink, status_write(people[1]))
    one = peer.database.meter.budget().calls_made - before
    outcomes = write_all(
        sink,
        status_write(people[0], enrolled=False),
        OptOutWrite(key="o", ref=people[0]),
        BounceWrite(key="b", ref=people[0], reason="550", at=AT),
    )
    assert set(outcomes) == {"status", "o", "b"}
    assert peer.database.meter.budget().calls_made - before - one == one


def test_many_people_take_no_more_statements_than_one(peer, sink, people):
    """P5: rows that change alike are sent together."""
    write_all(sink, status_write(people[2]))  # after which the tables are known
    counts = []
    for some in (people[:1], people):
        before = peer.database.meter.budget().calls_made
        write_all(sink, *(status_write(ref, f"s{n}") for n, ref in enumerate(some)))
        counts.append(peer.database.meter.budget().calls_made - before)
    assert counts[0] == counts[1]


def test_what_no_row_can_be_is_skipped(sink, people):
    """An id of another CRM's, a sequence that never was."""
    outcomes = write_all(
        sink,
        status_write(RecordRef(kind=RecordKind.CONTACT, id="003xx"), "odd"),
        SequenceWrite(key="s", sequence_id="intro", version="v", error="", counts={}),
        status_write(people[0], "good"),
        touch_write(people[0], "e" * 32, "Opened"),
    )
    expected = {"odd": ErrorClass.SKIPPABLE, "s": ErrorClass.SKIPPABLE, "touch": ErrorClass.SKIPPABLE, "good": None}
    assert {key: one.error for key, one in outcomes.items()} == expected


def test_of_two_heartbeats_at_once_one_is_seen_by_the_other(peer):
    """B3: the row is held from the reading of the one before to the writing of the next."""
    first = ControlWrite(key="c", heartbeat=AT, claim="0", calls_used=1, calls_limit=None, state="Running.")
    sources = [peer.source(lock_timeout=30.0) for _ in range(6)]
    sources[0].look([], frozenset(), None, (), first)

    def leave(number: int) -> str:
        beat = replace(first, heartbeat=AT + timedelta(seconds=number), claim=str(number))
        brake = sources[number].look([], frozenset(), None, (), beat).brake
        return brake.claim

    with ThreadPoolExecutor() as pool:
        before = list(pool.map(leave, range(1, 6)))
    last = sources[0].look([], frozenset(), None).brake.claim
    assert sorted([*before, last]) == ["0", "1", "2", "3", "4", "5"]


def test_a_statement_that_takes_too_long_is_ended(peer):
    """P4: a database that hangs holds up nobody for ever."""
    source = peer.source(statement_timeout=0.1)
    with pytest.raises(RetriableError, match="statement timeout"), source.database.read(Purpose.LOOK) as transaction:
        transaction.rows(select(func.pg_sleep(20)))


def test_a_connection_that_breaks_settles_nothing(crm, sink, people):
    """B21: what was not yielded is owed still, and a repeat makes nothing twice."""
    write_all(sink, status_write(people[0]))
    crm.trouble(CrmTrouble.CUT_AFTER_WRITE)
    writes = [task_write(ref, f"{n:032x}", f"t{n}") for n, ref in enumerate(people)]
    with pytest.raises(RetriableError):
        write_all(sink, *writes)
    crm.recover()
    assert {one.error for one in write_all(sink, *writes).values()} == {None}
    assert [len(crm.timeline(ref)) for ref in people] == [1] * 20


def test_what_crmdrip_writes_of_a_view_stands_in_its_own_table(postgresql):
    """Contacts are never written: a row for each is made once, and an opt-out stands there."""
    with PostgresqlPeer(postgresql, APART) as peer:
        crm, source = SqlDriver(peer), peer.source()
        sink = peer.sink(source)
        ann = crm.add_person(RecordKind.CONTACT, email="ann@acme.example")
        for status in ("Active", "Stopped"):
            write_all(sink, status_write(ann, status=status), OptOutWrite(key="o", ref=ann))
        rows = peer.run(
            lambda connection: connection.execute(text("SELECT contact_id, status, opted_out FROM drip_status")).all()
        )
        assert rows == [(1, "Stopped", True)]
        assert peer.run(lambda c: c.execute(text("SELECT opted_out FROM contacts")).scalar()) is not True
        assert read_all(source).records[ann.id].opted_out
