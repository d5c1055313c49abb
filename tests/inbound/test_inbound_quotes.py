"""The newest part of a mail, apart from what it quotes, signs with and warns of."""

from __future__ import annotations

import pytest

from crmdrip.inbound.markup import html_to_text
from crmdrip.inbound.quotes import split_text

HISTORY = [
    "On Mon, Aug 3, 2026 at 9:00 AM Sam Rep <sam@us.example> wrote:\n> hi",
    "On Mon, Aug 3, 2026 at 9:00 AM Sam Rep <\nsam@us.example> wrote:\n\n> hi",
    "On Aug 3, 2026, at 9:00, Sam Rep\n<sam@us.example>\nwrote:\n\nhi there",
    "Am 03.08.2026 um 09:00 schrieb Sam Rep <sam@us.example>:\n> hi",
    "Am Mo., 3. Aug. 2026 um 09:00 Uhr schrieb Sam Rep <\nsam@us.example>:\n\n> hi",
    "Le lun. 3 août 2026 à 09:00, Sam Rep <sam@us.example> a écrit :\n> hi",
    "El lun, 3 ago 2026 a las 9:00, Sam Rep (<sam@us.example>)\nescribió:\n\n> hi",
    "Em seg., 3 de ago. de 2026 às 09:00, Sam Rep <sam@us.example> escreveu:\n> hi",
    "Il giorno lun 3 ago 2026 alle ore 09:00 Sam Rep <sam@us.example>\nha scritto:\n\n> hi",
    "Op ma 3 aug. 2026 om 09:00 schreef Sam Rep <sam@us.example>:\n> hi",
    "pon., 3 sie 2026 o 09:00 Sam Rep <sam@us.example> napisał(a):\n> hi",
    "W dniu 03.08.2026 o 09:00, Sam Rep pisze:\n> hi",
    "Den mån 3 aug. 2026 kl 09:00 skrev Sam Rep <sam@us.example>:\n> hi",
    "2026年8月3日(月) 9:00 Sam Rep <sam@us.example>:\n> hi",
    "2026年8月3日 9:00、Sam Repのメール:\n\nhi",
    "-----Original Message-----\nFrom: Sam\nSent: Monday\nhi",
    "-----Ursprüngliche Nachricht-----\nVon: Sam\nhi",
    "-------- Message d'origine --------\nDe : Sam\nhi",
    "---------- Forwarded message ---------\nFrom: Sam\nhi",
    "Begin forwarded message:\n\n> From: Sam <sam@us.example>\n> Subject: hi",
    "From: Sam Rep <sam@us.example>\nSent: Monday, August 3, 2026 9:00 AM\nTo: Dana\nSubject: hi\n\nhi",
    "*From:* Sam Rep <sam@us.example>\n*Date:* Monday\n*To:* Dana\n*Subject:* hi\n\nhi",
    "Von: Sam Rep\nGesendet: Montag, 3. August 2026 09:00\nAn: Dana\nBetreff: hi\n\nhi",
    "De : Sam Rep\nEnvoyé : lundi 3 août 2026 09:00\nÀ : Dana\nObjet : hi\n\nhi",
    "De: Sam Rep\nEnviado el: lunes, 3 de agosto de 2026\nPara: Dana\nAsunto: hi\n\nhi",
    "Da: Sam Rep\nInviato: lunedì 3 agosto 2026\nA: Dana\nOggetto: hi\n\nhi",
    "Van: Sam Rep\nVerzonden: maandag 3 augustus 2026\nAan: Dana\nOnderwerp: hi\n\nhi",
    "Od: Sam Rep\nWysłano: poniedziałek, 3 sierpnia 2026\nDo: Dana\nTemat: hi\n\nhi",
    "Från: Sam Rep\nSkickat: den 3 augusti 2026\nTill: Dana\nÄmne: hi\n\nhi",
    "差出人: Sam Rep\n送信日時: 2026年8月3日\n宛先: Dana\n件名: hi\n\nhi",
    "________________________________\nFrom: Sam Rep <sam@us.example>\nSent: Monday\nTo: Dana\nSubject: hi\n\nhi",
    "> hi\n> there",
]


