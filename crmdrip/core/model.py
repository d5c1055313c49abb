"""The values everything else speaks about. Frozen, keyword-only; times are aware UTC unless a field says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from itertools import groupby
from typing import Any

from crmdrip.core.struct import Struct


class RecordKind(StrEnum):
    """Which CRM object stands for a person."""

    CONTACT = "contact"
    LEAD = "lead"


class RunStatus(StrEnum):
    """The state of an enrollment, in the very words of the CRM's status field."""

    QUEUED = "Queued"
    ACTIVE = "Active"
    HELD = "Held"
    PAUSED = "Paused"
    FINISHED = "Finished"
    STOPPED = "Stopped"
    REFUSED = "Refused"

    @property
    def live(self) -> bool:
        """Whether email can still go out in a run of this status."""
        return self in _LIVE


_LIVE = frozenset({RunStatus.QUEUED, RunStatus.ACTIVE, RunStatus.HELD, RunStatus.PAUSED})


class TouchState(StrEnum):
    """The state of one touch. Legal moves are in LEGAL_MOVES and are held by the database."""

    INTENDED = "intended"
    """Committed before the request leaves; found after a crash, it is in doubt."""
    ACCEPTED = "accepted"
    """The provider took the email (or the CRM the rep's task). For good."""
    REFUSED = "refused"
    """The provider definitely did not take it; may be intended again."""
    IN_DOUBT = "in_doubt"
    """It may have gone out. Never sent again automatically."""
    NEEDS_PERSON = "needs_person"
    """Still in doubt after the deadline; a person decides."""
    SKIPPED = "skipped"
    """Passed over with a reason. For good."""


LEGAL_MOVES: frozenset[tuple[TouchState, TouchState]] = frozenset(
    {
        (TouchState.INTENDED, TouchState.ACCEPTED),
        (TouchState.INTENDED, TouchState.REFUSED),
        (TouchState.INTENDED, TouchState.IN_DOUBT),
        (TouchState.REFUSED, TouchState.INTENDED),
        (TouchState.REFUSED, TouchState.SKIPPED),
        (TouchState.IN_DOUBT, TouchState.ACCEPTED),
        (TouchState.IN_DOUBT, TouchState.NEEDS_PERSON),
        (TouchState.NEEDS_PERSON, TouchState.ACCEPTED),
        (TouchState.NEEDS_PERSON, TouchState.REFUSED),
        (TouchState.NEEDS_PERSON, TouchState.SKIPPED),
    }
)


class BoxPending(StrEnum):
    """Which way the daemon is about to set a record's box; until that stands in the CRM, the box means nothing."""

    NO = ""
    OFF = "off"
    ON = "on"


class StepKind(StrEnum):
    """What a step does."""

    EMAIL = "email"
    TASK = "task"


class DelayUnit(StrEnum):
    """The unit of a step's delay after the touch before it (or after enrollment, for the first)."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    BUSINESS_DAYS = "business_days"


class SequenceStatus(StrEnum):
    """The sequence's state, in the words of the CRM's picklist."""

    DRAFT = "Draft"
    LIVE = "Live"
    PAUSED = "Paused"
    RETIRED = "Retired"


class ZonePolicy(StrEnum):
    """Whose time zone the send window is read in. RECIPIENT falls back to sender, then to the sequence's own."""

    RECIPIENT = "recipient"
    SENDER = "sender"
    FIXED = "fixed"


class SenderPolicy(StrEnum):
    """Who the email is from.

    OWNER follows an owner change in a new thread; FIRST_SENDER finishes with whoever
    sent first; FIXED is the sequence's From Address; OWNER_OR_HOLD waits when the owner changes mid-run.
    """

    OWNER = "owner"
    FIRST_SENDER = "first_sender"
    OWNER_OR_HOLD = "owner_or_hold"
    FIXED = "fixed"


class Reenrollment(StrEnum):
    """Whether off-then-on starts a further run."""

    NEVER = "never"
    AFTER_FINISH = "after_finish"
    AFTER_DAYS = "after_days"


