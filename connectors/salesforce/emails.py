"""What an email that was logged in Salesforce is: put together again, and read as any other mail that comes in.

Salesforce keeps its parts in fields, and the headers of those that came by Email-to-Case or a mail add-in alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from email.utils import format_datetime

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
"""Of all others it is kept that a machine wrote: a bounce names no recipient once its parts are gone."""


def read_kind(words: Mapping[str, str], received: datetime) -> tuple[tuple[SignalKind, ...], date | None]:
    """What the email means, and of an absence the day the person is back. words: its fields by the mapping's words."""
    mail = read_mail(_put_together(words, received))
    reading = classify(mail, received)
    return _SIGNALS.get(reading.kind, (SignalKind.AUTO_REPLY,)), reading.until


def _put_together(words: Mapping[str, str], received: datetime) -> bytes:
    kept = list(_fields(words["headers"]))
    has = {line.partition(":")[0].strip().lower() for line in kept}
    name = words["from_name"].replace('"', "")
    given = {
        "From": f'"{name}" <{words["from_address"]}>' if name else words["from_address"],
        "To": words["to"].replace(";", ","),
        "Subject": words["subject"],
        "Date": format_datetime(received),
        "Message-ID": words["message_id"],
    }
    kept += [f"{name}: {' '.join(value.split())}" for name, value in given.items() if value and name.lower() not in has]
    kind, body = ("plain", words["text"]) if words["text"].strip() else ("html", words["html"])
    kept += ["MIME-Version: 1.0", f"Content-Type: text/{kind}; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    return "\r\n".join([*kept, "", body]).encode("utf-8", "replace")


def _fields(block: str) -> Iterable[str]:
    """The lines of a header block, without those that say how the body was encoded: it is not any more."""
    dropping = True
    for line in block.splitlines():
        if not line.strip():
            return
        if line[:1] not in " \t":
            name, colon, _ = line.partition(":")
            dropping = not colon or name.strip().lower().startswith(("content-", "mime-version"))
        if not dropping:
            yield line
