"""The address that answers come to, and what is signed into it. Pure."""

from __future__ import annotations

from crmdrip.core.tokens import ReplyTokens, UnsubscribeTags, UnsubscribeTokens

LOCAL = "reply"
"""What stands before the tag: reply+TAG@in.example.com."""


class ReplyDomain:
    """The domain whose mail comes to us, with the readers of everything that is signed into addresses and subjects."""

    def __init__(self, domain: str, keys: tuple[str, ...]) -> None:
        """domain: "" where no mail comes by one (a mailbox may still be listened to). keys: as in ReplyTokens.

        Raises ConfigurationError for a missing or short key.
        """
        self.domain = domain.lower()
        self.tokens = ReplyTokens(keys)
        self.tags = UnsubscribeTags(keys)
        self.unsubscribes = UnsubscribeTokens(keys)

    @property
    def address(self) -> str:
        """The reply address without a tag, "" without a domain."""
        return f"{LOCAL}@{self.domain}" if self.domain else ""

    def holds(self, address: str) -> bool:
        """Whether mail to a normalized address comes to us."""
        return bool(self.domain) and address.lower().endswith(f"@{self.domain}")
