"""What a portal has already, beside what crmdrip would make there: for crmdrip map."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hubspot_peer import load_mapping
from test_hubspot_install import BOX, EMAILS_TOO, NUMBER, TEXT, BarePeer

from connectors.hubspot.description import describe_portal
from crmdrip.inspection.likeness import Confidence, propose
from crmdrip.sandbox.hubspot import Tier
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN


@pytest.fixture
def bare(tmp_path):
    """A portal in which nothing of crmdrip is."""
    with BarePeer(tmp_path) as peer:
        yield peer


@pytest.fixture
def enterprise(tmp_path):
    """One with custom objects."""
    with BarePeer(tmp_path, tier=Tier.ENTERPRISE) as peer:
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


OWN = {
    "name": "cadence",
    "labels": {"singular": "Cadence", "plural": "Cadences"},
    "primaryDisplayProperty": "cadence_name",
    "requiredProperties": ["cadence_name"],
    "searchableProperties": [],
    "secondaryDisplayProperties": [],
    "associatedObjects": [],
    "properties": [
        {"name": "cadence_name", "label": "Name", "type": "string", "fieldType": "text"},
        {"name": "cadence_time_zone", "label": "Time Zone", "type": "number", "fieldType": "number"},
    ],
}


def by_word(peer, mapping=None):
    """Every proposal by its table and word."""
    places = describe_portal(peer.client(), mapping or load_mapping())
    return {(one.place.table, one.place.word): one for one in propose(places)}


def test_own_custom_objects_are_proposed_for_sequences(enterprise) -> None:
    """By what they are called; nothing of crmdrip stands there, so that steps are missing."""
    enterprise.thread.call(lambda: enterprise.portal.define_object(OWN))
    found = by_word(enterprise)
    sequence = found["objects", "sequence"]
    assert (sequence.confidence, sequence.candidate.name) == (Confidence.PROPOSED, "cadence")
    assert found["objects", "step"].confidence is Confidence.MISSING
    assert {table for table, _ in found} == {"objects", "contact"}


def test_the_properties_of_an_own_object_are_proposed_for_its_words(enterprise) -> None:
    """Once it is mapped, as crmdrip map maps what it proposes: what fits, and what is of another type."""
    enterprise.thread.call(lambda: enterprise.portal.define_object(OWN))
    mapping = load_mapping()
    found = by_word(enterprise, replace(mapping, objects={**mapping.objects, "sequence": "cadence"}))
    assert found["objects", "sequence"].confidence is Confidence.THERE
    name, zone = found["sequence", "name"], found["sequence", "time_zone"]
    assert (name.confidence, name.candidate.name) == (Confidence.PROPOSED, "cadence_name")
    assert zone.confidence is Confidence.QUESTION
    assert "is of type number and must be string" in zone.why


def test_installed_custom_objects_have_everything_there(enterprise) -> None:
    """There is nothing to map."""
    installer = enterprise.installer()
    installer.install(installer.preview(), lambda _: None)
    found = by_word(enterprise)
    assert {one.confidence for one in found.values()} == {Confidence.THERE}
    assert {table for table, _ in found} == {"objects", "contact", "sequence", "step"}


def test_an_account_without_custom_objects_has_them_missing(enterprise) -> None:
    """It is told as the object alone; the installation says why it cannot be had."""
    enterprise.portal.tokens.issue(DEFAULT_TOKEN, EMAILS_TOO - {"crm.schemas.custom.read"})
    found = by_word(enterprise)
    assert {found["objects", word].confidence for word in ("sequence", "step")} == {Confidence.MISSING}
    assert {table for table, _ in found} == {"objects", "contact"}


def test_sequences_in_files_need_no_objects(bare) -> None:
    """They are not asked for."""
    assert {table for table, _ in by_word(bare)} == {"contact"}
