"""The HubSpot connector keeps the CRM ports' promises, over HTTP against the stand-in."""

from __future__ import annotations

import pytest
from hubspot_driver import HubSpotDriver, HubSpotObjectsDriver
from hubspot_peer import HubSpotPeer

from crmdrip.testing.crm import CrmContract, ListContract


class TestHubSpotCrm(CrmContract):
    """Every promise of CrmContract."""

    title = "HubSpot"

    @pytest.fixture
    def peer(self, tmp_path):
        """A fresh portal, and a folder for sequences."""
        with HubSpotPeer(tmp_path / "sequences") as peer:
            yield peer

    @pytest.fixture
    def crm(self, peer):
        """Whoever works in it."""
        return HubSpotDriver(peer)

    @pytest.fixture
    def source(self, peer):
        """The source under test."""
        return peer.source()

    @pytest.fixture
    def sink(self, peer, source):
        """The sink under test."""
        return peer.sink(source)


class TestHubSpotCrmWithoutProperties(TestHubSpotCrm):
    """The same promises where emails, tasks and notes can have no property of ours."""

    title = "HubSpot (no properties on emails)"

    @pytest.fixture
    def peer(self, tmp_path):
        """A fresh portal, and a folder for sequences."""
        with HubSpotPeer(tmp_path / "sequences", timeline=False) as peer:
            yield peer


class TestHubSpotCrmWithCustomObjects(TestHubSpotCrm):
    """The same promises where sequences and steps are custom objects."""

    title = "HubSpot (custom objects)"

    @pytest.fixture
    def peer(self, tmp_path):
        """A fresh Enterprise portal."""
        with HubSpotPeer(tmp_path / "unused", objects=True) as peer:
            yield peer

    @pytest.fixture
    def crm(self, peer):
        """Whoever works in it, RevOps too."""
        return HubSpotObjectsDriver(peer)


class TestHubSpotLists(ListContract):
    """Every promise of ListContract."""

    @pytest.fixture
    def peer(self, tmp_path):
        """A fresh portal, and a folder for sequences."""
        with HubSpotPeer(tmp_path / "sequences") as peer:
            yield peer

    @pytest.fixture
    def crm(self, peer):
        """Whoever works in it."""
        return HubSpotDriver(peer)

    @pytest.fixture
    def source(self, peer):
        """The source under test."""
        return peer.source()

    @pytest.fixture
    def sink(self, peer, source):
        """The sink under test."""
        return peer.sink(source)


class TestHubSpotListsOfCustomObjects(TestHubSpotLists):
    """The same promises where sequences and steps are custom objects."""

    @pytest.fixture
    def peer(self, tmp_path):
        """A fresh Enterprise portal."""
        with HubSpotPeer(tmp_path / "unused", objects=True) as peer:
            yield peer

    @pytest.fixture
    def crm(self, peer):
        """Whoever works in it, RevOps too."""
        return HubSpotObjectsDriver(peer)
