"""A SendGrid account that runs on loopback: strict as the vendor is, and keeping what it accepted."""

from crmdrip.sandbox.sendgrid.accepted import AcceptedEmail, Fate, Keep
from crmdrip.sandbox.sendgrid.account import SCOPES, SendGridAccount
from crmdrip.sandbox.sendgrid.disturbances import LIVELY, Disturbances
from crmdrip.sandbox.sendgrid.events import EventKind

__all__ = [
    "LIVELY",
    "SCOPES",
    "AcceptedEmail",
    "Disturbances",
    "EventKind",
    "Fate",
    "Keep",
    "SendGridAccount",
]
