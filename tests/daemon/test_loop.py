"""The loops on a real clockwork: they work, rest after failures, give up on bugs, and end in order (B3, B30)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import inspect
from stage import Stage

from crmdrip.assembly import assemble
from crmdrip.core.errors import ConfigurationError, RateLimitedError, RetriableError
from crmdrip.core.struct import replace
from crmdrip.daemon import loop, passes, timekeeping
from crmdrip.daemon.loop import Daemon, Rhythm
from crmdrip.ledger.errors import LedgerBrokenError, LedgerBusyError
from crmdrip.ledger.store import Ledger

PATIENCE = 60
"""Seconds after which a test that waits for an event has failed; never what is measured."""


def rhythm(**given) -> Rhythm:
    """Every loop many times a second."""
    return Rhythm(**{"every": dict.fromkeys(passes.PASSES, 0.02), "drain_seconds": PATIENCE, **given})


class Running:
    """A daemon in a thread of its own, stopped at the end."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.code = self.daemon.run()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def join(self) -> int | None:
        """The exit code, once it has ended by itself."""
        self._thread.join(PATIENCE)
        return self.code

    def __exit__(self, *exc: object) -> None:
        self.daemon.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def test_the_loops_carry_a_ticked_box_to_the_timeline_and_end_in_order(stage: Stage) -> None:
    """A tick becomes an email and a touch without anybody calling a pass; after a stop the code is 0."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    told = threading.Event()
    sink = stage.parts.sink

    class Told:
        def write(self, writes):
            writes = list(writes)
            yield from sink.write(writes)
            if any(write.key.startswith("task:") for write in writes):
                told.set()

    daemon = Daemon(replace(stage.parts, sink=Told()), rhythm())
    with Running(daemon) as running:
        assert told.wait(PATIENCE)
        assert daemon.alive
    assert running.code == 0
    assert len(stage.sent()) == 1
    assert len(stage.tasks(contact)) == 1


def fail_with(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, times: int) -> threading.Event:
    """Let one pass fail that often; the event is set by the first good run after it."""
    real, left, mended = passes.PASSES[name], [times], threading.Event()

    def run(parts):
        if left[0]:
            left[0] -= 1
            raise error
        mended.set()
        return real(parts)

    monkeypatch.setitem(passes.PASSES, name, run)
    return mended


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops rest for no time."""
    monkeypatch.setattr(loop, "LONGEST_PAUSE", 0.0)
    monkeypatch.setattr(loop, "LONGEST_WAIT", 0.0)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize(
    "error",
    [
        RetriableError("no answer."),
        ConfigurationError("the field is hidden."),
        LedgerBrokenError("the disk is full."),
        RateLimitedError("slow down.", retry_after=3600),
    ],
)
def test_what_others_must_mend_is_waited_out(stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """B20, B26, B30: however often it fails the daemon lives, is not ready meanwhile, and goes on by itself."""
    mended = fail_with(monkeypatch, "pull", error, 25)
    daemon = Daemon(stage.parts, rhythm(error_budget=3))
    with Running(daemon) as running:
        assert mended.wait(PATIENCE)
        assert daemon.alive
    assert running.code == 0


@pytest.mark.usefixtures("restless")
def test_a_bug_ends_the_process_when_the_budget_is_used_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that fails in ways nobody foresaw is given to the supervisor."""
    fail_with(monkeypatch, "reconcile", ZeroDivisionError("of course"), 1_000)
    daemon = Daemon(stage.parts, rhythm(error_budget=3))
    with Running(daemon) as running:
        assert running.join() == 1
    assert not daemon.alive
    assert "ZeroDivisionError" in daemon.states["reconcile"].last_error


def test_a_failing_loop_makes_the_daemon_not_ready_and_holds_up_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rests after its failure, and the others go on."""
    failed = threading.Event()

    def fail(parts):
        failed.set()
        raise RetriableError("no answer.")

    monkeypatch.setitem(passes.PASSES, "feed", fail)
    pulled = fail_with(monkeypatch, "pull", RetriableError("unused"), 0)
    daemon = Daemon(stage.parts, rhythm())
    with Running(daemon):
        assert failed.wait(PATIENCE)
        assert pulled.wait(PATIENCE)
    assert not daemon.ready
    assert daemon.alive
    assert daemon.states["feed"].failures == 1
    assert daemon.states["feed"].last_error == "no answer."


@pytest.mark.usefixtures("restless")
def test_nothing_is_dispatched_before_the_past_is_settled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """B4: prepare fails some times; no loop runs until it has succeeded."""
    order: list[str] = []
    left, ran = [3], threading.Event()

    def prepare(parts):
        order.append("prepare")
        if left[0]:
            left[0] -= 1
            raise RetriableError("no answer.")

    def note(name):
        def run(parts):
            order.append(name)
            ran.set()
            return {}

        return run

    monkeypatch.setattr(passes, "prepare", prepare)
    for name in passes.PASSES:
        monkeypatch.setitem(passes.PASSES, name, note(name))
    with Running(Daemon(stage.parts, rhythm())):
        assert ran.wait(PATIENCE)
    assert order[:4] == ["prepare"] * 4


def test_a_loop_that_does_not_end_is_left_behind_at_the_deadline(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM is followed by an end: what hangs is in the ledger, and the code says that it hung."""
    begun, release = threading.Event(), threading.Event()

    def hang(parts):
        begun.set()
        release.wait(PATIENCE)
        return {}

    monkeypatch.setitem(passes.PASSES, "write_back", hang)
    daemon = Daemon(stage.parts, rhythm(drain_seconds=0.05))
    with Running(daemon) as running:
        assert begun.wait(PATIENCE)
        daemon.stop()
        assert running.join() == 1
        assert not daemon.drained
        release.set()


def test_stopping_leaves_off_between_batches(stage: Stage) -> None:
    """A drain never has to wait for everything that is due."""
    stage.limit(batch=2)
    stage.ticked(stage.sequence(), 6)
    passes.pull(stage.parts)
    stage.parts.stopping.set()
    assert passes.dispatch(stage.parts)["accepted"] == 0
    stage.parts.stopping.clear()
    assert passes.dispatch(stage.parts)["accepted"] == 6


# --- one daemon per ledger (B3), and a ledger that cannot remember (B30) ------------------------------------------


def test_a_second_daemon_on_the_same_ledger_is_refused_by_name(stage: Stage) -> None:
    """B3: the message names who holds it and what to do."""
    other = Ledger(stage.settings.ledger.url)
    with pytest.raises(
        LedgerBusyError, match=r"another daemon works on this ledger \(process \d+ on .+\).*Stop that one"
    ):
        other.lock()
    other.close()


def test_a_daemon_in_another_process_is_refused_too(stage: Stage) -> None:
    """B3: the lock is the operating system's, so a deploy that overlaps is noticed."""
    program = (
        "import sys\nfrom crmdrip.ledger.store import Ledger\nfrom crmdrip.ledger.errors import LedgerBusyError\n"
        "try:\n    Ledger(sys.argv[1]).lock()\nexcept LedgerBusyError as error:\n    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, stage.settings.ledger.url], capture_output=True, text=True, check=True
    )
    assert "another daemon works on this ledger" in result.stdout


def test_two_that_got_past_the_lock_cannot_send_the_same_touch(stage: Stage) -> None:
    """B3, P1: the second's intents are refused by the database, and its batch with them."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    passes.pull(stage.parts)
    ours = stage.parts

    class Overtaking:
        """Between our look and our intents the other daemon sends."""

        def __getattr__(self, name):
            return getattr(ours.source, name)

        def owners(self, ids):
            found = ours.source.owners(ids)
            passes.dispatch(ours)
            return found

    passes.dispatch(replace(ours, source=Overtaking()))
    assert len(stage.sent()) == 1
    assert stage.run(contact).steps_done == 1


def test_a_full_disk_stops_sending_before_anything_can_be_lost(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """B30: nothing is claimed without room to remember it; with room it goes on by itself."""
    stage.tick(stage.contact(), stage.sequence())
    passes.pull(stage.parts)
    monkeypatch.setattr(Ledger, "room_left", lambda self: False)
    with pytest.raises(LedgerBrokenError, match="disk is nearly full"):
        passes.dispatch(stage.parts)
    assert stage.sent() == []
    monkeypatch.undo()
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1


def test_outcomes_that_could_not_be_stored_are_in_doubt_and_settled(stage: Stage) -> None:
    """B30, B1: the disk fills up between intents and outcomes, the process lives on; nobody is mailed twice."""
    contact = stage.contact()
    stage.tick(contact, stage.sequence())
    passes.pull(stage.parts)
    mailer = stage.parts.mailer

    class Broken:
        def __getattr__(self, name):
            return getattr(mailer, name)

        def send(self, messages):
            list(mailer.send(messages))
            raise LedgerBrokenError("the disk is full.")
            yield

    with pytest.raises(LedgerBrokenError):
        passes.dispatch(replace(stage.parts, mailer=Broken()))
    stage.turn()
    stage.later(minutes=10)
    stage.turn()
    assert stage.run(contact).steps_done == 1
    assert len(stage.sent()) == 1


def test_a_second_daemon_does_not_migrate_the_ledger_of_the_first(stage: Stage, tmp_path: Path) -> None:
    """B3: a newer release that is started too early leaves the tables as they are."""
    file = tmp_path / "other.sqlite3"
    first = Ledger(f"sqlite:///{file}")
    first.lock()
    ledger = stage.settings.ledger.model_copy(update={"url": first.url})
    settings = stage.settings.model_copy(update={"ledger": ledger})
    with pytest.raises(LedgerBusyError), assemble(settings, stage.clock, exclusive=True):
        pass
    with first.read() as connection:
        assert not inspect(connection).get_table_names()
    first.close()


class TestHaste:
    """Somebody asks for a run."""

    @pytest.fixture
    def counted(self, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
        """One more for each pull that began."""
        began, real = threading.Semaphore(0), passes.PASSES["pull"]

        def run(parts):
            began.release()
            return real(parts)

        monkeypatch.setitem(passes.PASSES, "pull", run)
        return began

    def daemon(self, stage: Stage) -> Daemon:
        """One whose pull comes by itself once, and then not for an hour."""
        return Daemon(stage.parts, rhythm(every={**dict.fromkeys(passes.PASSES, 0.02), "pull": 3600.0}))

    def test_a_hint_makes_the_next_pull_at_once(self, stage: Stage, counted: threading.Semaphore) -> None:
        """B5: and not in an hour."""
        daemon = self.daemon(stage)
        with Running(daemon):
            assert counted.acquire(timeout=PATIENCE)
            daemon.hasten("pull")
            assert counted.acquire(timeout=PATIENCE)

    def test_a_thousand_hints_are_one_pull(self, stage: Stage, counted: threading.Semaphore) -> None:
        """P5: a bulk update pushes once for each record; the next run after the first has to wait its time."""
        daemon = self.daemon(stage)
        with Running(daemon):
            assert counted.acquire(timeout=PATIENCE)
            for _ in range(1000):
                daemon.hasten("pull")
            assert counted.acquire(timeout=PATIENCE)
            wait = daemon.states["pull"].hastened - time.monotonic()
        assert 0 < wait <= loop.HASTE["pull"]
        assert not counted.acquire(blocking=False)

    def test_what_comes_in_while_a_run_is_under_way_is_not_missed(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B5: the run that was too early for it is followed by another."""
        monkeypatch.setitem(loop.HASTE, "pull", 0.0)  # type: ignore[arg-type]  # a dict, in truth
        began, go_on, runs = threading.Semaphore(0), threading.Event(), []

        def run(_):
            began.release()
            runs.append(1)
            go_on.wait(PATIENCE)
            return {}

        monkeypatch.setitem(passes.PASSES, "pull", run)
        daemon = self.daemon(stage)
        with Running(daemon):
            assert began.acquire(timeout=PATIENCE)
            asked = threading.Event()
            real = daemon._scheduler.add_job

            def add_job(job, *args, **kwargs):
                def told():
                    job()
                    asked.set()

                return real(told, *args, **kwargs)

            monkeypatch.setattr(daemon._scheduler, "add_job", add_job)
            daemon.hasten("pull")
            assert asked.wait(PATIENCE)
            go_on.set()
            assert began.acquire(timeout=PATIENCE)

    def test_before_the_first_run_there_is_nothing_to_hasten(self, stage: Stage) -> None:
        """The door opens before the daemon has begun."""
        daemon = self.daemon(stage)
        daemon.hasten("pull")
        assert daemon.states["pull"].hastened < 0


class TestFollowing:
    """What one loop leaves for another begins at once."""

    def play(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, counts: dict[str, int], following: str) -> bool:
        """Whether the other loop ran once more, an hour before its own time, after a pull that counted so."""
        ran = threading.Semaphore(0)
        for name in passes.PASSES:
            monkeypatch.setitem(passes.PASSES, name, lambda _: {})
        first, go_on = threading.Event(), threading.Event()

        def pull(_):
            first.set()
            go_on.wait(PATIENCE)
            return counts

        def other(_):
            ran.release()
            return {}

        monkeypatch.setitem(passes.PASSES, "pull", pull)
        monkeypatch.setitem(passes.PASSES, following, other)
        daemon = Daemon(stage.parts, rhythm(every=dict.fromkeys(passes.PASSES, 3600.0)))
        with Running(daemon):
            assert first.wait(PATIENCE)
            assert ran.acquire(timeout=PATIENCE)
            go_on.set()
            if any(counts.values()):
                return ran.acquire(timeout=PATIENCE)
        return daemon.states[following].hastened > 0  # the pull had its end

    def test_who_enters_is_mailed_at_once(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tick that a hint told of is not left waiting for the next dispatch."""
        assert self.play(stage, monkeypatch, {"enrolled": 1}, "dispatch")

    def test_a_stop_is_told_at_once(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rep who unticked the box sees it answered."""
        assert self.play(stage, monkeypatch, {"stopped": 1}, "write_back")

    def test_a_pull_without_news_hastens_nothing(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """P5: an idle daemon keeps its rhythm."""
        assert not self.play(stage, monkeypatch, {"enrolled": 0, "stopped": 0}, "dispatch")


class TestClock:
    """What a machine's clock does that is set while the daemon is at work (B29)."""

    @pytest.fixture
    def runs(self, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
        """One for each pull."""
        runs = threading.Semaphore(0)
        real = passes.PASSES["pull"]

        def run(parts):
            runs.release()
            return real(parts)

        monkeypatch.setitem(passes.PASSES, "pull", run)
        monkeypatch.setattr(loop, "CLOCK_SECONDS", 0.01)
        return runs

    def test_a_clock_that_is_set_back_by_days_holds_up_no_loop(self, stage: Stage, runs: threading.Semaphore) -> None:
        """B29: what was to run in a moment, by the clock before, runs now and not in three days."""
        daemon = Daemon(stage.parts, rhythm())
        with Running(daemon):
            assert runs.acquire(timeout=PATIENCE)
            assert daemon._scheduler is not None
            for job in daemon._scheduler.get_jobs():  # as a clock leaves it that is set back meanwhile
                job.modify(next_run_time=job.next_run_time + timedelta(days=3))
            while runs.acquire(blocking=False):
                pass
            for _ in range(3):  # one may be under way
                assert runs.acquire(timeout=PATIENCE)

    def test_a_clock_that_is_set_forward_by_years_owes_one_run(self) -> None:
        """B29: a machine that keeps no time while it is off begins in 1970; runs it missed are not made up for."""
        begun, now = datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)
        assert timekeeping.Every(60).get_next_fire_time(begun, now) == now + timedelta(minutes=1)
