"""The Email Logs API of the stand-in: how an unknown send is settled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from sendgrid_request import KEY, NOW, READ_ONLY_KEY, Desk, errors, message

from crmdrip.sandbox.sendgrid import SCOPES, Keep


@pytest.fixture
def desk() -> Desk:
    return Desk()


def search(desk: Desk, query: str, **more: Any) -> list[dict[str, Any]]:
    response = desk.ask("POST", "/v3/logs", {"query": query, **more})
    assert response.status == 200, response.body
    return list(orjson.loads(response.body)["messages"])


def test_an_email_is_found_by_address_and_time_and_opened_by_id(desk: Desk) -> None:
    """The recipe that settles a touch in doubt (B1): search by address and time, open, compare custom_args."""
    desk.send(message(to="o'brien@example.com", touch="t9"))
    (row,) = search(
        desk, 'to_email = "o\'brien@example.com" AND sg_message_id_created_at >= TIMESTAMP "2026-03-02T08:59:00Z"'
    )
    found = orjson.loads(desk.ask("GET", f"/v3/logs/{row['sg_message_id']}").body)
    assert (row["status"], row["sg_message_id_created_at"]) == ("delivered", "2026-03-02T09:00:00Z")
    assert found["custom_args"] == {"crmdrip_touch": "t9"}
    assert [event["event"] for event in found["events"]] == ["processed", "delivered"]


def test_a_touch_can_be_settled_when_only_ids_are_kept(desk: Desk) -> None:
    """A benchmark that keeps no bodies still answers with the touch."""
    desk = Desk(keep=Keep.IDS)
    desk.send(message(touch="t9"))
    (row,) = search(desk, "to_email = 'ann@example.com'")
    assert orjson.loads(desk.ask("GET", f"/v3/logs/{row['sg_message_id']}").body)["custom_args"] == {
        "crmdrip_touch": "t9"
    }


def test_an_email_from_before_the_time_asked_for_is_not_found(desk: Desk) -> None:
    """The time condition is a real one."""
    desk.send()
    assert search(desk, "sg_message_id_created_at > TIMESTAMP '2026-03-02T09:00:00Z'") == []


def test_values_are_compared_with_case(desk: Desk) -> None:
    """The vendor's search is case-sensitive, so an address must be asked for as it was sent."""
    desk.send()
    assert search(desk, "to_email = 'Ann@example.com'") == []


def test_the_newest_come_first_and_no_more_than_asked_for(desk: Desk) -> None:
    """Ten by default; there is no way to a second page."""
    for number in range(12):
        desk.send(message(to=f"p{number}@example.com"))
    assert [row["to_email"] for row in search(desk, "", limit=2)] == ["p11@example.com", "p10@example.com"]
    assert len(search(desk, "")) == 10


def test_an_email_is_invisible_until_it_is_indexed() -> None:
    """Absence proves nothing soon after the attempt: the log lags behind by the configured delay."""
    desk = Desk(indexing_delay=timedelta(minutes=3))
    desk.send()
    assert search(desk, "to_email = 'ann@example.com'") == []
    desk.now = NOW + timedelta(minutes=3)
    assert len(search(desk, "to_email = 'ann@example.com'")) == 1


def test_an_email_is_forgotten_after_thirty_days(desk: Desk) -> None:
    """The log keeps thirty days, not extendable."""
    desk.send()
    desk.now = NOW + timedelta(days=30, seconds=1)
    assert search(desk, "") == []


def test_status_and_categories_are_asked_by_in(desk: Desk) -> None:
    """IN takes a list of quoted values."""
    desk.send(message(categories=["a0X1"]))
    desk.account.bounce("ann@example.com")
    (row,) = search(desk, "status IN ('bounced', 'dropped') AND categories IN ('a0X1')")
    assert (row["status"], row["reason"]) == ("bounced", "550 5.1.1 The email account does not exist")
    assert search(desk, "status IN ('delivered')") == []


@pytest.mark.parametrize(
    "query",
    [
        "custom_args = 'x'",
        "to_email = 'a@b' OR to_email = 'c@d'",
        "(to_email = 'a@b')",
        "to_email LIKE 'a%'",
        "to_email = a@b",
        "status = 'delivered'",
        "sg_message_id_created_at >= '2026-01-01T00:00:00Z'",
        'sg_message_id_created_at >= TIMESTAMP "yesterday"',
        'sg_message_id_created_at >= TIMESTAMP "2026-01-01T00:00:00"',
        "to_email = 'a@b' AND",
        "to_email = 'a@b' status IN ('delivered')",
    ],
)
def test_whatever_the_grammar_does_not_know_is_400(desk: Desk, query: str) -> None:
    """A query the vendor would not understand is refused, and the answer names the query."""
    response = desk.ask("POST", "/v3/logs", {"query": query})
    assert (response.status, errors(response)[0]["field"]) == (400, "query")


@pytest.mark.parametrize("limit", [0, 1_001, "10"])
def test_a_limit_outside_one_to_a_thousand_is_400(desk: Desk, limit: object) -> None:
    """The limit is a whole number from 1 to 1000."""
    assert desk.ask("POST", "/v3/logs", {"query": "", "limit": limit}).status == 400


def test_an_unknown_id_is_404(desk: Desk) -> None:
    """Opening what does not exist is an error, not an empty answer."""
    assert desk.ask("GET", "/v3/logs/none.1").status == 404


def test_the_log_needs_its_own_scope(desk: Desk) -> None:
    """A key that may only read bounces does not see the log."""
    assert desk.ask("POST", "/v3/logs", {"query": ""}, key=READ_ONLY_KEY).status == 403


def test_a_key_can_ask_what_it_may_do(desk: Desk) -> None:
    """GET /v3/scopes is the start-up check of a key."""
    assert orjson.loads(desk.ask("GET", "/v3/scopes", key=KEY).body)["scopes"] == sorted(SCOPES)
    assert orjson.loads(desk.ask("GET", "/v3/scopes", key=READ_ONLY_KEY).body) == {
        "scopes": ["suppression.bounces.read"]
    }
