"""Reports of machines about a mail we sent: not delivered, complained about, read.

The standard forms first (RFC 3464, 5965, 8098), read here because what counts is the status, the action and the ids of
the original. Then, for what a mail system wrote in prose: flufl.bounce, which knows many forms, and last the shape that
all of them share (an address, a failure in words or codes, the original's header).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from email.message import Message
from types import MappingProxyType

from flufl.bounce import all_failures

from crmdrip.core.inbound import DeliveryReport, ReportedRecipient, ReportKind
from crmdrip.core.keys import normalize_address
from crmdrip.inbound import limits
from crmdrip.inbound.addresses import is_plausible, read_address, read_addresses, read_message_ids
from crmdrip.inbound.diagnosis import ENHANCED, GONE, PASSING, REPLY_CODE, find_status, is_permanent
from crmdrip.inbound.machines import first, is_daemon, is_null_sender
from crmdrip.inbound.mime import Part, read_field_text, tidy_line

# Tells at INFO which detector runs and at ERROR, with a traceback, that a hostile mail made one trip: no news.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)

Headers = Mapping[str, tuple[str, ...]]

_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_ORIGINAL_TYPES = (
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/global-headers",
    "message/rfc822-headers",
)
_GROUP_BREAK = re.compile(r"\n[ \t]*\n")
_RECIPIENT_LINE = re.compile(r"^(?:final|original)-recipient[ \t]*:", re.IGNORECASE | re.MULTILINE)
_ID_LINE = re.compile(
    r"^[ \t>|]{0,8}(?:original-|x-original-)?message-?id\s{0,3}:\s{0,3}(<[^<>\s]{1,900}>)",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_LINE = re.compile(
    r"^[ \t>|]{0,8}(?:return-path|received|message-id|from|to|date|subject|mime-version|dkim-signature"
    r"|x-[\w-]{1,60})[ \t]{0,3}:",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?<![\w.=+-])[A-Za-z0-9][\w.!#$%&'*/=?^`{|}~+-]{0,63}@[A-Za-z0-9][A-Za-z0-9.-]{1,200}\.[A-Za-z]{2,24}(?![\w@-])"
)

FAILED_SUBJECT = re.compile(
    r"^\W{0,4}(?:undeliver(?:ed|able)|(?:message )?not deliver(?:ed|able)|delivery (?:status notification"
    r"|status|failure|failed|has failed|notification|report|error|problem|delayed|incomplete)"
    r"|(?:permanent|failed|failure|temporary) delivery|failed delivery|mail (?:delivery|system error|failure"
    r"|error|could not)|(?:message|e-?mail) (?:delivery|could not|undeliver)"
    r"|returned (?:mail|to sender|message)|failure (?:notice|delivery)|delayed mail|non[- ]?delivery"
    r"|warning[: -].{0,40}(?:could not send|not delivered|delayed)"
    r"|mail delivery|nondeliverable|could not (?:deliver|send)|postfix smtp server|rejected:|delivery to "
    r"|unzustellbar|nicht zugestellt|(?:fehler bei der |fehlgeschlagene )?zustellung|non remis|non délivré"
    r"|échec (?:de|d')|message non|remise (?:différée|impossible)"
    r"|no se (?:puede|pudo|ha podido) entregar|no entregado|error (?:de|en la) entrega|(?:correo|mensaje) (?:no"
    r"|devuelto)"
    r"|não (?:foi )?(?:possível )?entreg|falha na entrega|mensagem (?:não|devolvida)"
    r"|(?:mancat[oa] )?(?:consegna|recapito)|non recapitabile|impossibile recapitare"
    r"|onbestelbaar|niet (?:bezorgd|afgeleverd)|niedostarczon|nie (?:można |udało się )?dostarcz|olevererbart"
    r"|(?:kan|kunde) inte levereras|ej levererat"
    r"|(?:配信|配送|送信|メール).{0,10}(?:不能|できません|失敗|エラー)|メールエラー|未配信|недоставленн"
    r"|не доставлен|ваше сообщение не доставлено)",
    re.IGNORECASE,
)
_FAILURE = re.compile(
    r"(?:could|can|was|were|has|have|did|do|will|is|been|cannot|unable"
    r"|failed)(?: ?n[o']t)? {1,3}(?:not )?(?:to )?(?:be )?(?:been )?(?:deliver(?:ed|able)?"
    r"|reach(?:ed)? the following|reach your)"
    r"|undeliverable|delivery (?:to|of|has|failed|failure|attempts?|was|is)|(?:wasn'?t|couldn'?t be|isn'?t"
    r"|not(?: yet)?(?: been)?) delivered|did not receive|not received your|returned to sender"
    r"|(?:rejected|refused) (?:by|your|the|for)|was rejected|permanent (?:fatal )?(?:error|failure)|fatal error"
    r"|host unknown|user unknown|unknown user|no such user"
    r"|mailbox (?:is )?full|invalid (?:user|recipient|address)|error message|transcript of session"
    r"|failure reasons|errors? (?:occurred|has occurred|was encountered)|delivery problems?"
    r"|nicht zugestellt|konnte nicht|n'a pas (?:pu|été)|pas pu être|no se (?:pudo|ha podido|puede)|não (?:foi"
    r"|pôde)|non è stato|niet (?:worden )?(?:bezorgd|afgeleverd)"
    r"|nie (?:zosta|mog|uda)|kunde inte|送信できません|配信できません|届きません|送れません|エラー"
    r"|не (?:может быть|было|удалось|доставлено)",
    re.IGNORECASE,
)


def read_report(root: Part, text: str) -> DeliveryReport | None:
    """The report that a mail is, None when it is none. text: the mail's whole text."""
    parts = list(root.walk())
    for part in parts:
        if part.media_type == "message/feedback-report":
            return _read_feedback(part, parts)
        if part.media_type == "message/disposition-notification":
            return _read_disposition(part, parts)
        if part.media_type in _STATUS_TYPES:
            return _read_status(part.text(), root, parts, text, "rfc3464")
    if first(root.headers, "x-loop") == "scomp@aol.com" or re.match(
        r"complaint about message from", first(root.headers, "subject"), re.IGNORECASE
    ):
        return _complaint_in_prose(parts)  # Microsoft's junk mail reporting programme, AOL's old loop
    return _read_prose(root, parts, text)


