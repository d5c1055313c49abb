"""Keeps a second daemon with a ledger of its own off an org. The lock of a ledger cannot: each has its own (P1)."""

from __future__ import annotations

from datetime import timedelta

import click

from crmdrip.core.errors import CrmdripError
from crmdrip.daemon.parts import Parts
from crmdrip.daemon.rebuild import needs_rebuild
from crmdrip.ledger import marks
from crmdrip.ledger.errors import LedgerBusyError

SILENCE = timedelta(minutes=6)
"""After which whoever wrote the last heartbeat works no more: a daemon leaves one every five minutes at least."""

take_over = click.option(
    "--take-over", is_flag=True, help="Begin with this ledger at once: the daemon that had another one has ended."
)


def refuse_beside_rival(parts: Parts) -> None:
    """Raises LedgerBusyError when the org's last heartbeat is young, and not of this ledger's daemon.

    Where the CRM cannot be asked it says nothing: nothing is sent before it can, and the daemon waits for that.
    """
    try:
        if not needs_rebuild(parts):
            return
        brake = parts.source.look((), frozenset(), None).brake
    except CrmdripError:
        return
    beat = brake.heartbeat if brake is not None else None
    if brake is None or beat is None or parts.clock.now() - beat >= SILENCE:
        return
    with parts.ledger.read() as connection:
        own, known = marks.read_mark(connection, marks.CLAIM), marks.read_heartbeat(connection)
    if own is not None and brake.claim == own and known is not None and beat <= known:
        return  # this very ledger's, whose daemon ended while it was being filled; a copy would find a newer one
    raise LedgerBusyError(
        f"a daemon with another ledger worked on this org at {beat:%Y-%m-%d %H:%M:%S} UTC. Two would mail all twice.",
        where=parts.ledger.where,
        do_next="Stop that one, or give this one its ledger. If it has ended and its ledger is lost, add --take-over to"
        f" the command, or start after {beat + SILENCE:%H:%M} UTC: this ledger is then filled from the CRM.",
    )
