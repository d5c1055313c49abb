"""Who asks, as far as it can be known: nobody makes themselves somebody else, or many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from crmdrip.web.allowance import Allowance, Allowances
from crmdrip.web.clients import Clients, read_networks

OURS = Clients(read_networks(("127.0.0.0/8", "::1/128", "172.17.0.0/16")))


def request(peer: str, *said: str) -> Request:
    """One from a peer, with what stands in X-Forwarded-For."""
    headers = [(b"x-forwarded-for", one.encode("latin-1", "replace")) for one in said]
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("192.0.2.1",), "203.0.113.9"),
        ("127.0.0.1", ("192.0.2.1",), "192.0.2.1"),
        ("127.0.0.1", ("8.8.8.8, 192.0.2.1",), "192.0.2.1"),
        ("127.0.0.1", ("192.0.2.1, 172.17.0.3",), "192.0.2.1"),
        ("127.0.0.1", ("8.8.8.8", "192.0.2.1"), "192.0.2.1"),
        ("::ffff:127.0.0.1", ("192.0.2.1",), "192.0.2.1"),
        ("127.0.0.1", ("192.0.2.1, nonsense",), ""),
        ("127.0.0.1", (), ""),
        ("127.0.0.1", ("127.0.0.1",), ""),
        ("2001:db8:1:2:3:4:5:6", (), "2001:db8:1:2::/64"),
        ("127.0.0.1", ("[2001:db8:1:2::7]",), "2001:db8:1:2::/64"),
    ],
)
def test_only_what_a_web_server_of_ours_added_counts(peer: str, said: tuple[str, ...], client: str) -> None:
    """B28: a stranger may write any beginning of X-Forwarded-For, and any of it where no web server stands between."""
    assert OURS.of(request(peer, *said)) == client


@given(st.text(max_size=300), st.sampled_from(["127.0.0.1", "203.0.113.9", "", "testclient"]))
def test_any_header_is_read(said: str, peer: str) -> None:
    """B28: nothing in it is an error, and nothing lies beyond a short key."""
    assert len(OURS.of(request(peer, said))) < 50


def test_a_client_that_asks_too_much_leaves_the_others_theirs() -> None:
    """B28: and what it is refused is not taken from all."""
    allowances = Allowances(Allowance(per_second=0, burst=3), per_second=0, burst=1, monotonic=lambda: 0.0)
    assert [allowances.take(one) for one in ("a", "a", "a", "a", "b", "c", "d")] == [
        True, False, False, False, True, True, False,
    ]  # fmt: skip


def test_clients_are_forgotten_before_they_fill_the_memory() -> None:
    """B28: whoever has many addresses makes no more than so many be remembered."""
    allowances = Allowances(Allowance(per_second=0, burst=10_000), per_second=0, burst=1, known=100)
    assert all(allowances.take(str(number)) for number in range(5_000))
    assert len(allowances._clients) == 100
    assert not allowances.take("4999")
