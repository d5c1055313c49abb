"""The door: people reach the unsubscribe page, and vendors can post."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from crmdrip.config import Settings
from crmdrip.ports import CheckResult
from crmdrip.ports.finding import ok, warn
from crmdrip.secrets import is_sandbox_constant
from crmdrip.settings import is_loopback


def check_unsubscribe(settings: Settings) -> Iterator[CheckResult]:
    """People can reach the page in every email, and nobody can forge its links (P7)."""
    url = settings.unsubscribe.base_url
    if is_loopback(urlsplit(url).hostname):
        yield warn(
            "UNSUB-URL",
            f"{url} leads to this machine: nobody else can unsubscribe there.",
            "For real email, give the https address at which the world reaches [web] listen.",
        )
    elif settings.web.address is None:
        yield warn(
            "UNSUB-URL",
            f"unsubscribe links lead to {urlsplit(url).hostname}, and this daemon has no door.",
            "Set [web] listen, or make sure that another crmdrip answers there on the same ledger.",
        )
    else:
        yield ok("UNSUB-URL", f"unsubscribe links lead to {url}.")
    if any(is_sandbox_constant(key.get_secret_value()) for key in settings.unsubscribe.keys):
        yield warn(
            "UNSUB-KEYS",
            "unsubscribe links are signed with the sandbox's key, which everybody knows.",
            'For real email: keys = [{ env = "UNSUBSCRIBE_KEY" }].',
        )
    else:
        yield ok("UNSUB-KEYS", f"{len(settings.unsubscribe.keys)} signing keys.")


def check_door(settings: Settings, sources: tuple[str, ...]) -> Iterator[CheckResult]:
    """Vendors can post what they have to tell. sources: of the hooks and hints that the connectors offer."""
    if settings.replies.domain and not any(source.endswith(":inbound") for source in sources):
        yield warn(
            "WEB-REPLIES",
            f"answers go to {settings.replies.domain}, and nobody may post mail here: they stay unheard.",
            "Give the mail connector a key or a secret for inbound mail (docs/door.md), or remove [replies] domain.",
        )
    hints = bool(settings.web.hint_secrets)
    if not sources and not hints:
        yield ok("WEB-URL", "nobody posts to the door: events and changes are asked for, and none is told.")
        return
    url = settings.web.public_url
    if settings.web.address is None:
        yield warn("WEB-URL", "vendors are to post here, and this daemon has no door.", "Set [web] listen.")
    elif not url:
        yield warn(
            "WEB-URL",
            "vendors are to post here, and it is not said where they reach the door.",
            "Set [web] public_url to its https address, and type the addresses that are shown then at the vendors.",
        )
    elif is_loopback(urlsplit(url).hostname):
        yield warn("WEB-URL", f"{url} leads to this machine: no vendor can post there.", "Give its https address.")
    else:
        paths = [f"{url}/hooks/{source.replace(':', '/')}" for source in sources]
        paths += [f"{url}/hints/<secret>"] if hints else []
        yield ok("WEB-URL", f"vendors post to {', '.join(paths)}.")
