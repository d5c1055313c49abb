"""Derived keys are the same on every machine, in every release and after every rebuild."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.keys import domain_of, is_valid_address, message_id, normalize_address, person_key, share, touch_id


@pytest.mark.parametrize(
    ("typed", "normalized"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Lovelace@Example.COM \t", "ada.lovelace@example.com"),
        ("ada+crm@example.com", "ada+crm@example.com"),
        ("ada@example.com.", "ada@example.com"),
        ("ada@Bücher.example", "ada@xn--bcher-kva.example"),
        ("ADA@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("Élodie@example.com", "élodie@example.com"),
        ("E\u0301lodie@example.com", "élodie@example.com"),
        ("\u00a0ada@example.com\u00a0", "ada@example.com"),
        ('"a@b"@example.com', '"a@b"@example.com'),
        ("ada", ""),
        ("@example.com", ""),
        ("ada@", ""),
        ("ada@.", ""),
        ("", ""),
        (f"ada@{'ü' * 64}.example", ""),
    ],
)
def test_addresses_are_compared_in_one_form(typed: str, normalized: str) -> None:
    """B13: case, outer space, accents and the spelling of a domain make no second person."""
    assert normalize_address(typed) == normalized


@given(st.emails())
def test_normalizing_again_changes_nothing(address: str) -> None:
    """The normalized form is its own."""
    once = normalize_address(address)
    assert normalize_address(once) == once


@given(st.emails())
def test_case_and_outer_space_make_no_second_person(address: str) -> None:
    """B13: whoever types it, it is one address."""
    assert person_key(f" {address.upper()} ") == person_key(address.lower())


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com",
        " ada@example.com ",
        "o'neil@example.com",
        "ada+x@example.co.uk",
        "山田@例え.jp",
        "ada@bücher.de",
    ],
)
def test_addresses_that_mail_can_go_to(address: str) -> None:
    """Internationalized ones are among them."""
    assert is_valid_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@localhost",
        "ada..x@example.com",
        ".ada@example.com",
        "ada.@example.com",
        "ada@-example.com",
        "ada@example..com",
        "ada@exam ple.com",
        "ada lovelace@example.com",
        "Ada <ada@example.com>",
        "mailto:ada@example.com",
        "ada@example.com; grace@example.com",
        "\u200bada@example.com",
        "ada@[192.0.2.1]",
        f"{'a' * 65}@example.com",
    ],
)
def test_addresses_that_no_mail_can_go_to(address: str) -> None:
    """SendGrid answers 400 to these, and a CRM lets them pass."""
    assert not is_valid_address(address)


_PARTS = (
    st.text('abzAZ09.-_+@ <>"(é\n', max_size=8)
    | st.text("a", min_size=62, max_size=66)
    | st.sampled_from(
        [
            "example.com",
            "x--y.de",
            "xn--bcher-kva.example",
            "localhost",
            "a.local",
            "a.test",
            "1.2.3.4",
            f"{'a.' * 96}com",
        ]
    )
)


@given(_PARTS, _PARTS)
def test_an_address_is_valid_where_the_library_says_so(local: str, domain: str) -> None:
    """That a domain is looked at once for all its people changes no verdict."""
    address = f"{local}@{domain}"
    try:
        validate_email(address.strip(), check_deliverability=False, strict=True, allow_smtputf8=True)
    except EmailNotValidError:
        assert not is_valid_address(address)
    else:
        assert is_valid_address(address) == bool(normalize_address(address))


@pytest.mark.parametrize(
    ("address", "domain"), [("a@b.example", "b.example"), ('"a@b"@c.example', "c.example"), ("a", "")]
)
def test_the_domain_is_what_follows_the_last_at(address: str, domain: str) -> None:
    """Caps and address changes go by it."""
    assert domain_of(address) == domain


TOUCH = ("00D000000000001", "p", "seq", 1, "step")


def test_a_touch_has_the_id_it_always_had() -> None:
    """P1, P6: an id that changed with a release would send every email in flight again."""
    assert person_key("ada@example.com") == "991b899dc1ccf9303b848e152fb42496"
    assert touch_id(*TOUCH) == "f4b615bd88bfd04c7b1214c4a5e0f591"


@pytest.mark.parametrize("place", range(5))
def test_every_part_of_a_touch_makes_another_id(place: int) -> None:
    """P1: org, person, sequence, run and step, each of them."""
    changed = list(TOUCH)
    changed[place] = 2 if place == 3 else f"{TOUCH[place]}x"
    assert touch_id(*changed) != touch_id(*TOUCH)  # type: ignore[arg-type]  # the list holds the same types in order


def test_parts_do_not_run_into_each_other() -> None:
    """Sequence "a" with step "bc" is not sequence "ab" with step "c"."""
    assert touch_id("o", "p", "a", 1, "bc") != touch_id("o", "p", "a", 11, "c") != touch_id("o", "p", "ab", 1, "c")


def test_ids_are_lower_case_hex() -> None:
    """A unique text field of Salesforce compares without case unless told otherwise."""
    assert len(touch_id(*TOUCH)) == 32
    assert set(touch_id(*TOUCH)) <= set("0123456789abcdef")


def test_a_message_id_is_that_of_its_touch() -> None:
    """B6: an answer that names it is an answer to this touch."""
    assert message_id("abc", "acme.example") == "<abc@acme.example>"


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_share_is_stable_and_below_one(parts: list[str]) -> None:
    """Variants and jitter need no randomness."""
    assert 0.0 <= share(*parts) < 1.0
    assert share(*parts) == share(*parts)


def test_shares_are_spread_evenly() -> None:
    """Of 10,000, each tenth gets a tenth; 120 more or fewer are chance."""
    tenths = [int(share("x", str(number)) * 10) for number in range(10_000)]
    assert all(abs(tenths.count(tenth) - 1_000) < 120 for tenth in range(10))
