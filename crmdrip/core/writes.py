"""Write-backs: what is owed to the CRM, as values. Each has a key under which it is written at most once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum

from crmdrip.core.model import RecordRef
from crmdrip.core.struct import Struct


class Priority(IntEnum):
    """What is written first when calls are scarce (P5)."""

    STOP = 0
    REPORT = 1
    FIGURES = 2


class StatusWrite(Struct, frozen=True, kw_only=True):
    """The daemon's fields on a person's record. Fields given as None are cleared."""

    key: str
    """The outbox key, unique within one call."""
    ref: RecordRef
    status: str
    reason: str
    step: str
    """Such as "2 of 4"."""
    next_touch: datetime | None
    last_touch: datetime | None
    run: int
    enrolled: bool | None = None
    """The box; None leaves it alone."""
    sequence_id: str | None = None
    """The lookup, set where a run moves to another record; None leaves it alone."""
    replied_at: datetime | None = None
    """None leaves it alone."""
    out_of_office_until: datetime | None = None
    """None leaves it alone."""


class TaskWrite(Struct, frozen=True, kw_only=True):
    """A touch on the timeline, or an open task for the rep; created at most once per touch id."""

    key: str
    touch_id: str
    ref: RecordRef
    owner_id: str | None
    at: datetime
    subject: str
    body: str
    """Plain text."""
    sequence: str
    """"<sequence id>" and name are both kept, so that a rebuild needs no guess."""
    sequence_id: str
    step: str
    step_id: str
    run: int
    outcome: str
    message_id: str = ""
    open: bool = False
    """True for a task the rep still has to do."""
    note: bool = False
    """True for something the person did, which is neither an email of ours nor a task."""


ASKED = "Waiting for you"
"""The outcome of a task by whose completion the rep lets a paused run go on (B6); a lost ledger knows it by this."""


class ReplyWrite(Struct, frozen=True, kw_only=True):
    """What a person wrote, on their timeline as an email that came in; created at most once per reply id."""

    key: str
    reply_id: str
    """32 lower-case hex characters like a touch's id, in the same unique field, and never one of a touch."""
    ref: RecordRef
    owner_id: str | None
    at: datetime
    subject: str
    """The mail's own."""
    body: str
    """Plain text: the newest part, without what it quotes."""
    sequence: str = ""
    """Name of the sequence it answers, "" where that is not known."""
    sequence_id: str = ""
    step: str = ""
    """Such as "2 of 4": the step it answers."""
    run: int = 0
    outcome: str = "Replied"
    message_id: str = ""


class TouchWrite(Struct, frozen=True, kw_only=True):
    """How a touch on the timeline has fared since; the newest counts, and one that is not there is not made."""

    key: str
    touch_id: str
    ref: RecordRef
    outcome: str
    opens: int
    """By people; machines' are not among them."""
    clicks: int


class ApprovalWrite(Struct, frozen=True, kw_only=True):
    """Untick Approved: it was for the step that went out, and the next one that needs it asks again."""

    key: str
    ref: RecordRef


def approval_key(record_id: str) -> str:
    """The key under which a record's untick is owed, once at a time."""
    return f"approval:{record_id}"


class OptOutWrite(Struct, frozen=True, kw_only=True):
    """Tick the CRM's own opt-out box."""

    key: str
    ref: RecordRef


class BounceWrite(Struct, frozen=True, kw_only=True):
    """Tell the CRM that the address bounced."""

    key: str
    ref: RecordRef
    reason: str
    at: datetime


class SequenceWrite(Struct, frozen=True, kw_only=True):
    """The daemon's fields on a sequence's record."""

    key: str
    sequence_id: str
    version: str
    error: str
    """"" when the definition is valid."""
    counts: Mapping[str, int]
    """By the mapping's logical names: active, sent, replied, meetings, stopped, held."""


class ControlWrite(Struct, frozen=True, kw_only=True):
    """The daemon's heartbeat and budget on the control record."""

    key: str
    heartbeat: datetime
    claim: str = ""
    """Whose ledger's daemon leaves it: written together with the heartbeat, so that neither stands alone (B3)."""
    calls_used: int | None
    calls_limit: int | None
    state: str
    """One plain sentence on what the daemon is doing."""


Write = (
    StatusWrite
    | TaskWrite
    | ReplyWrite
    | TouchWrite
    | ApprovalWrite
    | OptOutWrite
    | BounceWrite
    | SequenceWrite
    | ControlWrite
)
