"""The whole sandbox over HTTP: credentials, the control API, unsubscribes, and the process."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sendgrid.helpers.eventwebhook import EventWebhook

from crmdrip.sandbox.control import CONSUMER_KEY, CONSUMER_SECRET, SENDGRID_KEY, USERNAME, Sandbox
from crmdrip.sandbox.http import Request, Response, Server, ServerThread
from crmdrip.sandbox.oneclick import press
from crmdrip.sandbox.sendgrid import LIVELY, AcceptedEmail
from crmdrip.sandbox.wires import REPLY_DOMAIN, Wires
from crmdrip.sandbox.world import NOBODY_REACTS, ClickWay, OneClick, StopKind, Truth

REPLY = f"reply+t1@{REPLY_DOMAIN}"
MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(people=60, now=MONDAY, habits=NOBODY_REACTS) as opened:
        yield opened


def ask(url: str, body: Any = None, method: str | None = None, **headers: str) -> Any:
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, names, method=method)  # noqa: S310 - our own servers
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
        text = answer.read()
    return json.loads(text) if text else None


def control(sandbox: Sandbox, name: str, body: Any = None) -> Any:
    return ask(f"{sandbox.pages_url}/_sandbox/{name}", body)


def send(sandbox: Sandbox, to: str, touch: str = "t1") -> None:
    body = {
        "personalizations": [{"to": [{"email": to}], "custom_args": {"crmdrip_touch": touch}}],
        "from": {"email": "maya.okonkwo@acme.example"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hi"}],
    }
    url = f"{sandbox.sendgrid_url}/v3/mail/send"
    ask(url, body, authorization=f"Bearer {SENDGRID_KEY}", content_type="application/json")


def test_the_documented_credentials_open_the_org(sandbox: Sandbox) -> None:
    """Client credentials give a token that can query."""
    form = f"grant_type=client_credentials&client_id={CONSUMER_KEY}&client_secret={CONSUMER_SECRET}".encode()
    token = ask(f"{sandbox.salesforce_url}/services/oauth2/token", form)["access_token"]
    query = f"{sandbox.salesforce_url}/services/data/v64.0/query?q=SELECT+Id+FROM+Drip_Sequence__c"
    assert ask(query, authorization=f"Bearer {token}")["totalSize"] == 2


def test_a_signed_assertion_opens_the_org(sandbox: Sandbox) -> None:
    """The key the sandbox hands out signs JWTs its org believes."""
    from base64 import urlsafe_b64encode

    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(sandbox.jwt_private_key.encode(), None)
    expires = int((MONDAY + timedelta(minutes=3)).timestamp())
    claims = {"iss": CONSUMER_KEY, "sub": USERNAME, "aud": "https://login.salesforce.com", "exp": expires}
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "RS256"}, claims)]
    signed = b".".join(parts)
    signature = urlsafe_b64encode(key.sign(signed, PKCS1v15(), SHA256())).rstrip(b"=")  # type: ignore[union-attr, call-arg, arg-type] - the loaded key is the RSA key above
    grant = b"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=" + signed + b"." + signature
    assert ask(f"{sandbox.salesforce_url}/services/oauth2/token", grant)["access_token"]


def test_the_clock_is_moved_over_http_and_only_forward(sandbox: Sandbox) -> None:
    """By a time or by seconds; a time in the past or without a zone is a 400."""
    assert control(sandbox, "clock", {"now": "2026-03-02T09:00:00Z"})["now"] == "2026-03-02T09:00:00+00:00"
    assert control(sandbox, "clock", {"seconds": 60})["now"] == "2026-03-02T09:01:00+00:00"
    for wrong in ({"now": "2026-03-01T00:00:00Z"}, {"now": "2026-03-03T00:00:00"}, {"later": 1}):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            control(sandbox, "clock", wrong)
    assert sandbox.now() == MONDAY + timedelta(hours=1, minutes=1)


def test_a_running_clock_can_be_moved_too() -> None:
    """From there it runs on."""
    with Sandbox(people=10, now=MONDAY, speed=60) as sandbox:
        control(sandbox, "clock", {"now": "2026-03-05T09:00:00Z"})
        assert sandbox.now() >= MONDAY + timedelta(days=3, hours=1)


def test_no_other_site_can_move_the_clock(sandbox: Sandbox) -> None:
    """A page elsewhere that a browser on this machine has open is refused."""
    with pytest.raises(urllib.error.HTTPError, match="403"):
        ask(f"{sandbox.pages_url}/_sandbox/clock", {"seconds": 60}, origin="https://evil.example")
    assert sandbox.now() == MONDAY


def test_the_state_tells_what_a_demo_ends_with(sandbox: Sandbox) -> None:
    """People, boxes, emails, duplicates, stops and calls, counted by the stand-ins and not by the product."""
    assert control(sandbox, "tick_boxes", {"share": 0.5, "days": 0}) == {"boxes": 30}
    address = next(p.address for p in sandbox.world.people.values() if p.address and not p.traits)
    send(sandbox, address)
    sandbox.call(lambda: sandbox.world.actions.reply(address, "Thanks"))
    send(sandbox, address)
    state = control(sandbox, "state")
    assert (state["people"], state["boxes_ticked"], state["accepted"]) == (60, 30, 2)
    assert (state["duplicates"], state["touches_after_stop"]) == (1, 1)
    assert state["stops"]["reply"] == 1
    assert state["provider_requests"] == {"POST /v3/mail/send": 2}
    (violation,) = control(sandbox, "violations")
    assert (violation["stop"]["kind"], violation["email"]["to"]) == ("reply", address)


def test_accepted_emails_are_read_from_where_one_stopped(sandbox: Sandbox) -> None:
    """`since` counts emails, and `next` is where to go on."""
    for number in range(3):
        send(sandbox, f"p{number}@example.com", f"t{number}")
    page = control(sandbox, "accepted?since=1&limit=1")
    assert (page["next"], [email["touch"] for email in page["emails"]]) == (2, ["t1"])


def test_faults_are_armed_over_http(sandbox: Sandbox) -> None:
    """The next email is refused as asked for, and the one after goes through."""
    fault = {"kind": "answer", "path": "/v3/mail/send", "status": 503}
    assert control(sandbox, "faults", {"on": "sendgrid", "add": [fault]})["added"] == 1
    with pytest.raises(urllib.error.HTTPError, match="503"):
        send(sandbox, "a@example.com")
    send(sandbox, "a@example.com")
    assert len(sandbox.account.accepted) == 1


@pytest.mark.parametrize("body", [{"on": "hubspot"}, {"on": "sendgrid", "add": [{"kind": "explosion"}]}, [], b"{"])
def test_a_fault_nobody_knows_is_400(sandbox: Sandbox, body: Any) -> None:
    """The answer says what is known."""
    with pytest.raises(urllib.error.HTTPError, match="400"):
        control(sandbox, "faults", body)


def test_an_unsubscribe_is_really_posted(sandbox: Sandbox) -> None:
    """The link gets the one-click body of RFC 8058, and the stop is known once it has answered (B22)."""
    received: list[Request] = []
    answered = threading.Event()

    def door(request: Request) -> Response:
        received.append(request)
        return Response(status=200)

    server = Server(door)
    with ServerThread(server):
        report = sandbox.world.actions.unsubscribed
        sandbox.world.actions.unsubscribed = lambda click: (report(click), answered.set())  # type: ignore[method-assign] - watched
        click = OneClick(url=f"{server.url}/u/abc?x=1", address="ann@example.com")
        sandbox.call(lambda: sandbox.clicker.post(click))
        assert answered.wait(10)
    assert [(r.method, r.path, r.raw_query, r.body) for r in received] == [
        ("POST", "/u/abc", "x=1", b"List-Unsubscribe=One-Click")
    ]
    stops = sandbox.call(lambda: sandbox.world.stops.of("ann@example.com"))
    assert [stop.kind for stop in stops] == [StopKind.UNSUBSCRIBE]


@pytest.mark.parametrize("url", ["https://mail.example.com/u/1", "http://mail.example.com/u/1", "mailto:u@example.com"])
def test_no_unsubscribe_leaves_this_machine(url: str) -> None:
    """A link to anywhere else is not posted to."""
    assert press(url) == "the link does not lead to this machine"


def test_a_link_that_refuses_is_a_problem() -> None:
    """Only success counts as unsubscribed; a redirect does not (RFC 8058 section 3.1)."""
    server = Server(lambda _: Response(status=303, headers={"Location": "/elsewhere"}))
    with ServerThread(server):
        assert press(f"{server.url}/u/1") == "answered with 303"


PAGE = (
    b'<form method="get" action="/search"><input name="q"></form>'
    b'<form method="post" action=""><input type="hidden" name="scope" value="all"><button>Unsubscribe</button></form>'
)


def test_a_person_opens_the_page_and_presses_its_button(sandbox: Sandbox) -> None:
    """A GET, then a POST of the page's own form to its own address (B22)."""
    received: list[Request] = []
    server = Server(lambda request: received.append(request) or Response(body=PAGE, content_type="text/html"))  # type: ignore[func-returns-value] - append says nothing
    with ServerThread(server):
        click = OneClick(url=f"{server.url}/u/abc", address="ann@example.com", way=ClickWay.PAGE)
        sandbox.call(lambda: sandbox.clicker.post(click))
        settle(sandbox)
    assert [(r.method, r.path, r.body) for r in received] == [("GET", "/u/abc", b""), ("POST", "/u/abc", b"scope=all")]
    stops = sandbox.call(lambda: sandbox.world.stops.of("ann@example.com"))
    assert [stop.kind for stop in stops] == [StopKind.UNSUBSCRIBE]


