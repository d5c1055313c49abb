"""What each column has to hold, and how it is made where it is missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from sqlalchemy import Boolean, DateTime, Integer, String, Text, types

from connectors.sql.values import Form


class Kind(Enum):
    """What a column of ours holds."""

    KEY = "an id"
    BOX = "a box"
    TIME = "a time"
    NUMBER = "a whole number"
    TEXT = "text"
    LONG = "long text"


FITTING: Mapping[Kind, frozenset[Form]] = {
    Kind.KEY: frozenset({Form.TEXT, Form.NUMBER, Form.UUID}),
    Kind.BOX: frozenset({Form.BOX, Form.NUMBER, Form.TEXT}),
    Kind.TIME: frozenset({Form.AWARE, Form.NAIVE, Form.TEXT, Form.NUMBER, Form.DAY}),
    Kind.NUMBER: frozenset({Form.NUMBER, Form.TEXT}),
    Kind.TEXT: frozenset({Form.TEXT}),
    Kind.LONG: frozenset({Form.TEXT}),
}
"""The forms that a column may have for it."""

_PERSON = {
    "enrolled": Kind.BOX,
    "sequence": Kind.KEY,
    "paused_until": Kind.TIME,
    "approved": Kind.BOX,
    "status": Kind.TEXT,
    "reason": Kind.TEXT,
    "step": Kind.TEXT,
    "next_touch": Kind.TIME,
    "last_touch": Kind.TIME,
    "run": Kind.NUMBER,
    "out_of_office_until": Kind.TIME,
    "replied_at": Kind.TIME,
}
_REFUSED = {"opted_out": Kind.BOX, "bounced_reason": Kind.TEXT, "bounced_at": Kind.TIME}
_NUMBERS = (
    *("re_enroll_after_days", "minimum_gap_hours", "daily_cap", "domain_cap", "entry_cap", "domain_entry_cap"),
    *("confirm_above", "active", "sent", "replied", "meetings", "stopped", "held"),
)

KINDS: Mapping[str, Mapping[str, Kind]] = {
    "contact": {
        "id": Kind.KEY,
        "owner": Kind.KEY,
        "account": Kind.KEY,
        "modified": Kind.TIME,
        "merged_into": Kind.KEY,
        **_REFUSED,
        **_PERSON,
    },
    "status": {"contact": Kind.KEY, "modified": Kind.TIME, **_REFUSED, **_PERSON},
    "sequence": {"id": Kind.KEY, "confirmed": Kind.BOX, "error": Kind.LONG, **dict.fromkeys(_NUMBERS, Kind.NUMBER)},
    "step": {
        "id": Kind.KEY,
        "sequence": Kind.KEY,
        "order": Kind.NUMBER,
        "delay": Kind.NUMBER,
        "body": Kind.LONG,
        "continue_thread": Kind.BOX,
        "weight": Kind.NUMBER,
        "needs_approval": Kind.BOX,
        "expires_after_hours": Kind.NUMBER,
        "active": Kind.BOX,
    },
    "touch": {
        "number": Kind.NUMBER,
        "contact": Kind.KEY,
        "owner": Kind.KEY,
        "run": Kind.NUMBER,
        "body": Kind.LONG,
        "at": Kind.TIME,
        "done_at": Kind.TIME,
        "opens": Kind.NUMBER,
        "clicks": Kind.NUMBER,
    },
    "control": {
        "brake": Kind.BOX,
        "heartbeat": Kind.TIME,
        "calls_used": Kind.NUMBER,
        "calls_limit": Kind.NUMBER,
    },
    "owner": {"id": Kind.KEY, "active": Kind.BOX, "person": Kind.BOX, "signature": Kind.LONG},
    "account": {"id": Kind.KEY},
    "meeting": {"id": Kind.KEY, "contact": Kind.KEY, "created": Kind.TIME, "cancelled": Kind.BOX},
    "opportunity": {"id": Kind.KEY, "contact": Kind.KEY, "created": Kind.TIME},
    "reply": {"id": Kind.KEY, "contact": Kind.KEY, "created": Kind.TIME, "body": Kind.LONG, "headers": Kind.LONG},
}
"""By table and word; every other word is text. A contact's `deleted` may be anything."""

OF_PEOPLE = frozenset({"contact", "owner", "account", "meeting", "opportunity", "reply"})
"""Tables that a CRM has by itself; in one that has people already, none of these is made."""
ADDED = frozenset({*_PERSON, *_REFUSED} - {"opted_out"})
"""Columns that may be added to the table of people. The opt-out must be the CRM's own."""
_NUMBERED = {"sequence": "id", "step": "id", "touch": "number", **dict.fromkeys(OF_PEOPLE, "id")}
"""Primary keys that count up."""
_KEYED = {"status": "contact", "control": "org_id"}
_LENGTHS = {
    "email": 254,
    "touch_id": 64,
    "message_id": 255,
    "subject": 998,
    "reason": 255,
    "bounced_reason": 255,
    "from_address": 320,
    "sender": 320,
    "stop_when": 255,
    "public_name": 255,
    "name": 255,
    "sequence": 255,
    "home": 255,
    "state": 255,
}
_LENGTH = 64
_LENGTH_OF_NAMES = 255


def kind_of(table: str, word: str) -> Kind:
    """What the column of a word holds."""
    return KINDS.get(table, {}).get(word, Kind.TEXT)


def type_of(table: str, word: str) -> types.TypeEngine[Any]:
    """The type it is made with; an id of another table takes that one's."""
    match kind_of(table, word):
        case Kind.BOX:
            return Boolean()
        case Kind.TIME:
            return DateTime(timezone=True)
        case Kind.NUMBER:
            return Integer()
        case Kind.LONG:
            return Text()
        case Kind.KEY:
            return Integer()
        case _:
            return String(_LENGTHS.get(word, _LENGTH_OF_NAMES if table in OF_PEOPLE else _LENGTH))


def is_numbered(table: str, word: str) -> bool:
    """Whether the column is a primary key that counts up."""
    return _NUMBERED.get(table) == word


def is_key(table: str, word: str) -> bool:
    """Whether it is the primary key."""
    return is_numbered(table, word) or _KEYED.get(table) == word
