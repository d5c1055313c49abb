"""A Salesforce org on loopback with a clock of its own, and the connector pointed at it."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.settings import Auth, ClientCredentials, SalesforceSettings
from connectors.salesforce.sink import SalesforceSink
from connectors.salesforce.source import SalesforceSource
from crmdrip.core.mapping import CrmMapping, parse_mapping
from crmdrip.sandbox.http import Server, ServerThread
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.salesforce.org import DEFAULT_KEY, DEFAULT_SECRET

MAPPING = Path(__file__).parents[2] / "mappings" / "salesforce.toml"
BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def load_mapping() -> CrmMapping:
    """The mapping that is shipped."""
    return parse_mapping("mappings/salesforce.toml", tomllib.loads(MAPPING.read_text()))


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


class SalesforcePeer:
    """The org, its server, and everything a test changes in it; changes run in the server's thread."""

    def __init__(self, **org: object) -> None:
        self.clock = SteppedClock()
        self.org = SalesforceOrg(self.clock.now, **org)
        self.server = Server(self.org.handle)
        self.thread = ServerThread(self.server)

    def __enter__(self) -> Self:
        self.thread.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.thread.__exit__(*exc)
        self.org.close()
        assert self.server.errors == []

    def do(self, name: str, *args: object, **kwargs: object):
        """Call a method of the org in the server's thread; the clock moves a second, as time does between people."""
        self.clock.move(seconds=1)
        return self.thread.call(lambda: getattr(self.org, name)(*args, **kwargs))

    def one(self, record_id: str) -> dict:
        """All fields of one record, deleted or not, as an admin sees them."""
        spec = self.org.schema.of_id(record_id)
        fields = ", ".join(spec.fields)
        soql = f"SELECT {fields} FROM {spec.name} WHERE Id = '{record_id}'"  # noqa: S608 - against a stand-in
        rows = self.do("select", soql, everything=True)
        return rows[0]

    def settings(self, **given: object) -> SalesforceSettings:
        """Settings for this org by client credentials."""
        auth = Auth(
            client_credentials=ClientCredentials(consumer_key=DEFAULT_KEY, consumer_secret=SecretStr(DEFAULT_SECRET))
        )
        known = {
            "domain": "acme.my",
            "auth": auth,
            "base_url": self.server.url,
            "connect_timeout": 2.0,
            "read_timeout": 5.0,
        }
        return SalesforceSettings(**{**known, **given})

    def client(self, **given: object) -> SalesforceClient:
        """A client that does not sleep between tries."""
        return SalesforceClient(self.settings(**given), self.clock, sleep=lambda _: None)

    def source(self, **given: object) -> SalesforceSource:
        """A source with the shipped mapping."""
        return SalesforceSource(self.client(**given), load_mapping())

    def sink(self, source: SalesforceSource) -> SalesforceSink:
        """The sink on that source."""
        return SalesforceSink(source)

    def calls(self) -> int:
        """API calls the org has counted."""
        return self.thread.call(lambda: self.org.api_calls)
