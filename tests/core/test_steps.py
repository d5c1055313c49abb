"""Which step comes next: slots and variants, and what edits do to people in flight (B17)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_values import A_SENT, DAY, STEPS, SUNDAY, new_run, run_of, sequence_of, steps_with, touched
from schedule_values import make_step

from crmdrip.core.keys import person_key
from crmdrip.core.model import Step, TouchState
from crmdrip.core.steps import next_step, position, progress, progress_of
from crmdrip.core.struct import replace

B_SENT = A_SENT | {"B": touched(order=20.0, at=SUNDAY + DAY)}
N_FIRST = make_step(0, id="N", order=5.0)
N_BETWEEN = make_step(0, id="N", order=15.0)
N_LAST = make_step(0, id="N", order=40.0)


def without(*gone: str) -> tuple[Step, ...]:
    """The three steps but these."""
    return tuple(step for step in STEPS if step.id not in gone)


def ordered(*steps: Step) -> tuple[Step, ...]:
    """As core.definition sorts them."""
    return tuple(sorted(steps, key=lambda step: (step.order, step.id)))


def case(
    name: str, then: str | None, steps: tuple[Step, ...], *, touches: Any = A_SENT, planned: str | None = "B"
) -> Any:
    """One line: the sequence as it now stands, what was sent, what was planned next, and what comes."""
    return pytest.param(steps, touches, planned, then, id=name)


SWITCHED_OFF = steps_with(B={"active": False})
EDITS = [
    case("nothing was edited", "B", STEPS),
    case("B17 nothing was sent yet", "A", STEPS, touches={}, planned="A"),
    case("B17 everything was sent", None, STEPS, touches=B_SENT | {"C": touched(order=30.0)}, planned=None),
    case("B17 added before the position", "B", ordered(N_FIRST, *STEPS)),
    case("B17 added after the position", "N", ordered(N_BETWEEN, *STEPS)),
    case("B17 added at the end", "B", ordered(N_LAST, *STEPS)),
    case(
        "B17 added at the end of a run that was through",
        "N",
        ordered(N_LAST, *STEPS),
        touches=B_SENT | {"C": touched(order=30.0)},
        planned=None,
    ),
    case("B17 the planned one was removed", "C", without("B")),
    case("B17 a passed one was removed", "B", without("A")),
    case("B17 all that is left was removed", None, without("B", "C")),
    case("B17 the planned one was switched off", "C", SWITCHED_OFF),
    case("B17 the passed one was switched off", "B", steps_with(A={"active": False})),
    case("B17 the rest was swapped", "C", steps_with(C={"order": 15.0})),
    case("B17 the passed one moved to the end", "B", steps_with(A={"order": 40.0})),
    case(
        "B17 the passed one moved to the end, and one after it was sent",
        "C",
        steps_with(A={"order": 40.0}),
        touches=B_SENT,
        planned="C",
    ),
    case("B17 the planned one moved to the front", "B", steps_with(B={"order": 5.0})),
    case("B17 another one moved to the front", "B", steps_with(C={"order": 5.0})),
    case("B17 everything was renumbered", "B", steps_with(A={"order": 1.0}, B={"order": 2.0}, C={"order": 3.0})),
    case(
        "B17 renumbered and added before the position",
        "B",
        ordered(make_step(0, id="N", order=1.0), *steps_with(A={"order": 2.0}, B={"order": 3.0}, C={"order": 4.0})),
    ),
    case(
        "B17 the removed one was passed over, and everything was renumbered",
        "C",
        steps_with(A={"order": 1.0}, C={"order": 2.0}, B={"order": 9.0, "active": False}),
        touches=A_SENT | {"X": touched(TouchState.SKIPPED, 15.0, at=SUNDAY + DAY)},
        planned=None,
    ),
    case("B17 the one sent last was removed", "C", without("B"), touches=B_SENT, planned="C"),
    case(
        "B17 added before the place of the one sent last, which is gone",
        "C",
        ordered(N_BETWEEN, *without("B")),
        touches=B_SENT,
        planned="C",
    ),
    case(
        "passed over is passed",
        "C",
        STEPS,
        touches=A_SENT | {"B": touched(TouchState.SKIPPED, 20.0, at=SUNDAY + DAY)},
        planned="C",
    ),
    case("refused is taken up again", "B", STEPS, touches=A_SENT | {"B": touched(TouchState.REFUSED, 20.0)}),
]


@pytest.mark.parametrize(("steps", "touches", "planned", "then"), EDITS)
def test_the_next_step_is_found_by_key_whatever_was_edited(
    steps: tuple[Step, ...], touches: Any, planned: str | None, then: str | None
) -> None:
    """B17: passed steps never run again, new ones before a person's position are not sent, those after it are."""
    sent = bool(touches)
    run = run_of(next_step_id=planned) if sent else new_run(next_step_id=planned)
    found = next_step(sequence_of(steps=steps), run, touches)
    assert (found.id if found is not None else None) == then


