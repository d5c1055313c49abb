"""What is wrong with a sequence that is in force all the same: told in the Error field of its record (P3, B24, P4).

A merge field that nobody can see holds the steps that use it, a hidden field of the stop condition everybody. Neither
shows in the definition: a permission may go and come back without an edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog
from sqlalchemy import Connection

from crmdrip.core import words
from crmdrip.core.compose import merge_paths
from crmdrip.core.errors import CrmdripError, UnknownPathsError
from crmdrip.core.model import Sequence
from crmdrip.core.steps import progress
from crmdrip.core.writes import Priority, SequenceWrite
from crmdrip.daemon.parts import Parts
from crmdrip.ledger import definitions, marks, outbox, tallies
from crmdrip.ledger.definitions import KnownSequence

log = structlog.get_logger()

_PREFIX = "remark:"


def check_fields(parts: Parts, sequence_ids: Iterable[str]) -> None:
    """Ask the CRM for the merge fields of these sequences, and tell on each what cannot be seen.

    One call, for sequences that changed. A CRM that does not answer now tells it with the next look.
    """
    ids = frozenset(sequence_ids)
    if not ids:
        return
    with parts.ledger.read() as connection:
        known = definitions.load_sequences(connection)
    good = {one: known[one].good for one in ids if one in known}
    paths = merge_paths([step for sequence in good.values() if sequence is not None for step in sequence.steps])
    try:
        problems = parts.source.look((), paths, None, ids).problems
        unknown: frozenset[str] = frozenset()
    except UnknownPathsError as error:
        problems, unknown = {}, error.paths
    except CrmdripError as error:
        log.warning("merge_fields_not_checked", error_class=error.error_class.value)
        return
    remark(parts, ids, unknown, problems)


def remark(parts: Parts, sequence_ids: Iterable[str], unknown: frozenset[str], problems: Mapping[str, str]) -> None:
    """Tell what a look found wrong with these sequences, or that it is mended. Stores only what changed.

    unknown: merge paths nobody can see. problems: by sequence id, what the CRM says of its definition.
    """
    ids = frozenset(sequence_ids)
    with parts.ledger.read() as connection:
        told = marks.read_marks(connection, _PREFIX)
        if not (unknown or problems or any(f"{_PREFIX}{one}" in told for one in ids)):
            return
        known = definitions.load_sequences(connection)
    found = {
        one: " ".join(filter(None, (problems.get(one, ""), *_unseen(sequence, unknown))))
        for one in ids
        if one in known and (sequence := known[one].good) is not None
    }
    changed = {one: text for one, text in found.items() if told.get(f"{_PREFIX}{one}", "") != text}
    if not changed:
        return
    now = parts.clock.now()
    with parts.ledger.write() as connection:
        known = definitions.load_sequences(connection)
        for one, text in changed.items():
            if text:
                marks.set_mark(connection, f"{_PREFIX}{one}", text)
                log.warning("sequence_remarked", sequence=one)
            else:
                marks.clear_mark(connection, f"{_PREFIX}{one}")
                log.info("sequence_mended", sequence=one)
            counts = tallies.totals(connection, [one])[one]
            outbox.owe(connection, [(sequence_write(connection, known[one], counts), Priority.REPORT)], now)


def _unseen(sequence: Sequence, unknown: frozenset[str]) -> list[str]:
    if not unknown:
        return []
    return [
        f"Step {progress(sequence, step, 0)}: {{{{ {path} }}}} is no field that can be seen."
        " Correct it or grant read access: without a default the step waits."
        for step in sequence.steps
        if step.active
        for path in sorted(merge_paths([step]) & unknown)
    ]


def sequence_write(connection: Connection, known: KnownSequence, counts: Mapping[str, int]) -> SequenceWrite:
    """What the sequence's record is to show: its version and figures, and what is wrong with it."""
    error = known.error or marks.read_mark(connection, f"{_PREFIX}{known.id}") or ""
    return SequenceWrite(
        key=f"sequence:{known.id}",
        sequence_id=known.id,
        version=known.good.version if known.good is not None else "",
        error=words.clip(error),
        counts=counts,
    )
