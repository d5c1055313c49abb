"""From what RevOps wrote to a valid sequence, or to every problem at once."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.definition import hash_version, validate
from crmdrip.core.model import (
    DelayUnit,
    OnColleagueReply,
    OnConversion,
    OnOpportunity,
    Reenrollment,
    SenderPolicy,
    Sequence,
    SequenceDraft,
    SequenceStatus,
    StepDraft,
    StepKind,
    ZonePolicy,
)
from crmdrip.core.struct import replace

INTRO = {"order": 1.0, "delay": 0.0, "subject": "Hello {{ first_name }}", "body": "<p>Hello.</p>"}
FOLLOW_UP = {"order": 2.0, "delay": 2.0, "body": "<p>Again.</p>", "continue_thread": True}

SEQUENCE_WORDS = [
    "name",
    "status",
    "send_days",
    "send_from",
    "send_until",
    "time_zone",
    "time_zone_policy",
    "holiday_country",
    "sender",
    "from_address",
    "re_enrollment",
    "re_enroll_after_days",
    "minimum_gap_hours",
    "daily_cap",
    "confirmed",
    "on_conversion",
    "stop_when",
    "public_name",
]
STEP_WORDS = ["order", "kind", "delay", "delay_unit", "subject", "body", "variant", "weight", "expires_after_hours"]

entries = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=30) | st.lists(st.text())


def draft(*steps: dict[str, Any], **fields: Any) -> SequenceDraft:
    """A draft with the given fields and steps; with an intro where none is given."""
    numbered = tuple(StepDraft(id=f"step{n}", fields=step) for n, step in enumerate(steps or (INTRO,), start=1))
    return SequenceDraft(id="seq", fields={"name": "Trial", "status": "Live"} | fields, steps=numbered)


def valid(*steps: dict[str, Any], **fields: Any) -> Sequence:
    """The sequence that the draft defines; it must be valid."""
    result = validate(draft(*steps, **fields))
    assert isinstance(result, Sequence), result
    return result


def problems(*steps: dict[str, Any], **fields: Any) -> tuple[str, ...]:
    """The problems of the draft; it must have some."""
    result = validate(draft(*steps, **fields))
    assert isinstance(result, tuple)
    return result


class TestValid:
    """What people type is read as they mean it."""

    def test_blank_fields_take_the_model_s_defaults(self) -> None:
        """Nothing typed, None and space alone are the same."""
        plain = Sequence(id="seq", name="Trial", status=SequenceStatus.LIVE, version="", steps=())
        found = valid(send_days=None, send_from="", time_zone="  ", sender=None, daily_cap=None, stop_when="")
        assert replace(found, steps=(), version="") == plain

    @pytest.mark.parametrize(
        ("word", "typed", "field", "value"),
        [
            ("status", "paused", "status", SequenceStatus.PAUSED),
            ("send_days", "Mon;Tue", "send_days", frozenset({0, 1})),
            ("send_days", "sunday, Thurs", "send_days", frozenset({3, 6})),
            ("send_from", "08:30", "send_from", time(8, 30)),
            ("send_from", "08:30:00.000Z", "send_from", time(8, 30)),
            ("send_from", "8 am", "send_from", time(8)),
            ("send_until", "5:30 p.m.", "send_until", time(17, 30)),
            ("send_until", "23:59", "send_until", time(23, 59)),
            ("time_zone", "europe/berlin", "time_zone", "Europe/Berlin"),
            ("time_zone_policy", "Fixed", "zone_policy", ZonePolicy.FIXED),
            ("zone_policy", "Sender", "zone_policy", ZonePolicy.SENDER),
            ("holiday_country", "Germany", "holiday_country", "DE"),
            ("holiday_country", "us-ca", "holiday_country", "US-CA"),
            ("sender", "First Sender", "sender_policy", SenderPolicy.FIRST_SENDER),
            ("sender", "owner_or_hold", "sender_policy", SenderPolicy.OWNER_OR_HOLD),
            ("re_enrollment", "After Finish", "reenrollment", Reenrollment.AFTER_FINISH),
            ("minimum_gap_hours", 0.0, "minimum_gap_hours", 0),
            ("daily_cap", "200", "daily_cap", 200),
            ("domain_cap", 5.0, "domain_cap", 5),
            ("entry_cap", 50, "entry_cap", 50),
            ("domain_entry_cap", 3, "domain_entry_cap", 3),
            ("confirm_above", 0, "confirm_above", 0),
            ("confirmed", "true", "confirmed", True),
            ("on_colleague_reply", "IGNORE", "on_colleague_reply", OnColleagueReply.IGNORE),
            ("on_opportunity", "Ignore", "on_opportunity", OnOpportunity.IGNORE),
            ("on_conversion", "Stop if Opportunity", "on_conversion", OnConversion.STOP_IF_OPPORTUNITY),
            ("on_conversion", "Continue", "on_conversion", OnConversion.CONTINUE),
        ],
    )
    def test_an_entry_is_read_as_people_see_it(self, word: str, typed: object, field: str, value: object) -> None:
        """Picklist labels in any case, times and numbers as each CRM gives them."""
        assert getattr(valid(**{word: typed}), field) == value

    @pytest.mark.parametrize(
        ("typed", "field", "values"),
        [
            ("Status = Qualified, Unqualified", "Status", {"Qualified", "Unqualified"}),
            ("Account.Type=Customer", "Account.Type", {"Customer"}),
            ('Stage__c = "Closed, Lost" , Won', "Stage__c", {"Closed, Lost", "Won"}),
        ],
    )
    def test_a_stop_condition_is_a_field_and_its_values(self, typed: str, field: str, values: set[str]) -> None:
        """The values are kept as typed; quotes hold a comma."""
        found = valid(stop_when=typed)
        assert (found.stop_field, found.stop_values) == (field, frozenset(values))

    @pytest.mark.parametrize(
        ("word", "typed", "field", "value"),
        [
            ("kind", "Task", "kind", StepKind.TASK),
            ("delay_unit", "Business Days", "delay_unit", DelayUnit.BUSINESS_DAYS),
            ("delay_unit", None, "delay_unit", DelayUnit.DAYS),
            ("delay", "3", "delay", 3),
            ("delay", None, "delay", 0),
            ("variant", " B ", "variant", "B"),
            ("weight", None, "weight", 1),
            ("weight", 0, "weight", 0),
            ("needs_approval", True, "needs_approval", True),
            ("expires_after_hours", 48.0, "expires_after_hours", 48),
            ("expires_after_hours", None, "expires_after_hours", None),
            ("active", None, "active", True),
            ("active", "false", "active", False),
            ("order", "1.5", "order", 1.5),
        ],
    )
    def test_a_step_s_entry_is_read_as_people_see_it(self, word: str, typed: object, field: str, value: object) -> None:
        """As for the sequence's own fields."""
        assert getattr(valid(INTRO | {word: typed}).steps[0], field) == value

    def test_steps_stand_in_order_then_by_id(self) -> None:
        """B17: whatever the order in which the CRM gives them."""
        steps = (INTRO | {"order": 3}, INTRO | {"order": 2, "variant": "B"}, INTRO | {"order": 2, "variant": "A"})
        assert [step.id for step in valid(*steps).steps] == ["step2", "step3", "step1"]

    def test_a_later_step_may_continue_the_thread_without_a_subject(self) -> None:
        """It goes out as "Re: ..." of the thread."""
        assert valid(INTRO, FOLLOW_UP).steps[1].subject == ""

    def test_an_inactive_step_may_be_unfinished(self) -> None:
        """RevOps writes a step while the sequence runs, and ticks Active when it is done."""
        unfinished = {"order": 2, "active": False, "delay": "soon", "kind": "Fax"}
        assert [step.active for step in valid(INTRO, unfinished, {"active": False}).steps] == [True, False]

    def test_a_sequence_without_an_active_step_is_valid(self) -> None:
        """It enrolls nobody, which each record says; the definition itself is no mistake."""
        assert valid(INTRO | {"active": False}).steps[0].active is False

    def test_an_image_is_a_body(self) -> None:
        """A banner alone is something to see."""
        assert valid(INTRO | {"body": '<p><img src="https://example.com/a.png"></p>'})


