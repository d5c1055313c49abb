"""Everybody on a list: a sequence names one of the portal's lists, and joining it ticks the box, leaving it unticks it.

The box stays the one thing that says whether email can still go out (B9), so that a list is no second way into a
sequence but a hand that ticks: whoever is ticked already stays as they are, and whoever was stopped or went through is
not ticked again before they have left the list and joined it anew. Which lists a contact was ticked by stands on the
contact, so that neither a restart nor a lost ledger ticks anybody twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from connectors.hubspot.client import BATCH, TRACE, Answer, chunks
from connectors.hubspot.definitions import in_our_words
from connectors.hubspot.portal import Portal, condition
from connectors.hubspot.values import Properties, is_ticked, show_box
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.model import SequenceDraft, SequenceStatus
from crmdrip.ports import Purpose

log = structlog.get_logger()

CONTACTS = "0-1"
"""HubSpot's number for contacts, by which lists say whom they are of."""
_PAGE = 250
"""Members of a page, the most there are (docs: lists, memberships)."""
_ANEW = timedelta(hours=1)
"""How often all members are read although HubSpot says that the list is as it was."""
_FOLLOWED = frozenset({SequenceStatus.LIVE.value, SequenceStatus.PAUSED.value})
"""A draft may name the wrong list, and a retired sequence takes nobody."""
_READY = "COMPLETE"
"""A list whose condition was just edited is still being filled, and emptied: nobody has joined or left until then."""


@dataclass(kw_only=True, slots=True)
class _List:
    """One list as it was read last."""

    state: tuple[str, ...]
    """Its size and the times of the last joining and leaving, as HubSpot told them."""
    at: datetime
    marked: set[str] = field(default_factory=set)
    """Ids of the contacts that say they were ticked by it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The lists that sequences name, as HubSpot shows them now."""

    followed: Mapping[str, str]
    """By the sequence's id."""
    problems: Mapping[str, str]
    """Sentences, by the sequence's id."""
    states: Mapping[str, tuple[str, ...] | None]
    """By the list's id; None for one that is being filled just now."""


