"""What to do about each refused row of a call: settle it, or which remedy to try, each at most once per row (B21).

Decides; the sink carries out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from connectors.salesforce.codes import Fault
from connectors.salesforce.rows import RowWrite, split_row, timeline_id
from connectors.salesforce.schema import Schema
from crmdrip.core.errors import ErrorClass
from crmdrip.core.struct import replace
from crmdrip.ports import WriteOutcome

Batch = list[RowWrite]

_DUPLICATE_ID = re.compile(r"record with id:\s*([A-Za-z0-9]{15,18})")
_MAX_LENGTH = re.compile(r"max length=(\d+)")
_NO_OWNER = frozenset(
    {
        "INACTIVE_OWNER_OR_USER",
        "OPERATION_WITH_INACTIVE_USER",
        "OP_WITH_INVALID_USER_TYPE_EXCEPTION",
        "TRANSFER_REQUIRES_READ",
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    }
)
"""Somebody whose task it cannot be: left, a Chatter or portal user, out of our user's reach."""
_BAD_VALUE = frozenset({"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "BAD_VALUE", "FIELD_INTEGRITY_EXCEPTION"})
_DECORATION = ("type", "body", "date", "sequence", "step")
"""Words of a task without which it is still that touch."""
_HIDDEN = frozenset({"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE"})
_MOVED = frozenset({"CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"})
_TOO_MUCH = frozenset({"REQUEST_RUNNING_TOO_LONG", "QUERY_TIMEOUT", "UNABLE_TO_LOCK_ROW", "PROCESSING_HALTED"})
"""Transient refusals of a whole batch that a smaller batch may avoid."""


@dataclass(kw_only=True, slots=True)
class Verdicts:
    """The verdicts on one call's batches."""

    schema: Schema
    settled: list[WriteOutcome] = field(default_factory=list)
    again: Batch = field(default_factory=list)
    """To be sent once more, as they are here."""
    smaller: list[Batch] = field(default_factory=list)
    """Parts of a batch that failed as a whole."""
    replan: Batch = field(default_factory=list)
    """Named a field that is not there (any more): to be made anew from a fresh look at the org's fields."""
    lost: list[tuple[RowWrite, Fault]] = field(default_factory=list)
    """Tasks whose person has moved, or that may stand already: settled once it is known where."""

    def judge_batch(self, batch: Batch, fault: Fault) -> None:
        """A batch that failed as a whole: smaller ones, down to the single row that is to blame."""
        if fault.code in _HIDDEN:
            fresh = [row for row in batch if "replanned" not in row.tried]
            if fresh:
                self.replan += fresh
                self._settle_all([row for row in batch if "replanned" in row.tried], fault)
                return
        passing = fault.error_class is ErrorClass.RETRIABLE and fault.code not in _TOO_MUCH
        if len(batch) == 1 or passing:
            self._settle_all(batch, fault)
        else:
            middle = len(batch) // 2
            self.smaller += [batch[:middle], batch[middle:]]

    def judge_row(self, row: RowWrite, fault: Fault, *, alone: bool) -> None:
        """One refused row. alone: whether it was its collection's only one."""
        owner = self.schema.name("task", "owner")
        if fault.overrun and not alone:
            self.again.append(row)  # among fewer
        elif fault.code == "DUPLICATE_VALUE" and row.insert:
            self._judge_duplicate(row, fault)
        elif fault.code == "STRING_TOO_LONG" and "shortened" not in row.tried:
            self.again.append(_shorten(row, fault))
        elif owner in row.values and "ownerless" not in row.tried and self._blames_owner(row, fault):
            self.again.append(row.without([owner], "ownerless"))  # it then belongs to our own user
        elif fault.code in _BAD_VALUE and row.insert and _is_task(row) and (bad := self._decoration(row, fault)):
            self.again.append(row.without(bad, "plain"))  # a touch has to reach a timeline (P6)
        elif fault.code in _HIDDEN and "replanned" not in row.tried:
            self.replan.append(row)
        elif fault.code in _MOVED and row.insert and _is_task(row):
            self.lost.append((row, fault))
        elif len(row.writes) > 1 and fault.error_class not in {ErrorClass.RETRIABLE, ErrorClass.SKIPPABLE}:
            self.again += split_row(self.schema, row)
        else:
            self.settle(row, fault)

    def settle(self, row: RowWrite, fault: Fault | None = None) -> None:
        """The outcome of every write-back in the row; None for success."""
        self.settled += [
            WriteOutcome(key=write.key)
            if fault is None
            else WriteOutcome(key=write.key, error=fault.error_class, code=fault.code, detail=fault.message)
            for write in row.writes
        ]

    def _blames_owner(self, row: RowWrite, fault: Fault) -> bool:
        """Whether the task may be taken for somebody else: said so, or it is a queue's, which may own leads alone."""
        owner = self.schema.name("task", "owner")
        if fault.code in _NO_OWNER or owner.lower() in {name.lower() for name in fault.fields}:
            return True
        user = self.schema.objects.get("user")
        queue = user is not None and not str(row.values[owner]).startswith(user.prefix)
        return queue and row.insert and fault.error_class in {ErrorClass.REJECTED, ErrorClass.SKIPPABLE}

    def _decoration(self, row: RowWrite, fault: Fault) -> list[str]:
        """The fields whose value is refused, where the task is the same touch without any of them."""
        blamed = {name.lower() for name in fault.fields}
        spare = {name.lower() for word in _DECORATION if (name := self.schema.name("task", word))}
        return [name for name in row.values if name.lower() in blamed] if blamed and blamed <= spare else []

    def _settle_all(self, batch: Batch, fault: Fault) -> None:
        for row in batch:
            self.settle(row, fault)

    def _judge_duplicate(self, row: RowWrite, fault: Fault) -> None:
        """A task that stands already was created by an earlier try; its outcome may have become known since."""
        touch_id = self.schema.name("task", "touch_id")
        if touch_id.lower() not in fault.message.lower() or not _is_task(row):
            # The vendor may write <unknown> for the field; or the org has a unique field of its own.
            if _is_task(row):
                self.lost.append((row, fault))
            else:
                self.settle(row, fault)
            return
        found = _DUPLICATE_ID.search(fault.message)
        newer = {self.schema.name("task", word) for word in ("outcome", "message_id")} - {""}
        values = {name: value for name, value in row.values.items() if name in newer and value is not None}
        if found is None or not values:
            self.settle(row)
        else:
            self.again.append(replace(row, id=found[1], values=values))


def _is_task(row: RowWrite) -> bool:
    return all(timeline_id(write) for write in row.writes)


def _shorten(row: RowWrite, fault: Fault) -> RowWrite:
    """The texts the org blames, cut to the length it names; all texts to 255 when it names nothing."""
    limit = int(found[1]) if (found := _MAX_LENGTH.search(fault.message)) else 255
    blamed = {name.lower() for name in fault.fields} or {name.lower() for name in row.values}
    values = {
        name: value[:limit] if isinstance(value, str) and name.lower() in blamed else value
        for name, value in row.values.items()
    }
    return replace(row, values=values, tried=row.tried | {"shortened"})
