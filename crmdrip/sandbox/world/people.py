"""The people of the seeded world, as rows for the CRM: as messy as a CRM of ten years really is.

Pure: draws everything from the random source it is given. Never talks to the org.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import resources
from random import Random
from typing import Any

SENDING_DOMAIN = "acme.example"
"""Where the reps' addresses are; verified at the mail provider."""
QUEUE = "Inbound leads"
"""The queue that owns some leads."""


class Trait(Enum):
    """What is odd about a person. Drives how they behave later, or marks what a test looks for."""

    NO_ADDRESS = "no address"
    MALFORMED = "malformed address"
    OPTED_OUT = "opted out"
    BOUNCED = "bounced before"
    DEAD_MAILBOX = "will bounce"
    TWIN = "same address on another record"
    SECOND_SELF = "same person under another address"
    INACTIVE_OWNER = "inactive owner"
    QUEUE = "owned by a queue"
    HOSTILE = "hostile content"


@dataclass(kw_only=True, slots=True)
class Company:
    """One account with its address domain."""

    name: str
    domain: str
    fields: dict[str, Any]
    id: str = ""
    """The Account's id, once inserted."""


@dataclass(kw_only=True, slots=True)
class Draft:
    """One contact or lead before it is inserted."""

    kind: str
    """"Contact" or "Lead"."""
    fields: dict[str, Any]
    company: Company | None
    owner: int
    """Which rep owns it; -1 is the queue."""
    traits: set[Trait] = field(default_factory=set)
    late: dict[str, Any] = field(default_factory=dict)
    """Fields the CRM lets nobody set on creation (a lead's bounce)."""
    partner: int | None = None
    """The number of the draft it duplicates."""
    language: str = "en"
    """In which the person writes back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rep:
    """One CRM user."""

    first: str
    last: str
    title: str
    zone: str
    phone: str
    active: bool = True
    alias: str = ""
    """The local part of the address, where the name cannot make one."""

    @property
    def email(self) -> str:
        """The address, on the verified domain."""
        local = self.alias or f"{self.first}.{self.last}".lower().replace("ø", "o")
        return f"{local}@{SENDING_DOMAIN}"

    def row(self) -> dict[str, Any]:
        """The User record."""
        return {
            "Username": f"{self.email}.sandbox",
            "FirstName": self.first,
            "LastName": self.last,
            "Alias": self.email[:8],
            "Title": self.title or None,
            "Email": self.email,
            "Phone": self.phone or None,
            "TimeZoneSidKey": self.zone,
            "IsActive": self.active,
            "Signature": f"{self.first} {self.last}\n{self.title}, Acme\n{self.phone}".strip(),
        }


@cache
def load(name: str) -> dict[str, Any]:
    """One of the data files beside this module, to read and not to change."""
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


def reps() -> list[Rep]:
    """The CRM users; the last one has left the company."""
    return [Rep(**row) for row in load("names.toml")["rep"]]


class Population:
    """Draws companies and people. The same random source gives the same world."""

    def __init__(self, random: Random) -> None:
        self._random = random
        data = load("names.toml")
        self._cultures: list[dict[str, Any]] = data["culture"]
        self._weights = [culture["weight"] for culture in self._cultures]
        self._words: dict[str, list[str]] = data["words"]
        self._company: dict[str, list[str]] = data["company"]
        self._reps = len(data["rep"])
        self._taken: set[str] = set()

    def companies(self, count: int) -> list[Company]:
        """Accounts: a handful of large ones among many small."""
        return [self._draw_company() for _ in range(count)]

    def people(self, count: int, companies: list[Company]) -> list[Draft]:
        """Exactly `count` contacts and leads, duplicates included."""
        drafts: list[Draft] = []
        crowds = self._crowds(companies)
        while len(drafts) < count:
            draft = self._draw_person(next(crowds))
            drafts.append(draft)
            if len(drafts) < count and (copy := self._duplicate(draft, len(drafts) - 1)) is not None:
                drafts.append(copy)
        return drafts

    def _draw_company(self) -> Company:
        pick = self._random.choice
        while True:
            first, second = pick(self._company["first"]), pick(self._company["second"])
            domain = f"{first}-{second}.example".lower()
            if domain in self._taken:
                domain = f"{first}-{second}-{len(self._taken)}.example".lower()
            if domain not in self._taken:
                break
        self._taken.add(domain)
        name = f"{first} {second} {pick(self._company['forms'])}".strip()
        fields = {
            "Name": name,
            "Industry": pick(self._words["industries"]) if self._chance(0.8) else None,
            "Website": f"https://www.{domain}" if self._chance(0.7) else None,
            "NumberOfEmployees": pick([8, 24, 60, 180, 420, 1_300, 9_000]) if self._chance(0.6) else None,
            "Type": "Prospect",
        }
        return Company(name=name, domain=domain, fields={k: v for k, v in fields.items() if v is not None})

    def _crowds(self, companies: list[Company]) -> Iterator[Company]:
        """The company of one person after the other: mostly one to three of each, a few with a dozen."""
        while True:
            for company in companies:
                for _ in range(12 if self._chance(0.02) else self._random.choice([1, 1, 1, 2, 2, 3])):
                    yield company

    def _draw_person(self, company: Company) -> Draft:
        random, pick = self._random, self._random.choice
        culture = random.choices(self._cultures, self._weights)[0]
        first, first_ascii = pick(culture["first"]).split("|")
        last, last_ascii = pick(culture["last"]).split("|")
        contact = self._chance(0.55)
        fields: dict[str, Any] = {
            "FirstName": None if self._chance(0.05) else self._mistype(first),
            "LastName": self._mistype(last),
            "Title": pick(self._words["titles"]) if self._chance(0.75) else None,
            "LeadSource": pick(self._words["sources"]) if self._chance(0.8) else None,
            "Phone": f"+1 202 555 01{random.randrange(100):02d}" if self._chance(0.4) else None,
            "Email": self._address(first_ascii, last_ascii, company.domain),
        }
        if self._chance(0.75):
            prefix = "Mailing" if contact else ""
            fields[f"{prefix}Country"] = pick(culture["countries"][:1] * 4 + culture["countries"])
            fields[f"{prefix}State"] = pick(culture["states"]) or None
            fields[f"{prefix}City"] = pick(culture["cities"]) if self._chance(0.7) else None
        if not contact:
            fields["Company"] = pick(self._company["unknown"]) if self._chance(0.04) else company.name
            fields["Status"] = pick(["Open - Not Contacted", "Working - Contacted"])
            fields["Industry"] = company.fields.get("Industry")
        draft = Draft(
            kind="Contact" if contact else "Lead",
            fields={key: value for key, value in fields.items() if value is not None},
            company=company if contact else None,
            owner=random.randrange(self._reps - 1),
            language=culture.get("language", "en"),
        )
        self._afflict(draft)
        return draft

    def _afflict(self, draft: Draft) -> None:
        """Give the person at most one of the troubles real CRMs are full of."""
        fields = draft.fields
        dice = self._random.random()
        if dice < 0.04:
            draft.traits.add(Trait.NO_ADDRESS)
            del fields["Email"]
        elif dice < 0.065:
            draft.traits.add(Trait.MALFORMED)
            fields["Email"] = self._spoil(fields["Email"])
        elif dice < 0.105:
            draft.traits.add(Trait.OPTED_OUT)
            fields["HasOptedOutOfEmail"] = True
        elif dice < 0.125:
            draft.traits.add(Trait.BOUNCED)
            bounced = {
                "EmailBouncedReason": "550 5.1.1 user unknown",
                "EmailBouncedDate": "2025-11-03T10:15:00.000+0000",
            }
            (fields if draft.kind == "Contact" else draft.late).update(bounced)
        elif dice < 0.155:
            draft.traits.add(Trait.DEAD_MAILBOX)
        elif dice < 0.185:
            draft.traits.add(Trait.INACTIVE_OWNER)
            draft.owner = self._reps - 1
        elif dice < 0.205 and draft.kind == "Lead":
            draft.traits.add(Trait.QUEUE)
            draft.owner = -1
        elif dice < 0.209:
            draft.traits.add(Trait.HOSTILE)
            fields["FirstName"] = self._random.choice(self._words["hostile_first_names"])

    def _duplicate(self, draft: Draft, number: int) -> Draft | None:
        """Another record of the same person, now and then: the same address on a lead, or a second contact."""
        if Trait.NO_ADDRESS in draft.traits or Trait.MALFORMED in draft.traits:
            return None
        dice = self._random.random()
        if dice < 0.03:
            return self._twin(draft, number)
        if dice < 0.05 and draft.kind == "Contact":
            return self._second_self(draft, number)
        return None

    def _twin(self, draft: Draft, number: int) -> Draft:
        """The same address, typed differently, on a record of the other kind."""
        kind = "Lead" if draft.kind == "Contact" else "Contact"
        fields: dict[str, Any] = {k: v for k, v in draft.fields.items() if k in ("FirstName", "LastName", "Title")}
        typed: str = draft.fields["Email"]
        fields["Email"] = self._random.choice([typed.upper(), typed.title(), typed])
        if kind == "Lead":
            fields["Company"] = draft.company.name if draft.company else "Unknown"
        draft.traits.add(Trait.TWIN)
        return Draft(
            kind=kind,
            fields=fields,
            company=draft.company,
            owner=self._random.randrange(self._reps - 1),
            traits={Trait.TWIN},
            partner=number,
            language=draft.language,
        )

    def _second_self(self, draft: Draft, number: int) -> Draft:
        """The same person again under a private-looking address: what somebody will merge one day."""
        fields = {key: value for key, value in draft.fields.items() if key in ("FirstName", "LastName", "Title")}
        local = draft.fields["Email"].partition("@")[0].replace(".", "").lower()
        fields["Email"] = f"{local}.{number}@mail.example"
        draft.traits.add(Trait.SECOND_SELF)
        return Draft(
            kind="Contact",
            fields=fields,
            company=draft.company,
            owner=draft.owner,
            traits={Trait.SECOND_SELF},
            partner=number,
            language=draft.language,
        )

    def _address(self, first: str, last: str, domain: str) -> str:
        """An address nobody else has, in one of the shapes companies use."""
        shapes = [f"{first}.{last}", f"{first[0]}.{last}", f"{first}", f"{last}{first[0]}", f"{first}_{last}"]
        local = self._random.choice(shapes).replace("'", "").replace(" ", "")
        address = f"{local}@{domain}"
        number = 1
        while address in self._taken:
            number += 1
            address = f"{local}{number}@{domain}"
        self._taken.add(address)
        if self._chance(0.02):
            local, _, domain = address.partition("@")
            return f"{local}+crm@{domain}"
        return self._random.choice([str.upper, str.title])(address) if self._chance(0.04) else address

    def _mistype(self, name: str) -> str:
        """The name as somebody in a hurry types it, now and then."""
        return self._random.choice([str.upper, str.lower])(name) if self._chance(0.06) else name

    def _spoil(self, address: str) -> str:
        """An address the CRM's own check lets pass and no mail server would."""
        local, _, domain = address.partition("@")
        shapes = [f"{local}..x@{domain}", f".{local}@{domain}", f"{local}.@{domain}", f"{local}@-{domain}"]
        return self._random.choice([*shapes, f"{local}@{domain.replace('.', '..')}"])

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability
