"""What kind of mail an inbound mail is (B7, B8, B22).

Headers first, then the subject, then the newest text, in ten languages. Quoted history never decides: it is our own
words, or a stranger's. In doubt it is a person's reply, because a person who is taken for a machine is written to
again, and a machine that is taken for a person only costs a touch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime

from crmdrip.core.inbound import CalendarMethod, InboundMail, MailKind, Reading, ReportKind
from crmdrip.inbound import limits
from crmdrip.inbound.absence import find_return
from crmdrip.inbound.languages import Language, fold, rank_languages
from crmdrip.inbound.machines import Evidence, weigh
from crmdrip.inbound.notice import engages, is_notice, tells_who_is_gone

_RE = re.compile(
    r"(?:re|aw|sv|vs|antw|odp|r|rif|ref|res|rv|tr|fwd?|wg|doorst|enc|i|pd|回复|答复|返信)(?: ?\[\d{1,3}\])? ?:"
)
_TAG = re.compile(r"(?:\[[^\]]{1,30}\]|\*+[^*]{1,30}\*+|(?:external|ext|extern)\s?:)\s?")
_TICKET = re.compile(
    r"[\[(] ?(?:[a-z]{1,12}[ :_#-]{0,3}){0,2}#?\d{4,12} ?[\])]"
    r"|\b(?:ticket|case|request|incident|sr|inc|req|vorgang|anfrage|dossier|demande|caso|solicitud|expediente|chamado"
    r"|protocolo|pedido|pratica|richiesta|zaak|zaaknummer|verzoek|zgloszenie|sprawa|arende|arendenummer)"
    r"(?: (?:id|no\.?|number|nr\.?|numero|n\.))? ?[:#-]{0,2} ?[a-z]{0,5}-?\d{4,12}\b"
    r"|(?:受付|お問い?合わ?せ|管理|整理)番号"
)
"""The mark by which a help desk finds its cases again."""
_ANSWERED = re.compile(
    r"(?:(?:tentatively )?accepted|declined|tentative|(?:mit vorbehalt )?zugesagt|angenommen|abgelehnt"
    r"|mit vorbehalt|accepte|refuse|provisoire"
    r"|aceptad[oa]|rechazad[oa]|aceite|recusad[oa]|accettat[oa]|rifiutat[oa]|geaccepteerd|geweigerd|afgewezen"
    r"|voorlopig"
    r"|zaakceptowano|odrzucono|accepterat|avbojt|avvisat|承諾|承諾済み|辞退|仮承諾|new time proposed|canceled"
    r"|cancelled|abgesagt) ?: "
)
_JUST_UNSUBSCRIBE = re.compile(
    r"(?:please )?(?:unsubscribe|remove(?: me)?|opt[ -]?out|stop|abmelden|austragen|desinscription|baja"
    r"|cancelar|cancellami|uitschrijven|wypisz|avregistrera|配信停止(?:希望)?|解除)[ .!]*"
)
_MAILTO_SUBJECT = re.compile(r"unsubscribe(?:[ :].{0,200})?|list-unsubscribe.{0,100}")
_SPEECH = re.compile(r'"[^"]{1,200}"')
_SENTENCE = re.compile(r"(?<=[.!?])\s|(?<=[。！？])")

_NOT = re.compile(
    r"\b(?:not?|don.t|never|nicht|keine?|pas|sin|nao|non|niet|geen|nie|inte|ej|why|warum|pourquoi)\b|ない"
)

_BY_LIST = ("header:list-", "header:precedence", "header:mailing-list", "header:x-mailing-list", "header:x-ml")
_NOTICES = ("automatic", "away", "left")

NOTICE = 1_200
"""Characters of the longest notice of a person's; what lists send is longer."""
COMMENT = 200
"""Characters of a comment that comes with the answer to an invitation."""
SHORT = 40
"""Characters of a mail that is nothing but a command."""
RECENT = timedelta(days=3)
"""How far the sender's own clock may be off before it is not believed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What is looked at: the folded subject without tags, and the folded newest text."""

    subject: str
    answers: bool
    """Whether the subject begins as an answer's does."""
    text: str
    lines: tuple[str, ...]
    languages: tuple[Language, ...]
    """All, the likeliest first."""
    likely: tuple[Language, ...]
    """Those the text can be in."""
    ticket: bool
    """Whether a help desk's mark is in the subject."""
    names: tuple[str, ...]
    """Folded: the sender's own."""


