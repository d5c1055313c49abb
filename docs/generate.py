"""Writes docs/reference/: what is told there is read from the code, the mappings and what is installed in the CRMs.

Run `python docs/generate.py` after changing a command, a setting, a reason or a field; a test compares.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import tomllib
import typing
from collections.abc import Iterator
from enum import Enum
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin
from xml.etree import ElementTree as ET

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from crmdrip import config, registry
from crmdrip.cli import COMMANDS, cli
from crmdrip.core.reasons import HoldReason, RefuseReason, SkipReason, StopReason
from crmdrip.ports import Role
from crmdrip.sandbox.__main__ import build_parser

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Made by docs/generate.py; edit what it reads instead. -->\n"
WORDS = {int: "whole number", float: "number", bool: "true or false", SecretStr: "secret", Path: "path"}
METADATA = {"": "http://soap.sforce.com/2006/04/metadata"}


# --- commands -----------------------------------------------------------------------------------------------------


def write_commands() -> str:
    """Every command with its options, as --help tells them."""
    parts = [
        "# Commands\n",
        NOTE,
        "`crmdrip [--config FILE] COMMAND`. FILE is config.toml unless CRMDRIP_CONFIG names another.\n",
    ]
    context = click.Context(cli, info_name="crmdrip")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            parts += _describe_command(command, f"crmdrip {name}", 2)
        if name == "sandbox":  # its options are argparse's: it runs without the rest of crmdrip as well
            parts += _describe_parser(build_parser())
    return "\n".join(parts)


def _describe_command(command: click.Command, path: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"{'#' * level} {path}\n"
    yield f"`{' '.join([path, *command.collect_usage_pieces(context)])}`\n"
    yield f"{inspect.cleandoc(command.help or command.short_help or '')}\n".replace("\b\n", "")
    rows = []
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and "--help" not in record[0]:
            rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _describe_command(inner, f"{path} {name}", level + 1)


def _describe_parser(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "| option | meaning |\n|---|---|"
    for action in parser._actions:  # noqa: SLF001 - argparse shows them in no other way that is the same everywhere
        if "--help" in action.option_strings:
            continue
        value = "" if action.nargs == 0 else action.metavar or "|".join(action.choices or [action.dest.upper()])
        meaning = (action.help or "") % {"default": action.default}
        yield f"| `{_cell(f'{action.option_strings[0]} {value}'.strip())}` | {_cell(meaning)} |"
    yield ""


# --- configuration ------------------------------------------------------------------------------------------------


def write_configuration() -> str:
    """Every key of config.toml with its type, default and meaning, the connectors' own among them."""
    parts = [
        "# Configuration\n",
        NOTE,
        "Every key of `config.toml`. [`config.example.toml`](../../config.example.toml) is the same with examples,",
        'ready to be changed. A secret is given as text, as `{ env = "NAME" }` or as `{ file = "PATH" }`. All mistakes',
        "are reported at once, each with its line; `crmdrip doctor` checks the rest.\n",
    ]
    for name, field in config.Settings.model_fields.items():
        model = _model_of(field.annotation)
        if model is not None:
            heading = f"[[{name}]]" if get_origin(field.annotation) is tuple else f"[{name}]"
            parts += _describe_table(model, heading)
    for role, section in ((Role.CRM, "crm"), (Role.MAILER, "mail"), (Role.MAILBOX, "mailbox")):
        for point in sorted(entry_points(group=registry.GROUP), key=lambda one: one.name):
            found = point.load()
            if found.role is role:
                heading = f"[[{section}]]" if role is Role.MAILBOX else f"[{section}.{point.name}]"
                parts += _describe_table(found.settings_model, heading, f' with `connector = "{point.name}"`')
    return "\n".join(parts)


