"""A CRM in one JSON file: the smallest connector that keeps the contract, explained in connectors/README.md.

{"org": "acme", "users": {"1": {"name": "Rita", "email": "rita@acme.example", "active": true}},
 "sequences": {"intro": {"name": "Intro", "status": "Live", "steps": {"a": {"order": 1, "subject": "Hi", "body": ""}}}},
 "people": {"7": {"email": "ann@firm.example", "enrolled": true, "sequence": "intro", "opted_out": false}}}
"""

# ruff: noqa: D102 - what each method promises is said by the port

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from crmdrip.core.errors import ConfigurationError, CrmdripError, ErrorClass, RetriableError, UnknownPathsError
from crmdrip.core.keys import normalize_address
from crmdrip.core.model import (
    Brake,
    Owner,
    Record,
    RecordKind,
    RecordRef,
    SequenceDraft,
    Signal,
    StepDraft,
    StepKind,
    TouchRecord,
)
from crmdrip.ports import (
    ApprovalWrite,
    BounceWrite,
    Budget,
    Capability,
    CheckLevel,
    CheckResult,
    ConnectorContext,
    ControlWrite,
    CrmIdentity,
    CrmMapping,
    CrmSink,
    CrmSource,
    Look,
    Mailer,
    OptOutWrite,
    PullPage,
    ReplyWrite,
    Role,
    SequenceWrite,
    SignalFeed,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
    WriteOutcome,
)
from crmdrip.settings import StrictModel

_OURS = frozenset({"status", "reason", "step", "next_touch", "last_touch", "run"})
"""What only crmdrip writes: no news of a person."""


# --- what is set in config.toml --------------------------------------------------------------------------------------


class JsonSettings(StrictModel):
    """The table [crm.jsoncrm]."""

    file: Path = Field(strict=False, examples=["crm.json"])
    """Relative to config.toml."""


# --- the client: how it is reached, and what its failures are --------------------------------------------------------


class JsonFile:
    """The file, for several threads of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self.reads = 0

    def read(self) -> dict[str, Any]:
        """Everything. Raises RetriableError where it is away, ConfigurationError where it is no CRM."""
        self.reads += 1
        try:
            document: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RetriableError(f"the file cannot be read ({error.strerror}).", where=str(self._path)) from error
        except ValueError as error:
            raise ConfigurationError(f"no JSON: {error}.", where=str(self._path), do_next="Correct it.") from error
        for one, person in document["people"].items():
            if "opted_out" not in person:  # nobody may be mailed while it is not known who opted out (B26)
                raise ConfigurationError(
                    f"person {one} has no opt-out.", where=str(self._path), do_next='Add "opted_out": false.'
                )
        return document

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Everything, written back at the end, whole or not at all. Raises as read."""
        with self._lock:
            document = self.read()
            yield document
            draft = self._path.with_suffix(".new")
            draft.write_text(json.dumps(document, indent=1), encoding="utf-8")
            draft.replace(self._path)


# --- the meaning: from its rows to our values ------------------------------------------------------------------------


def read_person(mapping: CrmMapping, one: str, row: Mapping[str, Any], **more: Any) -> Record:
    """A Record."""

    def get(word: str) -> Any:
        return row.get(mapping.field("contact", word))

    return Record(
        ref=RecordRef(kind=RecordKind.CONTACT, id=one),
        email=get("email") or "",
        enrolled=bool(get("enrolled")),
        sequence_id=get("sequence"),
        approved=bool(get("approved")),
        opted_out=bool(get("opted_out")),
        bounced=bool(get("bounced_reason")),
        owner_id=get("owner"),
        status=get("status") or "",
        run=get("run") or 0,
        last_touch=datetime.fromisoformat(get("last_touch")) if get("last_touch") else None,
        modified_at=datetime(1970, 1, 1, tzinfo=UTC),
        **more,
    )


def read_sequence(one: str, row: Mapping[str, Any]) -> SequenceDraft:
    """A draft: whether it makes a sequence is judged by crmdrip."""
    steps = tuple(StepDraft(id=step, fields=fields) for step, fields in row["steps"].items())
    fields = {word: value for word, value in row.items() if word not in ("steps", "shown")}
    return SequenceDraft(id=one, fields=fields, steps=steps)


