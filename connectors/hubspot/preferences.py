"""Communication preferences: what an address wants to get, which HubSpot's own emails obey as well.

What they say is read with the contact, in properties that nobody can set (records.py): one call of theirs answers for
one address, and those for many need Marketing Hub Enterprise. Written by address.
"""

from __future__ import annotations

from connectors.hubspot.client import segment
from connectors.hubspot.faults import Fault
from connectors.hubspot.portal import Portal
from crmdrip.ports import Purpose

_CHANNEL = "EMAIL"
_BASIS = {
    "legalBasis": "LEGITIMATE_INTEREST_OTHER",
    "legalBasisExplanation": "The person unsubscribed from an email that crmdrip sent.",
}
"""Asked for where the portal's data privacy settings are on, and taken everywhere."""


def opt_out(portal: Portal, address: str) -> Fault | None:
    """Opt an address out, of all email or of our type as the settings say; why it was refused, None when it was not.

    Repeating it changes nothing. Raises as the client.
    """
    path, settings = f"statuses/{segment(address)}", portal.client.settings
    if settings.opt_out_of == "all":
        query = {"channel": _CHANNEL}
        answer = portal.client.change(
            "POST", "preferences", f"{path}/unsubscribe-all", None, purpose=Purpose.STOP, query=query
        )
        return answer.fault
    body = {
        "subscriptionId": int(settings.subscription_type),
        "statusState": "UNSUBSCRIBED",
        "channel": _CHANNEL,
        **_BASIS,
    }
    return portal.client.change("POST", "preferences", path, body, purpose=Purpose.STOP).fault


def subscription_types(portal: Portal, purpose: Purpose) -> dict[str, str]:
    """The names of the portal's subscription types by number. Raises as the client."""
    answer = portal.client.get("preferences", "definitions", purpose)
    return {str(row["id"]): str(row.get("name") or "") for row in answer.results}
