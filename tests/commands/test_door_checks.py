"""What the doctor says of the door: whether it can open, whether vendors can post, and where they are told to (B28)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from office import free_port

from crmdrip.config import Settings, load
from crmdrip.doctor.door import check_door, check_port
from crmdrip.ledger.store import open_ledger
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


@contextmanager
def neighbour(answer: str | None) -> Iterator[int]:
    """A program on a port of this machine that answers every GET with a text, or with nothing; the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if answer is not None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def at_port(folder: Path, port: int) -> Settings:
    """The example's with a door there."""
    return settings(folder, f'listen = "127.0.0.1:{port}"\n')


DOOR = '{"alive": true, "ready": false}'


def test_a_free_port_is_the_doors(tmp_path: Path) -> None:
    """It is asked of the system itself, and given back."""
    chosen = at_port(tmp_path, free_port())
    for _ in range(2):
        (found,) = check_port(chosen)
        assert (found.code, found.level) == ("WEB-PORT", CheckLevel.OK)


@pytest.mark.parametrize("answer", [None, "<h1>Welcome</h1>", "[]"])
def test_a_port_that_another_program_has_is_named_with_what_to_type(tmp_path: Path, answer: str | None) -> None:
    """The daemon would end at once, with the same words."""
    with neighbour(answer) as port:
        (found,) = check_port(at_port(tmp_path, port))
    assert (found.code, found.level) == ("WEB-PORT", CheckLevel.FAIL)
    assert f"another program has the port {port} of 127.0.0.1 already. It is no crmdrip" in found.what
    assert f"ss -ltnp 'sport = :{port}'" in found.do_next
    assert "[web] listen" in found.what
    assert re.search(r'listen = "127\.0\.0\.1:\d+"', found.do_next)


def test_a_port_of_a_daemon_with_another_ledger_is_taken_too(tmp_path: Path) -> None:
    """Two orgs on one machine: each wants a door of its own."""
    with neighbour(DOOR) as port:
        (found,) = check_port(at_port(tmp_path, port))
    assert found.level is CheckLevel.FAIL
    assert "a crmdrip that works on another ledger" in found.what


def test_a_port_that_our_own_daemon_has_is_no_problem(tmp_path: Path) -> None:
    """Whoever types doctor beside a daemon that runs is told that it does."""
    with neighbour(DOOR) as port:
        chosen = at_port(tmp_path, port)
        ledger = open_ledger(chosen.ledger.url)
        try:
            ledger.lock()
            (found,) = check_port(chosen)
        finally:
            ledger.close()
    assert found.level is CheckLevel.OK
    assert f"the daemon that works on this ledger answers at port {port} of 127.0.0.1" in found.what


def test_the_own_daemon_does_not_excuse_another_program_at_the_port(tmp_path: Path) -> None:
    """Its configuration was changed since it began, or it runs on another machine."""
    with neighbour("hello") as port:
        chosen = at_port(tmp_path, port)
        ledger = open_ledger(chosen.ledger.url)
        try:
            ledger.lock()
            (found,) = check_port(chosen)
        finally:
            ledger.close()
    assert found.level is CheckLevel.FAIL


def test_an_address_that_is_not_this_machines_is_told_apart(tmp_path: Path) -> None:
    """192.0.2.1 stands in examples alone (RFC 5737)."""
    (found,) = check_port(settings(tmp_path, 'listen = "192.0.2.1:8025"\n'))
    assert found.level is CheckLevel.FAIL
    assert "this machine has no such address" in found.what
    assert 'listen = "127.0.0.1:8025"' in found.do_next


def test_without_a_door_no_port_is_looked_at(tmp_path: Path) -> None:
    """What that means for links and vendors is told by others."""
    assert list(check_port(settings(tmp_path, 'listen = ""\n'))) == []
