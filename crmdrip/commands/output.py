"""Where output goes: results to standard output, everything else to standard error, so that --json stays clean.

Much of it comes from a CRM: no text moves the cursor, sets a title or turns the line around (B27).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crmdrip.secrets import hide_known

WIDE = 160
"""Columns of a table that goes into a file or a pipe."""


_COMMANDS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""Characters a terminal obeys, all but tab and line end."""


def clean(text: str) -> str:
    """The text without characters that a terminal obeys, and without any secret of ours."""
    return hide_known(text.translate(_COMMANDS))


class CleanConsole(Console):
    """Prints no character that a terminal obeys, but those of its own styles."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As Console.print."""
        super().print(*(_clean(one) for one in objects), **options)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Text):
        value.plain = clean(value.plain)
    return value


def console() -> Console:
    """For results in words."""
    return CleanConsole(file=sys.stdout, highlight=False, soft_wrap=True)


def aside() -> Console:
    """For progress and remarks, on standard error."""
    return CleanConsole(file=sys.stderr, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    sys.stdout.write(f"{hide_known(text)}\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table on standard output. Cells are text, never markup: they may come from a CRM."""
    out = Console(file=sys.stdout, highlight=False)
    if not out.is_terminal:
        out.width = max(out.width, WIDE)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    out.print(table)
