"""The sequences as the pages show them: as they were written into files, or as they stand in custom objects.

Rows carry the words of the pages' templates, which are those of the Salesforce package.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.hubspot.store import Record
from crmdrip.sandbox.hubspot.world.install import SEQUENCE, STEP, sequence_id
from crmdrip.sandbox.pages import people
from crmdrip.sandbox.world.people import load


def list_sequences(portal: HubSpotPortal, folder: Path | None = None) -> list[dict[str, Any]]:
    """Every sequence: of the custom objects, of the files in a folder, or the examples as they are shipped.

    What a daemon counts of one in a file stands beside its file.
    """
    if _in_objects(portal):
        return [_row(portal, each, people.SEQUENCE) for each in portal.all(SEQUENCE)]
    if folder is not None:
        written = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
        return [
            {**dict.fromkeys(people.SEQUENCE), "Name": name, **_renamed(document), "Id": name}
            for name, document in written.items()
            if document is not None
        ]
    rows = [each["fields"] for each in load("sequences.toml")["sequence"]]
    return [{**dict.fromkeys(people.SEQUENCE), **row, "Id": sequence_id(row["Name"])} for row in rows]


def list_steps(portal: HubSpotPortal, sequence: str, folder: Path | None = None) -> list[dict[str, Any]]:
    """The steps of one, in order."""
    if _in_objects(portal):
        found = [each for each in portal.all(STEP) if each.get("sequence") == sequence]
        found.sort(key=lambda each: float(each.get("order") or 0))
        return [_row(portal, each, people.STEP) for each in found]
    if folder is not None:
        steps = [each for each in (_read(folder / f"{sequence}.toml") or {}).get("step", []) if isinstance(each, dict)]
        steps.sort(key=lambda each: float(each.get("order", 0)))
        return [
            {**dict.fromkeys(people.STEP), "Drip_Active__c": True, "Name": each.get("subject", ""), **_renamed(each)}
            for each in steps
        ]
    written = next(
        each["steps"] for each in load("sequences.toml")["sequence"] if sequence_id(each["fields"]["Name"]) == sequence
    )
    return [
        {**dict.fromkeys(people.STEP), "Drip_Active__c": True, "Id": f"step-{number}", **step}
        for number, step in enumerate(written, 1)
    ]


def _read(path: Path) -> dict[str, Any] | None:
    """A sequence's file; None while it cannot be read, of which crmdrip tells its writer."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None


def _renamed(words: dict[str, Any]) -> dict[str, Any]:
    """A file's words as those of the templates, choices in one text."""
    return {
        _word(name): ";".join(map(str, value)) if isinstance(value, list) else value
        for name, value in words.items()
        if name != "step"
    } | ({"Name": words["name"]} if "name" in words else {})


def _word(name: str) -> str:
    return "Drip_" + "_".join(part.capitalize() for part in name.split("_")) + "__c"


def _in_objects(portal: HubSpotPortal) -> bool:
    return any(kind.name == SEQUENCE for kind in portal.kinds) and bool(portal.all(SEQUENCE))


def _row(portal: HubSpotPortal, record: Record, words: tuple[str, ...]) -> dict[str, Any]:
    specs = portal.kinds[record.kind].properties
    values: dict[str, Any] = {"Drip_Active__c": "true"}
    for name, text in record.properties.items():
        if text and name in specs:
            values[_word(name)] = text
    boxes = {word: text == "true" for word, text in values.items() if text in ("true", "false")}
    number = f"Step {float(record.get('order') or 0):g}"
    named = {"Id": record.id, "Name": record.get("name") or record.get("subject") or number}
    return {**dict.fromkeys(words), **values, **boxes, **named}
