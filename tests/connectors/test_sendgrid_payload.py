"""The JSON of one email, as the vendor's API describes it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.sendgrid.payload import PayloadBuilder
from connectors.sendgrid.settings import SendGridSettings
from crmdrip.core.errors import RejectedError
from crmdrip.core.message import EmailMessage
from crmdrip.core.struct import replace
from crmdrip.testing.mailer import build_message


def build(message=None, **settings):
    builder = PayloadBuilder(SendGridSettings(api_key=SecretStr("SG.a.b"), **settings))
    return orjson.loads(builder.build(message or build_message(1)))


def test_the_touch_is_the_only_custom_argument():
    """Events and logs carry our own id, and nothing of the person."""
    assert build()["custom_args"] == {"crmdrip_touch": f"{1:032x}"}


def test_the_category_is_the_given_one():
    """The sequence's id, for the provider's statistics."""
    assert build()["categories"] == ["a0B000000000001AAA"]


def test_no_category_gives_none():
    """The key is absent, since the API refuses an empty one."""
    assert "categories" not in build(replace(build_message(1), category=""))


def test_tracking_is_as_configured_and_unsubscribing_is_ours():
    """Clicks are not tracked unless asked for, and SendGrid's own unsubscribe is always off."""
    assert build()["tracking_settings"] == {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": True},
        "subscription_tracking": {"enable": False},
    }
    changed = build(click_tracking=True, open_tracking=False)["tracking_settings"]
    assert changed["click_tracking"] == {"enable": True, "enable_text": True}
    assert changed["open_tracking"] == {"enable": False}


def test_sandbox_mode_is_set_only_when_asked_for():
    """Nothing keeps an email from being delivered by accident."""
    assert "mail_settings" not in build()
    assert build(sandbox_mode=True)["mail_settings"] == {"sandbox_mode": {"enable": True}}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("o'brien@example.com", 'O\'Brien, "Bob" <x@y>'),
        ("plain@example.com", ""),
        ("user@xn--bcher-kva.example", "\u5f20\u4f1f"),
    ],
)
def test_an_address_is_never_parsed_anew(address, name):
    """The SDK would read "Name <address>" out of what it is given; it is given each in its own place."""
    (to,) = build(replace(build_message(1), to_address=address, to_name=name))["personalizations"][0]["to"]
    assert to == {"email": address, **({"name": name} if name else {})}


@pytest.mark.parametrize(
    "text", ["SG.abcDEF123.xyz789 is how a key begins", "\ud800"], ids=["api key", "lone surrogate"]
)
def test_a_body_that_cannot_be_sent_is_rejected(text):
    """B27: the SDK refuses what begins like an API key, and no JSON holds half a character."""
    with pytest.raises(RejectedError):
        build(replace(build_message(1), text=text))


TEXT = st.one_of(st.just(""), st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8))
BODY = TEXT.filter(lambda text: not text.startswith("SG."))
NAMES = st.sampled_from(["Message-ID", "References", "List-Unsubscribe", "X-Crmdrip"])
MESSAGES = st.builds(
    EmailMessage,
    **dict.fromkeys(("touch_id", "to_name", "from_name", "reply_to", "subject", "category"), TEXT),
    text=BODY,
    html=BODY,
    to_address=TEXT,
    from_address=TEXT,
    headers=st.dictionaries(NAMES, TEXT),
)


@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_every_email_is_what_the_sdk_makes_of_it(messages):
    """An email that follows another of its shape is built from that one's JSON, and no byte of it stays."""
    builder = PayloadBuilder(SendGridSettings(api_key=SecretStr("SG.a.b")))
    for message in messages:
        fresh = PayloadBuilder(SendGridSettings(api_key=SecretStr("SG.a.b")))
        assert builder.build(message) == fresh.build(message) == orjson.dumps(fresh._by_sdk(message))
