"""The history below an answer, as mail programs write it: attribution and marks, header blocks, HTML quotations."""

from __future__ import annotations

import html
from datetime import timedelta
from enum import StrEnum
from random import Random

from crmdrip.sandbox.world.letters.letter import Occasion
from crmdrip.sandbox.world.letters.phrases import phrases, write_moment


class Quoting(StrEnum):
    """Where the history stands."""

    TOP = "top-posted"
    """The answer above, the history below with marks."""
    BOTTOM = "bottom-posted"
    INLINE = "inline"
    """Between the lines of the history."""
    BLOCK = "header block"
    """The answer above, the history below a block of header lines, without marks."""
    NONE = "no history"


def quote_text(answer: str, occasion: Occasion, quoting: Quoting, random: Random) -> str:
    """The answer with its history as plain text."""
    original = occasion.email.text.strip()
    if quoting is Quoting.NONE or not original:
        return answer
    marked = [f"> {line}".rstrip() for line in original.splitlines()]
    attribution = _attribution(occasion, random)
    match quoting:
        case Quoting.TOP:
            return "\n".join([answer, "", attribution, "", *marked])
        case Quoting.BOTTOM:
            return "\n".join([attribution, *marked, "", answer])
        case Quoting.INLINE:
            cut = next((n for n, line in enumerate(marked[1:], 1) if line == ">"), len(marked) // 2)
            return "\n".join([attribution, *marked[:cut], "", answer, "", *marked[cut:]])
        case Quoting.BLOCK:
            rule = random.choice(["_" * 32, "-----Original Message-----", ""])
            return "\n".join([answer, "", rule, *_block(occasion), "", original])


def quote_html(answer: str, occasion: Occasion, quoting: Quoting, random: Random) -> str:
    """The same as HTML."""
    paragraphs = "".join(f"<div>{html.escape(line) or '<br>'}</div>" for line in answer.splitlines())
    original = occasion.email.html or f"<pre>{html.escape(occasion.email.text)}</pre>"
    attribution = html.escape(_attribution(occasion, random))
    match quoting:
        case Quoting.NONE:
            body = paragraphs
        case Quoting.BLOCK:
            lines = "<br>".join(html.escape(line) for line in _block(occasion))
            ruled = f'<div style="border-top:solid #E1E1E1 1.0pt"><p class="MsoNormal">{lines}</p></div>'
            body = f'<div class="WordSection1">{paragraphs}</div>{ruled}{original}'
        case Quoting.BOTTOM | Quoting.INLINE:
            body = f'<div>{attribution}</div><blockquote type="cite">{original}</blockquote>{paragraphs}'
        case Quoting.TOP:
            style = 'class="gmail_quote" style="margin:0 0 0 .8ex;border-left:1px #ccc solid;padding-left:1ex"'
            quoted = f'<div dir="ltr" class="gmail_attr">{attribution}<br></div><blockquote {style}>{original}'
            body = f'<div dir="ltr">{paragraphs}</div><br><div class="gmail_quote">{quoted}</blockquote></div>'
    return f"<html><body>{body}</body></html>"


def _attribution(occasion: Occasion, random: Random) -> str:
    words = phrases(occasion.language)
    return str(random.choice(words["attribution"])).format(
        sent=_sent(occasion), rep=occasion.email.sender_name or occasion.email.sender, address=occasion.email.sender
    )


def _block(occasion: Occasion) -> list[str]:
    email = occasion.email
    values = (f"{email.sender_name} <{email.sender}>", _sent(occasion), occasion.address, email.subject)
    return [f"{name}: {value}" for name, value in zip(phrases(occasion.language)["outlook"], values, strict=True)]


def _sent(occasion: Occasion) -> str:
    local = occasion.email.at + timedelta(hours=1)
    return write_moment(local.date(), f"{local:%H:%M}", occasion.language)
