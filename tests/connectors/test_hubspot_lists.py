"""Everybody on a list: joining it is a ticked box, leaving it an unticked one, by the contract of the box (B9)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hubspot_driver import HubSpotDriver, HubSpotObjectsDriver
from hubspot_peer import HubSpotPeer

from connectors.hubspot.lists import read_lists, read_marks
from crmdrip.core.definition import validate
from crmdrip.core.errors import RetriableError
from crmdrip.core.model import RecordKind, SequenceDraft
from crmdrip.ports import FollowsLists
from crmdrip.sandbox.hubspot.auth import SCOPES
from crmdrip.sandbox.hubspot.lists import Processing
from crmdrip.sandbox.hubspot.lists_api import ListsApi
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.trouble import TROUBLES
from crmdrip.testing.crm import NO_PATHS, read_all, status_write, write_all


@pytest.fixture
def peer(tmp_path):
    """A fresh portal."""
    with HubSpotPeer(tmp_path / "sequences") as peer:
        yield peer


@pytest.fixture
def crm(peer):
    """Whoever works in it."""
    return HubSpotDriver(peer)


@pytest.fixture
def source(peer):
    """The source under test."""
    return peer.source()


@pytest.fixture
def fair(peer):
    """A list that people are put on by hand, and the sequence that names it."""
    made = peer.do("create_list", "Met at the fair")
    name_list(peer, made.id)
    return made


@pytest.fixture
def ann(crm):
    """A contact in no sequence."""
    return crm.add_person(RecordKind.CONTACT, email="ann@acme.example")


def name_list(peer: HubSpotPeer, list_id: str, *, sequence: str = "intro", status: str = "Live") -> None:
    """A sequence for everybody on the list."""
    text = f'name = "Intro"\nstatus = "{status}"\nlist = {list_id}\n\n[[step]]\nid = "a"\norder = 1\nkind = "Email"\n'
    (peer.folder / f"{sequence}.toml").write_text(f'{text}delay = 0\nsubject = "Hi"\nbody = "Hello."\n')


def shown(crm: HubSpotDriver, ref) -> tuple:
    """The box, the sequence, and the lists that ticked it."""
    return (crm.read(ref, "enrolled"), crm.read(ref, "sequence"), crm.read(ref, "lists"))


class TestJoining:
    """Whoever comes on the list."""

    def test_the_source_follows_lists(self, source):
        """The daemon asks it to."""
        assert isinstance(source, FollowsLists)

    def test_whoever_joins_is_ticked(self, peer, crm, source, fair, ann):
        """B9: in the sequence that names the list, and the contact says by which list."""
        peer.do("join_list", fair, ann.id)
        source.follow_lists()
        assert shown(crm, ann) == (True, "intro", fair.id)

    def test_the_very_next_pull_brings_whoever_was_ticked(self, peer, source, fair, ann):
        """B9: the record is answered within one pull, though searches show it some seconds later."""
        cursor = read_all(source).cursor
        peer.do("join_list", fair, ann.id)
        source.follow_lists()
        assert read_all(source, cursor).records[ann.id].enrolled

    def test_a_sequence_that_names_a_list_is_valid(self, peer, source, fair):
        """Its number may be written with or without quotes."""
        source.follow_lists()
        assert not isinstance(validate(read_all(source).sequences["intro"]), tuple)

    def test_a_dynamic_list_is_followed_as_well(self, peer, crm, source, ann):
        """HubSpot keeps it; nobody puts anybody on it."""
        german = lambda values: values.get("country") == "Germany"  # noqa: E731 - a condition is a function
        made = peer.do("create_list", "Germans", processing=Processing.DYNAMIC, condition=german)
        name_list(peer, made.id)
        source.follow_lists()
        assert shown(crm, ann)[0] is False
        crm.change(ann, country="Germany")
        source.follow_lists()
        assert shown(crm, ann) == (True, "intro", made.id)

    def test_whoever_is_ticked_already_stays_as_they_are(self, peer, crm, source, fair, ann):
        """B9: on while on is nothing, also where it is another sequence."""
        crm.change(ann, enrolled=True, sequence="other")
        peer.do("join_list", fair, ann.id)
        source.follow_lists()
        assert shown(crm, ann) == (True, "other", fair.id)

    def test_whoever_was_stopped_is_not_ticked_again(self, peer, crm, source, fair, ann):
        """B9: the daemon unticks on stop, and the person is on the list as before; that is no new wish."""
        peer.do("join_list", fair, ann.id)
        source.follow_lists()
        write_all(peer.sink(source), status_write(ann, status="Stopped", enrolled=False))
        peer.clock.move(hours=2)
        for each in (source, peer.source()):
            each.follow_lists()
            assert shown(crm, ann) == (False, "intro", fair.id)

    def test_whoever_leaves_and_joins_again_is_ticked_again(self, peer, crm, source, fair, ann):
        """B9: off and then on is a new run, where the sequence allows one."""
        for happens in ("join_list", "leave_list", "join_list"):
            peer.do(happens, fair, ann.id)
            source.follow_lists()
        assert shown(crm, ann) == (True, "intro", fair.id)

    def test_three_hundred_are_ticked_in_batches(self, peer, crm, source, fair):
        """B10, P5: a page of 250 members, and a hundred contacts a call."""

        def fill() -> list[str]:
            ids = [peer.portal.create("contacts", {"email": f"p{n}@acme.example"}) for n in range(300)]
            peer.portal.lists.change(fair, ids, [], peer.portal.now_ms())
            return ids

        ids = peer.thread.call(fill)
        peer.clock.move(seconds=10)
        before = peer.calls()
        source.follow_lists()
        assert {peer.one("contacts", one)["crmdrip_enrolled"] for one in ids} == {"true"}
        assert peer.calls() - before == 11  # who answers, the list, its 2 pages, who is marked, 3 readings, 3 writings

    def test_nothing_new_costs_one_call(self, peer, source, fair, ann):
        """P5: HubSpot tells the list's size and when somebody last came or went."""
        peer.do("join_list", fair, ann.id)
        source.follow_lists()
        before = peer.calls()
        source.follow_lists()
        assert peer.calls() - before == 1

    def test_several_lists_share_one_reading_of_who_was_ticked(self, peer, crm, fair, ann):
        """P5: after a start, and once in an hour."""
        other = peer.do("create_list", "Webinar")
        name_list(peer, other.id, sequence="other")
        bob = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
        peer.do("join_list", fair, ann.id)
        peer.do("join_list", other, bob.id)
        source, searches = peer.source(), peer.portal.calls_by_kind["search"]
        source.follow_lists()
        assert (shown(crm, ann)[1], shown(crm, bob)[1]) == ("intro", "other")
        assert peer.portal.calls_by_kind["search"] - searches == 1

    def test_without_lists_nothing_is_asked(self, peer, crm, source):
        """P5: most have none."""
        crm.add_sequence("Intro", ["Hello"])
        source.identity()
        before = peer.calls()
        source.follow_lists()
        assert peer.calls() - before == 1  # who answers

    def test_an_answer_that_was_lost_ticks_nobody_twice(self, peer, crm, source, fair, ann):
        """B9, B21: it was written; a stop in between is not undone by the repeat."""
        peer.do("join_list", fair, ann.id)
        peer.portal.faults.add(replace(TROUBLES["cut_after_commit"], path="/batch/update"))
        with pytest.raises(RetriableError):
            source.follow_lists()
        crm.change(ann, enrolled=False)
        source.follow_lists()
        assert shown(crm, ann) == (False, "intro", fair.id)

    def test_one_who_cannot_be_written_keeps_nobody_else_out(self, peer, crm, source, fair, ann):
        """B21: a rule of the portal refuses one; the others are ticked, and that one is tried again."""
        bob = crm.add_person(RecordKind.CONTACT, email="bob@acme.example")
        crm.refuse_changes_of(bob, "Hands off Bob")
        for one in (bob, ann):
            peer.do("join_list", fair, one.id)
        source.follow_lists()
        assert (shown(crm, ann)[0], shown(crm, bob)[0]) == (True, False)
        peer.thread.call(peer.portal.records.rules.clear)
        peer.clock.move(hours=2)
        source.follow_lists()
        assert shown(crm, bob)[0] is True

    def test_a_draft_takes_nobody(self, peer, crm, source, ann):
        """Whoever writes it may have named the wrong list."""
        made = peer.do("create_list", "Met at the fair")
        name_list(peer, made.id, status="Draft")
        peer.do("join_list", made, ann.id)
        source.follow_lists()
        assert shown(crm, ann)[0] is False


