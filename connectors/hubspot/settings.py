"""What an engineer sets for HubSpot: which portal, how to log in, where sequences are kept, and how much to call."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.hubspot.paths import FAMILIES, NUMBERED, VERSION
from crmdrip.settings import StrictModel, is_stand_in


class OAuthApp(StrictModel):
    """A project app that was installed in the portal: its access tokens last half an hour and are renewed."""

    client_id: str
    client_secret: SecretStr
    refresh_token: SecretStr


class Auth(StrictModel):
    """Exactly one of two ways to log in."""

    token: SecretStr | None = None
    """A service key, or the token of a private app that exists already: new ones cannot be made since October 2026."""
    oauth: OAuthApp | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.token is None) == (self.oauth is None):
            raise ValueError(
                "give exactly one of token and oauth",
                'Type token = { env = "HUBSPOT_TOKEN" } under [crm.hubspot.auth], or keep [crm.hubspot.auth.oauth].',
            )
        return self


class HubSpotSettings(StrictModel):
    """The table of the HubSpot connector."""

    portal_id: str = Field(default="", pattern=r"^\d*$", description="digits alone, in quotes", examples=["4242424"])
    """The one account that may be mailed from, its Hub ID. A sandbox has another and is refused (B25)."""
    auth: Auth
    sequences: Path | None = Field(default=None, strict=False)
    """The folder with the sequences, one TOML file each, best under version control. None where they are custom
    objects in HubSpot (Enterprise)."""
    subscription_type: str = Field(
        default="", pattern=r"^\d*$", description="digits alone, in quotes", examples=["1002"]
    )
    """The number of the subscription type that our emails belong to: whoever opted out of it gets none, like whoever
    opted out of all. "" where opting out of all alone counts."""
    opt_out_of: Literal["all", "subscription_type"] = "all"
    """What somebody who unsubscribes here is opted out of in HubSpot."""
    on_own_sequence: Literal["hold", "stop", "ignore"] = "hold"
    """What becomes of a run while its person is in one of HubSpot's own sequences."""
    log_on_company: bool = False
    """Whether what stands on a contact's timeline stands on that of its company too; a call more for each hundred."""
    log_on_deal: bool = False
    """Whether it stands on the contact's open deals too; two calls more for each hundred."""
    progress: Path | None = Field(default=None, strict=False)
    """The folder where version, error and counts of each sequence are shown; None for "progress" in the former."""
    webhook_url: str = ""
    """Where the app's webhooks are posted to, word by word as HubSpot calls it, since HubSpot signs it:
    <[web] public_url>/hooks/hubspot/changes. "" for no webhooks."""
    client_secrets: tuple[SecretStr, ...] = ()
    """Client secrets of the app that has the webhooks; while one is replaced, the old one too."""
    base_url: str = ""
    """A stand-in on this machine, such as http://127.0.0.1:8183; "" for the real HubSpot."""
    versions: dict[str, str] = Field(default_factory=dict)
    """The API version by family, where it is to be another than ours: {"objects" = "v3"}."""
    connect_timeout: float = Field(default=5.0, gt=0)
    """Seconds."""
    read_timeout: float = Field(default=60.0, gt=0)
    """Seconds."""
    burst: int = Field(default=100, ge=10)
    """Calls in ten seconds, until HubSpot's answers tell the portal's own limit (100 for Free and Starter)."""
    searches: int = Field(default=4, ge=1)
    """Searches in a second. An account has five, and other apps search as well."""
    daily_cap: int | None = Field(default=None, gt=0)
    """API calls crmdrip may make in any 24 hours; None leaves it to the portal's own limit."""
    reserve: int = Field(default=2_000, ge=0)
    """Calls kept back for stops, last looks and pulls: once no more are left, reporting waits."""
    overlap_minutes: int = Field(default=5, ge=1)
    """How far back each pull reads again: a change takes some seconds to show in searches."""
    search_seconds: float = Field(default=15.0, ge=0)
    """How long a change takes at most to show in searches, "a few moments" in HubSpot's words. A lost ledger is filled
    again after this wait, so that the newest touches are among them."""
    watch_minutes: int = Field(default=5, ge=1)
    """How often everybody in a sequence is read by id, which tells who was deleted or merged."""

    @field_validator("webhook_url")
    @classmethod
    def _a_plain_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and ((parts.scheme != "https" and not is_stand_in(value)) or parts.query or parts.fragment):
            raise ValueError(
                "must begin with https:// and have no ? or #: HubSpot signs it as it stands",
                'Type webhook_url = "https://YOUR-HOST/hooks/hubspot/changes", or leave the line out.',
            )
        return value

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if bool(self.webhook_url) != bool(self.client_secrets):
            raise ValueError(
                "webhook_url and client_secrets go together: HubSpot's signature is proved by both",
                'Type client_secrets = [{ env = "HUBSPOT_CLIENT_SECRET" }] beside webhook_url, or leave out both.',
            )
        return self

    @model_validator(mode="after")
    def _a_type_to_opt_out_of(self) -> Self:
        if self.opt_out_of == "subscription_type" and not self.subscription_type:
            raise ValueError(
                'opt_out_of = "subscription_type" needs subscription_type',
                "Type subscription_type = and the number of the one our emails belong to, in quotes; crmdrip doctor"
                ' lists them once opt_out_of is "all".',
            )
        return self

    @field_validator("base_url")
    @classmethod
    def _loopback(cls, value: str) -> str:
        if value and not is_stand_in(value):
            raise ValueError(
                "must lead to this machine (http://127.0.0.1)", "The real HubSpot needs no base_url: remove the line."
            )
        return value.rstrip("/")

    @field_validator("versions")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for family, version in value.items():
            if family not in FAMILIES:
                raise ValueError(f"no family is called {family}; known are {', '.join(sorted(FAMILIES))}")
            numbered = NUMBERED[family]
            if not VERSION.fullmatch(version) or (version.startswith("v") and version != numbered):
                raise ValueError(f'{family} must be a date like "2026-09", or "{numbered}"')
        return value
