"""What a person wrote now, apart from the history below, their signature, and the notices their company adds.

Own rules first: every line is looked at once, with its two neighbours at most. Only where they find no history, and
the text is short, mail-parser-reply is asked, whose patterns know more wordings but backtrack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailparser_reply import EmailReplyParser

from crmdrip.inbound import limits
from crmdrip.inbound.markup import HISTORY_MARK


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """A mail's text in its parts, each trimmed."""

    newest: str
    signature: str
    """Signature, "Sent from my ..." and legal notices that follow the newest part."""
    quoted: str
    fenced: bool
    """Whether anything marked the history, so that there surely is one."""


_LABELS = {
    "from": "from|von|de|da|van|od|från|fra|expéditeur|remetente|mittente|afzender|nadawca|avsändare|absender"
    "|差出人|送信者|送信元|发件人|от|lähettäjä|kimden|보낸 사람",
    "sent": "sent|date|gesendet|datum|envoyé|envoye|enviado|enviada em|enviado el|enviado em|data|inviato"
    "|verzonden|wysłano|wyslano|skickat|sendt|dato|fecha"
    "|送信日時|日付|日時|发送时间|보낸 날짜"
    "|отправлено|дата|lähetetty|odesláno|gönderilen|gönderilme tarihi",
    "to": "to|an|à|para|a|aan|do|till|til|destinataire|destinatario|cc|kopia|kopie|copie|宛先|收件人"
    "|кому|vastaanottaja|komu|kime|받는 사람",
    "subject": "subject|betreff|objet|asunto|assunto|oggetto|onderwerp|temat|ämne|emne|件名|主题"
    "|тема|aihe|předmět|konu|제목",
}
_LABELLED = re.compile(
    r"[>*_ \t]*+(?:"
    + "|".join(f"(?P<{name}>{words})" for name, words in _LABELS.items())
    + r")[*_ ]{0,4}(?: )?[:：][*_]{0,3}",
    re.IGNORECASE,
)

_SEPARATOR = re.compile(
    r"[>\s]*[-_=]{2,}+\s*(?:original message|original appointment|forwarded message|begin forwarded message"
    r"|(?:ursprüngliche|weitergeleitete|original) ?-?(?:nachricht|e-?mail|termin)|original-?nachricht"
    r"|message (?:d'origine|d’origine|original|transféré)|mensaje (?:original|reenviado)"
    r"|mensagem (?:original|encaminhada)|messaggio (?:originale|inoltrato)"
    r"|oorspronkelijk bericht|doorgestuurd bericht|(?:oryginalna|przekazana) wiadomość"
    r"|wiadomość (?:oryginalna|przekazana)"
    r"|(?:ursprungligt|vidarebefordrat|vidarebefordrade) (?:meddelande|brev)"
    r"|oprindelig meddelelse|opprinnelig melding|元のメッセージ|転送メッセージ|original message from .{0,80})"
    r"\s*[-_=]{2,}\s*",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"\s*(?:begin forwarded message|anfang der weitergeleiteten (?:nachricht|e-mail)|début du (?:message|courriel)"
    r" (?:transféré|réexpédié)|inizio messaggio inoltrato|inicio del mensaje reenviado|início da mensagem"
    r" (?:reencaminhada|encaminhada)|begin doorgestuurd bericht|vidarebefordrat (?:brev|mejl)"
    r"|początek przekazywanej wiadomości|転送されたメッセージ)\s*[:：]?\s*",
    re.IGNORECASE,
)
_RULE = re.compile(r"\s*[-_=*]{3,}\s*")

_OPENER = re.compile(
    r"[>\s]*(?:(?:on|am|le|el|em|no dia|a|il(?: giorno)?|in data|op|w dniu|dnia|den|på|vid|pe|dne)\b|\d"
    r"|\w{2,9}[.,]{0,2} \d|\w{2,9}, )",
    re.IGNORECASE,
)
_WROTE = re.compile(
    r"\b(?:wrote|writes|schrieb|geschrieben|a écrit|écrit|escribió|escribio|escreveu|ha scritto|scritto|schreef"
    r"|napisał(?:\(a\)|\(-a\)|a)?|pisze|skrev|kirjoitti|написал)|(?:書きました|のメール|:書く|写道)",
    re.IGNORECASE,
)
_DATED = re.compile(r"\d{1,2}[:.h]\d{2}|\b\d{4}\b|\d{1,2}[./-]\d{1,2}|\d{1,2}月")
_ADDRESSED = re.compile(
    r"[<\[(](?:mailto:)?[^\s<>]{1,200}@[^\s<>]{1,200}[>\])]|[^\s<>]{1,64}@[^\s<>]{1,100}\.[a-z]{2,}"
)
_JAPANESE = re.compile(r"\d{4}年\s?\d{1,2}月\s?\d{1,2}日.{0,60}[:：]\s*$")

