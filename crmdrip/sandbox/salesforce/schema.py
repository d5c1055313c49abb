"""The org's schema: objects and fields as values. Those of the standard objects are read from `schema/`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

TEXT_TYPES = frozenset({"string", "textarea", "picklist", "multipicklist", "combobox", "email", "phone", "url"})
NUMBER_TYPES = frozenset({"double", "currency", "percent", "int"})
AUDIT = frozenset(
    {"Id", "IsDeleted", "CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp"}
)
"""What the org keeps of every record by itself."""
LONG_TEXT = 255
"""A textarea longer than this can be selected, but neither filtered nor sorted by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field, with the flags a describe answer shows."""

    name: str
    type: str
    """As in describe: id, reference, string, textarea, picklist, multipicklist, combobox, email, phone, url, boolean,
    date, datetime, time, double, currency, percent, int."""
    length: int = 0
    precision: int = 0
    scale: int = 0
    createable: bool = True
    updateable: bool = True
    required: bool = False
    """Not nillable, and the client has to give it."""
    defaulted: bool = False
    """Not nillable, and the org gives it when the client does not."""
    unique: bool = False
    external_id: bool = False
    id_lookup: bool = False
    restricted: bool = False
    html: bool = False
    name_field: bool = False
    filterable: bool = True
    default: Any = None
    values: tuple[str, ...] = ()
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    """The name in a path: Owner of OwnerId, Drip_Sequence__r of Drip_Sequence__c."""
    child_relationship: str | None = None
    """The name on the parent, for subqueries."""
    given_label: str = ""
    """What a page calls it, where that is not made from the name."""
    fixed: bool = False
    """Has no field-level security of its own."""
    suggested: bool = False
    """The org sets it when the client does not, and it may be empty all the same."""
    cascade: bool = False
    """Deleted with the parent."""
    master_detail: bool = False
    case_sensitive: bool = False
    """Of a unique text: whether "a" and "A" are two values."""
    calculated: bool = False
    """A formula or a roll-up: the org works it out."""
    formula: str = ""
    help_text: str = ""

    @property
    def custom(self) -> bool:
        """Whether it was added to the object by an admin or a package."""
        return self.name.endswith("__c")

    @property
    def nillable(self) -> bool:
        """Whether it can be empty."""
        computed_name = self.name_field and not self.createable
        return not (self.required or self.defaulted or computed_name or self.type in ("boolean", "id"))

    @property
    def polymorphic(self) -> bool:
        """Whether it points at more than one object."""
        return len(self.reference_to) > 1

    @property
    def label(self) -> str:
        """What a page calls it."""
        if self.given_label or self.name == "IsDeleted":
            return self.given_label or "Deleted"
        text = self.name.removesuffix("__c").replace("_", " ")
        if self.type == "reference" and not self.custom:
            text = text.removesuffix("Id") + " ID"
        if self.type == "id":
            return "Record ID"
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)  # told apart by identity: see columns
class SObject:
    """One object with its fields, in describe order. Another one takes its place when an admin changes it."""

    name: str
    label: str
    plural: str
    prefix: str
    deletable: bool
    createable: bool
    mergeable: bool
    fields: Mapping[str, Field]
    by_lower: Mapping[str, Field] = field(repr=False)
    relationships: Mapping[str, Field] = field(repr=False)
    """Reference fields by their relationship's name in lower case."""
    with_default: tuple[Field, ...] = field(repr=False)
    """The fields the org fills in where a new record says nothing of them."""
    never_empty: tuple[Field, ...] = field(repr=False)
    """The fields that a client could leave empty, and must not."""
    unique: tuple[Field, ...] = field(repr=False)
    """The fields of which no two records share a value."""

    @property
    def custom(self) -> bool:
        """Whether a package or an admin added it."""
        return self.name.endswith("__c")

    @property
    def activity(self) -> bool:
        """Whether it is a task or an event."""
        return self.name in ("Task", "Event")

    def field(self, name: str) -> Field | None:
        """The field of that name in any case."""
        return self.by_lower.get(name.lower())


