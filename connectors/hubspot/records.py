"""From a contact's properties to a Record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.hubspot.values import Properties, is_ticked, parse_time, to_number, to_zone
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.mapping import CrmMapping
from crmdrip.core.model import OnElsewhere, Record, RecordKind, RecordRef

_WORDS = (
    "email",
    "owner",
    "account",
    "time_zone",
    "country",
    "state",
    "opted_out",
    "hard_bounce",
    "bounced_reason",
    "bounced_at",
    "enrolled",
    "sequence",
    "paused_until",
    "approved",
    "status",
    "last_touch",
    "run",
    "merged_ids",
    "merged_stamps",
    "meeting_booked",
    "meeting_logged",
    "mail_replied",
    "in_sequence",
    "lists",
    "modified",
)

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_OURS = frozenset({"status", "run", "last_touch", "lists", "modified"})
"""What our own writes change, and activities logged by anybody: no news of the person."""


_VITAL = ("enrolled", "sequence", "paused_until")

_OPTED_OUT_OF = "hs_email_optout_"
"""Before the number of a subscription type: the property that says who opted out of that type alone."""
_OWN_SEQUENCE = "a sequence of HubSpot's own"


class ContactReader:
    """Reads contacts by the mapping's words."""

    def __init__(
        self,
        mapping: CrmMapping,
        *,
        subscription_type: str = "",
        on_own_sequence: OnElsewhere | None = OnElsewhere.HOLD,
    ) -> None:
        """Read by a mapping.

        subscription_type: the number of the one our emails belong to, "" for none. on_own_sequence: what being in one
        of HubSpot's own sequences does, None for nothing.
        """
        self._names = {word: mapping.field("contact", word) for word in _WORDS}
        self._names["opted_out_of_type"] = f"{_OPTED_OUT_OF}{subscription_type}" if subscription_type else ""
        self._on_own_sequence = on_own_sequence or OnElsewhere.HOLD
        if on_own_sequence is None:
            self._names["in_sequence"] = ""
        self._telling = [name for word, name in self._names.items() if name and word not in _OURS]
        self.opt_outs = tuple(filter(None, (self._names["opted_out"], self._names["opted_out_of_type"])))
        """The properties that say who wants no email: none at all, and none of our type."""
        self.vital = (*self.opt_outs, *filter(None, (self._names[word] for word in _VITAL)))
        """Without these nobody knows who may be mailed. HubSpot leaves out of its answers what it does not have."""

    @property
    def modified(self) -> str:
        """The property with the time of the last change."""
        return self._names["modified"]

    def name(self, word: str) -> str:
        """The property of a word, "" when it is switched off."""
        return self._names[word]

    def properties(self, extra: Iterable[str] = ()) -> list[str]:
        """What to ask for."""
        return list(dict.fromkeys([*filter(None, self._names.values()), *filter(None, extra)]))

    def demand(self, properties: Properties) -> None:
        """Raises ConfigurationError when the answer does not tell who opted out (B26), or who is in a sequence.

        A property that somebody archived would otherwise look like everybody's box unticked at once.
        """
        for name in self.vital:
            if name not in properties:
                raise self.lacking(name)

    def lacking(self, name: str) -> ConfigurationError:
        """That a vital property does not come."""
        if name in self.opt_outs:
            return hidden_opt_out(name)
        return ConfigurationError(
            f"contacts have no property {name}, so it is not known who is in a sequence.",
            where="HubSpot",
            do_next="Restore it (Settings, Properties, Archived properties), or type crmdrip install hubspot.",
        )

    def digest(self, properties: Properties, extra: Iterable[str] = ()) -> int:
        """Changes with everything that is news of the person, and not with what we write ourselves."""
        return hash(tuple(properties.get(name) for name in (*self._telling, *extra)))

    def merged(self, properties: Properties) -> tuple[str, ...]:
        """The ids of the contacts this one was made of, oldest first."""
        ids = (properties.get(self._names["merged_ids"]) or "").split(";")
        stamps = (properties.get(self._names["merged_stamps"]) or "").split(";")
        return tuple(dict.fromkeys(filter(None, [*ids, *(one.partition(":")[0] for one in stamps)])))

    def read(
        self,
        record_id: str,
        properties: Properties,
        *,
        stop: str = "",
        fields: Mapping[str, Any] | None = None,
        deleted: bool = False,
        merged_into: str | None = None,
    ) -> Record:
        """The record. stop: the property of its sequence's stop condition, "" for none."""
        get, names = properties.get, self._names
        # TypeError for what is not the text that HubSpot always answers.
        record_id.join([value for value in properties.values() if value is not None])
        return Record(
            ref=RecordRef(kind=RecordKind.CONTACT, id=record_id),
            email=get(names["email"]) or "",
            enrolled=is_ticked(get(names["enrolled"])),
            sequence_id=get(names["sequence"]) or None,
            paused_until=parse_time(get(names["paused_until"])),
            approved=is_ticked(get(names["approved"])),
            opted_out=any(is_ticked(get(name)) for name in self.opt_outs),
            bounced=any(get(names[word]) for word in ("hard_bounce", "bounced_reason", "bounced_at")),
            owner_id=get(names["owner"]) or None,
            account_id=get(names["account"]) or None,
            time_zone=to_zone(get(names["time_zone"])),
            country=get(names["country"]) or "",
            state=get(names["state"]) or "",
            status=get(names["status"]) or "",
            run=to_number(get(names["run"])),
            last_touch=parse_time(get(names["last_touch"])),
            modified_at=parse_time(get(names["modified"])) or _LONG_AGO,
            deleted=deleted,
            merged_into=merged_into,
            stop_field=str(get(stop) or "") if stop else "",
            elsewhere=_OWN_SEQUENCE if is_ticked(get(names["in_sequence"])) else "",
            on_elsewhere=self._on_own_sequence,
            fields=fields or {},
        )


def hidden_opt_out(name: str) -> ConfigurationError:
    """Who opted out cannot be seen, so nobody may be mailed."""
    return ConfigurationError(
        f"the opt-out property {name} cannot be read, so it is not known who opted out.",
        where="HubSpot",
        do_next="Let the key read contacts with this property, or correct [contact] opted_out in the mapping or"
        " [crm.hubspot] subscription_type.",
    )
