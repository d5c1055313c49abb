"""The seeded world on a portal: the same people, all of them contacts, and the same reactions.

HubSpot has one contact per address, so a twin of the same address is one record here, and an address it does not take
is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.hubspot.portal import HubSpotPortal
from crmdrip.sandbox.hubspot.refusals import Refusal
from crmdrip.sandbox.hubspot.world.acting import PortalActions
from crmdrip.sandbox.hubspot.world.install import SEQUENCE, Installed, install, sequence_id, write_sequences
from crmdrip.sandbox.sendgrid import SendGridAccount
from crmdrip.sandbox.world import Deed, Habits, Happened, OneClick, Trait, World
from crmdrip.sandbox.world.people import Draft, Population, load, reps
from crmdrip.sandbox.world.stops import WISHES
from crmdrip.sandbox.world.world import Due

_PROPERTIES = {
    "FirstName": "firstname",
    "LastName": "lastname",
    "Title": "jobtitle",
    "Phone": "phone",
    "Email": "email",
    "Company": "company",
    "MailingCountry": "country",
    "MailingState": "state",
    "MailingCity": "city",
    "Country": "country",
    "State": "state",
    "City": "city",
    "EmailBouncedReason": "crmdrip_bounced_reason",
}
"""Properties by the names the drafts have."""


class PortalWorld(World):
    """People, boxes and reactions on one portal and one mail account that share a clock. Arguments as in World.

    installed: what of crmdrip is there. With NOTHING, call `furnish` once somebody has installed it.
    """

    def __init__(
        self,
        portal: HubSpotPortal,
        account: SendGridAccount,
        clock: SandboxClock,
        *,
        seed: int = 1,
        people: int = 2_000,
        habits: Habits | None = None,
        post: Callable[[OneClick], None] | None = None,
        scan: Callable[[str], None] | None = None,
        installed: Installed = Installed.TOML,
    ) -> None:
        self._portal = portal
        self._installed = installed
        self._bounced: dict[str, dict[str, str]] = {}
        """What crmdrip's properties are to say of old bounces, by contact, as long as there are none."""
        actions = PortalActions(portal, account, clock, post)
        self._begin(actions, account, clock, seed=seed, habits=habits, scan=scan)
        self._populate(people)

    def unasked_opt_outs(self) -> list[str]:
        """Addresses that have opted out in the portal although nobody asked for it."""
        found = []
        for record in self._portal.all("contacts"):
            address = record.get("email")
            if not address or not self._portal.preferences.is_opted_out(address):
                continue
            stops = (*self.stops.of(address), *self.stops.of(self.actions.moved.get(address, "")))
            if not any(stop.kind in WISHES for stop in stops):
                found.append(address)
        return found

    def _perform(self, due: Due) -> Happened | None:
        try:
            return super()._perform(due)
        except Refusal:
            # The portal's own rules: an address somebody else has, for one.
            return None

    def _do(self, due: Due, row: Any) -> bool:
        match due.deed:
            case Deed.OPPORTUNITY:
                self.actions.open_opportunity(row["Id"])
                return True
            case Deed.CONVERT:
                return False
            case _:
                return super()._do(due, row)

    def _mergeable(self, record_id: str) -> bool:
        """Whether there are two living contacts of one human."""
        person = self.people.get(record_id)
        if person is None or not person.partner:
            return False
        ids = [self._portal.store.resolve("contacts", each) for each in (person.id, person.partner)]
        return ids[0] != ids[1] and all(self._portal.store.find("contacts", each) is not None for each in ids)

    def is_installed(self) -> bool:
        """Whether crmdrip's properties are there, which are made all at once."""
        return self._portal.kinds["contacts"].property("crmdrip_bounced_at") is not None

    def furnish(self) -> None:
        """What people do once crmdrip is installed: note bounces of the past, and write the example sequences."""
        for record_id, values in self._bounced.items():
            self._portal.update("contacts", record_id, values)
        self._bounced = {}
        if any(kind.name == SEQUENCE for kind in self._portal.kinds) and not self._portal.all(SEQUENCE):
            self.sequences |= write_sequences(self._portal)

    # the beginning

    def _populate(self, count: int) -> None:
        portal = self._portal
        install(portal, self._installed)
        population = Population(self._random)
        companies = population.companies(max(1, count * 9 // 20))
        drafts = population.people(count, companies)
        staff = reps()
        owners = [
            portal.add_owner(rep.email, rep.first, rep.last, title=rep.title, phone=rep.phone, zone=rep.zone)
            for rep in staff
        ]
        self.reps = [owner for owner, rep in zip(owners, staff, strict=True) if rep.active]
        for company in companies:
            values = {"name": company.name, "domain": company.domain, "industry": company.fields.get("Industry", "")}
            owner = self._random.choice(self.reps)
            company.id = portal.create("companies", {**values, "hubspot_owner_id": owner})
        ids: list[str] = []
        for draft in drafts:
            ids.append(self._enter(draft, owners, ids))
            if ids[-1]:
                draft.kind = "Contact"
                self._remember(draft, ids[-1], ids)
        for owner, rep in zip(owners, staff, strict=True):
            if not rep.active:
                portal.deactivate_owner(owner)
        for definition in load("sequences.toml")["sequence"]:
            name = definition["fields"]["Name"]
            self.sequences[name] = sequence_id(name)
        if self._installed is not Installed.NOTHING:
            self.furnish()

    def _enter(self, draft: Draft, owners: list[str], ids: list[str]) -> str:
        """Create the contact; "" for a twin, whose address is another contact's."""
        if Trait.TWIN in draft.traits and draft.partner is not None:
            return ""
        fields = {**draft.fields, **draft.late}
        values = {_PROPERTIES[name]: value for name, value in fields.items() if name in _PROPERTIES}
        if draft.owner >= 0:
            values["hubspot_owner_id"] = owners[draft.owner]
        bounced = {name: values.pop(name) for name in ("crmdrip_bounced_reason",) if name in values}
        if bounced:
            bounced["crmdrip_bounced_at"] = fields["EmailBouncedDate"]
        if self._installed is not Installed.NOTHING:
            values |= bounced
        values["lifecyclestage"] = "lead" if draft.kind == "Lead" else "opportunity"
        links = {"companies": draft.company.id} if draft.company is not None else {}
        if draft.partner is not None and not ids[draft.partner]:
            draft.partner = None
        try:
            record_id = self._portal.create("contacts", values, **links)
        except Refusal:
            # HubSpot takes no such address; the contact is there without one.
            draft.fields.pop("Email", None)
            draft.traits = {Trait.NO_ADDRESS}
            record_id = self._portal.create("contacts", {**values, "email": ""}, **links)
        if Trait.OPTED_OUT in draft.traits:
            self._portal.opt_out(draft.fields["Email"])
        if bounced and self._installed is Installed.NOTHING:
            self._bounced[record_id] = bounced
        return record_id