def digest(value: Any) -> str:
    """Changes with the value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


class JsonSource:
    """A CrmSource. Its cursor is what it gave out: no memory is needed, and none is lost."""

    def __init__(self, file: JsonFile, mapping: CrmMapping) -> None:
        self.file = file
        self._mapping = mapping

    def capabilities(self) -> frozenset[Capability]:
        return frozenset()

    def identity(self) -> CrmIdentity:
        org = self.file.read()["org"]
        return CrmIdentity(org_id=org, name=org, sandbox=False)

    def pull(self, cursor: str | None) -> Iterator[PullPage]:
        document = self.file.read()
        before = json.loads(cursor) if cursor else {"people": {}, "sequences": {}}
        wanted = {
            one: digest({word: value for word, value in row.items() if word not in _OURS})
            for one, row in document["people"].items()
            # A twin of somebody who opted out may be in a sequence; before the first pull nobody is.
            if row.get("enrolled") or row.get("status") or (cursor and row.get("opted_out"))
        }
        sequences = {one: read_sequence(one, row) for one, row in document["sequences"].items()}
        known = {
            one: digest([draft.fields, [s.id for s in draft.steps], [s.fields for s in draft.steps]])
            for one, draft in sequences.items()
        }
        gone = [one for one in before["people"] if one not in document["people"]]
        yield PullPage(
            sequences=tuple(draft for one, draft in sequences.items() if before["sequences"].get(one) != known[one]),
            removed_sequences=tuple(one for one in before["sequences"] if one not in known),
            records=(
                *(read_person(self._mapping, one, {}, deleted=True) for one in gone),
                *(
                    read_person(self._mapping, one, document["people"][one])
                    for one, now in wanted.items()
                    if before["people"].get(one) != now
                ),
            ),
            brake=_brake(document),
            cursor=json.dumps({"people": wanted, "sequences": known}),
        )

    def look(
        self,
        refs: Iterable[RecordRef],
        paths: frozenset[str],
        cursor: str | None,
        sequences: Iterable[str] = (),
        heartbeat: ControlWrite | None = None,
    ) -> Look:
        del cursor  # nothing happens here that is no change of a person
        words = self._mapping.merge["contact"]
        if unknown := frozenset(paths) - set(words):
            raise UnknownPathsError(f"no field for {', '.join(sorted(unknown))}.", paths=unknown, do_next="Correct it.")
        if heartbeat is None:
            document = self.file.read()
            brake = _brake(document)
        else:
            with self.file.change() as document:  # who stood there before is read in the very change that replaces it
                brake = _brake(document)
                _leave(document, heartbeat)
        return Look(
            records={
                ref.id: read_person(self._mapping, ref.id, row, fields={p: row.get(words[p]) or None for p in paths})
                for ref in refs
                if (row := document["people"].get(ref.id)) is not None
            },
            signals=(),
            brake=brake,
            at=datetime.now(UTC),
            statuses={one: document["sequences"].get(one, {}).get("status") for one in sequences},
        )

    def owners(self, ids: Iterable[str]) -> Mapping[str, Owner]:
        users = self.file.read()["users"]
        return {one: Owner(id=one, **users[one]) for one in ids if one in users}

    def find(self, text: str) -> tuple[Record, ...]:
        wanted, people = text.casefold(), self.file.read()["people"]
        return tuple(
            read_person(self._mapping, one, row)
            for one, row in people.items()
            if wanted in (one, row["email"].casefold(), str(row.get("first_name") or "").casefold())
        )

    def records_of(self, addresses: Iterable[str]) -> tuple[Record, ...]:
        wanted, people = set(addresses), self.file.read()["people"]
        return tuple(
            read_person(self._mapping, one, row)
            for one, row in people.items()
            if normalize_address(row["email"]) in wanted
        )

    def signals(self, since: datetime) -> tuple[Signal, ...]:
        del since
        return ()

    def touches(self, cursor: str | None) -> Iterator[tuple[tuple[TouchRecord, ...], str]]:
        every = list(self.file.read().get("touches", {}).values())
        yield (
            tuple(
                TouchRecord(**{**row, "at": datetime.fromisoformat(row["at"]), "kind": StepKind(row["kind"])})
                for row in (one["record"] for one in every[int(cursor or 0) :])
                if row["kind"] in ("email", "task")
            ),
            str(len(every)),
        )

    def budget(self) -> Budget:
        return Budget(used=None, limit=None, calls_made=self.file.reads)


def _brake(document: Mapping[str, Any]) -> Brake:
    control = document.get("control", {})
    heartbeat = control.get("heartbeat")
    return Brake(
        pulled=bool(control.get("brake")),
        by=control.get("brake_by", ""),
        heartbeat=datetime.fromisoformat(heartbeat) if heartbeat else None,
        claim=control.get("claim", ""),
    )


def _leave(document: dict[str, Any], write: ControlWrite) -> None:
    words = ("claim", "state", "calls_used", "calls_limit")
    values = {word: getattr(write, word) for word in words} | {"heartbeat": write.heartbeat.isoformat()}
    document.setdefault("control", {}).update(values)


# --- what is owed to it ----------------------------------------------------------------------------------------------


class JsonSink:
    """A CrmSink on the source's file."""

    def __init__(self, source: JsonSource, mapping: CrmMapping) -> None:
        self._file = source.file
        self._mapping = mapping

    def write(self, writes: Iterable[Write]) -> Iterator[WriteOutcome]:
        outcomes = []
        with self._file.change() as document:
            for write in writes:
                done = self._put(document, write)
                gone = None if done else ErrorClass.SKIPPABLE
                outcomes.append(WriteOutcome(key=write.key, error=gone, detail="" if done else "it is not there"))
        yield from outcomes  # what was yielded is settled: so not before it stands in the file

    def _put(self, document: dict[str, Any], write: Write) -> bool:
        """Make it stand there, however often it is asked for; False where there is nothing to write it on."""
        match write:
            case TaskWrite() | ReplyWrite():
                return _log(document, write)
            case TouchWrite():
                touch = document.get("touches", {}).get(write.touch_id)
                if touch is not None:
                    touch["record"]["outcome"] = write.outcome
                    touch.update(opens=write.opens, clicks=write.clicks)
                return touch is not None
            case SequenceWrite():
                row = document["sequences"].get(write.sequence_id)
                if row is not None:
                    row["shown"] = {"version": write.version, "error": write.error, **write.counts}
                return row is not None
            case ControlWrite():
                _leave(document, write)
                return True
            case StatusWrite():
                values: dict[str, Any] = {word: getattr(write, word) for word in _OURS}
                given = {"enrolled": write.enrolled, "sequence": write.sequence_id}
                values |= {word: value for word, value in given.items() if value is not None}
            case ApprovalWrite():
                values = {"approved": False}
            case OptOutWrite():
                values = {"opted_out": True}
            case BounceWrite():
                values = {"bounced_reason": write.reason}
        row = document["people"].get(write.ref.id)
        if row is not None:
            for word, value in values.items():
                plain = value.isoformat() if isinstance(value, datetime) else value
                row[self._mapping.field("contact", word)] = plain
        return row is not None


