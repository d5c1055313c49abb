"""What is wrong with a text that is no TOML, for people who type it and never heard of TOML. Pure."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

_WORDS: tuple[tuple[str, str, str], ...] = (
    ("Cannot overwrite a value", "this was given before", "A key stands once: remove one of the two lines."),
    ("twice", "this table stands here a second time", "Put its keys under the first one."),
    ("Cannot mutate immutable", "this was given before as a whole", "Put all of its keys in one place."),
    ("Duplicate inline table key", "a key stands twice between the braces", "Remove one of the two."),
    ("Illegal character '\\n'", "a text has no quote at its end", 'Close it with " on the same line.'),
    ('Expected "\'"', "a text has no quote at its end", "Close it with '."),
    ("Unterminated string", "a text has no quote at its end", 'Close it with ".'),
    ("Unescaped '", "a backslash stands in a text", "Double it, or put the text in single quotes: 'C:\\drip'."),
    ("Invalid hex value", "a backslash stands in a text", "Double it, or put the text in single quotes: 'C:\\drip'."),
    ("Unclosed array", "a list has no ] at its end", "Add it."),
    ("Unclosed inline table", "a table has no } at its end", "Add it."),
    ("Expected ']' at the end", "the name of a table has no ] at its end", "Type it as [crm.hubspot]."),
    ("Expected ']]' at the end", "the name of a table has no ]] at its end", "Type it as [[mailbox]]."),
    ("Expected '=' after a key", "a key has no = behind it", 'Type it as key = "text".'),
    ("Expected newline or end of", "more than one value stands here", "Put text in quotes, and # before a remark."),
    ("Invalid value", "this is no value", 'Put text in quotes: key = "text". Yes and no are true and false.'),
    ("Invalid statement", "this is neither a key nor a table", 'Type it as key = "text", or put # before it.'),
)
"""What tomllib of Python 3.11 to 3.14 says, in words for people who never heard of TOML, and what to do."""

_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
_CURLY = re.compile("[\u201c\u201d\u201e\u201f\u2018\u2019\u00ab\u00bb]")


@dataclass(frozen=True, kw_only=True, slots=True)
class TomlMistake:
    """What keeps a text from being TOML."""

    what: str
    """A clause."""
    do_next: str
    line: int
    """Counted from 1; the last one where the end came too soon."""


def explain_toml(text: str, error: tomllib.TOMLDecodeError) -> TomlMistake:
    """What a syntax error means and what to do. text: as it was given to tomllib."""
    message, lines = str(error), text.splitlines()
    found = _PLACE.search(message)
    line = int(found[1]) if found else text.count("\n") + 1
    curly = _CURLY.search(lines[line - 1]) if line <= len(lines) else None
    if curly is not None:
        return TomlMistake(what=f"{curly[0]} is no quote here", do_next='Type straight quotes: "text".', line=line)
    for symptom, what, do_next in _WORDS:
        if symptom in message:
            return TomlMistake(what=what, do_next=do_next, line=line)
    plain = re.sub(r"\s*\(at .*\)$", "", message)
    return TomlMistake(what=f"not valid TOML: {plain}", do_next="Correct this line.", line=line)
