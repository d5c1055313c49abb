"""The suppression lists of the stand-in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from sendgrid_request import NOW, Desk, errors, message

from crmdrip.sandbox.sendgrid import Fate


@pytest.fixture
def desk() -> Desk:
    return Desk()


def read(desk: Desk, path: str) -> Any:
    response = desk.ask("GET", path)
    assert response.status == 200, response.body
    return orjson.loads(response.body)


def test_a_bounce_stands_on_its_list(desk: Desk) -> None:
    """A bounced address is listed with the time, the reason and the status code."""
    desk.account.bounce("ann@example.com", reason="550 5.1.1 no such user")
    assert read(desk, "/v3/suppression/bounces") == [
        {
            "created": int(NOW.timestamp()),
            "email": "ann@example.com",
            "reason": "550 5.1.1 no such user",
            "status": "5.1.1",
        }
    ]


def test_a_list_is_read_by_time(desk: Desk) -> None:
    """start_time and end_time are inclusive epoch seconds: how a daily sweep goes on where it stopped."""
    for minute in range(3):
        desk.now = NOW + timedelta(minutes=minute)
        desk.account.suppressions.add("bounces", f"p{minute}@example.com")
    start, end = int(NOW.timestamp()) + 60, int(NOW.timestamp()) + 119
    rows = read(desk, f"/v3/suppression/bounces?start_time={start}&end_time={end}")
    assert [row["email"] for row in rows] == ["p1@example.com"]


def test_a_list_is_read_in_pages(desk: Desk) -> None:
    """Limit and offset walk a list, newest first."""
    for number in range(5):
        desk.account.suppressions.add("spam_reports", f"p{number}@example.com", ip="127.0.0.1")
    pages = [read(desk, f"/v3/suppression/spam_reports?limit=2&offset={offset}") for offset in (0, 2, 4)]
    assert [[row["email"][1] for row in page] for page in pages] == [["4", "3"], ["2", "1"], ["0"]]


@pytest.mark.parametrize("query", ["limit=501", "limit=0", "limit=ten", "start_time=yesterday", "offset=-1"])
def test_a_page_that_cannot_be_is_400(desk: Desk, query: str) -> None:
    """A page has at most 500 entries, and times are whole seconds."""
    assert desk.ask("GET", f"/v3/suppression/bounces?{query}").status == 400


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("bounces", {"created", "email", "reason", "status"}),
        ("blocks", {"created", "email", "reason", "status"}),
        ("invalid_emails", {"created", "email", "reason"}),
        ("spam_reports", {"created", "email", "ip"}),
        ("unsubscribes", {"created", "email"}),
    ],
)
def test_each_list_has_the_fields_of_its_kind(desk: Desk, name: str, keys: set[str]) -> None:
    """The five lists differ in what they tell."""
    desk.account.suppressions.add(name, "ann@example.com")
    (row,) = read(desk, f"/v3/suppression/{name}")
    assert row.keys() == keys


def test_a_deleted_entry_lets_email_through_again(desk: Desk) -> None:
    """DELETE takes the address off, and the next email is delivered."""
    desk.account.bounce("ann@example.com")
    assert desk.ask("DELETE", "/v3/suppression/bounces/ann@example.com").status == 204
    assert desk.ask("DELETE", "/v3/suppression/bounces/ann@example.com").status == 404
    desk.send()
    assert desk.account.accepted[-1].fate is Fate.DELIVERED


def test_a_block_does_not_suppress(desk: Desk) -> None:
    """Blocks are for now: the next email is tried again."""
    desk.account.suppressions.add("blocks", "ann@example.com")
    desk.send()
    assert desk.account.accepted[-1].fate is Fate.DELIVERED


def test_a_global_unsubscribe_is_written_read_and_undone(desk: Desk) -> None:
    """POST adds, GET tells, an absent address is an empty object, DELETE undoes."""
    path = "/v3/asm/suppressions/global"
    assert read(desk, f"{path}/ann@example.com") == {}
    created = desk.ask("POST", path, {"recipient_emails": ["ann@example.com"]})
    assert (created.status, orjson.loads(created.body)) == (201, {"recipient_emails": ["ann@example.com"]})
    assert read(desk, f"{path}/ann@example.com") == {"recipient_email": "ann@example.com"}
    assert [row["email"] for row in read(desk, "/v3/suppression/unsubscribes")] == ["ann@example.com"]
    assert desk.ask("DELETE", f"{path}/ann@example.com").status == 204
    assert read(desk, f"{path}/ann@example.com") == {}


def test_a_global_unsubscribe_without_addresses_is_400(desk: Desk) -> None:
    """The array of addresses is required."""
    response = desk.ask("POST", "/v3/asm/suppressions/global", {"emails": ["ann@example.com"]})
    assert (response.status, errors(response)[0]["field"]) == (400, "recipient_emails")


def test_a_group_suppresses_only_its_own_mail(desk: Desk) -> None:
    """An unsubscribe from a group drops mail sent under that group and no other."""
    group = orjson.loads(desk.ask("POST", "/v3/asm/groups", {"name": "News", "description": "News"}).body)["id"]
    desk.ask("POST", f"/v3/asm/groups/{group}/suppressions", {"recipient_emails": ["ann@example.com"]})
    desk.send(message(asm={"group_id": group}))
    desk.send(message())
    assert [email.fate for email in desk.account.accepted] == [Fate.DROPPED, Fate.DELIVERED]
    assert read(desk, f"/v3/asm/groups/{group}/suppressions") == ["ann@example.com"]
    assert read(desk, "/v3/asm/suppressions/ann@example.com")["suppressions"][0]["suppressed"] is True


def test_a_deleted_group_falls_through_to_the_global_list(desk: Desk) -> None:
    """An unknown group id unsubscribes from everything, as the vendor documents."""
    desk.ask("POST", "/v3/asm/groups/999/suppressions", {"recipient_emails": ["ann@example.com"]})
    assert read(desk, "/v3/asm/suppressions/global/ann@example.com") == {"recipient_email": "ann@example.com"}


def test_many_addresses_are_checked_in_one_call(desk: Desk) -> None:
    """The search answers with those of the asked addresses that are suppressed."""
    group = desk.account.suppressions.add_group("News").id
    desk.ask("POST", f"/v3/asm/groups/{group}/suppressions", {"recipient_emails": ["a@x.example", "b@x.example"]})
    asked = {"recipient_emails": ["b@x.example", "c@x.example"]}
    found = desk.ask("POST", f"/v3/asm/groups/{group}/suppressions/search", asked)
    assert orjson.loads(found.body) == ["b@x.example"]


def test_an_unknown_path_is_404_and_a_wrong_method_405(desk: Desk) -> None:
    """What does not exist and what cannot be done are told apart."""
    assert desk.ask("GET", "/v3/suppression/nothing").status == 404
    assert desk.ask("POST", "/v3/suppression/bounces").status == 405
