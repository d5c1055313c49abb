"""What crmdrip has in a portal before anybody is enrolled: its properties, its control contact, its sequences."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

from crmdrip.sandbox.hubspot.kinds import parse
from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.world.people import load

CONTROL_KEY = "crmdrip"
"""The unique value by which the contact is known that carries the emergency brake."""


def install(portal: HubSpotPortal) -> None:
    """Add the group, the properties that are missing, and the control contact. Can be done again."""
    document = tomllib.loads(
        resources.files("crmdrip.sandbox.hubspot").joinpath("schema", "drip.toml").read_text(encoding="utf-8")
    )
    group, options = document.pop("group"), document.pop("options")
    for kind_name, rows in document.items():
        kind = portal.kinds[kind_name]
        if group not in kind.groups:
            portal.add_group(kind_name, group, "crmdrip")
        for name, text in rows.items():
            if kind.property(name) is None:
                spec = parse(name, text, group, options)
                stamp = portal.now_ms()
                kind.properties[name] = replace(
                    spec, label=_label(name), standard=False, created=stamp, updated=stamp
                )  # fmt: skip
    if portal.store.owner_of("contacts", "crmdrip_key", CONTROL_KEY) is None:
        name = "crmdrip: emergency brake and heartbeat (not a person)"
        portal.create("contacts", {"lastname": name, "crmdrip_key": CONTROL_KEY})


def _label(name: str) -> str:
    return "Drip " + name.removeprefix("crmdrip_").replace("_", " ").title()


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
