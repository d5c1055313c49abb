"""What the names in a row mean: looked up once for all rows that give the same fields of an object.

What was looked up holds for the object and the sight it was looked up with, and for no other: a field that is added, a
permission that is taken away make another object or another sight, and so the next row is looked up anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from crmdrip.sandbox.salesforce.access import Sight
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.schema import Field, SObject
from crmdrip.sandbox.salesforce.store import Row
from crmdrip.sandbox.salesforce.values import Reader, reader

_KINDS = 1_024
"""How many lists of names are remembered."""
_STATE = ("Id", "IsDeleted", "IsConverted")
"""What says whether a row is there, and can be changed at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The fields that a list of names stands for."""

    object: str
    taken: tuple[tuple[str, str, Reader, Field], ...]
    """In the order given: the name as given, the field's own, what reads its values, the field."""
    unknown: str | None
    """The first name that is no field the user sees. What was named after it is not taken."""
    refused: tuple[str, ...]
    """The fields that the user sees and may not write."""
    references: tuple[Field, ...]
    """Those that name another record; the owner always, whom the org itself may set."""
    never_empty: tuple[str, ...]
    """Those that must have a value, whether they were named or, in a new row, not."""
    stored: tuple[str, ...]
    """Which columns of the row before are wanted whatever comes: its state, and what a reference was."""

    def read(self, values: Mapping[str, Any]) -> Row:
        """The values of one row as they are stored. Raises Refusal for the first thing that is wrong with them."""
        row = {name: read(each, values[given]) for given, name, read, each in self.taken}
        if self.unknown is not None:
            raise Refusal("INVALID_FIELD", f"No such column '{self.unknown}' on sobject of type {self.object}")
        if self.refused:
            raise Refusal(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {', '.join(self.refused)}. Please check the security settings of this"
                " field and verify that it is read/write for your profile or permission set.",
                fields=self.refused,
            )
        return row


@lru_cache(maxsize=_KINDS)
def columns_to_create(spec: SObject, sight: Sight | None, names: tuple[str, ...]) -> Columns:
    """The columns of a new row. sight: what its API user sees; None for people at pages, who see everything."""
    never_empty = tuple(each.name for each in spec.never_empty)
    return _look_up(spec, sight, names, {name for name, each in spec.fields.items() if each.createable}, never_empty)


@lru_cache(maxsize=_KINDS)
def columns_to_change(spec: SObject, sight: Sight | None, names: tuple[str, ...]) -> Columns:
    """The columns of a row that is there already. Which row, the id says, wherever it stands."""
    names = tuple(name for name in names if name.lower() != "id")
    given = {each.name for each in map(spec.field, names) if each is not None}
    never_empty = tuple(each.name for each in spec.never_empty if each.name in given)
    return _look_up(spec, sight, names, {name for name, each in spec.fields.items() if each.updateable}, never_empty)


def _look_up(
    spec: SObject, sight: Sight | None, names: tuple[str, ...], writable: set[str], never_empty: tuple[str, ...]
) -> Columns:  # fmt: skip
    taken: list[tuple[str, str, Reader, Field]] = []
    unknown: str | None = None
    refused: list[str] = []
    for given in names:
        if given == "attributes":
            continue
        each = spec.field(given)
        if each is None or (sight is not None and sight.hides(spec.name, each.name)):
            unknown = given
            break
        if each.name == "Id":
            taken.append((given, each.name, _no_id, each))
        elif each.name not in writable or (sight is not None and (spec.name, each.name) in sight.locked):
            refused.append(each.name)
        else:
            taken.append((given, each.name, reader(each), each))
    references = tuple(_references(spec, {each.name: each for _, _, _, each in taken}))
    return Columns(
        object=spec.name,
        taken=tuple(taken),
        unknown=unknown,
        refused=tuple(refused),
        references=references,
        never_empty=never_empty,
        stored=(*(name for name in _STATE if name in spec.fields), *(each.name for each in references)),
    )


def _references(spec: SObject, fields: Mapping[str, Field]) -> Iterator[Field]:
    yield from (each for each in fields.values() if each.type == "reference")
    if "OwnerId" in spec.fields and "OwnerId" not in fields:
        yield spec.fields["OwnerId"]


def _no_id(_spec: Field, value: Any) -> None:
    if value is not None:
        text = "cannot specify Id in an insert call"
        raise Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", text, fields=("Id",))
