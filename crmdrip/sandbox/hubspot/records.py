"""Writing single records: values checked, unique values kept, what follows from a write, merging and deleting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from crmdrip.sandbox.hubspot.associations import Associations, LinkType
from crmdrip.sandbox.hubspot.events import Event
from crmdrip.sandbox.hubspot.kinds import Kind, Kinds
from crmdrip.sandbox.hubspot.preferences import PROPERTY
from crmdrip.sandbox.hubspot.properties import Property, ValueProblem, accept, show_stamp
from crmdrip.sandbox.hubspot.refusals import (
    Problem,
    Refusal,
    already_exists,
    invalid_values,
    not_found,
    unset_properties,
)
from crmdrip.sandbox.hubspot.rules import Lock, Source, ValidationRule, Write, check, locked
from crmdrip.sandbox.hubspot.store import Properties, Record, Store, changed

MOST_MERGED = 250
"""Records that one record can be made of (docs: using object APIs, "merge records")."""

Link = tuple[str, list[LinkType]]
"""The id of the other record, and how it is associated."""


class Records:
    """Writes to one portal's records. `owners` are the ids of the users that may own records."""

    def __init__(self, store: Store, kinds: Kinds, associations: Associations) -> None:
        self.store = store
        self.kinds = kinds
        self.associations = associations
        self.owners: set[str] = set()
        self.rules: list[ValidationRule] = []
        self.locks: dict[str, Lock] = {}
        self.events: list[Event] = []
        """Not yet handed to anybody."""
        self.preferences_of: Callable[[str], Mapping[str, str]] = lambda _: {}
        """What a contact of an address shows of its communication preferences."""

    # values

    def accept(self, kind: Kind, given: Any, write: Write, record: Record | None = None) -> dict[str, str]:
        """The stored form of the properties given. Raises Refusal with every problem found."""
        if not isinstance(given, Mapping):
            raise Refusal("Some required fields were not set: [properties]")
        problems: list[Problem] = []
        accepted: dict[str, str] = {}
        for name, value in given.items():
            spec = kind.property(name)
            if spec is None:
                problems.append(
                    Problem(name=name, code="PROPERTY_DOESNT_EXIST", message=f'Property "{name}" does not exist')
                )
                continue
            if write.through_api and spec.read_only:
                text = f'"{name}" is a read only property; its value cannot be set.'
                problems.append(Problem(name=name, code="READ_ONLY_VALUE", message=text))
                continue
            try:
                accepted[name] = self._accept_one(kind, spec, value, record)
            except ValueProblem as found:
                problems.append(found.problem)
        if problems:
            raise invalid_values(problems)
        return accepted

    def _accept_one(self, kind: Kind, spec: Property, value: Any, record: Record | None) -> str:
        text = accept(spec, value)
        if spec.name == "hubspot_owner_id" and text and text not in self.owners:
            raise ValueProblem(
                Problem(name=spec.name, code="INVALID_OWNER_ID", message=f"Owner {text} does not exist.")
            )  # fmt: skip
        if spec.field_type == "checkbox" and text.startswith(";"):
            before = record.get(spec.name).split(";") if record is not None and record.get(spec.name) else []
            text = ";".join(dict.fromkeys([*before, *text.lstrip(";").split(";")]))
        if spec.unique and text:
            holder = self.store.owner_of(kind.name, spec.name, text)
            if holder is not None and (record is None or holder != record.id):
                if spec.name == "email":
                    raise already_exists(kind.singular, holder)
                raise ValueProblem(
                    Problem(
                        name=spec.name,
                        code="CONFLICTING_UNIQUE_VALUE",
                        message=f"Cannot set {spec.name} to {text}. {holder} already has that value.",
                    )
                )
        return text

    # writing

    def create(self, kind: Kind, given: Any, links: Iterable[Link], write: Write) -> Record:
        """Create one record with its associations. Raises Refusal."""
        values = {name: text for name, text in self.accept(kind, given, write).items() if text}
        if missing := [name for name in kind.required if name not in values]:
            raise unset_properties(kind.singular, missing)
        if write.rules:
            check(self.rules, kind.name, values, creating=True)
        record_id = self.store.next_id()
        stamp = show_stamp(write.stamp)
        values |= self._consequences(kind, values, {}, stamp)
        values |= {
            "hs_object_id": record_id,
            kind.created: stamp,
            kind.modified: stamp,
            "hs_object_source": write.source.value,
            "hs_object_source_id": write.source_id,
        }
        record = Record(
            id=record_id, kind=kind.name, properties={}, created=write.stamp, updated=write.stamp
        )  # fmt: skip
        record = changed(record, values, at=write.stamp, source=write.source.value, source_id=write.source_id)
        self._claim(kind, {}, values, record_id)
        self.store.put(record)
        self._tell(kind, record_id, "creation", write)
        for other, types in links:
            self.associate(kind, record_id, other, types, write)
        return self.store.tables[kind.name][record_id]

    def update(self, kind: Kind, record_id: str, given: Any, write: Write) -> Record:
        """Change one record. Raises Refusal; 404 for one there is not."""
        record = self.store.find(kind.name, record_id)
        if record is None:
            raise not_found()
        self._check_lock(record_id)
        values = self.accept(kind, given, write, record)
        return self._apply(kind, record, values, write)

    def touch(self, kind: Kind, record: Record, values: Properties, write: Write) -> Record:
        """Set values as the portal itself does: no rule is asked."""
        return self._apply(kind, record, values, replace(write, rules=False))

    def _apply(self, kind: Kind, record: Record, values: Properties, write: Write) -> Record:
        changes = {name: text for name, text in values.items() if record.get(name) != text}
        if write.rules:
            check(self.rules, kind.name, {**record.properties, **values}, creating=False)
        if not changes:
            return record
        stamp = show_stamp(write.stamp)
        changes |= self._consequences(kind, changes, record.properties, stamp)
        self._claim(kind, record.properties, changes, record.id)
        after = changed(
            record,
            {**changes, kind.modified: stamp},
            at=write.stamp,
            source=write.source.value,
            source_id=write.source_id,
        )
        self.store.put(after)
        for name, text in changes.items():
            self._tell(kind, record.id, "propertyChange", write, name=name, value=text)
        return after

    def _claim(self, kind: Kind, before: Properties, changes: Properties, record_id: str) -> None:
        for name, text in changes.items():
            spec = kind.properties.get(name)
            if spec is None or not spec.unique:
                continue
            if before.get(name):
                self.store.release(kind.name, name, before[name], record_id)
            if text:
                self.store.claim(kind.name, name, text, record_id)

    def _check_lock(self, record_id: str) -> None:
        lock = self.locks.get(record_id)
        if lock is None:
            return
        if lock.writes is not None:
            if not lock.writes:
                del self.locks[record_id]
                return
            lock.writes -= 1
        raise locked()

    def _consequences(self, kind: Kind, changes: Properties, before: Properties, stamp: str) -> dict[str, str]:
        """Values the portal sets itself because of others."""
        result: dict[str, str] = {}
        if changes.get("hubspot_owner_id"):
            result["hubspot_owner_assigneddate"] = stamp
        if kind.name == "contacts" and "email" in changes:
            address = changes["email"]
            result["hs_email_domain"] = address.rpartition("@")[2]
            if address:
                result |= {name: text for name, text in self.preferences_of(address).items() if text}
        if kind.name == "emails" and changes.get("hs_email_headers"):
            result |= _people_of(json.loads(changes["hs_email_headers"]))
        if kind.name == "emails" and (text := changes.get("hs_email_text")):
            result["hs_body_preview"] = text[:400]
        if kind.name == "tasks" and changes.get("hs_task_status") == "COMPLETED":
            result["hs_task_completion_date"] = stamp
        if kind.name == "deals" and (stage := changes.get("dealstage")):
            result["hs_is_closed"] = str(stage.startswith("closed")).lower()
            result["hs_is_closed_won"] = str(stage == "closedwon").lower()
        return {name: text for name, text in result.items() if before.get(name, "") != text}

    # associations

    def associate(self, kind: Kind, record_id: str, other: str, types: list[LinkType], write: Write) -> None:
        """Associate two records. What is on a timeline stamps the other record. Raises Refusal."""
        if not self.associations.set(record_id, other, types):
            return
        link = types[0]
        target = self.kinds[link.target]
        self._tell(
            kind,
            record_id,
            "associationChange",
            write,
            more={"fromObjectId": int(record_id), "toObjectId": int(other), "associationRemoved": False},
        )
        if kind.activity:
            self._log(kind, record_id, target, other, write)
        elif target.activity:
            self._log(target, other, kind, record_id, write)
        self._note_company(kind, record_id, link, other, write)

    def _log(self, activity: Kind, activity_id: str, kind: Kind, record_id: str, write: Write) -> None:
        """An activity stamps what it is logged on, whoever logged it, so that it comes back in every delta read."""
        record = self.store.tables[kind.name][record_id]
        done = self.store.tables[activity.name][activity_id]
        values = {
            "notes_last_updated": show_stamp(write.stamp),
            "num_notes": str(int(record.get("num_notes") or 0) + 1),
        }
        when = done.get("hs_timestamp") or show_stamp(write.stamp)
        if activity.name == "emails" and done.get("hs_email_direction") == "EMAIL":
            values |= {
                "notes_last_contacted": when,
                "hs_last_sales_activity_timestamp": when,
                "num_contacted_notes": str(int(record.get("num_contacted_notes") or 0) + 1),
            }
        elif (
            activity.name == "emails"
            and write.source is Source.MAILBOX
            and done.get("hs_incoming_email_is_out_of_office") != "true"
        ):
            # A reply that an integration logs sets no date of reply: only mail through a connected mailbox does.
            values["hs_sales_email_last_replied"] = when
        elif activity.name == "meetings":
            values |= {"hs_latest_meeting_activity": when, "engagements_last_meeting_booked": when}
        known = {name: text for name, text in values.items() if kind.property(name) is not None}
        if known:
            self.touch(kind, record, known, replace(write, source=Source.ACTIVITY))

    def _note_company(self, kind: Kind, record_id: str, link: LinkType, other: str, write: Write) -> None:
        pair = {kind.name: record_id, link.target: other}
        if pair.keys() != {"contacts", "companies"}:
            return
        record = self.store.tables["contacts"][pair["contacts"]]
        if not record.get("associatedcompanyid") or link.label:
            self.touch(self.kinds["contacts"], record, {"associatedcompanyid": pair["companies"]}, write)

    # whole records

    def archive(self, kind: Kind, record_id: str, write: Write) -> bool:
        """Delete a record; whether it was there. What is not there is no error."""
        record = self.store.find(kind.name, record_id)
        if record is None:
            return False
        self._check_lock(record_id)
        self._release(kind, record)
        self.store.put(replace(record, archived=write.stamp, updated=write.stamp))
        self._tell(kind, record_id, "deletion", write)
        return True

    def restore(self, kind: Kind, record_id: str, write: Write) -> Record:
        """Bring a deleted record back. Raises Refusal when its address or key is somebody else's by now."""
        record = self.store.tables[kind.name].get(record_id)
        if record is None or record.archived is None or kind.permanent:
            raise not_found()
        self.accept(kind, {n: t for n, t in record.properties.items() if kind.properties[n].unique}, Write(stamp=0))
        self._claim(kind, {}, record.properties, record_id)
        stamp = show_stamp(write.stamp)
        after = replace(
            record,
            archived=None,
            updated=write.stamp,
            properties={**record.properties, kind.modified: stamp},
        )
        self.store.put(after)
        self._tell(kind, record_id, "restore", write)
        return after

    def purge(self, kind: Kind, record_id: str, write: Write) -> None:
        """Delete a contact and all that is known about it, for good. Raises Refusal."""
        record = self.store.tables[kind.name].get(record_id)
        if record is None:
            raise not_found()
        self._release(kind, record)
        for other in self.store.kinds_linked(kind.name, record_id):
            for other_id in list(self.store.links[(kind.name, record_id)][other]):
                self.associations.take(kind.name, record_id, other, other_id)
        self.store.drop(record)
        self._tell(kind, record_id, "privacyDeletion", write)

    def merge(self, kind: Kind, primary_id: str, other_id: str, write: Write) -> Record:
        """Merge two records into a third, as since 2025-01-14: both old ids lead to it from then on. Raises Refusal."""
        if not kind.mergeable:
            raise Refusal(f"{kind.plural_label} cannot be merged")
        primary = self.store.find(kind.name, self.store.resolve(kind.name, primary_id))
        other = self.store.find(kind.name, self.store.resolve(kind.name, other_id))
        if primary is None or other is None:
            raise not_found()
        if primary.id == other.id:
            raise Refusal("Can't merge a record with itself")
        merged = list(dict.fromkeys([*_listed(primary), primary.id, *_listed(other), other.id]))
        if len(merged) > MOST_MERGED:
            raise Refusal(f"A record can be made of at most {MOST_MERGED} records", status=414)
        new_id = self.store.next_id()
        stamp = show_stamp(write.stamp)
        own = {kind.created, kind.modified, "hs_object_id", "hs_merged_object_ids", "hs_additional_emails"}
        values = {n: t for n, t in {**other.properties, **_set(primary)}.items() if n not in own and t}
        refused = {name for old in (primary, other) for name, text in old.properties.items() if text == "true"}
        values |= {name: "true" for name in refused if name.startswith(PROPERTY)}
        values |= {
            "hs_object_id": new_id,
            "hs_merged_object_ids": ";".join(merged),
            kind.created: min(primary.get(kind.created), other.get(kind.created)),
            kind.modified: stamp,
        }
        if kind.name == "contacts":
            addresses = [*_also(primary), other.get("email"), *_also(other)]
            further = [each for each in dict.fromkeys(addresses) if each and each != values.get("email")]
            values["hs_additional_emails"] = ";".join(further)
            values["hs_calculated_merged_vids"] = ";".join(f"{each}:{write.stamp}" for each in merged)
        record = Record(
            id=new_id, kind=kind.name, properties={}, created=write.stamp, updated=write.stamp
        )  # fmt: skip
        record = changed(record, values, at=write.stamp, source=Source.MERGE.value, source_id=write.source_id)
        for old in (primary, other):
            self._release(kind, old)
            self.store.put(replace(old, archived=write.stamp, updated=write.stamp))
            self.store.mark_merged(kind.name, old.id, new_id)
        self.store.put(record)
        self._claim(kind, {}, values, new_id)
        for address in _also(record):
            self.store.claim(kind.name, "email", address, new_id)
        for old in (primary, other):
            self.associations.move(kind.name, old.id, new_id)
        more = {
            "primaryObjectId": int(primary.id),
            "mergedObjectIds": [int(primary.id), int(other.id)],
            "newObjectId": int(new_id),
            "numberOfPropertiesMoved": len(values),
        }
        self._tell(kind, new_id, "merge", write, more=more)
        return record

    def _release(self, kind: Kind, record: Record) -> None:
        for name, text in record.properties.items():
            if text and name in kind.properties and kind.properties[name].unique:
                self.store.release(kind.name, name, text, record.id)
        for address in _also(record):
            self.store.release(kind.name, "email", address, record.id)

    def _tell(
        self,
        kind: Kind,
        record_id: str,
        happened: str,
        write: Write,
        *,
        name: str = "",
        value: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        event = Event(
            at=write.stamp,
            kind=kind.singular,
            kind_id=kind.id,
            happened=happened,
            record_id=record_id,
            source=write.source.value,
            source_id=write.source_id,
            name=name,
            value=value,
            more=more or {},
        )
        self.events.append(event)
        self.store.on_undo(self.events.pop)


def _set(record: Record) -> dict[str, str]:
    return {name: text for name, text in record.properties.items() if text}


def _listed(record: Record) -> list[str]:
    return [each for each in record.get("hs_merged_object_ids").split(";") if each]


def _also(record: Record) -> list[str]:
    """Further addresses of a contact: unique identifiers like its email."""
    return [each for each in record.get("hs_additional_emails").split(";") if each]


def _people_of(headers: Mapping[str, Any]) -> dict[str, str]:
    """What hs_email_headers fills in."""
    result: dict[str, str] = {}
    receivers = headers.get("to") or []
    for side, person in (("from", headers.get("from")), ("to", receivers[0] if receivers else None)):
        if not isinstance(person, Mapping):
            continue
        for member, name in (("email", "email"), ("firstName", "firstname"), ("lastName", "lastname")):
            if isinstance(person.get(member), str):
                result[f"hs_email_{side}_{name}"] = person[member]
    if all(isinstance(each, Mapping) for each in receivers):
        addresses = [each["email"] for each in receivers if isinstance(each.get("email"), str)]
        if addresses:
            result["hs_email_to_email"] = ";".join(addresses)
    return result
