"""What the database itself holds, whatever the program believes: keys, legal moves, one run per address (P1, B13)."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from ledger_values import NOW, contact, run, sequence, signal, touch
from sqlalchemy import delete, select, text, update

from crmdrip.core.model import LEGAL_MOVES, RunStatus, TouchState
from crmdrip.ledger import definitions, people, runs, schema, store, touches
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.ledger.touches import TouchMove


def stored_states(any_ledger) -> list[str]:
    """The state of every touch."""
    with any_ledger.read() as connection:
        return list(connection.execute(select(schema.touch.c.state)).scalars())


def with_touch(any_ledger, state: TouchState) -> None:
    """One run with one touch in the given state, put there without a move."""
    with any_ledger.write() as connection:
        runs.add_runs(connection, [run()])
        touches.add_touches(connection, [touch(state=state)])


class TestMigrations:
    """The schema that migrations make is the one the code speaks of."""

    def test_migrations_make_the_schema(self, any_ledger):
        """Nothing is left for autogenerate to find."""
        with any_ledger.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []

    def test_head_is_the_newest_migration(self):
        """The constant that spares the daemon Alembic's start-up must not be stale."""
        config = Config()
        config.set_main_option("script_location", "crmdrip:ledger/migrations")
        config.set_main_option("path_separator", "os")
        assert ScriptDirectory.from_config(config).get_current_head() == store.HEAD

    def test_the_trigger_knows_the_legal_moves(self, any_ledger):
        """The moves in the database are those of the model, no more and no fewer."""
        with any_ledger.read() as connection:
            stored = {(row[0], row[1]) for row in connection.execute(select(schema.touch_move))}
        assert stored == {(before.value, after.value) for before, after in LEGAL_MOVES}

    def test_opening_twice_changes_nothing(self, ledger, path):
        """A ledger at the newest version is opened as it is."""
        with ledger.write() as connection:
            runs.add_runs(connection, [run()])
        again = store.open_ledger(f"sqlite:///{path}")
        with again.read() as connection:
            assert len(runs.lock_runs(connection, [1])) == 1
        again.close()

    def test_a_commit_is_on_disk(self, ledger):
        """Intents survive a power cut only with synchronous=FULL, readers stay free only with WAL."""
        with ledger.read() as connection:
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"

    def test_what_undoes_a_statement_is_kept_in_memory(self, ledger):
        """In a file it was two writes for every page of every row that a trigger looks at."""
        with ledger.read() as connection:
            assert connection.execute(text("PRAGMA temp_store")).scalar() == 2

    def test_the_caches_of_all_connections_are_bounded_together(self, ledger):
        """A daemon with many threads keeps no more of the file in memory than one with few."""
        with ledger.read() as connection:
            assert connection.execute(text("PRAGMA soft_heap_limit")).scalar() == 8_000_000


class TestMoves:
    """A touch moves only as the model allows."""

    @pytest.mark.parametrize("before", TouchState)
    @pytest.mark.parametrize("after", TouchState)
    def test_only_legal_moves_are_stored(self, any_ledger, before, after):
        """P1: the database refuses any other move and keeps the state it had."""
        with_touch(any_ledger, before)
        legal = before is after or (before, after) in LEGAL_MOVES
        move = TouchMove(id=touch().id, state=after)
        if legal:
            with any_ledger.write() as connection:
                touches.move_touches(connection, [move])
        else:
            with pytest.raises(LedgerBrokenError, match="illegal move"), any_ledger.write() as connection:
                touches.move_touches(connection, [move])
        assert stored_states(any_ledger) == [(after if legal else before).value]

    def test_an_unknown_state_is_refused(self, any_ledger):
        """A typing error can't invent a state."""
        with_touch(any_ledger, TouchState.INTENDED)
        with pytest.raises(LedgerBrokenError), any_ledger.write() as connection:
            connection.execute(update(schema.touch).values(state="sent"))

    def test_a_touch_is_never_deleted(self, any_ledger):
        """What went out stays known."""
        with_touch(any_ledger, TouchState.ACCEPTED)
        with pytest.raises(LedgerBrokenError, match="never deleted"), any_ledger.write() as connection:
            connection.execute(delete(schema.touch))


