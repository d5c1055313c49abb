"""The sandbox's pages: the CRM as a rep sees it, and the outbox with every email as it was received."""

from crmdrip.sandbox.pages.site import Pages, is_local

__all__ = ["Pages", "is_local"]
