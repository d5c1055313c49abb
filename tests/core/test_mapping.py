"""The mapping: an org's own names for our words, read from data."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.mapping import parse_mapping

SMALL: dict[str, Any] = {
    "objects": {"contact": "Contact", "step": "My_Step__c"},
    "contact": {"enrolled": "Drip_Enrolled__c", "time_zone": ""},
    "merge": {"contact": {"first_name": "FirstName"}},
    "values": {"status": {"Held": "On Hold"}},
}


def test_a_word_is_found_under_the_orgs_name() -> None:
    """Objects, fields, merge fields and picklist values may all be named otherwise."""
    mapping = parse_mapping("small.toml", SMALL)
    assert mapping.object("step") == "My_Step__c"
    assert mapping.field("contact", "enrolled") == "Drip_Enrolled__c"
    assert mapping.merge["contact"]["first_name"] == "FirstName"
    assert mapping.value("status", "Held") == "On Hold"


def test_a_value_that_is_not_mapped_is_our_own_word() -> None:
    """Picklists are installed with our words, so most orgs map none."""
    mapping = parse_mapping("small.toml", SMALL)
    assert (mapping.value("status", "Paused"), mapping.value("kind", "email")) == ("Paused", "email")


def test_an_optional_field_can_be_switched_off() -> None:
    """An org without a time zone field says so, and nobody asks for it."""
    assert parse_mapping("small.toml", SMALL).field("contact", "time_zone") == ""


@pytest.mark.parametrize(
    ("object_word", "word", "line"),
    [
        ("contact", "status", 'Add status = "..." under [contact].'),
        ("lead", "status", 'Add status = "..." under [lead].'),
    ],
)
def test_a_missing_field_says_where_to_add_it(object_word: str, word: str, line: str) -> None:
    """The file, the table and the line to type."""
    with pytest.raises(ConfigurationError) as caught:
        parse_mapping("small.toml", SMALL).field(object_word, word)
    assert (caught.value.where, caught.value.do_next) == ("small.toml", line)


def test_a_missing_object_says_where_to_add_it() -> None:
    """As for a field."""
    with pytest.raises(ConfigurationError, match=r"lead = .* under \[objects\]"):
        parse_mapping("small.toml", SMALL).object("lead")


def test_everything_that_is_no_text_is_told_at_once() -> None:
    """Nobody mends a file one error at a time."""
    with pytest.raises(ConfigurationError) as caught:
        parse_mapping(
            "bad.toml", {"objects": {"contact": 1}, "lead": {"status": True}, "step": "x", "merge": {"a": {"b": 2}}}
        )
    problems = str(caught.value)
    for problem in ("objects.contact", "lead.status", "[step]", "merge.a.b"):
        assert problem in problems


def test_the_mapping_that_comes_with_crmdrip_is_sound() -> None:
    """It is what most orgs use unchanged."""
    file = Path(__file__).parents[2] / "mappings" / "salesforce.toml"
    mapping = parse_mapping(file.name, tomllib.loads(file.read_text("utf-8")))
    assert mapping.object("contact") == "Contact"
    assert {mapping.field(kind, "enrolled") for kind in ("contact", "lead")} == {"Drip_Enrolled__c"}