def build_object(
    name: str, *, label: str, plural: str, prefix: str, deletable: bool, createable: bool, mergeable: bool,
    fields: Iterable[Field],
) -> SObject:  # fmt: skip
    """An object from its fields, in their order."""
    by_name = {spec.name: spec for spec in fields}
    return SObject(
        name=name,
        label=label,
        plural=plural,
        prefix=prefix,
        deletable=deletable,
        createable=createable,
        mergeable=mergeable,
        fields=by_name,
        by_lower={key.lower(): spec for key, spec in by_name.items()},
        relationships={
            spec.relationship.lower(): spec for spec in by_name.values() if spec.relationship is not None
        },
        with_default=tuple(spec for spec in by_name.values() if spec.default is not None),
        never_empty=tuple(
            spec
            for spec in by_name.values()
            if spec.required or (spec.defaulted and (spec.createable or spec.updateable))
        ),
        unique=tuple(spec for spec in by_name.values() if spec.unique),
    )  # fmt: skip


def parse_field(name: str, text: str, values: Iterable[str] = ()) -> Field:
    """A field from the notation of the data files. Raises ValueError for a word that means nothing."""
    kind, *words = text.split()
    spec = Field(name=name, type=kind, values=tuple(values))
    numbers = [int(word) for word in words if word.isdigit()]
    if kind in NUMBER_TYPES:
        spec = replace(spec, precision=numbers[0], scale=numbers[1] if len(numbers) > 1 else 0)
    elif numbers:
        spec = replace(spec, length=numbers[0])
    if kind == "reference":
        relationship = name[:-1] + "r" if name.endswith("__c") else name.removesuffix("Id")
        spec = replace(spec, length=18, relationship=relationship)
    if kind == "textarea" and spec.length > LONG_TEXT:
        spec = replace(spec, filterable=False)
    for word in words:
        if not word.isdigit():
            spec = _flag(spec, word)
    return spec


def _flag(spec: Field, word: str) -> Field:
    key, _, value = word.partition("=")
    match key:
        case "ro":
            return replace(spec, createable=False, updateable=False)
        case "create":
            return replace(spec, updateable=False)
        case "update":
            return replace(spec, createable=False)
        case "required":
            return replace(spec, required=True)
        case "defaulted":
            return replace(spec, defaulted=True)
        case "unique":
            return replace(spec, unique=True)
        case "extid":
            return replace(spec, external_id=True)
        case "idlookup":
            return replace(spec, id_lookup=True)
        case "restricted":
            return replace(spec, restricted=True)
        case "html":
            return replace(spec, html=True)
        case "namefield":
            return replace(spec, name_field=True)
        case "nofilter":
            return replace(spec, filterable=False)
        case "fixed":
            return replace(spec, fixed=True)
        case "suggested":
            return replace(spec, suggested=True)
        case "cascade":
            return replace(spec, cascade=True)
        case "md":
            return replace(spec, master_detail=True)
        case "to":
            return replace(spec, reference_to=tuple(value.split(",")))
        case "rel":
            return replace(spec, relationship=value or None)
        case "child":
            return replace(spec, child_relationship=value)
        case "default":
            return replace(spec, default=value == "true" if spec.type == "boolean" else value)
        case _:
            raise ValueError(f"field {spec.name}: {word!r} means nothing")


def audit_fields(*, deletable: bool) -> tuple[list[Field], list[Field]]:
    """The fields before and after an object's own."""
    first = [_set_by_the_org("Id", "id", length=18, id_lookup=True)]
    if deletable:
        first.append(_set_by_the_org("IsDeleted", "boolean", defaulted=False))
    last = [
        _set_by_the_org("CreatedDate", "datetime"),
        _set_by_the_org("CreatedById", "reference", length=18, to="User", relationship="CreatedBy"),
        _set_by_the_org("LastModifiedDate", "datetime"),
        _set_by_the_org("LastModifiedById", "reference", length=18, to="User", relationship="LastModifiedBy"),
        _set_by_the_org("SystemModstamp", "datetime"),
    ]
    return first, last


