"""The labelled mails beside this file, as bytes: what each is, and how a mail program of its kind would have sent it.

`mails/*.toml` are the ones the phrase tables were tuned on, `mails/held_out/*.toml` the ones they were not, `mails/raw`
whole messages whose file name begins with what they are. Every quoted history is a mail of ours that mentions
absences, machines and unsubscribing, since it must never decide.
"""

from __future__ import annotations

import html
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from crmdrip.core.inbound import MailKind

FOLDER = Path(__file__).parent / "mails"
RECEIVED = "Mon, 3 Aug 2026 10:00:00 +0000"

_MACHINES: Mapping[str, Mapping[str, str]] = {
    "exchange": {
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "X-MS-Exchange-Inbox-Rules-Loop": "dana@customer.example",
        "In-Reply-To": "<touch-1@us.example>",
        "References": "<touch-1@us.example>",
    },
    "gmail-vacation": {"Auto-Submitted": "auto-replied", "Precedence": "bulk", "X-Autoreply": "yes"},
    "vacation": {"Auto-Submitted": "auto-replied (vacation)", "In-Reply-To": "<touch-1@us.example>"},
    "suppress": {"X-Auto-Response-Suppress": "All"},
    "null": {"Return-Path": "<>"},
    "bare": {},
    "zendesk": {"Auto-Submitted": "auto-generated", "X-Mailer": "Zendesk Mailer", "X-Auto-Response-Suppress": "All"},
    "noreply": {"From": "Fabrikam <no-reply@customer.example>", "Auto-Submitted": "auto-generated"},
    "newsletter": {
        "From": "Contoso News <news@customer.example>",
        "List-Id": "<news.customer.example>",
        "List-Unsubscribe": "<https://customer.example/u/1>",
        "Precedence": "bulk",
    },
    "fresh": {},
}
_ANSWERS: Mapping[str, str] = {"In-Reply-To": "<touch-1@us.example>", "References": "<touch-1@us.example>"}

