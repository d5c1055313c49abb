"""What a portal has already, beside what crmdrip would make there: for crmdrip map."""

from __future__ import annotations

import pytest
from hubspot_peer import load_mapping
from test_hubspot_install import BOX, NUMBER, TEXT, BarePeer

from connectors.hubspot.description import describe_portal
from crmdrip.inspection.likeness import Confidence, propose


@pytest.fixture
def bare(tmp_path):
    """A portal in which nothing of crmdrip is."""
    with BarePeer(tmp_path) as peer:
        yield peer


def proposals(peer):
    """Every proposal by its word."""
    places = describe_portal(peer.client(), load_mapping())
    return {one.place.word: one for one in propose(places)}


def test_own_properties_are_proposed_by_name_and_type(bare) -> None:
    """A number cannot hold the reason, and says so."""
    bare.have("cadence_enrolled", BOX)
    bare.have("cadence_reason", NUMBER)
    found = proposals(bare)
    assert (found["enrolled"].confidence, found["enrolled"].candidate.name) == (
        Confidence.PROPOSED,
        "cadence_enrolled",
    )
    assert found["reason"].confidence is Confidence.QUESTION
    assert "is of type number and must be string" in found["reason"].why


def test_hubspots_own_properties_are_never_proposed(bare) -> None:
    """They have other readers."""
    bare.have("unrelated_word", TEXT)
    names = {one.name for each in proposals(bare).values() for one in each.place.candidates}
    assert names == {"unrelated_word"}


def test_an_installed_portal_has_everything_there(bare) -> None:
    """There is nothing to map."""
    installer = bare.installer()
    installer.install(installer.preview(), lambda _: None)
    assert {one.confidence for one in proposals(bare).values()} == {Confidence.THERE}
