"""Whoever works inside the CRM under test: what a connector's author writes to run the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from crmdrip.core.model import RecordKind, RecordRef


class CrmTrouble(Enum):
    """How the CRM can go wrong, from now on until `recover`."""

    LOGGED_OUT = "logged out"
    """Every session has ended; a new login works."""
    DENIED = "denied"
    """The credentials are refused for good."""
    DOWN = "down"
    """It answers that it is unavailable."""
    QUOTA_GONE = "quota gone"
    """It answers that the day's calls are used up."""
    CUT_AFTER_WRITE = "cut after write"
    """The next write is done, and the connection breaks before the answer."""
    OPT_OUT_HIDDEN = "opt-out hidden"
    """The connected user may not see who opted out."""


class CrmDriver(Protocol):
    """Whoever works inside the CRM: people, admins, and what befalls it. Words are the mapping's."""

    def add_person(self, kind: RecordKind, *, email: str, **words: Any) -> RecordRef:
        """A new record; words such as enrolled, sequence, opted_out, owner."""
        ...

    def change(self, ref: RecordRef, **words: Any) -> None:
        """A person changes fields of a record."""
        ...

    def read(self, ref: RecordRef, word: str) -> Any:
        """A field as it stands."""
        ...

    def add_sequence(self, name: str, steps: Sequence[str]) -> str:
        """A live sequence with one email step per subject, a day apart; returns its id."""
        ...

    def step_ids(self, sequence_id: str) -> list[str]:
        """The ids of its steps, in order."""
        ...

    def change_step(self, step_id: str, **words: Any) -> None:
        """RevOps edits a step."""
        ...

    def delete(self, record_id: str) -> None:
        """Delete a record, sequence or step."""
        ...

    def restore(self, record_id: str) -> None:
        """Bring it back."""
        ...

    def merge(self, winner: RecordRef, loser: RecordRef) -> RecordRef:
        """Merge two records; returns the one that is left, which in some CRMs is a third."""
        ...

    def convert(self, lead: RecordRef, *, opportunity: bool) -> RecordRef:
        """Convert a lead; returns the contact."""
        ...

    def book_meeting(self, ref: RecordRef, subject: str) -> None:
        """A rep books a meeting in the future."""
        ...

    def open_opportunity(self, ref: RecordRef, name: str) -> None:
        """An opportunity that the contact plays a part in."""
        ...

    def set_brake(self, *, pulled: bool) -> None:
        """An admin pulls or releases the emergency brake, making the control record where there is none."""
        ...

    def control(self) -> Mapping[str, Any]:
        """The control record by the mapping's words."""
        ...

    def add_user(self, name: str, email: str, *, active: bool) -> str:
        """A user; returns the id."""
        ...

    def add_queue(self, name: str) -> str:
        """A queue that can own leads; returns its id."""
        ...

    def timeline(self, ref: RecordRef) -> list[Mapping[str, Any]]:
        """The touches on a person's timeline, by the mapping's words for tasks."""
        ...

    def finish_task(self, touch_id: str) -> None:
        """The rep completes the task."""
        ...

    def sequence(self, sequence_id: str) -> Mapping[str, Any]:
        """A sequence's fields by the mapping's words."""
        ...

    def refuse_changes_of(self, ref: RecordRef, message: str) -> None:
        """A validation rule refuses every change of this record from now on."""
        ...

    def lock(self, ref: RecordRef) -> None:
        """Somebody holds the record's row, until unlock."""
        ...

    def unlock(self, ref: RecordRef) -> None:
        """The row is free again."""
        ...

    def trouble(self, trouble: CrmTrouble) -> None:
        """From now on."""
        ...

    def recover(self) -> None:
        """The trouble ends."""
        ...

    def short_pages(self, rows: int) -> None:
        """From now on a page of results has at most so many rows."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Time goes by in the CRM."""
        ...
