"""A SendGrid account that runs on loopback: strict as the vendor is, and keeping what it accepted."""

from crmdrip.sandbox.sendgrid.accepted import AcceptedEmail, Fate, Keep
from crmdrip.sandbox.sendgrid.account import SCOPES, SendGridAccount

__all__ = ["SCOPES", "AcceptedEmail", "Fate", "Keep", "SendGridAccount"]
