"""A person's data is erased, and they are never mailed again: what stays of them is a hash.

The CRM and the provider are told what they must know and nothing is deleted there: their records are not ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core.effects import tell_suppression
from crmdrip.core.model import RecordRef, SignalKind
from crmdrip.daemon.signals import stop_runs
from crmdrip.daemon.snapshots import load_background
from crmdrip.ledger import erasure, outbox, people, runs, suppressions
from crmdrip.ledger.erasure import Traces

log = structlog.get_logger()

SOURCE = "command"


def erase_person(connection: Connection, traces: Traces, refs: Iterable[RecordRef], org_id: str, now: datetime) -> None:
    """Suppress every address of the person, end their runs, and take them out of the ledger, all in one transaction.

    refs: their records in the CRM, as far as it was asked. The CRM's opt-out box is ticked on these and on those known
    here: it is what a lost ledger would learn the suppression from. Raises RetriableError while an email to the person
    is on its way.
    """
    erasure.refuse_while_sending(connection, traces)
    suppressions.mark_erased(connection, traces.keys, now, SOURCE)
    locked = runs.lock_runs(connection, traces.run_ids)
    stop_runs(connection, [run for run in locked.values() if run.status.live], load_background(connection), org_id, now)
    known = people.known_records(connection, traces.record_ids)
    told = {*refs, *(one.ref for one in known.values() if not one.deleted)}
    writes = tell_suppression(SignalKind.OPT_OUT, tuple(sorted(told, key=lambda ref: ref.id)), "", now)
    outbox.owe(connection, writes, now)
    erasure.erase(connection, traces)
    log.info("person_erased", runs=len(traces.run_ids), records=len(told))
