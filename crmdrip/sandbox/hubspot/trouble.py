"""The troubles a client of HubSpot meets, as faults with the vendor's own answers, by name."""

from __future__ import annotations

from collections.abc import Mapping

from crmdrip.sandbox.faults import Fault, FaultKind

_CORRELATION = "f0c7b1a2-6c1e-4e44-9f0b-3c9f2f0f1d11"
_API = "/crm|/communication-preferences|/account-info"


def _limited(word: str, policy: str) -> str:
    return (
        f'{{"status":"error","message":"You have reached your {word} limit.","errorType":"RATE_LIMIT",'
        f'"correlationId":"{_CORRELATION}","category":"RATE_LIMITS","policyName":"{policy}"}}'
    )


_BROKEN = f'{{"status":"error","message":"internal error","correlationId":"{_CORRELATION}"}}'
_LOCKED = (
    '{"status":"error","message":"The record is locked by another operation.",'
    f'"correlationId":"{_CORRELATION}","category":"RECORD_LOCKED"}}'
)
_MIGRATING = f'{{"status":"error","message":"This account is being moved.","correlationId":"{_CORRELATION}"}}'
_PAGE = "<html><head><title>{0}</title></head><body>{0}</body></html>"
_HTML = "text/html;charset=UTF-8"

TROUBLES: Mapping[str, Fault] = {
    "ten_secondly": Fault(
        kind=FaultKind.ANSWER, path=_API, status=429, body=_limited("ten_secondly_rolling", "TEN_SECONDLY_ROLLING")
    ),
    "search_secondly": Fault(
        kind=FaultKind.ANSWER, path=r"/search$", status=429, body=_limited("secondly", "SECONDLY")
    ),
    "daily": Fault(kind=FaultKind.ANSWER, path=_API, status=429, body=_limited("daily", "DAILY")),
    "locked": Fault(kind=FaultKind.ANSWER, path=_API, status=423, body=_LOCKED),
    "migrating": Fault(kind=FaultKind.ANSWER, path=_API, status=477, body=_MIGRATING, headers={"Retry-After": "86400"}),
    "broken": Fault(kind=FaultKind.ANSWER, path=_API, status=500, body=_BROKEN),
    "bad_gateway": Fault(
        kind=FaultKind.ANSWER, path=_API, status=502, body=_PAGE.format("502 Bad Gateway"), content_type=_HTML
    ),
    "unavailable": Fault(kind=FaultKind.ANSWER, path=_API, status=503, body=_BROKEN),
    "unavailable_after_commit": Fault(kind=FaultKind.ANSWER_AFTER, path=_API, status=503, body=_BROKEN),
    "gateway_timeout_after_commit": Fault(
        kind=FaultKind.ANSWER_AFTER, path=_API, status=504, body=_PAGE.format("504"), content_type=_HTML
    ),
    "web_server_down": Fault(
        kind=FaultKind.ANSWER, path=_API, status=521, body=_PAGE.format("521"), content_type=_HTML
    ),
    "origin_unreachable": Fault(
        kind=FaultKind.ANSWER, path=_API, status=523, body=_PAGE.format("523"), content_type=_HTML
    ),
    "origin_timeout_after_commit": Fault(
        kind=FaultKind.ANSWER_AFTER, path=_API, status=524, body=_PAGE.format("524"), content_type=_HTML
    ),
    "cut": Fault(kind=FaultKind.CUT, path=_API),
    "cut_after_commit": Fault(kind=FaultKind.CUT_AFTER, path=_API),
    "slow": Fault(kind=FaultKind.SLOW, path=_API, delay=1.0),
    "short_page": Fault(kind=FaultKind.SHORT_PAGE, path=_API, rows=2),
}
"""Change method, path, times or probability by dataclasses.replace."""
