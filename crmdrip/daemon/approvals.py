"""An approval lets one step go out. Until our own write has unticked the box, what it shows was used before."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection

from crmdrip.core.model import Record
from crmdrip.core.struct import replace
from crmdrip.core.writes import approval_key
from crmdrip.ledger import outbox


def without_used(connection: Connection, records: Mapping[str, Record], used: AbstractSet[str]) -> Mapping[str, Record]:
    """The looked-at records by id, those approvals taken off that let an earlier step out.

    used: ids of the records that were owed the untick before they were asked for (Seen.approvals). Whose box
    is found off is owed it no more: somebody else unticked it, and the next tick is a new approval.
    """
    concerned = [records[one] for one in used if one in records]
    if not concerned:
        return records
    outbox.forget(connection, [approval_key(one.ref.id) for one in concerned if not one.approved])
    return {**records, **{one.ref.id: replace(one, approved=False) for one in concerned}}
