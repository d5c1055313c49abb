"""Derived keys: the same touch, message and person have the same key on every machine and after every rebuild."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email


@lru_cache(maxsize=8_192)
def normalize_address(address: str) -> str:
    """The form in which addresses are compared: trimmed, lower case, domain in IDNA ASCII.

    The local part is lower-cased although RFC 5321 lets it be case-sensitive: no provider that people use
    is, and two runs to one human would be worse. Plus-tags are kept: they may be different mailboxes.
    Returns "" when there is no "@". Says nothing about validity (is_valid_address does).
    """
    text = address.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)  # an accent typed as a character of its own is the same accent
    local, _, domain = text.rpartition("@")
    domain = domain.rstrip(".").lower()
    if not local or not domain:
        return ""
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return f"{local.lower()}@{domain}"


def is_valid_address(address: str) -> bool:
    """Whether mail can be addressed to it: syntax alone, nothing is looked up; internationalized ones may.

    SendGrid answers 400 to addresses that a CRM accepts ("ann..lee@example.com", "ann@-example.com").
    """
    text = address.strip()
    ordinary = _ORDINARY.fullmatch(text)
    if ordinary is not None and len(text) <= _ADDRESS_LIMIT:
        return _is_valid_domain(ordinary[1])
    return _is_valid(text)


_ORDINARY = re.compile(r"(?=[^@]{1,64}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9.-]+)")
"""An address of which only the domain can be wrong."""
_ADDRESS_LIMIT = 254
"""Characters of an address as a whole (RFC 5321 section 4.5.3.1.3, with its angle brackets)."""


@lru_cache(maxsize=4_096)  # colleagues have one domain, and most of the work is about it
def _is_valid_domain(domain: str) -> bool:
    return _is_valid(f"somebody@{domain}")


def _is_valid(text: str) -> bool:
    try:
        validate_email(text, check_deliverability=False, strict=True, allow_smtputf8=True)
    except EmailNotValidError:
        return False
    return bool(normalize_address(text))


def domain_of(address: str) -> str:
    """The part after the last "@" of a normalized address, "" when there is none."""
    return address.rpartition("@")[2] if "@" in address else ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=8_192)
def person_key(address: str) -> str:
    """The key of a person: a hash of the normalized address, so that no key is personal data in clear."""
    return _digest("person", normalize_address(address))


def stranger_key(record_id: str) -> str:
    """Stands for the person of an ended run where the address it began with is not known any more."""
    return _digest("stranger", record_id)


def touch_id(org_id: str, person: str, sequence_id: str, run: int, step_id: str) -> str:
    """The id of one step of one run of one person through one sequence: 32 lower-case hex characters.

    Lower-case hex, because a unique Salesforce text field compares without case unless told otherwise.
    """
    return _digest("touch", org_id, person, sequence_id, str(run), step_id)


def reply_id(org_id: str, mail: str, whose: str) -> str:
    """The id of an answer on one timeline, or on its way to one rep, in the form of a touch's id and never one."""
    return _digest("reply", org_id, mail, whose)


def message_id(touch: str, domain: str) -> str:
    """The Message-ID header of a touch's email, angle brackets included (RFC 5322 section 3.6.4)."""
    return f"<{touch}@{domain}>"


def share(*parts: str) -> float:
    """A stable number in [0, 1) from the given parts: splits variants and jitters retries without randomness."""
    bits = int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:7], "big")
    return (bits >> 3) / (1 << 53)  # as many bits as a float holds: more could round up to 1
