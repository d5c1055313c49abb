"""Whatever is typed in place of a person, a sequence or a number: an answer in words, or a refusal in words (P3)."""

from __future__ import annotations

import os
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from office import Office, Shell

EXAMPLES = int(os.environ.get("CRMDRIP_FUZZ", "25"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

ODD = st.sampled_from(
    [
        "",
        " ",
        "-",
        "--",
        "--json",
        "%",
        "_",
        "*",
        "'",
        "' OR '1'='1",
        "\\",
        "\\'",
        "p0@firm0.example' --",
        "003000000000001",
        "003000000000001AA",
        "003000000000001AAA",
        "00Q000000000000",
        "p0@firm0.example",
        "P0@FIRM0.EXAMPLE ",
        "<p0@firm0.example>",
        "@",
        "a@",
        "@a",
        "p0@xn--.example",
        "\u0130@i\u0307.example",
        "\x1b[2J",
        "\u202e",
        "\x00",
        "\udcff",
        "\r\nDELETE",
        "Lee",
        "lee, ann",
        "Hello",
        "{{ contact.title }}",
        "x" * 20_000,
        "1e309",
        "-1",
        "\u0661",
    ]
)
TYPED = ODD | st.text(max_size=30)


@pytest.fixture
def inhabited(office: Office, crmdrip: Shell) -> Office:
    """Two people of whom one is in the sequence, and a ledger that knows them."""
    office.ticked(2)
    assert crmdrip("once").code == 0
    return office


@fuzz
@given(data=st.data())
def test_whatever_is_typed_is_answered_in_words(inhabited: Office, crmdrip: Shell, data: Any) -> None:
    """Never by a bug's name, nor by an empty line; and characters that would move the cursor are not repeated."""
    del inhabited
    person, sequence = data.draw(TYPED), data.draw(TYPED)
    # Python writes what is no text to a real standard error, and a test's own would not take it.
    name, number = (data.draw(TYPED).replace("\udcff", "") for _ in range(2))
    arguments = data.draw(
        st.sampled_from(
            [
                ("why", person),
                ("why", "--json", person),
                ("preview", sequence, person),
                ("preview", "Hello", person),
                ("preview", sequence, "p0@firm0.example"),
                ("pause", sequence),
                ("resume", sequence),
                ("retry", person),
                ("retry", "--went-out", person),
                ("export", person),
                ("erase", "--yes", f"nobody{person}"),
                ("plan", "--days", number),
                ("status", number),
                (name, sequence),
            ]
        )
    )
    result = crmdrip(*arguments)
    assert result.code in (0, 1, 2), arguments
    assert "this is a bug" not in result.err, arguments
    assert (result.out + result.err).strip(), arguments
    assert "\x1b" not in result.out + result.err, arguments
    if "--json" in arguments and result.code == 0 and result.out.startswith("{"):
        orjson.loads(result.out)
