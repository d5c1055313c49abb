"""Why a touch did not go out, as closed sets.

Each reason has one plain sentence or two, and that is what the CRM record shows. `{detail}` is filled with what this
case is about (a field, a date, a name), cut so that the end, which says what to do, always fits the CRM's field.
"""

from __future__ import annotations

from enum import Enum

from crmdrip.core.struct import Struct
from crmdrip.core.words import LIMIT, clip


class StopReason(Enum):
    """The run ended before its last step; no further email goes out in it."""

    REPLIED = "The person replied{detail}. No further email goes out."
    MEETING = "A meeting was booked{detail}. No further email goes out."
    COLLEAGUE_REPLIED = "A colleague replied{detail}. No further email goes out."
    LEFT_COMPANY = "The address no longer belongs to the person{detail}. No further email goes out to it."
    UNSUBSCRIBED = "The person unsubscribed{detail}. No email goes out from any sequence."
    OPTED_OUT = "The CRM says that this person opted out of email. No email goes out from any sequence."
    BOUNCED = "The address does not accept mail{detail}. Correct the address and tick the box again."
    SPAM_REPORT = "The person reported an email as spam. No email goes out from any sequence."
    UNTICKED = "The box was unticked. Tick it again to start a new run, if the sequence allows one."
    DELETED = "The record was deleted. If it is restored, tick the box to start a new run."
    RESTORED = "The record was deleted and restored. Tick the box to start a new run."
    MERGED = "The record was merged into {detail}, which carries on the history."
    CONVERTED = "The lead was converted{detail}. No further email goes out."
    OPPORTUNITY = "An opportunity was created{detail}. No further email goes out."
    FIELD_CONDITION = "The sequence's stop condition is met: {detail}. No further email goes out."
    ELSEWHERE = "The person is in {detail}. No further email goes out; once they have left it, tick the box again."
    SEQUENCE_CHANGED = "The record was moved to another sequence. This run has ended."
    SEQUENCE_CLEARED = "This record names no sequence any more. Choose one and tick the box to start a new run."
    SEQUENCE_RETIRED = "The sequence was retired. No further email goes out."
    SUPPRESSED = "This address {detail}. No email goes out to it from any sequence."
    LEFT_SEQUENCE = "The person unsubscribed from this sequence{detail}. Other sequences may still write to them."
    SAME_ADDRESS = "The address was changed to that of {detail}, which is in a sequence already. This run has ended."
    OTHER_STOP = "Another record of the same person was stopped{detail}. No further email goes out."
    ADDRESS_REFUSED = "The mail provider refused the address{detail}. Correct the address and tick the box again."


class HoldReason(Enum):
    """The next touch waits and goes out by itself once the cause is gone."""

    MISSING_FIELD = "Waiting: missing {detail}. Fill it in and the email goes out at the next opening."
    TEMPLATE_BROKEN = (
        "Waiting: the email cannot be written ({detail}). Correct that and it goes out at the next opening."
    )
    NO_LAST_LOOK = "Waiting: the record could not be read right before sending ({detail}). It goes out once it can."
    NOT_PERMITTED = "Waiting: {detail}."
    """The look is refused until somebody grants a permission or corrects a setting; detail says which (B26)."""
    BRAKE = "Waiting: the emergency brake is pulled{detail}. Release it and sending goes on."
    PAUSED_BY_COMMAND = (
        "Waiting: sending was paused by command. It goes on once whoever runs crmdrip types crmdrip resume."
    )
    SEQUENCE_PAUSED = "Waiting: the sequence is paused. Set it to Live and sending goes on."
    SEQUENCE_NOT_LIVE = "Waiting: the sequence is not Live yet. Set it to Live and the run starts."
    PAUSED_UNTIL = "Paused until {detail}. Clear Paused Until to go on sooner."
    OUT_OF_OFFICE = "Paused: the person is out of office {detail}."
    COLLEAGUE_REPLIED = (
        "Paused: a colleague replied{detail}. Complete the task on your list to go on, or untick the box to stop."
    )
    ELSEWHERE = "Waiting: the person is in {detail}. The email goes out once they have left it."
    NEEDS_APPROVAL = "Waiting for approval: tick Approved on this record to let step {detail} go out."
    OWNER_CHANGED = (
        "Waiting: the owner changed to {detail}, and this sequence then waits. Change the owner back, or its Sender."
    )
    SENDER_BROKEN = "Waiting: {detail} cannot send. Change the owner or mend the sender, and the email goes out."
    ADDRESS_CHANGED = "Waiting: the address moved to another domain ({detail}). Untick and tick the box to start anew."
    IN_DOUBT = "Waiting: it is not known whether step {detail} went out. It is being checked."
    NEEDS_PERSON = (
        "Nobody could tell if step {detail} went out, so a person decides: whoever runs crmdrip types crmdrip retry."
    )
    SUSPICION = "Waiting for confirmation: {detail}. Set Confirmed on the sequence to go on."
    MASS_STOP = (
        "Waiting for confirmation: {detail}. Set Confirmed on the sequence to let them stop, or undo the change."
    )
    SEQUENCE_INVALID = "Waiting: the sequence has an error ({detail}). Correct it, set it to Live, and sending goes on."
    SEQUENCE_GONE = (
        "Waiting: the sequence was deleted or is hidden from the daemon. Restore or share it, or untick the box."
    )
    RECORD_GONE = "Waiting: the record is not there any more. The next pull tells whether it was deleted or merged."
    DAILY_CAP = "Waiting: the limit for {detail} is reached for now. It goes out at the next opening with room."
    PROVIDER = "Waiting: the mail provider did not take the email ({detail}). It is tried again."
    SAFE_MODE = "Waiting: history is being read back from the CRM. It goes out once that is done."


