"""A client of the org without sockets: requests go straight to its handler, as the server would hand them on."""

# ruff: noqa: S608 - SOQL for the stand-in, not SQL

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.salesforce.org import DEFAULT_KEY, DEFAULT_SECRET

BASE = "/services/data/v64.0"
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
        self.json: Any = orjson.loads(response.body) if response.body else None

    @property
    def code(self) -> str:
        """The error code of a refused request."""
        return self.json[0]["errorCode"]

    @property
    def message(self) -> str:
        """The message of a refused request."""
        return self.json[0]["message"]

    @property
    def row_codes(self) -> list[str]:
        """Per row of a collection: "" for success, else the code."""
        return ["" if row["success"] else row["errors"][0]["statusCode"] for row in self.json]


class Api:
    """An org with a frozen clock, and a session of its integration user."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.org = SalesforceOrg(self.clock, **options)
        self.token = self.org.sessions.open(self.org.integration_user_id)

    def raw(
        self, method: str, path: str, *, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request, exactly as given."""
        request = Request(method=method, path=path, raw_query=query, headers=headers or {}, body=body)
        return Answer(self.org.handle(request))

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request of the session, to a path below the version's."""
        path, _, query = path.partition("?")
        sent = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        content = b"" if body is None else orjson.dumps(body)
        return self.raw(method, BASE + path, query=query, body=content, headers=sent)

    def query(self, soql: str, resource: str = "query", **headers: str) -> Answer:
        """Run a query."""
        return self.call("GET", f"/{resource}?q={quote(soql)}", **headers)

    def more(self, next_url: str, **headers: str) -> Answer:
        """Follow nextRecordsUrl."""
        return self.call("GET", next_url.removeprefix(BASE), **headers)

    def names(self, soql: str, resource: str = "query") -> list[str]:
        """The Name of every record found."""
        answer = self.query(soql, resource)
        assert answer.status == 200, answer.json
        return [record["Name"] for record in answer.json["records"]]

    def patch(self, *rows: dict[str, Any], **headers: str) -> Answer:
        """Update a collection."""
        return self.call("PATCH", "/composite/sobjects", {"records": list(rows)}, **headers)

    def upsert_tasks(self, *rows: dict[str, Any], **more: Any) -> Answer:
        """Upsert a collection of tasks by touch id; more goes into the body."""
        records = [{"attributes": {"type": "Task"}, **row} for row in rows]
        return self.call("PATCH", "/composite/sobjects/Task/Drip_Touch_Id__c", {"records": records, **more})

    def grant(self, host: str = "acme.my.salesforce.com", **form: str) -> Answer:
        """Ask the token endpoint."""
        return self.raw(
            "POST",
            "/services/oauth2/token",
            body=urlencode(form).encode(),
            headers={"host": host, "content-type": "application/x-www-form-urlencoded"},
        )

    def client_credentials(self, host: str = "acme.my.salesforce.com", secret: str = DEFAULT_SECRET) -> Answer:
        """Ask for a token by key and secret."""
        return self.grant(host, grant_type="client_credentials", client_id=DEFAULT_KEY, client_secret=secret)

    def contact(self, **fields: Any) -> str:
        """Create a contact as the admin."""
        return self.org.insert("Contact", {"LastName": "Bluth", **fields})

    def lead(self, **fields: Any) -> str:
        """Create a lead as the admin."""
        return self.org.insert("Lead", {"LastName": "Funke", "Company": "Funke and Sons", **fields})

    def one(self, record_id: str, *fields: str) -> dict[str, Any]:
        """Fields of one record as an admin sees them, deleted or not."""
        spec = self.org.schema.of_id(record_id)
        soql = f"SELECT Id, {', '.join(fields)} FROM {spec.name} WHERE Id = '{record_id}'"
        return self.org.select(soql, everything=True)[0]


def row(record_id: str, **fields: Any) -> dict[str, Any]:
    """One row of an update."""
    kind = {"003": "Contact", "00Q": "Lead", "00T": "Task", "001": "Account"}[record_id[:3]]
    return {"attributes": {"type": kind}, "id": record_id, **fields}
