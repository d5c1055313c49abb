"""What may stand in the SendGrid connector's section."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from connectors.sendgrid.settings import SendGridSettings


def settings(**values):
    return SendGridSettings(**{"api_key": SecretStr("SG.id.secret"), **values})


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "https://api.sendgrid.com"),
        ({"region": "eu"}, "https://api.eu.sendgrid.com"),
        ({"base_url": "http://127.0.0.1:9000/"}, "http://127.0.0.1:9000"),
        ({"base_url": "http://[::1]:9000"}, "http://[::1]:9000"),
        ({"base_url": "http://localhost:9000"}, "http://localhost:9000"),
        ({"base_url": "https://proxy.example", "region": "eu"}, "https://proxy.example"),
    ],
)
def test_the_server_follows_region_and_base_url(values, url):
    """The sandbox is reached by base_url alone, an EU account by region."""
    assert settings(**values).url == url


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.sendgrid.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "api.sendgrid.com",
        "https://",
        "https://user:password@api.sendgrid.com",
        "https://api.sendgrid.com/v3",
        "https://api.sendgrid.com:99999",
        "https://api.sendgrid.com?x=1",
    ],
)
def test_a_key_never_travels_in_clear(base_url):
    """Plain http is for this machine, and a base URL is a server and nothing else."""
    with pytest.raises(ValidationError):
        settings(base_url=base_url)


@pytest.mark.parametrize("key", ["", "SG.a\r\nX-Evil: 1", "SG. a", "SG.\u00e9"])
def test_a_broken_key_is_refused_and_not_shown(key):
    """B27: a key is one word; what was typed does not appear in the error."""
    with pytest.raises(ValidationError) as caught:
        settings(api_key=SecretStr(key))
    assert "SG." not in str(caught.value)


def test_the_key_is_not_in_the_settings_text():
    """Whoever logs the settings does not log the secret."""
    assert "SG.id.secret" not in repr(settings())


@pytest.mark.parametrize(
    "values", [{"connections": 0}, {"connections": 257}, {"connections": "16"}, {"region": "mars"}, {"regoin": "eu"}]
)
def test_what_is_out_of_range_or_misspelt_is_refused(values):
    """Nothing is guessed."""
    with pytest.raises(ValidationError):
        settings(**values)


@pytest.mark.parametrize("secret", ["short", "with space in it, long", "slash/in/it/long/enough", "a" * 19])
def test_an_inbound_secret_must_fit_into_an_address_and_resist_guessing(secret):
    """B28: whoever guesses it can post mail in anybody's name."""
    with pytest.raises(ValidationError, match="inbound_secrets"):
        settings(inbound_secrets=(SecretStr(secret),))


@pytest.mark.parametrize("field", ["event_keys", "inbound_keys"])
def test_what_is_no_verification_key_is_said_when_the_configuration_is_read(field):
    """And not by refusing every event for a day."""
    with pytest.raises(ValidationError, match="no public key"):
        settings(**{field: ("not a key",)})
