"""Every mail that was read, once: what it was taken for and whose it is. Its words only where nobody is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from crmdrip.ledger.schema import mail
from crmdrip.ledger.statements import upsert


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadMail:
    """One mail that was read."""

    key: str
    """32 lower-case hex characters, the same by whatever way the mail comes."""
    received_at: datetime
    source: str
    kind: str
    """inbound.MailKind."""
    why: str
    """inbound.Reading.why."""
    how: str
    """whose.How."""
    sender: str
    subject: str
    address: str = ""
    """Of the person it was found to belong to, normalized; "" for nobody."""
    record_id: str = ""
    touch_id: str = ""
    body: bytes = b""
    """As it came; b"" where it need not be kept."""


_NAMES = tuple(column.name for column in mail.c)


def is_known(connection: Connection, key: str) -> bool:
    """Whether the mail was read before."""
    return connection.execute(select(mail.c.key).where(mail.c.key == key)).first() is not None


def keep(connection: Connection, one: ReadMail) -> None:
    """Remember it. One that is known stays as it is."""
    row = {name: getattr(one, name) for name in _NAMES}
    connection.execute(upsert(connection, mail).on_conflict_do_nothing(), row)


def count_by_kind(connection: Connection, since: datetime) -> dict[tuple[str, str], int]:
    """How many came in since a time, by kind and by how they were found to belong to somebody."""
    rows = connection.execute(
        select(mail.c.kind, mail.c.how, func.count())
        .where(mail.c.received_at >= since)
        .group_by(mail.c.kind, mail.c.how)
    )
    return {(row[0], row[1]): row[2] for row in rows}


def of_nobody(connection: Connection, since: datetime, limit: int) -> list[ReadMail]:
    """What people wrote whom nobody here knows, the newest first: those of which the body was kept."""
    rows = connection.execute(
        select(mail)
        .where(mail.c.received_at >= since, mail.c.how == "nobody", func.length(mail.c.body) > 0)
        .order_by(mail.c.received_at.desc())
        .limit(limit)
    )
    return [_to_mail(row) for row in rows]


def forget_before(connection: Connection, at: datetime) -> None:
    """Drop what came before the time."""
    connection.execute(delete(mail).where(mail.c.received_at < at))


def _to_mail(row: Sequence[Any]) -> ReadMail:
    return ReadMail(**{**dict(zip(_NAMES, row, strict=True)), "body": bytes(row[_NAMES.index("body")])})
