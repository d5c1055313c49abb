"""What vendors post: nothing of a stranger's is stored, nothing of a vendor's is lost (B5, B23, B28, B30)."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "connectors"))  # the signer is the connector tests' own

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from open_door import HINT_SECRET, OpenDoor
from sendgrid_signer import Signer
from stage import Stage

from connectors.sendgrid.events import EventHook
from connectors.sendgrid.inbound import InboundHook
from crmdrip.core.received import Delivery
from crmdrip.ledger import received
from crmdrip.ledger.errors import LedgerBrokenError
from crmdrip.ports import HookRequest
from crmdrip.web import body
from crmdrip.web.hooks import Fate

EVENTS = "/hooks/sendgrid/events"
INBOUND = "/hooks/sendgrid/inbound"
SECRET = "a-secret-of-the-parse-setting"
SIGNER = Signer()


@pytest.fixture(autouse=True)
def hooks(stage: Stage) -> None:
    """Before the door opens: both ways of SendGrid."""
    both = (EventHook((SIGNER.public_key,)), InboundHook(keys=(), secrets=(SECRET,), limit=200_000))
    stage.parts.hooks.update({hook.source: hook for hook in both})  # type: ignore[attr-defined]  # a dict, in truth


def batch(*numbers: int) -> bytes:
    """A signed batch's body."""
    return json.dumps(
        [{"event": "delivered", "timestamp": 1 + number, "email": "a@b.example"} for number in numbers]
    ).encode()


def post(door: OpenDoor, data: bytes, path: str = EVENTS, **headers: str) -> int:
    """The status of a post that SendGrid signed."""
    signed = SIGNER.headers(data, door.stage.now)
    return door.ask("POST", path, data, {**signed, "Content-Type": "application/json", **headers}).status


def stored(stage: Stage) -> list[Delivery]:
    """Everything that waits."""
    with stage.parts.ledger.read() as connection:
        return [one.delivery for one in received.claim(connection, stage.now, 100_000)]


