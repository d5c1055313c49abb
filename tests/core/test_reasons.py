"""Every reason is a plain sentence that fits the CRM's field and says what to do; its key leads back to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.reasons import (
    AnyReason,
    HoldReason,
    Reason,
    RefuseReason,
    SkipReason,
    StopReason,
    parse_reason,
)
from crmdrip.core.words import LIMIT

EVERY: tuple[AnyReason, ...] = (*StopReason, *HoldReason, *SkipReason, *RefuseReason)
IDS = [Reason(code=code).key for code in EVERY]

each = pytest.mark.parametrize("code", EVERY, ids=IDS)


@each
def test_a_reason_is_whole_sentences(code: AnyReason) -> None:
    """P3: it begins with a capital, ends with a full stop, and leaves no placeholder behind."""
    sentence = Reason(code=code, detail="Rita").sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert not set(sentence) & set("{}\n")


@each
@given(detail=st.text(max_size=400))
def test_a_reason_fits_the_field_and_keeps_its_end(code: AnyReason, detail: str) -> None:
    """P3: a vendor's long message is cut, never the part that says what to do next."""
    sentence = Reason(code=code, detail=detail).sentence
    assert len(sentence) <= LIMIT
    assert sentence.endswith(code.value.rpartition("{detail}")[2])


@each
def test_a_key_leads_back_to_its_reason(code: AnyReason) -> None:
    """The ledger keeps the key and the detail, and whoever reads them gets the very sentence."""
    reason = Reason(code=code, detail=" on 3 Nov 2026")
    assert parse_reason(reason.key, reason.detail) == reason


def test_keys_are_unique() -> None:
    """No two reasons are mixed up when they are read back."""
    assert len(set(IDS)) == len(EVERY)


@pytest.mark.parametrize("key", ["stop.nothing", "pause.replied", "stop", ""])
def test_a_key_that_was_never_a_reason_is_refused(key: str) -> None:
    """The sets are closed."""
    with pytest.raises(KeyError):
        parse_reason(key)


@pytest.mark.parametrize(
    ("detail", "sentence"),
    [
        ("503 Service Unavailable.", "(503 Service Unavailable)"),
        ("two\nlines\tand  gaps", "(two lines and gaps)"),
        ("{detail}", "({detail})"),
    ],
)
def test_a_vendors_words_are_fitted_into_the_sentence(detail: str, sentence: str) -> None:
    """One line, no full stop in the middle, and braces are only characters."""
    shown = Reason(code=HoldReason.NO_LAST_LOOK, detail=detail).sentence
    assert shown == f"Waiting: the record could not be read right before sending {sentence}. It goes out once it can."


def test_a_clause_keeps_the_space_before_it() -> None:
    """It says "replied on 3 Nov", and just "replied" where the day is not known."""
    assert Reason(code=StopReason.REPLIED, detail=" on 3 Nov 2026").sentence.startswith("The person replied on 3 Nov")
    assert Reason(code=StopReason.REPLIED).sentence.startswith("The person replied. ")
