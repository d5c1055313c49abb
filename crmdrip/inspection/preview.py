"""How a sequence's emails look for one person, as they are in the CRM now. Nothing is sent and no link in it acts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from crmdrip.core.compose import Composer, TaskText, compose_task, merge_paths
from crmdrip.core.definition import validate
from crmdrip.core.errors import RejectedError, UnknownPathsError
from crmdrip.core.keys import normalize_address
from crmdrip.core.message import EmailMessage
from crmdrip.core.model import Enrollment, Owner, Record, RecordRef, RunStatus, Sequence, SequenceDraft, Step, StepKind
from crmdrip.core.reasons import Reason
from crmdrip.core.render import check_template
from crmdrip.core.steps import progress
from crmdrip.core.struct import replace
from crmdrip.ports import CrmSource, Look

NOBODY = "preview"
"""In the place of the person's key: an unsubscribe link in a preview is nobody's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPreview:
    """One step for one person."""

    step: str
    """Such as "2 of 4", and its variant where it has one."""
    kind: str
    problem: str
    """Why it cannot be rendered ("missing Title"), "" when it can."""
    sender: str = ""
    recipient: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    remark: str = ""
    """Which of its merge fields nobody can see, "" when all can be."""


def read_drafts(source: CrmSource) -> tuple[SequenceDraft, ...]:
    """Every sequence as it stands in the CRM, whatever its state. Raises what CrmSource.pull raises."""
    # They all come with the first page; the people behind it are not needed.
    pages = source.pull(None)
    return next(iter(pages)).sequences


def find_draft(drafts: tuple[SequenceDraft, ...], text: str) -> SequenceDraft:
    """The draft of that id or name. Raises RejectedError."""
    wanted = text.strip().casefold()
    named = {draft.id: str(draft.fields.get("name") or "") for draft in drafts}
    for found in (
        [draft for draft in drafts if draft.id == text.strip()],
        [draft for draft in drafts if named[draft.id].casefold() == wanted],
        [draft for draft in drafts if named[draft.id].casefold().startswith(wanted)],
    ):
        if len(found) == 1:
            return found[0]
    names = ", ".join(sorted(f"{name} ({key})" for key, name in named.items())) or "none"
    raise RejectedError(f"not exactly one sequence is called {text!r}.", do_next=f"There are: {names}.")


def read_sequence(draft: SequenceDraft) -> Sequence:
    """The sequence a draft defines. Raises RejectedError with everything that is wrong with it."""
    result = validate(draft, check_template=check_template)
    if isinstance(result, Sequence):
        return result
    raise RejectedError(
        " ".join(result), where=str(draft.fields.get("name") or draft.id), do_next="Correct it where it is written."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """One record as the CRM has it now."""

    record: Record
    owners: Mapping[str, Owner]
    """Its owner, by id."""
    unknown: frozenset[str]
    """Merge paths of the sequence that nobody can see; to the daemon they are missing in every record (B24)."""


def look_at(source: CrmSource, ref: RecordRef, sequence: Sequence) -> Sight:
    """The record with every merge field the sequence uses, and its owner. Raises what CrmSource.look raises."""
    paths, unknown = merge_paths(sequence.steps), frozenset[str]()
    try:
        look: Look = source.look([ref], paths, None)
    except UnknownPathsError as error:
        unknown = error.paths
        look = source.look([ref], paths - unknown, None)
    record = look.records.get(ref.id)
    if record is None:
        raise RejectedError(f"{ref.kind.value} {ref.id} is not in the CRM any more.")
    return Sight(record=record, owners=source.owners([record.owner_id] if record.owner_id else []), unknown=unknown)


def preview(composer: Composer, sequence: Sequence, sight: Sight) -> Iterator[StepPreview]:
    """Every active step, variants included, in order; later emails continue the thread of the first."""
    record = sight.record
    owner = sight.owners.get(record.owner_id or "")
    address = normalize_address(record.email)
    run = Enrollment(
        id=0,
        person=NOBODY,
        address=address,
        ref=record.ref,
        sequence_id=sequence.id,
        run=1,
        status=RunStatus.ACTIVE,
        entered_at=record.modified_at,
        due_at=None,
    )
    active = [step for step in sequence.steps if step.active]
    for _, slot in groupby(active, key=lambda step: step.order):
        first: EmailMessage | None = None
        for step in slot:
            shown, message = _preview_step(composer, sequence, step, run=run, record=record, owner=owner)
            first = first or message
            yield replace(shown, remark=_unseen(step, sight.unknown))
        if first is not None:
            identity = first.headers["Message-ID"]
            begins = "In-Reply-To" not in first.headers
            run = replace(
                run,
                thread=(identity,) if begins else (*run.thread, identity),
                thread_subject=first.subject if begins else run.thread_subject,
                sender=normalize_address(first.from_address),
            )


def _preview_step(
    composer: Composer, sequence: Sequence, step: Step, *, run: Enrollment, record: Record, owner: Owner | None
) -> tuple[StepPreview, EmailMessage | None]:
    shown = StepPreview(step=f"{progress(sequence, step, 0)} {step.variant}".strip(), kind=step.kind.value, problem="")
    made: EmailMessage | TaskText | Reason
    if step.kind is StepKind.TASK:
        made = compose_task(step=step, sequence=sequence, record=record, owner=owner)
    else:
        made = composer.compose(
            step=step, sequence=sequence, enrollment=run, record=record, owner=owner, touch_id=f"preview-{step.id}"
        )
    if isinstance(made, Reason):
        return replace(shown, problem=made.sentence), None
    if isinstance(made, TaskText):
        return replace(shown, subject=made.subject, text=made.body), None
    filled = replace(
        shown,
        sender=_named(made.from_name, made.from_address),
        recipient=_named(made.to_name, made.to_address),
        subject=made.subject,
        text=made.text,
        html=made.html,
    )
    return filled, made


def _unseen(step: Step, unknown: frozenset[str]) -> str:
    return " ".join(
        f"{{{{ {path} }}}} is no field that can be seen: correct the step, or grant read access."
        for path in sorted(merge_paths([step]) & unknown)
    )


def _named(name: str, address: str) -> str:
    return f"{name} <{address}>" if name else address