def test_a_page_without_a_button_unsubscribes_nobody(sandbox: Sandbox) -> None:
    """The person was shown something else, and knows."""
    server = Server(lambda _: Response(body=b"<p>Sorry</p>", content_type="text/html"))
    with ServerThread(server):
        click = OneClick(url=f"{server.url}/u/abc", address="ann@example.com", way=ClickWay.PAGE)
        sandbox.call(lambda: sandbox.clicker.post(click))
        settle(sandbox)
    assert sandbox.world.actions.failed_one_clicks == [(click, "the page has no button")]


def settle(sandbox: Sandbox) -> None:
    """Wait until every request of the sandbox was answered."""
    deadline = time.monotonic() + 10
    while control(sandbox, "pending")["requests"] and time.monotonic() < deadline:
        pass


def sendgrid(sandbox: Sandbox, path: str, body: Any, method: str | None = None) -> Any:
    url = f"{sandbox.sendgrid_url}/v3/user/webhooks/{path}"
    return ask(url, body, method, authorization=f"Bearer {SENDGRID_KEY}", content_type="application/json")


def test_webhooks_are_really_posted_and_verify(sandbox: Sandbox) -> None:
    """Set up through the vendor's API, signed, to a server on this machine; the URL's password becomes Basic."""
    received: list[Request] = []
    server = Server(lambda request: received.append(request) or Response(status=204))  # type: ignore[func-returns-value] - as above
    with ServerThread(server):
        url = f"http://door:s%2Fecret@127.0.0.1:{server.port}/hooks/events"
        webhook = sendgrid(sandbox, "event/settings", {"url": url, "enabled": True, "processed": True})["id"]
        key = sendgrid(sandbox, f"event/settings/signed/{webhook}", {"enabled": True}, "PATCH")["public_key"]
        send(sandbox, "ann@example.com", "t1")
        control(sandbox, "clock", {"seconds": 30})
        settle(sandbox)
    (request,) = received
    assert request.headers["authorization"] == f"Basic {base64.b64encode(b'door:s/ecret').decode()}"
    signature = request.headers["x-twilio-email-event-webhook-signature"]
    timestamp = request.headers["x-twilio-email-event-webhook-timestamp"]
    assert EventWebhook(key).verify_signature(request.body.decode(), signature, timestamp)
    assert json.loads(request.body)[0]["crmdrip_touch"] == "t1"
    assert control(sandbox, "state")["webhooks_delivered"] == 1


