"""Derived keys: the same touch, message and person have the same key on every machine and after every rebuild."""

from __future__ import annotations

import hashlib
from functools import lru_cache


def normalize_address(address: str) -> str:
    """The form in which addresses are compared: trimmed, lower case, domain in IDNA ASCII.

    The local part is lower-cased although RFC 5321 lets it be case-sensitive: no provider that people use
    is, and two runs to one human would be worse. Plus-tags are kept: they may be different mailboxes.
    Returns "" when there is no "@".
    """
    local, at, domain = address.strip().rpartition("@")
    if not at or not local or not domain:
        return ""
    domain = domain.rstrip(".").lower()
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return f"{local.lower()}@{domain}"


def domain_of(address: str) -> str:
    """The part after the last "@" of a normalized address, "" when there is none."""
    return address.rpartition("@")[2] if "@" in address else ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=16_384)
def person_key(address: str) -> str:
    """The key of a person: a hash of the normalized address, so that no key is personal data in clear."""
    return _digest("person", normalize_address(address))


def touch_id(org_id: str, person: str, sequence_id: str, run: int, step_id: str) -> str:
    """The id of one step of one run of one person through one sequence: 32 lower-case hex characters.

    Lower-case hex, because a unique Salesforce text field compares without case unless told otherwise.
    """
    return _digest("touch", org_id, person, sequence_id, str(run), step_id)


def message_id(touch: str, domain: str) -> str:
    """The Message-ID header of a touch's email, angle brackets included (RFC 5322 section 3.6.4)."""
    return f"<{touch}@{domain}>"


def share(*parts: str) -> float:
    """A stable number in [0, 1) from the given parts: splits variants and jitters retries without randomness."""
    return int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:7], "big") / (1 << 56)