_SIGNATURE = re.compile(r"(?:--|—|__)[ \u200b]?")
_DEVICE = re.compile(
    r"(?:sent (?:from|via|with) (?:my|outlook|yahoo|proton|mail|iphone|ipad|android|samsung|gmail|blackberry"
    r"|the all-new)"
    r"|get outlook for|(?:von meinem|gesendet (?:von|mit)) .{0,40}|von .{0,30} gesendet"
    r"|envoyé (?:de|depuis|à partir de) |enviado (?:desde|do|a partir|de) (?:mi|meu|o|un|el) ?|obtener outlook"
    r"|obter o outlook|inviato da(?:l| )|verzonden (?:vanaf|met|vanuit) |wysłan[eoy] z |skickat från |sendt fra "
    r"|hämta outlook|téléchargez outlook|télécharger outlook|outlook für |scarica outlook|pobierz outlook"
    r"|outlook voor |(?:iphone|ipad|android|スマートフォン)から送信|outlook for (?:ios|android)|ios 版 outlook)",
    re.IGNORECASE,
)
_NOTICE = re.compile(
    r"[*_\s]*(?:(?:legal |important )?(?:disclaimer|confidentiality)(?: notice| note| statement)?\b[:.*\s]*$"
    r"|confidentiality(?: notice)?[:*]|disclaimer:|legal notice[:.]"
    r"|(?:this|the information (?:contained )?in this|the contents? of this) (?:e-?mail|message|communication"
    r"|transmission)"
    r"[^.]{0,120}(?:confidential|intended|privileged)"
    r"|diese (?:e-?mail|nachricht)[^.]{0,80}(?:vertraulich|enthält|ist)"
    r"|ce (?:message|courriel|mail)[^.]{0,100}(?:confidentiel|destiné|adressé)"
    r"|este (?:mensaje|correo|mensagem|e-?mail)[^.]{0,100}(?:confidencial|dirigid)"
    r"|esta mensagem[^.]{0,100}confidencia"
    r"|(?:questo messaggio|la presente (?:e-?mail|comunicazione)|le informazioni contenute)"
    r"|dit (?:e-?mail)?bericht[^.]{0,80}(?:vertrouwelijk|bestemd)|de informatie (?:in"
    r"|verzonden)[^.]{0,60}vertrouwelijk"
    r"|(?:niniejsza|ta) wiadomość[^.]{0,80}(?:poufn|przeznaczon)|detta (?:e-?post)?meddelande[^.]{0,80}konfidentiel"
    r"|このメールには.{0,60}機密|please consider the environment)",
    re.IGNORECASE,
)
# What a gateway puts above a mail from outside. Ours was outside to them, too: it stands in what they quote.
_BANNER = re.compile(
    r"[*\[(\s]*(?:caution|external(?: e-?mail| sender)?|warning|attention|achtung|extern(?:e e-?mail)?|vorsicht"
    r"|avertissement|precaución|cuidado|attenzione|let op|uwaga|varning)[\])*]{0,3}[:!\s].{0,300}"
    r"(?:originated|outside|external|unknown|sender|links?|anhäng|absender|extern|expéditeur|liens|remitente|adjuntos"
    r"|enlaces|externo|links|mittente|afzender|nadawc|avsändare).{0,300}",
    re.IGNORECASE,
)

LOOKAHEAD = 8
"""Lines in which a block of "From:, Sent:, Subject:" must show itself."""


def split_text(text: str) -> Split:
    """The newest part and the rest. Nothing is lost but marks, and lines and blanks between the parts."""
    every = text.split("\n")
    lines, beyond = every[: limits.LINES], every[limits.LINES :]
    marked = HISTORY_MARK in text
    newest, history = _part(lines)
    fenced = bool(history)
    if not any(line.strip() for line in newest) and history:
        newest, history = _unwrap(lines)
    if not fenced and (cut := _ask_library(newest)) is not None:
        newest, history, fenced = newest[:cut], newest[cut:], True
    while history and newest and (not newest[-1].strip() or _RULE.fullmatch(newest[-1][:200])):
        newest.pop()  # the line drawn above the history
    newest, signature = _part_signature(_drop_banner(newest))
    return Split(
        newest=_join(newest), signature=_join(signature), quoted=_join(history + beyond), fenced=fenced or marked
    )


