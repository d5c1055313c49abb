"""Reading the org as a rep sees it: people by id and by address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crmdrip.sandbox.salesforce import SalesforceOrg

DRIP_FIELDS = (
    "Drip_Enrolled__c",
    "Drip_Sequence__c",
    "Drip_Paused_Until__c",
    "Drip_Approved__c",
    "Drip_Status__c",
    "Drip_Reason__c",
    "Drip_Step__c",
    "Drip_Next_Touch__c",
    "Drip_Last_Touch__c",
    "Drip_Run__c",
    "Drip_Out_Of_Office_Until__c",
    "Drip_Replied_At__c",
)
"""The package's fields on contacts and leads."""

STATUSES = ("Queued", "Active", "Held", "Paused", "Finished", "Stopped", "Refused")
"""What Drip_Status__c may say."""

_COMMON = (
    *("Id", "Name", "FirstName", "LastName", "Email", "Title", "Phone", "OwnerId", "Owner.Name", "LeadSource"),
    *("HasOptedOutOfEmail", "EmailBouncedReason", "IsDeleted", "MasterRecordId", "CreatedDate"),
    *DRIP_FIELDS,
    "Drip_Sequence__r.Name",
)
_CONTACT = ("AccountId", "Account.Name", "MailingCity", "MailingState", "MailingCountry")
_LEAD = ("Company", "City", "State", "Country", "Status", "IsConverted", "ConvertedContactId")
FIELDS = {"Contact": (*_COMMON, *_CONTACT), "Lead": (*_COMMON, *_LEAD)}
"""What is read of people."""


def quote(text: str) -> str:
    """Text as a SOQL string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def kind_of(record_id: str) -> str:
    """The object a person's record id belongs to. Raises LookupError for any other id."""
    for prefix, kind in (("003", "Contact"), ("00Q", "Lead")):
        if record_id.startswith(prefix) and record_id.isalnum():
            return kind
    raise LookupError(f"{record_id} is no contact and no lead")


def select(
    org: SalesforceOrg, object_name: str, fields: Sequence[str], rest: str = "", *, everything: bool = False
) -> list[dict[str, Any]]:
    """The rows of an object. rest: WHERE, ORDER BY and LIMIT; text in it is to be quoted.

    Of an org in which nothing is installed, the package's fields come as None, and nothing is found by them.
    """
    absent: list[str] = []
    if not is_installed(org):
        if f"{object_name} {rest}".count("Drip_"):
            return []
        absent = [name for name in fields if name.startswith("Drip_")]
        fields = [name for name in fields if not name.startswith("Drip_")]
    # Not SQL: a query of the in-process org, which only reads.
    soql = " ".join(("SELECT", ", ".join(fields), "FROM", object_name, rest))
    rows = org.select(soql.strip(), everything=everything)
    return [row | dict.fromkeys(absent) for row in rows] if absent else rows


def is_installed(org: SalesforceOrg) -> bool:
    """Whether the org has the package."""
    return "Drip_Sequence__c" in org.schema


def count(org: SalesforceOrg, object_name: str, rest: str = "") -> int:
    """How many rows select would find."""
    if not is_installed(org) and "Drip_" in f"{object_name} {rest}":
        return 0
    return org.count(f"SELECT COUNT() FROM {object_name} {rest}".strip())  # noqa: S608 - SOQL of the in-process org


def count_statuses(org: SalesforceOrg) -> dict[str, int]:
    """How many contacts and leads carry each status, those that nobody carries left out."""
    found = {
        status: sum(count(org, kind, f"WHERE Drip_Status__c = {quote(status)}") for kind in FIELDS)
        for status in STATUSES
    }
    return {status: number for status, number in found.items() if number}


def person(org: SalesforceOrg, record_id: str) -> dict[str, Any]:
    """A contact or lead by id, deleted ones too. Raises LookupError."""
    kind = kind_of(record_id)
    rows = select(org, kind, FIELDS[kind], f"WHERE Id = {quote(record_id)}", everything=True)
    if not rows:
        raise LookupError(f"there is no record {record_id}")
    return rows[0]


def people_at(org: SalesforceOrg, address: str) -> list[dict[str, Any]]:
    """Every living, unconverted contact and lead with the address, those with a ticked box first."""
    if not address:
        return []
    where = f"WHERE Email = {quote(address)}"
    found = [
        *select(org, "Contact", FIELDS["Contact"], where),
        *select(org, "Lead", FIELDS["Lead"], f"{where} AND IsConverted = false"),
    ]
    return sorted(found, key=lambda row: not row["Drip_Enrolled__c"])


def exists(org: SalesforceOrg, object_name: str, record_id: str, condition: str = "") -> bool:
    """Whether there is a living record with the id, for which the condition holds ("AND IsActive = true")."""
    return bool(select(org, object_name, ["Id"], f"WHERE Id = {quote(record_id)} {condition}"))
