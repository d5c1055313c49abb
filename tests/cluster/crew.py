"""Several real daemons on one PostgreSQL ledger, before one org and one mail account on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from ledger_places import Server
from office import Office, environment, free_port
from sqlalchemy import func, select

from crmdrip.ledger import touches, workers
from crmdrip.ledger.schema import enrollment
from crmdrip.ledger.store import Ledger
from crmdrip.ledger.workers import SignedIn

LEASE = 3.0
"""Seconds."""


class Crew:
    """Daemons that a test starts, freezes and kills, and what became of their emails."""

    def __init__(self, folder: Path, office: Office, url: str) -> None:
        self._folder = folder
        self.office = office
        self._ledger = Ledger(url)
        self._url = url
        self.daemons: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.daemons.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()
        self._ledger.close()

    def hire(
        self, *names: str, lease: float = LEASE, batch: int = 5, more: str = "", program: Path | None = None
    ) -> None:
        """Start a daemon for each name. more: further tables of its configuration. program: as in start."""
        for name in names:
            sharing = f'[cluster]\nenabled = true\nname = "{name}"\nlease_seconds = {lease}\n'
            self.start(name, f"{sharing}{more}", batch, program)

    def start(self, name: str, more: str = "", batch: int = 5, program: Path | None = None) -> subprocess.Popen[str]:
        """Start a daemon that shares the work only where `more` says so. Its name stands in each of its emails.

        program: a folder that holds another crmdrip than the present one.
        """
        text = self.office.config.read_text(encoding="utf-8").replace(str(self.office.port), str(free_port()))
        text = text.replace("[daemon]", f"[daemon]\nbatch = {batch}").replace('level = "error"', 'level = "info"')
        text = text.replace('company = "Acme"', f'company = "Acme of {name}"')
        text += f'{more}[ledger]\nurl = "{self._url}"\n'
        (self._folder / f"{name}.toml").write_text(text, encoding="utf-8")
        with (self._folder / f"{name}.log").open("a") as log:
            self.daemons[name] = subprocess.Popen(
                [sys.executable, "-m", "crmdrip.cli", "--config", f"{name}.toml", "run"],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                env=environment() | ({"PYTHONPATH": str(program)} if program is not None else {}),
            )
        return self.daemons[name]

    def log(self, name: str) -> str:
        """What a daemon has logged so far."""
        return (self._folder / f"{name}.log").read_text()

    def signed_in(self) -> dict[str, SignedIn]:
        """Who stands in the ledger, by name."""
        if not self._ledger.exists():
            return {}
        with self._ledger.read() as connection:
            return {one.name: one for one in workers.signed_in(connection)}

    def at_work(self, *names: str) -> bool:
        """Whether all of these are."""
        known = self.signed_in()
        return all(name in known and known[name].ready for name in names)

    def kill(self, name: str) -> None:
        """As the kernel does when memory is short."""
        self.daemons[name].kill()
        self.daemons[name].wait()

    def freeze(self, name: str) -> None:
        """As a machine that is suspended."""
        os.kill(self.daemons[name].pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """It goes on where it was."""
        os.kill(self.daemons[name].pid, signal.SIGCONT)

    # the org and the provider

    def tick_more(self, people: int) -> None:
        """So many beside those whom the office has ticked."""
        for number in range(people):
            box = {"Drip_Enrolled__c": True, "Drip_Sequence__c": self.office.sequence_id}
            self.office.contact(f"more{number}@company{number}.example", **box)

    def sent(self) -> Counter[str]:
        """How many emails each address got."""
        return Counter(email.to for email in self.office.sent())

    def states(self) -> dict[str, int]:
        """The ledger's touches by state."""
        with self._ledger.read() as connection:
            return touches.count_touches(connection)

    def sent_by(self, name: str) -> int:
        """How many emails one of the daemons sent."""
        return sum(f"Acme of {name}".encode() in email.body for email in self.office.sent())

    def in_hand(self, name: str) -> int:
        """How many runs one of the daemons looks at or mails just now."""
        known = self.signed_in()
        return known[name].runs if name in known else 0

    def held_for(self, reason: str) -> int:
        """How many runs are held for it."""
        with self._ledger.read() as connection:
            found = select(func.count()).where(enrollment.c.reason == reason)
            return connection.execute(found).scalar_one()

    @contextmanager
    def without_database(self, server: Server) -> Iterator[None]:
        """Every connection to the ledger is cut, and none can be made."""
        name = self._ledger.engine.url.database
        self._ledger.engine.dispose()
        server.do(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        server.do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608 - a name of our own
        yield
        server.do(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    def count(self, statement: str) -> int:
        """What a query of one number finds in the ledger."""
        with self._ledger.read() as connection:
            return int(connection.exec_driver_sql(statement).scalar_one())

    def type(self, *arguments: str) -> str:
        """Type a command with the first daemon's configuration; what it prints."""
        command = [sys.executable, "-m", "crmdrip.cli", "--config", f"{next(iter(self.daemons))}.toml", *arguments]
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, check=True, env=environment(), timeout=60
        )
        return done.stdout
