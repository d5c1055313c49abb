"""What the doctor says of the door: whether vendors can post, and where they are told to (B28)."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmdrip.config import Settings, load
from crmdrip.doctor.door import check_door
from crmdrip.ports import CheckLevel

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
EVENTS = "sendgrid:events"
PUBLIC = 'public_url = "https://mail.acme.example/drip"\n'


def settings(folder: Path, web: str = "", replies: str = "") -> Settings:
    """The example's with further lines."""
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("\n[web]\n", f"\n[web]\n{web}").replace("\n[replies]\n", f"\n[replies]\n{replies}")
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return load(folder / "config.toml", {"HINT": "a-secret-of-the-crms-own"})


def test_the_addresses_to_type_in_at_the_vendors_are_shown(tmp_path: Path) -> None:
    """With the path before them, and without the secret."""
    web = PUBLIC + 'hint_secrets = [{ env = "HINT" }]\n'
    (found,) = check_door(settings(tmp_path, web), (EVENTS,))
    assert found.level is CheckLevel.OK
    assert "https://mail.acme.example/drip/hooks/sendgrid/events" in found.what
    assert "https://mail.acme.example/drip/hints/<secret>" in found.what


@pytest.mark.parametrize(
    ("web", "says"),
    [
        ("", "not said where they reach the door"),
        ('public_url = "http://127.0.0.1:8025"\n', "leads to this machine"),
        (PUBLIC + 'listen = ""\n', "has no door"),
    ],
)
def test_a_door_that_vendors_cannot_reach_is_pointed_out(tmp_path: Path, web: str, says: str) -> None:
    """Their posts would be lost after a day or three."""
    (found,) = check_door(settings(tmp_path, web), (EVENTS,))
    assert (found.code, found.level) == ("WEB-URL", CheckLevel.WARN)
    assert says in found.what
    assert found.do_next


def test_answers_that_nobody_may_post_are_pointed_out(tmp_path: Path) -> None:
    """P2: a Reply-To that leads into the void would be the end of stopping."""
    chosen = settings(tmp_path, PUBLIC, 'domain = "reply.acme.example"\n')
    assert [one.code for one in check_door(chosen, (EVENTS,))] == ["WEB-REPLIES", "WEB-URL"]
    assert [one.code for one in check_door(chosen, (EVENTS, "sendgrid:inbound"))] == ["WEB-URL"]


def test_nobody_posting_is_fine(tmp_path: Path) -> None:
    """Everything that stops is asked for as well."""
    (found,) = check_door(settings(tmp_path), ())
    assert found.level is CheckLevel.OK


def test_where_a_crm_tells_of_changes_is_shown_as_well(tmp_path: Path) -> None:
    """A hint of a connector's own has an address like any other."""
    (found,) = check_door(settings(tmp_path, PUBLIC), ("hubspot:changes",))
    assert "https://mail.acme.example/drip/hooks/hubspot/changes" in found.what
