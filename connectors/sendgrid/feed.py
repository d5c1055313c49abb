"""SendGrid's suppression lists and unsubscribe groups as signals: what happened while no webhook was heard.

An address on one of these lists is answered 202 and then dropped by SendGrid, so it must stop here too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.sendgrid.client import SendGridClient
from crmdrip.core.errors import ConfigurationError, RejectedError, RetriableError
from crmdrip.core.keys import normalize_address, person_key
from crmdrip.core.model import Signal, SignalKind
from crmdrip.core.struct import replace
from crmdrip.ports import SignalPage, reads_answers_of

SOURCE = "sendgrid"
PAGE = 500
"""The most one call gives (PaginationCommonLimit in tsg_suppressions_v3.json)."""
_LATEST = 1 << 33
"""The second after which a time is none (the year 2242)."""
OVERLAP = 3600
"""Seconds read again at each poll: an entry may become visible late. Repeats carry the same key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressionList:
    """One list of suppressed addresses."""

    name: str
    """In the cursor and in keys."""
    path: str
    kind: SignalKind


LISTS = (
    SuppressionList(name="unsubscribe", path="/v3/suppression/unsubscribes", kind=SignalKind.UNSUBSCRIBE),
    SuppressionList(name="spam_report", path="/v3/suppression/spam_reports", kind=SignalKind.SPAM_REPORT),
    SuppressionList(name="bounce", path="/v3/suppression/bounces", kind=SignalKind.BOUNCE),
    SuppressionList(name="invalid", path="/v3/suppression/invalid_emails", kind=SignalKind.BOUNCE),
    # A block is one email refused by the other server (full mailbox, reputation); SendGrid goes on sending there.
    SuppressionList(name="block", path="/v3/suppression/blocks", kind=SignalKind.DEFERRED),
)


GROUPS = "group"
GROUPS_PATH = "/v3/asm/suppressions"
"""Every member of every unsubscribe group (ListAsmSuppression in tsg_suppressions_v3.json)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """How far one list is read."""

    since: int = 0
    """Epoch second the current reading starts from."""
    offset: int = 0
    """Entries of the current reading already given; 0 when none is under way."""
    newest: int = 0
    """The newest entry seen; the next reading starts shortly before it."""


@reads_answers_of("SendGrid")
class SuppressionFeed:
    """Reads the lists one after another, page by page. The cursor holds a place in each."""

    def __init__(self, client: SendGridClient, counts_group: Callable[[object], bool] | None = None) -> None:
        """counts_group: whether members of the unsubscribe group of an id are to be told; None asks for no groups."""
        self._client = client
        self._counts_group = counts_group

    def poll(self, cursor: str | None) -> Iterator[SignalPage]:
        """Entries since the cursor; None reads the whole lists.

        Every page's cursor may be saved by itself: a reading that was cut off goes on where it was. Stops come
        first. Raises AuthError, RetriableError, RateLimitedError, and ConfigurationError when the key may not read
        the lists.
        """
        places = _parse_cursor(cursor)
        for suppressions in LISTS:
            place = places.get(suppressions.name, _Place())
            if not place.offset:
                place = replace(place, since=max(0, place.newest - OVERLAP))
            more = True
            while more:
                entries = self._read(suppressions, place)
                more = len(entries) >= PAGE
                newest = max([place.newest, *(_created(entry) for entry in entries)])
                place = replace(place, newest=newest, offset=place.offset + len(entries) if more else 0)
                places[suppressions.name] = place
                signals = tuple(signal for entry in entries if (signal := _to_signal(suppressions, entry)) is not None)
                yield SignalPage(signals=signals, cursor=_dump_cursor(places))
        if self._counts_group is not None:
            # Last: a key that may not read the groups has told everything else by then.
            yield self._groups_page(self._counts_group, places)

    def _groups_page(self, counts_group: Callable[[object], bool], places: dict[str, _Place]) -> SignalPage:
        """What is new in the groups. They come whole in one answer, without pages or a time to start from."""
        place = places.get(GROUPS, _Place())
        entries = [entry for entry in self._ask(GROUPS_PATH, {}) if counts_group(entry.get("group_id"))]
        since = place.newest - OVERLAP
        signals = tuple(
            signal for entry in entries if _created(entry) >= since and (signal := _group_signal(entry)) is not None
        )
        places[GROUPS] = replace(place, newest=max([place.newest, *(_created(entry) for entry in entries)]))
        return SignalPage(signals=signals, cursor=_dump_cursor(places))

    def _read(self, suppressions: SuppressionList, place: _Place) -> list[dict[str, Any]]:
        query = {"limit": PAGE, "offset": place.offset, **({"start_time": place.since} if place.since else {})}
        return self._ask(suppressions.path, query)

    def _ask(self, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            answer = self._client.get(path, query)
        except RejectedError as error:
            raise ConfigurationError(error.what, where=error.where) from error
        if not isinstance(answer, list) or not all(isinstance(entry, dict) for entry in answer):
            raise RetriableError("SendGrid's answer is no list of entries", where=path)
        return answer


def _created(entry: dict[str, Any]) -> int:
    created = entry.get("created", entry.get("created_at"))
    return created if isinstance(created, int) and 0 <= created < _LATEST else 0


def _to_signal(suppressions: SuppressionList, entry: dict[str, Any]) -> Signal | None:
    address = normalize_address(str(entry.get("email") or ""))
    if not address:
        return None
    created = _created(entry)
    detail = " ".join(str(entry[part]) for part in ("status", "reason") if entry.get(part))
    return Signal(
        key=f"{SOURCE}:{suppressions.name}:{person_key(address)}:{created}",
        kind=suppressions.kind,
        at=datetime.fromtimestamp(created, UTC),
        source=SOURCE,
        address=address,
        detail=" ".join(detail.split())[:255],
    )


def _group_signal(entry: dict[str, Any]) -> Signal | None:
    address = normalize_address(str(entry.get("email") or ""))
    if not address:
        return None
    created = _created(entry)
    return Signal(
        key=f"{SOURCE}:{GROUPS}:{entry.get('group_id')}:{person_key(address)}:{created}",
        kind=SignalKind.UNSUBSCRIBE,
        at=datetime.fromtimestamp(created, UTC),
        source=SOURCE,
        address=address,
        detail=" ".join(f"unsubscribe group {entry.get('group_name') or entry.get('group_id')}".split())[:255],
    )


def _parse_cursor(cursor: str | None) -> dict[str, _Place]:
    """The places of a saved cursor. One that cannot be read starts anew: repeats are harmless, losses are not."""
    try:
        value = json.loads(cursor or "{}")
        return {
            str(name): _Place(**{word: int(number) for word, number in place.items()}) for name, place in value.items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def _dump_cursor(places: dict[str, _Place]) -> str:
    return json.dumps({name: asdict(place) for name, place in places.items()}, sort_keys=True)
