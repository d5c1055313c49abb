"""What the SQL connector reads that the contract does not ask for: rows that tell no time, odd values, odd names."""

# ruff: noqa: S608 - statements of a test against its own database

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from sql_driver import SqlDriver
from sql_peer import WHOLE, PostgresqlPeer, SqlitePeer, SteppedClock, load_mapping, shared_postgresql
from sqlalchemy import text
from sqlalchemy import types as sql_types

from connectors.sql.cursor import Cursor
from connectors.sql.database import Database
from connectors.sql.source import SqlSource
from connectors.sql.values import Field, Form, form_of, is_set, is_ticked, read_merge_value, read_pause, read_time
from crmdrip.core.errors import ConfigurationError, RateLimitedError, UnknownPathsError
from crmdrip.core.model import RecordKind, SignalKind
from crmdrip.ports import ControlWrite, Purpose
from crmdrip.testing.crm import AT, NO_PATHS, read_all, status_write, write_all


@pytest.fixture
def peer(tmp_path):
    """A fresh file."""
    with SqlitePeer(tmp_path / "crm.sqlite3") as peer:
        yield peer


@pytest.fixture
def crm(peer):
    """Whoever works in it."""
    return SqlDriver(peer)


@pytest.fixture
def source(peer):
    """The source under test."""
    return peer.source()


@pytest.fixture
def ann(crm):
    """Somebody whose box is ticked."""
    sequence = crm.add_sequence("Intro", ["Hello", "Again"])
    return crm.add_person(RecordKind.CONTACT, email="ann@acme.example", enrolled=True, sequence=sequence)


def by_hand(peer, statement: str) -> None:
    """An UPDATE that somebody types, and that sets no time of change."""
    peer.run(lambda connection: connection.execute(text(statement)))


def build(peer, changes, **settings) -> SqlSource:
    """A source with another mapping on the same file."""
    return SqlSource(Database(peer.settings(**settings), load_mapping(changes), peer.clock))


# --- what changed -----------------------------------------------------------------------------------------------------


def test_an_untick_by_hand_is_seen_at_once(peer, source, ann):
    """B9: whoever is in a sequence is read by id in each pull, whatever the time of the last change says."""
    cursor = read_all(source).cursor
    by_hand(peer, "UPDATE contacts SET drip_enrolled = 0")
    assert not read_all(source, cursor).records[ann.id].enrolled


def test_a_tick_by_hand_is_seen_with_the_next_sweep(peer, crm, source, ann):
    """B9: every hour everybody who is ticked is read."""
    bob = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
    peer.clock.move(minutes=10)
    cursor = read_all(source).cursor
    peer.clock.move(minutes=30)
    by_hand(peer, "UPDATE contacts SET drip_enrolled = 1")
    reading = read_all(source, cursor)
    assert bob.id not in reading.records
    peer.clock.move(minutes=31)
    assert read_all(source, reading.cursor).records[bob.id].enrolled


def test_a_row_without_a_time_is_read_each_time(peer, crm, source, ann):
    """B9: nothing is known of when it was changed."""
    bob = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
    by_hand(peer, f"UPDATE contacts SET updated_at = NULL WHERE id = {bob.id}")
    cursor = read_all(source).cursor
    peer.clock.move(minutes=20)
    by_hand(peer, "UPDATE contacts SET drip_enrolled = 1")
    assert read_all(source, cursor).records[bob.id].enrolled


