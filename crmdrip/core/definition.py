"""The definition of a sequence: from what RevOps wrote in the CRM to a valid Sequence, or to every problem at once.

A problem is a plain sentence for the sequence's error field: it names the field or step as the CRM shows it and says
what to type. Whether a template's syntax is right is asked of whoever renders it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import time
from email.utils import parseaddr
from itertools import groupby
from typing import Any

from crmdrip.core.entries import Entries, Report, quote
from crmdrip.core.holidays import find_calendar
from crmdrip.core.keys import is_valid_address
from crmdrip.core.model import (
    DelayUnit,
    Reenrollment,
    SenderPolicy,
    Sequence,
    SequenceDraft,
    SequenceStatus,
    Step,
    StepDraft,
    StepKind,
)
from crmdrip.core.struct import replace
from crmdrip.core.zones import find_zone_name

TemplateCheck = Callable[[str], Iterable[str]]
"""Gives the problems of a template, as sentences; none when it is sound."""

_BLANK = Sequence(id="", name="", status=SequenceStatus.DRAFT, version="", steps=())
_BLANK_STEP = Step(id="", order=0, kind=StepKind.EMAIL, delay=0, delay_unit=DelayUnit.DAYS, subject="", body="")
"""Where defaults come from: the model, and for what the model demands, the defaults of the CRM's picklists."""

_MODEL_NAMES = {
    "time_zone_policy": "zone_policy",
    "sender": "sender_policy",
    "re_enrollment": "reenrollment",
    "re_enroll_after_days": "reenroll_after_days",
}
"""The mapping's words that differ from the model's, because there they follow the labels in the CRM. Both are read."""

_LONGEST_DELAY = {
    DelayUnit.MINUTES: 1_051_200,
    DelayUnit.HOURS: 17_520,
    DelayUnit.DAYS: 730,
    DelayUnit.BUSINESS_DAYS: 520,
}
"""Two years: a longer delay is a slip of the finger."""

_ADDRESS_WITH_NAME = re.compile(r"[^<>]*<([^<>]*)>")

_LONGEST_WAIT_HOURS = 8760
_LONGEST_REENROLLMENT_DAYS = 3650
_HIGHEST_COUNT = 1_000_000
_LONGEST_BODY = 131_072
"""Characters; the largest long text field Salesforce has (facts of the Metadata API, LongTextArea)."""

_LONGEST_SUBJECT = 998
"""Characters; the longest header line of RFC 5322 section 2.1.1."""

_NOTHING_TO_READ = re.compile(r"<(?!img\b)[^<>]*>|&nbsp;|&#160;|\s", re.IGNORECASE)
"""What a rich text editor leaves in an empty body. An image alone is something to see."""


def validate(draft: SequenceDraft, check_template: TemplateCheck | None = None) -> Sequence | tuple[str, ...]:
    """The sequence a draft defines, or the sentences on everything that is wrong with it, never both.

    Blank optional fields take the model's defaults. A step that is not Active may be unfinished: it is kept with
    whatever can be read, and left out while it has no order. A sequence without an active step is valid and enrolls
    nobody. check_template is asked about the subject and body of every active step.
    """
    problems = list(draft.problems)
    sequence = _read_sequence(draft, problems)
    drafts = [_read_step(step, problems) for step in draft.steps]
    read = sorted((step for step in drafts if step is not None), key=lambda each: (each.step.order, each.step.id))
    active = [each for each in read if each.step.active]
    first = min((each.step.order for each in active), default=0.0)
    first_email = min((each.step.order for each in active if each.step.kind is StepKind.EMAIL), default=0.0)
    for each in active:
        problems += each.problems
        problems += _check_delay(each, first)
        problems += _check_content(each.step, each.name, first_email)
        if check_template is not None:
            problems += _check_templates(each.step, each.name, check_template)
    problems += _check_variants([each.step for each in active])
    if problems:
        return tuple(dict.fromkeys(problems))
    sequence = replace(sequence, steps=tuple(each.step for each in read))
    return replace(sequence, version=hash_version(sequence))


