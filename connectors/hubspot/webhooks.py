"""HubSpot's webhooks, as hints: something in the portal has changed, and the next pull is made at once.

Only a project app can have them; a service key cannot (developer docs, "Configure webhooks"). What they say is never
believed: they come in any order, may repeat for a day, and may not come at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from connectors.hubspot.signature import SIGNATURE, TIMESTAMP, is_fresh, verify
from crmdrip.ports import HookRequest

HOOK_PATH = "/hooks/hubspot/changes"
"""Where the door answers, behind its public address."""


class ChangeHint:
    """The target of the app's webhooks."""

    source = "hubspot:changes"
    limit = 1024 * 1024
    """Bytes. HubSpot posts at most 100 events together."""
    seconds = 5.0
    """As long as HubSpot waits for an answer."""

    def __init__(self, secrets: Iterable[str], url: str) -> None:
        """secrets: client secrets of the app, the old one too while it is replaced. url: as HubSpot calls it."""
        self._secrets = tuple(secrets)
        self._url = url

    def admits(self, request: HookRequest, now: datetime) -> bool:
        """Whether it carries a signature of the last minutes. Raises nothing."""
        return bool(request.headers.get(SIGNATURE)) and is_fresh(request.headers.get(TIMESTAMP, ""), now)

    def authentic(self, request: HookRequest, now: datetime) -> bool:
        """Whether HubSpot signed it for this very address. Raises nothing."""
        return verify(
            secrets=self._secrets, method="POST", uri=self._url, headers=request.headers, body=request.body, now=now
        )