def test_any_number_of_rows_may_have_one_time(peer, crm, source):
    """B10, B20: an import of more than a page under one time loses nobody."""
    cursor = read_all(source).cursor
    people = {crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example", enrolled=True).id for n in range(25)}
    by_hand(peer, "UPDATE contacts SET updated_at = '2026-11-02 09:00:30'")
    crm.short_pages(7)
    assert set(read_all(source, cursor).records) == people


def test_without_a_time_of_change_everybody_is_read(peer, crm, ann):
    """Where no column tells of changes, a tick and an untick are seen all the same, and nothing comes twice."""
    bob = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
    source = build(peer, {**WHOLE, "contact": {**WHOLE["contact"], "modified": ""}})
    cursor = read_all(source).cursor
    by_hand(peer, f"UPDATE contacts SET drip_enrolled = 1 WHERE id = {bob.id}")
    reading = read_all(source, cursor)
    assert set(reading.records) == {bob.id}
    assert read_all(source, reading.cursor).records == {}


def test_a_twin_that_opted_out_comes_after_the_first_pull(crm, source, ann):
    """B13, B22: a row that is in no sequence and opts out is heard of; who had opted out long ago was not asked for."""
    crm.add_person(RecordKind.CONTACT, email="old@acme.example", opted_out=True)
    twin = crm.add_person(RecordKind.CONTACT, email="ann@acme.example")
    first = read_all(source)
    assert set(first.records) == {ann.id}
    crm.change(twin, opted_out=True)
    assert read_all(source, first.cursor).records[twin.id].opted_out


def test_what_crmdrip_writes_is_no_news(peer, source, ann):
    """P5: its own status comes back from no pull."""
    sink = peer.sink(source)
    cursor = read_all(source).cursor
    write_all(sink, status_write(ann))
    peer.clock.move(hours=2)
    assert read_all(source, cursor).records == {}


def test_who_was_deleted_while_nobody_ran_is_told_after_the_last_look(peer, crm, source, ann):
    """B14: a new process knows nobody from before; the look misses them, and the next pull says why."""
    cursor = read_all(source).cursor
    crm.delete(ann.id)
    fresh = peer.source()
    reading = read_all(fresh, cursor)
    assert ann.id not in reading.records
    assert fresh.look([ann], NO_PATHS, reading.cursor).records == {}
    assert read_all(fresh, reading.cursor).records[ann.id].deleted


def test_a_deletion_that_was_not_saved_is_told_again(crm, source, ann):
    """B14, B20: the pull that told of it broke off, and the next begins from the older cursor."""
    cursor = read_all(source).cursor
    crm.delete(ann.id)
    assert read_all(source, cursor).records[ann.id].deleted
    assert read_all(source, cursor).records[ann.id].deleted


def test_a_row_that_is_marked_as_deleted_is_deleted(peer, crm, ann):
    """B14: by a time as well as by a box; nobody finds it any more."""
    by_hand(peer, "ALTER TABLE contacts ADD COLUMN deleted_at TEXT")
    source = build(peer, {**WHOLE, "contact": {**WHOLE["contact"], "deleted": "deleted_at"}})
    cursor = read_all(source).cursor
    by_hand(peer, "UPDATE contacts SET deleted_at = '2026-11-02 10:00:00'")
    assert read_all(source, cursor).records[ann.id].deleted
    assert source.look([ann], NO_PATHS, cursor).records == {}
    assert source.find("ann@acme.example") == source.records_of(["ann@acme.example"]) == ()


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "begins", "ends"),
    [
        *((no, False, False) for no in (None, 0, "N", "", "false", "0")),
        *((yes, True, True) for yes in (1, "Y", "true", "1")),
        ("maybe", False, True),
    ],
)
def test_an_unclear_box_sends_nothing(value, begins, ends):
    """P2: what is no plain yes enrolls nobody, and what is no plain no is an opt-out."""
    assert (is_ticked(value), is_set(value)) == (begins, ends)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-02 09:00:00",
        "2026-11-02T08:00:00Z",
        "2026-11-02T10:00:00+02:00",
        datetime(2026, 11, 2, 9, 0),  # noqa: DTZ001 - as a driver gives it
        datetime(2026, 11, 2, 8, 0, tzinfo=UTC),
        1793606400,
        1793606400000,
    ],
)
def test_a_time_may_stand_in_many_forms(value):
    """Without a zone it is read in that of the settings."""
    assert read_time(value, BERLIN) == datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


def test_a_pause_that_cannot_be_read_lasts():
    """Somebody meant to wait, and wrote what no time is."""
    assert read_time("after Easter", BERLIN) is None
    assert read_pause("after Easter", BERLIN) == datetime(9999, 12, 31, tzinfo=UTC)
    assert read_pause("", BERLIN) is None