def hash_version(sequence: Sequence) -> str:
    """The version of a definition: twelve hex characters that change when anything in it changes.

    Everything in the Sequence counts, its id, name, status and inactive steps too, except the version itself: equal
    versions are equal definitions. The counts the daemon writes on the record are no part of it, and the order in
    which the CRM gives fields, days or steps does not matter.
    """
    said = {each.name for each in fields(sequence) if each.init and each.name != "version"}
    content = {name: value for name, value in asdict(sequence).items() if name in said}
    canonical = json.dumps(content, sort_keys=True, default=_encode)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _encode(value: Any) -> Any:
    """Sets and times for JSON. Raises TypeError for anything else, so no new kind of field is hashed blindly."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, time):
        return value.isoformat()
    raise TypeError(f"cannot hash a {type(value).__name__}")


# --- the sequence ---------------------------------------------------------------------------------------------------


def _read_sequence(draft: SequenceDraft, problems: list[str]) -> Sequence:
    """The draft's own fields, without steps; problems are appended."""

    def report(label: str, what: str, advice: str) -> None:
        problems.append(f"{label} {what}. {advice}")

    entries = Entries({_MODEL_NAMES.get(word, word): value for word, value in draft.fields.items()}, report)

    if entries.is_blank("name"):
        report("Name", "is empty", "Give the sequence a name.")
    status = entries.choice("status", "Status", SequenceStatus.DRAFT)
    send_days = entries.days("send_days", "Send Days", _BLANK.send_days)
    unread = len(problems)
    send_from = entries.time("send_from", "Send From", _BLANK.send_from)
    send_until = entries.time("send_until", "Send Until", _BLANK.send_until)
    if send_until <= send_from and len(problems) == unread:
        advice = "Type a time later on the same day, 23:59 at the latest."
        report("Send Until", f"is {send_until:%H:%M}, not after Send From at {send_from:%H:%M}", advice)
    time_zone = _read_zone(entries, report)
    zone_policy = entries.choice("zone_policy", "Time Zone Policy", _BLANK.zone_policy)
    holiday_country = _read_calendar(entries, report)
    sender_policy = entries.choice("sender_policy", "Sender", _BLANK.sender_policy)
    if sender_policy is SenderPolicy.FIXED and not _is_address(entries.text("from_address")):
        shown = "empty" if entries.is_blank("from_address") else quote(entries.text("from_address"))
        advice = "Type an address such as sales@example.com, or with a name: Acme Sales <sales@example.com>."
        report("From Address", f"is {shown}, and Sender is Fixed", advice)
    reenrollment = entries.choice("reenrollment", "Re-enrollment", _BLANK.reenrollment)
    after_days = entries.number("reenroll_after_days", "Re-enroll After Days", least=0, most=_LONGEST_REENROLLMENT_DAYS)
    if reenrollment is Reenrollment.AFTER_DAYS and entries.is_blank("reenroll_after_days"):
        report("Re-enroll After Days", "is empty, and Re-enrollment is After Days", "Type a number of days.")
    gap = entries.number("minimum_gap_hours", "Minimum Gap Hours", least=0, most=_LONGEST_WAIT_HOURS)
    stop_field, stop_values = entries.condition("stop_when", "Stop When")
    return Sequence(
        id=draft.id,
        name=entries.text("name"),
        status=status,
        version="",
        steps=(),
        send_days=send_days,
        send_from=send_from,
        send_until=send_until,
        time_zone=time_zone,
        zone_policy=zone_policy,
        holiday_country=holiday_country,
        sender_policy=sender_policy,
        from_address=entries.text("from_address"),
        reenrollment=reenrollment,
        reenroll_after_days=_BLANK.reenroll_after_days if after_days is None else after_days,
        minimum_gap_hours=_BLANK.minimum_gap_hours if gap is None else gap,
        daily_cap=entries.number("daily_cap", "Daily Cap", least=1, most=_HIGHEST_COUNT),
        domain_cap=entries.number("domain_cap", "Domain Cap", least=1, most=_HIGHEST_COUNT),
        entry_cap=entries.number("entry_cap", "Entry Cap", least=1, most=_HIGHEST_COUNT),
        domain_entry_cap=entries.number("domain_entry_cap", "Domain Entry Cap", least=1, most=_HIGHEST_COUNT),
        confirm_above=entries.number("confirm_above", "Confirm Above", least=0, most=_HIGHEST_COUNT),
        confirmed=entries.box("confirmed", "Confirmed", default=False),
        public_name=" ".join(entries.text("public_name").split()),
        on_colleague_reply=entries.choice("on_colleague_reply", "On Colleague Reply", _BLANK.on_colleague_reply),
        on_opportunity=entries.choice("on_opportunity", "On Opportunity", _BLANK.on_opportunity),
        on_conversion=entries.choice("on_conversion", "On Conversion", _BLANK.on_conversion),
        stop_field=stop_field,
        stop_values=stop_values,
    )


def _read_zone(entries: Entries, report: Report) -> str:
    if entries.is_blank("time_zone"):
        return _BLANK.time_zone
    zone = find_zone_name(entries.text("time_zone"))
    if not zone:
        what = f"is {quote(entries.text('time_zone'))}, which is not known"
        report("Time Zone", what, "Type an IANA name such as Europe/Berlin.")
    return zone


def _read_calendar(entries: Entries, report: Report) -> str:
    if entries.is_blank("holiday_country"):
        return _BLANK.holiday_country
    calendar = find_calendar(entries.text("holiday_country"))
    if not calendar:
        what = f"is {quote(entries.text('holiday_country'))}, and no holidays are known for that"
        report(
            "Holiday Country", what, "Type a country such as DE, or with its state such as US-CA, or leave it empty."
        )
    return calendar


