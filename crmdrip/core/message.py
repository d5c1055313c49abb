"""One email, complete: what core.compose makes and a mailer carries. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from crmdrip.core.struct import Struct


class EmailMessage(Struct, frozen=True, kw_only=True):
    """One email, complete. Everything is decided; the mailer only carries it."""

    touch_id: str
    to_address: str
    to_name: str
    from_address: str
    from_name: str
    reply_to: str
    """An address, "" for none."""
    subject: str
    html: str
    text: str
    headers: Mapping[str, str]
    """Message-ID, In-Reply-To, References, List-Unsubscribe, List-Unsubscribe-Post."""
    category: str = ""
    """No personal data: the sequence's record id, for the provider's statistics."""
    not_after: datetime | None = None
    """When the last look it was decided by has grown too old, so that it is not begun any more (P2); None for never."""
