"""Creating and changing records under the org's rules, one row at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from crmdrip.sandbox.salesforce import ids
from crmdrip.sandbox.salesforce.access import Access, Sight
from crmdrip.sandbox.salesforce.calculated import Calculations, show_row
from crmdrip.sandbox.salesforce.columns import Columns, columns_to_change, columns_to_create
from crmdrip.sandbox.salesforce.consequences import CONSEQUENCES, JUNCTIONS
from crmdrip.sandbox.salesforce.refusals import Refusal, gone
from crmdrip.sandbox.salesforce.rules import DERIVE, Flow, Lock, ValidationRule, Write, coming, merged
from crmdrip.sandbox.salesforce.schema import Field, SObject
from crmdrip.sandbox.salesforce.store import Row, Store, StoredRow
from crmdrip.sandbox.salesforce.values import accept, to_ms


class Records:
    """Row-level writes of one org, and the switches that make them fail."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self.store = store
        self.schema = store.schema
        self._clock = clock
        self.access = Access(store)
        self.calculations = Calculations()
        self.validation_rules: list[ValidationRule] = []
        self.flows: dict[str, list[Flow]] = {}
        """By object: what the org's automation changes of each row before it is saved."""
        self.duplicate_rules: set[str] = set()
        """Objects on which an API write to a record whose Email another record has is refused."""
        self.locks: dict[str, Lock] = {}
        self.storage_full = False
        self.read_only = False
        """Whether the instance is under maintenance: everything can be read and nothing written."""
        self.person_contacts: set[str] = set()
        """Contacts that are the person of a person account."""
        self.heavy_triggers: dict[str, int] = {}
        """By object, how many rows at once the org's triggers can take before they run into a governor limit."""
        self.task_queues: set[str] = set()
        """Queues that have Task among their supported objects."""
        self.approvals: set[str] = set()
        """Records that wait in an approval process: nobody but an administrator may change them."""
        self.email_tasks = False
        """Whether Enhanced Email puts a task beside every email. Orgs with Email-to-Case have it off."""
        self.lead_assignment: str | None = None
        """The owner an active assignment rule gives every lead that is written with assignment on."""

    def hidden(self, object_name: str, field_name: str) -> bool:
        """Whether field-level security hides the field from the API user at hand."""
        return self.access.hidden(object_name, field_name)

    # create

    def insert(self, spec: SObject, values: Mapping[str, Any], write: Write) -> str:
        """Create one record and return its id. Raises Refusal, and then nothing was done."""
        if not spec.createable:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type {spec.name} cannot be inserted")
        self._writable()
        junctions: Mapping[str, Any] = {}
        if spec.name == "EmailMessage":
            junctions = {name: value for name, value in values.items() if name in JUNCTIONS}
            values = {name: value for name, value in values.items() if name not in junctions}
        sight = self._sight(write)
        if sight is not None and spec.name in sight.uncreatable:
            raise _closed()
        columns = columns_to_create(spec, sight, tuple(values))
        changes = columns.read(values)
        if self.storage_full:
            raise Refusal("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded")
        self._default(spec, changes, write)
        _require(columns, changes)
        self._refer(spec, columns, changes, None)
        derive = DERIVE.get(spec.name)
        if derive is not None:
            derive(self.store, changes, None, write)
        self._automate(spec, changes, None)
        self.calculations.compute(spec, changes, None)
        self._check(spec, changes, None, None, write)
        self.calculations.check(spec, changes, None)
        if spec.activity and not changes.get("IsClosed") and changes.get("ActivityDate") is not None:
            # Only an open task with a date locks the records it hangs on ("Task locks" in architects' guides).
            self._unlocked(changes.get("WhoId"), changes.get("WhatId"), changes.get("AccountId"))
        record_id = self.add(spec, changes, write)
        self._relate(record_id, junctions, write)
        return record_id

    def add(self, spec: SObject, changes: Row, write: Write) -> str:
        """Store a new row without a question, let happen what follows from it, and return its id. Raises Refusal."""
        record_id = ids.mint(spec.prefix, self.store.next_number(spec.name))
        if spec.custom and "Name" in spec.fields and changes.get("Name") is None:
            changes["Name"] = record_id
        changes.update(
            Id=record_id,
            CreatedDate=write.stamp,
            CreatedById=write.actor.user_id,
            LastModifiedDate=write.stamp,
            LastModifiedById=write.actor.user_id,
            SystemModstamp=write.stamp,
        )
        self.store.insert(spec.name, changes)
        if spec.name == "PermissionSetAssignment":
            self.access.changed()
        self._roll_up(spec, record_id, write)
        if (consequence := CONSEQUENCES.get(spec.name)) is not None:
            consequence(self, changes, write)
        return record_id

    def _relate(self, email_id: str, junctions: Mapping[str, Any], write: Write) -> None:
        """The relations of a new email, from the lists of ids it was created with."""
        for name, related in junctions.items():
            for record_id in related or ():
                relation = {"EmailMessageId": email_id, "RelationId": record_id, "RelationType": JUNCTIONS[name]}
                self.insert(self.schema["EmailMessageRelation"], relation, write)

    # change

    def update(self, spec: SObject, record_id: object, values: Mapping[str, Any], write: Write) -> None:
        """Change one record. Raises Refusal, and then nothing was done."""
        full = ids.normalize(record_id)
        if full is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}", fields=("Id",))
        self._writable()
        sight = self._sight(write)
        if sight is not None and spec.name in sight.fixed:
            raise _closed()
        columns = columns_to_change(spec, sight, tuple(values))
        changes = columns.read(values)
        before = self.store.read(spec.name, full, columns.stored)
        if before is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if spec.deletable and before["IsDeleted"]:
            raise gone()
        if spec.name == "Lead" and before["IsConverted"]:
            raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        if sight is not None and full in self.person_contacts and "Account" in sight.fixed:
            raise _closed()
        if write.actor.through_api and full in self.approvals:
            # The text as forum threads quote it; an administrator's own edit passes ("Lock Record Action", help).
            raise Refusal("ENTITY_IS_LOCKED", "the entity is locked for editing")
        if self.locks:
            self._unlocked(full)
            if spec.activity:
                self._unlocked(before["WhoId"], before["WhatId"], before["AccountId"])
        if spec.name == "Lead":
            self._assign(changes, write)
        _require(columns, changes)
        self._refer(spec, columns, changes, before)
        derive = DERIVE.get(spec.name)
        if derive is not None:
            derive(self.store, changes, before, write)
        self._automate(spec, changes, before)
        self.calculations.compute(spec, changes, before)
        self._check(spec, changes, before, full, write)
        self.calculations.check(spec, changes, before)
        self.touch(spec, full, changes, write)

    def touch(self, spec: SObject, record_id: str, changes: Row, write: Write) -> None:
        """Save changes without a question, and move the stamps."""
        stamped = {
            **changes,
            "LastModifiedDate": write.stamp,
            "LastModifiedById": write.actor.user_id,
            "SystemModstamp": write.stamp,
        }
        self.store.update(spec.name, record_id, stamped)
        if spec.name == "PermissionSetAssignment":
            self.access.changed()
        self._roll_up(spec, record_id, write)

    def _roll_up(self, spec: SObject, record_id: str, write: Write) -> None:
        for each in self.calculations.roll_ups.get(spec.name, ()):
            master = self.store.value(spec.name, record_id, each.key)
            self.calculations.roll_up(self.store, spec, [master], write.stamp)

    def upsert(
        self, spec: SObject, key: Field, value: Any, values: Mapping[str, Any], write: Write
    ) -> tuple[str, bool]:
        """Create or change the record with that key; returns its id and whether it is new. Raises Refusal."""
        rest = {name: each for name, each in values.items() if name.lower() != key.name.lower()}
        if key.name == "Id":
            if value in (None, ""):
                return self.insert(spec, rest, write), True
            self.update(spec, value, rest, write)
            return str(ids.normalize(value)), False
        stored = accept(key, value)
        if stored is None:
            raise Refusal("MISSING_ARGUMENT", f"{key.name} not specified", fields=(key.name,))
        found = self.store.ids_where(spec.name, key.name, stored)
        if len(found) > 1:
            raise Refusal(
                "DUPLICATE_EXTERNAL_ID",
                f"duplicate external id specified: more than one record found for external id field: {found}",
                fields=(key.name,),
                status=300,
            )
        if found:
            self.update(spec, found[0], rest, write)
            return found[0], False
        return self.insert(spec, {**rest, key.name: value}, write), True

    def upsert_key(self, spec: SObject, name: str) -> Field:
        """The field records of the object can be upserted by. Raises Refusal."""
        key = spec.field(name)
        if key is None or not (key.external_id or key.id_lookup) or self.hidden(spec.name, key.name):
            raise Refusal(
                "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}", status=404
            )  # fmt: skip
        return key

    # steps

    def _sight(self, write: Write) -> Sight | None:
        """What the API user at hand sees; None for people at pages."""
        return self.access.sight() if write.actor.through_api else None

    def _automate(self, spec: SObject, changes: Row, before: StoredRow | None) -> None:
        """Let the flows of the object change the row: they run before validation rules ("Order of Execution")."""
        for flow in self.flows.get(spec.name, ()):
            made = flow(show_row(spec, merged(changes, before)))
            changes.update({name: accept(spec.fields[name], value) for name, value in made.items()})

    def _writable(self) -> None:
        """Raises Refusal while the instance is under maintenance (object reference, StatusCode).

        The text as an Apex DML exception quotes it (Salesforce Stack Exchange 194022); a request's own status is not
        recorded.
        """
        if self.read_only:
            text = "Updates can't be made during maintenance. Try again when maintenance is complete."
            raise Refusal("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", text, status=503)

    def _default(self, spec: SObject, changes: Row, write: Write) -> None:
        for each in spec.with_default:
            if changes.get(each.name) is None:
                changes[each.name] = accept(each, each.default)
        if "OwnerId" in spec.fields and changes.get("OwnerId") is None:
            changes["OwnerId"] = write.actor.user_id
        if spec.name == "Lead":
            self._assign(changes, write)

    def _assign(self, changes: Row, write: Write) -> None:
        if self.lead_assignment is not None and write.actor.auto_assign:
            changes["OwnerId"] = self.lead_assignment

    def _refer(self, spec: SObject, columns: Columns, changes: Row, before: StoredRow | None) -> None:
        """Every changed reference must point at a living record of a fitting object."""
        for each in columns.references:
            name = each.name
            value = changes.get(name)
            if value is None or (before is not None and before[name] == value):
                continue
            target = self.schema.of_id(value)
            if target is None or target.name not in each.reference_to:
                raise Refusal(
                    "FIELD_INTEGRITY_EXCEPTION",
                    f"{each.label}: id value of incorrect type: {value}",
                    fields=(name,),
                )
            if name == "OwnerId" and target.name == "User":
                self._may_own(spec, value)
                continue
            living = self.store.exists(target, value)
            if living is None:
                raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=(name,))
            if not living:
                raise Refusal("ENTITY_IS_DELETED", "entity is deleted", fields=(name,))
            if name == "OwnerId" and target.name == "Group" and spec.name == "Task" and value not in self.task_queues:
                # A queue owns what its Supported Objects name, tasks since Spring '20 (help, "Create Queues"). Code and
                # text are those that leads and cases are refused with, by forums; of tasks none is recorded.
                raise Refusal("INVALID_OPERATION", "Queue not associated with this SObject type")

    def _may_own(self, spec: SObject, user_id: str) -> None:
        """Raises Refusal for an owner who never was or who left, or whose licence owns nothing: Chatter, portal users.

        Object reference, StatusCode: OP_WITH_INVALID_USER_TYPE_EXCEPTION. Its text is not recorded for tasks.
        """
        user = self.store.read("User", user_id, ("IsActive", "UserType"))  # users are never deleted
        if user is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=("OwnerId",))
        if not user["IsActive"]:
            raise Refusal(
                "INACTIVE_OWNER_OR_USER",
                f"operation performed with inactive user [{user_id}] as owner of {spec.label.lower()}",
                fields=("OwnerId",),
            )
        if user["UserType"] not in (None, "Standard"):
            raise Refusal("OP_WITH_INVALID_USER_TYPE_EXCEPTION", "Operation not valid for this user type")

    def _check(
        self, spec: SObject, changes: Row, before: StoredRow | None, record_id: str | None, write: Write
    ) -> None:  # fmt: skip
        """The org's own rules: unique fields, duplicate rules, validation rules."""
        for each in spec.unique:
            if (value := changes.get(each.name)) is not None:
                self._unique(spec, each, value, record_id)
        if write.actor.through_api and spec.name in self.duplicate_rules and not write.actor.allow_duplicates:
            email = coming("Email", changes, before)
            if email is not None and set(self.store.ids_where(spec.name, "Email", email)) - {record_id}:
                raise Refusal("DUPLICATES_DETECTED", "Use one of these records?")
        rules = [rule for rule in self.validation_rules if rule.object == spec.name]
        shown = show_row(spec, merged(changes, before)) if rules else {}
        for rule in rules:
            if rule.predicate(shown):
                raise Refusal(
                    "FIELD_CUSTOM_VALIDATION_EXCEPTION",
                    rule.message,
                    fields=(rule.field,) if rule.field else (),
                )

    def _unique(self, spec: SObject, each: Field, value: Any, record_id: str | None) -> None:
        # A custom field of Activity is one field: tasks and events share its values.
        tables = ("Task", "Event") if spec.activity and each.custom else (spec.name,)
        for other in self.store.ids_among(tables, each.name, value):
            if other != record_id:
                raise Refusal(
                    "DUPLICATE_VALUE",
                    f"duplicate value found: {each.name} duplicates value on record with id: {other}",
                )

    def _unlocked(self, *record_ids: str | None) -> None:
        self.check_locks(each for each in record_ids if each is not None)

    def check_locks(self, record_ids: Iterable[str]) -> None:
        """Raises Refusal UNABLE_TO_LOCK_ROW when another transaction holds one of the rows."""
        if not self.locks:
            return
        for record_id in record_ids:
            lock = self.locks.get(record_id)
            if lock is None:
                continue
            if to_ms(self._clock()) >= lock.until or lock.writes == 0:
                del self.locks[record_id]
                continue
            if lock.writes is not None:
                lock.writes -= 1
            raise Refusal(
                "UNABLE_TO_LOCK_ROW",
                f"unable to obtain exclusive access to this record or 1 records: {record_id}",
            )


def _closed() -> Refusal:
    return Refusal("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", status=403)


def _require(columns: Columns, changes: Row) -> None:
    missing = [name for name in columns.never_empty if changes.get(name) is None]
    if missing:
        raise Refusal(
            "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", fields=tuple(missing)
        )
