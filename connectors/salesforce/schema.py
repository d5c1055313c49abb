"""What this org has: its objects and fields as our user sees them, its id, its control record. Read in one call.

A field that field-level security hides is absent from a describe, exactly like one that does not exist; so whatever is
absent from here is never asked for, and whatever we cannot do without is named in one ConfigurationError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.client import Answer, Answers, Part, SalesforceClient
from crmdrip.core.errors import ConfigurationError, ErrorClass
from crmdrip.core.model import RecordKind
from crmdrip.ports import CrmIdentity, CrmMapping, Purpose

PERMISSION_SET = "Drip Integration"

_DESCRIBED = (
    "contact",
    "lead",
    "sequence",
    "step",
    "control",
    "task",
    "user",
    "account",
    "event",
    "opportunity_role",
    "email_message",
)

_PERSON = ("email", "owner", "enrolled", "sequence", "paused_until", "approved", "status", "run", "modified")
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "contact": _PERSON,
    "lead": (*_PERSON, "converted", "converted_contact"),
    "control": ("brake",),
    "task": ("touch_id", "sequence_id", "step_id", "run", "outcome", "person", "subject", "status"),
    "user": ("name", "email", "active"),
}
"""What nothing works without. Of sequences and steps every mapped field is required: an unseen cap is no cap."""

WRITTEN_BY_US: Mapping[str, tuple[str, ...]] = {
    "sequence": ("version", "error", "active", "sent", "replied", "meetings", "stopped", "held"),
    "step": (),
}


class Access(Enum):
    """How a field is about to be written."""

    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldInfo:
    """One field as our user may use it."""

    name: str
    createable: bool
    updateable: bool
    length: int
    """In characters; 0 where the type has none."""
    external_id: bool
    unique: bool
    type: str = ""
    """As a describe calls it."""
    label: str = ""
    help_text: str = ""
    values: tuple[str, ...] = ()
    """Of a picklist, those that are active."""
    restricted: bool = False
    """Whether no other value is taken."""
    reference_to: tuple[str, ...] = ()
    calculated: bool = False
    required: bool = False
    """Whether a new record needs a value for it and the org gives none by itself."""
    filterable: bool = True
    """Whether records can be found by it: not by what Shield encrypts in its probabilistic scheme."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectInfo:
    """One object as our user may use it."""

    name: str
    prefix: str
    """The first three characters of its ids."""
    fields: Mapping[str, FieldInfo]
    """By API name in lower case: SOQL and people do not mind case."""
    children: frozenset[str]
    """Child relationship names."""
    createable: bool
    updateable: bool = True

    def find(self, name: str) -> FieldInfo | None:
        """The field, None when it is hidden or absent. A path to a parent ("Opportunity.Name") is not looked into."""
        return self.fields.get(name.lower())


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The org as it was when last looked at."""

    mapping: CrmMapping
    identity: CrmIdentity
    objects: Mapping[str, ObjectInfo]
    """By our word; absent when the org or our user has no such object."""
    control_id: str | None
    done_status: str
    """The first closed status of tasks."""
    stop_when: Mapping[str, str] = field(default_factory=dict)
    """The raw stop condition by sequence id, where there is one."""
    _writable: dict[tuple[str, Access], Mapping[str, FieldInfo]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What `writable` found, since it is asked for every row."""

    def has(self, word: str) -> bool:
        """Whether the object can be read."""
        return word in self.objects

    def sees(self, word: str, field_word: str) -> bool:
        """Whether the mapped field can be read."""
        info = self.objects.get(word)
        name = self.mapping.fields.get(word, {}).get(field_word, "")
        return bool(info and name and info.find(name))

    def name(self, word: str, field_word: str) -> str:
        """The field's API name, "" when it is switched off, hidden or absent."""
        return self.mapping.field(word, field_word) if self.sees(word, field_word) else ""

    def names(self, word: str, field_words: Iterable[str]) -> dict[str, str]:
        """API names by word, of those that can be read."""
        return {w: self.mapping.field(word, w) for w in field_words if self.sees(word, w)}

    def writable(self, word: str, access: Access) -> Mapping[str, FieldInfo]:
        """The fields of an object that our user may write so, by our word."""
        found = self._writable.get((word, access))
        if found is None:
            creating, info = access is Access.CREATE, self.objects[word]
            mapped = {w: info.find(name) for w, name in self.mapping.fields[word].items() if name}
            found = self._writable[word, access] = {
                w: one
                for w, one in mapped.items()
                if one is not None and (one.createable if creating else one.updateable)
            }
        return found

    def constants(self, word: str) -> Mapping[str, str]:
        """What every new record of the object gets beside our own: fields that this org demands, by API name."""
        return self.mapping.values.get(f"new_{word}", {})

    def kinds(self) -> tuple[RecordKind, ...]:
        """The objects that people are kept in here."""
        return tuple(kind for kind in RecordKind if self.has(kind.value))

    def missing(self, word: str) -> list[str]:
        """What is required of the object and cannot be read, as "Contact.Drip_Run__c"."""
        name = self.mapping.objects.get(word, "")
        if not name:
            return []
        if not self.has(word):
            return [name]
        wanted = REQUIRED.get(word) or tuple(
            w for w in self.mapping.fields.get(word, {}) if w not in WRITTEN_BY_US.get(word, ())
        )
        # A word mapped to "" is switched off by the admin on purpose, except where nothing works without it.
        return [
            f"{name}.{self.mapping.field(word, w) or w}"
            for w in wanted
            if not self.sees(word, w) and (w in REQUIRED.get(word, ()) or self.mapping.field(word, w))
        ]

    def demand(self) -> None:
        """Raises ConfigurationError naming everything missing at once, the opt-out field first (B26)."""
        self.demand_opt_out()
        gaps = [gap for word in ("contact", "lead", "sequence", "step", "control", "task") for gap in self._gaps(word)]
        if gaps:
            raise ConfigurationError(
                f"the connected user cannot see {', '.join(gaps)}.",
                where="Salesforce",
                do_next=f"Type crmdrip install salesforce, or assign the permission set {PERMISSION_SET} to it.",
            )

    def demand_opt_out(self) -> None:
        """Raises ConfigurationError when the opt-out field is hidden: then nobody may be mailed (B26)."""
        hidden = [
            f"{self.mapping.object(kind.value)}.{self.mapping.field(kind.value, 'opted_out') or 'opted_out'}"
            for kind in self.kinds()
            if not self.sees(kind.value, "opted_out")
        ]
        if hidden:
            raise ConfigurationError(
                f"the opt-out field is hidden from the connected user ({', '.join(hidden)}), so no email may go out.",
                where="Salesforce",
                do_next=f"Grant read and edit access to it, or assign the permission set {PERMISSION_SET} to the user.",
            )

    def _gaps(self, word: str) -> list[str]:
        # Leads are optional as an object; once there, their fields are not.
        return [] if word == "lead" and not self.has("lead") else self.missing(word)


