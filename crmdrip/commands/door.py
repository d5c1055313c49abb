"""Opens the daemon's door from settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crmdrip.config import Settings
from crmdrip.daemon.loop import Daemon
from crmdrip.daemon.parts import Parts
from crmdrip.web.clients import read_networks
from crmdrip.web.door import Door, build_app, listen
from crmdrip.web.health import Health, LoopHealth, MailboxHealth
from crmdrip.web.hooks import Figures, Hooks
from crmdrip.web.pages import Pages
from crmdrip.web.unsubscribe import Unsubscribes


@contextmanager
def open_door(settings: Settings, parts: Parts, daemon: Daemon) -> Iterator[None]:
    """Serve the door while inside; nothing when none is wanted. Raises ConfigurationError."""
    address = settings.web.address
    if address is None:
        yield
        return
    unsubscribes = Unsubscribes(parts, tuple(key.get_secret_value() for key in settings.unsubscribe.keys))
    hooks = Hooks(
        parts,
        [secret.get_secret_value() for secret in settings.web.hint_secrets],
        on_stored=lambda: daemon.hasten("received"),
        on_hint=lambda: daemon.hasten("pull"),
    )
    proxies = read_networks(settings.web.proxies)
    with Door(listen(address)) as door:
        door.serve(
            build_app(
                watch=lambda: watch(daemon, parts, hooks.figures),
                unsubscribes=unsubscribes,
                pages=Pages(settings.sender.company, settings.sender.postal_address, settings.sender.language),
                base_url=settings.unsubscribe.base_url,
                after=door.after,
                hooks=hooks.routes(settings.web.prefix),
                proxies=proxies,
            ),
            proxies=proxies,
        )
        yield


def watch(daemon: Daemon, parts: Parts, figures: Figures) -> Health:
    """How the daemon and its door are doing now."""
    budget = parts.source.budget()
    return Health(
        alive=daemon.alive,
        ready=daemon.ready,
        loops={
            name: LoopHealth(failures=state.failures, last_success=state.last_success, error=state.last_error)
            for name, state in daemon.states.items()
        },
        calls_used=budget.used,
        calls_limit=budget.limit,
        posts=figures.read(),
        mailboxes={
            one.name: MailboxHealth(heard_at=one.heard_at, error=one.error) for one in parts.mailboxes.hearings()
        },
    )
