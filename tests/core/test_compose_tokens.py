"""Tokens of unsubscribe links and reply addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.keys import person_key
from crmdrip.core.tokens import ReplyTokens, Unsubscriber, UnsubscribeTags, UnsubscribeTokens

OLD, NEW = "o" * 32, "n" * 32
LI, BO = person_key("li@x.example"), person_key("bo@x.example")
TOUCH = "0123456789abcdef" * 2


def test_a_token_names_its_person_and_org() -> None:
    """And nothing else; it is safe in a URL."""
    token = UnsubscribeTokens((NEW,)).sign(LI, "00D/é.1")
    assert UnsubscribeTokens((NEW,)).read(token) == Unsubscriber(person=LI, org="00D/é.1")
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.%")


def test_old_links_work_after_a_key_is_replaced() -> None:
    """An email of two years ago still unsubscribes."""
    token = UnsubscribeTokens((OLD,)).sign(LI, "org")
    assert UnsubscribeTokens((NEW, OLD)).read(token) == Unsubscriber(person=LI, org="org")
    assert UnsubscribeTokens((NEW,)).read(token) is None


def test_the_newest_key_signs() -> None:
    """So that the old one can go in time."""
    assert UnsubscribeTokens((NEW,)).read(UnsubscribeTokens((NEW, OLD)).sign(LI, "org")) is not None


def test_a_token_cannot_be_turned_into_someone_else_s_b28() -> None:
    """The signature covers person and org."""
    tokens = UnsubscribeTokens((NEW,))
    signature = tokens.sign(LI, "org").rpartition(".")[2]
    assert tokens.read(f"{BO}.org.{signature}") is None
    assert tokens.read(f"{LI}.other.{signature}") is None


def test_a_token_can_name_the_sequence_that_wrote() -> None:
    """For the page to offer less than everything; whatever characters a CRM's ids have."""
    token = UnsubscribeTokens((NEW,)).sign(LI, "a.b", "c/d.é")
    assert UnsubscribeTokens((NEW,)).read(token) == Unsubscriber(person=LI, org="a.b", sequence="c/d.é")
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.%")


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_no_character_of_a_token_can_be_changed_b28(at: int, other: str) -> None:
    """Person, account, sequence and signature alike."""
    tokens = UnsubscribeTokens((NEW,))
    token = tokens.sign(LI, "org", "seq")
    at %= len(token)
    changed = token[:at] + other + token[at + 1 :]
    read = tokens.read(changed)
    assert read is None or read == tokens.read(token)  # the last bits of base64 mean nothing


@given(st.data())
def test_no_part_of_a_token_is_one_b28(data: st.DataObject) -> None:
    """A mail program that cuts a link off makes it mean nobody."""
    tokens = UnsubscribeTokens((NEW,))
    token = tokens.sign(LI, "org", "seq")
    assert tokens.read(token[: data.draw(st.integers(0, len(token) - 2))]) is None


def test_an_old_token_loses_its_meaning_with_its_key_b28() -> None:
    """Taking a key out of the list ends every link it signed."""
    middle = "m" * 32
    token = UnsubscribeTokens((middle,)).sign(LI, "org")
    assert UnsubscribeTokens((NEW, middle, OLD)).read(token) is not None
    assert UnsubscribeTokens((NEW, OLD)).read(token) is None


@pytest.mark.parametrize("token", ["", ".", "a.b", "é", "x" * 100_000, "\x00", f"{LI}.org."])
def test_what_is_no_token_reads_as_nothing_b28(token: str) -> None:
    """Without an error that could tell anything."""
    assert UnsubscribeTokens((NEW,)).read(token) is None


def test_a_reply_tag_fits_an_address_and_survives_upper_case() -> None:
    """Mail programs change both."""
    tag = ReplyTokens((NEW,)).sign(TOUCH)
    assert len(f"replies-from-us+{tag}") <= 64
    assert ReplyTokens((NEW, OLD)).read(tag.upper()) == TOUCH
    assert ReplyTokens((OLD, NEW)).read(tag) == TOUCH


@pytest.mark.parametrize(
    "change", [lambda tag: tag[::-1], lambda tag: "f" + tag[1:], lambda tag: tag[:-1], lambda _: "é" * 48]
)
def test_a_forged_reply_tag_reads_as_nothing_b28(change) -> None:
    """Nobody can answer for another touch."""
    assert ReplyTokens((NEW,)).read(change(ReplyTokens((NEW,)).sign(TOUCH))) is None


def test_a_reply_tag_and_an_unsubscribe_token_are_signed_apart() -> None:
    """One cannot stand for the other."""
    assert UnsubscribeTokens((NEW,)).read(ReplyTokens((NEW,)).sign(TOUCH)) is None


def test_an_unsubscribe_tag_fits_an_address_and_survives_upper_case() -> None:
    """B22: what follows `unsubscribe+` in a mail address; keys rotate as those of links do."""
    tag = UnsubscribeTags((OLD,)).sign(LI, "org")
    assert len(f"unsubscribe+{tag}") <= 64
    assert UnsubscribeTags((NEW, OLD)).read(tag.upper(), "org") == Unsubscriber(person=LI, org="org")
    assert UnsubscribeTags((NEW,)).read(tag, "org") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda tag: tag[::-1],
        lambda tag: BO + tag[32:],
        lambda tag: tag[:-1],
        lambda tag: tag + "0",
        lambda _: "é" * 48,
        lambda _: "",
        lambda _: ReplyTokens((NEW,)).sign(LI),
    ],
)
def test_a_forged_unsubscribe_tag_reads_as_nothing_b28(change) -> None:
    """Nobody unsubscribes another, and no other kind of tag stands for it."""
    assert UnsubscribeTags((NEW,)).read(change(UnsubscribeTags((NEW,)).sign(LI, "org")), "org") is None


def test_an_unsubscribe_tag_is_good_in_its_own_account_alone_b28() -> None:
    """The account is signed along."""
    assert UnsubscribeTags((NEW,)).read(UnsubscribeTags((NEW,)).sign(LI, "org"), "another") is None


@pytest.mark.parametrize("keys", [(), ("",), (NEW, "short")])
@pytest.mark.parametrize("kind", [UnsubscribeTokens, UnsubscribeTags, ReplyTokens])
def test_weak_keys_are_refused(kind, keys: tuple[str, ...]) -> None:
    """A key that can be guessed signs nothing."""
    with pytest.raises(ConfigurationError, match="signing key"):
        kind(keys)