@pytest.mark.parametrize("history", HISTORY)
def test_history_is_cut_off(history: str) -> None:
    """The headings of the mail programs of ten languages."""
    split = split_text(f"Yes, gladly.\n\nDana\n\n{history}\n")
    assert split.newest == "Yes, gladly.\n\nDana"
    assert "hi" in split.quoted
    assert split.fenced


@pytest.mark.parametrize(
    "text",
    [
        "On your side you can run:\n\ntelnet 127.0.0.1\n\nand on ours it works.",
        "Here is what I wrote:\n\nwe start in May.",
        "On Monday we agreed on the following:\n- price\n- start",
        "From: what I hear, it is late.",
        "Am Montag geht es los:\n- Start",
        "To: do list\nSubject: open",
        "Dates:\n3.8.2026\n4.8.2026",
        "A -- B -- C",
    ],
)
def test_a_colon_makes_no_history(text: str) -> None:
    """What only resembles a heading is the person's own."""
    split = split_text(text)
    assert split.newest == text
    assert split.quoted == ""


def test_answers_between_and_below_quoted_lines_are_the_newest_part() -> None:
    """Inline answers, and answers at the bottom."""
    text = "On Mon, Aug 3, 2026 Sam <s@us.example> wrote:\n> How many?\n\nForty.\n\n> Since when?\n\n2021.\n\n> Sam\n"
    assert split_text(text).newest == "Forty.\n\n2021."


def test_a_quoted_line_that_was_broken_stays_quoted() -> None:
    """Programs break a quoted line that has become too long, and leave the rest without its mark."""
    long = "> " + "word " * 14
    assert split_text(f"Yes.\n\n{long}\nleft over\n> more\n").newest == "Yes."


@pytest.mark.parametrize(
    "below",
    [
        "--\nDana Field\nHead of Ops",
        "Sent from my iPhone",
        "Get Outlook for iOS",
        "Von meinem iPhone gesendet",
        "Envoyé de mon iPhone",
        "iPhoneから送信",
        "________________________\nDana Field",
        "CONFIDENTIALITY NOTICE: This e-mail is for its addressee.",
        "This email and any attachments are confidential and intended for the addressee. Unsubscribe here.",
        "Diese E-Mail enthält vertrauliche Informationen.",
    ],
)
def test_signature_and_notices_are_parted(below: str) -> None:
    """They are kept, but what they say decides nothing."""
    split = split_text(f"Yes, gladly.\n\n{below}\n")
    assert (split.newest, split.signature) == ("Yes, gladly.", below)


def test_a_text_that_is_all_signature_stays_a_text() -> None:
    """Nobody's answer becomes nothing."""
    assert split_text("Sent from my iPhone").newest == "Sent from my iPhone"


def test_a_gateways_banner_is_dropped() -> None:
    """It stands above what the person wrote."""
    split = split_text("CAUTION: This email originated from outside of the company. Do not click links.\n\nYes.")
    assert split.newest == "Yes."


FENCES = [
    '<div class="gmail_quote"><div class="gmail_attr">On Monday Sam wrote:</div>{}</div>',
    '<blockquote type="cite">{}</blockquote>',
    '<div id="divRplyFwdMsg"><b>From:</b> Sam</div>{}',
    '<div id="appendonsend"></div><hr>{}',
    '<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in"><b>From:</b> Sam</div>{}',
    '<div class="moz-cite-prefix">On Monday Sam wrote:</div>{}',
    '<div class="yahoo_quoted">{}</div>',
    "<blockquote>{}</blockquote>",
]  # fmt: skip


@pytest.mark.parametrize("fence", FENCES)
def test_the_fences_of_html_mail_are_seen(fence: str) -> None:
    """What mail programs put around the history."""
    source = (
        f"<html><style>p {{}}</style><body><p>Yes, <b>gladly</b>.</p>{fence.format('<p>old text</p>')}</body></html>"
    )
    split = split_text(html_to_text(source))
    assert split.newest == "Yes, gladly."
    assert "old text" in split.quoted


def test_scripts_and_comments_are_no_text() -> None:
    """HTML is read as text, never run."""
    source = "<!-- x --><script>alert(1)</script><style>p{}</style><title>t</title><p>Yes &amp; no</p>"
    assert html_to_text(source) == "Yes & no"