@given(
    orders=st.lists(st.integers(0, 9), min_size=4, max_size=4),
    active=st.lists(st.booleans(), min_size=4, max_size=4),
    passed=st.sets(st.sampled_from("ABCD")),
    planned=st.sampled_from([None, "A", "B", "C", "D", "gone"]),
)
def test_what_was_passed_never_comes_again(
    orders: list[int], active: list[bool], passed: set[str], planned: str | None
) -> None:
    """P1, B17: neither the step itself nor another variant of its slot, and never one that is switched off."""
    made = [
        make_step(0, id=name, order=float(o), active=on) for name, o, on in zip("ABCD", orders, active, strict=True)
    ]
    sequence = sequence_of(steps=ordered(*made))
    touches = {name: touched(order=0.0, at=SUNDAY + number * DAY) for number, name in enumerate(sorted(passed))}
    found = next_step(sequence, run_of(next_step_id=planned), touches)
    if found is not None:
        assert found.active
        assert not {step.id for step in made if step.order == found.order} & passed


# --- variants ------------------------------------------------------------------------------------------------------

HEAVY = make_step(0, id="H", order=10.0, variant="a", weight=3)
LIGHT = make_step(0, id="L", order=10.0, variant="b", weight=1)
VARIANTS = sequence_of(steps=(HEAVY, LIGHT))


def variant_of(number: int, **changes: Any) -> str:
    """Which variant the numbered person gets."""
    run = new_run(person=person_key(f"p{number}@example.com"), next_step_id=None)
    found = next_step(VARIANTS, replace(run, **changes), {})
    assert found is not None
    return found.id


def test_variants_are_split_by_weight() -> None:
    """Of 4,000 people three quarters get the variant of weight three; 100 more or fewer are chance."""
    got = [variant_of(number) for number in range(4_000)]
    assert abs(got.count("H") - 3_000) < 100


def test_a_person_gets_the_same_variant_each_time_it_is_asked() -> None:
    """Planning, rendering and a retry hours later speak of the same step."""
    assert [variant_of(number) for number in range(200)] == [variant_of(number) for number in range(200)]


def test_another_run_may_get_another_variant() -> None:
    """The split depends on the run, so a person who runs twice is not bound to what the first run drew."""
    assert any(variant_of(number) != variant_of(number, run=2) for number in range(50))


def test_the_planned_variant_stays_when_weights_are_edited() -> None:
    """B17: what stands on the record as next is what goes out."""
    planned = [new_run(person=person_key(f"p{n}@example.com"), next_step_id="L") for n in range(50)]
    edited = sequence_of(steps=(replace(HEAVY, weight=1_000), LIGHT))
    assert {found.id for run in planned if (found := next_step(edited, run, {})) is not None} == {"L"}


def test_a_variant_of_no_weight_is_sent_to_nobody_more() -> None:
    """Setting a weight to zero retires the variant, for those it was planned for too."""
    edited = sequence_of(steps=(HEAVY, replace(LIGHT, weight=0)))
    found = [next_step(edited, new_run(person=person_key(f"p{n}@x.example"), next_step_id="L"), {}) for n in range(50)]
    assert {step.id for step in found if step is not None} == {"H"}


def test_a_slot_is_passed_with_any_of_its_variants() -> None:
    """Nobody gets two variants of one step."""
    assert next_step(VARIANTS, run_of(next_step_id=None), {"L": touched(order=10.0)}) is None


# --- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "step_id", "done", "shown"),
    [
        (STEPS, "A", 0, "1 of 3"),
        (STEPS, "C", 2, "3 of 3"),
        (STEPS, None, 0, "0 of 3"),
        (STEPS, None, 2, "2 of 3"),
        (STEPS, "gone", 1, "2 of 3"),
        (STEPS, "gone", 3, "4 of 4"),
        (SWITCHED_OFF, "C", 1, "2 of 2"),
        (SWITCHED_OFF, "B", 1, "2 of 3"),
        ((HEAVY, LIGHT), "L", 0, "1 of 1"),
        ((), None, 2, "2 of 2"),
    ],
)
def test_progress_counts_slots_that_are_switched_on(
    steps: tuple[Step, ...], step_id: str | None, done: int, shown: str
) -> None:
    """A record always says "n of m" with n no greater than m."""
    assert progress_of(sequence_of(steps=steps), step_id, done) == shown


def test_a_sequence_that_cannot_be_read_has_no_number_of_steps() -> None:
    """Then the record says which step it is, and not of how many."""
    assert (progress_of(None, "B", 1), progress_of(None, None, 1)) == ("2", "1")


def test_a_step_is_counted_by_its_place() -> None:
    """Two steps were passed over, and still the third is the third."""
    assert progress(sequence_of(), STEPS[2], 0) == "3 of 3"


def test_the_position_of_a_run_without_touches_is_its_own_record() -> None:
    """B4: a ledger that was rebuilt may know the position and not the touch."""
    assert position(sequence_of(), {}, 20.0) == 20.0
