"""Properties: what they are called and what values they take. Pure.

Every value is kept and answered as a string, as the vendor does; an absent one is no entry at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from crmdrip.sandbox.hubspot.refusals import Problem, Refusal, to_int, to_rows

LONGEST = 65_536
"""Characters of a string."""
FIELD_TYPES: Mapping[str, frozenset[str]] = {
    "bool": frozenset({"booleancheckbox", "calculation_equation"}),
    "enumeration": frozenset({"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"date"}),
    "string": frozenset({"text", "textarea", "html", "file", "phonenumber", "calculation_equation"}),
    "number": frozenset({"number", "calculation_equation"}),
}
"""The fieldTypes each type goes with (docs: api/crm/properties, "property type and fieldType values")."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>.]+(?:\.[^@\s,;<>.]+)+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?|-?\.\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One value of an enumeration."""

    label: str
    value: str
    order: int = -1
    hidden: bool = False
    description: str = ""

    def show(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "label": self.label,
            "value": self.value,
            "description": self.description,
            "displayOrder": self.order,
            "hidden": self.hidden,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Property:
    """One property of one object."""

    name: str
    label: str
    type: str
    field_type: str
    group: str
    description: str = ""
    options: tuple[Option, ...] = ()
    free: bool = False
    """An enumeration whose values are not checked against options."""
    unique: bool = False
    read_only: bool = False
    standard: bool = False
    """HubSpot's own: its definition cannot be changed or archived."""
    searchable: bool = True
    hidden: bool = False
    form_field: bool = False
    order: int = -1
    created: int = 0
    """Milliseconds since 1970; 0 for HubSpot's own."""
    updated: int = 0
    archived: bool = False

    def show(self) -> dict[str, Any]:
        """As the API answers it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": [each.show() for each in self.options],
            "displayOrder": self.order,
            "calculated": False,
            "externalOptions": self.name == "hubspot_owner_id",
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "hubspotDefined": self.standard,
            "modificationMetadata": {
                "archivable": not self.standard,
                "readOnlyDefinition": self.standard,
                "readOnlyValue": self.read_only,
            },
            "formField": self.form_field,
            "archived": self.archived,
            "dataSensitivity": "non_sensitive",
        }
        if self.created:
            shown |= {"createdAt": show_stamp(self.created), "updatedAt": show_stamp(self.updated)}
        return shown


def accept(spec: Property, value: Any) -> str:
    """The stored form of a value somebody gives, "" to clear it. Raises ValueProblem."""
    if value is None or value == "":
        return ""
    match spec.type:
        case "string":
            text = value if isinstance(value, str) else json.dumps(value)
            if len(text) > LONGEST:
                raise _bad(spec, "PROPERTY_VALUE_TOO_LONG", f"{spec.label} must be at most {LONGEST} characters.")
            if spec.name == "email":
                return _accept_email(spec, text)
            if spec.name == "hs_email_headers":
                _check_json(spec, text)
            return text
        case "bool":
            text = str(value).lower()
            if text not in ("true", "false"):
                raise _bad(spec, "INVALID_BOOLEAN", f"{value} was not a valid boolean.")
            return text
        case "number":
            text = str(value)
            if isinstance(value, bool) or _NUMBER.fullmatch(text) is None:
                raise _bad(spec, "INVALID_DOUBLE", f"{value} was not a valid number.")
            return text
        case "datetime":
            return show_stamp(_accept_moment(spec, value))
        case "date":
            return _accept_day(spec, value)
        case _:
            return _accept_options(spec, value)


def _accept_email(spec: Property, text: str) -> str:
    address = text.strip().lower()
    if _EMAIL.fullmatch(address) is None:
        raise _bad(spec, "INVALID_EMAIL", f"Email address {text} is invalid")
    return address


def _check_json(spec: Property, text: str) -> None:
    try:
        headers = json.loads(text)
    except ValueError:
        headers = None
    if not isinstance(headers, dict):
        raise _bad(spec, "INVALID_JSON", f"{text[:200]} was not valid JSON.")


def _accept_moment(spec: Property, value: Any) -> int:
    text = str(value)
    if text.lstrip("-").isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _bad(spec, "INVALID_LONG", f"{value} was not a valid long.")
    return to_ms(moment)


def _accept_day(spec: Property, value: Any) -> str:
    text = str(value)
    if text.lstrip("-").isdecimal():
        moment = from_ms(int(text))
        if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
            raise _bad(spec, "INVALID_DATE", f"{value} is at {moment:%H:%M:%S} UTC, not midnight!")
        return moment.date().isoformat()
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _bad(spec, "INVALID_DATE", f"{value} was not a valid date.") from None


def _accept_options(spec: Property, value: Any) -> str:
    text = str(value)
    if spec.free:
        return text
    values = [option.value for option in spec.options]
    # A leading semicolon appends to a multiple choice; the portal joins it with what is there.
    asked = text.lstrip(";").split(";") if spec.field_type == "checkbox" else [text]
    for each in asked:
        if each not in values:
            raise _bad(spec, "INVALID_OPTION", f"{each} was not one of the allowed options: [{', '.join(values)}]")
    return text


def _bad(spec: Property, code: str, message: str) -> ValueProblem:
    return ValueProblem(Problem(name=spec.name, code=code, message=message))


class ValueProblem(Exception):  # noqa: N818 - a problem of the value given, collected into one refusal
    """A value that cannot be taken."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse_property(body: Mapping[str, Any], *, stamp: int) -> Property:
    """The property somebody defines through the API. Raises Refusal."""
    for needed in ("groupName", "name", "label", "type", "fieldType"):
        if not isinstance(body.get(needed), str) or not body[needed]:
            raise Refusal(f"Some required fields were not set: [{needed}]")
    name = body["name"]
    if NAME.fullmatch(name) is None or name.startswith("hs_"):
        raise Refusal(
            f'Invalid property name "{name}". Names begin with a letter, hold only lower-case letters, numbers and'
            " underscores, and do not begin with hs_."
        )
    kinds = FIELD_TYPES.get(body["type"])
    if kinds is None:
        raise Refusal(f"Invalid input JSON on line 1, column 1: Cannot deserialize value from {body['type']!r}")
    if body["fieldType"] not in kinds:
        raise Refusal(f"fieldType {body['fieldType']} is not valid for type {body['type']}", "VALIDATION_ERROR")
    options = parse_options(body.get("options") or ())
    if body["type"] in ("enumeration", "bool") and not options:
        if body["type"] == "enumeration":
            raise Refusal(f"Property {name} is an enumeration and needs options")
        options = (Option(label="True", value="true", order=0), Option(label="False", value="false", order=1))
    return Property(
        name=name,
        label=body["label"],
        type=body["type"],
        field_type=body["fieldType"],
        group=body["groupName"],
        description=body.get("description") or "",
        options=options,
        unique=bool(body.get("hasUniqueValue", False)),
        hidden=bool(body.get("hidden", False)),
        form_field=bool(body.get("formField", False)),
        order=to_int(body, "displayOrder", -1),
        created=stamp,
        updated=stamp,
    )


def parse_options(rows: Any) -> tuple[Option, ...]:
    """The options of an enumeration. Raises Refusal."""
    options: list[Option] = []
    for row in to_rows(rows, "options"):
        for needed in ("label", "value"):
            if not isinstance(row.get(needed), str) or row[needed] == "":
                raise Refusal(f"Some required fields were not set: [options.{needed}]")
        options.append(
            Option(
                label=row["label"],
                value=row["value"],
                order=to_int(row, "displayOrder", -1),
                hidden=bool(row.get("hidden", False)),
                description=row.get("description") or "",
            )
        )
    for given in ("value", "label"):
        values = [getattr(each, given) for each in options]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise Refusal(f"Property options must have unique {given}s: {', '.join(twice)}")
    return tuple(options)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def from_ms(stamp: int) -> datetime:
    """The moment of a stamp."""
    return _EPOCH + timedelta(milliseconds=stamp)


def show_stamp(stamp: int) -> str:
    """A moment as the API answers it: 2026-03-02T09:00:00.120Z, without a fraction where there is none."""
    moment = from_ms(stamp)
    text = f"{moment:%Y-%m-%dT%H:%M:%S}"
    return f"{text}.{stamp % 1000:03d}Z" if stamp % 1000 else f"{text}Z"
