"""The one row that says which database this is, holds the emergency brake, and keeps the newest heartbeat (B3, B25)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from connectors.sql.database import Database, Transaction
from connectors.sql.schema import Mapped, Schema
from connectors.sql.values import is_set, read_text, read_time
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.model import Brake
from crmdrip.ports import ControlWrite, CrmIdentity

_READ = ("org_id", "name", "home", "brake", "brake_by", "heartbeat", "claim")


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """What stands in it."""

    org_id: str
    name: str
    home: str
    """"" while nothing says where the database is at home."""
    brake: Brake


class ControlRow:
    """Reads and writes the row."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._home: str | None = None

    def identity(self, control: Control) -> CrmIdentity:
        """As the port tells it."""
        return CrmIdentity(org_id=control.org_id, name=control.name or self._database.where, sandbox=False)

    def read(self, transaction: Transaction, schema: Schema, *, held: bool = False) -> Control:
        """The row, which must be that of the configured database, at home (B25).

        held: whether nobody else may read it for writing until the transaction ends. Raises ConfigurationError for
        another one, for a copy, and where there is none or more than one; and as Transaction.rows.
        """
        control = self.read_any(transaction, schema, held=held)
        problem = self.problem(transaction, control)
        if problem is not None:
            raise problem
        return control

    def read_any(self, transaction: Transaction, schema: Schema, *, held: bool = False) -> Control:
        """The row, whichever database it says this is."""
        mapped = schema["control"]
        words = [word for word in _READ if word in mapped.fields]
        statement = select(*(mapped[word].column for word in words)).limit(2)
        rows = transaction.rows(statement.with_for_update() if held else statement)
        if len(rows) != 1:
            raise self._not_one(mapped, len(rows))
        row = dict(zip(words, rows[0], strict=True))
        org_id = read_text(row["org_id"]).strip()
        if not org_id:
            raise self._not_one(mapped, 0)
        return Control(
            org_id=org_id,
            name=read_text(row.get("name")),
            home=read_text(row.get("home")),
            brake=self._brake(row),
        )

    def problem(self, transaction: Transaction, control: Control) -> ConfigurationError | None:
        """Why this is not the database to mail from, None when it is."""
        wanted = self._database.settings.database_id
        if wanted and wanted != control.org_id:
            return ConfigurationError(
                f"the database {control.org_id} answers, and {wanted} is the one that may be mailed from.",
                where="[crm.sql] database_id",
                do_next="Correct file or url, or database_id.",
            )
        here = self.home(transaction)
        if control.home and control.home != here:
            name = self._database.mapping.object("control")
            return ConfigurationError(
                f"this database is at home in {control.home} and answers from {here}: a copy, or it was moved.",
                where=name,
                do_next=f"Of a copy, give {name}.org_id another value; after a move, set {name}.home to NULL.",
            )
        return None

    def home(self, transaction: Transaction) -> str:
        """Where the database is. Asked once in a process."""
        if self._home is None:
            self._home = self._database.home(transaction)
        return self._home

    def leave(self, transaction: Transaction, schema: Schema, write: ControlWrite) -> None:
        """Write the heartbeat; the brake is left alone. The first one says where the database is at home."""
        mapped = schema["control"]
        values: dict[str, Any] = {
            "heartbeat": write.heartbeat,
            "claim": write.claim,
            "state": write.state,
            "calls_used": write.calls_used,
            "calls_limit": write.calls_limit,
        }
        given = {
            mapped[word].column.name: mapped[word].fit(value) if isinstance(value, str) else mapped[word].show(value)
            for word, value in values.items()
            if word in mapped.fields
        }
        transaction.change(update(mapped.table).values(given))
        home = mapped.get("home")
        if home is not None:
            unknown = home.column.is_(None) | (home.column == "")
            place = {home.column.name: self.home(transaction)}
            transaction.change(update(mapped.table).where(unknown).values(place))

    def _brake(self, row: dict[str, Any]) -> Brake:
        zone = self._database.zone
        pulled = is_set(row["brake"])
        return Brake(
            pulled=pulled,
            by=(read_text(row.get("brake_by")) or "somebody in the database") if pulled else "",
            heartbeat=read_time(row["heartbeat"], zone),
            claim=read_text(row["claim"]),
        )

    def _not_one(self, mapped: Mapped, count: int) -> ConfigurationError:
        if count > 1:
            return ConfigurationError(
                f"{mapped.name} has more than one row, so it is not known which brake counts.",
                where=mapped.name,
                do_next="Delete all but one.",
            )
        return ConfigurationError(
            f"{mapped.name} has no row with an {mapped['org_id'].column.name}, so nothing says which database this is.",
            where=mapped.name,
            do_next="Type crmdrip install sql, or insert a row with a name of your choice for this database.",
        )
