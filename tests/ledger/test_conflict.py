"""What the ledger refuses is told apart from a broken one, and tells nobody's address."""

from __future__ import annotations

import traceback

import pytest
from ledger_values import run
from sqlalchemy import text

from crmdrip.ledger import runs
from crmdrip.ledger.errors import LedgerBrokenError, LedgerConflictError
from crmdrip.ledger.store import Ledger


def test_a_second_live_run_of_an_address_is_a_conflict_that_names_no_address(any_ledger: Ledger) -> None:
    """B13: neither the message nor the traceback below it, which a log keeps, shows who it is about."""
    with pytest.raises(LedgerConflictError) as caught, any_ledger.write() as connection:
        runs.add_runs(connection, [run(run=1), run(run=2)])
    assert run().address not in "".join(traceback.format_exception(caught.value))


def test_a_broken_statement_is_no_conflict(any_ledger: Ledger) -> None:
    """Only promises are conflicts; anything else says what the database answered."""
    with pytest.raises(LedgerBrokenError, match="the database answered") as caught, any_ledger.write() as connection:
        connection.execute(text("SELECT nothing FROM nowhere"))
    assert not isinstance(caught.value, LedgerConflictError)
