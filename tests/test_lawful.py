"""P7: a configuration by which an email could go out unlawfully is refused, with what to type instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_config import GOOD, problems


@pytest.mark.parametrize(
    ("line", "instead", "key"),
    [
        ('company = "', '# company = "', "sender.company"),
        ('postal_address = "', '# postal_address = "', "sender.postal_address"),
        ('base_url = "https', '# base_url = "https', "unsubscribe.base_url"),
        ("keys = [", "# keys = [", "unsubscribe.keys"),
    ],
)
def test_what_every_email_carries_must_be_there(tmp_path: Path, line: str, instead: str, key: str) -> None:
    """P7: identity, postal address, and a link that only we can sign."""
    assert GOOD.count(f"\n{line}") == 1
    found = problems(tmp_path, GOOD.replace(f"\n{line}", f"\n{instead}"))
    assert key in found
    assert found[key].do_next


@pytest.mark.parametrize("blank", ["", "   ", "\\u200b", "\\u00a0\\u00a0", "-", "...", "\\n"])
@pytest.mark.parametrize("key", ["company", "postal_address"])
def test_what_says_nothing_is_missing(tmp_path: Path, key: str, blank: str) -> None:
    """P7: an invisible address is none."""
    lines = [f'{key} = "{blank}"' if line.startswith(f"{key} = ") else line for line in GOOD.splitlines()]
    assert "is blank" in problems(tmp_path, "\n".join(lines))[f"sender.{key}"].what


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.acme.example/u",
        "http://10.0.0.1/u",
        "mail.acme.example/u",
        "ftp://mail.acme.example/u",
        "https:///u",
        "https://mail.acme.example/u?who=",
        "https://mail.acme.example/u#x",
        "",
    ],
)
def test_the_link_is_https_and_nothing_but_an_address(tmp_path: Path, url: str) -> None:
    """P7, RFC 8058 section 3.1: one HTTPS address that takes a POST."""
    lines = [f'base_url = "{url}"' if line.startswith('base_url = "https') else line for line in GOOD.splitlines()]
    assert "unsubscribe.base_url" in problems(tmp_path, "\n".join(lines))
