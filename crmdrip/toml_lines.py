"""Where each key of a TOML text stands: key path to line number, for error messages.

`tomllib` knows lines for syntax errors only. This reads a text that `tomllib` has already accepted, so it never
judges, and a path it does not know is answered with the line of the closest table around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""Names of keys, and numbers of array entries counted from 0."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_STRINGS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r'"""(?:\\.|[^\\])*?"""(?:"{1,2}(?!"))?',
        r"'''.*?'''(?:'{1,2}(?!'))?",
        r'"(?:\\.|[^"\\])*"',
        r"'[^']*'",
    )
)


@dataclass(kw_only=True, slots=True)
class TomlLines:
    """Lines by key path, counted from 1."""

    by_path: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int | None:
        """The line of the path, or of the closest table around it; None when the text has neither."""
        for length in range(len(path), 0, -1):
            found = self.by_path.get(path[:length])
            if found is not None:
                return found
        return None


def locate(text: str) -> TomlLines:
    """Find every key of a valid TOML text."""
    reader = _Reader(text)
    reader.document()
    return reader.lines


class _Reader:
    """Walks one text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = (0, 1)
        self._entries: dict[KeyPath, int] = {}
        self.lines = TomlLines()

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip_blank():
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        is_array = self._text.startswith("[[", self._at)
        line = self._line()
        self._at += 2 if is_array else 1
        table = self._resolve(self._key())
        if is_array:
            number = self._entries.get(table, -1) + 1
            self._entries[table] = number
            table = (*table, number)
        self._at += 2 if is_array else 1
        self._mark(table, line)
        return table

    def _resolve(self, names: tuple[str, ...]) -> KeyPath:
        """Put the number of the newest entry after each array of tables on the way ([a.b] under [[a]])."""
        path: KeyPath = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self._entries:
                path = (*path, self._entries[path])
        return (*path, names[-1])

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = (*table, *self._key())
        self._at += 1  # the "="
        for length in range(len(table) + 1, len(path) + 1):
            self._mark(path[:length], line)
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        """Read a dotted key and stand on what follows it."""
        names: list[str] = []
        while True:
            self._skip_blank()
            quote = self._text[self._at]
            if quote in "\"'":
                names.append(self._string()[1:-1])
            else:
                names.append(self._take(_BARE_KEY))
            self._skip_blank()
            if self._text[self._at] != ".":
                return tuple(names)
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        opening = self._text[self._at]
        if opening in "\"'":
            self._string()
        elif opening == "[":
            self._items("]", path)
        elif opening == "{":
            self._items("}", path)
        else:
            self._take(_SCALAR)

    def _items(self, closing: str, path: KeyPath) -> None:
        """Read an array or an inline table."""
        self._at += 1
        number = 0
        while True:
            self._skip_blank()
            if self._text[self._at] == closing:
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
            elif closing == "}":
                self._pair(path)
            else:
                self._mark((*path, number), self._line())
                self._value((*path, number))
                number += 1

    def _string(self) -> str:
        for pattern in _STRINGS:
            match = pattern.match(self._text, self._at)
            if match:
                self._at = match.end()
                return match.group()
        message = f"no string begins at offset {self._at}"
        raise ValueError(message)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            message = f"nothing that TOML allows stands at offset {self._at}"
            raise ValueError(message)
        self._at = match.end()
        return match.group()

    def _skip_blank(self) -> bool:
        """Skip blanks, line ends and comments; False at the end of the text."""
        self._take(_BLANK)
        return self._at < len(self._text)

    def _line(self) -> int:
        offset, line = self._counted
        line += self._text.count("\n", offset, self._at)
        self._counted = (self._at, line)
        return line

    def _mark(self, path: KeyPath, line: int) -> None:
        self.lines.by_path.setdefault(path, line)
