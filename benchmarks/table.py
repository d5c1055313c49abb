"""The one table: every figure beside its baseline, and whether the goal of the project is met on this machine today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import fill


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line."""

    figure: str
    ours: str
    baseline: str
    """What it is measured against, in this very run."""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    """None where there is no goal."""


@dataclass(slots=True)
class Table:
    """Rows, and what a reader must know about them."""

    judged: bool
    """Whether the sizes are those the goals were set for."""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def render(self) -> str:
        """As text of fixed width."""
        head = ("figure", "crmdrip", "baseline", "ratio", "goal", "met")
        text = align(head, [self._cells(row) for row in self.rows])
        return "\n".join((text, *(fill(note, 110, initial_indent="* ", subsequent_indent="  ") for note in self.notes)))

    def _cells(self, row: Row) -> tuple[str, ...]:
        met = "" if row.met is None or not self.judged else ("yes" if row.met else "NO")
        return (row.figure, row.ours, row.baseline, row.ratio, row.goal, met)


def align(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, under a ruled head."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(_line(line, widths) for line in (head, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