def _describe_table(model: type[BaseModel], heading: str, suffix: str = "") -> Iterator[str]:
    notes = _attribute_notes(model)
    yield f"## {heading}{suffix}\n"
    if model.__doc__:
        yield f"{_without_heading(inspect.cleandoc(model.__doc__))}\n"
    rows, inner = [], []
    for name, field in model.model_fields.items():
        if name == "settings":
            continue
        nested = _model_of(field.annotation)
        kind = "table, see below" if nested else _kind(field)
        rows.append(f"| `{name}` | {_cell(kind)} | {_default(field)} | {_cell(notes.get(name, ''))} |")
        if nested:
            inner.append((nested, f"{heading.removesuffix(']')}.{name}]"))
    if rows:
        yield "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows]) + "\n"
    for nested, path in inner:
        yield from _describe_table(nested, path)


def _attribute_notes(model: type[BaseModel]) -> dict[str, str]:
    """The docstring under each attribute, bases' first."""
    notes: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)) or kind is BaseModel:
            continue
        (definition,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(kind))).body
        body = typing.cast("ast.ClassDef", definition).body
        for before, after in pairwise(body):
            if (
                isinstance(before, ast.AnnAssign)
                and isinstance(before.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                notes[before.target.id] = inspect.cleandoc(str(after.value.value))
    return notes


def _model_of(annotation: Any) -> type[BaseModel] | None:
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _kind(field: FieldInfo) -> str:
    shown = _kind_of(field.annotation)
    bounds = [
        text
        for mark in field.metadata
        for name, text in (("ge", "at least {}"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}"))
        if (bound := getattr(mark, name, None)) is not None
        for text in [text.format(bound)]
    ]
    return ", ".join([shown, *bounds])


def _kind_of(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'"{one}"' for one in inner)
    if origin is typing.Annotated:
        return _kind_of(inner[0])
    if origin in {typing.Union, UnionType}:
        return " or ".join(_kind_of(one) for one in inner if one is not type(None))
    if origin in {tuple, list, frozenset}:
        return f"list of {_kind_of(inner[0])}"
    if origin is dict:
        return f"table of {_kind_of(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f'"{one.value}"' for one in annotation)
    words = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        SecretStr: "secret",
        Path: "path",
    }
    return words.get(annotation, "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, SecretStr):
        return "none"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, tuple | list | dict):
        return "empty" if not value else f"`{list(value)}`".replace("'", '"')
    return f"`{value}`"


def _without_heading(text: str) -> str:
    return text.partition(": ")[2][:1].upper() + text.partition(": ")[2][1:] if text.startswith("[") else text


# --- reasons ------------------------------------------------------------------------------------------------------


def write_reasons() -> str:
    """Every sentence that a record can show."""
    parts = [
        "# Reasons\n",
        NOTE,
        "What **Drip Reason** on a contact or lead can say, word by word; `[...]` is what the case is about. The key",
        "stands in logs, in `crmdrip why` and in `crmdrip status`.\n",
    ]
    for title, kind, prefix in (
        ("Stopped", StopReason, "stop"),
        ("Waiting, and going on by itself", HoldReason, "hold"),
        ("Passed over: one step", SkipReason, "skip"),
        ("Refused: the run does not start", RefuseReason, "refuse"),
    ):
        parts += [
            f"## {title}\n",
            f"{inspect.cleandoc(kind.__doc__ or '')}\n",
            "| key | what the record says |",
            "|---|---|",
        ]
        parts += [f"| `{prefix}.{one.name.lower()}` | {_cell(_with_gaps(one.value))} |" for one in kind]
        parts.append("")
    return "\n".join(parts)


def _with_gaps(sentence: str) -> str:
    return re.sub(r"(?<=\w)\{detail\}", " {detail}", sentence).replace("{detail}", "[...]")


# --- fields -------------------------------------------------------------------------------------------------------

PEOPLE = {
    "contact": {"enrolled", "sequence", "paused_until", "approved"},
    "lead": {"enrolled", "sequence", "paused_until", "approved"},
    "control": {"brake"},
}
"""What people set on records. All else there is written by the daemon, and sequences and steps by people."""
DAEMON = {"sequence": {"version", "error", "active", "sent", "replied", "meetings", "stopped", "held"}}


def _writer(word: str, name: str) -> str:
    if word in PEOPLE:
        people = name in PEOPLE[word]
        both = name in {"enrolled", "approved"}
        return "people; crmdrip unticks it" if people and both else "people" if people else "crmdrip"
    if word in {"sequence", "step"}:
        return "crmdrip" if name in DAEMON.get(word, ()) else "people"
    return "crmdrip"


def write_salesforce_fields() -> str:
    """Each field of the package: who writes it, what it means; and the standard fields that are read."""
    mapping = tomllib.loads((ROOT / "mappings" / "salesforce.toml").read_text("utf-8"))
    package = ROOT / "mappings" / "salesforce" / "force-app" / "main" / "default" / "objects"
    parts = [
        "# What is written where in Salesforce\n",
        NOTE,
        "Names are those of the package; an org that maps its own has others in `[crm] mapping`. A field that crmdrip",
        "writes is overwritten by the next change: edit nothing there.\n",
    ]
    homes = {
        "contact": "Contact",
        "lead": "Lead",
        "task": "Activity",
        "sequence": "Drip_Sequence__c",
        "step": "Drip_Step__c",
        "control": "Drip_Control__c",
    }
    for word, home in homes.items():
        rows, standard = [], []
        for name, field in mapping[word].items():
            file = package / home / "fields" / f"{field}.field-meta.xml"
            if file.exists():
                seen = ET.parse(file).getroot()  # noqa: S314 - our own file
                label, kind, note = (seen.findtext(tag, "", METADATA) for tag in ("label", "type", "inlineHelpText"))
                rows.append(f"| {_cell(label)} | `{field}` | {kind} | {_writer(word, name)} | {_cell(note)} |")
            elif field:
                standard.append(f"`{field}`")
        called = mapping["objects"].get(word, home)
        parts += [
            f"## {called}\n",
            "| label | field | type | written by | meaning |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
        if standard:
            written = " Of a Task that it creates, crmdrip fills those it needs." if word == "task" else ""
            parts.append(f"Of the standard fields crmdrip reads {', '.join(dict.fromkeys(standard))}.{written}\n")
    parts.append("Email Opt Out is written too, on every record of an address that said no: it is only ever ticked.\n")
    return "\n".join(parts)


def write_hubspot_fields() -> str:
    """Each property that is installed: who writes it and what it means."""
    mapping = tomllib.loads((ROOT / "mappings" / "hubspot.toml").read_text("utf-8"))
    data: dict[str, Any] = {}
    for file in ("properties.toml", "objects.toml"):
        data |= tomllib.loads((ROOT / "mappings" / "hubspot" / file).read_text("utf-8"))
    parts = [
        "# What is written where in HubSpot\n",
        NOTE,
        "Names are those that `crmdrip install hubspot` makes; a portal's own names stand in `[crm] mapping`.\n",
    ]
    for word in [one for one in mapping if one in data]:
        rows = []
        for name, field in mapping[word].items():
            about = data[word].get(name)
            if isinstance(about, dict) and field:
                rows.append(
                    f"| {_cell(about.get('label', ''))} | `{field}` | {about.get('type', '')} | {_writer(word, name)} |"
                    f" {_cell(about.get('help', ''))} |"
                )
        if rows:
            called = mapping["objects"].get(word, word)
            parts += [
                f"## {called}\n",
                "| label | property | type | written by | meaning |",
                "|---|---|---|---|---|",
                *rows,
                "",
            ]
    return "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


PAGES = {
    "commands.md": write_commands,
    "configuration.md": write_configuration,
    "reasons.md": write_reasons,
    "fields-salesforce.md": write_salesforce_fields,
    "fields-hubspot.md": write_hubspot_fields,
}


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(exist_ok=True)
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write().rstrip() + "\n", "utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")


if __name__ == "__main__":
    main()
