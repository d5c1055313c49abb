"""What an email is that another program has put into a table.

It is put together again, and read as any other that comes in.
"""

from __future__ import annotations

from collections.abc import Mapping
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
"""Of all others it is kept that a machine wrote."""
_OURS = ("from", "subject", "date", "mime-version", "content-type", "content-transfer-encoding")


def read_kind(words: Mapping[str, str], received: datetime) -> tuple[tuple[SignalKind, ...], date | None]:
    """What the email means, and of an absence the day the person is back.

    words: sender, subject, body (plain text or HTML) and headers, as far as the table has them.
    """
    reading = classify(read_mail(_put_together(words, received)), received)
    return _SIGNALS.get(reading.kind, (SignalKind.AUTO_REPLY,)), reading.until


def _put_together(words: Mapping[str, str], received: datetime) -> bytes:
    given = {"From": words["sender"], "Subject": words["subject"], "Date": format_datetime(received)}
    lines = [f"{name}: {' '.join(value.split())}" for name, value in given.items() if value]
    # Folded lines belong to the one before; what is told above is not told twice.
    unfolded = words["headers"].replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ")
    for line in unfolded.splitlines():
        name, colon, _ = line.partition(":")
        if colon and name.strip().casefold() not in _OURS and name.isascii() and " " not in name.strip():
            lines.append(line)
    body = words["body"]
    kind = "html" if body.lstrip()[:1] == "<" else "plain"
    lines += ["MIME-Version: 1.0", f"Content-Type: text/{kind}; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    return "\r\n".join([*lines, "", body]).encode("utf-8", "replace")
