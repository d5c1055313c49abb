"""The whole sandbox with a HubSpot portal in the place of the Salesforce org.

with HubSpotSandbox(people=2_000, seed=1) as sandbox:
sandbox.hubspot_url, sandbox.sendgrid_url, sandbox.pages_url
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.http import Request, Response, Server
from crmdrip.sandbox.hubspot.auth import APP_ID
from crmdrip.sandbox.hubspot.limits import Tier
from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.hubspot.refusals import Refusal
from crmdrip.sandbox.hubspot.site import PortalPages
from crmdrip.sandbox.hubspot.world import Installed, PortalView, PortalWorld, sequence_files
from crmdrip.sandbox.sendgrid import Keep
from crmdrip.sandbox.world import SENDING_DOMAIN, Habits, Happened

HUBSPOT_PORT = 8184
"""Where `python -m crmdrip.sandbox --crm hubspot` serves the portal unless told otherwise."""


HINTS = (
    *(f"contact.{happened}" for happened in ("creation", "deletion", "merge", "restore", "privacyDeletion")),
    *(
        f"contact.propertyChange:{name}"
        for name in ("crmdrip_enrolled", "email", "hs_email_optout", "hubspot_owner_id")
    ),
    "contact.propertyChange:hs_sales_email_last_replied",
    "contact.propertyChange:engagements_last_meeting_booked",
)
"""What a program that stops and starts sequences wants to hear of at once."""


class HubSpotSandbox(Sandbox):
    """Everything together. Arguments as in Sandbox; there is no `org`.

    tier: what the account has bought. installed: what of crmdrip is there when it opens; OBJECTS needs Enterprise.
    """

    def __init__(
        self,
        *,
        people: int = 2_000,
        seed: int = 1,
        now: datetime | None = None,
        speed: float = 0.0,
        habits: Habits | None = None,
        keep: Keep = Keep.EVERYTHING,
        unsubscribes: bool = True,
        verified_domains: Iterable[str] = (SENDING_DOMAIN,),
        tier: Tier = Tier.PROFESSIONAL,
        installed: Installed = Installed.TOML,
        hubspot_port: int = 0,
        sendgrid_port: int = 0,
        pages_port: int = 0,
    ) -> None:
        self._begin(SandboxClock(now, speed=speed), keep=keep, verified_domains=verified_domains, seed=seed)
        self.portal = HubSpotPortal(self.clock, tier=tier, seed=seed)
        self.portal.webhooks.post = self.courier.post
        world = PortalWorld(
            self.portal,
            self.account,
            self.clock,
            seed=seed,
            people=people,
            habits=habits,
            post=self.clicker.post if unsubscribes else None,
            scan=self.clicker.scan if unsubscribes else None,
            installed=installed,
        )
        self._bare = world if installed is Installed.NOTHING else None
        self.portal_pages = PortalPages(self.portal, self.account, world, self.clock)
        self.hubspot_server = Server(self.portal.handle, port=hubspot_port)
        self._finish(world, PortalView(self.portal), self.hubspot_server, sendgrid_port, pages_port)
        self.control.extend(
            {
                ("GET", "sequences"): lambda _: sequence_files(),
                ("POST", "furnish"): lambda _: self._furnish(world),
                ("POST", "webhooks"): self._post_webhooks,
                ("POST", "limits"): self._post_limits,
            }
        )

    def _post_webhooks(self, request: Request) -> dict[str, int]:
        """Configure an app's webhooks: {"url": ..., "secret": ..., "types": [...]}; types default to HINTS."""
        body = request.json()
        if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in ("url", "secret")):
            raise ValueError("url and secret are needed")
        types = body.get("types", list(HINTS))
        hook = self.portal.webhooks.subscribe(body["url"], body["secret"], types, app_id=APP_ID)
        return {"subscriptions": len(hook.subscriptions)}

    def tick(self) -> list[Happened]:
        """As Sandbox.tick; in a bare portal people begin once somebody has installed crmdrip."""
        self.call(self._furnish_once)
        return super().tick()

    def _furnish_once(self) -> None:
        if self._bare is not None and self._bare.is_installed():
            self._bare.furnish()
            self._bare = None

    @staticmethod
    def _furnish(world: PortalWorld) -> dict[str, str]:
        """Let people do what they do once crmdrip is installed; the ids of the sequences by name."""
        try:
            world.furnish()
        except Refusal as refusal:
            raise ValueError(f"crmdrip is not installed: {refusal.message}") from refusal
        return world.sequences

    def _post_limits(self, request: Request) -> dict[str, Any]:
        """Change the rate limits: the members of Limits, the others as the tier has them; null for no limits at all."""
        body = request.json()
        if body is not None and not isinstance(body, dict):
            raise ValueError("an object with limits, or null")
        meter = self.portal.meter
        meter.limits = None if body is None else replace(self.portal.tier.value, **body)
        return asdict(meter.limits) if meter.limits is not None else {}

    @property
    def hubspot_url(self) -> str:
        """The base URL of the portal."""
        return self.hubspot_server.url

    def _close(self) -> None:
        """The portal's memory goes with the object."""

    def _show_page(self, request: Request) -> Response:
        return self.portal_pages.handle(request)
