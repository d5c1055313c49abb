"""Who a webhook comes from: HubSpot's signature, version 3.

HMAC-SHA256, in base64, over method, URI, body and timestamp (developers.hubspot.com, "Validating requests"). The SDK's
own helper takes version 2 unless told otherwise, decodes no URI, and takes any time in the future (hubspot-api-client
12.0.0, utils/signature.py), so it is done here.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

SIGNATURE = "x-hubspot-signature-v3"
TIMESTAMP = "x-hubspot-request-timestamp"
"""Milliseconds since 1970."""

LASTS = timedelta(minutes=5)
"""How old a request may be, in HubSpot's own words. A retry is signed anew."""
AHEAD = timedelta(minutes=1)
"""How far HubSpot's clock may be ahead of ours."""

_DECODED = re.compile("%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
"""What HubSpot decodes in a URI before it signs: : / ? @ ! $ ' ( ) * , ; and nothing else."""
_LONGEST = 100
"""Characters of a header that is looked at: a signature has 44."""


def verify(
    *, secrets: Iterable[str], method: str, uri: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> bool:
    """Whether HubSpot signed this request with one of the app's client secrets just now. Raises nothing.

    uri: as HubSpot called it, which is the public address and not the one behind a proxy, with its query. headers:
    names in lower case.
    """
    given, timestamp = headers.get(SIGNATURE, ""), headers.get(TIMESTAMP, "")
    if not given or len(given) > _LONGEST or not is_fresh(timestamp, now):
        return False
    signed = f"{method.upper()}{decode_uri(uri)}".encode("utf-8", "replace") + body + timestamp.encode()
    theirs = given.encode("utf-8", "replace")
    # Every secret is compared, so that the time taken tells nothing.
    matches = [
        hmac.compare_digest(base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")), theirs)
        for secret in secrets
    ]
    return any(matches)


def is_fresh(timestamp: str, now: datetime) -> bool:
    """Whether the time is at most LASTS ago and at most AHEAD to come."""
    if not (timestamp.isascii() and timestamp.isdecimal()) or len(timestamp) > 15:
        return False
    age = now.timestamp() - int(timestamp) / 1000
    return -AHEAD.total_seconds() <= age <= LASTS.total_seconds()


def decode_uri(uri: str) -> str:
    """The URI as HubSpot signs it."""
    return _DECODED.sub(lambda found: chr(int(found[0][1:], 16)), uri)