class TestProblems:
    """Each problem is a sentence that says what to type."""

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"name": ""}, "Name is empty. Give the sequence a name."),
            ({"status": "Livee"}, "Status is “Livee”. Choose Draft, Live, Paused or Retired."),
            (
                {"send_days": "Mon;Mun"},
                "Send Days has “Mun”, which is no day. Choose among Mon, Tue, Wed, Thu, Fri, Sat, Sun.",
            ),
            ({"send_from": "25:00"}, "Send From is “25:00”, which is no time of day. Type it like 09:00."),
            ({"send_from": "13 pm"}, "Send From is “13 pm”, which is no time of day. Type it like 09:00."),
            (
                {"send_from": "22:00", "send_until": "06:00"},
                (
                    "Send Until is 06:00, not after Send From at 22:00. Type a time later on the same day, 23:59 at the"
                    " latest."
                ),
            ),
            (
                {"time_zone": "Berlin"},
                "Time Zone is “Berlin”, which is not known. Type an IANA name such as Europe/Berlin.",
            ),
            (
                {"holiday_country": "Atlantis"},
                (
                    "Holiday Country is “Atlantis”, and no holidays are known for that. Type a country such as DE, or"
                    " with its state such as US-CA, or leave it empty."
                ),
            ),
            (
                {"sender": "Fixed"},
                (
                    "From Address is empty, and Sender is Fixed. Type an address such as sales@example.com, or with a"
                    " name: Acme Sales <sales@example.com>."
                ),
            ),
            (
                {"re_enrollment": "After Days"},
                "Re-enroll After Days is empty, and Re-enrollment is After Days. Type a number of days.",
            ),
            ({"daily_cap": 0}, "Daily Cap is “0”. Type a whole number from 1 to 1000000, or leave it empty."),
            ({"minimum_gap_hours": -1}, "Minimum Gap Hours is “-1”. Type a whole number from 0 to 8760."),
            ({"confirm_above": "many"}, "Confirm Above is “many”. Type a whole number from 0 to 1000000."),
            ({"confirmed": "perhaps"}, "Confirmed is “perhaps”. Tick it or leave it unticked."),
            (
                {"on_conversion": "Panic"},
                "On Conversion is “Panic”. Choose Stop, Stop if Opportunity or Continue.",
            ),
            (
                {"stop_when": "Status != Open"},
                (
                    "Stop When is “Status != Open”. Write a field's API name, an equals sign and values, such as:"
                    " Status = Qualified, Unqualified."
                ),
            ),
        ],
    )
    def test_a_field_says_what_is_wrong_and_what_to_type(self, fields: dict[str, Any], sentence: str) -> None:
        """In the label's words, with what was typed, and nothing else is complained about."""
        assert problems(**fields) == (sentence,)

    @pytest.mark.parametrize(
        "text",
        [
            "Sales Team",
            "two words@example.com",
            "Sales <a@b.com",
            "Sales a@b.com>",
            "Sales <two words@example.com>",
            "Sales <a@b.com> <c@d.com>",
            "Sales <a@b.com> and more",
            "a@b.com, c@d.com",
            "Acme, Sales <a@b.com>",
            "a..b@example.com",
            "sales@example",
        ],
    )
    def test_a_fixed_sender_is_one_address_and_nothing_else(self, text: str) -> None:
        """What a reader of addresses would pass over is said, instead of sending from what is left of it."""
        (sentence,) = problems(sender="Fixed", from_address=text)
        advice = "Type an address such as sales@example.com, or with a name: Acme Sales <sales@example.com>."
        assert sentence == f"From Address is “{text}”, and Sender is Fixed. {advice}"

    @pytest.mark.parametrize(
        "text",
        [
            "sales@example.com",
            "Acme Sales <sales@example.com>",
            '"Acme, Sales" <sales@example.com>',
            "<sales@example.com>",
            "Ärzte <büro@bücher.example>",
        ],
    )
    def test_a_fixed_sender_may_have_a_name(self, text: str) -> None:
        """As every mail program writes it, in any script."""
        assert isinstance(validate(draft(sender="Fixed", from_address=text)), Sequence)

    @pytest.mark.parametrize(
        ("step", "sentence"),
        [
            ({"subject": ""}, "Step 2 has no subject. Give it a subject, or tick Continue Thread."),
            ({"body": "<p>&nbsp;<br></p>"}, "Step 2 has no body. Write what the email says, or untick Active."),
            ({"subject": "a\nb"}, "Step 2 has a line break in its Subject. Write the subject on one line."),
            ({"subject": "a" * 999}, "Step 2 has a Subject of 999 characters. Shorten it to 998 or fewer."),
            ({"body": "a" * 131_073}, "Step 2 has a Body of 131073 characters. Shorten it to 131072 or fewer."),
            ({"kind": "Call"}, "Step 2: Kind is “Call”. Choose Email or Task."),
            (
                {"kind": "Task", "subject": ""},
                "Step 2 has no subject. Give it one: it is what the rep reads in the task.",
            ),
            ({"delay": 1.5}, "Step 2: Delay is “1.5”. Type a whole number from 0 to 730."),
            ({"delay": 9_000, "delay_unit": "Days"}, "Step 2: Delay is “9000”. Type a whole number from 0 to 730."),
            (
                {"delay": None},
                "Step 2 has no Delay. Type how long after the step before it is due, such as 3, or 0 for at once.",
            ),
            (
                {"delay_unit": "Weeks"},
                "Step 2: Delay Unit is “Weeks”. Choose Minutes, Hours, Days or Business Days.",
            ),
            (
                {"variant": "B", "weight": -1},
                "Step 2 B: Weight is “-1”. Type a whole number from 0 to 1000000.",
            ),
            (
                {"expires_after_hours": 0},
                "Step 2: Expires After Hours is “0”. Type a whole number from 1 to 8760, or leave it empty.",
            ),
            (
                {"order": None, "subject": "Lost"},
                "The step “Lost” has no Order. Type its number in the sequence, such as 1, 2 or 2.5.",
            ),
            (
                {"order": 1},
                (
                    "Two active steps have the Order 1 and the same Variant. Number them apart, or if they are two"
                    " versions of one step, give each its own Variant, such as A and B."
                ),
            ),
        ],
    )
    def test_a_step_says_what_is_wrong_and_what_to_type(self, step: dict[str, Any], sentence: str) -> None:
        """By its number and variant, as the CRM shows it."""
        assert problems(INTRO, INTRO | {"order": 2, "delay": 1} | step) == (sentence,)

    def test_the_first_email_needs_a_subject_of_its_own(self) -> None:
        """There is no thread to continue, even after a task."""
        call = {"order": 1, "kind": "Task", "subject": "Call"}
        assert problems(call, FOLLOW_UP) == (
            "Step 2 has no subject. Give it one: it is the first email, and there is no thread to continue.",
        )

    def test_all_problems_come_at_once(self) -> None:
        """One round of corrections is enough: fields first, then steps by their order."""
        found = problems(
            {"order": 2, "delay": 1, "body": "x"}, INTRO | {"body": ""}, status="On", time_zone="Mars", daily_cap=-1
        )
        assert [sentence.split(" ", 2)[:2] for sentence in found] == [
            ["Status", "is"],
            ["Time", "Zone"],
            ["Daily", "Cap"],
            ["Step", "1"],
            ["Step", "2"],
        ]

    def test_problems_of_templates_are_told_by_step_and_field(self) -> None:
        """Those of active steps; whoever renders knows the syntax."""
        idle = FOLLOW_UP | {"active": False}
        found = validate(draft(INTRO, idle), lambda text: ["“{{” is not closed."] if "{{" in text else [])
        assert found == ("Step 1, Subject: “{{” is not closed.",)

    @given(
        st.dictionaries(st.sampled_from(SEQUENCE_WORDS), entries), st.dictionaries(st.sampled_from(STEP_WORDS), entries)
    )
    def test_no_entry_breaks_the_reading(self, fields: dict[str, Any], step: dict[str, Any]) -> None:
        """B27: whatever stands in the CRM, the answer is a sequence or sentences that end in a full stop."""
        result = validate(draft(INTRO | step, **fields))
        assert isinstance(result, Sequence) or all(sentence.endswith(".") for sentence in result)


