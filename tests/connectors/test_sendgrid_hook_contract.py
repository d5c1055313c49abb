"""SendGrid's two hooks keep the contract of hooks."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from sendgrid_signer import Signer

from connectors.sendgrid.events import EventHook
from connectors.sendgrid.inbound import InboundHook
from crmdrip.ports import HookRequest
from crmdrip.testing.hook import HookContract

SECRET = "a-secret-of-some-length"
FORM = b'--xYzZY\r\nContent-Disposition: form-data; name="email"\r\n\r\nFrom: a@b.example\r\n\r\nYes\r\n--xYzZY--\r\n'


class EventCaller:
    """SendGrid's Event Webhook."""

    def __init__(self) -> None:
        self.signer = Signer()
        self.hook = EventHook((self.signer.public_key,))

    def post(self, at: datetime) -> HookRequest:
        """As SendGrid does."""
        body = json.dumps([{"event": "open", "timestamp": int(at.timestamp()), "email": "a@b.example"}]).encode()
        headers = {**self.signer.headers(body, at), "content-type": "application/json"}
        return HookRequest(headers=headers, secret="", body=body)

    def last(self) -> timedelta:
        """By SendGrid's documentation."""
        return timedelta(hours=24)


class InboundCaller:
    """SendGrid's Inbound Parse."""

    def __init__(self, *, signed: bool, secret: bool) -> None:
        self.signer = Signer() if signed else None
        keys = (self.signer.public_key,) if self.signer is not None else ()
        self.secret = SECRET if secret else ""
        self.hook = InboundHook(keys=keys, secrets=(self.secret,) if secret else (), limit=30_000_000)

    def post(self, at: datetime) -> HookRequest:
        """As SendGrid does."""
        headers = {"content-type": "multipart/form-data; boundary=xYzZY"}
        signed = self.signer.headers(FORM, at) if self.signer is not None else {}
        return HookRequest(headers={**headers, **signed}, secret=self.secret, body=FORM)

    def last(self) -> timedelta:
        """By SendGrid's documentation."""
        return timedelta(days=3)


class TestEvents(HookContract):
    """Signed batches."""

    @pytest.fixture
    def caller(self) -> EventCaller:
        """SendGrid."""
        return EventCaller()


class TestSignedMail(HookContract):
    """Mail by a security policy's signature."""

    @pytest.fixture
    def caller(self) -> InboundCaller:
        """SendGrid."""
        return InboundCaller(signed=True, secret=False)


class TestMailWithASecret(HookContract):
    """Mail by a secret in the address."""

    @pytest.fixture
    def caller(self) -> InboundCaller:
        """SendGrid."""
        return InboundCaller(signed=False, secret=True)


class TestMailWithBoth(HookContract):
    """Mail by both."""

    @pytest.fixture
    def caller(self) -> InboundCaller:
        """SendGrid."""
        return InboundCaller(signed=True, secret=True)
