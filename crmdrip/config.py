"""The settings: what config.toml may say, each value with its meaning, unit and default.

`load` reads the file and reports every problem at once. The connectors' own sections ([crm.salesforce],
[mail.sendgrid]) are held by the connectors' own models; this module knows none of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from crmdrip.config_file import ConfigProblems, Problem, read_settings
from crmdrip.core.footer import WORDINGS
from crmdrip.core.tokens import KEY_LENGTH
from crmdrip.secrets import is_sandbox_constant
from crmdrip.settings import StrictModel, is_loopback

__all__ = ["ConfigProblems", "Problem", "Settings", "load"]


def _check_address(value: str) -> str:
    if not value:
        return value
    try:
        return validate_email(value, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        raise ValueError("is not an email address", 'Type it as "name@example.com".') from None


def _check_text(value: str) -> str:
    if not any(map(str.isalnum, value)):  # what cannot be seen, or says nothing, is blank to whoever gets the email
        raise ValueError("is blank", "Fill it in: the law asks every email to say who sends it, and from where.")
    if "{" in value or "}" in value:
        raise ValueError("holds a brace, as if it were a template", "Type plain words.")
    return value.strip()


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("is not the address of a web site", 'Type it as "https://mail.example.com".')
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must be https: links in emails cross the open net", "Type it with https://.")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_check_address)]
"""An email address, "" where it may be left out."""
WebAddress = Annotated[str, AfterValidator(_check_url)]
"""An https address without a trailing slash; http on loopback alone."""
Words = Annotated[str, AfterValidator(_check_text)]
Seconds = Annotated[float, Field(gt=0)]

_HINT_SECRET = re.compile(r"[A-Za-z0-9_-]{20,}")


class CrmSettings(StrictModel):
    """[crm]: which CRM, and how it names things."""

    connector: str = "salesforce"
    mapping: str = ""
    """A file with the names that differ in this org, absolute once loaded; "" for the built-in mapping."""
    settings: Any = None
    """The connector's own validated model, from [crm.<connector>]."""


class MailSettings(StrictModel):
    """[mail]: through which provider email goes out."""

    connector: str = "sendgrid"
    settings: Any = None
    """The connector's own validated model, from [mail.<connector>]."""


class MailboxSettings(StrictModel):
    """[[mailbox]]: an account into which people answer; as many as there are."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description="up to 32 small letters, digits and -",
        examples=["replies"],
    )
    """How it is called in messages, logs and the ledger. Another name is another mailbox, read from the beginning."""
    connector: str = "imap"
    settings: Any = None
    """The connector's own validated model, from the other keys of the table."""


class LedgerSettings(StrictModel):
    """[ledger]: where the daemon's own state lives."""

    url: str = Field(default="sqlite:///crmdrip.sqlite3", repr=False)
    """SQLAlchemy URL. A relative SQLite path is relative to the config file and absolute once loaded. One with a
    password in it is given as { env = ... } or { file = ... }."""

    @field_validator("url")
    @classmethod
    def _is_lasting(cls, value: str) -> str:
        if value.partition(":")[0] in _SERVERS:
            _, _, rest = value.partition("://")
            if not rest.partition("?")[0].partition("/")[2]:
                raise ValueError("names no database", 'Type url = "postgresql://USER@HOST/DATABASE".')
        elif not value.startswith("sqlite:///") or value in ("sqlite:///", "sqlite:///:memory:"):
            raise ValueError(
                "must be an SQLite file, which survives a restart, or a PostgreSQL database",
                'Type url = "sqlite:///crmdrip.sqlite3", or "postgresql://USER@HOST/DATABASE".',
            )
        return value

    @property
    def file(self) -> Path | None:
        """The SQLite file, None where the ledger is on a server."""
        return Path(self.url.removeprefix(_SQLITE)) if self.url.startswith(_SQLITE) else None


_SQLITE = "sqlite:///"
_SERVERS = frozenset({"postgresql", "postgresql+psycopg", "postgres"})