def test_a_connected_sandbox_posts_events_and_replies_to_the_door(sandbox: Sandbox) -> None:
    """Both signed, with keys that are the same for every sandbox, so that a configuration can hold them."""
    received: list[Request] = []
    server = Server(lambda request: received.append(request) or Response(status=200))  # type: ignore[func-returns-value] - as above
    person = next(each for each in sandbox.world.people.values() if not each.traits)
    with ServerThread(server), Sandbox(people=0, seed=2, now=MONDAY) as other:
        wires = control(sandbox, "connect", {"door": server.url})
        assert other.connect("http://127.0.0.1:9") == Wires(
            event_key=wires["event_key"], inbound_key=wires["inbound_key"]
        )
        sandbox.call(lambda: sandbox.account.parse.receive(b"From: a@b.example\r\n\r\nHi", sender="", recipient=REPLY))
        send(sandbox, person.address, "t1")
        control(sandbox, "clock", {"seconds": 60})
        settle(sandbox)
    assert sorted(request.path for request in received) == ["/hooks/sendgrid/events", "/hooks/sendgrid/inbound"]
    assert all("x-twilio-email-event-webhook-signature" in request.headers for request in received)


def test_replies_are_posted_raw_or_taken_apart(sandbox: Sandbox) -> None:
    """As the control API asks; nothing can be asked before a door is connected."""
    with pytest.raises(urllib.error.HTTPError, match="400"):
        control(sandbox, "inbound_form", {"raw": False})
    control(sandbox, "connect", {"door": "http://127.0.0.1:9"})
    assert control(sandbox, "inbound_form", {"raw": False}) == {"raw": False}
    assert sandbox.account.parse.accepts(REPLY)