def _read_status(status: str, root: Part, parts: list[Part], text: str, source: str) -> DeliveryReport:
    groups = [read_field_text(group) for group in _GROUP_BREAK.split(status.strip("\n"))[: limits.RECIPIENTS + 5]]
    recipients = [one for one in map(_read_group, groups) if one is not None]
    headers = _original_headers(parts, text)
    return DeliveryReport(
        kind=ReportKind.DELIVERY,
        recipients=tuple(recipients[: limits.RECIPIENTS]),
        message_ids=_message_ids(root, headers, status, text),
        headers=headers,
        source=source,
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
    headers = _original_headers(parts, "")
    addresses = [_typed_address(value) for value in fields.get("original-rcpt-to", ())]
    addresses += [read_address(value) for value in fields.get("removal-recipient", ())]
    if not any(addresses):
        addresses = [address for _, address in read_addresses(first(headers, "to"))]
    return _feedback(first(fields, "feedback-type").lower() or "abuse", addresses, headers, "rfc5965")


def _complaint_in_prose(parts: list[Part]) -> DeliveryReport:
    headers = _original_headers(parts, "")
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
    headers = _original_headers(parts, "")
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


def _original_headers(parts: list[Part], text: str) -> Headers:
    """The header of the mail reported about: its part, else what stands in the text like one."""
    for part in parts:
        if part.media_type in _ORIGINAL_TYPES:
            headers = read_field_text(part.text().lstrip("\n"))
            if headers:
                return headers
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if not _HEADER_LINE.match(line[:200]):
            continue
        margin = len(line) - len(line.lstrip(" \t>|"))
        block: list[str] = []
        for one in lines[at : at + limits.HEADER_FIELDS]:
            inner = one[margin:] if not one[:margin].strip(" \t>|") else one
            if not inner.strip():
                break
            block.append(inner)
        headers = read_field_text("\n".join(block))
        if "message-id" in headers or ("from" in headers and "to" in headers and "subject" in headers):
            return headers
        if len(block) > 20:
            break
    return MappingProxyType({})


def _message_ids(root: Part, headers: Headers, *texts: str) -> tuple[str, ...]:
    own = set(read_message_ids(first(root.headers, "message-id")))
    found = list(read_message_ids(first(headers, "message-id")))
    for text in texts:
        found += _ID_LINE.findall(text)
    found += read_message_ids(first(root.headers, "in-reply-to"))
    found += reversed(read_message_ids(first(root.headers, "references")))
    return tuple(dict.fromkeys(one for one in found if one not in own))[: limits.MESSAGE_IDS]


def _read_prose(root: Part, parts: list[Part], text: str) -> DeliveryReport | None:
    """A report that only people were meant to read. Everything that is not surely one is None."""
    headers = root.headers
    subject = first(headers, "subject")
    named = FAILED_SUBJECT.search(subject) is not None
    daemon = is_daemon(headers) or root.parameters.get("report-type", "").lower() == "delivery-status"
    listed = [address for value in headers.get("x-failed-recipients", ()) for _, address in read_addresses(value)]
    if not (named or daemon or listed or is_null_sender(headers)):
        return None
    if first(headers, "auto-submitted").lower().startswith("auto-replied") and not (listed or (named and daemon)):
        return None
    told = "\n".join(line[: limits.LIBRARY_LINE] for line in text[:WORDS].split("\n"))
    original = _original_headers(parts, told)
    before = told[: _begin_of_original(told)]
    if _RECIPIENT_LINE.search(told):
        begin = _RECIPIENT_LINE.search(told)
        head = told.rfind("\n\n", 0, begin.start() if begin else 0)
        report = _read_status(told[max(0, head) :], root, parts, told, "rfc3464")
        if report.recipients:
            return report
    coded = bool(ENHANCED.search(before) or REPLY_CODE.search(before)) and _ADDRESS.search(before) is not None
    failing = _FAILURE.search(before) is not None
    if not (
        listed or (named and (failing or coded or daemon)) or (daemon and (failing or coded)) or (failing and coded)
    ):
        return None
    delayed = re.search(
        r"delay|still being retried|will (?:be retried|retry)|warning only|verzögert|will keep trying",
        f"{subject}\n{before}",
        re.IGNORECASE,
    )
    ours = {
        address
        for name in ("to", "cc", "delivered-to", "x-original-to")
        for value in headers.get(name, ())
        for _, address in read_addresses(value)
    }
    addresses, source = _failed_addresses(root, before, original, listed, ours)
    action = (
        "delayed"
        if delayed and not re.search(r"giv(?:e|ing|en) up|failed permanently|permanent", before, re.IGNORECASE)
        else "failed"
    )
    return DeliveryReport(
        kind=ReportKind.DELIVERY,
        recipients=tuple(_describe(one, before, action) for one in addresses[: limits.RECIPIENTS]),
        message_ids=_message_ids(root, original, told),
        headers=original,
        source=source,
    )


WORDS = 24_000
"""Characters of a report in prose that are looked at."""

_COPY = re.compile(
    r"^[- >*=_]{0,80}(?:(?:below|this) .{0,30}(?:copy of|line)|(?:original|returned|undelivered) (?:message"
    r"|mail)|the headers? of the|message (?:header|text|details)"
    r"|included is a copy|start of returned|forwarded message|old message|original mail as follows"
    r"|unsent message|.{0,20}copy of (?:the|your) (?:original )?message)",
    re.IGNORECASE | re.MULTILINE,
)


def _begin_of_original(text: str) -> int:
    found = [
        m.start()
        for m in (
            _COPY.search(text, 1),
            re.search(r"^(?:Received|Return-Path|DKIM-Signature):", text, re.MULTILINE | re.IGNORECASE),
        )
        if m
    ]
    return min(found, default=len(text)) or len(text)


def _failed_addresses(
    root: Part, before: str, original: Headers, listed: list[str], ours: set[str]
) -> tuple[list[str], str]:
    """Who was not reached, and which reading says so."""
    if listed:
        return list(dict.fromkeys(listed)), "prose"
    library = [one for one in _ask_library(root) if one not in ours]
    if library:
        return library, "flufl"
    written_to = [
        address for name in ("to", "cc") for value in original.get(name, ()) for _, address in read_addresses(value)
    ]
    named = [normalize_address(one) for one in _ADDRESS.findall(before)]
    senders = {read_address(first(original, "from")), read_address(first(original, "return-path")), *ours}
    named = [
        one
        for one in dict.fromkeys(named)
        if one and one not in senders and not one.startswith(("postmaster@", "mailer-daemon@"))
    ]
    both = [one for one in named if one in written_to]
    return (both or named[:5] or [one for one in written_to if one not in senders]), "prose"


def _describe(address: str, text: str, action: str) -> ReportedRecipient:
    """What prose says about an address: the paragraph it stands in, else the whole."""
    at = text.lower().find(address.partition("@")[0])
    near = text[max(0, at - 100) : at + 700] if at >= 0 else text
    words = (
        near
        if (ENHANCED.search(near) or REPLY_CODE.search(near) or GONE.search(near) or PASSING.search(near))
        else text
    )
    status = find_status(words)
    found = next(
        (m for m in (ENHANCED.search(words), REPLY_CODE.search(words), GONE.search(words), PASSING.search(words)) if m),
        None,
    )
    diagnostic = tidy_line(words[max(0, found.start() - 20) : found.start() + 400] if found else words)
    return ReportedRecipient(
        address=address,
        action=action,
        status=status,
        diagnostic=diagnostic[: limits.DIAGNOSTIC_CHARACTERS],
        permanent=is_permanent(action, status, words),
    )


def _ask_library(root: Part) -> list[str]:
    """The addresses flufl.bounce finds, failed for good or not."""
    try:
        temporary, permanent = all_failures(_as_message(root))
    except Exception:  # noqa: BLE001  a detector that trips over a hostile mail has found nothing
        return []
    found = sorted(
        one.decode("ascii", "replace") if isinstance(one, bytes) else str(one) for one in {*temporary, *permanent}
    )
    return [address for address in map(normalize_address, found) if address and is_plausible(address)]


def _as_message(part: Part) -> Message:
    """A part as the standard library has it, built by hand and small: nothing is parsed again."""
    message = Message()
    for name in ("from", "to", "subject", "content-type", "x-mailer"):
        if value := first(part.headers, name):
            message[name] = value[: limits.LIBRARY_LINE].encode("ascii", "replace").decode("ascii")
    if part.parts:
        for inner in part.parts:
            message.attach(_as_message(inner))
    elif part.media_type.startswith("message/"):
        message.set_payload([Message()])
    elif part.media_type.startswith("text/"):
        lines = part.text()[:WORDS].encode("ascii", "replace").decode("ascii").split("\n")
        message.set_payload("\n".join(line[: limits.LIBRARY_LINE] for line in lines))
    return message
