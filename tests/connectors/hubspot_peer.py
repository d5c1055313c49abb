"""A HubSpot portal on loopback with a clock of its own, and the connector pointed at it."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.settings import Auth, HubSpotSettings
from connectors.hubspot.sink import HubSpotSink
from connectors.hubspot.source import HubSpotSource
from crmdrip.core.mapping import CrmMapping, parse_mapping
from crmdrip.sandbox.http import Request, Response, Server, ServerThread
from crmdrip.sandbox.hubspot.limits import Tier
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN, HubSpotPortal

MAPPING = Path(__file__).parents[2] / "mappings" / "hubspot.toml"
BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SHOWN = 10.0
"""Seconds after which a search of the stand-in shows a change."""

TEXT = ("string", "text")
NUMBER = ("number", "number")
TIME = ("datetime", "date")
BOX = ("bool", "booleancheckbox")

_TIMELINE = {
    "crmdrip_touch_id": TEXT,
    "crmdrip_sequence": TEXT,
    "crmdrip_sequence_id": TEXT,
    "crmdrip_step": TEXT,
    "crmdrip_step_id": TEXT,
    "crmdrip_run": NUMBER,
    "crmdrip_outcome": TEXT,
}
PROPERTIES = {
    "contacts": {
        **{f"crmdrip_{word}": BOX for word in ("enrolled", "approved", "brake")},
        **{f"crmdrip_{word}": TEXT for word in ("sequence", "status", "reason", "step", "bounced_reason", "lists")},
        **{f"crmdrip_{word}": TEXT for word in ("key", "claim", "state")},
        **{f"crmdrip_{word}": NUMBER for word in ("run", "calls_used", "calls_limit")},
        **{
            f"crmdrip_{word}": TIME
            for word in (
                "paused_until",
                "next_touch",
                "last_touch",
                "out_of_office_until",
                "replied_at",
                "bounced_at",
                "heartbeat",
            )
        },
    },
    "emails": {**_TIMELINE, "crmdrip_message_id": TEXT, "crmdrip_opens": NUMBER, "crmdrip_clicks": NUMBER},
    "tasks": _TIMELINE,
    "notes": {"crmdrip_touch_id": TEXT},
}
"""What crmdrip needs in a portal, beside what every portal has: type and fieldType by name."""
UNIQUE = frozenset({"crmdrip_touch_id", "crmdrip_key"})


def load_mapping() -> CrmMapping:
    """The mapping that is shipped."""
    return parse_mapping("mappings/hubspot.toml", tomllib.loads(MAPPING.read_text()))


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
        for kind, names in PROPERTIES.items():
            if kind != "contacts" and not timeline:
                continue
            self.portal.add_group(kind, "crmdrip", "crmdrip")
            for name, (type_name, field_type) in names.items():
                self.portal.add_property(
                    kind,
                    groupName="crmdrip",
                    name=name,
                    label=name,
                    type=type_name,
                    fieldType=field_type,
                    hasUniqueValue=name in UNIQUE,
                )
        if objects:
            self._define_objects()
        self.paths: list[str] = []
        """Of every request so far."""
        self.server = Server(self._handle)
        self.thread = ServerThread(self.server)

    def _handle(self, request: Request) -> Response:
        self.paths.append(request.path)
        return self.portal.handle(request)

    def _define_objects(self) -> None:
        mapping = load_mapping()
        for word, first in (("sequence", "name"), ("step", "subject")):
            rows = [
                {"name": name, "label": name, "type": "string", "fieldType": "textarea"}
                for name in mapping.fields[word].values()
            ]
            labels = {"singular": word.title(), "plural": f"{word.title()}s"}
            body = {"name": mapping.object(word), "labels": labels, "properties": rows, "requiredProperties": [first]}
            self.portal.define_object({**body, "primaryDisplayProperty": first})

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