class TestIntents:
    """The intent is the guard against a second send."""

    @pytest.mark.parametrize("state", sorted(set(TouchState) - {TouchState.REFUSED}))
    def test_only_a_refused_touch_can_be_intended_again(self, any_ledger, state):
        """P1: whatever else the touch is, the whole batch is refused and nothing of it is stored."""
        with_touch(any_ledger, state)
        other = touch(2, enrollment_id=1, step_id="other")
        with pytest.raises(LedgerBrokenError), any_ledger.write() as connection:
            touches.intend(connection, [other, touch()])
        assert stored_states(any_ledger) == [state.value]

    def test_a_refused_touch_is_intended_under_the_same_row(self, any_ledger):
        """B2: the attempt counts up, and no second row appears."""
        with_touch(any_ledger, TouchState.REFUSED)
        with any_ledger.write() as connection:
            touches.intend(connection, [touch()])
            [found] = touches.touches_in_full(connection, [1])
        assert (found.state, found.attempt) == (TouchState.INTENDED, 2)

    def test_one_step_of_a_run_has_one_touch_whatever_its_id(self, any_ledger):
        """P1: the same step under another id is refused as well."""
        with_touch(any_ledger, TouchState.ACCEPTED)
        with pytest.raises(LedgerBrokenError), any_ledger.write() as connection:
            touches.intend(connection, [touch(7, enrollment_id=1)])

    def test_a_touch_belongs_to_a_run(self, any_ledger):
        """An intent without its run is a bug, and is refused."""
        with pytest.raises(LedgerBrokenError), any_ledger.write() as connection:
            touches.intend(connection, [touch(5)])


class TestRuns:
    """Runs are unique where people count on it."""

    def test_an_address_has_one_live_run(self, any_ledger):
        """B13: a second live run of the same address is refused by the database."""
        with any_ledger.write() as connection:
            runs.add_runs(connection, [run()])
        with pytest.raises(LedgerBrokenError), any_ledger.write() as connection:
            runs.add_runs(connection, [run(ref=contact(9), sequence_id="other", run=2)])

    @pytest.mark.parametrize("status", [s for s in RunStatus if not s.live])
    def test_an_ended_run_leaves_the_address_free(self, any_ledger, status):
        """B9: after the end a new run can begin."""
        with any_ledger.write() as connection:
            runs.add_runs(connection, [run(status=status)], ended_at=NOW)
            runs.add_runs(connection, [run(run=2)])
            assert len(runs.runs_of_record(connection, contact().id)) == 2

    def test_a_run_number_is_used_once(self, any_ledger):
        """A touch's id is derived from the run's number."""
        with any_ledger.write() as connection:
            runs.add_runs(connection, [run(status=RunStatus.STOPPED)], ended_at=NOW)
        with pytest.raises(LedgerBrokenError), any_ledger.write() as connection:
            runs.add_runs(connection, [run()])


class TestOthers:
    """Signals and definitions are kept once."""

    def test_a_signal_is_stored_once(self, any_ledger):
        """B23: a repeat under the same key is no news."""
        with any_ledger.write() as connection:
            first = people.add_signals(connection, [signal(), signal()], NOW)
            second = people.add_signals(connection, [signal()], NOW)
        assert (len(first), second) == (1, [])

    def test_a_definition_once_used_stays_readable(self, any_ledger):
        """B17: what a touch was rendered from can be shown after any number of edits."""
        with any_ledger.write() as connection:
            definitions.save_good(connection, sequence(version="v1", name="Before"), NOW)
            definitions.save_good(connection, sequence(version="v2", name="After"), NOW)
            old = definitions.find_version(connection, "v1")
            current = definitions.load_sequences(connection)["seq"].good
        assert old is not None
        assert current is not None
        assert (old.name, current.name) == ("Before", "After")
