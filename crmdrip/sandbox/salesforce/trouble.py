"""The troubles a client of Salesforce meets, as faults with the vendor's own answers, by name."""

from __future__ import annotations

from collections.abc import Mapping

from crmdrip.sandbox.faults import Fault, FaultKind

_EXPIRED = '[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]'
_UNAVAILABLE = '[{"message":"Server unavailable","errorCode":"SERVER_UNAVAILABLE"}]'
_DATA = "/services/data/"

TROUBLES: Mapping[str, Fault] = {
    "session_expired": Fault(kind=FaultKind.ANSWER, path=_DATA, status=401, body=_EXPIRED),
    "session_expired_as_object": Fault(kind=FaultKind.ANSWER, path=_DATA, status=401, body='{"error":"invalid_token"}'),
    "session_expired_as_page": Fault(
        kind=FaultKind.ANSWER,
        path=_DATA,
        status=401,
        body="<html><body>Unauthorized</body></html>",
        content_type="text/html;charset=UTF-8",
    ),
    "limit_exceeded": Fault(
        kind=FaultKind.ANSWER,
        path=_DATA,
        status=403,
        body='[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]',
    ),
    "too_many_requests": Fault(
        kind=FaultKind.ANSWER, path=_DATA, status=429, body='[{"message":"too many","errorCode":"TOO_MANY_REQUESTS"}]'
    ),
    "unavailable": Fault(kind=FaultKind.ANSWER, path=_DATA, status=503, body=_UNAVAILABLE),
    "unavailable_after_commit": Fault(kind=FaultKind.ANSWER_AFTER, path=_DATA, status=503, body=_UNAVAILABLE),
    "cut": Fault(kind=FaultKind.CUT, path=_DATA),
    "cut_after_commit": Fault(kind=FaultKind.CUT_AFTER, path=_DATA),
    "slow": Fault(kind=FaultKind.SLOW, path=_DATA, delay=1.0),
    "short_page": Fault(kind=FaultKind.SHORT_PAGE, path=_DATA + r"v\d\d\.0/query", rows=200),
}
"""Change method, path, times or probability by dataclasses.replace."""
