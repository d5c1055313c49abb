"""Where output goes: results to standard output, everything else to standard error, so that --json stays clean."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 160
"""Columns of a table that goes into a file or a pipe."""


def console() -> Console:
    """For results in words."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def aside() -> Console:
    """For progress and remarks, on standard error."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table on standard output. Cells are text, never markup: they may come from a CRM."""
    out = Console(file=sys.stdout, highlight=False)
    if not out.is_terminal:
        out.width = max(out.width, WIDE)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out.print(table)
