"""Which step comes next. Steps are known by record id, never by position (B17).

Steps that share an order are variants of one slot: a person gets one of them, split by weight and stable for the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from crmdrip.core.keys import share
from crmdrip.core.model import Enrollment, Sequence, Step, TouchState
from crmdrip.core.struct import Struct

PASSED = frozenset({TouchState.ACCEPTED, TouchState.SKIPPED})
UNSETTLED = frozenset({TouchState.INTENDED, TouchState.IN_DOUBT, TouchState.NEEDS_PERSON})


class Passed(Struct, frozen=True, kw_only=True):
    """What is known of one step's touch in this run."""

    state: TouchState
    order: float
    """The step's order when it was touched; used once the step itself is gone."""
    at: datetime
    attempt: int = 1


def position(sequence: Sequence, touches: Mapping[str, Passed], fallback: float | None) -> float | None:
    """Where in the sequence the person stands: the present order of the step passed last.

    The step may have moved since, or be gone: then the order it had counts, unless it was passed over for being gone.
    fallback: the enrollment's own record, for a ledger that was rebuilt without that touch.
    """
    passed = [(touch.at, touch.order, step_id) for step_id, touch in touches.items() if touch.state in PASSED]
    if not passed:
        return fallback
    orders = {step.id: step.order for step in sequence.steps}
    for _, order, step_id in sorted(passed, reverse=True):
        if step_id in orders:
            return orders[step_id]
        if touches[step_id].state is TouchState.ACCEPTED:
            return order
    return fallback


def pick_variant(steps: list[Step], enrollment: Enrollment) -> Step:
    """One of the variants of a slot, split by weight; the same one each time it is asked in the same run."""
    weights = [max(step.weight, 0) for step in steps]
    total = sum(weights)
    if len(steps) == 1 or total == 0:
        return steps[0]
    mark = share(enrollment.person, enrollment.sequence_id, str(enrollment.run), str(steps[0].order)) * total
    for step, weight in zip(steps, weights, strict=True):
        mark -= weight
        if mark < 0:
            return step
    return steps[-1]


def next_step(sequence: Sequence, enrollment: Enrollment, touches: Mapping[str, Passed]) -> Step | None:
    """The step to take now, None when the run is through.

    A slot of which any variant was touched for good never runs again, even if it was moved. A step put before the
    person's position is not sent, one put after it is; the step that was planned next, and stands on the record as
    such, stays ahead wherever it was moved. A touch the provider refused is taken up again.
    """
    here = position(sequence, touches, enrollment.position)
    planned = enrollment.next_step_id
    for slot in sequence.slots:
        ahead = here is None or slot[0].order > here
        if not ahead and all(step.id != planned for step in slot):
            continue
        if touches and any(step.id in touches and touches[step.id].state in PASSED for step in slot):
            continue
        active = [step for step in slot if step.active]
        for step in active:
            if step.id in touches or (step.id == planned and step.weight > 0):
                return step
        if active and ahead:
            return pick_variant(active, enrollment)
    return None


def progress(sequence: Sequence, step: Step | None, done: int) -> str:
    """Which slot the step is, such as "2 of 4"; how many are done when there is no step."""
    orders = sequence.active_orders
    if step is None:
        return f"{done} of {max(len(orders), done)}"
    if step.order not in orders:
        orders = tuple(sorted((*orders, step.order)))
    return f"{orders.index(step.order) + 1} of {len(orders)}"


def progress_of(sequence: Sequence | None, step_id: str | None, done: int) -> str:
    """As progress, for a step known by its id; a sequence that cannot be read has no number of steps."""
    if sequence is None:
        return str(done if step_id is None else done + 1)
    step = next((one for one in sequence.steps if one.id == step_id), None)
    if step is None and step_id is not None:
        return f"{done + 1} of {max(len(sequence.active_orders), done + 1)}"
    return progress(sequence, step, done)