class TestVersion:
    """Equal versions are equal definitions."""

    def test_the_version_does_not_depend_on_the_order_of_reading(self) -> None:
        """Fields, days and steps may come from the CRM in any order."""
        one = valid(INTRO, FOLLOW_UP, send_days="Mon;Wed;Fri", stop_when="Status = A, B", daily_cap=5)
        steps = (StepDraft(id="step2", fields=FOLLOW_UP), StepDraft(id="step1", fields=dict(reversed(INTRO.items()))))
        fields = {"daily_cap": 5, "stop_when": "Status = B, A", "send_days": "Fri;Mon;Wed", "status": "Live"}
        other = validate(SequenceDraft(id="seq", fields=fields | {"name": "Trial"}, steps=steps))
        assert other == one

    @pytest.mark.parametrize(
        ("fields", "step"),
        [
            ({"send_until": "16:00"}, {}),
            ({"status": "Paused"}, {}),
            ({"holiday_country": "DE"}, {}),
            ({"stop_when": "Status = Won"}, {}),
            ({}, {"subject": "Hi"}),
            ({}, {"weight": 2}),
            ({}, {"active": False}),
        ],
    )
    def test_a_change_of_the_definition_changes_the_version(self, fields: dict[str, Any], step: dict[str, Any]) -> None:
        """B17: a touch can always be traced to what it was rendered from."""
        assert valid(INTRO | step, **fields).version != valid(INTRO).version

    def test_what_the_daemon_writes_does_not_change_the_version(self) -> None:
        """Counts, version and error on the record are no part of the definition."""
        assert valid(sent=12, active=3, error="", version="old").version == valid().version

    def test_the_version_is_that_of_the_sequence(self) -> None:
        """It can be computed again from the value, whatever version that carries."""
        found = valid(INTRO, FOLLOW_UP)
        assert found.version == hash_version(found)
