"""crmdrip run."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from crmdrip.cluster.membership import comes_second, join
from crmdrip.commands.door import open_door
from crmdrip.commands.rival import refuse_beside_rival, take_over
from crmdrip.commands.setup import read_settings_to_work, work, work_together
from crmdrip.config import Settings
from crmdrip.daemon.loop import Daemon, Rhythm


@click.command()
@take_over
@click.pass_obj
def run(config: Path, *, take_over: bool) -> int:
    """Run the daemon: pull, send, write back, until told to stop.

    Ends in order on SIGTERM and Ctrl-C: what is under way is finished, for at most [daemon] drain_seconds. With
    [cluster] enabled it shares the work with every other daemon of its ledger.
    """
    settings = read_settings_to_work(config)
    with work_together(settings) if settings.cluster.enabled else work(settings) as parts, ExitStack() as membership:
        if not take_over and not (settings.cluster.enabled and comes_second(parts, settings.cluster.lease_seconds)):
            refuse_beside_rival(parts)
        if settings.cluster.enabled:
            daemon = membership.enter_context(join(parts, rhythm_of(settings), settings.cluster.lease_seconds))
        else:
            daemon = Daemon(parts, rhythm_of(settings))
        daemon.handle_signals()
        with open_door(settings, parts, daemon), parts.mailboxes.listening(lambda: daemon.hasten("received")):
            code = daemon.run()
        if not daemon.drained:
            # A loop is still under way, and Python would wait for its thread for ever. What it had committed to is in
            # the ledger; the next start settles it (B1).
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return code


def rhythm_of(settings: Settings) -> Rhythm:
    """How often each loop runs."""
    daemon = settings.daemon
    return Rhythm(
        every={
            "pull": daemon.pull_seconds,
            "feed": daemon.feed_seconds,
            "received": daemon.received_seconds,
            "dispatch": daemon.dispatch_seconds,
            "forward": daemon.received_seconds,
            "reconcile": daemon.reconcile_seconds,
            "figures": FIGURES_SECONDS,
            "write_back": daemon.write_back_seconds,
        },
        error_budget=daemon.error_budget,
        drain_seconds=daemon.drain_seconds,
    )


FIGURES_SECONDS = 300.0
"""Between two heartbeats in the CRM."""
