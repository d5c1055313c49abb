"""What an engineer sets for Salesforce: where the org is, how to log in, and how many calls a day are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from crmdrip.core.errors import ConfigurationError
from crmdrip.ports.trust import build_trust, check_ca_file
from crmdrip.settings import StrictModel, is_stand_in


class ClientCredentials(StrictModel):
    """OAuth client credentials: an External Client App with a run-as integration user."""

    consumer_key: str
    consumer_secret: SecretStr


class JwtBearer(StrictModel):
    """OAuth JWT bearer: a certificate on the app, and a user approved for it. No secret on the wire."""

    consumer_key: str
    username: str
    private_key: SecretStr
    """The RSA key in PEM form, itself and not its path."""
    audience: str = ""
    """"" means https://test.salesforce.com for a sandbox's domain and https://login.salesforce.com for all others."""


class ExistingSession(StrictModel):
    """A session somebody already has, for trials. It cannot be renewed."""

    session_id: SecretStr
    instance_url: str

    @field_validator("instance_url")
    @classmethod
    def _https(cls, value: str) -> str:
        if urlsplit(value).scheme != "https" or not urlsplit(value).hostname:
            raise ValueError("must look like https://acme.my.salesforce.com")
        return value


class Auth(StrictModel):
    """Exactly one of three ways to log in. There is no SOAP login: Salesforce ends it in Summer '27."""

    client_credentials: ClientCredentials | None = None
    jwt_bearer: JwtBearer | None = None
    session: ExistingSession | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [way for way in (self.client_credentials, self.jwt_bearer, self.session) if way is not None]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of client_credentials, jwt_bearer and session",
                "Keep the table of one of them, and take the others out.",
            )
        return self


class SalesforceSettings(StrictModel):
    """The table of the Salesforce connector."""

    domain: str = ""
    """What stands before .salesforce.com: "acme.my", "acme--uat.sandbox.my". Not needed with auth.session."""
    auth: Auth
    install_auth: Auth | None = None
    """How crmdrip install logs in, where the daemon's own user may not change the org (it should not)."""
    org_id: str = ""
    """The org that may be mailed from, 15 or 18 characters. A copy of it has another id and is refused (B25)."""
    api_version: str = Field(default="64.0", pattern=r"^\d{2,3}\.0$", description="a version such as 64.0, in quotes")
    base_url: str = ""
    """A stand-in on this machine, such as http://127.0.0.1:8040; "" for the real Salesforce."""
    ca_file: Path | None = None
    """Trust these certificates (PEM) instead of the system's."""
    connect_timeout: float = Field(default=5.0, gt=0)
    """Seconds."""
    read_timeout: float = Field(default=120.0, gt=0)
    """Seconds. Salesforce itself gives up after ten minutes."""
    daily_cap: int | None = Field(default=None, gt=0)
    """API calls crmdrip may make in any 24 hours; None leaves it to the org's own limit."""
    reserve: int = Field(default=500, ge=0)
    """Calls kept back for stops, last looks and pulls: once no more are left, reporting waits."""
    overlap_minutes: int = Field(default=10, ge=0)
    """How far back each pull reads again: a long transaction commits rows under an older stamp."""

    @field_validator("base_url")
    @classmethod
    def _loopback(cls, value: str) -> str:
        if value and not is_stand_in(value):
            raise ValueError(
                "must lead to this machine (http://127.0.0.1)",
                "The real Salesforce needs no base_url: remove the line.",
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _check_ca_file(self) -> Self:
        check_ca_file(self.ca_file)
        try:
            if self.ca_file is not None:
                build_trust(self.ca_file, "crm.salesforce.ca_file")
        except ConfigurationError:
            raise ValueError("the file that ca_file names has no certificate in it that can be read (PEM)") from None
        return self

    @field_validator("domain")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if "://" in value or "/" in value or value.endswith("salesforce.com"):
            own = value.rstrip("/").rpartition("/")[2].removesuffix(".salesforce.com")
            raise ValueError("is more than what stands before .salesforce.com", f'Type domain = "{own or "acme.my"}".')
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.auth.session is None and not self.domain:
            raise ValueError(
                "domain is missing",
                'Add domain = and what stands before .salesforce.com in your My Domain, such as "acme.my".',
            )
        # Their token endpoint exists on My Domain alone (help: remoteaccess_oauth_client_credentials_flow).
        if self.auth.client_credentials is not None and self.domain in {"login", "test"}:
            raise ValueError(
                'client credentials need the My Domain, not "login" or "test"',
                'Type domain = "acme.my": what stands before .salesforce.com (Setup, My Domain).',
            )
        return self