def _set_by_the_org(
    name: str,
    kind: str,
    *,
    length: int = 0,
    to: str = "",
    relationship: str | None = None,
    id_lookup: bool = False,
    defaulted: bool = True,
) -> Field:
    return Field(
        name=name,
        type=kind,
        length=length,
        createable=False,
        updateable=False,
        defaulted=defaulted,
        id_lookup=id_lookup,
        reference_to=(to,) if to else (),
        relationship=relationship,
    )


class Schema:
    """All objects of the org."""

    def __init__(self, objects: Iterable[SObject]) -> None:
        self._objects = {spec.name: spec for spec in objects}
        self._index()

    def _index(self) -> None:
        self._by_lower = {name.lower(): spec for name, spec in self._objects.items()}
        self.by_prefix = {spec.prefix: spec for spec in self._objects.values()}
        self._children: dict[str, list[tuple[SObject, Field]]] = {name: [] for name in self._objects}
        for spec in self._objects.values():
            for each in spec.fields.values():
                for target in each.reference_to:
                    if target in self._children:
                        self._children[target].append((spec, each))

    def __iter__(self) -> Iterator[SObject]:
        return iter(self._objects.values())

    def get(self, name: str) -> SObject | None:
        """The object of that name in any case."""
        return self._by_lower.get(name.lower())

    def __getitem__(self, name: str) -> SObject:
        return self._objects[name]

    def __contains__(self, name: str) -> bool:
        return name in self._objects

    def of_id(self, record_id: str) -> SObject | None:
        """The object an id belongs to, by its key prefix."""
        return self.by_prefix.get(record_id[:3])

    def children(self, name: str) -> list[tuple[SObject, Field]]:
        """Every (child object, its reference field) that points at the object."""
        return self._children[name]

    def put(self, *specs: SObject) -> None:
        """Add or replace objects."""
        self._objects.update({spec.name: spec for spec in specs})
        self._index()

    def with_field(self, name: str, each: Field) -> SObject:
        """The object with one field more (or another in its place), put into the schema."""
        spec = self._objects[name]
        changed = build_object(
            name,
            label=spec.label,
            plural=spec.plural,
            prefix=spec.prefix,
            deletable=spec.deletable,
            createable=spec.createable,
            mergeable=spec.mergeable,
            fields=[*(f for f in spec.fields.values() if f.name != each.name), each],
        )
        self.put(changed)
        return changed


_PARTS = ("fields", "values", "labels", "defaults")


def load_schema() -> Schema:
    """The standard objects, as an org has them in which nothing is installed."""
    return Schema(_standard_objects())


@cache
def _standard_objects() -> tuple[SObject, ...]:
    text = (files(__package__) / "schema" / "standard.toml").read_text("utf-8")
    tables = tomllib.loads(text)
    return tuple(_read(name, {part: {} for part in _PARTS} | table) for name, table in tables.items())


def _read(name: str, entry: Mapping[str, Any]) -> SObject:
    deletable = bool(entry.get("deletable", True))
    first, last = audit_fields(deletable=deletable)
    own = [parse_field(key, text, entry["values"].get(key, ())) for key, text in entry["fields"].items()]
    return build_object(
        name,
        label=entry["label"],
        plural=entry["plural"],
        prefix=entry["prefix"],
        deletable=deletable,
        createable=bool(entry.get("createable", True)),
        mergeable=bool(entry.get("mergeable", False)),
        fields=[
            replace(
                each,
                given_label=entry["labels"].get(each.name, ""),
                default=entry["defaults"].get(each.name, each.default),
            )
            for each in (*first, *own, *last)
        ],
    )