def test_a_sequence_that_is_a_custom_object_names_its_list_as_well(tmp_path):
    """RevOps types the number into its property List."""
    with HubSpotPeer(tmp_path / "unused", objects=True) as peer:
        crm, source = HubSpotObjectsDriver(peer), peer.source()
        fair, ann = peer.do("create_list", "Fair"), crm.add_person(RecordKind.CONTACT, email="ann@acme.example")
        sequence = crm.add_sequence("Intro", ["Hello"])
        peer.do("update", "crmdrip_sequence", sequence, {"list": fair.id})
        peer.do("join_list", fair, ann.id)
        source.follow_lists()
        assert shown(crm, ann) == (True, sequence, fair.id)


class TestLeaving:
    """Whoever goes off the list."""

    @pytest.fixture(autouse=True)
    def joined(self, peer, source, fair, ann):
        """Ann is on it."""
        peer.do("join_list", fair, ann.id)
        source.follow_lists()
        peer.clock.move(seconds=10)

    def test_whoever_leaves_is_unticked(self, peer, crm, source, fair, ann):
        """B9: off is a stop."""
        peer.do("leave_list", fair, ann.id)
        source.follow_lists()
        assert shown(crm, ann) == (False, "intro", None)

    def test_a_new_process_unticks_whoever_left_meanwhile(self, peer, crm, fair, ann):
        """P6: which list ticked whom stands in HubSpot and not in a memory."""
        peer.do("leave_list", fair, ann.id)
        peer.source().follow_lists()
        assert shown(crm, ann) == (False, "intro", None)

    def test_whoever_moved_to_another_sequence_stays_in_it(self, peer, crm, source, fair, ann):
        """The list has nothing to say there."""
        crm.change(ann, sequence="other")
        peer.do("leave_list", fair, ann.id)
        source.follow_lists()
        assert shown(crm, ann) == (True, "other", None)

    def test_the_last_look_sees_it_before_the_box_is_unticked(self, peer, source, fair, ann):
        """P2: nobody is mailed in the minute between."""
        cursor = read_all(source).cursor
        assert source.look([ann], NO_PATHS, cursor).records[ann.id].enrolled
        peer.do("leave_list", fair, ann.id)
        assert not source.look([ann], NO_PATHS, cursor).records[ann.id].enrolled

    def test_the_first_look_of_a_process_sees_it_too(self, peer, fair, ann):
        """P2: it may come before the first pull."""
        peer.do("leave_list", fair, ann.id)
        assert not peer.source().look([ann], NO_PATHS, None).records[ann.id].enrolled

    def test_the_last_look_takes_one_call_more_for_a_hundred(self, peer, source, ann):
        """P5: and only where somebody was ticked by a list."""
        cursor = read_all(source).cursor
        source.look([ann], NO_PATHS, cursor)
        before = dict(peer.portal.calls_by_kind)
        source.look([ann], NO_PATHS, cursor)
        assert peer.portal.calls_by_kind["lists"] - before["lists"] == 1

    def test_a_merge_leaves_no_list(self, peer, crm, source, fair, ann):
        """B12: the third contact is on it in Ann's place."""
        twin = crm.add_person(RecordKind.CONTACT, email="lee@acme.example")
        survivor = crm.merge(ann, twin)
        source.follow_lists()
        assert shown(crm, survivor) == (True, "intro", fair.id)

    def test_a_list_that_was_deleted_unticks_nobody(self, peer, crm, source, fair, ann):
        """Its sequence says what is wrong: a list that is not there is not an empty one."""
        peer.thread.call(lambda: setattr(fair, "deleted", 1))
        source.follow_lists()
        assert shown(crm, ann)[0] is True
        assert f"List {fair.id} is not there" in " ".join(read_all(source).sequences["intro"].problems)
        assert source.look([ann], NO_PATHS, None).records[ann.id].enrolled

    def test_a_list_that_was_deleted_just_now_stops_nobody(self, peer, source, fair, ann):
        """The last look comes before the turn that would find it gone."""
        peer.thread.call(lambda: setattr(fair, "deleted", 1))
        assert source.look([ann], NO_PATHS, None).records[ann.id].enrolled

    def test_a_list_that_is_being_filled_unticks_nobody(self, peer, crm, fair, ann, monkeypatch):
        """Its condition was just edited: HubSpot empties and fills it again."""
        source = peer.source()
        peer.do("leave_list", fair, ann.id)
        show = ListsApi._show
        monkeypatch.setattr(ListsApi, "_show", lambda *args: {**show(*args), "processingStatus": "PROCESSING"})
        source.follow_lists()
        assert shown(crm, ann)[0] is True

    def test_without_the_scope_the_sequence_says_so(self, peer, crm, source, ann):
        """Nobody is unticked for want of a permission."""
        peer.thread.call(lambda: peer.portal.tokens.issue(DEFAULT_TOKEN, SCOPES - {"crm.lists.read"}))
        source.follow_lists()
        assert shown(crm, ann)[0] is True
        assert "crm.lists.read" in " ".join(read_all(source).sequences["intro"].problems)


