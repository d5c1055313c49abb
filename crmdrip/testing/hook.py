"""The contract of a Hook: who gets in, that reading is the same each time, and that nothing a stranger sends breaks it.

Subclass HookContract and give the fixture `caller`: somebody who posts as the vendor does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from crmdrip.core.errors import RejectedError
from crmdrip.core.model import Signal
from crmdrip.core.struct import replace
from crmdrip.ports import Delivery, Hook, HookRequest, RawMail

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

STRANGE: tuple[Mapping[str, str], ...] = (
    {},
    {"authorization": "Basic ===="},
    {"authorization": "\ud800"},
    {"content-type": "multipart/form-data; boundary=" + "x" * 10_000},
    {"x-forwarded-for": "127.0.0.1"},
)
"""Headers of strangers."""

BODIES = (b"", b"\x00", b"[]", b"{}", b"null", b"[" * 5_000, b"\xff" * 1_000, b"--x\r\n", b'[{"event":' + b"1" * 5_000)
"""Bodies that no vendor sends."""


class Caller(Protocol):
    """The vendor, or what stands in for it."""

    hook: Hook

    def post(self, at: datetime) -> HookRequest:
        """An authentic request of that time, with its body."""
        ...

    def last(self) -> timedelta:
        """How long after its time the vendor may still repeat a request."""
        ...


def delivery_of(hook: Hook, request: HookRequest) -> Delivery:
    """As the door stores it."""
    return Delivery(
        source=hook.source,
        key="k",
        body=request.body,
        content_type=request.headers.get("content-type", ""),
        received_at=NOW,
    )


class HookContract:
    """Every promise of Hook."""

    def test_its_source_names_connector_and_kind(self, caller: Caller) -> None:
        """The door makes an address of it."""
        connector, colon, kind = caller.hook.source.partition(":")
        assert (colon, connector.isidentifier(), kind.isidentifier()) == (":", True, True)
        assert caller.hook.limit > 0
        assert caller.hook.seconds > 0

    def test_the_vendor_gets_in(self, caller: Caller) -> None:
        """By the headers alone at first, and then with the body."""
        asked = caller.post(NOW)
        assert caller.hook.admits(replace(asked, body=b""), NOW)
        assert caller.hook.authentic(asked, NOW)

    def test_a_late_repeat_gets_in(self, caller: Caller) -> None:
        """B23: vendors repeat for as long as they say, and need not sign anew."""
        assert caller.hook.authentic(caller.post(NOW), NOW + caller.last())

    @pytest.mark.parametrize("headers", STRANGE, ids=range(len(STRANGE)))
    def test_a_stranger_does_not(self, caller: Caller, headers: Mapping[str, str]) -> None:
        """B28: and nothing is raised, which would be a 500 and a repeat for ever."""
        for body in BODIES:
            asked = HookRequest(headers=headers, secret="", body=body)
            assert not caller.hook.admits(asked, NOW)
            assert not caller.hook.authentic(asked, NOW)

    @pytest.mark.parametrize("secret", ["x", "\ud800", "a" * 10_000, "%00", "é"])
    def test_a_guessed_secret_opens_nothing(self, caller: Caller, secret: str) -> None:
        """B28: whatever stands in the address."""
        assert not caller.hook.authentic(HookRequest(headers={}, secret=secret, body=b"[]"), NOW)

    def test_what_it_says_is_the_same_every_time_it_is_read(self, caller: Caller) -> None:
        """B23: a delivery is read again after a crash; keys must be those of the first time."""
        delivery = delivery_of(caller.hook, caller.post(NOW))
        first, second = list(caller.hook.read(delivery)), list(caller.hook.read(delivery))
        assert first == second != []
        assert all(isinstance(one, Signal | RawMail) for one in first)

    def test_keys_fit_into_the_ledger(self, caller: Caller) -> None:
        """A key that is cut would be another one."""
        for one in caller.hook.read(delivery_of(caller.hook, caller.post(NOW))):
            assert 0 < len(one.key) <= (255 if isinstance(one, Signal) else 128)

    @pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
    def test_what_cannot_be_read_is_refused_by_name(self, caller: Caller, body: bytes) -> None:
        """B27: by the one error that the port names; anything else is a fault of the connector."""
        asked = replace(caller.post(NOW), body=body)
        try:
            found = list(caller.hook.read(delivery_of(caller.hook, asked)))
        except RejectedError:
            return
        assert all(isinstance(one, Signal | RawMail) for one in found)
