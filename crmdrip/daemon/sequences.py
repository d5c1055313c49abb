"""Sequences as the CRM has them by now: what of an edit comes into force, and what is told on the record."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import Connection

from crmdrip.core.definition import validate
from crmdrip.core.model import Sequence, SequenceDraft
from crmdrip.core.render import check_template
from crmdrip.core.writes import Priority
from crmdrip.daemon.remarks import sequence_write
from crmdrip.ledger import definitions, due_runs, outbox, tallies
from crmdrip.ports import PullPage

log = structlog.get_logger()


def store_definitions(connection: Connection, page: PullPage, now: datetime) -> None:
    """Valid edits come into force; invalid ones leave the last good version and write the error on the record."""
    before = definitions.load_sequences(connection) if page.sequences else {}
    for draft in page.sequences:
        result = validate(draft, check_template=check_template)
        known = before.get(draft.id)
        if not isinstance(result, Sequence):
            error = " ".join(result)
            if known is None or known.error != error:
                definitions.save_broken(connection, draft.id, _name_of(draft), error, now)
                _owe_report(connection, draft.id, now)
                log.warning("sequence_invalid", sequence=draft.id, problems=len(result))
            continue
        if known is not None and known.good == result and not known.error and not known.removed:
            continue
        definitions.save_good(connection, result, now)
        _owe_report(connection, result.id, now)
        if result.confirmed:
            definitions.clear_suspicion(connection, result.id, now)
        due_runs.wake_sequence(connection, result.id, now)
        log.info("sequence_changed", sequence=result.id, version=result.version, status=result.status.value)
    if page.removed_sequences:
        definitions.remove(connection, page.removed_sequences, now)
        for sequence_id in page.removed_sequences:
            due_runs.wake_sequence(connection, sequence_id, now)


def _name_of(draft: SequenceDraft) -> str:
    return str(draft.fields.get("name") or draft.id)


def _owe_report(connection: Connection, sequence_id: str, now: datetime) -> None:
    known = definitions.load_sequences(connection)[sequence_id]
    figures = tallies.totals(connection, [sequence_id])[sequence_id]
    outbox.owe(connection, [(sequence_write(connection, known, figures), Priority.REPORT)], now)
