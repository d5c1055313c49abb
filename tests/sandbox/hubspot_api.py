"""A client of the portal without sockets: requests go straight to its handler, as the server would hand them on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.hubspot import DEFAULT_TOKEN, HubSpotPortal

BEGIN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = BEGIN

    def __call__(self) -> datetime:
        """The time now."""
        return self.at

    def move(self, **by: float) -> None:
        """Let time pass."""
        self.at += timedelta(**by)


class Answer:
    """A response, read."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.status = response.status
        self.headers = response.headers
        is_json = response.content_type.startswith("application/json")
        self.json: Any = orjson.loads(response.body) if response.body and is_json else None

    @property
    def category(self) -> str:
        """The category of a refused request."""
        return self.json["category"]

    @property
    def codes(self) -> list[str]:
        """The codes of the properties that were refused."""
        return [each["code"] for each in self.json["errors"]]

    @property
    def ids(self) -> list[str]:
        """The ids of all results, sorted."""
        return sorted(each["id"] for each in self.json["results"])


class Api:
    """A portal with a frozen clock and a frozen second hand, and its service key."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.second = 0.0
        self.portal = HubSpotPortal(self.clock, tick=lambda: self.second, **options)
        self.token = DEFAULT_TOKEN
        if "limits" not in options:
            self.portal.meter.limits = None

    def raw(
        self, method: str, path: str, *, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request, exactly as given."""
        request = Request(method=method, path=path, raw_query=query, headers=headers or {}, body=body)
        return Answer(self.portal.handle(request))

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """One request with the token."""
        path, _, query = path.partition("?")
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        return self.raw(method, path, query=query, body=b"" if body is None else orjson.dumps(body), headers=headers)

    def get(self, path: str) -> Answer:
        """A GET below /crm/v3."""
        return self.call("GET", f"/crm/v3{path}")

    def post(self, path: str, body: Any) -> Answer:
        """A POST below /crm/v3."""
        return self.call("POST", f"/crm/v3{path}", body)

    def batch(self, what: str, *rows: dict[str, Any], kind: str = "contacts", **more: Any) -> Answer:
        """A batch operation of version 3."""
        return self.post(f"/objects/{kind}/batch/{what}", {"inputs": list(rows), **more})

    def search(self, *filters: dict[str, Any], kind: str = "contacts", **more: Any) -> Answer:
        """A search with one group of filters."""
        groups = [{"filters": list(filters)}] if filters else []
        return self.post(f"/objects/{kind}/search", {"filterGroups": groups, **more})

    def contact(self, email: str = "", **values: Any) -> str:
        """Create a contact as a person."""
        return self.portal.create("contacts", {"email": email, **values} if email else values)

    def value(self, record_id: str, name: str, kind: str = "contacts") -> str:
        """One value as an admin sees it."""
        return self.portal.get(kind, record_id).get(name)


def where(name: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    """One filter."""
    given = {} if value is None else {"values" if isinstance(value, list) else "value": value}
    return {"propertyName": name, "operator": operator, **given, **more}
