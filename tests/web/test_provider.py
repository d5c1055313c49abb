"""The door and the SendGrid stand-in, which signs, batches, repeats and disturbs by itself."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import orjson
import pytest
import requests
from open_door import OpenDoor
from stage import Stage

from connectors.sendgrid.events import EventHook
from connectors.sendgrid.inbound import InboundHook
from crmdrip.core.model import RunStatus
from crmdrip.core.received import RawMail
from crmdrip.daemon import passes
from crmdrip.inbound import read_mail
from crmdrip.ledger import engagements, received
from crmdrip.sandbox.sendgrid import Disturbances
from crmdrip.web.hooks import Fate

ANN = "ann@acme.example"
KINDS = (
    *("processed", "deferred", "delivered", "bounce", "dropped", "open", "click"),
    *("spam_report", "unsubscribe", "group_unsubscribe", "group_resubscribe"),
)
KINDS_COUNTED = {"open": "opens", "click": "clicks"}
HOST = "reply.acme.example"
MAIL = (
    "From: Ann <ann@acme.example>\r\nTo: rep@reply.acme.example\r\nSubject: Re: Hello\r\n"
    "Message-ID: <1@acme.example>\r\nIn-Reply-To: <0@acme.example>\r\n"
    "Content-Type: text/plain; charset=iso-8859-1\r\n\r\nGrüße\r\n"
).encode("iso-8859-1")


class Account:
    """The stand-in's settings, over HTTP; both ways are signed."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        nowhere = "http://127.0.0.1:9/"
        created = self.ask("POST", "event/settings", {"url": nowhere, "enabled": True, **dict.fromkeys(KINDS, True)})
        self.event_id = created["id"]
        signed = self.ask("PATCH", f"event/settings/signed/{self.event_id}", {"enabled": True})
        self.event_key = signed["public_key"]
        answer = self.ask("POST", "security/policies", {"name": "crmdrip", "signature": {"enabled": True}})
        self.policy_id = answer["policy"]["id"]
        self.inbound_key = answer["policy"]["signature"]["public_key"]
        self.posted: list[dict[str, Any]] = []
        """Every event of every batch, repeats included."""
        deliveries = stage.sandbox.account.deliveries
        post = deliveries.post

        def watched(errand: Any, done: Any) -> None:
            self.posted += orjson.loads(errand.body) if errand.body.startswith(b"[") else []
            post(errand, done)

        deliveries.post = watched

    def ask(self, method: str, path: str, value: dict[str, Any] | None = None) -> Any:
        """What the API answers."""
        answer = requests.request(
            method,
            f"{self.stage.sandbox.sendgrid_url}/v3/user/webhooks/{path}",
            json=value,
            headers={"Authorization": "Bearer SG.sandbox.sandbox-secret"},
            timeout=10,
        )
        assert answer.ok, answer.text
        return answer.json()

    def pass_time(self, **by: float) -> None:
        """Move the clock on, and let everything arrive that is due."""
        self.stage.later(**by)
        self.stage.do(self.stage.sandbox.account.advance, self.stage.now)
        self.settle()

    def settle(self) -> None:
        """Wait until every post was answered: the courier makes one after the other."""
        courier = self.stage.sandbox.courier
        while self.stage.do(lambda: courier.pending):
            courier._pool.submit(lambda: None).result()


@pytest.fixture
def account(stage: Stage) -> Account:
    """An account whose events and mail are signed; its keys are configured here."""
    account = Account(stage)
    inbound = InboundHook(keys=(account.inbound_key,), secrets=(), limit=200_000)
    hooks = (EventHook((account.event_key,)), inbound)
    stage.parts.hooks.update({hook.source: hook for hook in hooks})  # type: ignore[attr-defined]  # a dict, in truth
    return account


@pytest.fixture
def listening(account: Account, door: OpenDoor) -> OpenDoor:
    """The door, with the account's webhook leading to it."""
    url = f"http://127.0.0.1:{door.door.port}/hooks/sendgrid"
    account.ask("PATCH", f"event/settings/{account.event_id}", {"url": f"{url}/events"})
    return door


@pytest.fixture
def ann(stage: Stage, listening: OpenDoor) -> str:
    """A contact who got her first email."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    assert stage.sent(ANN)
    return contact


def test_an_event_arrives_signed_and_is_folded_into_its_touch(
    stage: Stage, account: Account, listening: OpenDoor, ann: str
) -> None:
    """From the provider's server to the ledger."""
    account.pass_time(minutes=2)
    assert passes.drain(stage.parts)["signals"] >= 1
    touch = stage.touches(ann)[-1].id
    with stage.parts.ledger.write() as connection:
        assert engagements.first_heard(connection, [touch])


