"""Whom we write to, found by what a mail tells of its writer (B6); on every database alike."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_values import NOW, contact, record, run, touch
from sqlalchemy import text

from crmdrip.core.keys import person_key
from crmdrip.core.model import RunStatus
from crmdrip.ledger import addressees, people, runs, touches
from crmdrip.ledger.schema import IS_LIVE

MOVED = "p1@new.example"


def begun(any_ledger, *begun_runs, ended=(), records=()):
    """Runs that are there."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, begun_runs)
        runs.add_runs(connection, ended, ended_at=NOW)
        people.remember_records(connection, records)


def of(number: int, address: str, **changes):
    """A run of that address."""
    return run(number, address=address, person=person_key(address), **changes)


class TestByTouch:
    """Who got an email."""

    def test_the_run_as_it_stands_now(self, any_ledger):
        """B15: the address they have now, and the one the email went to."""
        begun(any_ledger, run(1, address=MOVED))
        with any_ledger.write() as connection:
            touches.add_touches(connection, [touch(1, address="p1@example.com", sender="rita@vendor.example")])
            found = addressees.by_touches(connection, [f"{1:032x}", f"{2:032x}"])
        [one] = found.values()
        assert (one.address, one.mailed, one.sender, one.ref) == (
            MOVED,
            "p1@example.com",
            "rita@vendor.example",
            contact(1),
        )


class TestByAddress:
    """Who has an address."""

    def found(self, any_ledger, *addresses):
        """Record id by address."""
        with any_ledger.read() as connection:
            return {one: who.ref.id for one, who in addressees.by_addresses(connection, addresses).items()}

    def test_a_live_run_comes_before_an_ended_one(self, any_ledger):
        """B13: the record that is in a sequence now."""
        ended = of(1, "p@x.example", status=RunStatus.FINISHED)
        begun(any_ledger, of(2, "p@x.example", sequence_id="other"), ended=[ended])
        assert self.found(any_ledger, "p@x.example") == {"p@x.example": contact(2).id}

    def test_an_ended_run_comes_before_a_record_alone(self, any_ledger):
        """P3: an answer after the last step."""
        ended = of(1, "p@x.example", status=RunStatus.FINISHED)
        begun(any_ledger, ended=[ended], records=[record(2, email="P@x.example")])
        assert self.found(any_ledger, "p@x.example") == {"p@x.example": contact(1).id}

    def test_a_record_that_was_pulled_is_enough(self, any_ledger):
        """B22: a wish of somebody who is in no sequence."""
        begun(any_ledger, records=[record(1)])
        assert self.found(any_ledger, "p1@example.com", "p2@example.com") == {"p1@example.com": contact(1).id}


class TestNearby:
    """Who may be meant."""

    @pytest.fixture
    def people_there(self, any_ledger):
        """Live runs at some domains, and an ended one."""
        companies = ("ann@acme.example", "bob@mail.acme.example", "cy@badacme.example")
        live = [of(number, one) for number, one in enumerate((*companies, "dot.ty@gmail.com", "eve@gmail.com"), 1)]
        begun(any_ledger, *live, ended=[of(9, "zoe@acme.example", status=RunStatus.STOPPED)])
        return any_ledger

    def test_a_domain_with_those_below_it(self, people_there):
        """B6: live runs alone, and no domain that only ends alike."""
        with people_there.read() as connection:
            assert sorted(addressees.addresses_at(connection, "acme.example")) == [
                "ann@acme.example",
                "bob@mail.acme.example",
            ]

    def test_a_domain_with_the_one_above_it(self, people_there):
        """B6: somebody who writes from a host of the domain."""
        with people_there.read() as connection:
            assert addressees.addresses_at(connection, "new.acme.example") == ["ann@acme.example"]

    def test_a_domain_is_no_pattern(self, people_there):
        """B27: what anybody writes is not read as LIKE reads it."""
        with people_there.read() as connection:
            assert addressees.addresses_at(connection, "%") == []
            assert addressees.addresses_at(connection, "acme_example") == []

    def test_a_like_name_at_free_mail(self, people_there):
        """B6: dots at Gmail; the rest is compared by core.whose."""
        with people_there.read() as connection:
            assert addressees.addresses_like(connection, "dotty@googlemail.com") == ["dot.ty@gmail.com"]

    def test_the_people_of_an_account(self, any_ledger):
        """B6: whatever their domain."""
        begun(
            any_ledger,
            run(1),
            run(2),
            ended=[run(3, status=RunStatus.STOPPED)],
            records=[record(1, account_id="a"), record(2, account_id="b"), record(3, account_id="a")],
        )
        with any_ledger.read() as connection:
            assert [one.ref for one in addressees.live_of_accounts(connection, {"a"})] == [contact(1)]
            assert addressees.live_of_accounts(connection, set()) == []


def test_when_an_address_was_mailed_last(any_ledger):
    """B28: a report without our id is believed for days."""
    earlier = NOW - timedelta(days=9)
    begun(
        any_ledger,
        of(2, "p@x.example", sequence_id="other", last_touch_at=NOW),
        of(3, "q@x.example"),
        ended=[of(1, "p@x.example", last_touch_at=earlier, status=RunStatus.FINISHED)],
    )
    with any_ledger.read() as connection:
        assert addressees.last_mailed(connection, ["p@x.example", "q@x.example", "r@x.example"]) == {"p@x.example": NOW}


def test_a_company_is_found_in_the_index_of_live_addresses(ledger):
    """An answer must not read every run that ever was."""
    with ledger.read() as connection:
        sql = f"SELECT address FROM enrollment WHERE {IS_LIVE} AND address LIKE '%@acme.example' ESCAPE '/'"  # noqa: S608 - its own words
        plan = " ".join(str(row) for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}")))
    assert "one_live_run_per_address" in plan
