"""What identifies a touch, as the last line of a timeline entry's text: for portals without our properties there.

HubSpot may not let a key define properties on emails (the scope connected-email-data-access is asked for and cannot be
picked), so that what is needed to tell touches apart has to fit into what every email has. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

WORD = "crmdriptouch"
"""By which a search finds the line."""

_BEGIN = f"\n\n{WORD} "
WORDS = ("touch_id", "sequence_id", "step_id", "run", "outcome", "opens", "clicks", "message_id")
"""What is kept, by the mapping's words."""
LONGEST = 2_000
"""Characters of the line at most; room for it is left in the property."""


def add_trail(text: str, words: Mapping[str, str], most: int) -> str:
    """The text with its line, together no longer than most."""
    line = ""
    for word in WORDS:
        part = f"{word}={quote(words.get(word, ''), safe='')} "
        if words.get(word) and len(_BEGIN) + len(line) + len(part) <= LONGEST:
            line += part
    return f"{text[: most - LONGEST]}{_BEGIN}{line.rstrip()}"


def split_trail(text: str) -> tuple[str, dict[str, str]]:
    """The text without its line, and what the line says; nothing when there is none."""
    before, begin, line = text.rpartition(_BEGIN)
    if not begin:
        return text, {}
    pairs = (part.partition("=") for part in line.split())
    return before, {word: unquote(value) for word, _, value in pairs if word in WORDS}
