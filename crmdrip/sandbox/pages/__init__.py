"""The sandbox's pages: the CRM as a rep sees it, and the outbox with every email as it was received."""

from crmdrip.sandbox.pages.site import Pages

__all__ = ["Pages"]
