"""What SendGrid's answers mean, row by row."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from connectors.sendgrid.exchange import Answer
from connectors.sendgrid.verdict import MAX_WAIT, RULES, SANDBOX_RULES, judge, wait_of
from crmdrip.core.errors import ErrorClass
from crmdrip.ports import SendStatus

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HTML = b"<html><body>upstream connect error</body></html>"


def says(message: str, field: str | None = None) -> bytes:
    return orjson.dumps({"errors": [{"message": message, "field": field, "help": None}]})


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    names = {name.replace("_", "-").lower().encode(): value.encode() for name, value in headers.items()}
    return Answer(status=status, headers=names, body=body)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, says("invalid request"), ErrorClass.REJECTED),
        (400, says("Does not contain a valid address.", "personalizations.0.to.0.email"), ErrorClass.REJECTED),
        (400, says("Does not contain a valid address.", "from.email"), ErrorClass.CONFIGURATION),
        (400, says("Does not contain a valid address.", "reply_to.email"), ErrorClass.CONFIGURATION),
        (400, HTML, ErrorClass.REJECTED),
        (401, says("authorization required"), ErrorClass.AUTH),
        (401, says("The provided authorization grant is invalid, expired, or revoked"), ErrorClass.AUTH),
        (401, b"", ErrorClass.AUTH),
        (401, says("Maximum credits exceeded"), ErrorClass.RATE_LIMITED),
        (403, says("access forbidden"), ErrorClass.AUTH),
        (403, says("The from address does not match a verified Sender Identity.", "from"), ErrorClass.CONFIGURATION),
        (404, says("not found"), ErrorClass.CONFIGURATION),
        (405, says("method not allowed"), ErrorClass.CONFIGURATION),
        (408, b"", ErrorClass.RETRIABLE),
        (413, says("content too large"), ErrorClass.REJECTED),
        (413, HTML, ErrorClass.REJECTED),
        (418, b"", ErrorClass.REJECTED),
        (429, says("too many requests"), ErrorClass.RATE_LIMITED),
        (429, b"", ErrorClass.RATE_LIMITED),
        (503, says("service unavailable"), ErrorClass.RETRIABLE),
        (302, b"", ErrorClass.CONFIGURATION),
    ],
)
def test_a_definite_no_is_refused(status, body, error):
    """B2: SendGrid said no, and the class says what happens next."""
    verdict = judge(answer(status, body))
    assert (verdict.status, verdict.error) == (SendStatus.REFUSED, error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, says("internal server error")),
        (500, HTML),
        (500, b""),
        (500, b'{"errors":[]}'),
        (500, b'{"errors":["text"]}'),
        (500, b"[]"),
        (502, HTML),
        (502, says("bad gateway")),
        (503, HTML),
        (503, b""),
        (504, says("gateway timeout")),
        (504, b""),
        (599, says("?")),
        (200, b""),
        (204, b""),
    ],
)
def test_an_answer_of_someone_on_the_way_is_unknown(status, body):
    """B1, B2: a gateway may have passed the email on before it failed; a 200 outside sandbox mode proves nothing."""
    verdict = judge(answer(status, body))
    assert (verdict.status, verdict.error) == (SendStatus.UNKNOWN, ErrorClass.OUTCOME_UNKNOWN)


def test_202_is_an_acceptance_with_its_id():
    """The id of the request is what SendGrid's events and logs begin with."""
    verdict = judge(answer(202, X_Message_Id="14c5d75ce93.dfd.64b469"))
    assert verdict.status is SendStatus.ACCEPTED
    assert verdict.provider_id == "14c5d75ce93.dfd.64b469"


def test_sandbox_mode_takes_200_for_an_acceptance():
    """In sandbox mode a valid email is answered 200, and everything else means what it always does."""
    assert judge(answer(200), SANDBOX_RULES).status is SendStatus.ACCEPTED
    assert {key: value for key, value in SANDBOX_RULES.items() if key[0] != 200} == RULES


def test_the_detail_says_why_and_shows_no_address():
    """People read SendGrid's own words; an address in them is blotted out."""
    body = says("The address Jo.Doe+x@example.com is invalid.", "personalizations.0.to.0.email")
    detail = judge(answer(400, body)).detail
    assert detail == "address: 400 The address (address) is invalid. (personalizations.0.to.0.email)"


def test_a_long_explanation_is_cut():
    """A detail fits the ledger's and the CRM's columns."""
    assert len(judge(answer(400, says("x" * 5000))).detail) == 255


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"X_RateLimit_Reset": str(int(NOW.timestamp()) + 42)}, 42.0),
        ({"X_RateLimit_Reset": str(int(NOW.timestamp()) - 10)}, 1.0),
        ({"X_RateLimit_Reset": str(int(NOW.timestamp()) + 10**9)}, MAX_WAIT),
        ({"X_RateLimit_Reset": "soon"}, None),
        ({"Retry_After": "7"}, 7.0),
        ({}, None),
    ],
)
def test_the_wait_is_what_the_headers_say(headers, wait):
    """The reset is an epoch second; a clock that is plainly wrong on either side does not hold mail for years."""
    assert wait_of(answer(429, **headers), NOW) == wait