def _join(lines: list[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines if line.strip() != HISTORY_MARK).strip("\n")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _part(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines before the history and between its quoted lines, and the history."""
    newest: list[str] = []
    history: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if _is_quoted(line) or _is_wrapped(lines, at):
            history.append(line)
            at += 1
        elif length := _heading(lines, at):
            history.extend(lines[at : at + length])
            at += length
            rest = lines[at:]
            if not _answered_inside(rest):
                history.extend(rest)
                break
        else:
            newest.append(line)
            at += 1
    return newest, history


def _is_quoted(line: str) -> bool:
    return line.lstrip().startswith((">", "|>", "＞"))


def _is_wrapped(lines: list[str], at: int) -> bool:
    """Whether a line is what a mail program broke off a quoted one that had become too long."""
    return (
        0 < at < len(lines) - 1
        and 0 < len(lines[at]) < 40
        and len(lines[at - 1]) >= 65
        and _is_quoted(lines[at - 1])
        and _is_quoted(lines[at + 1])
    )


def _heading(lines: list[str], at: int) -> int:
    """How many lines from here announce the history; 0 when none do."""
    line = lines[at]
    if not line.strip():
        return 0
    if HISTORY_MARK in line or _SEPARATOR.fullmatch(line[:200]) or _FORWARDED.fullmatch(line[:200]):
        return 1
    if _RULE.fullmatch(line[:200]):
        following = next((n for n in range(at + 1, min(at + 4, len(lines))) if lines[n].strip()), None)
        return following - at if following is not None and _is_block(lines, following) else 0
    if _is_block(lines, at):
        return 1
    return _attribution(lines, at)


def _is_block(lines: list[str], at: int) -> bool:
    """Whether "From:" with its companions begins here."""
    first = _LABELLED.match(lines[at][:100])
    if first is None or first.lastgroup not in ("from", "sent", "subject"):
        return False
    seen = {first.lastgroup}
    for line in lines[at + 1 : at + LOOKAHEAD]:
        if (labelled := _LABELLED.match(line[:100])) is not None and labelled.lastgroup:
            seen.add(labelled.lastgroup)
    return ("from" in seen and len(seen) >= 3) or (first.lastgroup == "from" and {"from", "subject"} <= seen)


def _attribution(lines: list[str], at: int) -> int:
    """The length of "On <date>, <name> wrote:", which programs wrap over up to three lines."""
    joined = ""
    for length in range(1, 4):
        if at + length > len(lines):
            return 0
        line = lines[at + length - 1].strip()
        if not line:
            return 0
        joined = f"{joined} {line}".strip()[:400]
        if _RULE.fullmatch(line[:200]):
            return 0
        if line.endswith((":", "：", ": >")):
            if length > 1 and not (_OPENER.match(lines[at][:100]) or _ADDRESSED.search(lines[at][:300])):
                return 0
            following = next((one for one in lines[at + length : at + length + 3] if one.strip()), "")
            return length if _is_attribution(joined, quoted_next=_is_quoted(following)) else 0
    return 0


def _is_attribution(text: str, *, quoted_next: bool) -> bool:
    wrote = _WROTE.search(text[-160:]) is not None
    dated = _DATED.search(text) is not None
    addressed = _ADDRESSED.search(text) is not None
    if quoted_next and (wrote or dated or addressed):
        return True
    if _JAPANESE.search(text):
        return True
    return (addressed and dated) or (wrote and dated and _OPENER.match(text) is not None) or (wrote and addressed)


def _answered_inside(rest: list[str]) -> bool:
    """Whether the history that follows is quoted line by line, so that what is not quoted is an answer to it."""
    shown = [line for line in rest if line.strip() and HISTORY_MARK not in line]
    return bool(shown) and _is_quoted(shown[0])


def _unwrap(lines: list[str]) -> tuple[list[str], list[str]]:
    """A mail that begins with what looks like history: the block on top is its own heading, or all is forwarded."""
    begin = next((n for n, line in enumerate(lines) if line.strip() and HISTORY_MARK not in line), 0)
    if not _is_block(lines, begin):
        return [], lines
    at = begin
    while at < len(lines) and at < begin + LOOKAHEAD and lines[at].strip():
        if _LABELLED.match(lines[at][:100]) is None and at > begin + 5:
            break
        at += 1
    newest, history = _part(lines[at:])
    return newest, lines[:at] + history


_LIBRARY = EmailReplyParser(languages=["en", "de", "fr", "es", "pt", "it", "nl", "pl", "sv", "ja", "da", "cs", "ko"])


def _ask_library(lines: list[str]) -> int | None:
    """The line at which mail-parser-reply sees the history begin; None when it sees none."""
    if not any(line.rstrip().endswith((":", "：")) for line in lines) or len(lines) > limits.LIBRARY_LINES:
        return None
    short = [line.strip()[: limits.LIBRARY_LINE] for line in lines]
    replies = _LIBRARY.read("\n".join(short)).replies
    if len(replies) < 2 or not replies[0].content.strip():
        return None
    kept = replies[0].content.strip().count("\n") + 1
    blank = next((n for n, line in enumerate(short) if line), 0)
    return blank + kept if any(short[blank + kept :]) else None


def _drop_banner(lines: list[str]) -> list[str]:
    begin = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if begin < len(lines) and _BANNER.fullmatch(lines[begin][:700]):
        rest = lines[begin + 1 :]
        return rest if any(line.strip() for line in rest) else lines
    return lines


def _part_signature(lines: list[str]) -> tuple[list[str], list[str]]:
    """The text and what follows it; a text that is all signature stays a text."""
    for at, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or not any(one.strip() for one in lines[:at]):
            continue
        if (
            _SIGNATURE.fullmatch(stripped)
            or re.fullmatch(r"_{15,}", stripped[:200])
            or (len(stripped) < 120 and _DEVICE.match(stripped))
            or _NOTICE.match(stripped[:400])
        ):
            return lines[:at], lines[at:]
    return lines, []