def test_disturbances_are_switched_by_the_control_api(sandbox: Sandbox) -> None:
    """Those named; without a body a lively mixture; and unknown ones are refused."""
    assert control(sandbox, "disturbances", {"late": 0.5})["late"] == 0.5
    assert control(sandbox, "disturbances", {})["late"] == LIVELY.late
    with pytest.raises(urllib.error.HTTPError, match="400"):
        control(sandbox, "disturbances", {"explosion": 1})


def test_answers_are_told_with_their_truth(sandbox: Sandbox) -> None:
    """Page by page, for whoever counts mistakes."""
    person = next(each for each in sandbox.world.people.values() if not each.traits)
    send(sandbox, person.address, "t1")

    def answer() -> None:
        row = dict(sandbox.world.actions.record(person.id))
        occasion = sandbox.world.occasion(sandbox.account.accepted[0], row, Random(1))
        sandbox.world.actions.answer(Truth.OUT_OF_OFFICE, occasion, Random(1))

    sandbox.call(answer)
    told = control(sandbox, "answers?since=0")
    assert told["next"] == 1
    assert [(each["truth"], each["touch"], each["way"]) for each in told["answers"]] == [("out_of_office", "t1", "crm")]
    assert control(sandbox, "state")["answers"] == {"out_of_office": 1}


def test_an_accepted_email_without_link_cannot_be_unsubscribed_from(sandbox: Sandbox) -> None:
    """Nothing is posted for it."""
    send(sandbox, "a@example.com")
    email: AcceptedEmail = sandbox.account.accepted[0]
    sandbox.call(lambda: sandbox.world.actions.unsubscribe(email))
    assert sandbox.courier.pending == 0


def test_the_process_serves_everything_and_ends_on_sigterm(tmp_path: Path) -> None:
    """The ports file appears once all is served; the exit status is nought."""
    ports = tmp_path / "ports.json"
    any_port = [f"--{name}-port=0" for name in ("salesforce", "sendgrid", "pages")]
    command = [sys.executable, "-m", "crmdrip.sandbox", "--people=40", "--speed=0", "--tick=0.5", *any_port]
    process = subprocess.Popen([*command, "--now=2026-03-02T08:00:00Z", f"--ports-file={ports}"])
    try:
        deadline = time.monotonic() + 30
        while not ports.exists() and process.poll() is None and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        addresses = json.loads(ports.read_text())
        assert ask(f"{addresses['pages']}/_sandbox/state")["people"] == 40
        assert addresses["pid"] == process.pid
        for name in ("salesforce", "sendgrid"):
            with pytest.raises(urllib.error.HTTPError, match=r"40[14]"):
                ask(addresses[name])
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_taken_port_is_said_and_ends_with_one() -> None:
    """Nobody has to read a traceback."""
    server = Server(lambda _: Response())
    with ServerThread(server):
        command = [sys.executable, "-m", "crmdrip.sandbox", "--people=10", f"--pages-port={server.port}"]
        ended = subprocess.run(
            [*command, "--salesforce-port=0", "--sendgrid-port=0"], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert "choose other ports" in ended.stderr
    assert "Traceback" not in ended.stderr
