"""Reports of machines about a mail we sent: not delivered, complained about, read.

The standard forms first (RFC 3464, 5965, 8098), read here because what counts is the status, the action and the ids of
the original. What a mail system wrote in prose is read in prose.py, what Amazon writes in JSON in notifications.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from crmdrip.core.inbound import DeliveryReport, ReportedRecipient, ReportKind
from crmdrip.core.keys import normalize_address
from crmdrip.inbound import limits
from crmdrip.inbound.addresses import is_plausible, read_address, read_addresses, read_message_ids
from crmdrip.inbound.diagnosis import ENHANCED, find_status, is_permanent
from crmdrip.inbound.machines import Evidence, first, is_null_sender, weigh
from crmdrip.inbound.mime import Part, read_field_text
from crmdrip.inbound.notifications import read_notification
from crmdrip.inbound.originals import find_headers, find_message_ids
from crmdrip.inbound.prose import read_prose

Headers = Mapping[str, tuple[str, ...]]

_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_GROUP_BREAK = re.compile(r"\n(?:[ \t]*\n)+")
_RECIPIENT_LINE = re.compile(r"^(?:final|original)-recipient[ \t]*:", re.IGNORECASE | re.MULTILINE)


def read_report(root: Part, text: str) -> DeliveryReport | None:
    """The report that a mail is, None when it is none. text: the mail's whole text."""
    parts = list(root.walk())
    for part in parts:
        if part.media_type == "message/feedback-report":
            return _read_feedback(part, parts)
        if part.media_type == "message/disposition-notification":
            return _read_disposition(part, parts)
        if part.media_type in _STATUS_TYPES:
            report = _read_status(part.text(), root, parts, text)
            # Google Groups sends the part empty and says everything in prose.
            return report if report.recipients else read_prose(root, text) or report
    if first(root.headers, "x-loop") == "scomp@aol.com" or re.match(
        r"complaint about message from", first(root.headers, "subject"), re.IGNORECASE
    ):
        return _complaint_in_prose(parts)  # Microsoft's junk mail reporting programme, AOL's old loop
    if (notified := read_notification(root, text)) is not None:
        return notified
    return _read_unwrapped(root, parts, text) or read_prose(root, text)


def _read_unwrapped(root: Part, parts: list[Part], text: str) -> DeliveryReport | None:
    """RFC 3464's fields that stand in the text, because a relay took the report's parts apart."""
    begin = _RECIPIENT_LINE.search(text)
    reported = root.parameters.get("report-type", "").lower() == "delivery-status"
    if begin is None or not (reported or is_null_sender(root.headers) or weigh(root.headers)[0] is Evidence.SURE):
        return None
    report = _read_status(text[max(0, text.rfind("\n\n", 0, begin.start())) :], root, parts, text)
    return report if report.recipients else None


def _read_status(status: str, root: Part, parts: list[Part], text: str) -> DeliveryReport:
    groups = [read_field_text(group) for group in _GROUP_BREAK.split(status.strip("\n"))[: limits.RECIPIENTS + 5]]
    recipients = [one for one in map(_read_group, groups) if one is not None]
    headers = find_headers(parts, text)
    return DeliveryReport(
        kind=ReportKind.DELIVERY,
        recipients=tuple(recipients[: limits.RECIPIENTS]),
        message_ids=find_message_ids(root, headers, status, text),
        headers=headers,
        source="rfc3464",
    )


def _read_group(group: Headers) -> ReportedRecipient | None:
    """One recipient's fields (RFC 3464 section 2.3)."""
    final, original = first(group, "final-recipient"), first(group, "original-recipient")
    address = _typed_address(final)
    if not address and not _typed_address(original):
        return None
    action = first(group, "action").lower().split()[:1]
    given = first(group, "status")
    diagnostic = first(group, "diagnostic-code") or given
    diagnostic = re.sub(r"^[\w-]{1,40}\s*;\s*", "", diagnostic)
    found = ENHANCED.search(given)
    status = found.group() if found else find_status(given)
    better = find_status(diagnostic)
    if better and status[2:] in ("0.0", "") and better[:1] == (status[:1] or better[:1]):
        status = better
    done = action[0].rstrip(".;,") if action else ""
    if not done:
        done = "delivered" if status.startswith("2") else "failed"
    return ReportedRecipient(
        address=address or _typed_address(original),
        original=_typed_address(original),
        action=done,
        status=status,
        diagnostic=diagnostic[: limits.DIAGNOSTIC_CHARACTERS],
        permanent=is_permanent(done, status, diagnostic),
    )


def _typed_address(value: str) -> str:
    """The address behind a type ("rfc822;a@b.example"; RFC 6533 writes "utf-8;")."""
    _, mark, address = value.partition(";")
    found = read_address(address if mark else value)
    return found or (normalize_address(address.strip(" <>")) if is_plausible(address.strip(" <>")) else "")


def _read_feedback(part: Part, parts: list[Part]) -> DeliveryReport:
    fields = read_field_text(part.text())
    headers = find_headers(parts, "")
    addresses = [_typed_address(value) for value in fields.get("original-rcpt-to", ())]
    addresses += [read_address(value) for value in fields.get("removal-recipient", ())]
    if not any(addresses):
        addresses = [address for _, address in read_addresses(first(headers, "to"))]
    return _feedback(first(fields, "feedback-type").lower() or "abuse", addresses, headers, "rfc5965")


def _complaint_in_prose(parts: list[Part]) -> DeliveryReport:
    headers = find_headers(parts, "")
    addresses = [read_address(first(headers, "x-hmxmroriginalrecipient"))] if headers else []
    addresses = addresses if any(addresses) else [address for _, address in read_addresses(first(headers, "to"))]
    return _feedback("abuse", addresses, headers, "prose")


def _feedback(feedback: str, addresses: list[str], headers: Headers, source: str) -> DeliveryReport:
    return DeliveryReport(
        kind=ReportKind.FEEDBACK,
        feedback=feedback[:40],
        recipients=tuple(ReportedRecipient(address=one) for one in dict.fromkeys(addresses) if one)[
            : limits.RECIPIENTS
        ],
        message_ids=read_message_ids(first(headers, "message-id")),
        headers=headers,
        source=source,
    )


def _read_disposition(part: Part, parts: list[Part]) -> DeliveryReport:
    fields = read_field_text(part.text())
    headers = find_headers(parts, "")
    recipient = _typed_address(first(fields, "final-recipient")) or _typed_address(first(fields, "original-recipient"))
    disposition = first(fields, "disposition").rpartition(";")[2].strip().lower()
    ids = read_message_ids(first(fields, "original-message-id")) or read_message_ids(first(headers, "message-id"))
    return DeliveryReport(
        kind=ReportKind.DISPOSITION,
        recipients=(ReportedRecipient(address=recipient, action=disposition.split("/")[0][:40]),) if recipient else (),
        message_ids=ids,
        headers=headers,
        source="rfc8098",
    )
