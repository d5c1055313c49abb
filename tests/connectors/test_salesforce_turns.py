"""An idle pull of Salesforce is one call, and what waits for its turn is not lost: neither in pulls nor in looks."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from salesforce_driver import SalesforceDriver
from salesforce_peer import MAPPING, SalesforcePeer

from connectors.salesforce.source import SalesforceSource
from connectors.salesforce.turns import take_turns
from crmdrip.core.errors import RetriableError
from crmdrip.core.mapping import parse_mapping
from crmdrip.core.model import RecordKind, SignalKind
from crmdrip.testing.crm import CrmTrouble, read_all, status_write, task_write, write_all

NO_PATHS: frozenset[str] = frozenset()
TASK = "f" * 32


@pytest.fixture
def peer():
    with SalesforcePeer() as peer:
        yield peer


@pytest.fixture
def crm(peer):
    crm = SalesforceDriver(peer)
    crm.set_brake(pulled=False)
    return crm


@pytest.fixture
def source(peer):
    return peer.source()


@pytest.fixture
def sequence(crm):
    return crm.add_sequence("Intro", ["Hello"])


@pytest.fixture
def person(peer, crm, source, sequence):
    """Somebody in the sequence, with a task for the rep on the timeline."""
    person = crm.add_person(RecordKind.CONTACT, email="ann@acme.example", enrolled=True, sequence=sequence)
    write_all(peer.sink(source), status_write(person), task_write(person, TASK, open=True))
    return person


class Puller:
    """Pulls once a minute, each time from the cursor before, and knows what every pull cost."""

    def __init__(self, peer, source):
        self.peer, self.source = peer, source
        self.overlap = source.org.client.settings.overlap_minutes
        self.cursor = None
        self.calls = 0

    def pull(self):
        """To the end, from where the last one came to."""
        self.peer.clock.move(minutes=1)
        before = self.peer.calls()
        reading = read_all(self.source, self.cursor)
        self.calls = self.peer.calls() - before
        self.cursor = reading.cursor
        return reading

    def restart(self):
        """A process that knows nothing but the cursor."""
        self.source = self.peer.source(overlap_minutes=self.overlap)


@pytest.fixture
def puller(peer, source, person):
    """In steady work: the first pulls are over."""
    puller = Puller(peer, source)
    for _ in range(2):
        puller.pull()
    return puller


def _log_reply(peer, person, subject):
    mail = {"FromAddress": "ann@acme.example", "Subject": subject, "Incoming": True, "Status": "0"}
    message = peer.do("insert", "EmailMessage", mail)
    relation = {"EmailMessageId": message, "RelationId": person.id, "RelationType": "FromAddress"}
    peer.do("insert", "EmailMessageRelation", relation)


HAPPENINGS = {
    SignalKind.REPLY: lambda crm, person: _log_reply(crm.peer, person, "Re: Hello"),
    SignalKind.MEETING: lambda crm, person: crm.book_meeting(person, "Demo"),
    SignalKind.OPPORTUNITY: lambda crm, person: crm.open_opportunity(person, "Big deal"),
    SignalKind.TASK_DONE: lambda crm, person: crm.finish_task(TASK),
}


# --- calls ----------------------------------------------------------------------------------------------------------


def test_an_idle_pull_is_one_call(puller) -> None:
    """P5: hour after hour, as long as nothing changes; all sequences are read again in between."""
    calls = []
    for _ in range(150):
        puller.pull()
        calls.append(puller.calls)
    assert calls == [1] * 150


def test_a_start_is_three_calls(puller, person) -> None:
    """P5: the org once, then everything there is to read; the next pull is a single call again."""
    puller.restart()
    puller.pull()
    assert puller.calls == 3
    puller.pull()
    assert puller.calls == 1


def test_a_pull_after_a_pause_reads_everything(puller, crm, person) -> None:
    """What happened while the CRM was away or the machine asleep waits for no turn."""
    for happen in HAPPENINGS.values():
        happen(crm, person)
    puller.peer.clock.move(minutes=30)
    assert {signal.kind for signal in puller.pull().signals} == set(HAPPENINGS)
    assert puller.calls == 2


def test_pulls_far_apart_read_everything(puller, crm, person) -> None:
    """Whoever pulls every ten minutes waits ten minutes for a change and not twenty."""
    for number in range(3):
        puller.peer.clock.move(minutes=10)
        crm.book_meeting(person, f"Demo {number}")
        crm.change_step(crm.step_ids(crm.add_sequence(f"S{number}", ["Hi"]))[0], subject="Changed")
        reading = puller.pull()
        assert [signal.detail for signal in reading.signals] == [f"Demo {number}"]
        assert len(reading.sequences) == 1


def test_people_come_with_every_pull(puller, crm, person) -> None:
    """An untick, an opt-out and a new address are known within one pull, and cost no second call."""
    for words in ({"enrolled": False}, {"opted_out": True}, {"email": "new@acme.example"}):
        crm.change(person, **words)
        record = puller.pull().records[person.id]
        assert {word: getattr(record, word) for word in words} == words
        assert puller.calls == 1


@pytest.mark.parametrize("missing", ["lead", "event", "email_message", "opportunity_role"])
def test_an_org_that_lacks_something_is_read_in_one_call_too(peer, crm, person, missing) -> None:
    """P5: the places that are left over go to the others."""
    document = tomllib.loads(MAPPING.read_text())
    document["objects"][missing] = ""
    puller = Puller(peer, SalesforceSource(peer.client(), parse_mapping("own.toml", document)))
    calls = [puller.pull() and puller.calls for _ in range(8)]
    assert calls[2:] == [1] * 6


def test_without_a_control_record_nothing_waits_longer(peer, crm, source, person) -> None:
    """The search for the record takes a place of its own; every stream is read at least in every second pull."""
    (row,) = peer.do("select", "SELECT Id FROM Drip_Control__c")
    peer.do("delete", row["Id"])
    puller = Puller(peer, source)
    puller.pull()
    for number in range(6):
        crm.book_meeting(person, f"Demo {number}")
        found = [signal.detail for _ in range(2) for signal in puller.pull().signals]
        assert found == [f"Demo {number}"]


# --- nothing is lost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("kind", list(HAPPENINGS))
def test_what_happens_comes_within_two_pulls_and_once(puller, crm, person, kind, turn) -> None:
    """P2: whichever stream has its turn first."""
    for _ in range(turn):
        puller.pull()
    HAPPENINGS[kind](crm, person)
    readings = [puller.pull() for _ in range(2)]
    assert [signal.kind for reading in readings for signal in reading.signals] == [kind]
    assert [signal for _ in range(12) for signal in puller.pull().signals] == []


@pytest.mark.parametrize("turn", [0, 1])
def test_an_edit_of_a_step_comes_within_two_pulls(puller, crm, sequence, turn) -> None:
    """B17: and it brings its sequence whole, in no further call."""
    for _ in range(turn):
        puller.pull()
    crm.change_step(crm.step_ids(sequence)[0], subject="Changed")
    readings = [(puller.pull(), puller.calls) for _ in range(2)]
    ((draft, calls),) = [(found, calls) for one, calls in readings if (found := one.sequences.get(sequence))]
    assert [step.fields["subject"] for step in draft.steps] == ["Changed"]
    assert calls == 1


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("waited", [0, 1])
def test_a_restart_loses_nothing_that_waited_for_its_turn(puller, crm, person, turn, waited) -> None:
    """P2, B20: the cursor says of every stream how far it was read."""
    for _ in range(turn):
        puller.pull()
    for happen in HAPPENINGS.values():
        happen(crm, person)
    heard = {signal.kind for _ in range(waited) for signal in puller.pull().signals}
    assert heard < set(HAPPENINGS)
    puller.peer.clock.move(hours=3)
    puller.restart()
    assert heard | {signal.kind for signal in puller.pull().signals} == set(HAPPENINGS)


@pytest.mark.parametrize("turn", [0, 1])
def test_a_row_committed_late_is_seen_by_a_stream_that_waited(puller, peer, person, turn) -> None:
    """The overlap counts from when the stream itself was read, not from the pull before."""
    for _ in range(turn):
        puller.pull()
    start = peer.clock.now() + timedelta(days=1)
    event = {"WhoId": person.id, "Subject": "Late", "StartDateTime": start, "DurationInMinutes": 30}
    event["IsChild"] = event["IsPrivate"] = False
    peer.do("seed", "Event", [event], at=peer.clock.now() - timedelta(minutes=9, seconds=50))
    assert [signal.detail for _ in range(2) for signal in puller.pull().signals] == ["Late"]


@pytest.mark.parametrize("turn", [0, 1])
def test_whoever_is_ticked_comes_with_the_sequence_as_it_is(puller, crm, turn) -> None:
    """B9, B17: a sequence is made or mended and the box ticked within the same minute: nobody is refused for it."""
    for _ in range(turn):
        puller.pull()
    new = crm.add_sequence("New", ["Hi"])
    bob = crm.add_person(RecordKind.LEAD, email="bob@acme.example", enrolled=True, sequence=new)
    reading = puller.pull()
    assert reading.records[bob.id].enrolled
    assert set(reading.sequences) == {new}


@pytest.mark.parametrize("turn", [0, 1])
def test_a_ticked_one_on_a_further_page_comes_with_the_sequence_too(puller, crm, sequence, person, turn) -> None:
    """B9: what the first page shows is not all that was changed."""
    for _ in range(turn):
        puller.pull()
    crm.change(person, enrolled=False)
    new = crm.add_sequence("New", ["Hi"])
    crm.add_person(RecordKind.CONTACT, email="bob@acme.example", enrolled=True, sequence=new)
    crm.short_pages(1)
    page = next(iter(puller.source.pull(puller.cursor)))
    assert [record.enrolled for record in page.records] == [False]
    assert new in {draft.id for draft in page.sequences}


CHANGES = st.sampled_from(["reply", "meeting", "deal", "task", "edit", "untick", "tick", "new"])
TURNS = st.sampled_from(["pull", "restart", "unsaved", "down"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.lists(CHANGES, max_size=2), TURNS), min_size=4, max_size=25), st.sampled_from([0, 10]))
def test_whatever_happens_is_seen_within_two_pulls(story, overlap_minutes) -> None:
    """P2, B17, B20: over restarts, pulls whose cursor was not saved, and a CRM that is down now and then."""
    with SalesforcePeer() as peer:
        world = World(peer, overlap_minutes)
        for changes, turn in story:
            for change in changes:
                world.change(change)
            world.turn(turn)
        world.turn("pull")
        world.turn("pull")
        assert world.unseen == {}


class World:
    """An org in which things happen, and whoever pulls it and checks what comes."""

    def __init__(self, peer, overlap_minutes):
        self.peer = peer
        self.crm = SalesforceDriver(peer)
        self.crm.set_brake(pulled=False)
        self.numbers = count(1)
        self.truth = {}
        """The subject of the one step of every sequence."""
        self.known = {}
        """The same, as pulled."""
        self.unseen = {}
        """What happened, with the number of pulls since."""
        self.sequence = self.add_sequence()
        self.person = self.add_person()
        self.puller = Puller(peer, peer.source(overlap_minutes=overlap_minutes))
        self.pull()

    def add_sequence(self):
        """A live one."""
        subject = f"Subject {next(self.numbers)}"
        sequence = self.crm.add_sequence("S", [subject])
        self.truth[sequence] = subject
        return sequence

    def add_person(self):
        """Somebody in the newest sequence."""
        words = {"enrolled": True, "sequence": self.sequence, "status": "Active"}
        return self.crm.add_person(RecordKind.CONTACT, email=f"p{next(self.numbers)}@acme.example", **words)

    def change(self, change):
        """Something happens."""
        name = f"{change} {next(self.numbers)}"
        match change:
            case "reply":
                _log_reply(self.peer, self.person, name)
            case "meeting":
                self.crm.book_meeting(self.person, name)
            case "deal":
                self.crm.open_opportunity(self.person, name)
            case "task":
                name = f"{next(self.numbers):032x}"
                write_all(self.peer.sink(self.puller.source), task_write(self.person, name, open=True))
                self.crm.finish_task(name)
            case "edit":
                (step,) = self.crm.step_ids(self.sequence)
                self.crm.change_step(step, subject=name)
                self.truth[self.sequence] = name
                name = f"sequence {self.sequence}"
            case "untick":
                self.crm.change(self.person, enrolled=False)
                name = f"record {self.person.id}"
            case "tick":
                self.crm.change(self.person, enrolled=True)
                name = f"record {self.person.id}"
            case "new":
                self.sequence = self.add_sequence()
                self.person = self.add_person()
                self.unseen[f"record {self.person.id}"] = 0
                name = f"sequence {self.sequence}"
        self.unseen[name] = 0

    def turn(self, turn):
        """A minute later."""
        match turn:
            case "restart":
                self.puller.restart()
                self.pull()
            case "unsaved":
                before = self.puller.cursor
                self.puller.pull()
                self.puller.cursor = before
                self.pull()
            case "down":
                self.crm.trouble(CrmTrouble.DOWN)
                with pytest.raises(RetriableError):
                    self.puller.pull()
                self.crm.recover()
            case _:
                self.pull()

    def pull(self):
        """Pull, and check what came against what happened."""
        reading = self.puller.pull()
        for draft in reading.sequences.values():
            (step,) = draft.steps
            self.known[draft.id] = step.fields["subject"]
        for record in reading.records.values():
            if record.enrolled:
                assert self.known[record.sequence_id] == self.truth[record.sequence_id]
        seen = {signal.touch_id or signal.detail for signal in reading.signals}
        seen |= {f"sequence {one}" for one in self.truth if self.known.get(one) == self.truth[one]}
        seen |= {f"record {one}" for one in reading.records}
        self.unseen = {name: pulls + 1 for name, pulls in self.unseen.items() if name not in seen}
        assert [name for name, pulls in self.unseen.items() if pulls >= 2 or name.startswith("record")] == []


# --- turns, pure ----------------------------------------------------------------------------------------------------

STREAMS = {"replies": 1, "meetings": 1, "opportunities": 1, "finished_tasks": 1, "definitions": 2}


@pytest.mark.parametrize(
    ("due", "places", "expected"),
    [
        (set(), 3, {"replies", "meetings", "opportunities"}),
        ({"definitions", "finished_tasks"}, 3, {"definitions", "finished_tasks"}),
        ({"definitions"}, 3, {"definitions", "replies"}),
        ({"opportunities"}, 3, {"opportunities", "replies", "meetings"}),
        (set(), 4, {"replies", "meetings", "opportunities", "finished_tasks"}),
        (set(), 2, {"replies", "meetings"}),
        ({"definitions", "opportunities"}, 2, set(STREAMS)),
        (set(STREAMS), 3, set(STREAMS)),
        (set(STREAMS), 6, set(STREAMS)),
    ],
)
def test_turns_are_a_table(due, places, expected) -> None:
    """Whoever is due, then the urgent ones while there is a place; a second call takes everybody along."""
    assert take_turns(STREAMS, due=due, places=places) == expected


@given(st.sets(st.sampled_from(sorted(STREAMS))), st.integers(2, 4))
def test_every_stream_is_read_in_every_second_pull(present, places) -> None:
    """Whatever an org has; and with the usual three places an idle pull never needs a second call."""
    queries = {name: number for name, number in STREAMS.items() if name in present}
    due: frozenset[str] = frozenset()
    for _ in range(6):
        read = take_turns(queries, due=due, places=places)
        assert due <= read
        assert places < 3 or sum(queries[name] for name in read) <= places
        due = frozenset(queries) - read


# --- the last look --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("kind", [SignalKind.REPLY, SignalKind.MEETING, SignalKind.OPPORTUNITY])
def test_a_look_hears_what_waits_for_its_turn(puller, crm, person, kind, turn) -> None:
    """P2: pulled or not yet, what happened is known right before the send."""
    for _ in range(turn):
        puller.pull()
    HAPPENINGS[kind](crm, person)
    pulled = {signal.kind for signal in puller.pull().signals}
    looked = {signal.kind for signal in puller.source.look([person], NO_PATHS, puller.cursor).signals}
    assert pulled | looked == {kind}


def test_a_look_shows_a_sequence_paused_a_moment_ago(peer, crm, source, person, sequence) -> None:
    """What the next pull or the one after will tell is known before the email goes out, at no further cost."""
    other, gone = crm.add_sequence("Other", ["Hi"]), crm.add_sequence("Gone", ["Hi"])
    lead = crm.add_person(RecordKind.LEAD, email="lee@acme.example", enrolled=True, sequence=other)
    cursor = read_all(source).cursor
    peer.do("update", sequence, {"Drip_Status__c": "Paused"})
    crm.delete(gone)
    before = peer.calls()
    look = source.look([person, lead], NO_PATHS, cursor, [sequence, other, gone])
    assert look.statuses == {sequence: "Paused", other: "Live", gone: None}
    assert peer.calls() - before == 1


@pytest.mark.parametrize(("number", "calls"), [(15, 1), (16, 2), (40, 2)])
def test_many_sequences_take_one_further_call_at_most(peer, crm, source, number, calls) -> None:
    """P5: fifteen fit beside everything else; any more come as one collection."""
    rows = [{"Name": f"S{n}", "Drip_Status__c": "Live"} for n in range(number - 1)]
    sequences = peer.do("seed", "Drip_Sequence__c", rows)
    gone = crm.add_sequence("Gone", ["Hi"])
    refs = [crm.add_person(kind, email="lee@acme.example") for kind in RecordKind]
    cursor = read_all(source).cursor
    crm.delete(gone)
    before = peer.calls()
    look = source.look(refs, NO_PATHS, cursor, [*sequences, gone])
    assert look.statuses == {**dict.fromkeys(sequences, "Live"), gone: None}
    assert peer.calls() - before == calls


def test_a_status_has_our_words(peer, crm, sequence) -> None:
    """In an org whose Draft is what we call Paused, the mapping says so."""
    document = tomllib.loads(MAPPING.read_text())
    document["values"]["status"] = {"Paused": "Draft"}
    source = SalesforceSource(peer.client(), parse_mapping("own.toml", document))
    peer.do("update", sequence, {"Drip_Status__c": "Draft"})
    assert source.look([], NO_PATHS, None, [sequence]).statuses == {sequence: "Paused"}