def test_a_complaint_stops_the_run(stage: Stage, account: Account, listening: OpenDoor, ann: str) -> None:
    """B22: within the provider's own half minute."""
    stage.do(stage.sandbox.account.report_spam, ANN)
    account.pass_time(minutes=1)
    passes.drain(stage.parts)
    assert (stage.run(ann).status, stage.run(ann).reason) == (RunStatus.STOPPED, "stop.spam_report")


def test_disturbed_deliveries_are_counted_once(stage: Stage, account: Account, listening: OpenDoor, ann: str) -> None:
    """B23: doubled, shuffled, late, and repeated as a whole under another signature."""
    always = Disturbances(duplicated=1.0, late=0.5, bare=0.0, shuffled=1.0, repeated=1.0)
    stage.do(setattr, stage.sandbox.account.webhooks, "disturbances", always)
    others = [stage.contact(f"p{n}@firm{n}.example") for n in range(10)]
    sequence = stage.run(ann).sequence_id
    for contact in others:
        stage.tick(contact, sequence)
    stage.turn()
    for _ in range(10):
        account.pass_time(hours=1)
        passes.drain(stage.parts)
    told = {(e["crmdrip_touch"], e["event"], e["timestamp"], e.get("url")) for e in account.posted}
    assert len(told) < len(account.posted) / 2
    expected = Counter((touch, KINDS_COUNTED[name]) for touch, name, *_ in told if name in KINDS_COUNTED)
    with stage.parts.ledger.write() as connection:
        known = engagements.load(connection, {touch for touch, *_ in told})
        assert received.count(connection).failed == 0
    counted = {(one.touch_id, "opens"): one.opens + one.machine_opens for one in known.values()}
    counted |= {(one.touch_id, "clicks"): one.clicks for one in known.values()}
    assert {key: n for key, n in counted.items() if n} == expected
    figures = listening.hooks.figures.read()["sendgrid:events"]
    assert figures[Fate.REPEATED] > 0
    assert set(figures) == {Fate.STORED, Fate.REPEATED}


@pytest.mark.parametrize("mode", ["raw", "parsed"])
def test_a_mail_arrives_the_same_in_both_modes(stage: Stage, account: Account, listening: OpenDoor, mode: str) -> None:
    """B6: headers and text are there, whatever its charset."""
    url = f"http://127.0.0.1:{listening.door.port}/hooks/sendgrid/inbound"
    stage.do(stage.sandbox.account.identities.domains.add, "acme.example")
    setting = {"hostname": HOST, "url": url, "send_raw": mode == "raw", "security_policy": account.policy_id}
    account.ask("POST", "parse/settings", setting)
    stage.do(stage.sandbox.account.parse.receive, MAIL, sender=ANN, recipient=f"rep@{HOST}")
    account.pass_time(minutes=1)
    with stage.parts.ledger.read() as connection:
        [one] = received.claim(connection, stage.now + timedelta(days=1), 10)
    [mail] = stage.parts.hooks["sendgrid:inbound"].read(one.delivery)
    assert isinstance(mail, RawMail)
    assert mail.envelope_to == (f"rep@{HOST}",)
    found = read_mail(mail.body, envelope_to=mail.envelope_to)
    assert (found.sender, found.subject, found.text.strip()) == (ANN, "Re: Hello", "Grüße")
    assert (found.message_id, found.in_reply_to) == ("<1@acme.example>", ("<0@acme.example>",))


def test_the_consoles_unsigned_test_is_refused(stage: Stage, account: Account, listening: OpenDoor) -> None:
    """B28: "Test your integration" posts events of nobody without a signature."""
    url = f"http://127.0.0.1:{listening.door.port}/hooks/sendgrid/events"
    requests.post(
        f"{stage.sandbox.sendgrid_url}/v3/user/webhooks/event/test",
        data=orjson.dumps({"url": url}),
        headers={"Authorization": "Bearer SG.sandbox.sandbox-secret"},
        timeout=10,
    )
    account.settle()
    assert listening.hooks.figures.read() == {"sendgrid:events": {Fate.NOT_AUTHENTIC: 1}}
