"""Deleting, restoring, merging and converting records, with what the platform drags along."""

# ruff: noqa: S608 - table and column names come from the schema, values are always bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crmdrip.sandbox.salesforce import ids
from crmdrip.sandbox.salesforce.records import Records
from crmdrip.sandbox.salesforce.refusals import Refusal, gone
from crmdrip.sandbox.salesforce.rules import Write
from crmdrip.sandbox.salesforce.schema import SObject
from crmdrip.sandbox.salesforce.store import CASCADE
from crmdrip.sandbox.salesforce.values import from_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """What became of a converted lead."""

    lead_id: str
    contact_id: str
    account_id: str
    opportunity_id: str | None


class Lifecycle:
    """Operations on whole records of one org."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._store = records.store
        self._schema = records.schema

    def delete(self, record_id: object, write: Write) -> None:
        """Move a record and what hangs on it into the recycle bin. Raises Refusal."""
        spec, full = self._find(record_id)
        if not spec.deletable:
            raise Refusal("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", status=403)
        self._records.check_locks([full])
        self._bin(spec, full, full, write)

    def _bin(
        self, spec: SObject, record_id: str, root: str, write: Write, extra: Mapping[str, Any] | None = None
    ) -> None:
        # Deleting stamps the row, so that a delta read with queryAll sees it.
        self._records.touch(spec, record_id, {"IsDeleted": 1, CASCADE: root, **(extra or {})}, write)
        for child, key in self._schema.children(spec.name):
            if key.custom and not key.cascade:
                # deleteConstraint SetNull: a custom lookup is cleared, and the stamps of who pointed here stay.
                self._store.clear(child.name, key.name, record_id)
            if not key.cascade or not child.deletable:
                continue
            for child_id in self._store.ids_where(child.name, key.name, record_id):
                self._bin(child, child_id, root, write)

    def undelete(self, record_id: object, write: Write) -> None:
        """Bring a record back from the recycle bin with all that went along. Raises Refusal."""
        full = ids.normalize(record_id)
        spec = self._schema.of_id(full) if full is not None else None
        row = self._store.fetch(spec.name, full) if spec is not None and full is not None else None
        if spec is None or full is None or row is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if not row.get("IsDeleted"):
            raise Refusal("UNDELETE_FAILED", "Entity is not in the recycle bin")
        if row.get("MasterRecordId") is not None:
            raise Refusal("UNDELETE_FAILED", "a merged record cannot be undeleted")
        for each in self._schema:
            if not each.deletable:
                continue
            for other in self._store.ids_where(each.name, CASCADE, full, deleted=True):
                self._records.touch(each, other, {"IsDeleted": 0, CASCADE: None}, write)

    def merge(self, master_id: str, loser_ids: Sequence[str], write: Write) -> None:
        """Merge up to two losers into the master: they go to the bin with MasterRecordId, their children move over.

        The master's own empty fields stay empty. Raises Refusal.
        """
        spec, master = self._find(master_id)
        if not spec.mergeable:
            raise Refusal("INVALID_TYPE", f"{spec.name} cannot be merged")
        if not 1 <= len(loser_ids) <= 2:
            raise Refusal("LIMIT_EXCEEDED", "at most two records can be merged into another")
        for loser_id in loser_ids:
            other, loser = self._find(loser_id)
            if other is not spec or loser == master:
                raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            self._reparent(spec, loser, master, write)
            self._bin(spec, loser, loser, write, {"MasterRecordId": master})
        self._records.touch(spec, master, {}, write)

    def _reparent(self, spec: SObject, old: str, new: str, write: Write) -> None:
        for child, key in self._schema.children(spec.name):
            if key.name == "MasterRecordId" or key.name.startswith("Converted"):
                continue
            for child_id in self._store.ids_where(child.name, key.name, old):
                self._records.touch(child, child_id, {key.name: new}, write)

    def convert(
        self,
        lead_id: str,
        write: Write,
        *,
        field_map: Mapping[str, str],
        account_id: str | None,
        contact_id: str | None,
        opportunity_name: str | None,
    ) -> Conversion:
        """Convert a lead: into a new or a given account and contact, with an opportunity when it gets a name.

        field_map: contact fields by lead fields, for custom fields; unmapped ones are lost, as on the platform.
        Raises Refusal.
        """
        spec, lead = self._find(lead_id)
        row = self._store.fetch("Lead", lead) if spec.name == "Lead" else None
        if row is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if row["IsConverted"]:
            raise Refusal("CANNOT_UPDATE_CONVERTED_LEAD", "lead is already converted")
        owner = row["OwnerId"] if row["OwnerId"].startswith("005") else write.actor.user_id
        insert, schema = self._records.insert, self._schema
        if account_id is None:
            account_id = insert(schema["Account"], {"Name": row["Company"], "OwnerId": owner}, write)
        if contact_id is None:
            names = {"LastName": row["LastName"], "FirstName": row["FirstName"]}
            contact_id = insert(schema["Contact"], {"AccountId": account_id, "OwnerId": owner, **names}, write)
            # As stored, so that what was imported before a rule existed is carried over all the same.
            self._records.touch(schema["Contact"], contact_id, _carried(row, {**_CARRIED, **field_map}), write)
        else:
            self._records.touch(schema["Contact"], contact_id, _carried(row, field_map), write)
        opportunity_id = None
        if opportunity_name is not None:
            values = {
                "Name": opportunity_name,
                "AccountId": account_id,
                "StageName": "Prospecting",
                "CloseDate": from_ms(write.stamp).date().isoformat(),
                "OwnerId": owner,
                "ContactId": contact_id,
            }
            opportunity_id = insert(schema["Opportunity"], values, write)
        self._move_activities(lead, contact_id, opportunity_id, account_id, write)
        changes = {
            "IsConverted": 1,
            "ConvertedDate": from_ms(write.stamp).date().isoformat(),
            "ConvertedAccountId": account_id,
            "ConvertedContactId": contact_id,
            "ConvertedOpportunityId": opportunity_id,
            "Status": "Closed - Converted",
            "IsUnreadByOwner": 0,
        }
        self._records.touch(spec, lead, changes, write)
        return Conversion(
            lead_id=lead, contact_id=contact_id, account_id=account_id, opportunity_id=opportunity_id
        )  # fmt: skip

    def _move_activities(
        self, lead: str, contact: str, opportunity: str | None, account: str, write: Write
    ) -> None:  # fmt: skip
        for name in ("Task", "Event"):
            for activity in self._store.ids_where(name, "WhoId", lead):
                changes = {"WhoId": contact, "WhatId": opportunity, "AccountId": account}
                self._records.touch(self._schema[name], activity, changes, write)
        for name in ("EventRelation", "EmailMessageRelation"):
            for relation in self._store.ids_where(name, "RelationId", lead):
                self._records.touch(self._schema[name], relation, {"RelationId": contact}, write)

    def archive(self, before: str) -> int:
        """Archive events and closed tasks dated before the ISO date, as the platform does after a year.

        Returns how many. Stamps do not move.
        """
        count = 0
        for name, closed in (("Task", ' AND "IsClosed" = 1'), ("Event", "")):
            sql = (
                f'UPDATE "{name}" SET "IsArchived" = 1 WHERE "IsArchived" = 0 AND "IsDeleted" = 0{closed}'
                ' AND coalesce("ActivityDate", date("CreatedDate" / 1000, \'unixepoch\')) < ?'
            )
            count += self._store.db.execute(sql, (before,)).rowcount
        return count

    def _find(self, record_id: object) -> tuple[SObject, str]:
        full = ids.normalize(record_id)
        if full is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}", fields=("Id",))
        spec = self._schema.of_id(full)
        living = self._store.exists(spec, full) if spec is not None else None
        if spec is None or living is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if not living:
            raise gone()
        return spec, full


_CARRIED = {
    "Salutation": "Salutation", "Title": "Title", "Email": "Email",
    "Phone": "Phone", "MobilePhone": "MobilePhone", "Fax": "Fax", "LeadSource": "LeadSource",
    "Description": "Description", "Street": "MailingStreet", "City": "MailingCity", "State": "MailingState",
    "PostalCode": "MailingPostalCode", "Country": "MailingCountry", "HasOptedOutOfEmail": "HasOptedOutOfEmail",
    "DoNotCall": "DoNotCall",
}  # fmt: skip
"""Lead fields the platform itself carries to the contact."""


def _carried(row: Mapping[str, Any], field_map: Mapping[str, str]) -> dict[str, Any]:
    return {contact: row[lead] for lead, contact in field_map.items() if row[lead] is not None}
