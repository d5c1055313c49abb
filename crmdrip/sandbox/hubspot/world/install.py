"""What crmdrip has in a portal before anybody is enrolled: its properties, its control contact, its sequences.

What is installed is read from the very data that `crmdrip install hubspot` reads, and made here as an admin would.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any

from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.world.people import load

CONTROL_KEY = "crmdrip"
"""The unique value by which the contact is known that carries the emergency brake."""
SEQUENCE, STEP = "crmdrip_sequence", "crmdrip_step"
"""The custom objects' names."""
TABLES = ("contact", "control", "email", "task", "note")
"""Of the data: whose properties there are."""
_OPTION = {"hidden": False}


class Installed(Enum):
    """What of crmdrip a portal has when it opens."""

    NOTHING = "nothing"
    TOML = "toml"
    """Its properties and its control contact; the sequences are files beside the daemon."""
    OBJECTS = "objects"
    """Custom objects for the sequences as well."""


def install(portal: HubSpotPortal, what: Installed = Installed.TOML) -> None:
    """Add the group, the properties that are missing, the control contact and the objects. Can be done again."""
    if what is Installed.NOTHING:
        return
    define_properties(portal)
    if portal.store.owner_of("contacts", "crmdrip_key", CONTROL_KEY) is None:
        name = "crmdrip: emergency brake and heartbeat (not a person)"
        portal.create("contacts", {"lastname": name, "crmdrip_key": CONTROL_KEY})
    if what is Installed.OBJECTS:
        define_objects(portal)


def define_properties(portal: HubSpotPortal, tables: Collection[str] = TABLES) -> None:
    """Add the group and the properties that are missing, on contacts and on the timeline's objects."""
    names, document = _read("hubspot.toml"), _read("hubspot/properties.toml")
    group = document.pop("group")
    for table, rows in document.items():
        if table not in tables:
            continue
        kind = portal.kinds.find(names["objects"]["contact" if table == "control" else table])
        if group["name"] not in kind.groups:
            portal.add_group(kind.name, group["name"], group["label"])
        for word, row in rows.items():
            if kind.property(names[table][word]) is None:
                portal.add_property(kind.name, groupName=group["name"], **_body(names[table][word], row))


def define_objects(portal: HubSpotPortal) -> None:
    """Define the custom objects that are missing. Raises Refusal where the account has none."""
    names, document = _read("hubspot.toml"), _read("hubspot/objects.toml")
    known = {kind.name for kind in portal.kinds}
    made: list[str] = []
    for word, row in document.pop("objects").items():
        name = names["objects"][word]
        if name in known:
            continue
        body = {
            "name": name,
            "labels": {"singular": row["singular"], "plural": row["plural"]},
            "primaryDisplayProperty": names[word][row["primary"]],
            "secondaryDisplayProperties": [names[word][each] for each in row["secondary"]],
            "requiredProperties": [names[word][each] for each in row["required"]],
            "searchableProperties": [names[word][each] for each in row["searched"]],
            "properties": [_body(names[word][each], spec) for each, spec in document[word].items()],
            "associatedObjects": made,
        }
        made = [*made, portal.define_object(body).id]


def _body(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A property as the API takes it."""
    options = [
        {"label": text, "value": text, "displayOrder": n, **_OPTION} for n, text in enumerate(row.get("options", ()))
    ]
    return {
        "name": name,
        "label": row["label"],
        "type": row["type"],
        "fieldType": row["field"],
        "description": row["help"],
        "hasUniqueValue": row.get("unique", False),
        **({"options": options} if options else {}),
    }


def _read(path: str) -> dict[str, Any]:
    """Data of mappings/, which lie inside the package in a wheel."""
    package = files("crmdrip")
    in_wheel = package / "_mappings"
    folder = in_wheel if in_wheel.is_dir() else Path(str(package)).parent / "mappings"
    return tomllib.loads((folder / path).read_text(encoding="utf-8"))


def write_sequences(portal: HubSpotPortal) -> dict[str, str]:
    """RevOps writes the example sequences into the custom objects; their record ids by name."""
    ids = {}
    kinds = {name: portal.kinds[name].properties for name in (SEQUENCE, STEP)}
    for definition in load("sequences.toml")["sequence"]:
        fields = _words(definition["fields"])
        known = {word: value for word, value in fields.items() if word in kinds[SEQUENCE]}
        sequence = portal.create(SEQUENCE, _texts(known))
        for step in definition["steps"]:
            words = {word: value for word, value in _words(step).items() if word in kinds[STEP]}
            portal.create(STEP, {**_texts(words), "sequence": sequence}, **{SEQUENCE: sequence})
        ids[str(fields["name"])] = sequence
    return ids


def _texts(words: Mapping[str, Any]) -> dict[str, Any]:
    return {word: value.strip() if isinstance(value, str) else value for word, value in words.items()}


def sequence_files() -> dict[str, str]:
    """The example sequences as TOML files, by the file's name without .toml, which is the sequence's id."""
    files = {}
    for definition in load("sequences.toml")["sequence"]:
        fields = _words(definition["fields"])
        lines = list(_lines(fields))
        for number, step in enumerate(definition["steps"], 1):
            words = {"id": f"step-{number}", **_words(step)}
            words.pop("name", None)
            lines += ["", "[[step]]", *_lines(words)]
        files[sequence_id(str(fields["name"]))] = "\n".join(lines) + "\n"
    return files


def sequence_id(name: str) -> str:
    """The id of an example sequence: "warm-intro-four-touches"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _words(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Salesforce names of fields as the words of a file: Drip_Send_From__c is send_from."""
    return {name.removeprefix("Drip_").removesuffix("__c").lower(): value for name, value in fields.items()}


def _lines(words: Mapping[str, Any]) -> Iterator[str]:
    # JSON strings, numbers and booleans are TOML ones too, as long as nothing beyond ASCII is escaped in surrogates.
    for name, value in words.items():
        text = value.strip() if isinstance(value, str) else value
        yield f"{name} = {json.dumps(text, ensure_ascii=False)}"
