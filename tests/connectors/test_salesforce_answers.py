"""The Salesforce connector shows and tells people's answers, over HTTP against the stand-in."""

from __future__ import annotations

import pytest
from salesforce_driver import SalesforceDriver
from salesforce_peer import SalesforcePeer

from crmdrip.testing.answers import AnswerContract


class TestSalesforceAnswers(AnswerContract):
    """Every promise of AnswerContract."""

    @pytest.fixture
    def peer(self):
        """A fresh org."""
        with SalesforcePeer() as peer:
            yield peer

    @pytest.fixture
    def crm(self, peer):
        """Whoever works in it."""
        return SalesforceDriver(peer)

    @pytest.fixture
    def source(self, peer):
        """The source under test."""
        return peer.source()

    @pytest.fixture
    def sink(self, peer, source):
        """The sink under test."""
        return peer.sink(source)
