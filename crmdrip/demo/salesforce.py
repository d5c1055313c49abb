"""The demo's Salesforce org."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import requests

from crmdrip.demo.crm import Fault, Shown
from crmdrip.demo.stage import Stage

_SETTINGS = """\
[crm]
connector = "salesforce"
[crm.salesforce]
domain = "acme.my"
base_url = "{address}"
[crm.salesforce.auth.client_credentials]
consumer_key = "sandbox-consumer-key"
consumer_secret = "sandbox-consumer-secret"
[crm.salesforce.install_auth.client_credentials]
consumer_key = "sandbox-installer-key"
consumer_secret = "sandbox-installer-secret"
"""
_LOGIN = {
    "grant_type": "client_credentials",
    "client_id": "sandbox-consumer-key",
    "client_secret": "sandbox-consumer-secret",
}
_FIELDS = "Id, Drip_Enrolled__c, Drip_Status__c, Drip_Reason__c, Drip_Step__c, Drip_Next_Touch__c"
_OBJECTS = ("Contact", "Lead WHERE IsConverted = false")
_DATA = "/services/data/"
_BUSY = '[{"message":"Server unavailable","errorCode":"SERVER_UNAVAILABLE"}]'


class DemoSalesforce:
    """A DemoCrm."""

    name = "salesforce"
    place = "org"
    people = "contacts and leads"
    options: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = (
        {
            "kind": "answer",
            "path": _DATA,
            "status": 401,
            "body": '[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]',
        },
        {
            "kind": "answer",
            "path": _DATA,
            "status": 403,
            "body": '[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]',
        },
        {
            "kind": "answer",
            "path": _DATA,
            "status": 429,
            "body": '[{"message":"too many","errorCode":"TOO_MANY_REQUESTS"}]',
        },
        {"kind": "answer", "path": _DATA, "status": 503, "body": _BUSY},
        {"kind": "answer_after", "path": _DATA, "status": 503, "body": _BUSY},
        {"kind": "cut", "path": _DATA},
        {"kind": "cut_after", "path": _DATA},
        {"kind": "slow", "path": _DATA, "delay": 0.2},
    )

    def configure(self, stage: Stage, folder: Path) -> str:
        """Nothing lies beside config.toml: sequences are records."""
        del folder
        return _SETTINGS.format(address=stage.crm)

    def furnish(self, stage: Stage) -> None:
        """Nothing is left to do: what people wrote shows as soon as there are fields for it."""

    def read_people(self, address: str, wanted: Iterable[str]) -> Iterator[Shown]:
        """The living, unconverted contacts and leads among the ids."""
        ids = set(wanted)
        with requests.Session() as session:
            answer = session.post(f"{address}/services/oauth2/token", data=_LOGIN, timeout=30)
            answer.raise_for_status()
            session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            for source in _OBJECTS:
                query = f"SELECT {_FIELDS} FROM {source}"  # noqa: S608 - SOQL, and no text of others
                url = f"{address}/services/data/v64.0/query"
                page = session.get(url, params={"q": query}, timeout=60).json()
                while True:
                    yield from (_shown(row) for row in page["records"] if row["Id"] in ids)
                    if page["done"]:
                        break
                    page = session.get(f"{address}{page['nextRecordsUrl']}", timeout=60).json()


def _shown(row: dict[str, str | None]) -> Shown:
    at = row["Drip_Next_Touch__c"]
    return Shown(
        id=str(row["Id"]),
        ticked=bool(row["Drip_Enrolled__c"]),
        status=row["Drip_Status__c"] or "",
        reason=row["Drip_Reason__c"] or "",
        step=row["Drip_Step__c"] or "",
        next_touch=datetime.fromisoformat(at) if at else None,
    )