def test_no_change_is_lost_in_the_hour_that_comes_twice():
    """B29: a row written at 2:10 on the wall, after the clock was set back, is newer than one of 2:50 before."""
    column = sql_types.DateTime()
    field = Field(column=_column(column), form=form_of(column), zone=BERLIN, yes="Y", no="N")
    since = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)  # 2:50 in summer
    bound = field.changed_since(since, datetime(2026, 10, 25, 1, 10, tzinfo=UTC)).right.value
    assert bound <= datetime.fromisoformat("2026-10-25T02:10")
    assert field.changed_since(since, since).right.value == datetime.fromisoformat("2026-10-25T02:50")


def _column(kind):
    from sqlalchemy import Column, MetaData, Table

    return Table("t", MetaData(), Column("at", kind)).c.at


def test_a_box_in_text_is_written_in_the_org_s_words(peer, crm, ann):
    """Y and N, or what [values.box] says."""
    by_hand(peer, "ALTER TABLE contacts ADD COLUMN in_sequence TEXT")
    by_hand(peer, "UPDATE contacts SET in_sequence = 'J'")
    changes = {**WHOLE, "contact": {**WHOLE["contact"], "enrolled": "in_sequence"}, "values": {"box": {"yes": "J"}}}
    source = build(peer, changes)
    assert ann.id in read_all(source).records
    write_all(peer.sink(source), status_write(ann, enrolled=False))
    rows = peer.run(lambda connection: connection.execute(text("SELECT in_sequence FROM contacts")).all())
    assert rows == [("N",)]


def test_texts_and_numbers_reach_a_template_as_they_are():
    """Empty ones are missing, others are text."""
    assert [read_merge_value(one) for one in ("", None, 0, "x", b"x")] == [None, None, 0, "x", "b'x'"]
    assert form_of(sql_types.LargeBinary()) is Form.OTHER


# --- names and hostile content ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["contacts; DROP TABLE users", 'contacts" --', "contacts WHERE 1=1"])
def test_a_name_of_the_mapping_is_never_a_part_of_a_statement(peer, ann, name):
    """B27: only what the catalogue knows is used."""
    with pytest.raises(ConfigurationError, match="there is no table"):
        build(peer, {"objects": {"contact": name}}).identity()
    assert peer.run(lambda connection: connection.execute(text("SELECT count(*) FROM users")).scalar()) == 0


def test_values_are_never_a_part_of_a_statement(peer, crm, source):
    """B27: whatever people type is found as it was typed, and does nothing."""
    name = "Robert'); DROP TABLE contacts;--"
    bob = crm.add_person(RecordKind.CONTACT, email="o'bob@acme.example", first_name=name)
    assert [one.ref for one in source.find(name)] == [bob]
    assert [one.ref for one in source.records_of(["o'bob@acme.example"])] == [bob]
    assert source.find("1 OR 1=1") == ()
    assert source.owners(["1; DROP TABLE users", "2' OR '1'='1"]) == {}


def test_a_misspelt_table_is_told_with_the_one_that_was_meant(peer):
    """All that is missing at once, and what to type."""
    with pytest.raises(ConfigurationError, match=r"drip_steps\?.*") as raised:
        build(peer, {"objects": {"step": "drip_stepz", "touch": "nowhere"}}).identity()
    assert "nowhere" in raised.value.what
    assert "crmdrip install sql" in raised.value.do_next


def test_addresses_are_found_however_they_are_typed(crm, source):
    """B13: spaces, case, and a domain in letters where ours is in ASCII."""
    refs = {
        crm.add_person(RecordKind.CONTACT, email=typed)
        for typed in (" Ann@Müller.example", "ann@xn--mller-kva.example", "ANN@xn--mller-kva.EXAMPLE ")
    }
    found = source.records_of(["ann@xn--mller-kva.example"])
    assert {one.ref for one in found} >= refs - {next(iter(refs))}
    assert {one.ref for one in found} == refs


# --- merge fields and conditions --------------------------------------------------------------------------------------


