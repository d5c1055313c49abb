"""Fields of a record in a form: what stands in each, what was typed, and what the org is given of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crmdrip.sandbox.salesforce.schema import NUMBER_TYPES, Field

LINES = 255
"""Characters from which a text is given several lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One field of a form."""

    name: str
    label: str
    control: str
    """"checkbox", "checkboxes", "select", "time", "number", "lines" or "text"."""
    text: str
    """What stands in it: "true" for a tick, chosen values with semicolons between them."""
    help: str
    options: tuple[tuple[str, str], ...] = ()
    """Values with what they are called."""
    length: int = 0
    """Characters that fit, 0 for as many as one likes."""
    required: bool = False
    problem: str = ""
    """Why the org refused what was typed."""


def make_entry(
    spec: Field, text: str, *, required: bool, problem: str = "", choices: Iterable[tuple[str, str]] = ()
) -> Entry:
    """A field's entry. choices: the records that a reference may point at."""
    options = tuple(choices) or tuple((value, value) for value in spec.values)
    return Entry(
        name=spec.name,
        label=label_of(spec),
        control=_control(spec),
        text=text,
        help=spec.help_text,
        options=options,
        length=spec.length if spec.type == "string" else 0,
        required=required,
        problem=problem,
    )


def label_of(spec: Field) -> str:
    """What a page calls the field: a reference by what it leads to."""
    return spec.label.removesuffix(" ID") if spec.type == "reference" else spec.label


def _control(spec: Field) -> str:
    if spec.type == "boolean":
        return "checkbox"
    if spec.type == "multipicklist":
        return "checkboxes"
    if spec.type in ("picklist", "reference"):
        return "select"
    if spec.type == "time":
        return "time"
    if spec.type in NUMBER_TYPES:
        return "number"
    return "lines" if spec.length > LINES else "text"


def text_of(spec: Field, value: Any) -> str:
    """A value as it stands in a form, from what the org answers."""
    if value is None or value is False:
        return ""
    if value is True:
        return "true"
    if spec.type == "time":
        return str(value)[:5]
    if spec.type in NUMBER_TYPES:
        return str(int(value)) if float(value).is_integer() else str(value)
    return str(value)


def typed(spec: Field, form: Mapping[str, str]) -> str:
    """What somebody typed or ticked, as it stands in the form."""
    if spec.type == "boolean":
        return "true" if spec.name in form else ""
    if spec.type == "multipicklist":
        return ";".join(value for value in spec.values if f"{spec.name}.{value}" in form)
    return form.get(spec.name, "").replace("\r\n", "\n")


def value_of(spec: Field, text: str) -> Any:
    """What the org is given for it."""
    return text == "true" if spec.type == "boolean" else text or None


def shown(spec: Field, value: Any) -> str:
    """A value as a record shows it."""
    if spec.type == "boolean":
        return "Yes" if value else "No"
    return text_of(spec, value).replace(";", ", ") if spec.type == "multipicklist" else text_of(spec, value)