class OnColleagueReply(StrEnum):
    """What a reply from the same account does to the others of that account."""

    IGNORE = "ignore"
    PAUSE = "pause"
    STOP = "stop"


class OnOpportunity(StrEnum):
    """What an opportunity created after enrollment does."""

    STOP = "stop"
    IGNORE = "ignore"


class OnConversion(StrEnum):
    """What a lead conversion does: stop always, stop if an opportunity came with it, or go on as the contact."""

    STOP = "stop"
    STOP_IF_OPPORTUNITY = "stop_if_opportunity"
    CONTINUE = "continue"


class OnElsewhere(StrEnum):
    """What a sequence of the CRM's own, in which a person is just now, does to their run of ours."""

    HOLD = "hold"
    STOP = "stop"


class SignalKind(StrEnum):
    """Something that happened. The closed set; what a vendor says beyond it is kept raw as UNKNOWN."""

    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    OUT_OF_OFFICE = "out_of_office"
    """The person is away; `Signal.until` says when they are back, if they said so."""
    LEFT_COMPANY = "left_company"
    """The address no longer belongs to the person."""
    COLLEAGUE_REPLY = "colleague_reply"
    """Somebody else of the person's account answered; `touch_id` is that of the task the rep decides by."""
    MEETING = "meeting"
    UNSUBSCRIBE = "unsubscribe"
    BOUNCE = "bounce"
    SPAM_REPORT = "spam_report"
    OPT_OUT = "opt_out"
    ERASED = "erased"
    """The person's data was erased by command (`crmdrip erase`); what is left is a hash that is never mailed."""
    OPPORTUNITY = "opportunity"
    TASK_DONE = "task_done"
    ACCEPTED = "accepted"
    """The provider says that it has the email: proof that it went out."""
    DELIVERED = "delivered"
    OPENED = "opened"
    MACHINE_OPENED = "machine_opened"
    """Fetched by the recipient's mail program or a scanner by itself. Counted, and never shown as an open."""
    CLICKED = "clicked"
    DROPPED = "dropped"
    """The provider took the email and did not deliver it; the detail says why."""
    DEFERRED = "deferred"
    """Not delivered for now, or this one email refused: the address itself is not the matter."""
    UNKNOWN = "unknown"


class RecordRef(Struct, frozen=True, kw_only=True):
    """Points at one CRM record of a person."""

    kind: RecordKind
    id: str
    """The CRM's full id (18 characters in Salesforce)."""


class Record(Struct, frozen=True, kw_only=True):
    """A person's CRM record as last read. Only what deciding needs, plus the merge fields asked for."""

    ref: RecordRef
    email: str
    """As it stands in the CRM, not normalized; "" when empty."""
    enrolled: bool
    """The box."""
    sequence_id: str | None
    paused_until: datetime | None = None
    approved: bool = False
    opted_out: bool = False
    bounced: bool = False
    owner_id: str | None = None
    account_id: str | None = None
    time_zone: str = ""
    """An IANA name when the CRM carries one, else ""."""
    country: str = ""
    """ISO 3166 alpha-2 code or the country's name as typed."""
    state: str = ""
    status: str = ""
    """What the daemon wrote last, as it stands in the CRM."""
    run: int = 0
    """The number of the last run, as it stands in the CRM; 0 when there never was one."""
    last_touch: datetime | None = None
    modified_at: datetime
    """SystemModstamp."""
    deleted: bool = False
    merged_into: str | None = None
    """The winner's id, on the loser of a merge."""
    converted_to: RecordRef | None = None
    """The contact a lead was converted to."""
    converted_opportunity: bool = False
    """Whether the conversion created an opportunity."""
    stop_field: str = ""
    """The value of the field the sequence's stop condition names, as text; "" when there is none."""
    elsewhere: str = ""
    """What else writes to the person just now, for people ("a sequence of HubSpot's own"); "" for nothing."""
    on_elsewhere: OnElsewhere = OnElsewhere.HOLD
    fields: Mapping[str, Any] = {}
    """Merge fields by the path asked for ("first_name", "account.name"); None when empty in the CRM."""