def test_merge_fields_of_account_and_owner_are_read(peer, crm, source):
    """{{ account.name }} and {{ owner.title }}; of nobody's account they are empty."""
    by_hand(peer, "INSERT INTO accounts (id, name) VALUES (7, 'Firm')")
    rita = crm.add_user("Rita Rep", "rita@acme.example", active=True)
    by_hand(peer, "UPDATE users SET title = 'AE'")
    ann = crm.add_person(RecordKind.CONTACT, email="ann@firm.example", owner=rita, account=7)
    bob = crm.add_person(RecordKind.CONTACT, email="bob@firm.example")
    paths = frozenset({"account.name", "owner.Title", "lastName"})
    looked = source.look([ann, bob], paths, None).records
    assert looked[ann.id].fields == {"account.name": "Firm", "owner.Title": "AE", "lastName": None}
    assert set(looked[bob.id].fields.values()) == {None}


def test_a_column_that_is_added_later_is_known_by_the_next_look(peer, source, ann):
    """B24: nobody has to start the daemon again."""
    paths = frozenset({"shoe_size"})
    with pytest.raises(UnknownPathsError):
        source.look([ann], paths, None)
    by_hand(peer, "ALTER TABLE contacts ADD COLUMN shoe_size INTEGER DEFAULT 42")
    assert source.look([ann], paths, None).records[ann.id].fields == {"shoe_size": 42}


def test_a_stop_condition_is_read_with_the_person(peer, crm, source, ann):
    """Its column comes along in pull and look; one that is not there is a problem of the sequence."""
    by_hand(peer, "UPDATE drip_sequences SET stop_when = 'country = France'")
    crm.change(ann, country="France")
    reading = read_all(source)
    assert reading.records[ann.id].stop_field == "France"
    assert source.look([ann], NO_PATHS, reading.cursor).records[ann.id].stop_field == "France"
    by_hand(peer, "UPDATE drip_sequences SET stop_when = 'planet = Mars'")
    (draft,) = read_all(source, reading.cursor).sequences.values()
    assert "column planet, which contacts does not have" in draft.problems[0]
    assert source.look([ann], NO_PATHS, None, [draft.id]).problems == {draft.id: draft.problems[0]}


# --- signals ----------------------------------------------------------------------------------------------------------


def test_an_email_is_read_as_any_other_that_comes_in(crm, source, ann):
    """B8, B22: an absence pauses, a wish to be left alone is an unsubscribe, the rest is an answer."""
    cursor = read_all(source).cursor
    crm.receive(ann, "Automatic reply: Hello", "I am out of office until 16 November 2026.", headers="X-A: b\n c")
    crm.receive(ann, "Re: Hello", "Please remove me from your list.")
    crm.receive(ann, "Re: Hello", "Call me tomorrow.")
    kinds = [(one.kind, one.until) for one in read_all(source, cursor).signals]
    assert kinds[0][0] is SignalKind.OUT_OF_OFFICE
    assert kinds[0][1] is not None
    assert [kind for kind, _ in kinds[1:]] == [SignalKind.UNSUBSCRIBE, SignalKind.REPLY, SignalKind.REPLY]


def test_the_mail_s_own_headers_tell_a_machine(crm, source, ann):
    """B8: as in a mailbox."""
    cursor = read_all(source).cursor
    crm.receive(ann, "Hello", "<p>Thanks, we got it.</p>", headers="Auto-Submitted: auto-replied\r\nSubject: other")
    assert [one.kind for one in read_all(source, cursor).signals] == [SignalKind.AUTO_REPLY]


def test_a_meeting_that_is_called_off_stops_nobody(peer, crm, source, ann):
    """Neither does one of nobody."""
    cursor = read_all(source).cursor
    crm.book_meeting(ann, "Demo")
    by_hand(peer, "UPDATE meetings SET cancelled = 1")
    by_hand(peer, "INSERT INTO meetings (subject, created_at) VALUES ('Alone', '2026-11-02 09:00:20')")
    assert read_all(source, cursor).signals == []


# --- which database it is ---------------------------------------------------------------------------------------------


def test_a_database_without_a_name_is_refused(peer, source):
    """B25: and so is one with two."""
    by_hand(peer, "INSERT INTO drip_control (org_id) VALUES ('other')")
    with pytest.raises(ConfigurationError, match="more than one row"):
        source.identity()
    by_hand(peer, "DELETE FROM drip_control")
    with pytest.raises(ConfigurationError, match="which database this is") as raised:
        source.identity()
    assert "crmdrip install sql" in raised.value.do_next