def classify(mail: InboundMail, received: datetime) -> Reading:
    """What the mail is. received: when it came in, aware; weekdays and missing years are told from it."""
    if mail.report is not None:
        kind, why = {
            ReportKind.FEEDBACK: (MailKind.COMPLAINT, "report:feedback"),
            ReportKind.DISPOSITION: (MailKind.RECEIPT, "report:disposition"),
            ReportKind.DELIVERY: (MailKind.BOUNCE, "report:delivery"),
        }[mail.report.kind]
        return Reading(kind=kind, why=why, report=mail.report)
    if mail.calendar is not None and mail.calendar.method is not CalendarMethod.OTHER:
        return Reading(kind=MailKind.CALENDAR, why=f"calendar:{mail.calendar.method}")
    if not mail.sender and not mail.text and not mail.subject:
        return Reading(kind=MailKind.UNREADABLE, why="nothing")
    seen = _look(mail)
    asked = _JUST_UNSUBSCRIBE.fullmatch(seen.subject) is not None and (not seen.text or bool(_asks_to_stop(seen)))
    if asked or (_MAILTO_SUBJECT.fullmatch(seen.subject) and len(seen.text) < COMMENT):
        return Reading(kind=MailKind.UNSUBSCRIBE, why="subject:unsubscribe")
    if not seen.answers and _ANSWERED.match(seen.subject) and len(seen.text) < COMMENT:
        return Reading(kind=MailKind.CALENDAR, why="subject:answered")
    return _read_machine(mail, seen, received) or _read_person(mail, seen)


def _look(mail: InboundMail) -> _Seen:
    subject = fold(mail.subject)
    for _ in range(3):
        subject = subject[found.end() :] if (found := _TAG.match(subject)) else subject
    raw = mail.text[: limits.WORDS_CHARACTERS]
    text = fold(raw)
    languages, likely = rank_languages(f"{text} {subject}")
    return _Seen(
        subject=subject,
        answers=_RE.match(subject) is not None,
        text=text,
        lines=tuple(line for line in map(fold, raw.split("\n")) if line),
        languages=languages,
        likely=likely,
        ticket=_TICKET.search(fold(mail.subject)) is not None,
        names=_names(mail.sender_name, languages),
    )


def _read_machine(mail: InboundMail, seen: _Seen, received: datetime) -> Reading | None:
    """What a machine wrote, None when a person did."""
    evidence, why = weigh(mail.headers)
    words = list(_machine_words(seen))
    language = words[0][1] if words else ""
    said = {kind for kind, _ in words}
    engaged = bool(engages(seen.text, seen.likely))
    if "receipt" in said and not seen.answers and len(seen.text) < 600:
        return Reading(kind=MailKind.RECEIPT, why="subject:receipt", language=language)
    automatic = evidence is Evidence.SURE
    if evidence is Evidence.WEAK:
        noticed = bool(said & {"subject", "topic", "machine", "formal", "acknowledged"})
        if not engaged:
            # A "no-reply" that wants nothing, one word of an absence: beside the field that is enough.
            noticed = noticed or why == "header:from" or _count_acknowledgements(seen) > 0
            noticed = noticed or bool(_hit("away", seen.likely, seen))
        automatic = noticed or not (seen.text and (seen.answers or (mail.in_reply_to and (mail.quoted or engaged))))
    if not automatic and "subject" in said and not (mail.quoted and engaged):
        automatic, why = True, "subject"
    if not automatic and "topic" in said and not engaged and (not mail.quoted or _bears_out(seen)):
        automatic, why = True, "subject"
    if not automatic and "case" in said and said & {"machine", "acknowledged", "received"} and not engaged:
        automatic, why = True, "subject"
    if not automatic and "machine" in said and not (mail.quoted and (engaged or seen.answers) and not seen.ticket):
        automatic, why = True, "words:machine"
    if not automatic and said & {"machine", "acknowledged", "received"} and _is_sent_by_itself(seen):
        automatic, why = True, "words:notice"
    if not automatic and "formal" in said and not engaged and not mail.quoted:
        automatic, why = True, "words:absence"
    if not automatic and "acknowledged" in said and not engaged and not mail.quoted:
        automatic, why = True, "words:acknowledgement"
    return _describe_machine(mail, seen, why, received) if automatic else None


