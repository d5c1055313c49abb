"""What a record shows about a run on its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_values import NOW
from schedule_values import at

from crmdrip.core import words

ZONES = ["Europe/Berlin", "America/Argentina/ComodRivadavia", "UTC"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.moment(NOW, "UTC"), "3 Nov 2026, 12:00 (UTC)"),
        (words.moment(NOW, "America/New_York"), "3 Nov 2026, 07:00 (America/New_York)"),
        (words.moment(at("2026-12-31T23:30"), "Asia/Tokyo"), "1 Jan 2027, 08:30 (Asia/Tokyo)"),
        (words.moment(at("9999-12-31T23:00"), "Asia/Tokyo"), "31 Dec 9999, 23:00 (UTC)"),
        (words.moment(at("0001-01-01T00:00"), "America/New_York"), "1 Jan 1, 00:00 (UTC)"),
        (words.day(NOW), "3 Nov 2026"),
        (words.queued(NOW, "UTC"), "Queued, expected start 3 Nov 2026, 12:00 (UTC)."),
        (words.went_out("2 of 4", NOW, "UTC"), "Step 2 of 4 went out 3 Nov 2026, 12:00 (UTC)."),
        (words.upcoming("3 of 4", NOW, "UTC"), "Step 3 of 4 is due 3 Nov 2026, 12:00 (UTC)."),
        (words.finished(4, NOW, "UTC"), "Finished: 4 steps went out, the last 3 Nov 2026, 12:00 (UTC)."),
        (words.finished(1, NOW, "UTC"), "Finished: 1 step went out, the last 3 Nov 2026, 12:00 (UTC)."),
        (words.finished(0, None, "UTC"), "Finished: 0 steps went out."),
    ],
)
def test_a_sentence_is_plain(shown: str, expected: str) -> None:
    """P3: dates as people write them, in the zone they were chosen in."""
    assert shown == expected


@pytest.mark.parametrize("month", range(1, 13))
def test_months_are_named_in_english_on_every_machine(month: int) -> None:
    """A locale would give others, and the rest of the sentence is English."""
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    assert words.day(at(f"2026-{month:02}-01T00:00")) == f"1 {names[month - 1]} 2026"


@pytest.mark.parametrize("zone", ZONES)
def test_two_sentences_fit_the_field(zone: str) -> None:
    """What happened and what comes next stand together."""
    both = f"{words.went_out('10 of 12', NOW, zone)} {words.upcoming('11 of 12', NOW, zone)}"
    assert len(both) <= words.LIMIT


@given(st.text(max_size=600), st.integers(2, 300))
def test_a_clipped_text_fits_and_begins_as_the_text_does(text: str, limit: int) -> None:
    """Nothing is put in its place but a sign that something is missing."""
    shown = words.clip(text, limit)
    assert len(shown) <= limit
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one two three", "one two…"),
        ("one two, three", "one two…"),
        ("o twothreefour", "o twothree…"),
        ("onetwothreefour", "onetwothre…"),
        ("one two thr", "one two thr"),
    ],
)
def test_a_text_is_cut_at_a_word_where_one_ends_near(text: str, shown: str) -> None:
    """A long word without a space is cut anywhere, rather than leaving almost nothing."""
    assert words.clip(text, 11) == shown


GMAIL = (
    "5.1.1 550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 double-checking the"
    " recipient's address for typos or 550-5.1.1 unnecessary spaces. 550 5.1.1 https://support.example/NoSuchUser"
)
GMAIL_ONCE = (
    "550-5.1.1 The email account that you tried to reach does not exist. Please try double-checking the"
    " recipient's address for typos or unnecessary spaces. https://support.example/NoSuchUser"
)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("5.1.1 550 5.1.1 The email account does not exist", "550 5.1.1 The email account does not exist"),
        ("5.1.1 smtp; 550 5.1.1 User unknown", "smtp; 550 5.1.1 User unknown"),
        ("5.1.0 550 #5.1.0 Address rejected.", "550 #5.1.0 Address rejected."),
        ("5.0.0 550 No such user", "550 No such user"),
        ("550-one 550-two 550 three", "550-one two 550 three"),
        (GMAIL, GMAIL_ONCE),
        ("5.1.1 user unknown", "5.1.1 user unknown"),
        ("452 4.2.2 over quota, 5.1.1 unknown", "452 4.2.2 over quota, 5.1.1 unknown"),
        ("550 5.7.1 Client host [5.7.1.1] blocked", "550 5.7.1 Client host [5.7.1.1] blocked"),
        ("550 No such user, 550 elm street", "550 No such user, 550 elm street"),
        ("5.1.1", "5.1.1"),
        ("", ""),
    ],
)
def test_what_a_mail_server_said_shows_each_code_once(said: str, shown: str) -> None:
    """A rep reads it on the record, where 255 characters have to do."""
    assert words.say_codes_once(said) == shown


@given(st.text(st.sampled_from("45. 01-#a"), max_size=60))
def test_saying_codes_once_leaves_nothing_to_say_once(said: str) -> None:
    """It may be asked of a sentence that was made so already, and never makes one longer."""
    once = words.say_codes_once(said)
    assert len(once) <= len(said)
    assert words.say_codes_once(once) == once