def test_another_database_is_refused_everywhere(peer, source, ann):
    """B25: nothing is read from it and nothing is written to it."""
    other = peer.source(database_id="production")
    for ask in (other.identity, lambda: read_all(other), lambda: other.look([], NO_PATHS, None)):
        with pytest.raises(ConfigurationError, match="production is the one that may be mailed from"):
            ask()
    with pytest.raises(ConfigurationError):
        write_all(peer.sink(other), status_write(ann))
    assert source.identity().org_id


def test_the_first_heartbeat_says_where_the_database_is_at_home(peer, tmp_path, source):
    """B25: a copy of the file is refused until somebody has named it."""
    beat = ControlWrite(key="c", heartbeat=AT, claim="a", calls_used=1, calls_limit=None, state="Running.")
    source.look([], NO_PATHS, None, (), beat)
    copy = tmp_path / "copy.sqlite3"
    copy.write_bytes(peer.file.read_bytes())
    source = SqlSource(Database(peer.settings(file=str(copy)), load_mapping(WHOLE), SteppedClock()))
    with pytest.raises(ConfigurationError, match="a copy, or it was moved") as raised:
        source.identity()
    assert "home to NULL" in raised.value.do_next


def test_a_ledger_of_another_database_is_told(source, ann):
    """B25: its cursor says whose it is; one that is none is told as well."""
    with pytest.raises(ConfigurationError, match="belongs to the database other"):
        read_all(source, Cursor(org_id="other").dump())
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_all(source, "{}")


def test_a_server_that_hides_its_identifier_is_known_by_its_address():
    """B25: some providers take the right away; the rest of a look goes on in the same transaction."""
    with PostgresqlPeer(shared_postgresql()) as peer:
        assert "#" in _home(peer)
        by_hand(peer, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        try:
            assert _home(peer) == f"postgresql://127.0.0.1:{peer.server.wire.port}/crm"
        finally:
            by_hand(peer, "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


def _home(peer) -> str:
    source = peer.source()
    with source.database.read(Purpose.LOOK) as transaction:
        home = source.control.home(transaction)
        source.control.read(transaction, source.database.schema(Purpose.LOOK))
        return home


# --- how much is asked ------------------------------------------------------------------------------------------------


def test_an_idle_pull_takes_a_handful_of_statements(crm, source, ann):
    """P5: with every table there may be."""
    cursor = read_all(source).cursor
    before = source.budget().calls_made
    read_all(source, cursor)
    assert source.budget().calls_made - before <= 9


def test_a_look_takes_the_same_for_one_and_for_many(crm, source, ann):
    """P5: people are read by hundreds."""
    many = [crm.add_person(RecordKind.CONTACT, email=f"p{n}@acme.example") for n in range(90)]
    cursor = read_all(source).cursor
    counts = []
    for refs in ([ann], [ann, *many]):
        before = source.budget().calls_made
        source.look(refs, NO_PATHS, cursor)
        counts.append(source.budget().calls_made - before)
    assert counts[0] == counts[1]


def test_a_daily_cap_is_kept_across_a_restart(peer, source, ann):
    """P5: the admin's limit on statements; what was counted before comes with the cursor."""
    cursor = read_all(source).cursor
    used = source.budget().calls_made
    capped = peer.source(daily_cap=used + 1, reserve=0)
    with pytest.raises(RateLimitedError, match="daily cap"):
        read_all(capped, cursor)
    peer.clock.move(days=2)
    assert read_all(peer.source(daily_cap=1_000), cursor).cursor


def test_no_transaction_stays_open_while_the_daemon_works_on_a_page(peer, crm, source):
    """Others can write between two pages."""
    for number in range(12):
        crm.add_person(RecordKind.CONTACT, email=f"p{number}@acme.example", enrolled=True)
    crm.short_pages(5)
    seen = 0
    for page in source.pull(None):
        seen += len(page.records)
        by_hand(peer, "UPDATE users SET title = 'x'")
    assert seen == 12