class Owner(Struct, frozen=True, kw_only=True):
    """A CRM user: the owner of a record and the usual sender."""

    id: str
    name: str
    email: str
    active: bool
    is_person: bool = True
    """False for queues and groups, which own leads but cannot send."""
    time_zone: str = ""
    title: str = ""
    phone: str = ""
    signature: str = ""
    """HTML or plain text, as the CRM keeps it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step definition. Several steps of one order are variants of each other."""

    id: str
    """The CRM record's id: the key. Never a position."""
    order: float
    kind: StepKind
    delay: int
    """After the touch before it, or after enrollment for the first; in delay_unit."""
    delay_unit: DelayUnit
    subject: str
    body: str
    """Liquid; HTML or plain text."""
    continue_thread: bool = False
    variant: str = ""
    weight: int = 1
    needs_approval: bool = False
    expires_after_hours: int | None = None
    """Skipped when it could not go out within this many hours of its due time; None for never."""
    active: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """A valid sequence definition. Built by core.definition from what the CRM holds."""

    id: str
    name: str
    status: SequenceStatus
    version: str
    """A hash of everything that decides what is sent and when; kept with each touch."""
    steps: tuple[Step, ...]
    """Sorted by order, then id; inactive ones included."""
    send_days: frozenset[int] = frozenset({0, 1, 2, 3, 4})
    """Monday is 0."""
    send_from: time = time(9, 0)
    """Local wall time, inclusive."""
    send_until: time = time(17, 0)
    """Local wall time, exclusive."""
    time_zone: str = "UTC"
    zone_policy: ZonePolicy = ZonePolicy.RECIPIENT
    holiday_country: str = ""
    """ISO 3166 alpha-2, optionally with a subdivision ("DE", "US-CA"); "" for none."""
    sender_policy: SenderPolicy = SenderPolicy.OWNER
    from_address: str = ""
    """Used by SenderPolicy.FIXED; may carry a display name."""
    reenrollment: Reenrollment = Reenrollment.NEVER
    reenroll_after_days: int = 0
    minimum_gap_hours: int = 20
    """Between two touches of one run."""
    daily_cap: int | None = None
    domain_cap: int | None = None
    """Per recipient domain and hour."""
    entry_cap: int | None = None
    """New runs started per day."""
    domain_entry_cap: int | None = None
    """New runs started per day and recipient domain."""
    confirm_above: int | None = None
    """More entries than this at once wait for Confirmed."""
    confirmed: bool = False
    public_name: str = ""
    """What the unsubscribe page calls it, for people to leave this one alone; "" offers no such choice."""
    on_colleague_reply: OnColleagueReply = OnColleagueReply.PAUSE
    on_opportunity: OnOpportunity = OnOpportunity.STOP
    on_conversion: OnConversion = OnConversion.STOP_IF_OPPORTUNITY
    stop_field: str = ""
    """The API name of the field of the stop condition ("Status"), "" for none."""
    stop_values: frozenset[str] = frozenset()
    """Values of stop_field that end the run, compared without case."""
    slots: tuple[tuple[Step, ...], ...] = field(init=False, repr=False, compare=False)
    """The steps grouped by order: the variants of each, inactive ones included."""
    active_orders: tuple[float, ...] = field(init=False, repr=False, compare=False)
    """The orders at which some step is active."""

    def __post_init__(self) -> None:
        groups = tuple(tuple(group) for _, group in groupby(self.steps, key=lambda step: step.order))
        object.__setattr__(self, "slots", groups)
        active = tuple(group[0].order for group in groups if any(step.active for step in group))
        object.__setattr__(self, "active_orders", active)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDraft:
    """A step record as read, before validation; fields by the mapping's logical names."""

    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceDraft:
    """A sequence record with all its steps as read, before validation; fields by the mapping's logical names."""

    id: str
    fields: Mapping[str, Any]
    steps: tuple[StepDraft, ...]
    problems: tuple[str, ...] = ()
    """What is wrong by the CRM's own knowledge, in whole sentences: a field that is named and is not there."""


