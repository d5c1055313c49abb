"""Tokens of unsubscribe links and reply addresses."""

from __future__ import annotations

import pytest

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.keys import person_key
from crmdrip.core.tokens import ReplyTokens, Unsubscriber, UnsubscribeTokens

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


@pytest.mark.parametrize("keys", [(), ("",), (NEW, "short")])
@pytest.mark.parametrize("kind", [UnsubscribeTokens, ReplyTokens])
def test_weak_keys_are_refused(kind, keys: tuple[str, ...]) -> None:
    """A key that can be guessed signs nothing."""
    with pytest.raises(ConfigurationError, match="signing key"):
        kind(keys)
