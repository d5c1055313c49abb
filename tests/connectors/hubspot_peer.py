"""A HubSpot portal on loopback with a clock of its own, and the connector pointed at it."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.schema import read_schema
from connectors.hubspot.settings import Auth, HubSpotSettings
from connectors.hubspot.sink import HubSpotSink
from connectors.hubspot.source import HubSpotSource
from crmdrip.core.mapping import CrmMapping, parse_mapping
from crmdrip.sandbox.http import Request, Response, Server, ServerThread
from crmdrip.sandbox.hubspot.limits import Tier
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN, HubSpotPortal
from crmdrip.sandbox.hubspot.world.install import TABLES, define_objects, define_properties

MAPPING = Path(__file__).parents[2] / "mappings" / "hubspot.toml"
BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SHOWN = 10.0
"""Seconds after which a search of the stand-in shows a change."""


def load_mapping() -> CrmMapping:
    """The mapping that is shipped."""
    return parse_mapping("mappings/hubspot.toml", tomllib.loads(MAPPING.read_text()))


PROPERTIES = {kind: [spec.name for spec in specs] for kind, specs in read_schema(load_mapping()).properties.items()}
"""What crmdrip needs in a portal, beside what every portal has: names by object."""


class SteppedClock:
    """Stands still until it is told to move."""

    def __init__(self, at: datetime = BEGIN) -> None:
        self.at = at

    def now(self) -> datetime:
        """Aware UTC."""
        return self.at

    def move(self, **by: float) -> None:
        """Go on, by the words of timedelta."""
        self.at += timedelta(**by)


class HubSpotPeer:
    """The portal, its server, a folder of sequences, and everything a test changes in them."""

    def __init__(
        self,
        folder: Path,
        *,
        timeline: bool = True,
        objects: bool = False,
        clock: SteppedClock | None = None,
        **portal: object,
    ) -> None:
        """timeline: whether emails, tasks and notes have properties of ours, which not every portal allows.

        objects: whether sequences are custom objects, which only Enterprise has.
        """
        self.objects = objects
        self.clock = clock or SteppedClock()
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        tier = {"tier": Tier.ENTERPRISE} if objects else {}
        self.portal = HubSpotPortal(self.clock.now, **tier, **portal)
        self.portal.meter.limits = None
        define_properties(self.portal, TABLES if timeline else ("contact", "control"))
        if objects:
            define_objects(self.portal)
        self.paths: list[str] = []
        """Of every request so far."""
        self.server = Server(self._handle)
        self.thread = ServerThread(self.server)

    def _handle(self, request: Request) -> Response:
        self.paths.append(request.path)
        return self.portal.handle(request)

    def __enter__(self) -> Self:
        self.thread.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.thread.__exit__(*exc)
        assert self.server.errors == []

    def do(self, name: str, *args: object, **kwargs: object):
        """Call a method of the portal in the server's thread; time passes until searches show what it did."""
        self.clock.move(seconds=1)
        found = self.thread.call(lambda: getattr(self.portal, name)(*args, **kwargs))
        self.clock.move(seconds=SHOWN)
        return found

    def one(self, kind: str, record_id: str) -> dict:
        """All properties of one record that have a value, deleted or not."""
        return dict(self.thread.call(lambda: self.portal.get(kind, record_id)).properties)

    def settings(self, **given: object) -> HubSpotSettings:
        """Settings for this portal by service key."""
        known = {
            "auth": Auth(token=SecretStr(DEFAULT_TOKEN)),
            "sequences": None if self.objects else str(self.folder),
            "base_url": self.server.url,
            "connect_timeout": 2.0,
            "read_timeout": 5.0,
        }
        return HubSpotSettings(**{**known, **given})

    def client(self, **given: object) -> HubSpotClient:
        """A client that sleeps by the portal's clock."""
        return HubSpotClient(self.settings(**given), self.clock, sleep=lambda seconds: self.clock.move(seconds=seconds))

    def source(self, **given: object) -> HubSpotSource:
        """A source with the shipped mapping."""
        return HubSpotSource(self.client(**given), load_mapping())

    def sink(self, source: HubSpotSource) -> HubSpotSink:
        """The sink on that source."""
        return HubSpotSink(source)

    def calls(self) -> int:
        """API calls the portal has counted."""
        return self.thread.call(lambda: self.portal.api_calls)