class Signal(Struct, frozen=True, kw_only=True):
    """Something that happened, from any side. Deduplicated by key."""

    key: str
    """Stable across repeats of the same happening: "<source>:<kind>:<vendor id>"."""
    kind: SignalKind
    at: datetime
    source: str
    """The connector's name."""
    record_id: str | None = None
    address: str | None = None
    """Normalized."""
    touch_id: str | None = None
    detail: str = ""
    """For people: the meeting's subject, the bounce's text. At most 255 characters."""
    until: date | None = None
    """Of an absence: the first day the person is back, in their own calendar; None when they did not say."""


class Brake(Struct, frozen=True, kw_only=True):
    """The emergency brake as it stands in the CRM."""

    pulled: bool
    by: str = ""
    """The name of whoever changed it last."""
    heartbeat: datetime | None = None
    """The newest heartbeat a daemon wrote beside the brake: newer than the ledger's own means that the ledger is
    an old copy (B4)."""
    claim: str = ""
    """Of the ledger whose daemon left it; later ones sort after earlier ones. "" where the CRM has no place for it."""


class TouchRecord(Struct, frozen=True, kw_only=True):
    """A touch as it stands on a CRM timeline; what the ledger is rebuilt from."""

    touch_id: str
    record_id: str
    sequence_id: str
    step_id: str
    run: int
    kind: StepKind
    at: datetime
    outcome: str
    message_id: str = ""
    subject: str = ""
    """The email's own subject, without what the connector puts before it on the timeline."""


class Enrollment(Struct, frozen=True, kw_only=True):
    """One run of one person through one sequence, as the ledger holds it."""

    id: int
    person: str
    """keys.person_key of the address the run began with."""
    address: str
    """Normalized; where the next email goes."""
    ref: RecordRef
    """The record that carries the run (the contact, after a conversion)."""
    sequence_id: str
    run: int
    status: RunStatus
    reason: str = ""
    """A reason's key ("hold.brake"), "" when none."""
    reason_detail: str = ""
    entered_at: datetime
    due_at: datetime | None
    """When the next touch is due; None when the run has ended."""
    check_at: datetime | None = None
    """When the dispatcher looks next: due_at, or later while held; None when only an event can wake it."""
    unproven: bool = False
    """Rebuilt from the CRM: the next touch is first looked up in the provider's log (B4)."""
    next_step_id: str | None = None
    position: float | None = None
    """The order of the last step passed, None before the first."""
    steps_done: int = 0
    last_touch_at: datetime | None = None
    last_touch_zone: str = ""
    """IANA name of the zone last used, in which "one day" is counted."""
    sender: str = ""
    """The address the thread was begun with, "" before the first email."""
    owner_id: str | None = None
    """Whoever owned the record when the thread was begun."""
    thread: tuple[str, ...] = ()
    """Message-IDs of this thread, oldest first, at most the root and the nine newest."""
    thread_subject: str = ""
    revision: int = 0
    """Counts how often the ledger stored it: tells whether it changed since it was read."""


class Touch(Struct, frozen=True, kw_only=True):
    """One step of one enrollment, as the ledger holds it."""

    id: str
    enrollment_id: int
    step_id: str
    order: float
    kind: StepKind
    state: TouchState
    attempt: int
    at: datetime
    """When it was last intended."""
    not_before: datetime | None = None
    address: str = ""
    sender: str = ""
    message_id: str = ""
    subject: str = ""
    version: str = ""
    """The version of the sequence it was rendered from."""
    zone: str = ""
    """The IANA zone its time was chosen in."""
    zone_source: str = ""
    """Whose zone that was: recipient, sender or sequence."""
    provider_id: str = ""
    detail: str = ""