_OURS = {
    "en": (
        "If you are out of the office until Monday, no problem.\nThis is an automated message. To stop these emails,"
        " reply with:\nunsubscribe\nPlease remove me from your list\nI no longer work here"
    ),
    "de": (
        "Falls Sie bis Montag nicht im Büro sind, kein Problem.\nDies ist eine automatische Nachricht.\n"
        "Bitte entfernen Sie mich aus dem Verteiler\nabmelden"
    ),
    "fr": (
        "Si vous êtes absent jusqu'à lundi, aucun souci.\nCeci est un message automatique.\n"
        "Merci de me désinscrire de votre liste"
    ),
    "es": "Si está fuera de la oficina hasta el lunes, no importa.\nEste es un mensaje automático.\nDarme de baja",
    "pt": "Se estiver fora do escritório até segunda, tudo bem.\nEsta é uma mensagem automática.\nRemova-me da lista",
    "it": "Se è fuori ufficio fino a lunedì, nessun problema.\nQuesto è un messaggio automatico.\nCancellatemi",
    "nl": "Als u tot maandag afwezig bent, geen probleem.\nDit is een automatisch bericht.\nSchrijf mij uit",
    "pl": (
        "Jeśli jest Pan na urlopie do poniedziałku, nie ma problemu.\n"
        "To jest automatyczna wiadomość.\nProszę mnie wypisać"
    ),
    "sv": (
        "Om du är på semester till måndag gör det inget.\nDetta är ett automatiskt meddelande.\nTa bort mig från listan"
    ),
    "ja": "月曜日まで不在でしたら問題ありません。\nこのメールは自動送信です。\n配信を停止してください。",
}
_WROTE = {
    "en": "On Mon, 3 Aug 2026 at 09:00, Sam Rep <sam@us.example> wrote:",
    "de": "Am Mo., 3. Aug. 2026 um 09:00 Uhr schrieb Sam Rep <sam@us.example>:",
    "fr": "Le lun. 3 août 2026 à 09:00, Sam Rep <sam@us.example> a écrit :",
    "es": "El lun, 3 ago 2026 a las 9:00, Sam Rep (<sam@us.example>) escribió:",
    "pt": "Em seg., 3 de ago. de 2026 às 09:00, Sam Rep <sam@us.example> escreveu:",
    "it": "Il giorno lun 3 ago 2026 alle ore 09:00 Sam Rep <sam@us.example> ha scritto:",
    "nl": "Op ma 3 aug 2026 om 09:00 schreef Sam Rep <sam@us.example>:",
    "pl": "pon., 3 sie 2026 o 09:00 Sam Rep <sam@us.example> napisał(a):",
    "sv": "Den mån 3 aug. 2026 kl 09:00 skrev Sam Rep <sam@us.example>:",
    "ja": "2026年8月3日(月) 9:00 Sam Rep <sam@us.example>:",
}
_LABELS = {
    "en": ("From", "Sent", "To", "Subject"),
    "de": ("Von", "Gesendet", "An", "Betreff"),
    "fr": ("De", "Envoyé", "À", "Objet"),
    "es": ("De", "Enviado", "Para", "Asunto"),
    "pt": ("De", "Enviada em", "Para", "Assunto"),
    "it": ("Da", "Inviato", "A", "Oggetto"),
    "nl": ("Van", "Verzonden", "Aan", "Onderwerp"),
    "pl": ("Od", "Wysłano", "Do", "Temat"),
    "sv": ("Från", "Skickat", "Till", "Ämne"),
    "ja": ("差出人", "送信日時", "宛先", "件名"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """One mail and its right answer."""

    name: str
    kind: MailKind
    until: date | None
    text: str | None
    """What was newly written; None where the collection does not say."""
    raw: bytes
    received: datetime
    held_out: bool = False


def load_collection() -> list[Labelled]:
    """Every labelled mail."""
    return [*_tables(FOLDER, held_out=False), *_tables(FOLDER / "held_out", held_out=True), *_raw()]


def _tables(folder: Path, *, held_out: bool) -> Iterator[Labelled]:
    for path in sorted(folder.glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for number, mail in enumerate(table["mail"]):
            date_ = mail.get("date", RECEIVED)
            yield Labelled(
                name=f"{'held out ' if held_out else ''}{path.stem}: {mail['name']}",
                kind=MailKind(mail["kind"]),
                until=mail.get("until"),
                text=mail["text"],
                raw=_write(mail, table["language"], date_, number),
                received=parsedate_to_datetime(date_).astimezone(UTC),
                held_out=held_out,
            )


def _raw() -> Iterator[Labelled]:
    for path in sorted((FOLDER / "raw").glob("*.eml")):
        yield Labelled(
            name=f"raw: {path.stem}",
            kind=MailKind(path.stem.partition("-")[0]),
            until=None,
            text=None,
            raw=path.read_bytes(),
            received=parsedate_to_datetime(RECEIVED),
        )


def _write(mail: Mapping[str, Any], language: str, date_: str, number: int) -> bytes:
    """The mail as its program would have sent it."""
    way = mail["as"]
    headers = {
        "From": "Dana Field <dana@customer.example>",
        "To": "Sam Rep <reply+token@in.us.example>",
        "Subject": mail["subject"],
        "Date": date_,
        "Message-ID": f"<{language}{number}@customer.example>",
        **_MACHINES.get(way, _ANSWERS),
        **mail.get("headers", {}),
    }
    if way == "group":
        headers |= {"List-Id": "<ops.customer.example>", "Precedence": "list"}
    message = EmailMessage(policy=SMTP.clone(cte_type="8bit" if number % 2 else "7bit"))
    for name, value in headers.items():
        message[name] = value
    text, markup = mail["text"], ""
    if way not in _MACHINES:
        text, markup = _quote(text, way, language)
    elif mail.get("html"):
        markup = f"<html><body><p>{html.escape(text)}</p></body></html>"
    charset = mail.get("charset", "utf-8")
    if way == "outlook" and markup and number % 3 == 0:
        message.set_content(markup, subtype="html", charset=charset)
    else:
        message.set_content(text, charset=charset)
        if markup:
            message.add_alternative(markup, subtype="html", charset=charset)
    return bytes(message)


def _quote(text: str, way: str, language: str) -> tuple[str, str]:
    """The text with our mail below it (or around it), plain and as HTML."""
    ours, wrote = _OURS[language], _WROTE[language]
    quoted = "\n".join(f"> {line}" for line in ours.split("\n"))
    shown = html.escape(text).replace("\n", "<br>")
    below = html.escape(ours).replace("\n", "<br>")
    if way == "gmail":
        return (
            f"{text}\n\n{wrote}\n\n{quoted}\n",
            (
                f'<div dir="ltr">{shown}</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">'
                f"{html.escape(wrote)}<br></div><blockquote>{below}</blockquote></div>"
            ),
        )
    if way == "apple":
        return f"{text}\n\n{wrote}\n\n{quoted}\n", ""
    if way == "bottom":
        return f"{wrote}\n{quoted}\n\n{text}\n", ""
    if way == "inline":
        first, _, second = text.partition("\n\n")
        return f"{wrote}\n> How many seats?\n\n{first}\n\n> Do you use a CRM?\n\n{second}\n\n{quoted}\n", ""
    if way == "group":
        return (
            (
                f'{text}\n\n{wrote}\n{quoted}\n\n-- \nYou received this message because you are in the group "ops".\n'
                "To unsubscribe from this group, send an email to ops+unsubscribe@customer.example.\n"
            ),
            "",
        )
    labels = _LABELS[language]
    values = ("Sam Rep <sam@us.example>", "Monday, 3 August 2026 09:00", "Dana Field", "quick idea")
    block = "\n".join(f"{label}: {value}" for label, value in zip(labels, values, strict=True))
    heading = "<br>".join(f"<b>{label}:</b> {html.escape(value)}" for label, value in zip(labels, values, strict=True))
    return (
        f"{text}\n\n________________________________\n{block}\n\n{ours}\n",
        (
            f'<html><body><div>{shown}</div><hr tabindex="-1"><div id="divRplyFwdMsg">{heading}</div>'
            f"<div>{below}</div></body></html>"
        ),
    )
