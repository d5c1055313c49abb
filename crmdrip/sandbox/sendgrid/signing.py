"""Signatures of webhooks: ECDSA on P-256 with SHA-256 over the timestamp and the untouched body.

The Event Webhook and Inbound Parse use the same two headers (twilio.com/docs/sendgrid/for-developers/tracking-events/
getting-started-event-webhook-security-features, and parsing-email/securing-your-parse-webhooks).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve's group (FIPS 186-4, D.1.2.3)."""


class SigningKey:
    """One key pair. The same name gives the same pair, so that an example configuration works as it stands."""

    def __init__(self, name: str) -> None:
        number = int.from_bytes(hashlib.sha512(name.encode()).digest()) % (_ORDER - 1) + 1
        self._private = ec.derive_private_key(number, ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """Base64 of the DER SubjectPublicKeyInfo, on one line, as the API answers it."""
        der = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(der).decode()

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        """The two headers of one request."""
        timestamp = str(int(at.timestamp()))
        signature = self._private.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {SIGNATURE_HEADER: base64.b64encode(signature).decode(), TIMESTAMP_HEADER: timestamp}
