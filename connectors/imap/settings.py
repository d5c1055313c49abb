"""The settings of the IMAP connector: the keys of a `[[mailbox]]` table with `connector = "imap"`."""

from __future__ import annotations

import ssl
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from crmdrip.core.errors import ConfigurationError
from crmdrip.ports.trust import build_trust, check_ca_file
from crmdrip.settings import StrictModel, is_loopback


class Tls(StrEnum):
    """How the connection is protected."""

    IMPLICIT = "implicit"
    """TLS from the first byte (RFC 8314)."""
    STARTTLS = "starttls"
    """Begins in clear and must be upgraded before the login."""
    NONE = "none"
    """Never; for a server on this machine alone."""


PORTS = {Tls.IMPLICIT: 993, Tls.STARTTLS: 143, Tls.NONE: 143}

LONGEST_IDLE = 29 * 60
"""Seconds: a server may log out whoever idles for half an hour, so IDLE is to be renewed before (RFC 2177)."""


class ImapSettings(StrictModel):
    """How to reach one account. Times are in seconds."""

    host: Annotated[str, Field(min_length=1, max_length=253, examples=["imap.example.com"])]
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0 takes the usual one: 993 for implicit, 143 for starttls and none."""
    tls: Annotated[Tls, Field(strict=False)] = Tls.IMPLICIT
    username: Annotated[str, Field(min_length=1, max_length=320, examples=["replies@example.com"])]
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    """An OAuth2 access token (XOAUTH2), read once at the start. It ends after about an hour."""
    token_file: Path | None = None
    """A file that always holds a fresh OAuth2 access token: it is read at each login."""
    folders: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)] = ("INBOX",)
    """Each takes a connection of its own."""
    connect_timeout: Annotated[float, Field(gt=0, le=120)] = 10.0
    reply_timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Without a byte of the answer."""
    idle_seconds: Annotated[float, Field(gt=0, lt=LONGEST_IDLE)] = 540.0
    """After which IDLE is renewed. Routers forget a silent connection long before the server does."""
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Between two readings where the server knows no IDLE."""
    look_back_days: Annotated[int, Field(ge=0, le=90)] = 7
    """How old the mail may be that the first reading of a folder takes in."""
    megabytes: Annotated[float, Field(gt=0, le=50)] = 2.0
    """How much of each email is read. What a person wrote comes first; the rest is attachments."""
    ca_file: Path | None = None
    """Trust these certificates (PEM) instead of the system's."""

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not value.isprintable() or " " in value:
            raise ValueError("must not hold spaces or line breaks")
        return value

    @field_validator("username")
    @classmethod
    def _check_username(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must not hold line breaks")
        return value

    @field_validator("folders")
    @classmethod
    def _check_folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not name or not name.isprintable() or len(name) > 200 for name in value):
            raise ValueError("holds an entry that is no folder's name")
        if len(set(value)) < len(value):
            raise ValueError("names a folder twice")
        return value

    @field_validator("password", "token")
    @classmethod
    def _check_secret(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().isprintable():
            raise ValueError("must not hold line breaks", "Put the secret on one line.")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        ways = [
            bool(self.password.get_secret_value()),
            bool(self.token.get_secret_value()),
            self.token_file is not None,
        ]
        if sum(ways) != 1:
            raise ValueError("needs exactly one of password, token and token_file")
        if self.tls is Tls.NONE and not is_loopback(self.host):
            raise ValueError(
                'tls = "none" would show the password and every email to everyone on the way',
                'Type tls = "implicit" or tls = "starttls".',
            )
        check_ca_file(self.ca_file)
        return self

    @property
    def real_port(self) -> int:
        """The port in use."""
        return self.port or PORTS[self.tls]

    @property
    def size_limit(self) -> int:
        """Bytes of an email that are read."""
        return int(self.megabytes * 1024 * 1024)


def build_tls(settings: ImapSettings) -> ssl.SSLContext:
    """What TLS trusts. Raises ConfigurationError when ca_file holds no certificate."""
    return build_trust(settings.ca_file, "mailbox.ca_file")


def read_token(settings: ImapSettings) -> str:
    """The access token as it is now, "" where a password is used. Raises ConfigurationError without the token."""
    if settings.token_file is None:
        return settings.token.get_secret_value()
    try:
        with settings.token_file.open("rb") as file:
            token = file.read(65536).decode("ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"the token cannot be read ({error.strerror}).",
            where="mailbox.token_file",
            do_next="Let whatever renews the token write it there, readable for the daemon's user.",
        ) from error
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise ConfigurationError(
            "the file holds no token.", where="mailbox.token_file", do_next="Put the access token alone into it."
        )
    return token
