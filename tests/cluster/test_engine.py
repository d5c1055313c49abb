"""Which daemon runs a loop, and when: one at a time each, all of them the dispatching, and nobody's run is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import psycopg
import pytest
from ledger_places import Server
from office import until

from crmdrip.cluster.engine import JobEngine

OFTEN = 0.05
SELDOM = 3600.0
LEASE = 2.0


class Engines:
    """Engines on one database, and what its tables say."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._url = url
        self._stack = stack

    def start(self, name: str, loops: dict[str, Callable[[], None]], **every: float) -> JobEngine:
        """One more, as of another daemon."""
        engine = JobEngine(self._url, name, LEASE, lambda: 2)
        engine.begin(loops, every)
        self._stack.callback(engine.end)
        return engine

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement on the engine's tables; nothing where there are none yet."""
        with (
            suppress(psycopg.errors.UndefinedTable),
            psycopg.connect(self._url.replace("+psycopg", ""), autocommit=True) as connection,
        ):
            connection.execute("SET search_path = crmdrip_jobs")
            found = connection.execute(statement)
            return found.fetchall() if found.description else []
        return []


@pytest.fixture
def engines(postgresql: Server) -> Iterator[Engines]:
    """None is running yet."""
    name = postgresql.create()
    with ExitStack() as stack:
        yield Engines(postgresql.url_of(name), stack)
    postgresql.drop(name)


class Visits:
    """A loop that counts how many are in it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0
        self.total = 0

    def __call__(self) -> None:
        """One visit."""
        with self._lock:
            self._inside += 1
            self.total += 1
            self.most = max(self.most, self._inside)
        threading.Event().wait(0.02)
        with self._lock:
            self._inside -= 1


def test_a_loop_runs_on_one_daemon_at_a_time(engines: Engines) -> None:
    """P5: one of them alone pulls."""
    visits = Visits()
    for name in ("ann", "bob"):
        engines.start(name, {"pull": visits}, pull=OFTEN)
    until(lambda: visits.total > 10)
    assert visits.most == 1


def test_dispatching_runs_on_all_of_them_at_once(engines: Engines) -> None:
    """Each waits for the other before it goes on."""
    meeting = threading.Barrier(2)
    met = threading.Event()

    def meet() -> None:
        meeting.wait(30)
        met.set()

    for name in ("ann", "bob"):
        engines.start(name, {"dispatch": meet}, dispatch=OFTEN)
    until(met.is_set)


def test_more_daemons_make_no_more_runs(engines: Engines) -> None:
    """P5: however many put the next run in line, one is there, for when its time has come."""
    seldom, often = Visits(), Visits()
    for name in ("ann", "bob", "cyd"):
        engines.start(name, {"feed": seldom, "pull": often}, feed=SELDOM, pull=OFTEN)
    waiting = "SELECT status::text, scheduled_at > now() FROM procrastinate_jobs WHERE queue_name = 'feed'"
    until(lambda: seldom.total and engines.ask(waiting) == [("todo", True)])
    before = seldom.total
    enough = often.total + 20
    until(lambda: often.total > enough)
    assert seldom.total == before
    assert engines.ask(waiting) == [("todo", True)]


def test_a_hint_makes_a_loop_run_now_on_whoever_is_free(engines: Engines) -> None:
    """A push of the CRM comes in at one daemon's door."""
    visits = Visits()
    first = engines.start("ann", {"pull": visits}, pull=SELDOM)
    engines.start("bob", {"pull": visits}, pull=SELDOM)
    until(lambda: engines.ask("SELECT status::text FROM procrastinate_jobs") == [("todo",)] and visits.total)
    before = visits.total
    first.hasten("pull", 0)
    until(lambda: visits.total > before)


def test_the_run_of_a_daemon_that_died_is_made_by_another(engines: Engines) -> None:
    """Its lock would keep everybody from that loop for ever."""
    visits = Visits()
    engines.start("ann", {"pull": visits}, pull=SELDOM)
    until(lambda: visits.total == 1)
    until(lambda: engines.ask("SELECT status::text FROM procrastinate_jobs") == [("todo",)])
    engines.ask(
        "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat)"
        " VALUES (now() - interval '1 hour') RETURNING id)"
        " UPDATE procrastinate_jobs SET status = 'doing', worker_id = dead.id FROM dead WHERE queue_name = 'pull'"
    )
    until(lambda: visits.total == 2)


def test_a_run_that_fails_is_made_again(engines: Engines) -> None:
    """Loops tell of their errors themselves; one that raises all the same must not be the last."""
    visits = Visits()

    def fail() -> None:
        visits()
        raise ZeroDivisionError

    engines.start("ann", {"pull": fail}, pull=OFTEN)
    until(lambda: visits.total > 2)


def test_an_end_waits_for_the_run_under_way_and_leaves_the_next_in_line(engines: Engines) -> None:
    """A rolling upgrade: nothing stands still until a lease is over."""
    inside, leave, left = threading.Event(), threading.Event(), threading.Event()

    def stay() -> None:
        inside.set()
        leave.wait(30)
        left.set()

    engine = engines.start("ann", {"pull": stay}, pull=SELDOM)
    until(inside.is_set)
    ending = threading.Thread(target=engine.end)
    ending.start()
    leave.set()
    ending.join()
    assert left.is_set()
    assert engines.ask("SELECT status::text FROM procrastinate_jobs WHERE queue_name = 'pull'") == [("todo",)]
    assert engines.ask("SELECT id FROM procrastinate_workers") == []


def test_nothing_is_kept_of_runs_that_are_over(engines: Engines) -> None:
    """A year of runs takes no room."""
    visits = Visits()
    engines.start("ann", {"pull": visits}, pull=OFTEN)
    until(lambda: visits.total > 5)
    assert len(engines.ask("SELECT id FROM procrastinate_jobs")) <= 2
