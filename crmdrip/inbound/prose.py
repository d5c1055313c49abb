"""Failed deliveries that a mail system reported in prose, for people: everything that is not RFC 3464.

flufl.bounce knows many of the forms; beyond it there is the shape that all of them share: a mail system that writes, a
failure in words or in codes, an address, and the header of the original. What a person writes about a delivery has not
got that shape, however often it says "undeliverable".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from email.message import Message

from flufl.bounce import all_failures

from crmdrip.core.inbound import DeliveryReport, ReportedRecipient, ReportKind
from crmdrip.core.keys import normalize_address
from crmdrip.inbound import limits
from crmdrip.inbound.addresses import is_plausible, read_address, read_addresses
from crmdrip.inbound.diagnosis import ENHANCED, GONE, PASSING, REPLY_CODE, find_status, is_permanent
from crmdrip.inbound.machines import Evidence, first, is_daemon, is_null_sender, weigh
from crmdrip.inbound.mime import Part, tidy_line
from crmdrip.inbound.originals import find_headers, find_message_ids

# Tells at INFO which detector runs and at ERROR, with a traceback, that a hostile mail made one trip: no news.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)

Headers = Mapping[str, tuple[str, ...]]

WORDS = 24_000
"""Characters of a report in prose that are looked at."""

_ADDRESS = re.compile(
    r"(?<![\w.=+-])[A-Za-z0-9][\w.!#$%&'*/=?^`{|}~+-]{0,63}@[A-Za-z0-9][A-Za-z0-9.-]{0,200}\.[A-Za-z]{2,24}(?![\w@-])"
)

_FAILED_SUBJECT = re.compile(
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


_UNREACHED = re.compile(
    r"(?:(?:could|can|was|were|has|have) ?n[o']t (?:be |been )?delivered|undeliverable|unable to deliver"
    r"|delivery failed)"
    r".{0,60}?[<\s](?:[^\s<>@]{1,64}@[^\s<>@]{1,200})",
    re.IGNORECASE,
)
"""A failure and whom it concerns in one line: enough where the reverse path is empty."""
_DELAYED = re.compile(
    r"delay|still being retried|will (?:be retried|retry)|warning only|verzögert|will keep trying", re.IGNORECASE
)
_GIVEN_UP = re.compile(r"giv(?:e|ing|en) up|failed permanently|permanent", re.IGNORECASE)
_HEADER_BEGINS = re.compile(r"^(?:Received|Return-Path|DKIM-Signature):", re.MULTILINE | re.IGNORECASE)
_COPY = re.compile(
    r"^[- >*=_]{0,80}(?:(?:below|this) .{0,30}(?:copy of|line)|(?:original|returned|undelivered) (?:message"
    r"|mail)|the headers? of the|message (?:header|text|details)"
    r"|included is a copy|start of returned|forwarded message|old message|original mail as follows"
    r"|unsent message|.{0,20}copy of (?:the|your) (?:original )?message)",
    re.IGNORECASE | re.MULTILINE,
)


def read_prose(root: Part, text: str) -> DeliveryReport | None:
    """The failed delivery that a mail reports in prose. Everything that is not surely one is None."""
    headers = root.headers
    listed = [address for value in headers.get("x-failed-recipients", ()) for _, address in read_addresses(value)]
    if first(headers, "auto-submitted").lower().startswith("auto-replied") and not (listed or is_daemon(headers)):
        return None  # an absence notice, whatever it says about deliveries
    told = "\n".join(line[: limits.LIBRARY_LINE] for line in text[:WORDS].split("\n"))
    original = find_headers(list(root.walk()), told)
    before = told[: _begin_of_original(told)]
    if not (listed or _is_failure(root, before, original)):
        return None
    ours = {
        address
        for name in ("to", "cc", "delivered-to")
        for value in headers.get(name, ())
        for _, address in read_addresses(value)
    }
    addresses, source = _failed_addresses(root, before, original, listed, ours)
    late = _DELAYED.search(f"{first(headers, 'subject')}\n{before}") and not _GIVEN_UP.search(before)
    action = "delayed" if late else "failed"
    return DeliveryReport(
        kind=ReportKind.DELIVERY,
        recipients=tuple(_describe(one, addresses, before, action) for one in addresses[: limits.RECIPIENTS]),
        message_ids=find_message_ids(root, original, told),
        headers=original,
        source=source,
    )


def _is_failure(root: Part, before: str, original: Headers) -> bool:
    """Whether a mail system says that a delivery failed. before: the text above the original mail."""
    headers = root.headers
    named = _FAILED_SUBJECT.search(first(headers, "subject")) is not None
    daemon = is_daemon(headers) or root.parameters.get("report-type", "").lower() == "delivery-status"
    null = is_null_sender(headers)
    failing = _FAILURE.search(before) is not None
    coded = bool(ENHANCED.search(before) or REPLY_CODE.search(before)) and _ADDRESS.search(before) is not None
    if daemon:
        return named or failing or coded
    if null:
        return (named and (failing or coded)) or (failing and coded) or _UNREACHED.search(before) is not None
    if not named:
        return False
    # A person, too, writes "Delivery problem" above a mail about a parcel.
    machine = weigh(headers)[0] is not Evidence.NONE
    return coded or (failing and (machine or bool(original)))


def _begin_of_original(text: str) -> int:
    found = [
        m.start()
        for m in (
            _COPY.search(text, 1),
            _HEADER_BEGINS.search(text),
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
    senders = {read_address(first(original, "from")), read_address(first(original, "return-path")), *ours}
    written_to = [
        address for name in ("to", "cc") for value in original.get(name, ()) for _, address in read_addresses(value)
    ]
    library = [one for one in _ask_library(root) if one not in senders]
    named = [one for one in map(normalize_address, _ADDRESS.findall(before)) if one and one not in senders]
    named = [one for one in dict.fromkeys(named) if not one.startswith(("postmaster@", "mailer-daemon@"))]
    # An address we wrote to is surer than any that merely stands there: Message-IDs look like addresses, too.
    for found, source in ((library, "flufl"), (named, "prose")):
        if both := [one for one in found if one in written_to]:
            return both, source
    if library:
        return library, "flufl"
    return (named[:5] or [one for one in written_to if one not in senders]), "prose"


def _describe(address: str, everybody: list[str], text: str, action: str) -> ReportedRecipient:
    """What prose says about an address: what follows it up to the next one's, else the whole."""
    lower = text.lower()
    at = lower.find(address)
    following = [place for one in everybody if one != address and (place := lower.find(one, at + 1)) >= 0]
    near = (
        text[max(0, at - 100) if len(everybody) == 1 else at : min(at + 700, *following, len(text))]
        if at >= 0
        else text
    )
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