def _is_address(text: str) -> bool:
    """Whether the text is one address, bare or in brackets behind a display name, and nothing else."""
    # parseaddr alone takes what it understands of a text and is silent about the rest: a bracket that is never closed,
    # a second address.
    found = _ADDRESS_WITH_NAME.fullmatch(text)
    address = found[1].strip() if found is not None else text
    return text.isprintable() and is_valid_address(address) and parseaddr(text)[1] == address


# --- steps ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _ReadStep:
    """A step as far as it could be read."""

    step: Step
    name: str
    """How a problem names it: "Step 3", "Step 3 B"."""
    no_delay: bool
    """Whether Delay was left blank."""
    problems: tuple[str, ...]
    """What could not be read; of no concern while the step is inactive."""


def _read_step(draft: StepDraft, problems: list[str]) -> _ReadStep | None:
    """The step, None when it has no order; that is a problem of its own if the step is active."""
    found: list[tuple[str, str, str]] = []
    entries = Entries(draft.fields, lambda *entry: found.append(entry))
    active = entries.box("active", "Active", default=_BLANK_STEP.active)
    order = entries.position("order", "Order")
    if order is None:
        if active:
            called = quote(entries.text("subject") or entries.text("name") or draft.id)
            problems.append(f"The step {called} has no Order. Type its number in the sequence, such as 1, 2 or 2.5.")
        return None
    variant = entries.text("variant")
    name = " ".join(filter(None, ("Step", f"{order:g}", variant)))
    unit = entries.choice("delay_unit", "Delay Unit", _BLANK_STEP.delay_unit)
    delay = entries.number("delay", "Delay", least=0, most=_LONGEST_DELAY[unit])
    weight = entries.number("weight", "Weight", least=0, most=_HIGHEST_COUNT)
    step = Step(
        id=draft.id,
        order=order,
        kind=entries.choice("kind", "Kind", _BLANK_STEP.kind),
        delay=_BLANK_STEP.delay if delay is None else delay,
        delay_unit=unit,
        subject=entries.text("subject"),
        body=entries.text("body"),
        continue_thread=entries.box("continue_thread", "Continue Thread", default=_BLANK_STEP.continue_thread),
        variant=variant,
        weight=_BLANK_STEP.weight if weight is None else weight,
        needs_approval=entries.box("needs_approval", "Needs Approval", default=_BLANK_STEP.needs_approval),
        expires_after_hours=entries.number(
            "expires_after_hours", "Expires After Hours", least=1, most=_LONGEST_WAIT_HOURS
        ),
        active=active,
    )
    sentences = tuple(f"{name}: {label} {what}. {advice}" for label, what, advice in found)
    return _ReadStep(step=step, name=name, no_delay=entries.is_blank("delay"), problems=sentences)


def _check_delay(read: _ReadStep, first: float) -> Iterator[str]:
    # Only the first step may leave it blank and go out at once: later on, a blank is more likely forgotten than meant.
    if read.no_delay and read.step.order > first:
        yield f"{read.name} has no Delay. Type how long after the step before it is due, such as 3, or 0 for at once."


def _check_content(step: Step, name: str, first_email: float) -> Iterator[str]:
    """Whether there is something to send. first_email: the order at which a person's first email goes out."""
    if len(step.subject.splitlines()) > 1:
        yield f"{name} has a line break in its Subject. Write the subject on one line."
    if len(step.subject) > _LONGEST_SUBJECT:
        yield f"{name} has a Subject of {len(step.subject)} characters. Shorten it to {_LONGEST_SUBJECT} or fewer."
    if len(step.body) > _LONGEST_BODY:
        yield f"{name} has a Body of {len(step.body)} characters. Shorten it to {_LONGEST_BODY} or fewer."
    if step.kind is StepKind.TASK:
        if not step.subject:
            yield f"{name} has no subject. Give it one: it is what the rep reads in the task."
        return
    if not step.subject and step.order <= first_email:
        yield f"{name} has no subject. Give it one: it is the first email, and there is no thread to continue."
    elif not step.subject and not step.continue_thread:
        yield f"{name} has no subject. Give it a subject, or tick Continue Thread."
    if not _NOTHING_TO_READ.sub("", step.body):
        yield f"{name} has no body. Write what the email says, or untick Active."


def _check_templates(step: Step, name: str, check: TemplateCheck) -> Iterator[str]:
    for label, template in (("Subject", step.subject), ("Body", step.body)):
        if template:
            yield from (f"{name}, {label}: {problem.removesuffix('.')}." for problem in check(template))


def _check_variants(steps: Iterable[Step]) -> Iterator[str]:
    """Whether steps of one order can be told apart. They must be sorted by order."""
    for order, group in groupby(steps, key=lambda step: step.order):
        variants = [step.variant.casefold() for step in group]
        if len(set(variants)) < len(variants):
            yield (
                f"Two active steps have the Order {order:g} and the same Variant. Number them apart, or if they are two"
                " versions of one step, give each its own Variant, such as A and B."
            )
