"""What came in, as commands show it: how emails fared, and what could not be read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from office import Office, Shell

from crmdrip.commands.status import describe_mailboxes, describe_received
from crmdrip.core.engagement import Engagement
from crmdrip.core.model import SignalKind
from crmdrip.core.received import Delivery
from crmdrip.ledger import engagements, received
from crmdrip.ledger.received import ReceivedCount
from crmdrip.ledger.store import Ledger


def test_why_tells_how_an_email_fared(office: Office, crmdrip: Shell) -> None:
    """P3: what stands on the timeline, and the machines' opens beside it."""
    (person,) = office.ticked()
    crmdrip("once")
    ledger = Ledger(f"sqlite:///{office.ledger_file}")
    (touch,) = (email.touch for email in office.sent())
    told = Engagement(
        touch_id=touch, outcome=SignalKind.CLICKED, first_at=datetime.now(UTC), opens=2, clicks=1, machine_opens=3
    )
    with ledger.write() as connection:
        engagements.save(connection, [told])
    ledger.close()
    assert "Clicked; 2 opens, 1 click, 3 opens by machines" in crmdrip("why", person).out


class TestReceived:
    """What came in and could not be read."""

    @pytest.fixture
    def unreadable(self, office: Office, crmdrip: Shell) -> None:
        """A post of a vendor whom nobody here reads."""
        office.ticked()
        crmdrip("once")
        came = Delivery(
            source="mailgun:events", key="1", body=b"[]", content_type="", received_at=datetime(2026, 11, 2, tzinfo=UTC)
        )
        ledger = Ledger(f"sqlite:///{office.ledger_file}")
        with ledger.write() as connection:
            received.store(connection, [came])
        ledger.close()
        crmdrip("once")

    @pytest.mark.usefixtures("unreadable")
    def test_it_is_shown_with_what_was_wrong(self, crmdrip: Shell) -> None:
        """P3: by status and by retry."""
        assert "Came in and cannot be read: 1." in crmdrip("status").out
        assert "nobody here reads what comes from mailgun:events" in crmdrip("retry").out
        (unread,) = crmdrip("retry", "--json").json["unread"]
        assert unread["source"] == "mailgun:events"

    @pytest.mark.usefixtures("unreadable")
    def test_it_is_read_again_by_command(self, crmdrip: Shell) -> None:
        """After an update, say."""
        assert "read again: 1." in crmdrip("retry", "--received").err
        assert "Came in and is not read yet: 1." in crmdrip("status").out

    def test_what_the_door_refused_is_told(self) -> None:
        """B28: with what was wrong, and nothing where all was taken."""
        door = {
            "posts": {"sendgrid:events": {"stored": 9, "not_authentic": 2, "too_large": 1}, "crm:hint": {"hinted": 4}}
        }
        assert describe_received(ReceivedCount(), door) == [
            "Refused at the door since it opened, from sendgrid:events: 2 not authentic, 1 too large."
        ]


class TestMailboxes:
    """Mailboxes that are listened to."""

    def test_one_that_cannot_be_read_is_named_with_what_follows(self) -> None:
        """P3, P4: nothing goes out meanwhile, and status says why."""
        heard = {"heard_at": "2026-11-02T09:00:00+00:00", "error": ""}
        deaf = {"heard_at": None, "error": "the login was refused."}
        assert describe_mailboxes({"mailboxes": {"one": heard, "two": deaf}}) == [
            "THE MAILBOX two CANNOT BE READ: the login was refused. Nothing goes out until it can. Last heard: never."
        ]
