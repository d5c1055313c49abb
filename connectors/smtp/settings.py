"""The settings of the SMTP connector: section `[mail]` with `connector = "smtp"`."""

from __future__ import annotations

import ssl
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from crmdrip.ports.trust import build_trust, check_ca_file
from crmdrip.settings import StrictModel, is_loopback


class Tls(StrEnum):
    """How the connection is protected."""

    STARTTLS = "starttls"
    """Begins in clear and must be upgraded; only a server on this machine may do without."""
    IMPLICIT = "implicit"
    """TLS from the first byte (RFC 8314)."""
    NONE = "none"
    """Never. Everything can be read on the way."""


PORTS = {Tls.STARTTLS: 587, Tls.IMPLICIT: 465, Tls.NONE: 25}


class SmtpSettings(StrictModel):
    """How to reach one mail server. Times are in seconds."""

    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0 takes the usual one: 587 for starttls, 465 for implicit, 25 for none."""
    tls: Annotated[Tls, Field(strict=False)] = Tls.STARTTLS
    username: str = ""
    """"" sends without logging in."""
    password: SecretStr = SecretStr("")
    connections: Annotated[int, Field(ge=1, le=64)] = 4
    """Emails on their way at the same time. Many servers accept few connections from one client."""
    connect_timeout: Annotated[float, Field(gt=0, le=120)] = 10.0
    reply_timeout: Annotated[float, Field(gt=0, le=600)] = 60.0
    """For each command up to the end of the email."""
    final_timeout: Annotated[float, Field(gt=0, le=1200)] = 600.0
    """For the answer to a whole email; an email that runs into it is in doubt. RFC 5321 section 4.5.3.2.6 asks for ten
    minutes, since servers filter before they answer."""
    idle_timeout: Annotated[float, Field(gt=0, le=600)] = 20.0
    """A connection unused for longer is not used again."""
    hello_name: str = ""
    """The name given in EHLO; "" for this machine's."""
    bounce_address: str = ""
    """The envelope sender, to which bounces go; "" for the From address."""
    ca_file: Path | None = None
    """Trust these certificates (PEM) instead of the system's."""

    @field_validator("host", "hello_name", "bounce_address", "username")
    @classmethod
    def _check_word(cls, value: str) -> str:
        if not value.isprintable() or " " in value:
            raise ValueError("must not hold spaces or line breaks")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        check_ca_file(self.ca_file)
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password belong together")
        if self.username and self.tls is Tls.NONE and not is_loopback(self.host):
            raise ValueError('tls = "none" would show the password to everyone on the way')
        return self

    @property
    def real_port(self) -> int:
        """The port in use."""
        return self.port or PORTS[self.tls]


def build_tls(settings: SmtpSettings) -> ssl.SSLContext:
    """What TLS trusts. Raises ConfigurationError when ca_file holds no certificate."""
    return build_trust(settings.ca_file, "mail.smtp.ca_file")
