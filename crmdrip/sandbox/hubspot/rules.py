"""What stands between a write and a record: who writes, the admin's validation rules, and locks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from crmdrip.sandbox.hubspot.refusals import Problem, Refusal
from crmdrip.sandbox.hubspot.store import Properties


class Source(StrEnum):
    """Where a change comes from, as histories and webhooks name it."""

    API = "INTEGRATION"
    PERSON = "CRM_UI"
    MERGE = "MERGE_OBJECTS"
    PREFERENCES = "EMAIL_SUBSCRIPTIONS"
    ACTIVITY = "ENGAGEMENTS"
    MAILBOX = "EMAIL_INTEGRATION"
    SEQUENCE = "SEQUENCES"


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """One write: who makes it, and when."""

    stamp: int
    source: Source = Source.PERSON
    source_id: str = ""
    rules: bool = False
    """Whether the admin's validation rules hold: through the API only since 2026-09 (changelog:
    crm-api-write-validation-enforcement)."""

    @property
    def through_api(self) -> bool:
        """Read-only properties are refused then."""
        return self.source is Source.API


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationRule:
    """Something an admin asks of records of one kind."""

    kind: str
    name: str
    """The property it is about."""
    holds: Callable[[Properties], bool]
    """Sees every value of the record after the write."""
    message: str
    on_create_only: bool = False
    """A field of the create form."""


@dataclass(kw_only=True, slots=True)
class Lock:
    """A record that nobody can write to: for so many writes, or until it is unlocked."""

    writes: int | None = None


def check(rules: list[ValidationRule], kind: str, properties: Properties, *, creating: bool) -> None:
    """Raise a Refusal with every rule of the kind that does not hold."""
    broken = [
        rule
        for rule in rules
        if rule.kind == kind and (creating or not rule.on_create_only) and not rule.holds(properties)
    ]
    if broken:
        problems = [Problem(name=rule.name, code="VALIDATION_RULE_FAILED", message=rule.message) for rule in broken]
        raise Refusal(
            "; ".join(each.message for each in problems),
            errors=[
                {"message": each.message, "code": each.code, "context": {"propertyName": [each.name]}}
                for each in problems
            ],
        )


def locked() -> Refusal:
    """Somebody else is writing. Wait two seconds or more (docs: error handling)."""
    return Refusal("The record is locked by another operation.", "RECORD_LOCKED", status=423)
