"""The contact that is no person: the emergency brake, who pulled it, and the newest heartbeat.

A contact, because every HubSpot has contacts and a last look then reads it with the people, in the same call.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.hubspot.client import segment
from connectors.hubspot.portal import Portal
from connectors.hubspot.values import Properties, is_ticked, parse_time, show_time
from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.core.model import Brake
from crmdrip.ports import ControlWrite, Purpose


class ControlReader:
    """Reads the control contact beside people."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._by = ""
        """The name of whoever pulled the brake that is pulled now."""

    def properties(self) -> list[str]:
        """What to ask for."""
        field = self._portal.mapping.field
        return [field("control", word) for word in ("key", "brake", "heartbeat", "claim")]

    def read_with(
        self, ids: Sequence[str], names: Sequence[str], purpose: Purpose
    ) -> tuple[dict[str, Properties], Brake]:
        """People by id and the brake, together as long as the control contact is known. Raises as the client."""
        portal = self._portal
        wanted = list(dict.fromkeys([*names, *self.properties(), *portal.contacts.vital]))
        known = portal.control_id
        rows = portal.read_contacts([*ids, known] if known is not None else ids, wanted, purpose)
        control = rows.pop(known, None) if known is not None and known not in ids else None
        if control is None:
            control = self._find(wanted, purpose)
        seen = [*rows.values(), *filter(None, [control])]
        for row in seen:
            portal.contacts.demand(row)
        if not seen:
            self._demand(purpose)
        return rows, self._brake(control, purpose)

    def _find(self, names: Sequence[str], purpose: Purpose) -> Properties | None:
        """By its key, which is unique and needs no search; None while there is none."""
        portal = self._portal
        key, name = portal.mapping.value("control", "key"), portal.mapping.field("control", "key")
        try:
            found = portal.read_contacts([key], names, purpose, key=name)
        except ConfigurationError as error:
            if name not in error.what:
                raise
            raise ConfigurationError(
                f"contacts have no property {name} with unique values, by which the emergency brake is found.",
                where="HubSpot",
                do_next="Type crmdrip install, which makes every property that is missing.",
            ) from error
        portal.control_id = next(iter(found), None)
        return next(iter(found.values()), None)

    def _demand(self, purpose: Purpose) -> None:
        """Where nobody was read, by the properties themselves."""
        portal = self._portal
        for name in portal.contacts.vital:
            path = f"{portal.mapping.object('contact')}/{segment(name)}"
            if portal.client.get("properties", path, purpose, absent=True).fault is not None:
                raise portal.contacts.lacking(name)

    def _brake(self, control: Properties | None, purpose: Purpose) -> Brake:
        field = self._portal.mapping.field
        if control is None:
            return Brake(pulled=False)
        name = field("control", "brake")
        if name not in control:
            raise hidden_brake(name)
        pulled = is_ticked(control[name])
        if not pulled:
            self._by = ""
        elif not self._by:
            self._by = self._who(purpose)
        return Brake(
            pulled=pulled,
            by=self._by,
            heartbeat=parse_time(control.get(field("control", "heartbeat"))),
            claim=str(control.get(field("control", "claim")) or ""),
        )

    def _who(self, purpose: Purpose) -> str:
        """Who set the brake last, by its history. That it is pulled counts even where that cannot be read just now."""
        portal = self._portal
        name = portal.mapping.field("control", "brake")
        path = f"{portal.mapping.object('contact')}/{segment(portal.control_id or '')}"
        try:
            body = portal.client.get("objects", path, purpose, {"propertiesWithHistory": name}).body
            newest: Properties = next(iter((body.get("propertiesWithHistory") or {}).get(name) or ()), {})
            user = str(newest.get("updatedByUserId") or str(newest.get("sourceId") or "").removeprefix("userId:"))
            if not user.isdecimal():
                return str(newest.get("sourceType") or "")
            owner = portal.client.get("owners", segment(user), purpose, {"idProperty": "userId"}, absent=True)
        except CrmdripError:
            return ""
        if owner.fault is not None:
            return f"user {user}"
        return " ".join(filter(None, (owner.body.get("firstName"), owner.body.get("lastName")))) or f"user {user}"

    def leave(self, write: ControlWrite, purpose: Purpose) -> None:
        """Write the heartbeat, where the control contact is known. Raises as the client."""
        portal = self._portal
        if portal.control_id is None:
            return
        path = f"{portal.mapping.object('contact')}/{segment(portal.control_id)}"
        answer = portal.client.change(
            "PATCH", "objects", path, {"properties": control_values(portal, write)}, purpose=purpose
        )
        if answer.fault is not None:
            raise answer.fault.error("HubSpot (heartbeat)")


def hidden_brake(name: str) -> ConfigurationError:
    """Whether somebody pulled the brake cannot be seen, so nobody may be mailed."""
    return ConfigurationError(
        f"the emergency brake {name} cannot be read, so it is not known whether it is pulled.",
        where="HubSpot",
        do_next="Let the key read contacts with this property, or make it again: crmdrip install.",
    )


def control_values(portal: Portal, write: ControlWrite) -> dict[str, str]:
    """The properties of a heartbeat; the brake is not among them."""
    values = {
        "heartbeat": show_time(write.heartbeat),
        "claim": write.claim,
        "state": write.state,
        "calls_used": "" if write.calls_used is None else str(write.calls_used),
        "calls_limit": "" if write.calls_limit is None else str(write.calls_limit),
    }
    return {portal.mapping.field("control", word): value for word, value in values.items()}
