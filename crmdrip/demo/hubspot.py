"""The demo's HubSpot portal: Professional with its sequences in TOML files, or Enterprise with custom objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import requests

from crmdrip.demo.crm import Fault, Shown
from crmdrip.demo.stage import Stage

TOKEN = "sandbox-service-key"  # noqa: S105 - opens nothing real
FOLDER = "sequences"
"""Beside config.toml."""

# Days pass in seconds, so that limits of real seconds, and waits by them, would say nothing.
_SETTINGS = """\
[crm]
connector = "hubspot"
[crm.hubspot]
base_url = "{address}"
{sequences}burst = 1000000
searches = 1000000
search_seconds = 0
[crm.hubspot.auth]
token = "{token}"
"""
_PROPERTIES = (
    *("crmdrip_enrolled", "crmdrip_status", "crmdrip_reason", "crmdrip_step", "crmdrip_next_touch"),
    "hs_merged_object_ids",
)
_PAGE = 100
_API = "/crm|/communication-preferences"
_WRITE = "/batch/(create|update|upsert)$"


def _limited(word: str, policy: str) -> str:
    return (
        f'{{"status":"error","message":"You have reached your {word} limit.","errorType":"RATE_LIMIT",'
        f'"category":"RATE_LIMITS","policyName":"{policy}"}}'
    )


_BROKEN = '{"status":"error","message":"internal error"}'
_EXPIRED = '{"status":"error","message":"The token is expired","category":"EXPIRED_AUTHENTICATION"}'
_LOCKED = '{"status":"error","message":"The record is locked by another operation.","category":"RECORD_LOCKED"}'
_MOVING = '{"status":"error","message":"This account is being moved."}'
_PAGE_502 = "<html><body>502 Bad Gateway</body></html>"
_HTML = "text/html;charset=UTF-8"


class Definitions(StrEnum):
    """Where sequences are kept."""

    TOML = "toml"
    OBJECTS = "objects"


class DemoHubSpot:
    """A DemoCrm."""

    name = "hubspot"
    place = "portal"
    people = "contacts"
    faults: tuple[Fault, ...] = (
        {"kind": "answer", "path": _API, "status": 401, "body": _EXPIRED},
        {
            "kind": "answer",
            "path": _API,
            "status": 429,
            "body": _limited("ten_secondly_rolling", "TEN_SECONDLY_ROLLING"),
        },
        {"kind": "answer", "path": "/search$", "status": 429, "body": _limited("secondly", "SECONDLY")},
        {"kind": "answer", "path": _WRITE, "status": 423, "body": _LOCKED},
        {"kind": "answer", "path": _API, "status": 477, "body": _MOVING, "headers": {"Retry-After": "60"}},
        {"kind": "answer", "path": _API, "status": 502, "body": _PAGE_502, "content_type": _HTML},
        {"kind": "answer", "path": _API, "status": 503, "body": _BROKEN},
        {"kind": "answer_after", "path": _WRITE, "status": 503, "body": _BROKEN},
        {"kind": "answer_after", "path": _WRITE, "status": 502, "body": _PAGE_502, "content_type": _HTML},
        {"kind": "cut", "path": _API},
        {"kind": "cut_after", "path": _WRITE},
        {"kind": "short_page", "path": "/search$", "rows": 3},
        {"kind": "slow", "path": _API, "delay": 0.2},
    )

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.options: tuple[str, ...] = ("--definitions", definitions.value)

    def configure(self, stage: Stage, folder: Path) -> str:
        """Switch the portal's limits off, and write the sequences where they are files."""
        stage.lift_limits()
        place = ""
        if self.definitions is Definitions.TOML:
            (folder / FOLDER).mkdir()
            for name, text in stage.sequences().items():
                (folder / FOLDER / f"{name}.toml").write_text(text, encoding="utf-8")
            place = f'sequences = "{FOLDER}"\n'
        return _SETTINGS.format(address=stage.crm, sequences=place, token=TOKEN)

    def furnish(self, stage: Stage) -> None:
        """Old bounces are noted, and sequences written where they are custom objects."""
        stage.furnish()

    def read_people(self, address: str, wanted: Iterable[str]) -> Iterator[Shown]:
        """The living contacts among the ids; what a merge has made of one counts as that one."""
        ids = set(wanted)
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {TOKEN}"
            query = {"limit": str(_PAGE), "properties": ",".join(_PROPERTIES)}
            while True:
                answer = session.get(f"{address}/crm/objects/2026-09/contacts", params=query, timeout=60)
                answer.raise_for_status()
                page = answer.json()
                for row in page["results"]:
                    values = row["properties"]
                    if not ids.isdisjoint({row["id"], *(values.get("hs_merged_object_ids") or "").split(";")}):
                        yield _shown(row["id"], values)
                if "paging" not in page:
                    return
                query["after"] = page["paging"]["next"]["after"]


def _shown(record_id: str, values: Mapping[str, str | None]) -> Shown:
    at = values.get("crmdrip_next_touch")
    return Shown(
        id=record_id,
        ticked=values.get("crmdrip_enrolled") == "true",
        status=values.get("crmdrip_status") or "",
        reason=values.get("crmdrip_reason") or "",
        step=values.get("crmdrip_step") or "",
        next_touch=datetime.fromisoformat(at) if at else None,
    )
