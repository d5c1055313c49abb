"""Why a touch did not go out, as closed sets.

Each reason has one plain sentence, and that sentence is what the CRM record shows. `{detail}` in a sentence is
filled with what this case is about (a field, a date, a name).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class StopReason(Enum):
    """The run ended before its last step; no further email goes out in it."""

    REPLIED = "The person replied{detail}. No further email goes out."
    MEETING = "A meeting was booked{detail}. No further email goes out."
    UNSUBSCRIBED = "The person unsubscribed{detail}. No email goes out from any sequence."
    OPTED_OUT = "Email Opt Out is ticked on this person. No email goes out from any sequence."
    BOUNCED = "The address does not accept mail{detail}. Correct the address and tick the box again."
    SPAM_REPORT = "The person reported an email as spam. No email goes out from any sequence."
    UNTICKED = "The box was unticked. Tick it again to start a new run."
    DELETED = "The record was deleted. If it is restored, tick the box to start a new run."
    MERGED = "The record was merged into {detail}, which carries on the history."
    CONVERTED = "The lead was converted and an opportunity was created. No further email goes out."
    OPPORTUNITY = "An opportunity was created{detail}. No further email goes out."
    FIELD_CONDITION = "The sequence's stop condition is met: {detail}. No further email goes out."
    SEQUENCE_CHANGED = "The record was moved to another sequence. This run has ended."
    SEQUENCE_RETIRED = "The sequence was retired or deleted. No further email goes out."
    LEFT_COMPANY = "The person no longer works there{detail}. No further email goes out."
    COLLEAGUE_REPLIED = "A colleague replied{detail}, and the sequence stops on that. No further email goes out."
    OTHER_STOP = "Another record of the same person was stopped{detail}. No further email goes out."
    ADDRESS_REFUSED = "The mail provider refused the address{detail}. Correct the address and tick the box again."


class HoldReason(Enum):
    """The next touch waits and goes out by itself once the cause is gone."""

    MISSING_FIELD = "Waiting: missing {detail}. Fill it in and the email goes out at the next opening."
    TEMPLATE_BROKEN = "Waiting: the step cannot be rendered ({detail}). Correct the step and the email goes out."
    NO_LAST_LOOK = "Waiting: the record could not be read right before sending ({detail}). It goes out once it can."
    BRAKE = "Waiting: the emergency brake is pulled{detail}. Release it and sending goes on."
    SEQUENCE_PAUSED = "Waiting: the sequence is paused. Set it to Live and sending goes on."
    SEQUENCE_NOT_LIVE = "Waiting: the sequence is not Live yet. Set it to Live and the run starts."
    PAUSED_UNTIL = "Paused until {detail}. Clear Paused Until to go on sooner."
    OUT_OF_OFFICE = "Paused: the person is out of office until {detail}."
    NEEDS_APPROVAL = "Waiting for approval: tick Approved on this record to let step {detail} go out."
    OWNER_CHANGED = "Waiting: the owner changed to {detail}, and this sequence waits. Change its owner policy."
    SENDER_BROKEN = "Waiting: {detail} cannot send. Mend the sender and the email goes out."
    ADDRESS_CHANGED = "Waiting: the address moved to another domain ({detail}). Untick and tick to start anew."
    IN_DOUBT = "Waiting: it is not known whether step {detail} went out. It is being checked."
    NEEDS_PERSON = "A person must decide: nobody could tell if step {detail} went out. Type crmdrip retry."
    SUSPICION = "Waiting for confirmation: {detail}. Set Confirmed on the sequence to go on."
    DAILY_CAP = "Waiting: today's limit for {detail} is reached. It goes out at the next opening."
    PROVIDER = "Waiting: the mail provider did not take the email ({detail}). It is tried again."
    SAFE_MODE = "Waiting: history is being read back from the CRM. It goes out once that is done."
    COLLEAGUE_REPLIED = "Paused: a colleague replied{detail}, and this sequence waits for the rep."


class SkipReason(Enum):
    """One step is passed over; the run goes on with the next."""

    EXPIRED = "Step {detail} was not sent in time and had expired, so it was passed over."
    REMOVED = "Step {detail} was removed from the sequence, so it was passed over."
    INACTIVE = "Step {detail} is switched off, so it was passed over."
    ALREADY_SENT = "Step {detail} had already gone out to this person, so it was passed over."


class RefuseReason(Enum):
    """The box was ticked and the run does not start."""

    NO_SEQUENCE = "Not started: choose a sequence on this record, then tick the box."
    NO_ADDRESS = "Not started: this record has no email address."
    INVALID_ADDRESS = "Not started: the email address is not valid. Correct it and tick the box again."
    OPTED_OUT = "Not started: Email Opt Out is ticked on this person."
    SUPPRESSED = "Not started: this address {detail}."
    SAME_ADDRESS = "Not started: same address as {detail}, which is already in a sequence."
    ALREADY_RUN = "Not started: this person already went through the sequence, and it does not run twice."
    TOO_SOON = "Not started: the sequence may run again for this person from {detail}."
    SEQUENCE_RETIRED = "Not started: the sequence is retired. Choose another."
    SEQUENCE_INVALID = "Not started: the sequence has an error ({detail}). Correct it and tick the box again."
    SEQUENCE_EMPTY = "Not started: the sequence has no active step."
    REBUILT = "Not started: the daemon's memory was rebuilt, and this run had ended. Tick the box to start a new one."
    CONVERTED_LEAD = "Not started: this lead is converted. Tick the box on the contact."


AnyReason = StopReason | HoldReason | SkipReason | RefuseReason

_FAMILIES: dict[str, type[AnyReason]] = {
    "stop": StopReason,
    "hold": HoldReason,
    "skip": SkipReason,
    "refuse": RefuseReason,
}
_FAMILY_OF = {reasons: name for name, reasons in _FAMILIES.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One reason with what this case is about."""

    code: AnyReason
    detail: str = ""

    @property
    def key(self) -> str:
        """The stable name stored in the ledger and shown in JSON, such as "stop.replied"."""
        return f"{_FAMILY_OF[type(self.code)]}.{self.code.name.lower()}"

    @property
    def sentence(self) -> str:
        """The plain sentence for the CRM record."""
        return str(self.code.value).format(detail=self.detail)


def parse_reason(key: str, detail: str = "") -> Reason:
    """The reason with the given key. Raises KeyError for a key that was never in the closed sets."""
    family, _, name = key.partition(".")
    return Reason(code=_FAMILIES[family][name.upper()], detail=detail)
