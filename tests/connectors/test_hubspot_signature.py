"""HubSpot's signature, version 3: what is signed, for how long, and that nobody else can do it (B28)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hubspot.signature import SIGNATURE, TIMESTAMP, decode_uri, verify

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SECRET = "9a1c0d4e-9f6b-4a43-a5b2-5d1f3f2c7a10"
URI = "https://mail.acme.example/hooks/hubspot/push"
BODY = '[{"eventId":1,"subscriptionType":"contact.propertyChange","propertyValue":"Grüße"}]'.encode()


def signed(uri: str = URI, at: datetime = NOW, method: str = "POST", secret: str = SECRET) -> dict[str, str]:
    """The headers as HubSpot makes them, written by its own description and not by our code."""
    timestamp = str(int(at.timestamp() * 1000))
    source = method + uri + BODY.decode() + timestamp
    digest = hmac.new(secret.encode("utf-8"), source.encode("utf-8"), hashlib.sha256).digest()
    return {SIGNATURE: base64.b64encode(digest).decode(), TIMESTAMP: timestamp}


def good(headers: dict[str, str], **given: object) -> bool:
    """Whether the request counts as HubSpot's."""
    asked = {"secrets": (SECRET,), "method": "POST", "uri": URI, "body": BODY, "now": NOW, **given}
    return verify(headers=headers, **asked)  # type: ignore[arg-type]  # values of the test's own choosing


def test_method_uri_body_and_time_are_signed() -> None:
    """And nothing else is taken for what was signed."""
    assert good(signed())
    assert not good(signed(), method="PUT")
    assert not good(signed(), uri=URI + "/")
    assert not good(signed(), body=BODY + b" ")
    assert not good({**signed(), TIMESTAMP: str(int(NOW.timestamp() * 1000) + 1)})


def test_a_signature_does_not_change_from_one_release_to_the_next() -> None:
    """A fixed example, reckoned by hand with openssl."""
    headers = {SIGNATURE: "AFOXsSZEnz/961qUP3mnB4XC75tKmZEosFs0waualcA=", TIMESTAMP: "1793610000000"}
    assert good(headers, uri="https://example.com/a", body=b"{}", secrets=("secret",))


def test_any_of_several_secrets_counts() -> None:
    """A client secret can be replaced without a gap."""
    assert good(signed(), secrets=("a-newer-one", SECRET))
    assert not good(signed(), secrets=("a-newer-one",))
    assert not good(signed(), secrets=())


@pytest.mark.parametrize(
    ("age", "fresh"),
    [
        (timedelta(minutes=4, seconds=59), True),
        (timedelta(minutes=5, seconds=1), False),
        (-timedelta(seconds=59), True),
        (-timedelta(minutes=2), False),
        (-timedelta(days=1), False),
    ],
)
def test_a_request_is_of_the_last_five_minutes(age: timedelta, fresh: bool) -> None:  # noqa: FBT001 - a case's answer
    """Replays are refused, and so is what is dated ahead, which the SDK takes for as long as it likes."""
    assert good(signed(at=NOW - age)) is fresh


def test_just_those_characters_are_decoded_that_hubspot_decodes() -> None:
    """A space, a percent sign or a letter stays as it was sent."""
    assert decode_uri("/%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B") == "/:/?@!$'()*,;"
    assert decode_uri("/%20%25%26%3D%2B%23%C3%A9%41") == "/%20%25%26%3D%2B%23%C3%A9%41"
    assert decode_uri("/%2f%3a") == "//:"
    assert decode_uri("/%253A") == "/%253A"


def test_a_uri_is_verified_as_it_was_called() -> None:
    """HubSpot signs the decoded form of the address it was given."""
    assert good(signed(f"{URI}?to=a@b.example"), uri=f"{URI}?to=a%40b.example")


@given(
    st.dictionaries(st.sampled_from([SIGNATURE, TIMESTAMP]), st.text(max_size=120)),
    st.text(max_size=60),
    st.binary(max_size=60),
)
def test_no_stranger_gets_in_and_nothing_breaks(headers: dict[str, str], uri: str, body: bytes) -> None:
    """B27, B28: whatever stands in headers, address and body."""
    assert not good(headers, uri=uri, body=body)
