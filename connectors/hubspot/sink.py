"""Writing HubSpot: a hundred rows a call, every row's refusal understood by its own category and codes (B21).

What stands on the timeline is created, not upserted: the touch id is unique, so a repeat is refused for its value and
stands already. An upsert takes no associations, and would reopen a task that a rep has finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import structlog

from connectors.hubspot.client import BATCH, TRACE, Answer
from connectors.hubspot.control import control_values
from connectors.hubspot.faults import Fault
from connectors.hubspot.preferences import opt_out
from connectors.hubspot.rows import (
    Row,
    approval_row,
    bounce_row,
    constants,
    join,
    news_row,
    status_row,
    timeline_row,
    touch_row,
    word_of,
)
from connectors.hubspot.source import HubSpotSource
from connectors.hubspot.trail import split_trail
from connectors.hubspot.values import is_ticked
from crmdrip.core.errors import ConfigurationError, ErrorClass, RejectedError
from crmdrip.core.struct import replace
from crmdrip.ports import (
    ApprovalWrite,
    BounceWrite,
    ControlWrite,
    OptOutWrite,
    Purpose,
    ReplyWrite,
    SequenceWrite,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
    WriteOutcome,
    reads_answers_of,
)

log = structlog.get_logger()

_TAKEN = "CONFLICTING_UNIQUE_VALUE"
_NO_OWNER = "INVALID_OWNER_ID"
_GONE = "OBJECT_NOT_FOUND"
_DEFINITIONS = frozenset({"PROPERTY_DOESNT_EXIST", "INVALID_OPTION", "READ_ONLY_VALUE"})
"""An admin archived a property of ours, or one of its options: what is refused for it goes on once that is mended."""
_NEEDED = frozenset({"status", "enrolled", "run", "touch_id", "sequence_id", "step_id", "at", "direction"})
"""Words without which a write says nothing. The others are shown to people, and the doctor reports them missing."""


@dataclass(kw_only=True, slots=True)
class _Plan:
    """What is written by which way, in this order."""

    contacts: dict[str, Row] = field(default_factory=dict)
    opt_outs: list[OptOutWrite] = field(default_factory=list)
    timeline: dict[str, list[TaskWrite | ReplyWrite]] = field(default_factory=dict)
    news: dict[str, list[TouchWrite]] = field(default_factory=dict)
    """By touch id, the newest last."""
    sequences: list[SequenceWrite] = field(default_factory=list)
    controls: list[ControlWrite] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """A contact stands in a batch once, whatever changes of it."""
        before = self.contacts.get(row.id)
        self.contacts[row.id] = row if before is None else join(before, row)


@reads_answers_of("HubSpot")
class HubSpotSink:
    """A CrmSink on the source's portal: one pool of connections and one budget for both."""

    def __init__(self, source: HubSpotSource) -> None:
        self._portal = source.portal
        self._timeline = source.timeline

    def write(self, writes: Iterable[Write]) -> Iterator[WriteOutcome]:
        """Write everything, each at most once under its key; an outcome per write, as calls are answered.

        Raises AuthError, RateLimitedError, RetriableError, and ConfigurationError where not even contacts can be
        written; what was not yielded was not settled. What the key may not do beside that is told of each write.
        """
        self._portal.identity()  # nothing is written to another portal (B25)
        plan = self._plan(writes)
        mapping = self._portal.mapping
        yield from _apart(self._opt_out(plan.opt_outs), plan.opt_outs)
        rows = sorted(plan.contacts.values(), key=lambda row: not row.urgent)
        yield from self._send("update", mapping.object("contact"), rows)
        for word, made in plan.timeline.items():
            yield from _apart(self._log(word, made), made)
        if plan.news:  # after the emails themselves, which an update does not make
            news = [write for writes in plan.news.values() for write in writes]
            yield from _apart(self._tell(plan.news), news)
        for write in plan.sequences:
            yield self._show_sequence(write)
        for control in plan.controls:
            yield self._beat(control)

    def _plan(self, writes: Iterable[Write]) -> _Plan:
        mapping, plan = self._portal.mapping, _Plan()
        for write in writes:
            match write:
                case StatusWrite():
                    plan.add(status_row(mapping, write))
                case BounceWrite():
                    plan.add(bounce_row(mapping, write))
                case ApprovalWrite():
                    plan.add(approval_row(mapping, write))
                case OptOutWrite():
                    plan.opt_outs.append(write)
                case TaskWrite() | ReplyWrite():
                    plan.timeline.setdefault(word_of(write), []).append(write)
                case TouchWrite():
                    plan.news.setdefault(write.touch_id, []).append(write)
                case SequenceWrite():
                    plan.sequences.append(write)
                case ControlWrite():
                    plan.controls.append(write)
                case _:
                    assert_never(write)
        return plan

    # the timeline

    def _log(self, word: str, writes: Sequence[TaskWrite | ReplyWrite]) -> Iterator[WriteOutcome]:
        """Make what does not stand yet."""
        mapping = self._portal.mapping
        keyed = self._timeline.is_keyed(word, Purpose.REPORT)
        fresh: Sequence[TaskWrite | ReplyWrite] = writes
        if not keyed:
            people = list(dict.fromkeys(write.ref.id for write in writes))
            standing = self._timeline.find(word, people, Purpose.REPORT)
            yield from (WriteOutcome(key=write.key) for write in writes if _touch_id(write) in standing)
            fresh = [write for write in writes if _touch_id(write) not in standing]
        companies, deals = self._companies(fresh), self._deals(fresh)
        rows = [
            timeline_row(
                mapping,
                write,
                keyed=keyed,
                company=companies.get(write.ref.id, ""),
                deals=deals.get(write.ref.id, ()),
            )
            for write in fresh
        ]
        yield from self._send("create", mapping.object(word), rows)

    def _companies(self, writes: Sequence[TaskWrite | ReplyWrite]) -> dict[str, str]:
        """The company of each contact, where it is wanted."""
        portal = self._portal
        if not portal.client.settings.log_on_company:
            return {}
        name = portal.contacts.name("account")
        rows = portal.read_contacts([write.ref.id for write in writes], [name], Purpose.REPORT)
        return {one: row[name] for one, row in rows.items() if row.get(name)}

    def _deals(self, writes: Sequence[TaskWrite | ReplyWrite]) -> dict[str, list[str]]:
        """The open deals of each contact, where they are wanted. Without the scope for them it stands on none."""
        portal, object_of = self._portal, self._portal.mapping.object
        if not portal.client.settings.log_on_deal or not writes:
            return {}
        closed = portal.mapping.field("deal", "closed")
        people = list(dict.fromkeys(write.ref.id for write in writes))
        try:
            links = portal.linked(object_of("contact"), people, object_of("deal"), Purpose.REPORT)
            every = list(dict.fromkeys(deal for deals in links.values() for deal in deals))
            rows = portal.read_objects(object_of("deal"), every, [closed], Purpose.REPORT)
        except ConfigurationError as error:
            log.warning("deals_not_read", problem=error.what)
            return {}
        return {
            one: [deal for deal in deals if deal in rows and not is_ticked(rows[deal].get(closed))]
            for one, deals in links.items()
        }

    def _tell(self, news: Mapping[str, Sequence[TouchWrite]]) -> Iterator[WriteOutcome]:
        """How emails have fared since."""
        mapping, timeline = self._portal.mapping, self._timeline
        if timeline.is_keyed("email", Purpose.REPORT):
            rows = [replace(touch_row(mapping, writes[-1]), writes=tuple(writes)) for writes in news.values()]
            yield from self._send("update", mapping.object("email"), rows)
            return
        people = list(dict.fromkeys(writes[-1].ref.id for writes in news.values()))
        standing = timeline.find("email", people, Purpose.REPORT)
        texts = timeline.read("email", [standing[one] for one in news if one in standing], Purpose.REPORT)
        rows = []
        for touch_id, writes in news.items():
            row = texts.get(standing.get(touch_id, ""))
            if row is None:
                gone = Fault(category=_GONE, message="no email of this touch")
                yield from (_outcome(write, gone) for write in writes)
                continue
            text, words = split_trail(row.get(mapping.field("email", "body")) or "")
            made = news_row(mapping, writes[-1], standing[touch_id], words, text)
            rows.append(replace(made, writes=tuple(writes)))
        yield from self._send("update", mapping.object("email"), rows)

    # rows

    def _send(self, verb: str, name: str, rows: Sequence[Row]) -> Iterator[WriteOutcome]:
        """Every row, a hundred a call; after a batch is refused as a whole its rows in halves."""
        waiting = deque(rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
        while waiting:
            batch = waiting.popleft()
            purpose = Purpose.STOP if any(row.urgent for row in batch) else Purpose.REPORT
            body = {"inputs": [row.body(str(number)) for number, row in enumerate(batch)]}
            answer = self._portal.client.change("POST", "objects", f"{name}/batch/{verb}", body, purpose=purpose)
            if answer.fault is not None and (spared := self._spare(batch, answer.fault)) is not None:
                waiting.append(spared)
                continue
            faults, halves = _judge(batch, answer)
            waiting.extend(halves)
            unsettled = {id(row) for half in halves for row in half}
            for number, row in enumerate(batch):
                if id(row) in unsettled:
                    continue
                fault = faults.get(number)
                if fault is None or (verb == "create" and self._stands(name, row, fault)):
                    yield from _settle(row)
                    continue
                again = self._mend(row, fault, purpose)
                if again is not None:
                    waiting.append([again])
                else:
                    yield from _settle(row, fault)

    def _stands(self, name: str, row: Row, fault: Fault) -> bool:
        """Whether a creation is refused because it was made before: by its code, or else by what its key leads to."""
        if _TAKEN in fault.codes or fault.category == "CONFLICT":
            return True
        if fault.error_class is not ErrorClass.REJECTED or not self._timeline.is_keyed(row.word, Purpose.REPORT):
            return False
        key = self._portal.mapping.field(row.word, "touch_id")
        return bool(self._portal.read_objects(name, [row.properties[key]], [key], Purpose.REPORT, key=key))

    def _spare(self, rows: Sequence[Row], fault: Fault) -> list[Row] | None:
        """The rows without the properties that the portal does not have (any more), None where it is not about that."""
        if not fault.names or not _DEFINITIONS.issuperset(fault.codes):
            return None
        fields, blamed = self._portal.mapping.fields, set(fault.names)
        needed = {fields[word].get(one) for word in ("contact", "email", "task", "note") for one in _NEEDED}
        if blamed & needed or not any(blamed & row.properties.keys() for row in rows):
            return None
        return [
            replace(row, properties={name: value for name, value in row.properties.items() if name not in blamed})
            for row in rows
        ]

    def _mend(self, row: Row, fault: Fault, purpose: Purpose) -> Row | None:
        """The row as it may be taken: for whoever its contact became, without what is gone of owner and others."""
        if (spared := self._spare([row], fault)) is not None:
            return spared[0]
        owner = self._portal.mapping.field("email", "owner")
        if _NO_OWNER in fault.codes and owner in row.properties:
            kept = {name: value for name, value in row.properties.items() if name != owner}
            return replace(row, properties=kept)
        if row.deals and fault.category == _GONE:
            return replace(row, deals=())
        if row.company and fault.category == _GONE:
            return replace(row, company="")
        if row.contact and fault.category == _GONE and "merged" not in row.tried:
            found = self._portal.survivor_of(row.contact, [self._portal.contacts.name("email")], purpose)
            if found is not None:
                return replace(row, contact=found[0], tried=row.tried | {"merged"})
        return None

    # what is no row

    def _opt_out(self, writes: Sequence[OptOutWrite]) -> Iterator[WriteOutcome]:
        """Through the communication preferences, by address and one by one: the properties themselves are read-only."""
        portal, name = self._portal, self._portal.contacts.name("email")
        rows = portal.read_contacts([write.ref.id for write in writes], [name], Purpose.STOP) if writes else {}
        done: dict[str, Fault | None] = {}
        for write in writes:
            row = rows.get(write.ref.id)
            if row is None:  # merged into another, who is the same person (B12)
                row = (portal.survivor_of(write.ref.id, [name], Purpose.STOP) or ("", None))[1]
            if row is None:
                yield _outcome(write, Fault(category=_GONE, message="the contact is gone"))
                continue
            address = row.get(name) or ""
            if not address:
                yield _outcome(write, Fault(category=_GONE, message="the contact has no address to opt out"))
                continue
            if address not in done:
                done[address] = opt_out(portal, address)
            yield _outcome(write, done[address])

    def _show_sequence(self, write: SequenceWrite) -> WriteOutcome:
        values: dict[str, Any] = {"version": write.version, "error": write.error, **write.counts}
        try:
            shown = self._portal.definitions.show_progress(write.sequence_id, values)
        except (ConfigurationError, RejectedError) as error:
            return WriteOutcome(key=write.key, error=error.error_class, code="NOT_WRITABLE", detail=error.what)
        if not shown:
            return _outcome(write, Fault(category=_GONE, message="there is no such sequence"))
        return WriteOutcome(key=write.key)

    def _beat(self, write: ControlWrite) -> WriteOutcome:
        """The heartbeat. Made with the first one: by a key with unique values, so that there is never a second."""
        portal = self._portal
        field, value = portal.mapping.field, portal.mapping.value
        properties = {**control_values(portal, write), field("control", "name"): value("control", "name")}
        if portal.control_id is None:
            properties = {**constants(portal.mapping, "control"), **properties}
        row = {"id": value("control", "key"), "idProperty": field("control", "key"), "properties": properties}
        path = f"{portal.mapping.object('contact')}/batch/upsert"
        answer = portal.client.change("POST", "objects", path, {"inputs": [row]}, purpose=Purpose.PULL)
        fault = answer.fault or next((each for each, _ in answer.faults), None)
        if fault is None and answer.results:
            portal.control_id = str(answer.results[0]["id"])
        return _outcome(write, fault)


def _judge(batch: Sequence[Row], answer: Answer) -> tuple[dict[int, Fault], list[list[Row]]]:
    """The faults by the row's number, and what has to be sent again in smaller batches."""
    if answer.fault is not None:
        if len(batch) == 1:
            return {0: answer.fault}, []
        middle = len(batch) // 2
        return {}, [list(batch[:middle]), list(batch[middle:])]
    faults: dict[int, Fault] = {}
    for fault, context in answer.faults:
        numbers = _numbers(batch, context)
        if not numbers:
            # A refusal that names no row: whatever did not come back has to be asked for by itself.
            came = {str(row.get(TRACE, "")) for row in answer.results}
            lost = [number for number in range(len(batch)) if str(number) not in came]
            if len(batch) == 1:
                return {0: fault}, []
            return faults, [[batch[number]] for number in lost if number not in faults]
        faults.update(dict.fromkeys(numbers, fault))
    return faults, []


def _numbers(batch: Sequence[Row], context: Mapping[str, Any]) -> list[int]:
    """Which rows a refusal is about: by their labels, or by their ids."""
    traces = {str(one) for one in context.get(TRACE) or ()}
    ids = {str(one) for one in context.get("ids") or ()}
    return [number for number, row in enumerate(batch) if str(number) in traces or (row.id and row.id in ids)]


def _touch_id(write: TaskWrite | ReplyWrite) -> str:
    return write.touch_id if isinstance(write, TaskWrite) else write.reply_id


def _apart(part: Iterator[WriteOutcome], writes: Sequence[Write]) -> Iterator[WriteOutcome]:
    """A part of the writes. Where the key may not do it, each that is left is told so, and the other parts go on."""
    left = {write.key for write in writes}
    try:
        for outcome in part:
            left.discard(outcome.key)
            yield outcome
    except ConfigurationError as error:
        for write in writes:
            if write.key in left:
                detail = f"{error.what} {error.do_next}".strip()
                yield WriteOutcome(key=write.key, error=ErrorClass.CONFIGURATION, code="NOT_ALLOWED", detail=detail)


def _settle(row: Row, fault: Fault | None = None) -> Iterator[WriteOutcome]:
    for write in row.writes:
        yield _outcome(write, fault)


def _outcome(write: Write, fault: Fault | None) -> WriteOutcome:
    if fault is None:
        return WriteOutcome(key=write.key)
    known = fault.error_class
    if not _DEFINITIONS.isdisjoint(fault.codes):
        known = ErrorClass.CONFIGURATION
    error = ErrorClass.REJECTED if known is ErrorClass.OUTCOME_UNKNOWN else known
    return WriteOutcome(key=write.key, error=error, code=fault.code, detail=fault.message)
