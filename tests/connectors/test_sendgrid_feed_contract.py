"""The SendGrid suppression feed keeps the SignalFeed port's promises, over HTTP against the stand-in."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from sendgrid_peer import KEY, SendGridPeer, SystemClock

from connectors.sendgrid import connector
from connectors.sendgrid.settings import SendGridSettings
from crmdrip.core.model import SignalKind
from crmdrip.ports import ConnectorContext
from crmdrip.testing.feed import FeedContract

LISTS = {
    SignalKind.BOUNCE: "bounces",
    SignalKind.SPAM_REPORT: "spam_reports",
    SignalKind.UNSUBSCRIBE: "unsubscribes",
    SignalKind.DEFERRED: "blocks",
}


class SuppressionLists:
    """The account's lists as a source of signals."""

    kinds = frozenset(LISTS)

    def __init__(self, peer: SendGridPeer) -> None:
        self._peer = peer

    def tell(self, kind: SignalKind, address: str) -> None:
        """SendGrid puts the address on its list."""
        self._peer.call(lambda: self._peer.account.suppressions.add(LISTS[kind], address))

    def revoke(self) -> None:
        """The key is deleted in SendGrid's own pages."""
        self._peer.call(self._peer.account.revoke_keys)


class TestSuppressionFeed(FeedContract):
    """Every promise of the port."""

    @pytest.fixture
    def peer(self):
        """The account."""
        with SendGridPeer() as peer:
            yield peer

    @pytest.fixture
    def source(self, peer):
        """Its lists."""
        return SuppressionLists(peer)

    @pytest.fixture
    def feed(self, peer):
        """The feed under test."""
        settings = SendGridSettings(api_key=SecretStr(KEY), base_url=peer.server.url, request_timeout=2.0)
        return connector.build_feed(ConnectorContext(settings=settings, mapping=None, clock=SystemClock()))