def _log(document: dict[str, Any], write: TaskWrite | ReplyWrite) -> bool:
    if write.ref.id not in document["people"]:
        return False
    if isinstance(write, ReplyWrite):
        own = {"touch_id": write.reply_id, "kind": "reply", "step_id": ""}
    else:
        kind = "task" if write.open else "note" if write.note else "email"
        own = {"touch_id": write.touch_id, "kind": kind, "step_id": write.step_id}
    words = ("sequence_id", "run", "outcome", "message_id", "subject")
    record = {word: getattr(write, word) for word in words} | own
    record |= {"record_id": write.ref.id, "at": write.at.isoformat()}
    touch = {"record": record, "body": write.body, "done": own["kind"] != "task", "opens": 0, "clicks": 0}
    # Under its id, and only where it does not stand yet: a task that the rep has done stays done.
    document.setdefault("touches", {}).setdefault(own["touch_id"], touch)
    return True


# --- how crmdrip gets at it ------------------------------------------------------------------------------------------


class JsonConnector:
    """What the entry point names."""

    name = "jsoncrm"
    role = Role.CRM
    settings_model = JsonSettings

    def build_source(self, context: ConnectorContext) -> CrmSource:
        if context.mapping is None:
            raise ConfigurationError("this CRM needs a mapping.", where="[crm]")
        return JsonSource(JsonFile(context.settings.file), context.mapping)

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:
        if not isinstance(source, JsonSource) or context.mapping is None:
            raise ConfigurationError("the sink needs the source.", where="jsoncrm")
        return JsonSink(source, context.mapping)

    def build_mailer(self, context: ConnectorContext) -> Mailer:
        del context
        raise ConfigurationError("a file sends no email.", where="[mail]", do_next='Choose "sendgrid" or "smtp".')

    def build_feed(self, context: ConnectorContext) -> SignalFeed | None:
        del context
        return None

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        try:
            found = self.build_source(context).identity()
        except CrmdripError as error:
            yield CheckResult(code="JSON-FILE", level=CheckLevel.FAIL, what=error.what, do_next=error.do_next)
        else:
            yield CheckResult(code="JSON-FILE", level=CheckLevel.OK, what=f"{found.name} can be read.")


connector = JsonConnector()
