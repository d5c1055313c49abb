"""What source, sink and checks of one portal share: its client, mapping and identity, and what is remembered of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.hubspot.client import BATCH, HubSpotClient, chunks, segment
from connectors.hubspot.definitions import Definitions, SequenceFolder
from connectors.hubspot.objects import SequenceObjects
from connectors.hubspot.records import ContactReader
from connectors.hubspot.values import Properties
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.model import OnElsewhere, Owner
from crmdrip.ports import CrmIdentity, CrmMapping, Purpose

RIGHT_PORTAL = "Correct the key, or portal_id if this portal is meant."

_LIFE = timedelta(minutes=10)
"""How long owners and the names of properties are remembered."""
_OWNERS_PER_PAGE = 500
LINKS_PER_CALL = 1_000
"""Inputs of an association batch read (docs: associate records)."""


class Portal:
    """One portal. For several threads: what is remembered is replaced whole."""

    def __init__(self, client: HubSpotClient, mapping: CrmMapping) -> None:
        self.client = client
        self.mapping = mapping
        settings = client.settings
        self.contacts = ContactReader(
            mapping,
            subscription_type=settings.subscription_type,
            on_own_sequence=None if settings.on_own_sequence == "ignore" else OnElsewhere(settings.on_own_sequence),
        )
        folder = settings.sequences
        self.definitions: Definitions = (
            SequenceObjects(self)
            if folder is None
            else SequenceFolder(folder, settings.progress or folder / "progress", mapping)
        )
        self.control_id: str | None = None
        """Of the contact that carries the brake, once it was seen."""
        self._identity: CrmIdentity | None = None
        self._owners: tuple[datetime, dict[str, Owner]] | None = None
        self._names: dict[str, tuple[datetime, frozenset[str]]] = {}
        self._lock = threading.Lock()

    # the account

    def identity(self) -> CrmIdentity:
        """Which portal answers; one call in a process. Raises what the client raises, and for a wrong portal (B25)."""
        if self._identity is None:
            self._identity = self.read_identity()
        return self._identity

    def read_identity(self) -> CrmIdentity:
        """As identity, asked anew."""
        found = self.ask_identity()
        if (what := wrong_portal(found, self.client.settings.portal_id)) is not None:
            raise ConfigurationError(f"{what} Nothing is sent or written.", where="HubSpot", do_next=RIGHT_PORTAL)
        return found

    def ask_identity(self) -> CrmIdentity:
        """Whichever portal answers."""
        details = self.client.get("account", "details", Purpose.PULL).body
        portal_id = str(details["portalId"])
        return CrmIdentity(
            org_id=portal_id,
            name=f"HubSpot portal {portal_id}",
            sandbox=details.get("accountType") in ("SANDBOX", "DEVELOPER_TEST"),
        )

    # records by id

    def read_contacts(
        self, ids: Sequence[str], names: Sequence[str], purpose: Purpose, *, key: str = "", archived: bool = False
    ) -> dict[str, Properties]:
        """The properties of contacts by id, a hundred a call; never through the search index. Those gone are absent.

        key: a unique property that the ids are values of, "" for the id itself.
        """
        return self.read_objects(self.mapping.object("contact"), ids, names, purpose, key=key, archived=archived)

    def read_objects(
        self,
        name: str,
        ids: Sequence[str],
        properties: Sequence[str],
        purpose: Purpose,
        *,
        key: str = "",
        archived: bool = False,
    ) -> dict[str, Properties]:
        """As read_contacts, of any object."""
        found: dict[str, Properties] = {}
        for some in chunks(list(dict.fromkeys(ids)), BATCH):
            body: dict[str, Any] = {"inputs": [{"id": one} for one in some], "properties": list(properties)}
            if key:
                body["idProperty"] = key
            query = {"archived": "true"} if archived else None
            answer = self.client.ask("objects", f"{name}/batch/read", body, purpose, query)
            found.update((row["id"], row["properties"]) for row in answer.results)
        return found

    def survivor_of(self, contact_id: str, names: Sequence[str], purpose: Purpose) -> tuple[str, Properties] | None:
        """The contact that an id leads to, another one after a merge; None when it is gone for good."""
        path = f"{self.mapping.object('contact')}/{segment(contact_id)}"
        answer = self.client.get("objects", path, purpose, {"properties": ",".join(names)}, absent=True)
        return None if answer.fault is not None else (str(answer.body["id"]), answer.body["properties"])

    def linked(self, source: str, ids: Sequence[str], target: str, purpose: Purpose) -> dict[str, list[str]]:
        """The ids of associated objects by the id they are associated with, a thousand a call."""
        found: dict[str, list[str]] = {}
        for some in chunks(list(dict.fromkeys(ids)), LINKS_PER_CALL):
            body = {"inputs": [{"id": one} for one in some]}
            # Those without any come among the errors, which is none.
            for row in self.client.ask("associations", f"{source}/{target}/batch/read", body, purpose).results:
                found[str(row["from"]["id"])] = [str(one["toObjectId"]) for one in row["to"]]
        return found

    def search(
        self,
        name: str,
        groups: Sequence[Sequence[Mapping[str, Any]]],
        properties: Sequence[str],
        purpose: Purpose,
        *,
        after_id: str = "0",
        limit: int = 200,
    ) -> tuple[list[dict[str, Any]], bool]:
        """One page of a search in the order of ids, and whether there are more. Paged by id: never past 10,000."""
        later = {"propertyName": "hs_object_id", "operator": "GT", "value": after_id}
        body = {
            "filterGroups": [{"filters": [*group, later]} for group in groups],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": list(properties),
            "limit": limit,
        }
        answer = self.client.ask("objects", f"{name}/search", body, purpose)
        return answer.results, "paging" in answer.body

    # what changes seldom

    def owners(self, purpose: Purpose) -> Mapping[str, Owner]:
        """Every user that owns or owned something, by owner id; at most some minutes old."""
        now = self.client.clock.now()
        kept = self._owners
        if kept is not None and now - kept[0] < _LIFE:
            return kept[1]
        found = {owner.id: owner for archived in ("false", "true") for owner in self._ask_owners(archived, purpose)}
        self._owners = (now, found)
        return found

    def forget_owners(self) -> None:
        """The next look asks anew."""
        self._owners = None

    def _ask_owners(self, archived: str, purpose: Purpose) -> list[Owner]:
        found: list[Owner] = []
        after = ""
        while True:
            query = {"limit": str(_OWNERS_PER_PAGE), "archived": archived, **({"after": after} if after else {})}
            answer = self.client.get("owners", "", purpose, query)
            found += [read_owner(row) for row in answer.results]
            after = str((answer.body.get("paging") or {}).get("next", {}).get("after", ""))
            if not after:
                return found

    def property_names(self, name: str, purpose: Purpose) -> frozenset[str]:
        """The internal names of an object's properties that the key may see."""
        now = self.client.clock.now()
        kept = self._names.get(name)
        if kept is not None and now - kept[0] < _LIFE:
            return kept[1]
        found = frozenset(str(row["name"]) for row in self.client.get("properties", name, purpose).results)
        self._names[name] = (now, found)
        return found

    def forget_properties(self) -> None:
        """The next question asks anew: somebody may have made one since."""
        self._names = {}


def read_owner(row: Mapping[str, Any]) -> Owner:
    """One owner. Time zone, title and signature are not told by the API."""
    name = " ".join(filter(None, (row.get("firstName"), row.get("lastName"))))
    return Owner(
        id=str(row["id"]),
        name=name or str(row.get("email") or ""),
        email=str(row.get("email") or ""),
        active=not row.get("archived"),
        is_person=row.get("type", "PERSON") == "PERSON",
    )


def wrong_portal(found: CrmIdentity, portal_id: str) -> str | None:
    """What is wrong with the portal that answers, None when it is the configured one or none is configured (B25)."""
    if not portal_id or portal_id == found.org_id:
        return None
    return f"{found.name}{', a sandbox,' if found.sandbox else ''} answers, and only {portal_id} may be mailed from."


def condition(name: str, operator: str, **values: Any) -> dict[str, Any]:
    """One filter of a search."""
    return {"propertyName": name, "operator": operator, **values}
