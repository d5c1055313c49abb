"""Who a webhook comes from: SendGrid's signature over the time and the untouched body.

ECDSA on P-256 with SHA-256 over the bytes of the timestamp header and of the body, in base64 of DER. The Event Webhook
(tracking-events/getting-started-event-webhook-security-features) and, with a security policy, Inbound Parse
(parsing-email/securing-your-parse-webhooks) both do it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

SIGNATURE = EventWebhookHeader.SIGNATURE.lower()
TIMESTAMP = EventWebhookHeader.TIMESTAMP.lower()

AHEAD = timedelta(minutes=5)
"""How far SendGrid's clock may be ahead of ours. A signature dated later is none of today's."""
_LONGEST = 256
"""Characters of a header that is looked at; a P-256 signature has 96."""


class Signatures:
    """Verifies signatures with any of several keys, so that a key can be replaced without a gap."""

    def __init__(self, keys: tuple[str, ...], lasts: timedelta) -> None:
        """keys: as SendGrid shows them. lasts: how old a signature may be. Raises ValueError for what is no key."""
        self._keys = tuple(load_key(key) for key in keys)
        self._lasts = lasts

    def admit(self, headers: Mapping[str, str], now: datetime) -> bool:
        """Whether there is a signature of our days to look at. headers: names in lower case."""
        signature, timestamp = headers.get(SIGNATURE, ""), headers.get(TIMESTAMP, "")
        if not signature or len(signature) > _LONGEST or not (timestamp.isascii() and timestamp.isdecimal()):
            return False
        if len(timestamp) > 12:
            return False
        # A retry may carry the time of the first attempt: whether it is signed anew is not documented.
        age = now.timestamp() - int(timestamp)
        return -AHEAD.total_seconds() <= age <= self._lasts.total_seconds()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
        """Whether one of the keys signed this body at an admitted time. Raises nothing."""
        if not self.admit(headers, now):
            return False
        try:
            signature = base64.b64decode(headers[SIGNATURE], validate=True)
        except (binascii.Error, ValueError):
            return False
        signed = headers[TIMESTAMP].encode() + body
        return any(_is_by(key, signature, signed) for key in self._keys)


def load_key(text: str) -> ec.EllipticCurvePublicKey:
    """A verification key as SendGrid shows it (base64 on one line), with PEM's first and last line or without.

    Raises ValueError, without the text.
    """
    lines = [line.strip() for line in text.strip().splitlines() if not line.startswith("-----")]
    try:
        # The SDK's own reading; what it verifies is text, and an inbound mail need not be any.
        key = EventWebhook("".join(lines)).public_key
    except Exception:  # noqa: BLE001 - cryptography raises several kinds for bytes that are no key
        raise ValueError("is no public key") from None
    if not key:
        raise ValueError("is no public key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("is a key of another kind than SendGrid's")  # noqa: TRY004 - a value of the wrong kind, to pydantic
    return key


def _is_by(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