class TestTaking:
    """What is authentic."""

    def test_a_signed_batch_is_stored_raw_before_it_is_answered(self, door: OpenDoor, stage: Stage) -> None:
        """P2: what was answered with 2xx survives whatever comes."""
        assert post(door, batch(1)) == 200
        [found] = stored(stage)
        assert (found.source, found.body, found.content_type) == ("sendgrid:events", batch(1), "application/json")
        assert door.stored.is_set()

    def test_a_repeat_is_answered_as_the_first_was_and_stored_once(self, door: OpenDoor, stage: Stage) -> None:
        """B23: the answer to the first was lost on its way."""
        assert [post(door, batch(1)), post(door, batch(1))] == [200, 200]
        assert len(stored(stage)) == 1

    def test_a_mail_with_the_secret_in_its_address_is_stored(self, door: OpenDoor, stage: Stage) -> None:
        """Whatever bytes it consists of."""
        assert (
            door.ask("POST", f"{INBOUND}/{SECRET}", b"\xff\x00 form", {"Content-Type": "multipart/form-data"}).status
            == 200
        )
        assert [one.body for one in stored(stage)] == [b"\xff\x00 form"]

    @pytest.mark.parametrize("path", [EVENTS, f"{INBOUND}/{SECRET}", f"/hints/{HINT_SECRET}"])
    def test_head_is_answered(self, door: OpenDoor, stage: Stage, path: str) -> None:
        """A vendor's console asks so whether anybody is there."""
        assert door.ask("HEAD", path).status == 200
        assert stored(stage) == []

    def test_a_body_in_chunks_is_taken_too(self, door: OpenDoor, stage: Stage) -> None:
        """Proxies pass bodies on as they come, without saying how long they will be."""
        data = batch(*range(100))
        connection = http.client.HTTPConnection("127.0.0.1", door.door.port, timeout=10)
        pieces = iter([data[:100], data[100:]])
        connection.request("POST", EVENTS, pieces, SIGNER.headers(data, stage.now), encode_chunked=True)
        assert connection.getresponse().status == 200
        connection.close()
        assert [one.body for one in stored(stage)] == [data]

    def test_a_hint_wakes_the_pull_and_leaves_nothing_behind(self, door: OpenDoor, stage: Stage) -> None:
        """B28: only from whoever the connector says may give one."""

        class Whisper:
            source, limit, seconds = "whisper:changes", 1000, 5.0

            def admits(self, asked: HookRequest, now: datetime) -> bool:
                return "x-one" in asked.headers

            def authentic(self, asked: HookRequest, now: datetime) -> bool:
                return asked.body == b"true"

        door.hooks._hints["whisper/changes"] = Whisper()
        before = door.hints
        assert door.ask("POST", "/hooks/whisper/changes", b"true").status == 403
        assert door.ask("POST", "/hooks/whisper/changes", b"false", {"X-One": "1"}).status == 403
        assert door.ask("HEAD", "/hooks/whisper/changes").status == 200
        assert door.hints == before
        assert door.ask("POST", "/hooks/whisper/changes", b"true", {"X-One": "1"}).status == 202
        assert door.hints == before + 1
        assert stored(stage) == []

    def test_a_hook_sees_the_request_as_it_was_called(self, door: OpenDoor, stage: Stage) -> None:
        """Some vendors sign the address: path and query, with nothing decoded; the secret comes beside it."""
        seen: list[HookRequest] = []

        class Curious:
            source, limit, seconds = "curious:push", 1000, 5.0

            def admits(self, asked: HookRequest, now: datetime) -> bool:
                seen.append(asked)
                return True

            def authentic(self, asked: HookRequest, now: datetime) -> bool:
                seen.append(asked)
                return False

        door.hooks._hooks["curious/push"] = Curious()
        assert door.ask("POST", "/hooks/curious/push/se%2Dcret?a=%40&b", b"body", {"X-One": "1"}).status == 403
        early, late = seen
        assert (early.body, late.body) == (b"", b"body")
        assert (late.target, late.secret, late.headers["x-one"]) == (
            "/hooks/curious/push/se%2Dcret?a=%40&b",
            "se-cret",
            "1",
        )

    @pytest.mark.slow
    def test_ten_thousand_events_at_once_are_taken_without_loss(self, door: OpenDoor, stage: Stage) -> None:
        """B23: each as a post of its own, from many connections; what is refused for now is posted again."""
        numbers = iter(range(10_000))
        turn, failures = threading.Lock(), []

        def deliver() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", door.door.port, timeout=30)
            while True:
                with turn:
                    number = next(numbers, None)
                if number is None:
                    return connection.close()
                data = batch(number)
                for _ in range(100):
                    connection.request("POST", EVENTS, data, SIGNER.headers(data, stage.now))
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 200:
                        break
                else:
                    failures.append(number)

        threads = [threading.Thread(target=deliver) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert {one.body for one in stored(stage)} == {batch(number) for number in range(10_000)}


class TestRefusing:
    """What is not."""

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            (EVENTS, {}),
            (EVENTS, {"X-Twilio-Email-Event-Webhook-Signature": "AAAA", "X-Twilio-Email-Event-Webhook-Timestamp": "1"}),
            (INBOUND, {}),
            (f"{INBOUND}/wrong", {}),
            (f"{INBOUND}/{SECRET}x", {}),
            (INBOUND, {"Authorization": "Basic !!!"}),
        ],
    )
    def test_a_stranger_learns_nothing_and_leaves_nothing(
        self, door: OpenDoor, stage: Stage, path: str, headers: dict[str, str]
    ) -> None:
        """B28: no word on what was wrong, no row."""
        answer = door.ask("POST", path, batch(1), headers)
        assert (answer.status, answer.body) == (403, b"")
        assert stored(stage) == []
        assert not door.stored.is_set()

    def test_a_signature_of_another_body_is_a_strangers(self, door: OpenDoor, stage: Stage) -> None:
        """B28: recorded headers open nothing."""
        assert door.ask("POST", EVENTS, batch(2), SIGNER.headers(batch(1), stage.now)).status == 403
        assert stored(stage) == []

    def test_refusals_are_counted_by_what_was_wrong(self, door: OpenDoor, stage: Stage) -> None:
        """B28: `crmdrip status` shows them; in memory, so that no stranger makes the ledger write."""
        door.ask("POST", EVENTS, batch(1))
        door.ask("POST", EVENTS, batch(1))
        post(door, batch(1))
        assert door.hooks.figures.read() == {"sendgrid:events": {Fate.NOT_AUTHENTIC: 2, Fate.STORED: 1}}

    @pytest.mark.parametrize(
        "path",
        [
            "/hooks/sendgrid/other",
            "/hooks/nobody/events",
            "/hooks/",
            "/hooks/sendgrid",
            "/hints/",
            "/hooks/sendgrid/events/a/b",
        ],
    )
    def test_there_is_nothing_elsewhere(self, door: OpenDoor, path: str) -> None:
        """B28: the same page as for any other address."""
        assert door.ask("POST", path, batch(1)).status == 404

    def test_a_get_takes_nothing(self, door: OpenDoor) -> None:
        """Somebody opened the address in a browser."""
        assert door.ask("GET", EVENTS).status == 405

    def test_an_empty_body_is_bad_even_when_signed(self, door: OpenDoor, stage: Stage) -> None:
        """There is nothing to be stored, and nothing to be had by repeating it."""
        assert post(door, b"") == 400
        assert stored(stage) == []

    def test_a_body_that_says_it_is_too_large_is_not_read(self, door: OpenDoor, stage: Stage) -> None:
        """B27: the length in the headers is enough."""
        headers = {"Content-Length": str(10**12)}
        assert door.ask("POST", f"{INBOUND}/{SECRET}", b"", headers).status == 413

    def test_a_body_that_grows_too_large_is_cut(self, door: OpenDoor, stage: Stage) -> None:
        """B27: in chunks it says nothing beforehand."""
        connection = http.client.HTTPConnection("127.0.0.1", door.door.port, timeout=10)
        connection.putrequest("POST", f"{INBOUND}/{SECRET}")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(b"%x\r\n%b\r\n" % (250_000, b"x" * 250_000))
        assert connection.getresponse().status == 413
        connection.close()
        assert stored(stage) == []

    def test_a_body_that_stops_coming_is_given_up(
        self, door: OpenDoor, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B27: it holds its connection and its memory for no longer than this."""
        monkeypatch.setattr(body, "CHUNK_SECONDS", 0.05)
        with socket.create_connection(("127.0.0.1", door.door.port), timeout=10) as connection:
            connection.sendall(
                f"POST {INBOUND}/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode()
            )
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
        assert stored(stage) == []

    def test_a_body_whose_sender_goes_away_is_not_stored(self, door: OpenDoor, stage: Stage) -> None:
        """B23: half a batch is none; the vendor posts it again."""
        data = batch(1, 2, 3)
        head = "".join(f"{name}: {value}\r\n" for name, value in SIGNER.headers(data, stage.now).items())
        with socket.create_connection(("127.0.0.1", door.door.port), timeout=10) as connection:
            connection.sendall(
                f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n{head}\r\n".encode()
            )
            connection.sendall(data[:10])
        assert post(door, batch(9)) == 200
        assert [one.body for one in stored(stage)] == [batch(9)]

    def test_all_bodies_together_have_bounded_room(self, door: OpenDoor, stage: Stage) -> None:
        """B27: one that finds none is asked to come again, and the room is given back."""
        assert door.room.take(999_990)
        answer = door.ask("POST", EVENTS, batch(1), SIGNER.headers(batch(1), stage.now))
        assert (answer.status, answer.headers["retry-after"]) == (503, "30")
        door.room.give(999_990)
        assert post(door, batch(1)) == 200
        assert door.room.take(1_000_000)

    def test_a_head_without_end_is_cut(self, door: OpenDoor) -> None:
        """B27: ten megabytes of headers are not gathered."""
        with socket.create_connection(("127.0.0.1", door.door.port), timeout=10) as connection:
            connection.sendall(f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\n".encode())
            answer = b""
            try:
                for _ in range(200):
                    connection.sendall(b"X-Long: " + b"x" * 50_000 + b"\r\n")
                answer = connection.recv(1000)
            except OSError:
                return  # closed while we wrote
        assert not answer.startswith(b"HTTP/1.1 2")


class TestOurFault:
    """What we cannot store is asked for again."""

    def test_a_broken_ledger_asks_the_vendor_to_come_again(
        self, door: OpenDoor, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B30: a reply that could not be stored is never confirmed."""

        def full() -> None:
            raise LedgerBrokenError("the disk is nearly full", where="ledger")

        monkeypatch.setattr(stage.parts.ledger, "require_room", full)
        answer = door.ask("POST", EVENTS, batch(1), SIGNER.headers(batch(1), stage.now))
        assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "60", b"")

    def test_a_fault_nobody_foresaw_is_a_500_without_a_word(
        self, door: OpenDoor, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B28: SendGrid posts it again, and the answer shows nothing of us."""

        def broken(*_: object) -> None:
            raise ZeroDivisionError("a secret detail")

        monkeypatch.setattr(received, "store", broken)
        answer = door.ask("POST", EVENTS, batch(1), SIGNER.headers(batch(1), stage.now))
        assert answer.status == 500
        assert b"secret" not in answer.body


class TestHints:
    """The CRM says that something changed."""

    def test_a_hint_hastens_the_pull_and_stores_nothing(self, door: OpenDoor, stage: Stage) -> None:
        """Nothing is believed because a push said so."""
        assert door.ask("POST", f"/hints/{HINT_SECRET}", b'{"Id": "003"}').status == 202
        assert door.hints == 1
        assert stored(stage) == []

    @pytest.mark.parametrize("secret", ["wrong", HINT_SECRET[:-1], HINT_SECRET.upper(), "%00"])
    def test_a_stranger_hastens_nothing(self, door: OpenDoor, secret: str) -> None:
        """B28: each pull is a call to the CRM."""
        assert door.ask("POST", f"/hints/{secret}", b"").status == 403
        assert door.hints == 0

    def test_a_hints_body_is_bounded(self, door: OpenDoor) -> None:
        """Nobody looks at it, so nobody needs to send much of it."""
        assert door.ask("POST", f"/hints/{HINT_SECRET}", b"x" * 70_000).status == 413
        assert door.hints == 0


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["POST", "PUT", "GET", "HEAD", "PATCH"]),
    path=st.one_of(
        st.sampled_from([EVENTS, INBOUND, f"{EVENTS}/x", "/hooks/", "/hints/x", "/hooks/sendgrid/events/../inbound"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60).map(lambda text: "/" + text),
    ),
    data=st.binary(max_size=400),
    headers=st.dictionaries(
        st.sampled_from(
            [
                "X-Twilio-Email-Event-Webhook-Signature",
                "X-Twilio-Email-Event-Webhook-Timestamp",
                "Authorization",
                "Content-Type",
            ]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80),
    ),
)
def test_whatever_a_stranger_sends_nothing_is_stored_and_nothing_breaks(
    door: OpenDoor, method: str, path: str, data: bytes, headers: dict[str, str]
) -> None:
    """B27, B28: any method, path, header and body."""
    answer = door.ask(method, path, data, headers)
    assert answer.status < 500
    with door.stage.parts.ledger.read() as connection:
        assert received.newest_waiting(connection) is None