class SenderSettings(StrictModel):
    """[sender]: who stands behind every email (P7)."""

    company: Words = Field(examples=["Example Ltd"])
    postal_address: Words = Field(examples=["1 Example Street, 12345 Town, Country"])
    language: str = "en"
    """Of the footer: one of core.footer.WORDINGS."""
    reply_to: Address = ""
    """Where replies go; "" for the address the email is from."""

    @field_validator("company")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if any(ord(character) < 32 for character in value):
            raise ValueError("holds a line break or another control character", "Type the name on one line.")
        return value

    @field_validator("language")
    @classmethod
    def _is_language(cls, value: str) -> str:
        if value not in WORDINGS:
            raise ValueError("is no language the footer is written in", f"Choose one of {', '.join(WORDINGS)}.")
        return value


class RepliesSettings(StrictModel):
    """[replies]: answers that come to crmdrip itself, to be read, put on the timeline and sent on to the rep."""

    domain: str = ""
    """A domain whose mail the provider hands to this daemon; each email then has a signed address there as its
    Reply-To. "" where answers go to the rep."""

    @field_validator("domain")
    @classmethod
    def _is_domain(cls, value: str) -> str:
        try:
            return _check_address(f"reply@{value}").rpartition("@")[2].lower() if value else value
        except ValueError:
            raise ValueError("is no domain", 'Type domain = "reply.example.com", or "" for none.') from None


