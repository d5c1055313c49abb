"""A small org, a mail account and the daemon's parts over real HTTP, on a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from ledger_places import FilePlace, Place

from crmdrip.assembly import assemble
from crmdrip.config import Settings, load
from crmdrip.core.model import Enrollment, Touch
from crmdrip.core.struct import replace
from crmdrip.core.writes import Write
from crmdrip.daemon import passes
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import outbox, runs, touches
from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.faults import Fault
from crmdrip.sandbox.sendgrid import AcceptedEmail
from crmdrip.sandbox.world import Habits

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
"""A Monday on which no holiday and no change of clocks is near."""

SEQUENCE = {
    "Drip_Status__c": "Live",
    "Drip_Send_Days__c": "Mon;Tue;Wed;Thu;Fri",
    "Drip_Send_From__c": "09:00",
    "Drip_Send_Until__c": "17:00",
    "Drip_Time_Zone__c": "UTC",
    "Drip_Time_Zone_Policy__c": "Fixed",
    "Drip_Sender__c": "Owner",
    "Drip_Re_Enrollment__c": "Never",
    "Drip_Minimum_Gap_Hours__c": 20,
    "Drip_On_Conversion__c": "Stop if Opportunity",
}
EMAIL = {
    "Drip_Kind__c": "Email",
    "Drip_Delay__c": 2,
    "Drip_Delay_Unit__c": "Days",
    "Drip_Subject__c": "Hello",
    "Drip_Body__c": "<p>Hi {{ contact.last_name }}, shall we talk?</p>",
    "Drip_Active__c": True,
}


class DaemonClock:
    """The sandbox's time as the daemon's machine shows it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.ahead = timedelta()
        """How far the machine's clock is wrong (B29)."""

    def now(self) -> datetime:
        """Aware UTC."""
        return self._sandbox.clock() + self.ahead


