"""Bulk loading of rows: no rules, few statements, indexes built once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from crmdrip.sandbox.salesforce import ids
from crmdrip.sandbox.salesforce.schema import Field, SObject
from crmdrip.sandbox.salesforce.store import Store
from crmdrip.sandbox.salesforce.values import accept

CHUNK = 10_000
ROWS_PER_STAMP = 200
"""As when they were imported through the API."""
_REBUILD = 50_000
"""From so many rows on, building the indexes anew is faster than keeping them."""

_STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
_USERS = ("CreatedById", "LastModifiedById", "OwnerId")
_READY = (str, int, float, type(None))


def seed_rows(
    store: Store, spec: SObject, rows: Iterable[Mapping[str, Any]], user_id: str, first_stamp: int
) -> tuple[list[str], int]:  # fmt: skip
    """Insert the rows and return their ids and the last stamp given."""
    source = iter(rows)
    chunk = list(islice(source, CHUNK))
    record_ids: list[str] = []
    stamp = first_stamp
    rebuild = False
    with store.savepoint():
        while chunk:
            following = list(islice(source, CHUNK))
            if (
                following
                and not rebuild
                and len(record_ids) + 2 * CHUNK > _REBUILD
                and not store.count(spec) > _REBUILD
            ):
                rebuild = True
                store.drop_indexes(spec)
            stamp = _insert(store, spec, chunk, record_ids, user_id=user_id, stamp=stamp)
            chunk = following
        if rebuild:
            store.create_indexes(spec)
    return record_ids, stamp


def _insert(
    store: Store, spec: SObject, chunk: list[Mapping[str, Any]], record_ids: list[str], *, user_id: str, stamp: int
) -> int:  # fmt: skip
    given = list(dict.fromkeys(name for row in chunk for name in row if name != "Id"))
    person = "Name" in spec.fields and "LastName" in spec.fields and "Name" not in given
    always = [name for name in (*_STAMPS, *_USERS) if name in spec.fields]
    defaults = {each.name: accept(each, each.default) for each in spec.fields.values() if each.default is not None}
    names = list(dict.fromkeys([*given, *always, *defaults]))
    fields = [spec.fields[name] for name in names]
    stored = []
    for place, row in enumerate(chunk):
        if place and place % ROWS_PER_STAMP == 0:
            stamp += 1
        record_id = row.get("Id") or ids.mint(spec.prefix, store.next_number(spec.name))
        record_ids.append(record_id)
        absent = {**defaults, **dict.fromkeys(_STAMPS, stamp), **dict.fromkeys(_USERS, user_id)}
        values = [_stored(each, row.get(each.name, absent.get(each.name))) for each in fields]
        full_name = (" ".join(filter(None, (row.get("FirstName"), row.get("LastName")))),) if person else ()
        stored.append((record_id, *values, *full_name))
    store.insert_many(spec.name, ["Id", *names, *(("Name",) if person else ())], stored)
    return stamp + 1


def _stored(each: Field, value: Any) -> Any:
    if each.type == "boolean":
        return int(bool(value))
    # Text and numbers go in as they are, malformed addresses included: imports older than a rule are in every org.
    if isinstance(value, _READY) and not (isinstance(value, str) and each.type == "datetime"):
        return value
    return accept(each, value)
