"""Whichever way a person says no, it is one suppression: at once, in all sequences, on all twins, in the CRM (B22)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from letters import DOMAIN, answer, came_in, header, letter
from open_door import OpenDoor
from stage import Stage

from crmdrip.config import RepliesSettings
from crmdrip.core.keys import person_key
from crmdrip.core.model import RunStatus
from crmdrip.daemon import passes
from crmdrip.ledger import people

ANN = "ann@acme.example"

Way = Callable[[OpenDoor, Stage, str], None]


def by_one_click(door: OpenDoor, _: Stage, __: str) -> None:
    """The mail program's own button (RFC 8058)."""
    door.press(door.link(ANN))


def by_the_page(door: OpenDoor, _: Stage, __: str) -> None:
    """The button behind the link."""
    door.ask("POST", door.link(ANN), b"")
    door.door.settle()


def by_mailto(_: OpenDoor, stage: Stage, __: str) -> None:
    """A mail program that knows `mailto:` alone, from another address of theirs."""
    found = re.search(r"<mailto:([^?]+)\?subject=([^>]+)>", header(stage.sent(ANN)[-1], "List-Unsubscribe"))
    assert found is not None
    came_in(stage, letter("ann.private@mail.example", "", subject=found[2], to=found[1]))


def by_reply(_: OpenDoor, stage: Stage, __: str) -> None:
    """In words."""
    came_in(stage, answer(stage.sent(ANN)[-1], "Please remove me from your list."))


def by_the_crm(_: OpenDoor, stage: Stage, contact: str) -> None:
    """A rep was told on the telephone."""
    stage.change(contact, HasOptedOutOfEmail=True)


def by_the_provider(_: OpenDoor, stage: Stage, __: str) -> None:
    """SendGrid's own page, which puts them on its global list."""
    stage.do(stage.sandbox.account.suppressions.add, "unsubscribes", ANN)


def by_a_group(_: OpenDoor, stage: Stage, __: str) -> None:
    """One of SendGrid's unsubscribe groups."""
    group = stage.do(stage.sandbox.account.suppressions.add_group, "Sales")
    stage.do(stage.sandbox.account.suppressions.join, group.id, ANN)


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """Answers come to a domain of ours."""
    stage.settings = stage.settings.model_copy(update={"replies": RepliesSettings(domain=DOMAIN)})
    stage.start()
    passes.prepare(stage.parts)
    return stage


@pytest.mark.parametrize(
    "way", [by_one_click, by_the_page, by_mailto, by_reply, by_the_crm, by_the_provider, by_a_group]
)
def test_every_way_to_say_no_is_one_suppression(door: OpenDoor, stage: Stage, way: Way) -> None:
    """B22: the run ends, every twin shows it, nothing goes out again, and no other sequence starts."""
    contact, lead = stage.contact(ANN), stage.lead(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    assert len(stage.sent(ANN)) == 1
    stage.later(minutes=10)
    way(door, stage, contact)
    stage.turn()
    stage.turn()
    assert stage.run(contact).status is RunStatus.STOPPED
    assert [stage.record(one)["HasOptedOutOfEmail"] for one in (contact, lead)] == [True, True]
    assert stage.shown(contact)[0] == "Stopped"
    stage.tick(lead, stage.sequence())
    stage.play(stage.now + timedelta(days=7), step=timedelta(hours=12))
    assert stage.shown(lead)[0] == "Refused"
    assert len(stage.sent(ANN)) == 1


@pytest.mark.parametrize("way", [by_one_click, by_the_page, by_mailto, by_reply, by_the_provider, by_a_group])
def test_what_the_person_said_themselves_holds_without_the_crm(door: OpenDoor, stage: Stage, way: Way) -> None:
    """B22: an admin's click in the CRM does not take it back."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.later(minutes=10)
    way(door, stage, contact)
    stage.turn()
    with stage.parts.ledger.read() as connection:
        assert people.suppressed(connection, [person_key(ANN)])
    stage.later(minutes=10)
    stage.change(contact, HasOptedOutOfEmail=False)
    stage.tick(contact, stage.sequence())
    stage.turn()
    assert stage.shown(contact)[0] == "Refused"
