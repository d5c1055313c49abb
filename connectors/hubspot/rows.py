"""From what is owed to HubSpot to rows of batches. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.hubspot.trail import add_trail
from connectors.hubspot.values import LONGEST, show_box, show_time
from crmdrip.core.mapping import CrmMapping
from crmdrip.core.struct import replace
from crmdrip.ports import ApprovalWrite, BounceWrite, ReplyWrite, StatusWrite, TaskWrite, TouchWrite, Write

_EVERYWHERE = frozenset({"at", "body", "owner", "subject", "direction", "status", "type"})
"""What every portal has for it."""

_ON_CONTACT: Mapping[str, int] = {"email": 198, "task": 204, "note": 202}
"""HubSpot's own association types from an activity to a contact (crm/association_type.py of hubspot-api-client 12)."""
_ON_COMPANY: Mapping[str, int] = {"email": 186, "task": 192, "note": 190}
"""And to a company."""
_ON_DEAL: Mapping[str, int] = {"email": 210, "task": 216, "note": 214}
"""And to a deal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a batch, which settles one or more writes."""

    writes: tuple[Write, ...]
    properties: Mapping[str, str]
    id: str = ""
    """Of the record to change, or the value of the key it is known by; "" for one to be made."""
    key: str = ""
    """The unique property that id is a value of, "" for the record's own id."""
    contact: str = ""
    """The contact it is made for."""
    company: str = ""
    """The company on whose timeline it stands as well."""
    deals: tuple[str, ...] = ()
    """And the deals."""
    word: str = ""
    """Our word for what is made."""
    tried: frozenset[str] = frozenset()
    """What was mended about it already."""

    @property
    def urgent(self) -> bool:
        """Whether it tells people of a stop."""
        return any(isinstance(one, StatusWrite) and one.enrolled is False for one in self.writes)

    def body(self, trace: str) -> dict[str, Any]:
        """As an input of a batch."""
        value: dict[str, Any] = {"objectWriteTraceId": trace, "properties": dict(self.properties)}
        if self.id:
            value["id"] = self.id
        if self.key:
            value["idProperty"] = self.key
        if self.contact:
            value["associations"] = [_link(self.contact, _ON_CONTACT[self.word])]
        if self.company:
            value["associations"].append(_link(self.company, _ON_COMPANY[self.word]))
        if self.deals:
            value["associations"] += [_link(deal, _ON_DEAL[self.word]) for deal in self.deals]
        return value


def status_row(mapping: CrmMapping, write: StatusWrite) -> Row:
    """The daemon's properties of a contact."""
    values = {
        "status": write.status,
        "reason": write.reason,
        "step": write.step,
        "next_touch": show_time(write.next_touch),
        "last_touch": show_time(write.last_touch),
        "run": str(write.run),
    }
    if write.enrolled is not None:
        values["enrolled"] = show_box(ticked=write.enrolled)
    if write.sequence_id is not None:
        values["sequence"] = write.sequence_id
    if write.replied_at is not None:
        values["replied_at"] = show_time(write.replied_at)
    if write.out_of_office_until is not None:
        values["out_of_office_until"] = show_time(write.out_of_office_until)
    return Row(writes=(write,), id=write.ref.id, properties=_named(mapping, "contact", values))


def bounce_row(mapping: CrmMapping, write: BounceWrite) -> Row:
    """That the address does not accept mail."""
    values = {"bounced_reason": write.reason, "bounced_at": show_time(write.at)}
    return Row(writes=(write,), id=write.ref.id, properties=_named(mapping, "contact", values))


def approval_row(mapping: CrmMapping, write: ApprovalWrite) -> Row:
    """The approval is used up."""
    values = _named(mapping, "contact", {"approved": show_box(ticked=False)})
    return Row(writes=(write,), id=write.ref.id, properties=values)


def join(one: Row, other: Row) -> Row:
    """Both changes of a record as one; an id may stand in a batch once."""
    return replace(one, writes=(*one.writes, *other.writes), properties={**one.properties, **other.properties})


def touch_row(mapping: CrmMapping, write: TouchWrite) -> Row:
    """How an email has fared since, by its touch id."""
    values = {"outcome": write.outcome, "opens": str(write.opens), "clicks": str(write.clicks)}
    return Row(
        writes=(write,),
        id=write.touch_id,
        key=mapping.field("email", "touch_id"),
        properties=_named(mapping, "email", values),
    )


def timeline_row(
    mapping: CrmMapping, write: TaskWrite | ReplyWrite, *, keyed: bool, company: str = "", deals: Sequence[str] = ()
) -> Row:
    """An email, a task or a note. keyed: whether the object has our properties; else all of it goes into the text.

    company, deals: on whose timelines it stands as well, "" and none for nobody's.
    """
    word = word_of(write)
    value = mapping.value
    values = {"at": show_time(write.at), "body": write.body, "owner": write.owner_id or ""}
    values["touch_id"] = write.touch_id if isinstance(write, TaskWrite) else write.reply_id
    if word == "note":
        values["body"] = f"{write.subject}\n\n{write.body}".strip()
    else:
        values |= {
            "subject": write.subject,
            "sequence": write.sequence,
            "sequence_id": write.sequence_id,
            "step": write.step,
            "step_id": write.step_id if isinstance(write, TaskWrite) else "",
            "run": str(write.run or ""),
            "outcome": write.outcome,
        }
    if word == "email":
        incoming = isinstance(write, ReplyWrite)
        values |= {
            "message_id": write.message_id,
            "direction": value("email", "in" if incoming else "out"),
            "status": value("email", "sent"),
        }
    if word == "task":
        values |= {"status": value("task", "open"), "type": value("task", "type")}
    if not keyed:
        values["body"] = add_trail(values["body"], values, LONGEST)
        values = {each: value for each, value in values.items() if each in _EVERYWHERE}
    given = {name: text for name, text in {**constants(mapping, word), **_named(mapping, word, values)}.items() if text}
    return Row(writes=(write,), properties=given, contact=write.ref.id, company=company, deals=tuple(deals), word=word)


def constants(mapping: CrmMapping, word: str) -> Mapping[str, str]:
    """What everything new of a kind gets beside our own: properties that the portal demands, by their names."""
    return mapping.values.get(f"new_{word}", {})


def news_row(mapping: CrmMapping, write: TouchWrite, entry_id: str, words: Mapping[str, str], text: str) -> Row:
    """As touch_row, where the touch stands in the text. words, text: what stands there now."""
    changed = {**words, "outcome": write.outcome, "opens": str(write.opens), "clicks": str(write.clicks)}
    values = {"body": add_trail(text, changed, LONGEST)}
    return Row(writes=(write,), id=entry_id, properties=_named(mapping, "email", values))


def word_of(write: TaskWrite | ReplyWrite) -> str:
    """Our word for what it becomes on the timeline."""
    if isinstance(write, ReplyWrite):
        return "email"
    return "task" if write.open else "note" if write.note else "email"


def _link(other_id: str, type_id: int) -> dict[str, Any]:
    kind = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}
    return {"to": {"id": other_id}, "types": [kind]}


def _named(mapping: CrmMapping, word: str, values: Mapping[str, str]) -> dict[str, str]:
    names = {each: mapping.field(word, each) for each in values}
    return {names[each]: value[:LONGEST] for each, value in values.items() if names[each]}
