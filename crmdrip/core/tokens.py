"""Signed tokens: who an unsubscribe is for, and which touch a reply answers. Nobody can make one for another.

Several keys, newest first, so that links in emails sent years ago keep working after a key is replaced.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from itsdangerous import BadSignature, Signer

from crmdrip.core.errors import ConfigurationError

KEY_LENGTH = 16
"""Characters a signing key must have at least."""

REPLY_LOCAL_LIMIT = 64 - 48 - 1
"""Characters a reply address may have before the tag: a local part has 64 (RFC 5321 section 4.5.3.1.1)."""

TOKEN_LIMIT = 512
"""Characters of a token that is looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsubscriber:
    """Whose wish an unsubscribe token carries."""

    person: str
    """keys.person_key."""
    org: str
    """The CRM account's id."""
    sequence: str = ""
    """Id of the sequence whose email carried it, "" where the token is too old or too short to say."""


class UnsubscribeTokens:
    """Signs and reads the tokens of unsubscribe links. They never expire: an old link still unsubscribes."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        """keys: newest first; the first signs, all are read. Raises ConfigurationError for missing or short ones."""
        check_keys(keys)
        # itsdangerous signs with the last key.
        self._signer = Signer(list(reversed(keys)), salt=b"crmdrip.unsubscribe", digest_method=hashlib.sha256)

    def sign(self, person: str, org: str, sequence: str = "") -> str:
        """The token for one person of one CRM account, safe in a URL. sequence: the one whose email carries it."""
        parts = (person, _quote(org), _quote(sequence)) if sequence else (person, _quote(org))
        return self._signer.sign(".".join(parts)).decode("ascii")

    def read(self, token: str) -> Unsubscriber | None:
        """Whose token it is; None when it was not signed by us."""
        if len(token) > TOKEN_LIMIT or not token.isascii():
            return None
        try:
            payload = self._signer.unsign(token).decode("ascii")
        except BadSignature:
            return None
        person, org, *rest = payload.split(".")
        return Unsubscriber(person=person, org=unquote(org), sequence=unquote(rest[0]) if rest else "")


@lru_cache(maxsize=1_024)
def _quote(text: str) -> str:
    """A part of a token: without dots, which part them."""
    return quote(text, safe="").replace(".", "%2E")


class UnsubscribeTags:
    """Signs and reads the tag of an address that takes unsubscribes by mail: unsubscribe+TAG@in.example.com.

    In the form of ReplyTokens' tags, for the same reasons. The CRM account is signed along and not in it.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        """keys: as in UnsubscribeTokens. Raises ConfigurationError for a missing or short key."""
        check_keys(keys)
        self._keys = tuple(hashlib.sha256(b"crmdrip.unsubscribe.tag\x1f" + key.encode()).digest() for key in keys)

    def sign(self, person: str, org: str) -> str:
        """The tag for one keys.person_key: 48 characters."""
        return person + _mark(self._keys[0], f"{org}\x1f{person}")

    def read(self, tag: str, org: str) -> Unsubscriber | None:
        """Whose tag it is; None when it was not signed by us for this CRM account."""
        tag = tag.lower()
        if len(tag) != 48 or not tag.isascii():
            return None
        person, mark = tag[:32], tag[32:]
        signed = f"{org}\x1f{person}"
        if any(hmac.compare_digest(mark, _mark(key, signed)) for key in self._keys):
            return Unsubscriber(person=person, org=org)
        return None


class ReplyTokens:
    """Signs and reads the tag in a reply address: the touch id and a short signature, lower-case letters and digits.

    Lower case, because mail programs change it; short, because a local part has 64 characters.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        """keys: as in UnsubscribeTokens. Raises ConfigurationError for a missing or short key."""
        check_keys(keys)
        self._keys = tuple(hashlib.sha256(b"crmdrip.reply\x1f" + key.encode()).digest() for key in keys)

    def sign(self, touch_id: str) -> str:
        """The tag for one touch: 48 characters."""
        return touch_id + _mark(self._keys[0], touch_id)

    def read(self, tag: str) -> str | None:
        """The touch id; None when the tag was not signed by us."""
        tag = tag.lower()
        if len(tag) != 48 or not tag.isascii():
            return None
        touch_id, mark = tag[:32], tag[32:]
        return touch_id if any(hmac.compare_digest(mark, _mark(key, touch_id)) for key in self._keys) else None


def _mark(key: bytes, signed: str) -> str:
    """16 lower-case hex characters: 64 bits, where each guess is a mail or a request.

    Keyed BLAKE2 (RFC 7693), because every email has one or two: it takes a third of what HMAC-SHA256 does (measured).
    """
    return hashlib.blake2b(signed.encode(), key=key, digest_size=8).hexdigest()


def check_keys(keys: tuple[str, ...]) -> None:
    """Raises ConfigurationError unless there is at least one key and each is long enough to resist guessing."""
    if problem := key_problem(keys):
        raise ConfigurationError(
            f"{problem}.",
            where="signing keys",
            do_next="Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'.",
        )


def key_problem(keys: tuple[str, ...]) -> str:
    """What is wrong with some signing keys, "" when nothing is."""
    if not keys or any(len(key) < KEY_LENGTH for key in keys):
        return f"a signing key is missing or has fewer than {KEY_LENGTH} characters"
    return ""
