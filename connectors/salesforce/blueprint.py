"""What the package's fields are, in the words of a describe; and how a field in an org differs from them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from xml.etree import ElementTree as ET

from connectors.salesforce.metadata import NAMESPACE, Component, Package, read_package
from connectors.salesforce.schema import FieldInfo, Schema
from crmdrip.core.mapping import CrmMapping, parse_mapping
from crmdrip.shipped import shipped

_TYPES: Mapping[str, str] = {
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Html": "textarea",
    "Checkbox": "boolean",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Date": "date",
    "DateTime": "datetime",
    "Time": "time",
    "Email": "email",
    "Phone": "phone",
    "Url": "url",
    "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist",
    "Lookup": "reference",
    "MasterDetail": "reference",
    "Summary": "double",
}

_WORDS: Mapping[str, str] = {
    "string": "Text",
    "textarea": "Text Area",
    "boolean": "Checkbox",
    "double": "Number",
    "int": "Number",
    "currency": "Currency",
    "percent": "Percent",
    "date": "Date",
    "datetime": "Date/Time",
    "time": "Time",
    "email": "Email",
    "phone": "Phone",
    "url": "URL",
    "picklist": "Picklist",
    "multipicklist": "Picklist (Multi-Select)",
    "reference": "Lookup",
}
"""What Setup calls the types of a describe."""

_ALSO: Mapping[str, frozenset[str]] = {
    "string": frozenset({"textarea", "picklist", "email", "url"}),
    "textarea": frozenset({"string"}),
    "picklist": frozenset({"string"}),
    "multipicklist": frozenset({"string", "textarea"}),
    "time": frozenset({"string"}),
    "email": frozenset({"string"}),
    "double": frozenset({"int", "percent", "currency"}),
    "datetime": frozenset({"date"}),
}
"""What else an org's own field may be, to stand for one of ours: crmdrip reads and writes these as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldSpec:
    """One field as the package has it."""

    object: str
    """Task for the fields of activities."""
    name: str
    label: str
    help_text: str
    type: str
    length: int
    """In characters, 0 where the type has none."""
    unique: bool
    external_id: bool
    values: tuple[str, ...]
    reference_to: str
    calculated: bool

    @property
    def full_name(self) -> str:
        """As people and error messages call it."""
        return f"{self.object}.{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How a field in an org differs from what the package has."""

    conflict: str = ""
    """Why it cannot be brought there, "" when it can."""
    lacks: tuple[str, ...] = ()
    """What a deployment adds."""


@cache
def load_package() -> Package:
    """The package as it is shipped, read once. Raises ConfigurationError."""
    return read_package(shipped("salesforce"))


@cache
def load_names() -> CrmMapping:
    """The mapping as it is shipped: the names of the package. Raises ConfigurationError."""
    text = shipped("salesforce.toml").read_text("utf-8")
    return parse_mapping("mappings/salesforce.toml", tomllib.loads(text))


@cache
def load_specs() -> Mapping[tuple[str, str], FieldSpec]:
    """Its fields by object and name. Raises ConfigurationError."""
    return read_specs(load_package().components)


def read_specs(components: Iterable[Component]) -> Mapping[tuple[str, str], FieldSpec]:
    """The fields among the components, by object and name."""
    specs = (read_spec(one) for one in components if one.type == "CustomField")
    return {(spec.object, spec.name): spec for spec in specs}


def read_spec(component: Component) -> FieldSpec:
    """One field."""
    element = component.element
    assert element is not None  # noqa: S101 - a field is always XML

    def text(name: str) -> str:
        return element.findtext(f"{{{NAMESPACE}}}{name}", "").strip()

    calculated = text("type") == "Summary" or bool(text("formula"))
    return FieldSpec(
        object="Task" if component.object == "Activity" else component.object,
        name=text("fullName"),
        label=text("label"),
        help_text=text("inlineHelpText"),
        type=_TYPES[text("type")],
        length=int(text("length") or 0),
        unique=text("unique") == "true",
        external_id=text("externalId") == "true",
        values=tuple(_values(element)),
        reference_to=text("referenceTo"),
        calculated=calculated,
    )


def _values(element: ET.Element) -> list[str]:
    path = "/".join(f"{{{NAMESPACE}}}{name}" for name in ("valueSet", "valueSetDefinition", "value", "fullName"))
    return [(value.text or "").strip() for value in element.iterfind(path)]


def compare(spec: FieldSpec, found: FieldInfo) -> Difference:
    """Our own field, as it stands in an org."""
    if found.type != spec.type:
        return Difference(conflict=f"is a {say(found.type)} field here, and the package's is {say(spec.type)}")
    if spec.reference_to and found.reference_to and spec.reference_to not in found.reference_to:
        return Difference(conflict=f"points at {', '.join(found.reference_to)} here, and not at {spec.reference_to}")
    if spec.calculated != found.calculated:
        return Difference(conflict="is worked out by Salesforce in one of the two, and typed in the other")
    lacks = []
    if spec.length > found.length and not spec.calculated and spec.type in ("string", "textarea"):
        lacks.append(f"length {found.length} becomes {spec.length}")
    if missing := [value for value in spec.values if value not in found.values]:
        lacks.append(f"values {', '.join(missing)}")
    if spec.unique and not found.unique:
        lacks.append("Unique")
    if spec.external_id and not found.external_id:
        lacks.append("External ID")
    if spec.help_text and not found.help_text:
        lacks.append("help text")
    return Difference(lacks=tuple(lacks))


def stand_in(spec: FieldSpec, found: FieldInfo) -> list[str]:
    """Why an org's own field cannot stand for one of ours, [] when it can."""
    problems = []
    if found.type != spec.type and found.type not in _ALSO.get(spec.type, ()):
        problems.append(f"is {say(found.type)}, and {say(spec.type)} is needed")
    elif spec.reference_to and spec.reference_to not in found.reference_to:
        problems.append(f"points at {', '.join(found.reference_to) or 'nothing'}, and not at {spec.reference_to}")
    if found.calculated and not spec.calculated:
        problems.append("is worked out by Salesforce, and has to be written")
    if spec.external_id and not (found.external_id and found.unique):
        problems.append("is no unique external ID")
    if found.length and found.type in ("string", "textarea") and spec.type == "string" and found.length < spec.length:
        problems.append(f"holds {found.length} characters, and {spec.length} may be written")
    return problems


@dataclass(frozen=True, kw_only=True, slots=True)
class MappedField:
    """A field that stands in the org for one of the package's."""

    word: str
    """What the mapping calls it: status, enrolled, ..."""
    spec: FieldSpec
    found: FieldInfo
    own: str
    """As the org's people call it."""


def read_mapped(schema: Schema) -> list[MappedField]:
    """Every mapped field that can be seen, beside the package's. Raises ConfigurationError."""
    names, specs = load_names(), load_specs()
    own_objects = {names.objects[word]: name for word, name in schema.mapping.objects.items() if word in names.objects}
    mapped = []
    for object_word, info in schema.objects.items():
        for word, name in names.fields.get(object_word, {}).items():
            spec = specs.get((names.objects[object_word], name))
            own = schema.mapping.fields[object_word].get(word, "")
            found = info.find(own) if own else None
            if spec is not None and found is not None:
                spec = replace(spec, reference_to=own_objects.get(spec.reference_to, spec.reference_to))
                mapped.append(MappedField(word=word, spec=spec, found=found, own=f"{info.name}.{found.name}"))
    return mapped


def say(kind: str) -> str:
    """A type of a describe as Setup calls it."""
    return _WORDS.get(kind, kind)
