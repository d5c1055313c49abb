"""The door: people reach the unsubscribe page, and vendors can post."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from crmdrip.config import Settings
from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.doctor.ledger import tell_holder
from crmdrip.ports import CheckResult
from crmdrip.ports.finding import fail, ok, warn
from crmdrip.secrets import is_sandbox_constant
from crmdrip.settings import is_loopback
from crmdrip.web.door import PortTakenError, listen

_SECONDS = 3.0
"""How long whoever has the port may take to say who it is."""
_LONGEST_ANSWER = 65_536
"""Characters of it."""
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only ever asked for
"""Where to ask what listens on every address."""


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


def check_port(settings: Settings) -> Iterator[CheckResult]:
    """The door can listen where it is to, or does so already: nobody else has its port."""
    address = settings.web.address
    if address is None:
        return
    host, port = address
    try:
        listen(address).close()
    except PortTakenError as error:
        yield _tell_taken(settings, host, port, error)
    except ConfigurationError as error:
        yield fail("WEB-PORT", error.problem, error.do_next)
    else:
        yield ok("WEB-PORT", f"the port {port} of {host} is free for the door.")


def _tell_taken(settings: Settings, host: str, port: int, error: PortTakenError) -> CheckResult:
    if not _answers_as_door(host, port):
        return fail("WEB-PORT", f"{error.problem} It is no crmdrip, or one that hangs.", error.do_next)
    try:
        holder = tell_holder(settings.ledger.url)
    except CrmdripError:
        holder = ""  # which the checks of the ledger tell
    if holder:
        return ok("WEB-PORT", f"the daemon that works on this ledger answers at port {port} of {host}.")
    return fail("WEB-PORT", f"{error.problem} It is a crmdrip that works on another ledger.", error.do_next)


def _answers_as_door(host: str, port: int) -> bool:
    """Whether what listens there is a daemon's door, by its /healthz."""
    connection = HTTPConnection(_ANY.get(host, host), port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        told = json.loads(connection.getresponse().read(_LONGEST_ANSWER))
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return isinstance(told, dict) and {"alive", "ready"} <= told.keys()
