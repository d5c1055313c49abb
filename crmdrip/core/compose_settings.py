"""What every email carries, whoever it goes to, and what of it is missing without which none may go out (P7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.footer import WORDINGS
from crmdrip.core.sender import is_address
from crmdrip.core.tokens import REPLY_LOCAL_LIMIT, key_problem
from crmdrip.core.unsubscribing import LOCAL

_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/\[\]@!$&'()*+,;=%-]+")


class ReplyTo(Enum):
    """Where answers go."""

    SENDER = "sender"
    """To the From address; no Reply-To header."""
    OWNER = "owner"
    """To the record's owner, whoever the email is from."""
    ADDRESS = "address"
    """To the reply address as it is."""
    TOKEN = "token"  # noqa: S105  a policy's name, no secret
    """To the reply address with a signed tag, by which the touch is known without thread headers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComposeSettings:
    """What every email carries. Checked by Composer."""

    company: str
    """The sender's identity as the law asks for it."""
    postal_address: str
    """On one line or several."""
    unsubscribe_url: str
    """The person's token is appended as the last part of the path."""
    org_id: str
    """The CRM account; part of the unsubscribe token."""
    signing_keys: tuple[str, ...] = field(repr=False)
    """Newest first."""
    unsubscribe_mailto: str = ""
    """A mailbox for clients that unsubscribe by mail; "" for none of its own."""
    unsubscribe_domain: str = ""
    """The domain whose mail comes to us: without a mailbox of its own, unsubscribe+TAG there takes unsubscribes."""
    language: str = "en"
    """Of the footer, ISO 639-1."""
    languages: Mapping[str, str] = field(default_factory=dict)
    """Another language by sequence id."""
    reply_to: ReplyTo = ReplyTo.SENDER
    reply_address: str = ""
    """For ReplyTo.ADDRESS, and for TOKEN, where replies@in.example.com becomes replies+TAG@in.example.com."""


def check_settings(settings: ComposeSettings) -> None:
    """Raises ConfigurationError with everything that is missing or wrong, all at once (P7)."""
    problems: list[str] = []
    if not settings.company.strip():
        problems.append("company is missing: an email says who sends it")
    if not settings.postal_address.strip():
        problems.append("postal_address is missing: an email carries one by law (CAN-SPAM section 5(a)(5))")
    if any(brace in settings.company + settings.postal_address for brace in "{}"):
        problems.append("company and postal_address must not contain braces")
    if problem := _url_problem(settings.unsubscribe_url):
        problems.append(problem)
    if settings.unsubscribe_mailto and not is_address(settings.unsubscribe_mailto):
        problems.append("unsubscribe_mailto is not an email address")
    if settings.unsubscribe_domain and not is_address(f"{LOCAL}@{settings.unsubscribe_domain}"):
        problems.append("unsubscribe_domain is not the domain of an email address")
    problems += [
        f"there is no footer in {language!r}; there are {', '.join(WORDINGS)}"
        for language in sorted({settings.language, *settings.languages.values()} - WORDINGS.keys())
    ]
    if settings.reply_to is ReplyTo.TOKEN:
        local = settings.reply_address.rpartition("@")[0]
        if not is_address(settings.reply_address) or len(local) > REPLY_LOCAL_LIMIT:
            problems.append(
                f"reply_address must be an address with at most {REPLY_LOCAL_LIMIT} characters before the @"
            )
    if settings.reply_to is ReplyTo.ADDRESS and not is_address(settings.reply_address):
        problems.append("reply_address is not an email address")
    if problem := key_problem(settings.signing_keys):
        problems.append(problem)
    if problems:
        raise ConfigurationError("; ".join(problems) + ".", where="[email]", do_next="Set these and start again.")


def _url_problem(url: str) -> str:
    """What keeps a URL from being the one-click address, "" when nothing does."""
    if not url.strip():
        return "unsubscribe_url is missing: every email carries a one-click unsubscribe (RFC 8058)"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "unsubscribe_url is not a URL"
    if not host or parts.query or parts.fragment or not _URL_CHARACTERS.fullmatch(url):
        return "unsubscribe_url must be a plain URL without ? or #"
    # RFC 8058 asks for HTTPS; a loopback address is nobody's mailbox.
    if parts.scheme != "https" and not (parts.scheme == "http" and host in {"127.0.0.1", "localhost", "::1"}):
        return "unsubscribe_url must begin with https:// (RFC 8058)"
    return ""