class ListFollower:
    """Follows the lists that sequences name. One thread takes its turns; any may look (`gone_of`) or examine."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._lists: dict[str, _List] = {}
        self._marked: dict[str, list[str]] | None = None
        """Whom each list has ticked, by what contacts say; read once in a turn, for all lists together."""
        self._written: list[str] = []
        """Whose boxes were set since that was asked for."""
        self.problems: Mapping[str, str] = {}
        """What keeps a sequence's list from being followed, as a sentence, by the sequence's id."""
        self._followed: Mapping[str, str] | None = None
        """The lists that are followed, by the sequence's id; None until that was asked."""

    # the daemon's turn

    def follow(self) -> None:
        """Tick whoever joined a list since, untick whoever left it. A call while nothing changed, none without lists.

        Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
        """
        found, self._marked = self.examine(Purpose.PULL), None
        self.problems, self._followed = found.problems, found.followed
        for sequence, list_id in found.followed.items():
            state = found.states[list_id]
            if state is not None:
                self._follow(sequence, list_id, state)

    def examine(self, purpose: Purpose) -> Found:
        """Which lists there are to follow, and what is wrong. Writes nothing. Raises as follow."""
        wanted, problems = read_lists(self._portal.definitions.known(purpose))
        states: dict[str, tuple[str, ...] | None] = {}
        try:
            rows = self._ask(sorted(set(wanted.values())), purpose)
        except ConfigurationError as error:
            problems |= dict.fromkeys(wanted, f"The list cannot be read: {error.what} {error.do_next}".strip())
        else:
            for sequence, list_id in wanted.items():
                if problem := _problem_of(list_id, rows.get(list_id)):
                    problems[sequence] = problem
                else:
                    states[list_id] = _state_of(rows[list_id])
        followed = {sequence: list_id for sequence, list_id in wanted.items() if sequence not in problems}
        return Found(followed=followed, problems=problems, states=states)

    def read_joining(self) -> dict[str, str]:
        """The ids of those whom `follow` would tick now, and their sequences. Writes nothing. Raises as follow."""
        reader = self._portal.contacts
        found = self.examine(Purpose.LOOK)
        ready = {sequence: one for sequence, one in found.followed.items() if found.states[one] is not None}
        marked = self._find_marked() if ready else {}
        joining: dict[str, str] = {}
        for sequence, list_id in ready.items():
            joined = sorted(set(self._members(list_id)) - set(marked.get(list_id, ())), key=int)
            for some in chunks(joined, BATCH):
                rows = self._portal.read_contacts(some, [reader.name("enrolled")], Purpose.LOOK)
                idle = (one for one, row in rows.items() if not is_ticked(row.get(reader.name("enrolled"))))
                joining = dict.fromkeys(idle, sequence) | joining  # who is on two lists enters by the first
        return joining

    def take_written(self) -> list[str]:
        """Whose boxes were set since this was asked last: the next pull reads them by id, since searches are late."""
        written, self._written = self._written, []
        return written

    def doubt(self, list_id: str) -> None:
        """Somebody left it, whatever HubSpot says of its state: the next turn reads it anew."""
        self._lists.pop(list_id, None)

    def _follow(self, sequence: str, list_id: str, state: tuple[str, ...]) -> None:
        now, known = self._portal.client.clock.now(), self._lists.get(list_id)
        if known is not None and known.state == state and now - known.at < _ANEW:
            return
        members = set(self._members(list_id))
        if known is None or now - known.at >= _ANEW:
            if self._marked is None:
                self._marked = self._find_marked()
            known = _List(state=state, at=now, marked=set(self._marked.get(list_id, ())))
        joined, left = sorted(members - known.marked, key=int), sorted(known.marked - members, key=int)
        refused = self._mark(sequence, list_id, left, joined=False)
        refused |= self._mark(sequence, list_id, joined, joined=True)
        known.marked = (known.marked - set(left) | set(joined)) - refused | (refused & set(left))
        # Who was refused is tried again with the next change of the list, and after an hour at the latest.
        self._lists[list_id] = _List(state=state, at=known.at, marked=known.marked)
        if joined or left:
            log.info("list_followed", list=list_id, sequence=sequence, joined=len(joined), left=len(left))

    def _mark(self, sequence: str, list_id: str, ids: Sequence[str], *, joined: bool) -> set[str]:
        """Write down that they are on the list or not any more, with their boxes. Returns who could not be written."""
        portal, reader = self._portal, self._portal.contacts
        names = [reader.name(word) for word in ("enrolled", "sequence", "lists")]
        refused: set[str] = set()
        purpose = Purpose.PULL if joined else Purpose.STOP
        for some in chunks(ids, BATCH):
            rows = portal.read_contacts(some, names, purpose)
            changes = {one: self._change(row, sequence, list_id, joined=joined) for one, row in rows.items()}
            inputs = [{"id": one, "properties": values, TRACE: one} for one, values in changes.items() if values]
            if not inputs:
                continue
            path = f"{portal.mapping.object('contact')}/batch/update"
            answer = portal.client.change("POST", "objects", path, {"inputs": inputs}, purpose=purpose)
            lost = self._refused(answer, [str(one["id"]) for one in inputs], path, inputs, purpose)
            boxed = [one for one, values in changes.items() if reader.name("enrolled") in values]
            self._written += [one for one in boxed if one not in lost]
            refused |= lost
        return refused

    def _change(self, row: Properties, sequence: str, list_id: str, *, joined: bool) -> dict[str, str]:
        """The properties of one contact that change; none when it stands there already."""
        reader = self._portal.contacts
        marks, ticked = read_marks(row.get(reader.name("lists"))), is_ticked(row.get(reader.name("enrolled")))
        if (list_id in marks) is joined:
            return {}
        marks = (*marks, list_id) if joined else tuple(one for one in marks if one != list_id)
        values = {reader.name("lists"): ";".join(marks)}
        if joined and not ticked:
            values |= {reader.name("enrolled"): show_box(ticked=True), reader.name("sequence"): sequence}
        elif not joined and ticked and row.get(reader.name("sequence")) == sequence:
            values[reader.name("enrolled")] = show_box(ticked=False)
        return values

    def _refused(
        self, answer: Answer, ids: Sequence[str], path: str, inputs: Sequence[Mapping[str, Any]], purpose: Purpose
    ) -> set[str]:
        """Who could not be written: after a batch is refused as a whole, each by themselves."""
        if answer.fault is None:
            done = {str(row["id"]) for row in answer.results}
            lost = [one for one in ids if one not in done]
            for fault, _ in answer.faults:
                log.warning("list_member_not_written", code=fault.code)
            return set(lost)
        if len(ids) == 1:
            log.warning("list_member_not_written", record=ids[0], code=answer.fault.code)
            return set(ids)
        refused: set[str] = set()
        for one, row in zip(ids, inputs, strict=True):
            single = self._portal.client.change("POST", "objects", path, {"inputs": [row]}, purpose=purpose)
            refused |= self._refused(single, [one], path, [row], purpose)
        return refused

    # reading

    def _ask(self, ids: Sequence[str], purpose: Purpose) -> dict[str, Mapping[str, Any]]:
        """What HubSpot says of these lists, by id."""
        found: dict[str, Mapping[str, Any]] = {}
        for some in chunks(ids, BATCH):
            body = {"listIds": some, "offset": 0, "count": len(some)}
            answer = self._portal.client.ask("lists", "search", body, purpose)
            found.update((str(row["listId"]), row) for row in answer.body.get("lists") or ())
        return found

    def _members(self, list_id: str) -> Iterator[str]:
        after = ""
        while True:
            query = {"limit": str(_PAGE), **({"after": after} if after else {})}
            answer = self._portal.client.get("lists", f"{list_id}/memberships", Purpose.PULL, query)
            yield from (str(row["recordId"]) for row in answer.results)
            after = str((answer.body.get("paging") or {}).get("next", {}).get("after", ""))
            if not after:
                return

    def _find_marked(self) -> dict[str, list[str]]:
        """Whoever says that a list has ticked them; those of the last seconds are told when they are written."""
        name, last, more = self._portal.contacts.name("lists"), "0", True
        found: dict[str, list[str]] = {}
        while more:
            rows, more = self._portal.search(
                self._portal.mapping.object("contact"),
                [[condition(name, "HAS_PROPERTY")]],
                [name],
                Purpose.PULL,
                after_id=last,
            )
            for row in rows:
                for list_id in read_marks(row["properties"].get(name)):
                    found.setdefault(list_id, []).append(row["id"])
            last, more = (rows[-1]["id"], more) if rows else (last, False)
        return found

    # the last look

    def gone_of(self, rows: Mapping[str, Properties], purpose: Purpose) -> frozenset[str]:
        """The ids of those contacts that a list has ticked and that are not on it any more; a call for a hundred.

        Raises as follow.
        """
        reader, followed = self._portal.contacts, self._followed
        if followed is None:  # the first look of a process may come before its first turn
            followed = self._followed = self.examine(purpose).followed
        by_list = {
            one: list_id
            for one, row in rows.items()
            if (list_id := followed.get(row.get(reader.name("sequence")) or "", ""))
            and list_id in read_marks(row.get(reader.name("lists")))
        }
        gone: set[str] = set()
        for some in chunks(list(by_list), BATCH):
            body = {"inputs": [{"objectTypeId": CONTACTS, "recordId": one} for one in some]}
            answer = self._portal.client.ask("lists", "records/memberships/batch/read", body, purpose)
            on = {
                str(row["recordId"]): {str(each["listId"]) for each in row.get("recordListMemberships") or ()}
                for row in answer.results
            }
            gone.update(one for one in some if one in on and by_list[one] not in on[one])
        if not gone:
            return frozenset()
        # A list that was deleted, or is being filled, has nobody on it: nobody has left it for that.
        told = self._ask(sorted({by_list[one] for one in gone}), purpose)
        whole = {list_id for list_id, row in told.items() if not _problem_of(list_id, row) and _state_of(row)}
        gone = {one for one in gone if by_list[one] in whole}
        for one in gone:
            self.doubt(by_list[one])
        return frozenset(gone)


