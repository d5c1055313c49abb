"""What the org works out itself, and the rules it holds rows against: formula fields, roll-ups and validation rules."""

# ruff: noqa: S608 - table and column names come from the schema, values are always bound

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crmdrip.sandbox.salesforce.formula import Formula, Scope
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.rules import coming
from crmdrip.sandbox.salesforce.schema import SObject
from crmdrip.sandbox.salesforce.store import Row, Store, StoredRow, quote
from crmdrip.sandbox.salesforce.values import show


@dataclass(frozen=True, kw_only=True, slots=True)
class FormulaField:
    """A field whose value follows from others of the same row."""

    name: str
    formula: Formula


@dataclass(frozen=True, kw_only=True, slots=True)
class FormulaRule:
    """A validation rule: a row for which the formula holds is refused."""

    name: str
    formula: Formula
    message: str
    field: str
    """At which the message is shown, "" for the top of the page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RollUp:
    """A count of detail records, kept on the master."""

    master: str
    field: str
    detail: str
    key: str
    """The detail's field that names its master."""
    condition: tuple[str, Any] | None
    """A field of the detail and the value it has to have."""


@dataclass(kw_only=True, slots=True)
class Calculations:
    """Everything of this kind in one org, by object."""

    fields: dict[str, list[FormulaField]] = field(default_factory=dict)
    rules: dict[str, list[FormulaRule]] = field(default_factory=dict)
    roll_ups: dict[str, list[RollUp]] = field(default_factory=dict)
    """By detail object."""
    rules_off: bool = False
    """Whether the admin has switched the validation rules off, as for an import."""

    def compute(self, spec: SObject, changes: Row, before: StoredRow | None) -> None:
        """Add to the changes of a row what follows from them."""
        formulas = self.fields.get(spec.name)
        if not formulas:
            return
        row: dict[str, Any] = {}
        scope = Scope(row=row)
        for each in formulas:
            if each.formula.fields.isdisjoint(changes):
                continue
            for name in each.formula.fields - row.keys():
                row[name] = show(spec.fields[name], coming(name, changes, before))
            changes[each.name] = each.formula.value(scope) or None
            row.pop(each.name, None)  # a formula after this one may be made of it

    def check(self, spec: SObject, changes: Row, before: StoredRow | None) -> None:
        """Raises Refusal with the message of the first rule that holds for the row as it will be."""
        rules = () if self.rules_off else self.rules.get(spec.name, ())
        if not rules:
            return
        was = None if before is None else before.whole()
        row = changes if was is None else {**was, **changes}
        scope = Scope(row=show_row(spec, row), before=None if was is None else show_row(spec, was))
        for rule in rules:
            if rule.formula.value(scope):
                fields = (rule.field,) if rule.field else ()
                raise Refusal("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, fields=fields)

    def roll_up(self, store: Store, spec: SObject, masters: Iterable[str | None], stamp: int) -> None:
        """Count anew for masters of a detail that has come, changed or gone. Moves their system stamp alone."""
        for each in self.roll_ups.get(spec.name, ()):
            where, values = f'{quote(each.key)} = ? AND "IsDeleted" = 0', []
            if each.condition is not None:
                where += f" AND {quote(each.condition[0])} = ?"
                values = [each.condition[1]]
            for master in {one for one in masters if one is not None}:
                sql = f"SELECT count(*) FROM {quote(each.detail)} WHERE {where}"
                (count,) = store.db.execute(sql, (master, *values)).fetchone()
                if store.value(each.master, master, each.field) != count:
                    store.update(each.master, master, {each.field: count, "SystemModstamp": stamp})


def show_row(spec: SObject, row: Mapping[str, Any]) -> dict[str, Any]:
    """A whole row as answers show it."""
    return {each.name: show(each, row.get(each.name)) for each in spec.fields.values()}
