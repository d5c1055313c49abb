"""Writes with everything filled in, and what became of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from crmdrip.core.model import RecordRef
from crmdrip.ports import CrmSink, StatusWrite, TaskWrite, TouchWrite, Write, WriteOutcome

AT = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
"""When what is written happened."""


def write_all(sink: CrmSink, *writes: Write) -> dict[str, WriteOutcome]:
    """Write, and the outcomes by key."""
    return {outcome.key: outcome for outcome in sink.write(writes)}


def status_write(ref: RecordRef, key: str = "status", **given: Any) -> StatusWrite:
    """A status write with everything filled in."""
    values: dict[str, Any] = {
        "status": "Active",
        "reason": "Step 2 of 4 is due.",
        "step": "2 of 4",
        "next_touch": AT,
        "last_touch": None,
        "run": 1,
    }
    return StatusWrite(key=key, ref=ref, **{**values, **given})


def task_write(ref: RecordRef, touch_id: str, key: str = "task", **given: Any) -> TaskWrite:
    """A touch's write with everything filled in."""
    values: dict[str, Any] = {
        "owner_id": None,
        "at": AT,
        "subject": "Quick question",
        "body": "Hello.",
        "sequence": "Intro",
        "sequence_id": "s1",
        "step": "1 of 4",
        "step_id": "t1",
        "run": 1,
        "outcome": "Sent",
        "message_id": f"<{touch_id}@acme.example>",
    }
    return TaskWrite(key=key, ref=ref, touch_id=touch_id, **{**values, **given})


def touch_write(ref: RecordRef, touch_id: str, outcome: str, opens: int = 0, clicks: int = 0) -> TouchWrite:
    """News of a touch."""
    return TouchWrite(key="touch", ref=ref, touch_id=touch_id, outcome=outcome, opens=opens, clicks=clicks)
