"""People and admins at work in a CRM's database, in the words of the CRM contract."""

# ruff: noqa: D102 - what each does is said by CrmDriver
# ruff: noqa: S608 - statements of a test against its own database

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

import pytest
from sql_peer import PostgresqlPeer, SqlPeer
from sqlalchemy import insert, inspect, select, text, update

from connectors.sql.values import read_time
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.testing.crm import CrmTrouble

_OURS = frozenset(
    ("enrolled", "sequence", "paused_until", "approved", "status", "reason", "step", "next_touch", "last_touch", "run")
)
_BOXES = frozenset({"enrolled", "approved", "opted_out", "brake"})
_TIMES = frozenset({"heartbeat", "next_touch", "last_touch", "bounced_at"})


class SqlDriver:
    """A CrmDriver for a database: whoever works in it keeps the time of each change."""

    def __init__(self, peer: SqlPeer) -> None:
        self.peer = peer
        self.mapping = peer.mapping
        self.apart = bool(self.mapping.objects["status"])
        self._ids = {name: count(first) for name, first in (("people", 1), ("sequence", 5_001), ("step", 50_001))}
        self._ids["user"] = count(9_001)
        self._deleted: dict[str, dict] = {}
        self._holder = None

    # people

    def add_person(self, kind: RecordKind, *, email: str, **words: object) -> RecordRef:
        one = next(self._ids["people"])
        own, ours = self._split(words)
        self._insert("contacts", {"id": one, "email": email, "updated_at": self._soon(), **own})
        if ours:
            self._insert("drip_status", {"contact_id": one, "updated_at": self._soon(), **ours})
        return RecordRef(kind=kind, id=str(one))

    def change(self, ref: RecordRef, **words: object) -> None:
        own, ours = self._split(words)
        if own:
            self._update("contacts", "id", int(ref.id), {**own, "updated_at": self._soon()})
        if ours:
            row = {**ours, "updated_at": self._soon()}
            if self._one("drip_status", "contact_id", int(ref.id)) is None:
                self._insert("drip_status", {"contact_id": int(ref.id), **row})
            else:
                self._update("drip_status", "contact_id", int(ref.id), row)

    def read(self, ref: RecordRef, word: str) -> object:
        row = self._one("contacts", "id", int(ref.id))
        own = self._one("drip_status", "contact_id", int(ref.id)) if self.apart else None
        if self.apart and word in {*_OURS, "opted_out", "bounced_reason", "bounced_at"} and own is not None:
            return _typed(word, own[self.mapping.field("status", word)])
        return _typed(word, row[self.mapping.field("contact", word)])

    def delete(self, record_id: str) -> None:
        number = int(record_id)
        place = "drip_steps" if number > 50_000 else "drip_sequences" if number > 5_000 else "contacts"

        def work(connection) -> None:
            table = self.peer.table(place, connection)
            (row,) = connection.execute(select(table).where(table.c.id == number)).mappings()
            self._deleted[record_id] = dict(row)
            connection.execute(table.delete().where(table.c.id == number))

        self.peer.run(work)

    def restore(self, record_id: str) -> None:
        self._insert("contacts", {**self._deleted[record_id], "updated_at": self._soon()})

    def merge(self, winner: RecordRef, loser: RecordRef) -> RecordRef:
        row = {"merged_into": int(winner.id), "updated_at": self._soon()}
        self._update("contacts", "id", int(loser.id), row)
        return winner

    def convert(self, lead: RecordRef, *, opportunity: bool) -> RecordRef:
        pytest.skip("a table of contacts has no leads that could be converted")

    # sequences

    def add_sequence(self, name: str, steps: list[str]) -> str:
        one = next(self._ids["sequence"])
        self._insert("drip_sequences", {"id": one, "name": name, "status": "Live"})
        for number, subject in enumerate(steps, 1):
            step = {"id": next(self._ids["step"]), "sequence_id": one, "position": number, "kind": "email"}
            body = f"About {subject}"
            self._insert("drip_steps", {**step, "delay": 1, "delay_unit": "days", "subject": subject, "body": body})
        return str(one)

    def step_ids(self, sequence_id: str) -> list[str]:
        def work(connection):
            steps = self.peer.table("drip_steps", connection)
            wanted = select(steps.c.id).where(steps.c.sequence_id == int(sequence_id)).order_by(steps.c.position)
            return [str(one) for one in connection.scalars(wanted)]

        return self.peer.run(work, moves=False)

    def change_step(self, step_id: str, **words: object) -> None:
        row = {self.mapping.field("step", word): value for word, value in words.items()}
        self._update("drip_steps", "id", int(step_id), row)

    def sequence(self, sequence_id: str) -> dict:
        row = self._one("drip_sequences", "id", int(sequence_id))
        return {word: row[name] for word, name in self.mapping.fields["sequence"].items() if name}

    # what happens

    def book_meeting(self, ref: RecordRef, subject: str) -> None:
        self._insert("meetings", {"contact_id": int(ref.id), "subject": subject, "created_at": self._soon()})

    def open_opportunity(self, ref: RecordRef, name: str) -> None:
        self._insert("deals", {"contact_id": int(ref.id), "name": name, "created_at": self._soon()})

    def receive(self, ref: RecordRef, subject: str, body: str, **more: object) -> None:
        row = {"contact_id": int(ref.id), "subject": subject, "body": body, "created_at": self._soon(), **more}
        self._insert("incoming_emails", row)

    def set_brake(self, *, pulled: bool) -> None:
        self.peer.run(
            lambda connection: connection.execute(
                update(self.peer.table("drip_control", connection)).values(brake=pulled, brake_by="Ada Admin")
            )
        )

    def control(self) -> dict:
        def work(connection):
            (row,) = connection.execute(select(self.peer.table("drip_control", connection))).mappings()
            return dict(row)

        row = self.peer.run(work, moves=False)
        return {word: _typed(word, row[name]) for word, name in self.mapping.fields["control"].items()}

    def add_user(self, name: str, email: str, *, active: bool) -> str:
        one = next(self._ids["user"])
        self._insert("users", {"id": one, "name": name, "email": email, "active": active, "is_person": True})
        return str(one)

    def add_queue(self, name: str) -> str:
        one = next(self._ids["user"])
        self._insert("users", {"id": one, "name": name, "email": "", "active": True, "is_person": False})
        return str(one)

    def timeline(self, ref: RecordRef) -> list[dict]:
        def work(connection):
            touches = self.peer.table("drip_touches", connection)
            wanted = select(touches).where(touches.c.contact_id == int(ref.id)).order_by(touches.c.id)
            return [dict(row) for row in connection.execute(wanted).mappings()]

        rows = self.peer.run(work, moves=False)
        names = self.mapping.fields["touch"].items()
        return [{**{word: row[name] for word, name in names}, "closed": row["done_at"] is not None} for row in rows]

    def finish_task(self, touch_id: str) -> None:
        self._update("drip_touches", "touch_id", touch_id, {"done_at": self._soon()})

    # trouble

    def refuse_changes_of(self, ref: RecordRef, message: str) -> None:
        place, key = ("drip_status", "contact_id") if self.apart else ("contacts", "id")

        def work(connection) -> None:
            if connection.dialect.name == "postgresql":
                connection.execute(
                    text(
                        "CREATE OR REPLACE FUNCTION hands_off() RETURNS trigger LANGUAGE plpgsql AS"
                        f" $$ BEGIN RAISE EXCEPTION '{message}'; END $$"
                    )
                )
                connection.execute(
                    text(
                        f"CREATE TRIGGER hands_off BEFORE INSERT OR UPDATE ON {place} FOR EACH ROW"
                        f" WHEN (NEW.{key} = {ref.id}) EXECUTE FUNCTION hands_off()"
                    )
                )
                return
            for verb in ("UPDATE", "INSERT"):
                connection.execute(
                    text(
                        f"CREATE TRIGGER hands_off_{verb} BEFORE {verb} ON {place} WHEN NEW.{key} = {ref.id}"
                        f" BEGIN SELECT RAISE(ABORT, '{message}'); END"
                    )
                )

        self.peer.run(work)

    def lock(self, ref: RecordRef) -> None:
        place, key = ("drip_status", "contact_id") if self.apart else ("contacts", "id")
        self._holder = self.peer.engine.connect()
        if self._holder.dialect.name == "sqlite":
            self._holder.exec_driver_sql("BEGIN IMMEDIATE")  # a file is locked as a whole
        else:
            self._holder.execute(text(f"SELECT 1 FROM {place} WHERE {key} = {ref.id} FOR UPDATE"))

    def unlock(self, ref: RecordRef) -> None:
        self._holder.rollback()
        self._holder.close()
        self._holder = None

    def trouble(self, trouble: CrmTrouble) -> None:
        if isinstance(self.peer, PostgresqlPeer):
            self._trouble_postgresql(trouble)
            return
        match trouble:
            case CrmTrouble.DOWN:
                self._holder = self.peer.engine.connect()
                self._holder.exec_driver_sql("BEGIN EXCLUSIVE")
            case CrmTrouble.OPT_OUT_HIDDEN:
                self._rename("opted_out", "opted_out_once")
            case CrmTrouble.LOGGED_OUT | CrmTrouble.DENIED:
                pytest.skip("nobody logs in to a file")
            case CrmTrouble.QUOTA_GONE:
                pytest.skip("a file has no quota")
            case CrmTrouble.CUT_AFTER_WRITE:
                pytest.skip("no connection to a file can break")

    def _trouble_postgresql(self, trouble: CrmTrouble) -> None:
        wire = self.peer.server.wire
        match trouble:
            case CrmTrouble.LOGGED_OUT:
                self._end_sessions()
            case CrmTrouble.DENIED:
                self._do("ALTER ROLE crmdrip NOLOGIN")
                self._end_sessions()
            case CrmTrouble.QUOTA_GONE:
                self._do("ALTER ROLE crmdrip CONNECTION LIMIT 0")
                self._end_sessions()
            case CrmTrouble.DOWN:
                wire.down = True
                wire.break_all()
            case CrmTrouble.CUT_AFTER_WRITE:
                wire.cut_next_write = True
            case CrmTrouble.OPT_OUT_HIDDEN:
                place = "people" if self.apart else "contacts"
                self._do(f"REVOKE SELECT ON {place} FROM crmdrip")
                columns = self.peer.run(lambda connection: list(self.peer.table("contacts", connection).c.keys()))
                seen = ", ".join(name for name in columns if name != "opted_out")
                self._do(f"GRANT SELECT ({seen}) ON {place} TO crmdrip")

    def recover(self) -> None:
        if self._holder is not None:
            self.unlock(None)
        if isinstance(self.peer, PostgresqlPeer):
            self.peer.server.wire.down = False
            self._do("ALTER ROLE crmdrip LOGIN CONNECTION LIMIT -1")
            self.peer.run(self.peer.grant)
            return
        columns = self.peer.run(lambda connection: inspect(connection).get_columns("contacts"))
        if "opted_out_once" in [one["name"] for one in columns]:
            self._rename("opted_out_once", "opted_out")

    def _rename(self, old: str, new: str) -> None:
        if self.apart:
            self._do("DROP VIEW people")
        self._do(f"ALTER TABLE contacts RENAME COLUMN {old} TO {new}")
        if self.apart:
            self._do("CREATE VIEW people AS SELECT * FROM contacts")

    def _end_sessions(self) -> None:
        # Waits for each to end: before, it might answer once more.
        self._do("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'crmdrip'")

    def short_pages(self, rows: int) -> None:
        self.peer.database.page = rows

    def pass_time(self, seconds: float) -> None:
        self.peer.clock.move(seconds=seconds)

    # statements

    def _do(self, statement: str) -> None:
        self.peer.run(lambda connection: connection.execute(text(statement)))

    def _soon(self) -> datetime:
        """The time of the next transaction."""
        return self.peer.clock.now() + timedelta(seconds=1)

    def _split(self, words: dict) -> tuple[dict, dict]:
        """What stands with the person, and what in a table of crmdrip's own."""
        ours = {word for word in words if self.apart and word in _OURS}
        merge, known = self.mapping.merge["contact"], self.mapping.fields["contact"]
        numbers = {"sequence", "owner", "account"}

        def value(word: str) -> object:
            given = words[word]
            return int(given) if word in numbers and given is not None else given

        own = {known.get(word) or merge[word]: value(word) for word in words if word not in ours}
        return own, {self.mapping.field("status", word): value(word) for word in ours}

    def _insert(self, name: str, row: dict) -> None:
        self.peer.run(lambda connection: connection.execute(insert(self.peer.table(name, connection)).values(row)))

    def _update(self, name: str, key: str, value: object, row: dict) -> None:
        def work(connection) -> None:
            table = self.peer.table(name, connection)
            connection.execute(update(table).where(table.c[key] == value).values(row))

        self.peer.run(work)

    def _one(self, name: str, key: str, value: object) -> dict | None:
        def work(connection):
            table = self.peer.table(name, connection)
            row = connection.execute(select(table).where(table.c[key] == value)).mappings().first()
            return dict(row) if row is not None else None

        return self.peer.run(work, moves=False)


def _typed(word: str, value: object) -> object:
    if word in _BOXES:
        return bool(value)
    return read_time(value, datetime.now().astimezone().tzinfo) if word in _TIMES else value
