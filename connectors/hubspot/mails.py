"""What an email that a connected mailbox logged is: put together again, and read as any other mail that comes in.

HubSpot calls everything an answer that refers to a logged email, calendar answers and absences too (facts of the
object emails, hs_email_direction).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from email.utils import format_datetime, formataddr
from typing import Any

import orjson

from crmdrip.core.inbound import MailKind
from crmdrip.core.model import SignalKind
from crmdrip.inbound import classify, read_mail

_SIGNALS: Mapping[MailKind, tuple[SignalKind, ...]] = {
    MailKind.REPLY: (SignalKind.REPLY,),
    MailKind.UNREADABLE: (SignalKind.REPLY,),  # somebody wrote something, if only a picture
    MailKind.UNSUBSCRIBE: (SignalKind.UNSUBSCRIBE, SignalKind.REPLY),
    MailKind.OUT_OF_OFFICE: (SignalKind.OUT_OF_OFFICE,),
    MailKind.LEFT_COMPANY: (SignalKind.LEFT_COMPANY,),
}
"""Of all others it is kept that a machine wrote."""


def read_kind(words: Mapping[str, str], received: datetime) -> tuple[tuple[SignalKind, ...], date | None]:
    """What the email means, and of an absence the day the person is back. words: its fields by the mapping's words."""
    reading = classify(read_mail(_put_together(words, received)), received)
    kinds = _SIGNALS.get(reading.kind, (SignalKind.AUTO_REPLY,))
    if words.get("away") == "true" and kinds == (SignalKind.REPLY,):
        return (SignalKind.OUT_OF_OFFICE,), reading.until  # HubSpot has recognized it
    return kinds, reading.until


def _put_together(words: Mapping[str, str], received: datetime) -> bytes:
    people = _people(words.get("headers", ""))
    given = {
        "From": _address(people.get("from")),
        "To": ", ".join(filter(None, map(_address, people.get("to") or ()))),
        "Subject": words.get("subject", ""),
        "Date": format_datetime(received),
    }
    lines = [f"{name}: {' '.join(value.split())}" for name, value in given.items() if value]
    text = words.get("body", "")
    kind, body = ("plain", text) if text.strip() else ("html", words.get("html", ""))
    lines += ["MIME-Version: 1.0", f"Content-Type: text/{kind}; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    return "\r\n".join([*lines, "", body]).encode("utf-8", "replace")


def _people(text: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, Mapping) else {}


def _address(person: Any) -> str:
    if not isinstance(person, Mapping):
        return ""
    address = str(person.get("email") or "")
    name = " ".join(str(person.get(part) or "") for part in ("firstName", "lastName")).strip()
    return formataddr((name, address)) if address.isascii() else address
