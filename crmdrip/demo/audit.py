"""The audit: what the stand-ins saw, held against the promises. It asks the sandbox, and the daemon only for counts.

Records are read by a login and requests of its own, as an auditor of the CRM would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from crmdrip.demo.answers import tally
from crmdrip.demo.crm import DemoCrm, Shown
from crmdrip.demo.stage import Stage
from crmdrip.ledger import outbox, runs
from crmdrip.ledger.store import Ledger

_UNDER_WAY = frozenset({"Queued", "Active"})
_WAITING = frozenset({"Held", "Paused"})
OVERDUE = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """The demo's result, field by field what `--json` prints."""

    crm: str
    """The CRM's connector."""
    installed: int
    """What crmdrip install made beforehand in a CRM with nothing of crmdrip in it."""
    people: int
    ticked: int
    """Boxes ticked by reps."""
    enrolled: int
    """Runs begun."""
    refused: int
    """Boxes answered with a reason why no run begins."""
    touches_accepted: int
    """Emails the provider accepted."""
    duplicate_touches: int
    """Emails accepted for a touch that had been accepted before (P1)."""
    touches_after_stop: int
    """Emails accepted after the person had stopped them (P2)."""
    unexplained_due: int
    """People with a ticked box whose record does not say what happens next, or why nothing does (P3)."""
    stops: Mapping[str, int]
    """Ended runs by reason."""
    replies: int
    """Mails that people wrote back."""
    auto_replies: int
    """Mails that came back and that nobody wrote."""
    replies_unheard: int
    """Replies to our own reply address that nobody read."""
    reply_taken_for_auto_reply: int
    auto_reply_taken_for_reply: int
    opt_outs_unasked: int
    """Opt-outs in the CRM that nobody asked for (B22: gateways visit every link)."""
    stop_latency_seconds: Mapping[str, float]
    """Median and longest, in real seconds: from the arrival of an answer or an event at the door until the runs it
    stops have ended in the ledger (demo.latency)."""
    write_backs_pending: int
    """Changes still owed to the CRM, parked ones included."""
    crm_calls: int
    """Of the daemon; those of the installation are not among them."""
    crm_calls_per_1000_touches: float
    provider_requests: int
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether the promises held."""
        broken = (
            self.duplicate_touches,
            self.touches_after_stop,
            self.unexplained_due,
            self.replies_unheard,
            self.opt_outs_unasked,
            self.write_backs_pending,
        )
        return not any(broken)

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return asdict(self)


def audit(
    crm: DemoCrm,
    stage: Stage,
    ledger: Ledger,
    *,
    now: datetime,
    seconds: float,
    latency: Mapping[str, float],
    installed: int,
    calls: int,
) -> Findings:
    """Ask everybody, once everything is settled. calls: of the daemon to the CRM."""
    state = stage.state()
    people = list(crm.read_people(stage.crm, stage.ticked()))
    with ledger.read() as connection:
        enrolled = sum(runs.count_by_status(connection).values())
        stops = runs.count_stops(connection)
        pending = sum(outbox.pending(connection))
    # Answers that are sent on to the reps are no touches.
    accepted = int(state["accepted"]) - int(state["to_reps"])
    heard = tally(stage.answers(), ledger)
    return Findings(
        crm=crm.name,
        installed=installed,
        people=state["people"],
        ticked=state["boxes_ticked"],
        enrolled=enrolled,
        refused=sum(one.status == "Refused" for one in people),
        touches_accepted=accepted,
        duplicate_touches=state["duplicates"],
        touches_after_stop=state["touches_after_stop"],
        unexplained_due=sum(not explained(one, now) for one in people),
        stops={key.removeprefix("stop."): count for key, count in sorted(stops.items())},
        replies=heard.replies,
        auto_replies=heard.auto_replies,
        replies_unheard=heard.unheard,
        reply_taken_for_auto_reply=heard.reply_taken_for_auto_reply,
        auto_reply_taken_for_reply=heard.auto_reply_taken_for_reply,
        opt_outs_unasked=state["unasked_opt_outs"],
        stop_latency_seconds=latency,
        write_backs_pending=pending,
        crm_calls=calls,
        crm_calls_per_1000_touches=round(1000 * calls / accepted, 1) if accepted else 0.0,
        provider_requests=sum(state["provider_requests"].values()),
        seconds=round(seconds, 1),
    )


def explained(one: Shown, now: datetime) -> bool:
    """Whether a record whose box was once ticked says what happens next, or why nothing does (P3)."""
    if not one.status:
        return not one.ticked  # unticked again before anybody looked: nothing began, so nothing is due
    if not one.reason:
        return False
    if one.status in _UNDER_WAY:
        return one.ticked and one.next_touch is not None and one.next_touch >= now - OVERDUE
    # After its end the box is off: on, it would promise email that never comes (B9).
    return one.status in _WAITING or not one.ticked
