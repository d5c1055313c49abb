"""The contract of FollowsLists: a list of the CRM is a hand that ticks and unticks, by the contract of the box (B9).

For a connector whose sequences may name a list. Its author subclasses `ListContract` beside `CrmContract`, with a
`ListDriver` as the fixture crm.
"""

from __future__ import annotations

from typing import Protocol

import pytest

from crmdrip.core.errors import RetriableError
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.ports import CrmSink, CrmSource, FollowsLists
from crmdrip.testing.crm.driver import CrmDriver, CrmTrouble
from crmdrip.testing.crm.reading import NO_PATHS, read_all
from crmdrip.testing.crm.suite import CrmSuite
from crmdrip.testing.crm.writing import status_write, write_all


class ListDriver(CrmDriver, Protocol):
    """Whoever works inside a CRM that has lists."""

    def add_list(self, name: str) -> str:
        """A list that people are put on by hand; returns what a sequence names it by."""
        ...

    def name_list(self, sequence_id: str, list_id: str) -> None:
        """RevOps lets a sequence follow the list."""
        ...

    def put_on(self, list_id: str, ref: RecordRef) -> None:
        """Somebody joins the list."""
        ...

    def take_off(self, list_id: str, ref: RecordRef) -> None:
        """Somebody leaves it."""
        ...

    def delete_list(self, list_id: str) -> None:
        """An admin deletes it."""
        ...


class ListContract(CrmSuite):
    """Every promise of FollowsLists. Subclass it and give the fixtures crm, source and sink."""

    @pytest.fixture
    def fair(self, crm: ListDriver, sequence: str) -> str:
        """A list that the sequence names."""
        list_id = crm.add_list("Met at the fair")
        crm.name_list(sequence, list_id)
        return list_id

    @pytest.fixture
    def ann(self, crm: ListDriver) -> RecordRef:
        """A contact in no sequence."""
        return crm.add_person(RecordKind.CONTACT, email="ann@acme.example")

    @pytest.fixture
    def follower(self, source: CrmSource) -> FollowsLists:
        """The source, as what it is here."""
        assert isinstance(source, FollowsLists)
        return source

    def test_whoever_would_be_ticked_is_told_and_is_not_ticked_by_that(
        self, crm: ListDriver, follower: FollowsLists, sequence: str, fair: str, ann: RecordRef
    ) -> None:
        """P3: for the commands that look ahead; whoever is ticked by then is told no more."""
        assert follower.preview_lists() == {}
        crm.put_on(fair, ann)
        assert follower.preview_lists() == {ann: sequence}
        assert not crm.read(ann, "enrolled")
        follower.follow_lists()
        assert follower.preview_lists() == {}

    def test_whoever_joins_is_in_the_sequence_with_the_next_pull(  # noqa: PLR0917 - fixtures
        self, crm: ListDriver, source: CrmSource, follower: FollowsLists, sequence: str, fair: str, ann: RecordRef
    ) -> None:
        """B9: the box is ticked in the CRM, and the pull brings it as if a person had."""
        cursor = read_all(source).cursor
        crm.put_on(fair, ann)
        follower.follow_lists()
        record = read_all(source, cursor).records[ann.id]
        assert (record.enrolled, record.sequence_id) == (True, sequence)
        assert crm.read(ann, "enrolled") is True

    def test_whoever_is_ticked_already_stays_as_they_are(
        self, crm: ListDriver, follower: FollowsLists, fair: str, ann: RecordRef
    ) -> None:
        """B9: on while on is nothing, in whatever sequence."""
        other = crm.add_sequence("Other", ["Hello"])
        crm.change(ann, enrolled=True, sequence=other)
        crm.put_on(fair, ann)
        follower.follow_lists()
        assert (crm.read(ann, "enrolled"), crm.read(ann, "sequence")) == (True, other)

    def test_whoever_leaves_is_unticked(
        self, crm: ListDriver, follower: FollowsLists, fair: str, ann: RecordRef
    ) -> None:
        """B9: off is a stop."""
        crm.put_on(fair, ann)
        follower.follow_lists()
        crm.take_off(fair, ann)
        follower.follow_lists()
        assert crm.read(ann, "enrolled") is False

    def test_the_last_look_sees_who_left(
        self, crm: ListDriver, source: CrmSource, follower: FollowsLists, fair: str, ann: RecordRef
    ) -> None:
        """P2: before the box is unticked."""
        crm.put_on(fair, ann)
        follower.follow_lists()
        cursor = read_all(source).cursor
        crm.take_off(fair, ann)
        assert not source.look([ann], NO_PATHS, cursor).records[ann.id].enrolled

    def test_whoever_was_stopped_is_ticked_again_only_after_leaving(
        self, crm: ListDriver, sink: CrmSink, follower: FollowsLists, fair: str, ann: RecordRef
    ) -> None:
        """B9: the daemon unticks on stop, and being on the list as before is no new wish."""
        crm.put_on(fair, ann)
        follower.follow_lists()
        write_all(sink, status_write(ann, status="Stopped", enrolled=False))
        crm.pass_time(7_200)
        follower.follow_lists()
        assert crm.read(ann, "enrolled") is False
        crm.take_off(fair, ann)
        follower.follow_lists()
        crm.put_on(fair, ann)
        follower.follow_lists()
        assert crm.read(ann, "enrolled") is True

    def test_a_list_that_is_gone_unticks_nobody_and_the_sequence_says_so(  # noqa: PLR0917 - fixtures
        self, crm: ListDriver, source: CrmSource, follower: FollowsLists, sequence: str, fair: str, ann: RecordRef
    ) -> None:
        """B17: what is not there is not empty."""
        crm.put_on(fair, ann)
        follower.follow_lists()
        crm.delete_list(fair)
        follower.follow_lists()
        assert crm.read(ann, "enrolled") is True
        assert read_all(source).sequences[sequence].problems

    def test_a_crm_that_is_down_is_retriable_and_nothing_is_lost(
        self, crm: ListDriver, follower: FollowsLists, fair: str, ann: RecordRef
    ) -> None:
        """P4: whoever joined meanwhile is ticked afterwards."""
        crm.put_on(fair, ann)
        crm.trouble(CrmTrouble.DOWN)
        with pytest.raises(RetriableError):
            follower.follow_lists()
        crm.recover()
        follower.follow_lists()
        assert crm.read(ann, "enrolled") is True
