"""A reply is told to the others of the same account, whose sequences say what it means for them (B6)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core.keys import domain_of, touch_id
from crmdrip.core.model import Enrollment, OnColleagueReply, RunStatus, Signal, SignalKind, TouchRecord
from crmdrip.core.whose import is_company
from crmdrip.core.words import clip, day
from crmdrip.core.writes import ASKED
from crmdrip.daemon.snapshots import Background
from crmdrip.ledger import addressees, people, runs

log = structlog.get_logger()

SOURCE = "crmdrip"


def tell_colleagues(
    connection: Connection, heard: Iterable[Signal], background: Background, org_id: str, now: datetime
) -> list[Signal]:
    """Store a signal for each colleague who is in a sequence that minds; returns the new ones.

    Colleagues are who has the same account; without one, who is at the same domain, unless anybody can be there.
    """
    told = []
    for reply in heard:
        if reply.kind is SignalKind.REPLY:
            colleagues = _colleagues(connection, reply)
            told += [_signal(reply, run, org_id, policy) for run in colleagues if (policy := _policy(run, background))]
    new = people.add_signals(connection, told, now)
    if new:
        log.info("colleagues_told", runs=len(new))
    return new


def ask_again(connection: Connection, found: Iterable[TouchRecord], now: datetime) -> None:
    """A ledger that was lost knows again from the tasks on timelines which paused runs wait for the rep (P6).

    Whether a task is completed it does not show; but then the run would not be paused.
    """
    asked = [one for one in found if one.outcome == ASKED and one.sequence_id]
    adopted = runs.runs_of_records(connection, {one.record_id for one in asked})
    told = []
    for one in asked:
        run = adopted.get((one.record_id, one.sequence_id, one.run))
        if run is not None and run.status is RunStatus.PAUSED:
            told.append(
                Signal(
                    key=f"{SOURCE}:{SignalKind.COLLEAGUE_REPLY}:{one.touch_id}",
                    kind=SignalKind.COLLEAGUE_REPLY,
                    at=max(one.at, run.entered_at),
                    source=SOURCE,
                    record_id=run.ref.id,
                    address=run.address,
                    touch_id=one.touch_id,
                    detail=f" on {day(one.at)}",
                )
            )
    people.add_signals(connection, told, now)


def _colleagues(connection: Connection, reply: Signal) -> list[Enrollment]:
    """The live runs of the others of the account that began before the reply."""
    known = list(people.known_records(connection, filter(None, [reply.record_id])).values())
    for of_address in people.records_of_addresses(connection, filter(None, [reply.address])).values():
        known += of_address
    accounts = {record.account_id for record in known if record.account_id}
    found = {run.id: run for run in addressees.live_of_accounts(connection, accounts)}
    domain = domain_of(reply.address or "")
    if is_company(domain):
        near = runs.live_runs_of_addresses(connection, addressees.addresses_at(connection, domain))
        records = people.known_records(connection, [run.ref.id for run in near.values()])
        for run in near.values():
            record = records.get(run.ref.id)
            # Two accounts at one domain are two branches of a company: one does not answer for the other.
            if not accounts or record is None or not record.account_id:
                found[run.id] = run
    own = {record.ref.id for record in known}
    return [
        run
        for run in found.values()
        if run.address != reply.address and run.ref.id not in own and run.entered_at <= reply.at
    ]


def _policy(run: Enrollment, background: Background) -> OnColleagueReply | None:
    known = background.sequences.get(run.sequence_id)
    if known is None or known.good is None or known.good.on_colleague_reply is OnColleagueReply.IGNORE:
        return None
    return known.good.on_colleague_reply


def _signal(reply: Signal, run: Enrollment, org_id: str, policy: OnColleagueReply) -> Signal:
    asks = policy is OnColleagueReply.PAUSE
    task = touch_id(org_id, run.person, run.sequence_id, run.run, f"colleague:{reply.key}")
    return Signal(
        key=f"{SOURCE}:{SignalKind.COLLEAGUE_REPLY}:{task}",
        kind=SignalKind.COLLEAGUE_REPLY,
        at=reply.at,
        source=SOURCE,
        record_id=run.ref.id,
        address=run.address,
        touch_id=task if asks else None,
        detail=clip(f" ({reply.address}) on {day(reply.at)}" if reply.address else f" on {day(reply.at)}"),
    )