def _bears_out(seen: _Seen) -> bool:
    """Whether the text is that of a notice, as its subject has it: whole, or by a formula no person uses."""
    formal = any(one.search(seen.text) for language in seen.likely for one in language.formulas)
    return not seen.text or formal or is_notice(seen.text, seen.likely)


def _is_sent_by_itself(seen: _Seen) -> bool:
    """Whether it is a notice from the first sentence to the last, and not under the subject of a person's answer."""
    return (seen.ticket or not seen.answers) and is_notice(seen.text, seen.likely)


def _describe_machine(mail: InboundMail, seen: _Seen, why: str, received: datetime) -> Reading:
    """Which of the things that machines say it is."""
    if len(seen.text) > NOTICE and why.startswith(_BY_LIST) and not any(_subject_hit(one, seen) for one in _NOTICES):
        return Reading(kind=MailKind.AUTO_REPLY, why=why)  # a newsletter, whatever it tells of absences
    left = _hit("left_surely", seen.languages, seen) or _hit("gone", seen.languages, seen)
    if left:
        return Reading(kind=MailKind.LEFT_COMPANY, why=f"{why} words:left", language=left)
    away = _hit("away", seen.languages, seen) or _subject_hit("away", seen)
    left = "" if away else _names_who_left(seen, seen.languages)
    if left:
        return Reading(kind=MailKind.LEFT_COMPANY, why=f"{why} words:left", language=left)
    # Without a word of an absence a day of return is one, unless it is when somebody will answer.
    until, told = _find_return(mail, seen, received) if away or not _count_acknowledgements(seen) else (None, "")
    if until is not None:
        return Reading(kind=MailKind.OUT_OF_OFFICE, why=f"{why} words:away", until=until, language=told or away)
    left = _hit("left", seen.languages, seen) or _subject_hit("left", seen)
    if left:
        return Reading(kind=MailKind.LEFT_COMPANY, why=f"{why} words:left", language=left)
    if away and not (_count_acknowledgements(seen) >= 2 and not _subject_hit("away", seen)):
        return Reading(kind=MailKind.OUT_OF_OFFICE, why=f"{why} words:away", language=away)
    return Reading(kind=MailKind.AUTO_REPLY, why=why)


def _machine_words(seen: _Seen) -> Iterator[tuple[str, str]]:
    """Which signs of a machine are in subject and text, each with its language."""
    for language in seen.languages:
        if not seen.answers:
            if language.subject["receipt"].match(seen.subject):
                yield "receipt", language.code
            if language.subject["automatic"].match(seen.subject):
                yield "subject", language.code
            if any(language.subject[name].match(seen.subject) for name in ("away", "left")):
                yield "topic", language.code  # a person may choose it, too
            if language.subject["acknowledged"].match(seen.subject):
                yield "case", language.code
        if language.words["machine"].search(seen.text):
            yield "machine", language.code
        if (
            language.words["away"].search(seen.text)
            and sum(bool(one.search(seen.text)) for one in language.formulas) >= 2
        ):
            yield "formal", language.code
    if received := _count_acknowledgements(seen):
        yield ("acknowledged" if received >= 2 else "received"), ""


def _count_acknowledgements(seen: _Seen) -> int:
    return max(sum(bool(one.search(seen.text)) for one in language.acknowledgements) for language in seen.languages)


def _hit(table: str, languages: tuple[Language, ...], seen: _Seen) -> str:
    """The first of the languages with a phrase of the table in the text, "" when none has."""
    return next((one.code for one in languages if one.words[table].search(seen.text)), "")


def _subject_hit(table: str, seen: _Seen) -> str:
    return next((one.code for one in seen.languages if one.subject[table].match(seen.subject)), "")


