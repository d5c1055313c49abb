"""The HubSpot stand-in: a portal with its state and rules, answering API requests as the vendor does."""

from crmdrip.sandbox.hubspot.auth import SCOPES
from crmdrip.sandbox.hubspot.limits import Limits, Tier
from crmdrip.sandbox.hubspot.lists import Processing
from crmdrip.sandbox.hubspot.portal import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TOKEN, HubSpotPortal
from crmdrip.sandbox.hubspot.refusals import Refusal
from crmdrip.sandbox.hubspot.trouble import TROUBLES

__all__ = [
    "DEFAULT_CLIENT_ID",
    "DEFAULT_CLIENT_SECRET",
    "DEFAULT_TOKEN",
    "SCOPES",
    "TROUBLES",
    "HubSpotPortal",
    "Limits",
    "Processing",
    "Refusal",
    "Tier",
]
