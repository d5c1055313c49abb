"""Unsubscribes that come in by the door: from a signed token to what the ledger and the CRM are told (B22)."""

from __future__ import annotations

from crmdrip.core.model import Signal
from crmdrip.core.tokens import Unsubscriber, UnsubscribeTokens
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.twins import tell
from crmdrip.daemon.unsubscribing import leave_sequence, unsubscribe
from crmdrip.ledger import definitions

SOURCE = "web"


class Unsubscribes:
    """Reads tokens and stores what they ask for."""

    def __init__(self, parts: Parts, keys: tuple[str, ...]) -> None:
        """keys: as in UnsubscribeTokens. Raises ConfigurationError."""
        self._parts = parts
        self._tokens = UnsubscribeTokens(keys)

    def read(self, token: str) -> Unsubscriber | None:
        """Whose token it is; None when it is not signed by us or belongs to another CRM account (B28)."""
        who = self._tokens.read(token)
        return who if who is not None and who.org == self._parts.org_id else None

    def public_name(self, who: Unsubscriber) -> str:
        """What the sequence that wrote to the person is called in public; "" when it cannot be left alone.

        Raises LedgerBrokenError.
        """
        if not who.sequence:
            return ""
        with self._parts.ledger.read() as connection:
            known = definitions.load_sequences(connection).get(who.sequence)
        return known.good.public_name if known is not None and known.good is not None else ""

    def accept(self, who: Unsubscriber) -> list[Signal]:
        """Suppress the person in one transaction; a repeat changes nothing. Raises LedgerBrokenError.

        Returns the new signals, for `tell`.
        """
        parts = self._parts
        with parts.ledger.write() as connection:
            return unsubscribe(connection, who, SOURCE, parts.clock.now())

    def leave(self, who: Unsubscriber) -> None:
        """No more email from the sequence of the token, in one transaction. Raises LedgerBrokenError."""
        parts = self._parts
        with parts.ledger.write() as connection:
            leave_sequence(connection, who, SOURCE, parts.clock.now())

    def tell(self, new: list[Signal]) -> None:
        """Owe the CRM the opt-out on records that never were in a sequence: a call, so not before the answer."""
        tell(self._parts, new)
