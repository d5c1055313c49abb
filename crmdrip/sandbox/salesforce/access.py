"""Who may see what through the API: field-level security and object permissions, as profiles and permission sets give.

A field that a deployment makes is nobody's until a permission set grants it, an administrator's included. A field that
an admin adds by hand is everybody's. People at their pages see everything: this is about API users alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from crmdrip.sandbox.salesforce.schema import AUDIT, Field, Schema
from crmdrip.sandbox.salesforce.store import Store

Name = tuple[str, str]
"""Object and field."""

_COMPOUND: Mapping[Name, tuple[str, ...]] = {
    (owner, f"{prefix}Address"): tuple(
        f"{prefix}{part}" for part in ("Street", "City", "State", "PostalCode", "Country")
    )
    for owner, prefix in (("Contact", "Mailing"), ("Contact", "Other"), ("Account", "Billing"), ("Lead", ""))
}
"""An address has one entry in field-level security, and its parts follow it."""

_SECURED = ("Account", "Contact", "Lead", "Opportunity", "Task", "Event")
"""Standard objects whose fields a minimum-access profile does not show."""
_BY_PERMISSION = ("Account", "Contact", "Lead", "Opportunity")
"""Standard objects that such a profile cannot read at all. Access to activities comes with a user permission."""


class Profile(Enum):
    """What a user begins with."""

    ADMINISTRATOR = "System Administrator"
    STANDARD = "Standard User"
    """Sees standard objects with all their fields, and no field of a package."""
    MINIMUM = "Minimum Access - API Only Integrations"
    """Sees what permission sets grant, and nothing else: the profile of the Salesforce Integration licence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grants:
    """What one permission set gives."""

    name: str
    label: str
    description: str = ""
    readable: frozenset[Name] = frozenset()
    editable: frozenset[Name] = frozenset()
    objects: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Of each object: read, create, edit, delete."""
    user_permissions: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)  # told apart by identity: see columns
class Sight:
    """What one user sees now. Another one takes its place when that changes."""

    hidden: frozenset[Name]
    locked: frozenset[Name]
    """Fields that can be read and not written."""
    closed: frozenset[str]
    """Objects that cannot be read."""
    fixed: frozenset[str]
    """Objects whose records cannot be changed."""
    uncreatable: frozenset[str]

    def hides(self, object_name: str, field_name: str) -> bool:
        """Whether the field is not seen; of an object that is closed, none is."""
        return (object_name, field_name) in self.hidden or object_name in self.closed


class Access:
    """Profiles, permission sets and what they add up to. The user of the request at hand is set before it is served."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sights: dict[str, Sight] = {}
        """By user id."""
        self.user_id = ""
        self.profiles: dict[str, Profile] = {}
        """By user id; STANDARD for everybody else."""
        self.sets: dict[str, Grants] = {}
        """By name."""
        self.deployed: set[Name] = set()
        """Fields of a package: to be granted before an API user sees them."""
        self.packaged: set[str] = set()
        """Objects of a package."""
        self.by_hand: set[Name] = set()
        """Fields that an admin has hidden from every API user."""

    def hide(self, name: Name) -> None:
        """Hide a field from every API user."""
        self.by_hand.add(name)
        self.changed()

    def show(self, name: Name) -> None:
        """Take back that a field is hidden from everybody."""
        self.by_hand.discard(name)
        self.changed()

    def hidden(self, object_name: str, field_name: str) -> bool:
        """Whether the user at hand does not see the field; of an object that is closed, none."""
        return self.sight().hides(object_name, field_name)

    def locked(self, object_name: str, field_name: str) -> bool:
        """Whether the user at hand sees the field and may not write it."""
        return (object_name, field_name) in self.sight().locked

    def changed(self) -> None:
        """Forget what was added up: the schema, a permission set, an assignment or a profile is another."""
        self._sights.clear()

    def holds(self, permission: str) -> bool:
        """Whether the user at hand has a user permission, such as ModifyMetadata."""
        if self.profiles.get(self.user_id) is Profile.ADMINISTRATOR:
            return True
        return any(permission in self.sets[name].user_permissions for name in self._assigned())

    def sight(self) -> Sight:
        """What the user at hand sees."""
        found = self._sights.get(self.user_id)
        if found is None:
            found = self._sights[self.user_id] = self._add_up(self.user_id, self._assigned())
        return found

    def _assigned(self) -> frozenset[str]:
        if "PermissionSetAssignment" not in self._store.schema:
            return frozenset()
        rows = self._store.db.execute(
            'SELECT s."Name" FROM "PermissionSetAssignment" a JOIN "PermissionSet" s ON s."Id" = a."PermissionSetId"'
            ' WHERE a."AssigneeId" = ? AND a."IsDeleted" = 0',
            (self.user_id,),
        )
        return frozenset(name for (name,) in rows if name in self.sets)

    def _add_up(self, user_id: str, names: Iterable[str]) -> Sight:
        schema, profile = self._store.schema, self.profiles.get(user_id, Profile.STANDARD)
        sets = [self.sets[name] for name in names]
        readable = _spread(schema, frozenset().union(*(one.readable for one in sets)))
        editable = _spread(schema, frozenset().union(*(one.editable for one in sets)))
        asked = set(self.deployed)
        if profile is Profile.MINIMUM:
            asked |= {(name, each.name) for name in _SECURED for each in schema[name].fields.values() if secured(each)}
        closed, fixed, uncreatable = set(), set(), set()
        if profile is not Profile.ADMINISTRATOR:
            names_asked = self.packaged | (set(_BY_PERMISSION) if profile is Profile.MINIMUM else set())
            for name in names_asked:
                given = frozenset().union(*(one.objects.get(name, frozenset()) for one in sets))
                if "read" not in given:
                    closed.add(name)
                if "edit" not in given:
                    fixed.add(name)
                if "create" not in given:
                    uncreatable.add(name)
        if profile is Profile.MINIMUM and not any("EditTask" in one.user_permissions for one in sets):
            fixed |= {"Task"}
            uncreatable |= {"Task"}
        return Sight(
            hidden=frozenset((asked - readable) | self.by_hand),
            locked=frozenset((asked & readable) - editable),
            closed=frozenset(closed),
            fixed=frozenset(fixed),
            uncreatable=frozenset(uncreatable),
        )


def secured(each: Field) -> bool:
    """Whether the field has field-level security: never one that must have a value, or that the org keeps itself."""
    if each.name in AUDIT or each.fixed or each.name_field:
        return False
    return not (each.required or each.defaulted) and (each.createable or each.calculated)


def knows(schema: Schema, name: Name) -> bool:
    """Whether permission sets may name the field, addresses as a whole included."""
    owner = schema.get(name[0])
    return name in _COMPOUND or (owner is not None and owner.field(name[1]) is not None)


def _spread(schema: Schema, names: Iterable[Name]) -> set[Name]:
    """With the parts of addresses; names in the schema's own case."""
    found: set[Name] = set()
    for owner, each in names:
        parts = _COMPOUND.get((owner, each), (each,))
        spec = schema.get(owner)
        for part in parts:
            known = spec.field(part) if spec is not None else None
            if spec is not None and known is not None:
                found.add((spec.name, known.name))
    return found
