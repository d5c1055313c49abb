"""docs/salesforce-package.md speaks of what is really installed."""

from __future__ import annotations

import re

import pytest
from package_source import NAMESPACE, ROOT, children, every_field, fields, found, parse

GUIDE = (ROOT / "docs" / "salesforce-package.md").read_text("utf-8")


def label(suffix: str) -> list[str]:
    """What people call the components of a kind."""
    return [root.findtext(NAMESPACE + "label") or root.findtext(NAMESPACE + "name") or "" for _, root in found(suffix)]


@pytest.mark.parametrize("suffix", ["permissionset", "quickAction", "listView", "reportType", "report", "app"])
def test_everything_that_people_look_for_is_in_the_guide(suffix: str) -> None:
    """By the label that Salesforce shows."""
    assert [one for one in label(suffix) if one not in GUIDE] == []


def test_every_rule_is_in_the_guide() -> None:
    """And no rule that is not there."""
    told = set(re.findall(r"`([A-Z]\w+_\w+)`", GUIDE))
    assert {name for name, _ in found("validationRule")} == told


def test_the_guides_numbers_are_right() -> None:
    """Fields, permission sets, report types and reports are counted in words or figures."""
    assert {len(fields()[name]) for name in ("Contact", "Lead")} == {14}
    assert len(fields()["Activity"]) == 10
    assert "14 on Contact and on Lead, 10 on Activity" in GUIDE
    assert (len(label("permissionset")), len(label("reportType")), len(label("report"))) == (4, 4, 9)
    assert "Four report types, nine reports, a dashboard" in GUIDE


def test_the_guide_maps_every_field_of_a_lead_that_can_be_mapped() -> None:
    """What Salesforce works out itself is no field to map; a row that is forgotten would lose what people set."""
    table = GUIDE.split("## Converting leads")[1].split("Map the first two")[0]
    can = {one.text("label") for one in fields()["Lead"].values() if not one.computed}
    rows = [
        line.split("|")[1].replace("*", "") for line in table.splitlines() if line.startswith("| ") and "Drip" in line
    ]
    assert {name.strip() for row in rows for name in row.split(",")} == can
    assert f"mapping all {'twelve' if len(can) == 12 else len(can)} does no harm" in GUIDE


def test_lead_fields_are_copied_to_fields_of_the_same_type() -> None:
    """Salesforce maps a field only to one of its own type and at least its length."""
    contact = fields()["Contact"]
    for name, one in fields()["Lead"].items():
        assert (one.type, one.text("length"), one.values) == (
            contact[name].type,
            contact[name].text("length"),
            contact[name].values,
        )


def test_the_guide_names_components_by_their_labels() -> None:
    """As the App Builder lists them."""
    for name, root in found("js"):
        exposed = root.findtext(NAMESPACE + "isExposed") == "true"
        assert (not exposed) or f"*{root.findtext(NAMESPACE + 'masterLabel')}*" in GUIDE, name


def test_no_help_text_speaks_of_a_field_by_a_label_it_has_not() -> None:
    """Fields that help texts and messages name are called as pages call them."""
    labels = {one.text("label") for one in every_field()}
    for path in sorted((ROOT / "mappings" / "salesforce").rglob("*-meta.xml")):
        root = parse(path)
        for said in (*children(root, "inlineHelpText"), *children(root, "errorMessage")):
            named = re.findall(r"\bDrip (?:[A-Z][a-z]+(?: [A-Z][a-z]+)*)", said)
            assert {*named} <= labels | {"Drip Sequence", "Drip Rep"}, path.name