class Stage:
    """One org with people, and one daemon whose passes the test calls. Changes run in the servers' thread."""

    def __init__(self, folder: Path, place: Place | Path, *, now: datetime = MONDAY, **sandbox: Any) -> None:
        """place: where the ledger is, or a migrated file, of which a copy in the folder is one."""
        quiet = Habits(**{spec.name: 0.0 for spec in fields(Habits)})
        self.sandbox = Sandbox(people=0, seed=1, now=now, habits=quiet, **sandbox)
        self.clock = DaemonClock(self.sandbox)
        self.folder = folder
        self.place: Place = FilePlace(folder / "crmdrip.sqlite3", place) if isinstance(place, Path) else place
        self._daemon = ExitStack()
        self.parts: Parts
        self.settings: Settings
        self._number = 0

    def __enter__(self) -> Self:
        self.sandbox.__enter__()
        text = EXAMPLE.read_text(encoding="utf-8")
        text = text.replace("http://127.0.0.1:8181", self.sandbox.salesforce_url)
        text = text.replace("http://127.0.0.1:8182", self.sandbox.sendgrid_url)
        text = text.replace('# url = "sqlite:///crmdrip.sqlite3"', f'url = "{self.place.url}"')
        (self.folder / "config.toml").write_text(text, encoding="utf-8")
        self.settings = load(self.folder / "config.toml")
        self.place.empty()
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._daemon.close()
        errors = [*self.sandbox.salesforce_server.errors, *self.sandbox.sendgrid_server.errors]
        self.sandbox.__exit__(*exc)
        assert errors == []

    # the daemon

    def start(self, **limits: Any) -> None:
        """Assemble the parts anew, as a process that starts does; nothing is prepared yet."""
        self._daemon.close()
        self._daemon = ExitStack()
        self.parts = self._daemon.enter_context(assemble(self.settings, self.clock, exclusive=True))
        self.limit(**limits)

    def share(self, count: int) -> list[Parts]:
        """End the process, and start so many in its place that work together on its ledger (on PostgreSQL)."""
        self._daemon.close()
        self._daemon = ExitStack()
        crew = [assemble(self.settings, self.clock, exclusive=False, shared=True) for _ in range(count)]
        shared = [replace(self._daemon.enter_context(one), limits=self.parts.limits) for one in crew]
        self.parts = shared[0]
        return shared

    def limit(self, **limits: Any) -> None:
        """Other limits than the example's."""
        self.parts = replace(self.parts, limits=replace(self.parts.limits, **limits))

    def restart(self) -> None:
        """End the process and start it again, with what comes before the first pass."""
        limits = self.parts.limits
        self.start()
        self.parts = replace(self.parts, limits=limits)
        passes.prepare(self.parts)

    def lose_ledger(self) -> None:
        """Delete the ledger between two lives of the process; the next one is empty."""
        self._daemon.close()
        self.place.empty()
        self.start()

    def back_up_ledger(self) -> Any:
        """A copy of the ledger, made while the daemon goes on."""
        return self.place.back_up()

    def copy_ledger(self) -> Any:
        """A copy of the ledger, made between two lives of the process."""
        self._daemon.close()
        copy = self.place.back_up()
        self.start()
        return copy

    def restore_ledger(self, copy: Any) -> None:
        """Put a copy in the ledger's place between two lives of the process."""
        self._daemon.close()
        self.place.restore(copy)
        self.start()

    def turn(self) -> dict[str, Mapping[str, Any]]:
        """One full pass, and a pull before it: a source may ask for its streams by turns."""
        passes.pull(self.parts)
        return passes.run_all(self.parts)

    def play(self, until: datetime, step: timedelta = timedelta(hours=3)) -> None:
        """Pass after pass until the time."""
        while self.sandbox.clock() < until:
            self.sandbox.set_time(min(self.sandbox.clock() + step, until))
            self.turn()

    # time

    @property
    def now(self) -> datetime:
        """The true time."""
        return self.sandbox.clock()

    def at(self, now: datetime) -> None:
        """Move the clock to a time."""
        self.sandbox.set_time(now)

    def later(self, **by: float) -> None:
        """Move the clock on, by the words of timedelta."""
        self.sandbox.set_time(self.now + timedelta(**by))

    # the org

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call anything of the sandbox in the servers' thread."""
        return self.sandbox.call(lambda: function(*args, **kwargs))

    @property
    def rep(self) -> str:
        """The id of a user who can send."""
        return self.sandbox.world.reps[0]

    def sequence(self, *steps: Mapping[str, Any], **fields: Any) -> str:
        """A live sequence on weekdays from nine to five UTC, by default of three emails two days apart; its id."""
        self._number += 1
        chosen = {**SEQUENCE, "Name": f"Sequence {self._number}", **fields}
        sequence_id: str = self.do(
            self.sandbox.org.insert, "Drip_Sequence__c", {**chosen, "Drip_Status__c": "Draft"}
        )  # fmt: skip
        for number, step in enumerate(steps or ({"Drip_Delay__c": 0}, {}, {})):
            self.step(sequence_id, **{"Drip_Order__c": 10 * (number + 1), "Name": f"Step {number + 1}", **step})
        self.do(self.sandbox.org.update, sequence_id, {"Drip_Status__c": chosen["Drip_Status__c"]})
        return sequence_id

    def step(self, sequence_id: str, **fields: Any) -> str:
        """A further step; its id."""
        step_id: str = self.do(
            self.sandbox.org.insert, "Drip_Step__c", {**EMAIL, "Drip_Sequence__c": sequence_id, **fields}
        )
        return step_id

    def steps(self, sequence_id: str) -> list[str]:
        """The ids of the sequence's steps, in order."""
        soql = f"SELECT Id FROM Drip_Step__c WHERE Drip_Sequence__c = '{sequence_id}' ORDER BY Drip_Order__c"  # noqa: S608 - against a stand-in
        return [row["Id"] for row in self.do(self.sandbox.org.select, soql)]

    def contact(self, email: str = "ann@acme.example", **fields: Any) -> str:
        """A contact of the rep; its id."""
        return self._person("Contact", email, fields)

    def lead(self, email: str = "lee@acme.example", **fields: Any) -> str:
        """A lead of the rep; its id."""
        return self._person("Lead", email, {"Company": "Acme", **fields})

    def _person(self, kind: str, email: str, fields: Mapping[str, Any]) -> str:
        known = {"LastName": email.partition("@")[0].title() or "Nobody", "Email": email or None, "OwnerId": self.rep}
        record_id: str = self.do(self.sandbox.org.insert, kind, {**known, **fields})
        return record_id

    def tick(self, record_id: str, sequence_id: str) -> None:
        """A rep ticks the box."""
        self.change(record_id, Drip_Enrolled__c=True, Drip_Sequence__c=sequence_id)

    def change(self, record_id: str, **fields: Any) -> None:
        """Somebody changes a record."""
        self.do(self.sandbox.org.update, record_id, fields)

    def ticked(self, sequence_id: str, count: int) -> list[str]:
        """That many contacts with a ticked box; their ids."""
        return [
            self.contact(f"p{n}@firm{n}.example", Drip_Enrolled__c=True, Drip_Sequence__c=sequence_id)
            for n in range(count)
        ]

    def record(self, record_id: str) -> dict[str, Any]:
        """All fields of one record, deleted or not, as an admin sees them."""
        spec = self.sandbox.org.schema.of_id(record_id)
        assert spec is not None
        soql = f"SELECT {', '.join(spec.fields)} FROM {spec.name} WHERE Id = '{record_id}'"  # noqa: S608 - against a stand-in
        rows: list[dict[str, Any]] = self.do(self.sandbox.org.select, soql, everything=True)
        return rows[0]

    def shown(self, record_id: str) -> tuple[str, str]:
        """Status and reason as they stand on the record."""
        row = self.record(record_id)
        return row["Drip_Status__c"] or "", row["Drip_Reason__c"] or ""

    def tasks(self, record_id: str) -> list[dict[str, Any]]:
        """What stands on a record's timeline, oldest first."""
        soql = (
            "SELECT Id, Subject, Description, IsClosed, WhoId, Drip_Touch_Id__c, Drip_Outcome__c, Drip_Step_Id__c"  # noqa: S608 - against a stand-in
            f" FROM Task WHERE WhoId = '{record_id}' ORDER BY CreatedDate"
        )
        rows: list[dict[str, Any]] = self.do(self.sandbox.org.select, soql)
        return rows

    def fail_crm(self, *faults: Fault) -> None:
        """Let the CRM go wrong."""
        self.do(self.sandbox.org.faults.add, *faults)

    def fail_mail(self, *faults: Fault) -> None:
        """Let the mail provider go wrong."""
        self.do(self.sandbox.account.faults.add, *faults)

    def mend(self) -> None:
        """Everything works again."""
        self.do(self.sandbox.org.faults.clear)
        self.do(self.sandbox.account.faults.clear)

    # what went out and what is known

    def sent(self, address: str = "") -> list[AcceptedEmail]:
        """What the provider accepted, to one address or in all: the oracle."""
        emails = self.do(lambda: list(self.sandbox.account.accepted))
        return [email for email in emails if not address or email.to == address]

    def twice(self) -> dict[str, int]:
        """Touches the provider accepted more than once. P1 says: none."""
        found: dict[str, int] = self.do(self.sandbox.account.duplicates)
        return found

    def runs(self, record_id: str) -> list[Enrollment]:
        """The record's runs, oldest first."""
        with self.parts.ledger.read() as connection:
            return runs.runs_of_record(connection, record_id)

    def run(self, record_id: str) -> Enrollment:
        """The record's newest run."""
        return self.runs(record_id)[-1]

    def touches(self, record_id: str) -> list[Touch]:
        """Every touch of the record's runs, oldest first."""
        with self.parts.ledger.read() as connection:
            return touches.touches_in_full(connection, [run.id for run in runs.runs_of_record(connection, record_id)])

    def owed(self) -> list[Write]:
        """Every write-back that waits, parked ones included."""
        with self.parts.ledger.read() as connection:
            due = outbox.due(connection, datetime(9999, 1, 1, tzinfo=UTC), 10_000)
            return [one.write for one in (*due, *outbox.parked(connection))]

    def crm_calls(self) -> int:
        """API calls the org has counted."""
        calls: int = self.do(lambda: self.sandbox.org.api_calls)
        return calls