def read_lists(drafts: Mapping[str, SequenceDraft]) -> tuple[dict[str, str], dict[str, str]]:
    """The list of each sequence that names one and is Live or Paused, by the sequence's id, and what is wrong. Pure."""
    wanted: dict[str, str] = {}
    problems: dict[str, str] = {}
    for one, draft in sorted(drafts.items()):
        named = str(draft.fields.get("list") or "").strip()
        if not named or draft.problems or in_our_words(draft.fields.get("status")) not in _FOLLOWED:
            continue
        if not named.isdecimal():
            problems[one] = f"List is “{named[:60]}”. Type its number, which ends the list's address in HubSpot."
        elif named in wanted.values():
            problems[one] = f"List {named} is followed by another sequence already. Name a list of its own."
        else:
            wanted[one] = named
    return wanted, problems


def read_marks(value: str | None) -> tuple[str, ...]:
    """The lists that a contact was ticked by."""
    return tuple(filter(None, (value or "").split(";")))


def _problem_of(list_id: str, row: Mapping[str, Any] | None) -> str:
    if row is None or row.get("deletedAt"):
        return f"List {list_id} is not there. Name another, or leave List empty."
    if str(row.get("objectTypeId", CONTACTS)) != CONTACTS:
        return f"List {list_id} is not one of contacts. Name another."
    return ""


def _state_of(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What changes whenever somebody joins or leaves, None while the list is being filled."""
    if row.get("processingStatus", _READY) != _READY:
        return None
    more: Mapping[str, Any] = row.get("additionalProperties") or {}
    told: Iterable[str] = ("hs_list_size", "hs_last_record_added_at", "hs_last_record_removed_at")
    return tuple(str(more.get(name) or "") for name in told)
