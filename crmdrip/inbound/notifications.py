"""Amazon's notices about mail sent through SES, as SNS mails them: JSON in the text.

Source: "Amazon SNS notification contents for Amazon SES", fields notificationType, bounce, complaint, delivery, mail.
Somebody who sends through SES by SMTP has them as a mail, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from crmdrip.core.inbound import DeliveryReport, ReportedRecipient, ReportKind
from crmdrip.core.keys import normalize_address
from crmdrip.inbound import limits
from crmdrip.inbound.addresses import is_plausible, read_message_ids
from crmdrip.inbound.diagnosis import find_status
from crmdrip.inbound.machines import first
from crmdrip.inbound.mime import Part, tidy_line


def read_notification(root: Part, text: str) -> DeliveryReport | None:
    """The report in a notice of SES; None for every other mail."""
    if not first(root.headers, "x-amz-sns-message-id") or "{" not in text:
        return None
    notice = _parse(text[text.index("{") :])
    notice = _parse(notice["Message"]) if isinstance(notice.get("Message"), str) else notice
    kind = notice.get("notificationType") or notice.get("eventType")
    mail = _mapping(notice.get("mail"))
    if kind == "Bounce":
        bounce = _mapping(notice.get("bounce"))
        permanent = bounce.get("bounceType") == "Permanent"
        recipients = [_bounced(one, permanent=permanent) for one in _people(bounce.get("bouncedRecipients"))]
    elif kind == "Complaint":
        recipients = [
            ReportedRecipient(address=_address(one))
            for one in _people(_mapping(notice.get("complaint")).get("complainedRecipients"))
        ]
    elif kind == "Delivery":
        given = _mapping(notice.get("delivery")).get("recipients")
        addresses = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
        recipients = [ReportedRecipient(address=normalize_address(one), action="delivered") for one in addresses]
    else:
        return None
    return DeliveryReport(
        kind=ReportKind.FEEDBACK if kind == "Complaint" else ReportKind.DELIVERY,
        feedback=tidy_line(str(_mapping(notice.get("complaint")).get("complaintFeedbackType") or "abuse"))[:40]
        if kind == "Complaint"
        else "",
        recipients=tuple(one for one in recipients if is_plausible(one.address))[: limits.RECIPIENTS],
        message_ids=_message_ids(mail),
        headers=_headers(mail),
        source="ses",
    )


def _parse(text: str) -> Mapping[str, Any]:
    try:
        # Deeply nested JSON ends the recursion, and a number of 5,000 digits is a ValueError of its own.
        read, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return {}
    return _mapping(read)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _people(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _address(person: Mapping[str, Any]) -> str:
    return normalize_address(str(person.get("emailAddress", ""))[: limits.NAME_CHARACTERS])


def _bounced(person: Mapping[str, Any], *, permanent: bool) -> ReportedRecipient:
    diagnostic = tidy_line(str(person.get("diagnosticCode", "")))[: limits.DIAGNOSTIC_CHARACTERS]
    status = find_status(str(person.get("status", ""))[:40]) or find_status(diagnostic)
    return ReportedRecipient(
        address=_address(person), action="failed", status=status, diagnostic=diagnostic, permanent=permanent
    )


def _message_ids(mail: Mapping[str, Any]) -> tuple[str, ...]:
    common = _mapping(mail.get("commonHeaders")).get("messageId")
    return read_message_ids(tidy_line(str(common or "")))


def _headers(mail: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    gathered: dict[str, tuple[str, ...]] = {}
    for one in _people(mail.get("headers"))[: limits.HEADER_FIELDS]:
        name, value = str(one.get("name", "")).lower()[:80], tidy_line(str(one.get("value", "")))
        gathered[name] = (*gathered.get(name, ()), value[: limits.FIELD_CHARACTERS])
    return MappingProxyType(gathered)
