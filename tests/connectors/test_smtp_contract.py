"""The SMTP mailer keeps the Mailer port's promises, against a real mail server on loopback."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from smtp_peer import PASSWORD, USERNAME, SmtpPeer

from connectors.smtp import connector
from connectors.smtp.settings import SmtpSettings
from crmdrip.ports import ConnectorContext
from crmdrip.testing.mailer import MailerContract


class SystemClock:
    """The real time."""

    def now(self):
        """Aware UTC."""
        return datetime.now(UTC)


class TestSmtpMailer(MailerContract):
    """Every promise of the port."""

    @pytest.fixture
    def peer(self):
        """The other side."""
        with SmtpPeer() as peer:
            yield peer

    @pytest.fixture
    def mailer(self, peer):
        """The mailer under test."""
        settings = SmtpSettings(
            host="127.0.0.1",
            port=peer.port,
            tls="starttls",
            username=USERNAME,
            password=SecretStr(PASSWORD),
            connect_timeout=2.0,
            reply_timeout=2.0,
            final_timeout=0.5,
        )
        mailer = connector.build_mailer(ConnectorContext(settings=settings, mapping=None, clock=SystemClock()))
        yield mailer
        mailer.close()
