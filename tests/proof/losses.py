"""A ledger that is lost with thousands in flight: nobody is mailed twice, nobody is forgotten (B4, P6).

Everything that can stand between a ledger and its CRM stands there at once: emails of which only the provider knows,
touches in doubt, write-backs that are owed, people whose address was changed, people who answered meanwhile. The daemon
that starts on the empty file has to find all of that out by itself.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

from lives import MAIL_TROUBLES
from mortality import Killed
from scene import Scene

from crmdrip.core.model import TouchState
from crmdrip.core.struct import replace
from crmdrip.daemon.reconcile import count_unproven
from crmdrip.ledger import touches
from crmdrip.ledger.errors import LedgerBrokenError

STEPS = 4


@dataclass(kw_only=True, slots=True)
class Loss:
    """What came of it."""

    people: int
    unheard: int = 0
    """Emails that the provider had accepted and the CRM did not know of when the ledger was lost."""
    doubtful: int = 0
    """Touches in doubt by then."""
    owed: int = 0
    """Write-backs that were owed by then."""
    filled_seconds: float = 0.0
    """Until the ledger was filled from the CRM."""
    proven_passes: int = 0
    """Passes until everybody was looked up in the log."""
    emails: int = 0
    needs_person: list[str] = field(default_factory=list)
    """Addresses of the touches that a person decides about."""
    violations: list[str] = field(default_factory=list)


def play_loss(crm: str, folder: Path, blank: Path, people: int, random: Random) -> Loss:
    """Two days of a sequence of four emails, the loss in the middle of a batch, and the rest of the weeks."""
    with Scene(crm, folder, blank, connections=8) as scene:
        scene.limits = {"confirm_above": 10 * people, "sender_per_day": 10 * people, "domain_per_hour": 10 * people}
        sequence = scene.do(
            scene.org.add_sequence, "Four emails", [0, 1, 1, 1], {"confirmed": True, "entry_cap": 10 * people}
        )
        for number in range(people):
            scene.do(scene.org.add_person, "Contact", f"p{number}@firm{number}.example", sequence)
        ids = scene.do(_ids, scene)
        loss = Loss(people=people)
        scene.begin()
        scene.turn()
        scene.later(days=1, minutes=10)
        stopped = _go_on(scene, random, ids)
        scene.later(days=1)
        _break_off(scene, random, people)
        loss.unheard, loss.doubtful, loss.owed = _count(scene)
        before = time.monotonic()
        scene.lose_ledger()
        loss.filled_seconds = time.monotonic() - before
        while count_unproven(scene.parts).runs and loss.proven_passes < 1000:
            scene.later(minutes=6)
            scene.turn()
            loss.proven_passes += 1
        scene.play(scene.now + timedelta(days=14), timedelta(hours=8))
        _judge(scene, loss, ids, stopped)
    return loss


def _ids(scene: Scene) -> list[str]:
    world = scene.sandbox.world.actions
    found = []
    number = 0
    while rows := world.records_at(f"p{number}@firm{number}.example"):
        found.append(str(rows[0]["Id"]))
        number += 1
    return found


def _go_on(scene: Scene, random: Random, ids: list[str]) -> set[str]:
    """The second email goes out among lost answers; some answer, are unticked, or get another address."""
    lost, cut = (replace(MAIL_TROUBLES[name], probability=0.03, times=None) for name in ("lost answer", "cut"))
    scene.fail("mail", lost, cut)
    scene.turn()
    scene.do(scene.sandbox.account.faults.clear)
    actions = scene.sandbox.world.actions
    chosen = random.sample(range(len(ids)), max(6, len(ids) // 20))
    stopped = set()
    for place, number in enumerate(chosen):
        address = f"p{number}@firm{number}.example"
        if place % 3 == 0:
            scene.do(actions.reply, address, "No, thank you.")
            stopped.add(ids[number])
        elif place % 3 == 1:
            scene.do(actions.untick, ids[number])
            stopped.add(ids[number])
        elif TouchState.IN_DOUBT not in scene.states_of(ids[number]):  # where it is, see docs/guarantee.md
            new = f"moved{number}@firm{number}.example"
            scene.do(actions.change_address, ids[number], new)
    return stopped


def _break_off(scene: Scene, random: Random, people: int) -> None:
    """The third email: the process dies among its answers, and what it had sent is in no CRM."""
    for name in ("pull", "dispatch"):
        if name == "dispatch":
            scene.mortality.arm(random.randrange(people, 2 * people))
        with suppress(Killed, LedgerBrokenError):
            scene.run_pass(name)


def _count(scene: Scene) -> tuple[int, int, int]:
    """Emails that the CRM has not heard of, touches in doubt, write-backs owed."""
    scene.end()
    scene.mortality.revive()
    scene.start_unprepared()
    with scene.parts.ledger.read() as connection:
        states = touches.count_touches(connection)
    told = scene.do(scene.org.count_touches)
    sent = len(scene.do(lambda: scene.sandbox.account.accepted))
    return sent - told, states.get("in_doubt", 0) + states.get("intended", 0), len(scene.owed())


def _judge(scene: Scene, loss: Loss, ids: list[str], stopped: set[str]) -> None:
    """Everybody has had all four emails, has stopped, or waits for a person; the watch saw the rest."""
    loss.violations += scene.watch.violations
    accepted = scene.do(lambda: list(scene.sandbox.account.accepted))
    loss.emails = len(accepted)
    got = Counter(email.to.lower().removeprefix("moved").removeprefix("p") for email in accepted)
    with scene.parts.ledger.read() as connection:
        asked = touches.needing_person(connection, 1_000_000)
    loss.needs_person = sorted(touch.address for touch in asked)
    waiting = {address.removeprefix("moved").removeprefix("p") for address in loss.needs_person}
    for record_id in ids:
        shown = scene.show(record_id)
        who = shown.email.removeprefix("moved").removeprefix("p")
        said = f"{shown.email} is {shown.status!r}, {shown.reason!r}, after {got[who]} emails"
        if record_id in stopped:
            if shown.status != "Stopped" or shown.enrolled:
                loss.violations.append(f"P2: {said}")
        elif who in waiting:
            if "a person decides" not in shown.reason:
                loss.violations.append(f"P3: {said}, and waits for a person")
        elif shown.status != "Finished" or got[who] != STEPS:
            loss.violations.append(f"P6: {said}")
    if scene.owed():
        loss.violations.append(f"P3: {len(scene.owed())} write-backs are owed")
