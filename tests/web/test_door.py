"""The door itself: health for watchers, strangers kept short, a taken port said in words."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from open_door import OpenDoor

from crmdrip.core.errors import ConfigurationError
from crmdrip.web.door import listen
from crmdrip.web.health import Health, LoopHealth, MailboxHealth

FAILING = Health(
    alive=True,
    ready=False,
    loops={"pull": LoopHealth(failures=3, last_success=datetime(2026, 11, 2, tzinfo=UTC), error="no answer")},
    calls_used=5,
    calls_limit=100,
)


class TestHealth:
    """What watchers are told."""

    def test_a_failing_loop_is_alive_and_not_ready(self, door: OpenDoor) -> None:
        """A restart would not help, and no traffic should come."""
        door.health = FAILING
        assert (door.ask("GET", "/healthz").status, door.ask("GET", "/readyz").status) == (200, 503)

    def test_a_loop_that_gave_up_is_not_alive(self, door: OpenDoor) -> None:
        """Whoever supervises restarts it."""
        door.health = Health(alive=False, ready=False)
        assert door.ask("GET", "/healthz").status == 503

    def test_this_machine_is_told_of_each_loop(self, door: OpenDoor) -> None:
        """`crmdrip status` reads it here."""
        door.health = FAILING
        told = json.loads(door.ask("GET", "/healthz").body)
        assert told["loops"]["pull"] == {
            "failures": 3,
            "last_success": "2026-11-02T00:00:00+00:00",
            "error": "no answer",
        }
        assert told["crm_calls"] == {"used": 5, "limit": 100}

    def test_this_machine_is_told_of_each_mailbox(self, door: OpenDoor) -> None:
        """P3: nothing goes out while one cannot be read, so its trouble is to be seen."""
        sales = MailboxHealth(heard_at=None, error="the login was refused.")
        door.health = Health(alive=True, ready=True, mailboxes={"sales": sales})
        told = json.loads(door.ask("GET", "/readyz").body)
        assert told["mailboxes"] == {"sales": {"heard_at": None, "error": "the login was refused."}}

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
    def test_whoever_comes_through_a_proxy_learns_no_more_than_yes_or_no(self, door: OpenDoor, header: str) -> None:
        """B28: errors and figures are for this machine."""
        door.health = FAILING
        told = json.loads(door.ask("GET", "/healthz", headers={header: "203.0.113.9"}).body)
        assert told == {"alive": True, "ready": False}


def test_a_taken_port_is_said_with_what_to_do(door: OpenDoor) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        listen(("127.0.0.1", door.door.port))
    assert caught.value.where == "[web] listen"
    assert f"ss -ltnp 'sport = :{door.door.port}'" in caught.value.do_next
    assert "type another port" in caught.value.do_next
