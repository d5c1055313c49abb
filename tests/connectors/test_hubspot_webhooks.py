"""HubSpot's webhooks at the door: signed by the app for this very address, and then only a reason to look (B28)."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr, ValidationError

from connectors.hubspot import connector
from connectors.hubspot.settings import Auth, HubSpotSettings
from connectors.hubspot.webhooks import ChangeHint
from crmdrip.core.struct import replace
from crmdrip.daemon.clock import HandClock
from crmdrip.ports import ConnectorContext, HookRequest, OffersHints

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
URL = "https://mail.acme.example/hooks/hubspot/changes"
SECRET = "app-secret"
BODY = b'[{"eventId":1,"subscriptionType":"contact.propertyChange","objectId":101}]'


def signed(at: datetime = NOW, *, secret: str = SECRET, url: str = URL, body: bytes = BODY) -> HookRequest:
    """As HubSpot posts it."""
    timestamp = str(int(at.timestamp() * 1000))
    told = b"POST" + url.encode() + body + timestamp.encode()
    signature = base64.b64encode(hmac.digest(secret.encode(), told, "sha256")).decode()
    headers = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": timestamp}
    return HookRequest(headers=headers, secret="", body=body)


@pytest.fixture
def hint() -> ChangeHint:
    """An app whose secret is being replaced."""
    return ChangeHint(("new-secret", "app-secret"), URL)


def test_what_hubspot_signed_is_heard(hint: ChangeHint) -> None:
    """By either secret while one is replaced."""
    for secret in ("new-secret", "app-secret"):
        asked = signed(secret=secret)
        assert hint.admits(replace(asked, body=b""), NOW)
        assert hint.authentic(asked, NOW)


@pytest.mark.parametrize(
    "asked",
    [
        signed(secret="another"),
        signed(url="https://mail.acme.example/hooks/sendgrid/events"),
        signed(NOW - timedelta(minutes=6)),
        signed(NOW + timedelta(days=1)),
        replace(signed(), body=b"[]"),
        HookRequest(headers={}, secret="app-secret", body=BODY),
    ],
    ids=["secret", "address", "old", "future", "body", "unsigned"],
)
def test_nobody_else_is(hint: ChangeHint, asked: HookRequest) -> None:
    """B28: nothing is raised, and a future time is refused as well as an old one."""
    assert not hint.authentic(asked, NOW)


def test_the_settings_offer_it_only_where_both_halves_are_given() -> None:
    """Without a secret anybody could make the daemon call the CRM."""
    auth = Auth(token=SecretStr("pat-1"))
    context = ConnectorContext(settings=HubSpotSettings(auth=auth), mapping=None, clock=HandClock(NOW))
    assert isinstance(connector, OffersHints)
    assert connector.build_hints(context) == ()
    full = HubSpotSettings(auth=auth, webhook_url=URL, client_secrets=(SecretStr("app-secret"),))
    (offered,) = connector.build_hints(ConnectorContext(settings=full, mapping=None, clock=HandClock(NOW)))
    assert offered.authentic(signed(), NOW)
    for half in ({"webhook_url": URL}, {"client_secrets": (SecretStr("app-secret"),)}):
        with pytest.raises(ValidationError, match="go together"):
            HubSpotSettings(auth=auth, **half)
