"""What admins set in an org, and the weather it has: fields, rules, flows, locks, limits, maintenance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from crmdrip.sandbox.salesforce import ids
from crmdrip.sandbox.salesforce.access import Access
from crmdrip.sandbox.salesforce.queries import Queries
from crmdrip.sandbox.salesforce.records import Records
from crmdrip.sandbox.salesforce.rules import Flow, Lock, ValidationRule
from crmdrip.sandbox.salesforce.schema import Schema, parse_field
from crmdrip.sandbox.salesforce.store import Store
from crmdrip.sandbox.salesforce.values import to_ms

_FOREVER = 2**62


class Switches:
    """The switches of one org, which has these parts."""

    schema: Schema
    store: Store
    records: Records
    access: Access
    queries: Queries

    def add_field(self, object_name: str, field_name: str, text: str, values: Iterable[str] = ()) -> None:
        """Add a custom field, its text as in the schema's data files: "string 80" for a text of up to 80 characters."""
        each = parse_field(field_name, text, values)
        self.schema.with_field(object_name, each)
        self.store.add_columns(object_name, [each])

    def restrict_picklist(self, object_name: str, field_name: str, values: Iterable[str]) -> None:
        """Deactivate every other value of a picklist, and take no value that is not defined."""
        each = self.schema[object_name].fields[field_name]
        self.schema.with_field(object_name, replace(each, restricted=True, values=tuple(values)))

    def encrypt_field(self, object_name: str, field_name: str) -> None:
        """Encrypt a field in Shield's probabilistic scheme, the default: it is read and written, and never filtered by.

        Help, "How Deterministic Encryption Supports Filtering"; that a describe then says so, "Considerations for Using
        Deterministic Encryption".
        """
        each = self.schema[object_name].fields[field_name]
        self.schema.with_field(object_name, replace(each, filterable=False))

    def hide_field(self, object_name: str, field_name: str) -> None:
        """Hide a field from the API user: in describe, queries and writes it no longer exists."""
        self.access.hide((object_name, self.schema[object_name].fields[field_name].name))

    def show_field(self, object_name: str, field_name: str) -> None:
        """Grant the API user the field."""
        self.access.show((object_name, field_name))

    def add_validation_rule(
        self, object_name: str, predicate: Callable[[Mapping[str, Any]], bool], message: str, field_name: str = ""
    ) -> None:  # fmt: skip
        """Refuse rows for which the predicate holds. It sees every field of the row, as answers show them."""
        self.records.validation_rules.append(
            ValidationRule(object=object_name, predicate=predicate, message=message, field=field_name)
        )

    def add_flow(self, object_name: str, flow: Flow) -> None:
        """Run a flow on every row of the object before it is saved, whoever saves it."""
        self.records.flows.setdefault(object_name, []).append(flow)

    def lock_row(self, record_id: str, *, writes: int | None = None, until: datetime | None = None) -> None:
        """Refuse writes to a row with UNABLE_TO_LOCK_ROW: so many of them, or until a time, or for good."""
        limit = _FOREVER if until is None else to_ms(until)
        self.records.locks[ids.normalize(record_id) or record_id] = Lock(writes=writes, until=limit)

    def unlock_row(self, record_id: str) -> None:
        """Free a locked row."""
        self.records.locks.pop(ids.normalize(record_id) or record_id, None)

    def fill_storage(self) -> None:
        """Refuse every insert through storage that is full; changes still go through."""
        self.records.storage_full = True

    def free_storage(self) -> None:
        """Accept inserts again."""
        self.records.storage_full = False

    def add_heavy_trigger(self, object_name: str, most: int) -> None:
        """A trigger that asks a query for each row: of collections with more rows than so many, none is saved."""
        self.records.heavy_triggers[object_name] = most

    def grow_large(self, object_name: str) -> None:
        """Answer as with millions of rows: a query that no index narrows down ends in QUERY_TIMEOUT."""
        self.queries.scanned.add(object_name)

    def let_own_tasks(self, queue_id: str) -> None:
        """Add Task to a queue's supported objects."""
        self.records.task_queues.add(queue_id)

    def enable_person_accounts(self) -> None:
        """Let accounts be people: each has a contact of its own that cannot be told from others but by IsPersonAccount.

        Developer guide, "Person Account Record Types". That changing such a contact takes edit access to accounts is
        what its guides say of the pages; that the API refuses it as INSUFFICIENT_ACCESS_OR_READONLY is not recorded.
        """
        self.add_field("Contact", "IsPersonAccount", "boolean ro fixed")
        self.add_field("Account", "IsPersonAccount", "boolean ro fixed")
        self.add_field("Account", "PersonContactId", "reference ro fixed to=Contact rel=PersonContact")

    def begin_maintenance(self) -> None:
        """Read-only mode, as during a site switch: every write is refused, every read answered."""
        self.records.read_only = True

    def end_maintenance(self) -> None:
        """Accept writes again."""
        self.records.read_only = False

    def submit_for_approval(self, record_id: str) -> None:
        """Lock a record until its approval is decided: API users may not change it."""
        self.records.approvals.add(ids.normalize(record_id) or record_id)

    def decide_approval(self, record_id: str) -> None:
        """Approve or reject: the record can be changed again."""
        self.records.approvals.discard(ids.normalize(record_id) or record_id)

    def enable_enhanced_email(self) -> None:
        """Put a finished task on the timeline beside every email that is logged."""
        self.records.email_tasks = True

    def activate_duplicate_rule(self, object_name: str) -> None:
        """Refuse API writes to records that share their Email, unless the header allows them."""
        self.records.duplicate_rules.add(object_name)

    def activate_lead_assignment(self, owner_id: str) -> None:
        """Give every lead the API writes without "Sforce-Auto-Assign: FALSE" to this owner."""
        self.records.lead_assignment = owner_id
