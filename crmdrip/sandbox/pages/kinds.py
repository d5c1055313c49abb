"""What somebody can let come back by a button, under the words the pages use for it."""

from __future__ import annotations

from dataclasses import dataclass

from crmdrip.sandbox.world import Truth, Who


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerKind:
    """One way to answer, as a person chooses it."""

    label: str
    truth: Truth | None
    """None for a mail to the unsubscribe address."""
    who: Who = Who.SELF


ANSWERS = {
    "reply": AnswerKind(label="A reply", truth=Truth.REPLY),
    "alias": AnswerKind(label="A reply from another address", truth=Truth.REPLY, who=Who.ALIAS),
    "colleague": AnswerKind(label="A colleague's reply", truth=Truth.REPLY, who=Who.COLLEAGUE),
    "out_of_office": AnswerKind(label="Out of office", truth=Truth.OUT_OF_OFFICE),
    "auto_reply": AnswerKind(label="A ticket system's answer", truth=Truth.AUTO_REPLY),
    "left_company": AnswerKind(label="Left the company", truth=Truth.LEFT_COMPANY),
    "remove_me": AnswerKind(label="Asks to be removed", truth=Truth.UNSUBSCRIBE),
    "mailto": AnswerKind(label="Unsubscribes by mail", truth=None),
    "calendar": AnswerKind(label="A calendar's answer", truth=Truth.CALENDAR),
    "receipt": AnswerKind(label="A read receipt", truth=Truth.RECEIPT),
    "bounce": AnswerKind(label="A delivery report by mail", truth=Truth.BOUNCE),
}
