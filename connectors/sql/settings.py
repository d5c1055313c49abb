"""What an engineer sets for a CRM that is reached through its database: which one, how to log in, how much to ask."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator
from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from crmdrip.settings import StrictModel


class SqlSettings(StrictModel):
    """The table of the SQL connector. Exactly one of file and url."""

    file: Path | None = Field(default=None, strict=False)
    """An SQLite file, which must be there already."""
    url: str = ""
    """A SQLAlchemy URL without the password, such as "postgresql://crmdrip@db.acme.com/crm"."""
    password: SecretStr | None = None
    """For url."""
    database_id: str = ""
    """The one database that may be mailed from, by the org_id in its control table; "" for whichever answers."""
    table_schema: str = ""
    """Where the tables are that the mapping names without a schema; "" for the connection's own."""
    time_zone: str = "UTC"
    """The zone of times that are kept without one."""
    page: int = Field(default=500, ge=1, le=1_000)
    """Rows read at once, and ids asked for at once: some databases take no more than about 2,000 parameters."""
    overlap_minutes: int = Field(default=5, ge=1)
    """How far back each pull reads again: a long transaction commits rows under the time at which it changed them."""
    sweep_minutes: int = Field(default=60, ge=1)
    """How often everybody in or after a sequence is read whatever the time of the last change says: an UPDATE typed by
    hand seldom sets it."""
    connections: int = Field(default=4, ge=1)
    """Open at the same time, at most."""
    connect_timeout: float = Field(default=10.0, ge=1)
    """Seconds."""
    statement_timeout: float = Field(default=30.0, gt=0)
    """Seconds that one statement may take, where the database can be told."""
    lock_timeout: float = Field(default=5.0, gt=0)
    """Seconds that a write waits for a row that somebody else has locked."""
    daily_cap: int | None = Field(default=None, gt=0)
    """Statements that crmdrip may run in any 24 hours; None for no limit."""
    reserve: int = Field(default=1_000, ge=0)
    """Statements kept back for stops, last looks and pulls, where there is a daily_cap."""

    @field_validator("url")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not value:
            return value
        try:
            parsed = make_url(value)
        except ArgumentError:  # its text holds the whole URL
            raise ValueError("is no database URL", 'Type url = "postgresql://USER@HOST/DATABASE".') from None
        if parsed.password is not None:
            raise ValueError("holds a password", 'Leave it out, and add password = { env = "CRM_DB_PASSWORD" }.')
        if parsed.get_backend_name() == "sqlite":
            raise ValueError("is an SQLite file", 'Type file = "crm.sqlite3" in its place.')
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is no time zone", 'Type an IANA name such as "Europe/Berlin".') from None
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (not self.url):
            raise ValueError("give exactly one of file (SQLite) and url")
        return self

    def address(self) -> URL:
        """Where the database is, with the password."""
        if self.file is not None:
            return URL.create("sqlite", database=str(self.file.resolve()))
        parsed = make_url(self.url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        return parsed if self.password is None else parsed.set(password=self.password.get_secret_value())