class TestReading:
    """Which lists are followed."""

    def draft(self, one: str, list_id: object, status: str = "Live") -> SequenceDraft:
        """A sequence with a list."""
        return SequenceDraft(id=one, fields={"list": list_id, "status": status}, steps=())

    def read(self, *drafts: SequenceDraft):
        """What is wanted, and what is wrong."""
        return read_lists({draft.id: draft for draft in drafts})

    def test_a_list_belongs_to_one_sequence(self):
        """Whoever joins it cannot be in two."""
        wanted, problems = self.read(self.draft("a", 7), self.draft("b", "7"))
        assert (wanted, list(problems)) == ({"a": "7"}, ["b"])

    def test_a_list_has_a_number(self):
        """Its name may change, and somebody else's list may have it."""
        assert "Type its number" in self.read(self.draft("a", "Met at the fair"))[1]["a"]

    @pytest.mark.parametrize(
        ("status", "followed"), [("live", True), ("Paused", True), ("Draft", False), ("Retired", False)]
    )
    def test_live_and_paused_sequences_follow_theirs(self, status, followed):
        """Whoever joins while it is paused waits as everybody there."""
        assert bool(self.read(self.draft("a", 7, status))[0]) is followed

    @pytest.mark.parametrize(("value", "marks"), [(None, ()), ("", ()), ("7", ("7",)), ("7;12", ("7", "12"))])
    def test_the_lists_of_a_contact_are_read(self, value, marks):
        """Separated as HubSpot separates several choices."""
        assert read_marks(value) == marks
