"""The loops as jobs of Procrastinate, in the ledger's own database: each runs on one daemon at a time, whoever is free.

A job's lock keeps two daemons from the same loop, its queueing lock keeps one run of it waiting at most, and each run
puts the next one in line. Dispatching alone runs on all daemons at once: each takes runs that no other one has. The
engine decides who works, never whether an email may go out; it runs a job again whose daemon died, and more than once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.engine import make_url

from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.ledger import engines

log = structlog.get_logger()

SPREAD = "dispatch"
"""The loop that runs on every daemon."""
SCHEMA = "crmdrip_jobs"
"""Of Procrastinate's own tables, apart from the ledger's."""
POLL = 1.0
"""Seconds between two looks for a job whose time has come; of those that are due at once the database tells."""
PATIENCE = 10.0
"""Seconds that a run waits for the next one to be put in line."""
RESTART = 2.0
"""Seconds after which a worker that ended, with its database for one, is started anew."""


class JobEngine:
    """Procrastinate's workers in a thread of this process."""

    def __init__(self, url: str, name: str, lease: float, count_daemons: Callable[[], int]) -> None:
        """name: of this daemon. lease: seconds of silence after which its jobs are run by others.

        Raises ConfigurationError where Procrastinate is not installed.
        """
        try:
            import procrastinate  # noqa: PLC0415 - an extra
            from procrastinate import exceptions, jobs  # noqa: PLC0415 - as above
        except ModuleNotFoundError:
            raise ConfigurationError(
                "sharing the work needs Procrastinate, which is not installed.",
                where="[cluster] enabled",
                do_next='Type: pip install "crmdrip[cluster]".',
            ) from None
        self._exceptions, self._statuses = exceptions, jobs.Status
        self._name = name
        self._lease = lease
        self._count_daemons = count_daemons
        self._loops: Mapping[str, Callable[[], None]] = {}
        self._every: Mapping[str, float] = {}
        self._ending = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._workers: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=self._serve, name="jobs", daemon=True)
        self._conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        # Two for the workers' notifications, and one each for fetching, finishing and signing in.
        self._app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=self._conninfo,
                min_size=1,
                max_size=6,
                kwargs={
                    **engines.CONNECT,
                    "options": f"-c search_path={SCHEMA},public",
                    "application_name": f"crmdrip-jobs {name}"[:63],
                },
            )
        )
        logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it tells of each run, of which there are many
        self._task = self._app.task(name="crmdrip.run_loop")(self._run_loop)

    # daemon.loop.Engine

    def begin(self, loops: Mapping[str, Callable[[], None]], every: Mapping[str, float]) -> None:
        """Start the workers."""
        self._loops, self._every = loops, every
        self._thread.start()

    def hasten(self, name: str, seconds: float) -> None:
        """Put a further run in line; the loop's own lock keeps it from running beside another."""
        if self._thread.is_alive() and not self._ending.is_set():
            asyncio.run_coroutine_threadsafe(self._put_in_line(name, seconds, hastened=True), self._loop)

    def end(self) -> None:
        """Take no further job, and wait for those under way."""
        self._ending.set()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join()

    def _cancel(self) -> None:
        """Once is the worker's sign to end in order; a second time it would leave its jobs where they are."""
        workers, self._workers = self._workers, []
        for task in workers:
            task.cancel()

    # in the thread

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_tell)
        while not self._ending.is_set():
            try:
                self._loop.run_until_complete(self._work())
            except Exception as error:  # noqa: BLE001 - whatever ends the workers, such as a database that is away
                log.warning("job_workers_ended", error=type(error).__name__, detail=str(error).splitlines()[0:1])
            self._ending.wait(RESTART if not self._ending.is_set() else 0)
        self._loop.close()

    async def _work(self) -> None:
        async with self._app.open_async():
            await self._make_tables()
            tending = asyncio.create_task(self._tend())
            queues = [name for name in self._loops if name == SPREAD], [name for name in self._loops if name != SPREAD]
            started = [asyncio.create_task(self._worker(names)) for names in queues if names]
            self._workers = list(started)
            if self._ending.is_set():
                self._cancel()
            try:
                await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED)
                self._cancel()
                for ended in await asyncio.gather(*started, return_exceptions=True):
                    if isinstance(ended, Exception):
                        raise ended
            finally:
                tending.cancel()
                with suppress(asyncio.CancelledError):
                    await tending

    def _worker(self, queues: list[str]) -> Coroutine[Any, Any, None]:
        """One that runs each of the loops beside the others."""
        return self._app.run_worker_async(
            queues=queues,
            name=f"{self._name}:{queues[0]}",
            concurrency=len(queues),
            fetch_job_polling_interval=POLL,
            install_signal_handlers=False,
            delete_jobs="always",  # what became of a run is the ledger's business; tables do not grow
            update_heartbeat_interval=self._lease / 4,
            stalled_worker_timeout=self._lease,
        )

    async def _make_tables(self) -> None:
        """Once for all daemons: whoever comes second finds them."""
        import psycopg  # noqa: PLC0415 - comes with the extra

        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            await connection.execute(
                "SELECT pg_advisory_lock(hashtext(%s))", (SCHEMA,)
            )  # given back with the connection
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            found = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.procrastinate_jobs",))
            if await found.fetchone() == (False,):
                await self._app.schema_manager.apply_schema_async()

    # jobs

    def _run_loop(self, loop: str, slot: int = 0) -> None:
        """One run, in a thread of its own; then the next is put in line, whatever became of this one."""
        try:
            if loop in self._loops and not self._ending.is_set():
                self._loops[loop]()
        finally:
            next_one = self._put_in_line(loop, self._every.get(loop, POLL), slot=slot)
            with suppress(TimeoutError):  # others see to it then (_tend)
                asyncio.run_coroutine_threadsafe(next_one, self._loop).result(PATIENCE)

    async def _put_in_line(self, loop: str, seconds: float, *, slot: int = 0, hastened: bool = False) -> None:
        lock = f"{loop}:{slot}"
        with suppress(self._exceptions.AlreadyEnqueued, self._exceptions.ConnectorException):
            await self._task.configure(
                queue=loop,
                lock=lock,
                queueing_lock=f"{lock}:now" if hastened else lock,
                priority=1 if hastened else 0,  # or it would wait for the earlier one of the same lock
                schedule_at=datetime.now(UTC) + timedelta(seconds=seconds) if seconds > 0 else None,
            ).defer_async(loop=loop, slot=slot)

    async def _tend(self) -> None:
        """See to it that each loop has a run in line, and that those of daemons that died are run again."""
        while True:
            with suppress(self._exceptions.ConnectorException):
                await self._bring_back()
                for loop in self._loops:
                    for slot in range(await asyncio.to_thread(self._slots) if loop == SPREAD else 1):
                        await self._put_in_line(loop, 0, slot=slot)
            await asyncio.sleep(max(self._lease / 4, POLL))

    def _slots(self) -> int:
        """How many daemons may dispatch at once: all of them."""
        try:
            return max(self._count_daemons(), 1)
        except CrmdripError:
            return 1

    async def _bring_back(self) -> None:
        manager = self._app.job_manager
        await manager.prune_stalled_workers(self._lease)
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=self._lease):
            log.warning("job_brought_back", loop=job.task_kwargs.get("loop"), job=job.id)
            try:
                await manager.retry_job(job)
            except self._exceptions.ConnectorException:  # a run of the loop is in line already
                await manager.finish_job(job, self._statuses.FAILED, delete_job=True)


def _tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What ends a task that nobody waits for: mostly the run of a loop that others have taken over."""
    error = context.get("exception")
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    detail = str(error or context["message"]).splitlines()[0:1]
    log.warning("job_not_finished", error=type(error).__name__, detail=detail)
