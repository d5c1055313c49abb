"""A whole pull, read to its end."""

from __future__ import annotations

from collections.abc import Iterable

from crmdrip.core.model import Record, SequenceDraft, Signal
from crmdrip.ports import CrmSource, PullPage

NO_PATHS: frozenset[str] = frozenset()
"""A last look that asks for no merge fields."""


class Reading:
    """One whole pull: everything its pages held."""

    def __init__(self, pages: Iterable[PullPage]) -> None:
        self.pages = list(pages)
        self.cursor = self.pages[-1].cursor
        self.records: dict[str, Record] = {record.ref.id: record for page in self.pages for record in page.records}
        self.signals: list[Signal] = [signal for page in self.pages for signal in page.signals]
        self.sequences: dict[str, SequenceDraft] = {draft.id: draft for page in self.pages for draft in page.sequences}
        self.removed: set[str] = {one for page in self.pages for one in page.removed_sequences}
        self.brakes = [page.brake for page in self.pages if page.brake is not None]


def read_all(source: CrmSource, cursor: str | None = None) -> Reading:
    """Pull to the end."""
    return Reading(source.pull(cursor))