class UnsubscribeSettings(StrictModel):
    """[unsubscribe]: the signed link and the one-click header of every email (P7, RFC 8058)."""

    base_url: WebAddress = Field(examples=["https://mail.example.com"])
    mailto: Address = ""
    """A mailbox that also takes unsubscribes by mail; "" for a signed address of [replies] domain where there is one,
    else for none."""
    keys: tuple[SecretStr, ...] = Field(min_length=1)
    """The first signs, all verify: put a new one in front and keep the old for as long as its links shall work."""

    @field_validator("keys")
    @classmethod
    def _are_long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < KEY_LENGTH for key in value):
            raise ValueError(
                f"holds a key of less than {KEY_LENGTH} characters",
                'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            )
        return value

    @model_validator(mode="after")
    def _sandbox_keys_stay_on_loopback(self) -> UnsubscribeSettings:
        known = any(is_sandbox_constant(key.get_secret_value()) for key in self.keys)
        if known and not is_loopback(urlsplit(self.base_url).hostname):
            raise ValueError(
                "keys holds the sandbox's key, which everybody knows: links signed with it can be forged",
                'Give it as keys = [{ env = "UNSUBSCRIBE_KEY" }].',
            )
        return self


class LimitSettings(StrictModel):
    """[limits]: how much goes out. How many calls the CRM is asked for stands in its connector's own table (P5)."""

    sender_per_day: int = Field(default=200, ge=1)
    """Emails per sender and day."""
    domain_per_hour: int = Field(default=100, ge=1)
    """Emails per recipient domain and hour."""


class SafetySettings(StrictModel):
    """[safety]: when the daemon waits for a person."""

    confirm_above: int = Field(default=500, ge=1)
    """People entering one sequence at once, above which it waits for Confirmed; a sequence may set its own."""
    stop_share: float = Field(default=0.3, gt=0, le=1)
    """Share of a sequence's runs that may stop in one pull before the sequence is held."""
    stop_minimum: int = Field(default=20, ge=1)
    """Stops below which stop_share is not looked at."""
    in_doubt_first_look_minutes: float = Field(default=5, gt=0)
    """Minutes after an attempt of unknown outcome at which the provider's log is first asked."""
    in_doubt_deadline_hours: float = Field(default=72, gt=0)
    """Hours after which an email still in doubt is shown as needing a person."""


class DaemonSettings(StrictModel):
    """[daemon]: the rhythm of the loops, in seconds, and when the process gives up."""

    pull_seconds: Seconds = 60
    dispatch_seconds: Seconds = 15
    write_back_seconds: Seconds = 10
    reconcile_seconds: Seconds = 60
    feed_seconds: Seconds = 3600
    """Between two readings of the provider's suppression lists."""
    received_seconds: Seconds = 5
    """Between two looks for what came in by the door or a mailbox; the door calls for one at once."""
    engagement_minutes: float = Field(default=60, gt=0)
    """Minutes between two updates of one email's opens and clicks in the CRM."""
    batch: int = Field(default=1000, ge=1, le=10_000)
    """Touches claimed, looked at and sent together."""
    drain_seconds: Seconds = 30
    """How long work in flight may take after SIGTERM."""
    error_budget: int = Field(default=10, ge=1)
    """Failures in a row of one loop, after which the process exits for its supervisor to restart it."""


class ClusterSettings(StrictModel):
    """[cluster]: several daemons that share the work on one ledger, which then has to be on PostgreSQL."""

    enabled: bool = False
    """Every daemon of the ledger has to say the same."""
    name: str = Field(default="", max_length=40)
    """How status calls this daemon; "" for the machine and the process."""
    lease_seconds: float = Field(default=60, ge=1, le=120)
    """After so long a silence of one daemon the others take its work over. The emails of a batch have to be begun
    within it, so it is longer where the provider is slow."""


class WebSettings(StrictModel):
    """[web]: the door: /healthz, /readyz, the page behind every unsubscribe link, and what vendors post."""

    listen: str = "127.0.0.1:8025"
    """Host and port; "" for no door."""
    public_url: WebAddress | Literal[""] = ""
    """Where the world reaches the door; its path, if any, stands before /hooks and /hints. "" for nowhere."""
    hint_secrets: tuple[SecretStr, ...] = ()
    """Secrets one of which stands in the address that the CRM calls when something changed; none for no such calls."""
    proxies: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Addresses or networks of the web servers before the door: whom they name in X-Forwarded-For is who asks."""

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                ip_network(text)
            except ValueError:
                raise ValueError(
                    f"holds {text!r}, which is no address and no network", 'Type such as "10.0.0.5" or "172.17.0.0/16".'
                ) from None
        return value

    @field_validator("hint_secrets")
    @classmethod
    def _resist_guessing(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(not _HINT_SECRET.fullmatch(secret.get_secret_value()) for secret in value):
            raise ValueError(
                "holds one that has less than 20 characters, or others than letters, digits, - and _",
                'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            )
        return value

    @field_validator("listen")
    @classmethod
    def _is_host_and_port(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if value and not (host and colon and port.isascii() and port.isdecimal() and int(port) <= 65535):
            raise ValueError("must be a host and a port", 'Type listen = "127.0.0.1:8025", or "" for none.')
        return value

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port to listen on, None for none."""
        host, _, port = self.listen.rpartition(":")
        return (host.strip("[]"), int(port)) if port else None

    @property
    def prefix(self) -> str:
        """What stands before /hooks and /hints in a path, "" for nothing."""
        return urlsplit(self.public_url).path


class LogSettings(StrictModel):
    """[log]: what is written to standard error."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(StrictModel):
    """Everything config.toml says."""

    crm: CrmSettings
    mail: MailSettings
    mailbox: tuple[MailboxSettings, ...] = ()
    ledger: LedgerSettings
    sender: SenderSettings
    replies: RepliesSettings
    unsubscribe: UnsubscribeSettings
    limits: LimitSettings
    safety: SafetySettings
    daemon: DaemonSettings
    cluster: ClusterSettings
    web: WebSettings
    log: LogSettings


def load(path: Path, env: Mapping[str, str] | None = None) -> Settings:
    """Read config.toml; `env` is where `{ env = ... }` looks, the process's environment by default.

    Raises ConfigProblems, a ConfigurationError with every problem at once.
    """
    settings = read_settings(Settings, path, os.environ if env is None else env)
    file = settings.ledger.file
    if file is None:
        return settings
    url = f"{_SQLITE}{path.resolve().parent / file}"
    return settings.model_copy(update={"ledger": settings.ledger.model_copy(update={"url": url})})
