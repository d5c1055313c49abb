"""A small org on the machine's own clock, and crmdrip typed against it: in this process, or as a process to kill."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import orjson
import pytest

from crmdrip import cli
from crmdrip.ledger import touches
from crmdrip.ledger.store import Ledger
from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.sandbox.sendgrid import AcceptedEmail
from crmdrip.sandbox.world import NOBODY_REACTS

PATIENCE = 60.0
"""Seconds after which something that has not happened never will."""

CONFIG = """\
[crm.salesforce]
domain = "acme.my"
base_url = "{salesforce}"
[crm.salesforce.auth.client_credentials]
consumer_key = "sandbox-consumer-key"
consumer_secret = "sandbox-consumer-secret"
[mail.sendgrid]
api_key = "SG.sandbox.sandbox-secret"
base_url = "{sendgrid}"
connections = 4
[sender]
company = "Acme"
postal_address = "1 Example Street, London"
[unsubscribe]
base_url = "http://127.0.0.1:{port}/u"
keys = ["sandbox-unsubscribe-key"]
[web]
listen = "127.0.0.1:{port}"
[safety]
in_doubt_deadline_hours = {deadline}
[daemon]
pull_seconds = 0.2
dispatch_seconds = 0.2
write_back_seconds = 0.2
reconcile_seconds = 0.2
drain_seconds = {drain}
[log]
level = "error"
"""

ALWAYS = {
    "Drip_Status__c": "Live",
    "Drip_Send_Days__c": "Mon;Tue;Wed;Thu;Fri;Sat;Sun",
    "Drip_Send_From__c": "00:00",
    "Drip_Send_Until__c": "23:59",
    "Drip_Time_Zone__c": "UTC",
    "Drip_Time_Zone_Policy__c": "Fixed",
    "Drip_Sender__c": "Owner",
    "Drip_Re_Enrollment__c": "Never",
    "Drip_Minimum_Gap_Hours__c": 20,
    "Drip_Confirmed__c": True,
}


@dataclass(frozen=True)
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value and nothing else."""
        return orjson.loads(self.out)


class Office:
    """An org in which an email may go out at any hour, and a folder with a config.toml."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.ledger_file = folder / "crmdrip.sqlite3"
        self.port = free_port()
        self.sandbox = Sandbox(people=0, seed=1, now=None, speed=1.0, habits=NOBODY_REACTS)
        self.sequence_id = ""

    def __enter__(self) -> Self:
        self.sandbox.__enter__()
        self.configure()
        self.sequence_id = self.insert("Drip_Sequence__c", Name="Hello", **ALWAYS | {"Drip_Status__c": "Draft"})
        for number in (1, 2):
            self.insert(
                "Drip_Step__c",
                Name=f"Step {number}",
                Drip_Sequence__c=self.sequence_id,
                Drip_Order__c=number,
                Drip_Kind__c="Email",
                Drip_Delay__c=2 * (number - 1),
                Drip_Delay_Unit__c="Days",
                Drip_Subject__c=f"Hello {number}",
                Drip_Body__c="<p>Hi {{ contact.title }} {{ contact.last_name }}</p>",
                Drip_Active__c=True,
            )
        self.sandbox.call(lambda: self.sandbox.org.update(self.sequence_id, {"Drip_Status__c": "Live"}))
        return self

    def __exit__(self, *exc: object) -> None:
        self.sandbox.__exit__(*exc)

    def configure(self, *, deadline: float = 72, drain: float = 30) -> None:
        """Write config.toml. deadline: hours in doubt; drain: seconds."""
        text = CONFIG.format(
            salesforce=self.sandbox.salesforce_url,
            sendgrid=self.sandbox.sendgrid_url,
            port=self.port,
            deadline=deadline,
            drain=drain,
        )
        self.config.write_text(text, encoding="utf-8")

    def use_ledger(self, name: str) -> None:
        """Another ledger in the same folder."""
        text = self.config.read_text(encoding="utf-8")
        self.config.write_text(f'{text}\n[ledger]\nurl = "sqlite:///{name}"\n', encoding="utf-8")
        self.ledger_file = self.folder / name

    # the org

    def insert(self, object_name: str, **fields: Any) -> str:
        """A new record; its id."""
        record_id: str = self.sandbox.call(lambda: self.sandbox.org.insert(object_name, fields))
        return record_id

    def contact(self, email: str, **fields: Any) -> str:
        """A contact of a rep; its id."""
        known = {"LastName": "Lee", "Title": "Ms", "Email": email, "OwnerId": self.sandbox.world.reps[0]}
        return self.insert("Contact", **{**known, **fields})

    def ticked(self, count: int = 1, **fields: Any) -> list[str]:
        """That many contacts with a ticked box; their ids."""
        box = {"Drip_Enrolled__c": True, "Drip_Sequence__c": self.sequence_id}
        return [self.contact(f"p{n}@firm{n}.example", **box, **fields) for n in range(count)]

    def change(self, record_id: str, **fields: Any) -> None:
        """Somebody changes a record."""
        self.sandbox.call(lambda: self.sandbox.org.update(record_id, fields))

    def read(self, record_id: str, *fields: str) -> tuple[Any, ...]:
        """Fields of a contact as an admin sees them."""
        soql = f"SELECT {', '.join(fields)} FROM Contact WHERE Id = '{record_id}'"  # noqa: S608 - against a stand-in
        (row,) = self.sandbox.call(lambda: self.sandbox.org.select(soql))
        return tuple(row[field] for field in fields)

    def sent(self) -> list[AcceptedEmail]:
        """What the provider accepted: the oracle."""
        return self.sandbox.call(lambda: list(self.sandbox.account.accepted))

    def twice(self) -> Mapping[str, int]:
        """Touches the provider accepted more than once. P1 says: none."""
        return self.sandbox.call(self.sandbox.account.duplicates)

    def slow_mail(self, seconds: float) -> None:
        """Every answer to an email comes late, though the email is taken at once; 0 for no more of that."""
        faults = self.sandbox.account.faults
        self.sandbox.call(faults.clear)
        if seconds:
            late = Fault(kind=FaultKind.SLOW, path="/v3/mail/send", delay=seconds, times=None)
            self.sandbox.call(lambda: faults.add(late))

    # crmdrip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A crmdrip process in the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "crmdrip.cli", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[str]]:
        """`crmdrip run`, killed at the end if it still runs."""
        process = self.start("run")
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def touches(self) -> dict[str, int]:
        """The ledger's touches by state."""
        ledger = Ledger(f"sqlite:///{self.ledger_file}")
        try:
            with ledger.read() as connection:
                return touches.count_touches(connection)
        finally:
            ledger.close()


class Shell:
    """Types commands in this process, which is twenty times faster than a new one."""

    def __init__(self, office: Office, capsys: pytest.CaptureFixture[str]) -> None:
        self._office = office
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        """Type one command line."""
        self._capsys.readouterr()
        code = cli.run(["--config", str(self._office.config), *arguments])
        out, err = self._capsys.readouterr()
        return Result(code=code, out=out, err=err)


def until(happened: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for something another process does. Fails when it does not, or when that process ends first."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        if process is not None and process.poll() is not None:
            pytest.fail(f"the process ended with {process.returncode}: {process.communicate()[1]}")
        time.sleep(0.02)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def now() -> datetime:
    """Aware UTC."""
    return datetime.now(UTC)


def environment() -> dict[str, str]:
    """That of the tests, without what a developer's shell may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CRMDRIP_")}
