"""From settings to parts: what does not fit together is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmdrip.assembly import build_composer, build_replies
from crmdrip.config import RepliesSettings, Settings, load
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.tokens import ReplyTokens

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"


@pytest.fixture
def settings() -> Settings:
    """Those of the example, with a domain for answers."""
    return load(EXAMPLE).model_copy(update={"replies": RepliesSettings(domain="Reply.Acme.example")})


def test_two_places_for_answers_are_refused(settings: Settings) -> None:
    """One would never be heard."""
    both = settings.model_copy(update={"sender": settings.sender.model_copy(update={"reply_to": "r@acme.example"})})
    with pytest.raises(ConfigurationError, match="both say where answers go"):
        build_composer(both, "00D")


def test_the_reader_of_answers_knows_the_key_that_signed_them(settings: Settings) -> None:
    """B6: an email's own tag, and no other domain's address."""
    replies = build_replies(settings)
    key = settings.unsubscribe.keys[0].get_secret_value()
    assert replies.tokens.read(ReplyTokens((key,)).sign("a" * 32)) == "a" * 32
    assert replies.holds("reply+x@reply.acme.example")
    assert not replies.holds("reply+x@notreply.acme.example")


def test_without_a_domain_no_address_is_ours(settings: Settings) -> None:
    """Answers go to the rep."""
    replies = build_replies(settings.model_copy(update={"replies": RepliesSettings()}))
    assert not replies.holds("reply+x@acme.example")
    assert replies.address == ""
