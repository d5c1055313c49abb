"""The portal: its state, its rules and its switches, for the API and for whoever plays the people in it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from crmdrip.sandbox.faults import Faults
from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.hubspot.associations import Associations, LinkType
from crmdrip.sandbox.hubspot.auth import Tokens
from crmdrip.sandbox.hubspot.batches import Batches
from crmdrip.sandbox.hubspot.definitions_api import DefinitionsApi
from crmdrip.sandbox.hubspot.kinds import Group, Kind, Kinds
from crmdrip.sandbox.hubspot.limits import Limits, Meter, Tier
from crmdrip.sandbox.hubspot.lists import Condition, Lists, PortalList, Processing
from crmdrip.sandbox.hubspot.owners import Owner
from crmdrip.sandbox.hubspot.preferences import Preference, Preferences, Status
from crmdrip.sandbox.hubspot.properties import show_stamp, to_ms
from crmdrip.sandbox.hubspot.records import Records
from crmdrip.sandbox.hubspot.refusals import Refusal, not_found
from crmdrip.sandbox.hubspot.rest import RestApi
from crmdrip.sandbox.hubspot.rules import Lock, Source, ValidationRule, Write
from crmdrip.sandbox.hubspot.schemas_api import SchemasApi
from crmdrip.sandbox.hubspot.store import Properties, Record, Store
from crmdrip.sandbox.hubspot.webhooks import Webhooks

DEFAULT_TOKEN = "sandbox-service-key"
DEFAULT_CLIENT_ID = "sandbox-client-id"
DEFAULT_CLIENT_SECRET = "sandbox-client-secret"


class HubSpotPortal:
    """One portal. `handle` answers HTTP requests; everything else is what people and admins do inside it.

    Not thread-safe: use it from the thread that serves it (ServerThread.call).
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        portal_id: int = 4_242_424,
        account_type: str = "STANDARD",
        zone: str = "America/New_York",
        tier: Tier = Tier.PROFESSIONAL,
        limits: Limits | None = None,
        index_lag: timedelta = timedelta(seconds=8),
        tick: Callable[[], float] = time.monotonic,
        seed: int = 0,
    ) -> None:
        """Open a portal with an admin, a service key and an OAuth app.

        clock gives aware datetimes; stamps, the search index and the daily limit follow it, the shorter limits follow
        tick (seconds). limits None takes the tier's. Change `meter.limits` to None to switch them off.
        """
        self.clock = clock
        self.portal_id = portal_id
        self.account_type = account_type
        self.zone = ZoneInfo(zone)
        self.tier = tier
        self.admin_user_id = 7_000_001
        self.kinds = Kinds(portal_id)
        self.store = Store(lag=index_lag // timedelta(milliseconds=1))
        self.associations = Associations(self.store, {each.name: each.singular for each in self.kinds})
        self.records = Records(self.store, self.kinds, self.associations)
        self.batches = Batches(self.records, seed)
        self.lists = Lists(self.store)
        self.preferences = Preferences(self._preferences_changed)
        self.records.preferences_of = self.preferences.shown
        self.owners: list[Owner] = []
        self.tokens = Tokens(clock, portal_id, seed)
        self.tokens.issue(DEFAULT_TOKEN)
        self.tokens.register_app(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)
        self.meter = Meter(limits or tier.value, clock, tick, self.zone)
        self.webhooks = Webhooks(clock, portal_id, seed)
        self.faults = Faults(seed)
        self.calls_by_kind: Counter[str] = Counter()
        """Answered API calls by kind: record, batch, search, associations, properties, schemas, lists, ..."""
        self.definitions = DefinitionsApi(self)
        self.schemas = SchemasApi(self)
        self._rest = RestApi(self, self.definitions, self.schemas, seed)

    # serving

    def handle(self, request: Request) -> Response:
        """Answer one HTTP request: the handler for crmdrip.sandbox.http.Server."""
        return self._rest.answer(request)

    def advance(self, now: datetime) -> None:
        """Let the webhooks go out that are due by now."""
        self.webhooks.take(self.records.events)
        self.webhooks.advance(now)

    @property
    def api_calls(self) -> int:
        """How many API calls were answered since the portal was opened; token requests do not count."""
        return sum(self.calls_by_kind.values())

    def now_ms(self) -> int:
        """The time in milliseconds since 1970. Writes of one moment share it."""
        return to_ms(self.clock())

    # people

    def create(self, kind: str, values: Mapping[str, Any], **links: str) -> str:
        """Create one record as a person and return its id; links are ids by the kind to associate with.

        Raises Refusal.
        """
        return self._create(kind, values, links, Source.PERSON)

    def _create(self, kind: str, values: Mapping[str, Any], links: Mapping[str, str], source: Source) -> str:
        spec = self.kinds.find(kind)
        found = [
            (record_id, [self.associations.default(spec, self.kinds.find(other))])
            for other, record_id in links.items()
        ]  # fmt: skip
        with self.store.savepoint():
            return self.records.create(spec, values, found, self._write(source)).id

    def update(self, kind: str, record_id: str, values: Mapping[str, Any]) -> None:
        """Change one record as a person. Raises Refusal."""
        spec = self.kinds.find(kind)
        with self.store.savepoint():
            self.records.update(spec, self.store.resolve(spec.name, record_id), values, self._write())

    def associate(self, kind: str, record_id: str, other: str, other_id: str) -> None:
        """Associate two records as a person. Raises Refusal."""
        spec, target = self.kinds.find(kind), self.kinds.find(other)
        types: list[LinkType] = [self.associations.default(spec, target)]
        with self.store.savepoint():
            self.records.associate(spec, record_id, other_id, types, self._write())

    def archive(self, kind: str, record_id: str) -> None:
        """Delete a record. Raises Refusal when there is none."""
        with self.store.savepoint():
            if not self.records.archive(self.kinds.find(kind), record_id, self._write()):
                raise not_found()

    def restore(self, kind: str, record_id: str) -> None:
        """Bring a deleted record back. Raises Refusal."""
        with self.store.savepoint():
            self.records.restore(self.kinds.find(kind), record_id, self._write())

    def merge(self, kind: str, primary_id: str, other_id: str) -> str:
        """Merge two records and return the id of the third that they become. Raises Refusal."""
        with self.store.savepoint():
            return self.records.merge(self.kinds.find(kind), primary_id, other_id, self._write()).id

    def purge(self, contact_id: str) -> None:
        """Delete a contact for good, as privacy law wants it. Raises Refusal."""
        with self.store.savepoint():
            self.records.purge(self.kinds["contacts"], contact_id, self._write())

    def get(self, kind: str, record_id: str) -> Record:
        """A record as it is, deleted or not; an old id of a merged one leads to the new. Raises Refusal."""
        spec = self.kinds.find(kind)
        found = self.store.tables[spec.name].get(self.store.resolve(spec.name, record_id))
        if found is None:
            raise not_found()
        return found

    def all(self, kind: str) -> list[Record]:
        """Every living record of a kind, by id."""
        name = self.kinds.find(kind).name
        return [each for each in self.store.tables[name].values() if each.archived is None]

    def linked(self, kind: str, record_id: str, other: str) -> list[Record]:
        """The living records of another kind that one is associated with."""
        name = self.kinds.find(other).name
        found = self.store.linked(self.kinds.find(kind).name, record_id, name)
        return [self.store.tables[name][each] for each in found]

    def log_email(self, contact_ids: Iterable[str], values: Mapping[str, Any]) -> str:
        """The connected mailbox of a rep logs a mail on the timelines of contacts; the email's id. Raises Refusal."""
        ids = list(contact_ids)
        shown = {"hs_timestamp": self.now_ms(), "hs_email_status": "SENT", **values}
        spec, contacts = self.kinds["emails"], self.kinds["contacts"]
        link = self.associations.default(spec, contacts)
        with self.store.savepoint():
            write = self._write(Source.MAILBOX)
            return self.records.create(spec, shown, [(each, [link]) for each in ids], write).id

    def enroll_in_sequence(self, contact_id: str, sequence_id: int) -> None:
        """A rep puts the contact into one of HubSpot's own sequences."""
        record = self.get("contacts", contact_id)
        values = {
            "hs_sequences_is_enrolled": "true",
            "hs_sequences_actively_enrolled_count": "1",
            "hs_sequences_enrolled_count": str(int(record.get("hs_sequences_enrolled_count") or 0) + 1),
            "hs_latest_sequence_enrolled": str(sequence_id),
            "hs_latest_sequence_enrolled_date": show_stamp(self.now_ms()),
        }
        self._set(record, values, Source.SEQUENCE)

    def leave_sequence(self, contact_id: str) -> None:
        """The contact is through with HubSpot's own sequence."""
        values = {"hs_sequences_is_enrolled": "false", "hs_sequences_actively_enrolled_count": "0"}
        self._set(self.get("contacts", contact_id), values, Source.SEQUENCE)

    def opt_out(self, address: str) -> None:
        """The person unsubscribes from all email of the portal."""
        said = Preference(status=Status.UNSUBSCRIBED, at=self.now_ms(), source="Email unsubscribe page")
        self.preferences.opt_out(address, said)

    def unsubscribe(self, address: str, subscription_id: int) -> None:
        """The person unsubscribes from one type of email."""
        said = Preference(status=Status.UNSUBSCRIBED, at=self.now_ms(), source="Email preferences page")
        self.preferences.set(address, subscription_id, said)

    def _preferences_changed(self, address: str) -> None:
        found = self.store.owner_of("contacts", "email", address)
        record = self.store.find("contacts", found) if found is not None else None
        if record is not None and record.get("email") == address.lower():
            self._set(record, self.preferences.shown(address), Source.PREFERENCES)

    def _set(self, record: Record, values: Properties, source: Source) -> None:
        with self.store.savepoint():
            self.records.touch(self.kinds[record.kind], record, values, self._write(source))

    def _write(self, source: Source = Source.PERSON) -> Write:
        return Write(stamp=self.now_ms(), source=source, source_id=f"userId:{self.admin_user_id}")

    # admins

    def add_owner(
        self, email: str, first: str, last: str, *, title: str = "", phone: str = "", zone: str = "UTC"
    ) -> str:  # fmt: skip
        """Give somebody a seat; the owner id."""
        number = len(self.owners) + 1
        owner = Owner(
            id=str(50_000_000 + number),
            user_id=60_000_000 + number,
            email=email,
            first=first,
            last=last,
            created=self.now_ms(),
            title=title,
            phone=phone,
            zone=zone,
        )
        self.owners.append(owner)
        self.records.owners.add(owner.id)
        return owner.id

    def owner(self, owner_id: str) -> Owner | None:
        """One owner, active or not."""
        return next((each for each in self.owners if each.id == owner_id), None)

    def deactivate_owner(self, owner_id: str) -> None:
        """Take a seat away. Records keep the owner id, and no other can be given it. Raises LookupError."""
        for number, each in enumerate(self.owners):
            if each.id == owner_id:
                self.owners[number] = replace(each, active=False)
                self.records.owners.discard(owner_id)
                return
        raise LookupError(f"there is no owner {owner_id}")

    def add_group(self, kind: str, name: str, label: str) -> None:
        """Add a group of properties."""
        self.kinds.find(kind).groups[name] = Group(name=name, label=label)

    def add_property(self, kind: str, **body: Any) -> None:
        """Define a property with the members the API takes. Raises Refusal."""
        self.definitions.define(self.kinds.find(kind), body, self.now_ms())

    def archive_property(self, kind: str, name: str) -> None:
        """Archive a property: from then on it is asked for and written in vain. Raises KeyError."""
        properties = self.kinds.find(kind).properties
        properties[name] = replace(properties[name], archived=True)

    def restore_property(self, kind: str, name: str) -> None:
        """Bring an archived property back. Raises KeyError."""
        properties = self.kinds.find(kind).properties
        properties[name] = replace(properties[name], archived=False)

    def remove_option(self, kind: str, name: str, value: str) -> None:
        """Take an option from an enumeration. Raises KeyError."""
        properties = self.kinds.find(kind).properties
        left = tuple(each for each in properties[name].options if each.value != value)
        properties[name] = replace(properties[name], options=left)

    def define_object(self, body: Mapping[str, Any]) -> Kind:
        """Define a custom object with the members the API takes. Raises Refusal."""
        if not self.tier.has_custom_objects:
            raise Refusal("Only Enterprise accounts have custom objects", status=403)
        return self.schemas.define(body, self.now_ms())

    def create_list(
        self,
        name: str,
        *,
        kind: str = "contacts",
        processing: Processing = Processing.MANUAL,
        condition: Condition | None = None,
    ) -> PortalList:
        """Create a list; a condition on a record's properties says who is on one that is not manual. Raises Refusal."""
        return self.lists.create(name, self.kinds.find(kind), processing, self.now_ms(), condition)

    def join_list(self, found: PortalList, record_id: str) -> None:
        """Put a record on a list that is not dynamic. Raises Refusal."""
        self.lists.change(found, [record_id], [], self.now_ms())

    def leave_list(self, found: PortalList, record_id: str) -> None:
        """Take a record off a list that is not dynamic. Raises Refusal."""
        self.lists.change(found, [], [record_id], self.now_ms())

    def add_validation_rule(
        self, kind: str, name: str, holds: Callable[[Properties], bool], message: str, *, on_create_only: bool = False
    ) -> None:
        """Ask something of records of a kind. The API enforces it since version 2026-09."""
        spec = self.kinds.find(kind)
        self.records.rules.append(
            ValidationRule(kind=spec.name, name=name, holds=holds, message=message, on_create_only=on_create_only)
        )

    def require(self, kind: str, name: str) -> None:
        """Make a property required in the create form."""
        text = f"{name} is required"
        self.add_validation_rule(kind, name, lambda values: bool(values.get(name)), text, on_create_only=True)

    def lock(self, record_id: str, *, writes: int | None = None) -> None:
        """Refuse writes to a record with 423: so many of them, or until it is unlocked."""
        self.records.locks[record_id] = Lock(writes=writes)

    def unlock(self, record_id: str) -> None:
        """Free a locked record."""
        self.records.locks.pop(record_id, None)