class SkipReason(Enum):
    """One step is passed over; the run goes on with the next."""

    EXPIRED = "Step {detail} was not sent in time and had expired, so it was passed over."
    REMOVED = "Step {detail} was removed from the sequence, so it was passed over."
    INACTIVE = "Step {detail} is switched off, so it was passed over."
    ALREADY_SENT = "Step {detail} had already gone out to this person, so it was passed over."


class RefuseReason(Enum):
    """The box was ticked and the run does not start."""

    NO_SEQUENCE = "Not started: choose a sequence on this record, then tick the box."
    NO_ADDRESS = "Not started: this record has no email address. Add one and tick the box again."
    INVALID_ADDRESS = "Not started: the email address is not valid. Correct it and tick the box again."
    OPTED_OUT = "Not started: the CRM says that this person opted out of email, and no email goes out."
    SUPPRESSED = "Not started: this address {detail}."
    LEFT_SEQUENCE = "Not started: the person unsubscribed from this sequence{detail}. Choose another."
    ELSEWHERE = "Not started: the person is in {detail}. Once they have left it, tick the box again."
    SAME_ADDRESS = "Not started: same address as {detail}, which is already in a sequence."
    OTHER_STOP = (
        "Not started: another record of the same person was stopped{detail}. Tick the box again to start all the same."
    )
    ALREADY_RUN = "Not started: this person already went through the sequence, and it does not run twice."
    NOT_FINISHED = "Not started: the last run was stopped, and this sequence runs again only after a finished one."
    TOO_SOON = "Not started: the sequence may run again for this person from {detail}."
    SEQUENCE_RETIRED = "Not started: the sequence is retired. Choose another."
    SEQUENCE_INVALID = "Not started: the sequence has an error ({detail}). Correct it and tick the box again."
    SEQUENCE_EMPTY = "Not started: the sequence has no active step. Give it one and tick the box again."
    REBUILT = "Not started: the daemon's memory was rebuilt, and this run had ended. Tick the box to start a new one."
    RESTORED = "Not started: the record was deleted and restored. Tick the box to start a new run."


AnyReason = StopReason | HoldReason | SkipReason | RefuseReason

_FAMILIES: dict[str, type[AnyReason]] = {
    "stop": StopReason,
    "hold": HoldReason,
    "skip": SkipReason,
    "refuse": RefuseReason,
}
_FAMILY_OF = {reasons: name for name, reasons in _FAMILIES.items()}


class Reason(Struct, frozen=True, kw_only=True):
    """One reason with what this case is about."""

    code: AnyReason
    detail: str = ""

    @property
    def key(self) -> str:
        """The stable name stored in the ledger and shown in JSON, such as "stop.replied"."""
        return f"{_FAMILY_OF[type(self.code)]}.{self.code.name.lower()}"

    @property
    def sentence(self) -> str:
        """The plain sentence for the CRM record, at most words.LIMIT characters and on one line."""
        pattern: str = self.code.value
        room = LIMIT - len(pattern) + len("{detail}")
        return pattern.format(detail=clip(_one_line(self.detail), room))


class MissingFields(Reason, frozen=True, kw_only=True):
    """Why an email cannot be written, with the fields that people read of in the detail."""

    code: AnyReason = HoldReason.MISSING_FIELD
    paths: tuple[str, ...]
    """Merge paths as the step spells them, in the order of their use."""


def _one_line(detail: str) -> str:
    """A detail as it stands within a sentence: a leading space stays, a full stop of its own goes."""
    text = " ".join(detail.split()).removesuffix(".")
    return f" {text}" if detail[:1].isspace() and text else text


def parse_reason(key: str, detail: str = "") -> Reason:
    """The reason with the given key. Raises KeyError for a key that was never in the closed sets."""
    family, _, name = key.partition(".")
    return Reason(code=_FAMILIES[family][name.upper()], detail=detail)