def load_schema(client: SalesforceClient, mapping: CrmMapping) -> Schema:
    """Read everything in one call. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
    parts = [
        Part(name=f"describe_{word}", path=f"sobjects/{name}/describe")
        for word in _DESCRIBED
        if (name := mapping.objects.get(word, ""))
    ]
    organization = [mapping.field("organization", word) for word in ("name", "sandbox")]
    parts.append(
        soql.query("organization", soql.select(["Id", *organization], mapping.object("organization"), limit=1))
    )
    parts.append(_closed_statuses(mapping))
    if mapping.objects.get("control"):
        parts.append(control_query(mapping, ["Id"]))
    stop_when = mapping.fields.get("sequence", {}).get("stop_when", "")
    if stop_when:
        parts.append(
            soql.query(
                "stop_when", soql.select(["Id", stop_when], mapping.object("sequence"), where=[f"{stop_when} != null"])
            )
        )
    answers = client.read(parts, Purpose.PULL)
    org = answers.body("organization")["records"][0]
    return Schema(
        mapping=mapping,
        identity=CrmIdentity(org_id=org["Id"], name=org[organization[0]], sandbox=bool(org[organization[1]])),
        objects={word: info for word in _DESCRIBED if (info := _object(answers, word)) is not None},
        control_id=next((row["Id"] for row in _rows(answers, "control")), None),
        done_status=next(
            (row[mapping.field("task_status", "name")] for row in _rows(answers, "statuses")),
            mapping.value("task", "done"),
        ),
        stop_when={row["Id"]: row[stop_when] for row in _rows(answers, "stop_when")},
    )


def control_query(mapping: CrmMapping, columns: list[str]) -> Part:
    """The query for the control record: the oldest, should there ever be two."""
    return soql.query(
        "control",
        soql.select(columns, mapping.object("control"), order=[mapping.field("control", "created"), "Id"], limit=1),
    )


def _closed_statuses(mapping: CrmMapping) -> Part:
    words = {word: mapping.field("task_status", word) for word in ("name", "closed", "order")}
    text = soql.select(
        [words["name"]], mapping.object("task_status"), where=[f"{words['closed']} = true"], order=[words["order"]]
    )
    return soql.query("statuses", text)


def _rows(answers: Answers, name: str) -> list[dict[str, Any]]:
    """The rows of an optional query, none where the org has no such object."""
    answer = answers.parts.get(name)
    if answer is None or answer.fault is not None:
        return []
    rows: list[dict[str, Any]] = answer.body["records"]
    return rows


def _object(answers: Answers, word: str) -> ObjectInfo | None:
    answer = answers.parts.get(f"describe_{word}")
    return None if answer is None else read_object(answer, word)


def read_object(answer: Answer, word: str) -> ObjectInfo | None:
    """An object from a describe answer, None when there is none that our user may read. Raises what may pass."""
    if (fault := answer.fault) is not None:
        if fault.error_class in {ErrorClass.RETRIABLE, ErrorClass.RATE_LIMITED, ErrorClass.AUTH}:
            raise fault.error(f"Salesforce ({word})")
        return None
    body = answer.body
    return ObjectInfo(
        name=body["name"],
        prefix=body.get("keyPrefix") or "",
        createable=bool(body.get("createable", True)),
        updateable=bool(body.get("updateable", True)),
        children=frozenset(
            child["relationshipName"] for child in body.get("childRelationships", ()) if child.get("relationshipName")
        ),
        fields={one["name"].lower(): read_field(one) for one in body["fields"]},
    )


def read_field(one: Mapping[str, Any]) -> FieldInfo:
    """A field from a describe answer."""
    values = tuple(
        value["value"] for value in one.get("picklistValues") or () if value.get("active") and value.get("value")
    )
    return FieldInfo(
        name=one["name"],
        createable=bool(one.get("createable")),
        updateable=bool(one.get("updateable")),
        length=int(one.get("length") or 0),
        external_id=bool(one.get("externalId")),
        unique=bool(one.get("unique")),
        type=one.get("type") or "",
        label=one.get("label") or "",
        help_text=one.get("inlineHelpText") or "",
        values=values,
        restricted=bool(one.get("restrictedPicklist")),
        reference_to=tuple(one.get("referenceTo") or ()),
        calculated=bool(one.get("calculated")),
        required=bool(one.get("createable")) and not one.get("nillable", True) and not one.get("defaultedOnCreate"),
        filterable=bool(one.get("filterable", True)),
    )