def _find_return(mail: InboundMail, seen: _Seen, received: datetime) -> tuple[date | None, str]:
    """The day the person is back, and the language that said it."""
    day, offset = _sender_day(mail, received)
    text = f"{seen.text} . {seen.subject}"
    speaking = [one for one in seen.languages if one.words["away"].search(seen.text)]
    guess: tuple[date | None, str] = (None, "")
    for language in (*speaking, *(one for one in seen.likely[:3] if one not in speaking)):
        month_first = language.code == "ja" or (language.code == "en" and offset <= timedelta(hours=-3))
        found = find_return(text, language, day, month_first=month_first)
        if found is not None and found.told:
            return found.day, language.code
        if found is not None and guess[0] is None and speaking:
            guess = found.day, language.code
    return guess


def _sender_day(mail: InboundMail, received: datetime) -> tuple[date, timedelta]:
    """The day it was at the sender's, and their offset from UTC, which tells America's dates from the others'."""
    try:
        sent = parsedate_to_datetime(mail.header("date")[:100])
        offset = sent.utcoffset()
    except (ValueError, TypeError, OverflowError, IndexError):
        offset = None
    if offset is None:
        return received.astimezone(UTC).date(), timedelta(hours=-5)
    local = received.astimezone(UTC) + offset
    if mail.date is not None and abs(mail.date - received) <= RECENT:
        local = mail.date + offset
    return local.date(), offset


def _read_person(mail: InboundMail, seen: _Seen) -> Reading:
    """What a person wrote: a wish to be left alone, that they are gone, or an answer."""
    if language := _asks_to_stop(seen):
        return Reading(kind=MailKind.UNSUBSCRIBE, why="words:unsubscribe", language=language)
    left = _hit("left_surely", seen.likely, seen) or _names_who_left(seen, seen.likely)
    left = left or tells_who_is_gone(seen.text, seen.likely)
    if left and not engages(seen.text, seen.likely):
        return Reading(kind=MailKind.LEFT_COMPANY, why="words:left", language=left)
    return Reading(kind=MailKind.REPLY, why="person" if mail.text else "person:empty")


def _names(sender_name: str, languages: tuple[Language, ...]) -> tuple[str, ...]:
    """The sender's names, folded, without those that are words of a language."""
    words = [one for one in re.findall(r"[^\W\d_]+", fold(sender_name)) if len(one) > (2 if one.isascii() else 1)]
    return tuple(one for one in words[:4] if not any(one in language.stopwords for language in languages))


def _names_who_left(seen: _Seen, languages: tuple[Language, ...]) -> str:
    """The language in which it is said of the sender, by name, that they are gone: nobody speaks so of themselves."""
    for sentence in _SENTENCE.split(seen.text):
        named = min((at for one in seen.names if (at := sentence.find(one)) >= 0), default=-1)
        for language in languages if named >= 0 else ():
            if any(language.words[table].search(sentence, named) for table in ("left", "gone")):
                return language.code
    return ""


def _asks_to_stop(seen: _Seen) -> str:
    """The language in which the mail asks for no more mail, "" when it does not.

    Sentence by sentence: what is said about others' subscriptions, or in another's words, is no request.
    """
    if _JUST_UNSUBSCRIBE.fullmatch(seen.text):
        return seen.likely[0].code
    if len(seen.text) <= SHORT and not _NOT.search(seen.text):
        commanded = next((one.code for one in seen.likely if one.words["command"].search(seen.text)), "")
        if commanded and (len(seen.text.split()) <= 4 and len(seen.lines) == 1):
            return commanded
    unspoken = _SPEECH.sub(" ", seen.text).strip() or seen.text
    sentences = [*_SENTENCE.split(unspoken), *(_SPEECH.sub(" ", line).strip() or line for line in seen.lines)]
    for language in seen.likely:
        surely, asks, instead = (language.words[f"unsubscribe{one}"] for one in ("_surely", "", "_not"))
        for sentence in sentences:
            if surely.search(sentence) or (asks.search(sentence) and not instead.search(sentence)):
                return language.code
    return ""
