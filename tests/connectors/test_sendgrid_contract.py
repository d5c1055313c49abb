"""The SendGrid mailer keeps the Mailer port's promises, over HTTP against the stand-in."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from sendgrid_peer import KEY, SendGridPeer, SystemClock

from connectors.sendgrid import connector
from connectors.sendgrid.settings import SendGridSettings
from crmdrip.ports import ConnectorContext
from crmdrip.testing.mailer import MailerContract


class TestSendGridMailer(MailerContract):
    """Every promise of the port."""

    @pytest.fixture
    def peer(self):
        """The other side."""
        with SendGridPeer() as peer:
            yield peer

    @pytest.fixture
    def mailer(self, peer):
        """The mailer under test."""
        settings = SendGridSettings(
            api_key=SecretStr(KEY), base_url=peer.server.url, connections=8, request_timeout=0.5, connect_timeout=2.0
        )
        mailer = connector.build_mailer(ConnectorContext(settings=settings, mapping=None, clock=SystemClock()))
        yield mailer
        mailer.close()
