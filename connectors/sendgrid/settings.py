"""The settings of the SendGrid connector: section `[mail]` with `connector = "sendgrid"`."""

from __future__ import annotations

import re
import ssl
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.sendgrid.signature import load_key
from crmdrip.ports.trust import build_trust, check_ca_file
from crmdrip.settings import StrictModel, is_loopback

SECRET_LENGTH = 20
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]+")


class Region(StrEnum):
    """Where the account lives. A key of one region is refused by the other."""

    GLOBAL = "global"
    EU = "eu"


BASE_URLS = {Region.GLOBAL: "https://api.sendgrid.com", Region.EU: "https://api.eu.sendgrid.com"}
"""The two servers named in the vendor's OpenAPI files (tsg_mail_v3.json, servers)."""


class SendGridSettings(StrictModel):
    """How to reach one SendGrid account. Times are in seconds."""

    api_key: SecretStr
    """Needs mail.send; reading the Email Logs and the suppression lists lets doubts be settled and stops be heard."""
    region: Annotated[Region, Field(strict=False)] = Region.GLOBAL
    base_url: str = ""
    """Overrides the region's server. Plain http is accepted for this machine only."""
    connections: Annotated[int, Field(ge=1, le=256)] = 16
    """Emails on their way at the same time."""
    connect_timeout: Annotated[float, Field(gt=0, le=120)] = 10.0
    """For name look-up, TCP and TLS together."""
    request_timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """From the first byte of a request to the last of its answer. An email that runs into it is in doubt."""
    idle_timeout: Annotated[float, Field(gt=0, le=600)] = 20.0
    """A connection unused for longer is not used again."""
    click_tracking: bool = False
    """Off: it rewrites every link to another host, which people and spam filters see in a personal email."""
    open_tracking: bool = True
    """Adds an invisible image, so that touches can show opens. Opens never decide anything."""
    sandbox_mode: bool = False
    """SendGrid checks each email and delivers none."""
    event_keys: tuple[str, ...] = ()
    """Verification keys of the signed Event Webhook; while SendGrid changes to a new one, the old one too. Without any,
    no events are taken."""
    inbound_keys: tuple[str, ...] = ()
    """Verification keys of the security policies of Inbound Parse."""
    inbound_secrets: tuple[SecretStr, ...] = ()
    """Secrets one of which stands in the address of the parse setting. With neither keys nor secrets, no mail is
    taken; with both, a post needs both."""
    inbound_megabytes: Annotated[float, Field(gt=0, le=100)] = 30.0
    """The largest post that is taken. SendGrid's own limit is 30."""
    unsubscribe_groups: Literal["all"] | tuple[int, ...] = "all"
    """Ids of the unsubscribe groups whose members get no email from any sequence; an empty list for none of them. Who
    unsubscribed from everything in SendGrid always counts."""
    ca_file: Path | None = None
    """Trust these certificates (PEM) instead of the system's."""

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        # It is written into a header by us, so a stray line break would split the request.
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("must be one word of printable ASCII; check the file or variable it comes from")
        return value

    @field_validator("event_keys", "inbound_keys")
    @classmethod
    def _check_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for key in value:
            try:
                load_key(key)
            except ValueError as error:
                raise ValueError(
                    f"holds what {error}", "Copy the verification key from SendGrid, Settings, Mail Settings."
                ) from None
        return value

    @field_validator("inbound_secrets")
    @classmethod
    def _check_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            text = secret.get_secret_value()
            if len(text) < SECRET_LENGTH or not _URL_SAFE.fullmatch(text):
                raise ValueError(
                    f"holds one that has less than {SECRET_LENGTH} characters, or others than letters, digits, - and _",
                    'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
                )
        return value

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        if not value:
            return ""
        parts = urlsplit(value)
        if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
            raise ValueError("must be a scheme, a host and perhaps a port, such as https://api.sendgrid.com")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has an impossible port") from None
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ValueError("must begin with https:// (http:// is accepted for 127.0.0.1, ::1 and localhost only)")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _check_ca_file(self) -> Self:
        check_ca_file(self.ca_file)
        return self

    def counts_group(self, group_id: object) -> bool:
        """Whether an unsubscribe from this group stops every sequence."""
        return self.unsubscribe_groups == "all" or group_id in self.unsubscribe_groups

    @property
    def url(self) -> str:
        """The server in use, without a trailing slash."""
        return self.base_url or BASE_URLS[self.region]


def build_tls(settings: SendGridSettings) -> ssl.SSLContext:
    """What TLS trusts. Raises ConfigurationError when ca_file holds no certificate."""
    return build_trust(settings.ca_file, "mail.sendgrid.ca_file")
