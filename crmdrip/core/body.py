"""One body, written once, as the two templates an email needs: HTML and plain text.

An author writes rich text (HTML, as Salesforce's editor stores it) or plain text with blank lines between
paragraphs. Converting happens on the template, so that a send only fills in values.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import lru_cache

from crmdrip.core.markup import MARK, TAG_MARK, Piece, PieceKind, fit_marks, hide, reveal, scan
from crmdrip.core.plaintext import to_plaintext
from crmdrip.core.sanitize import drop_unseen, looks_like_html, sanitize

SOURCE_LIMIT = 102_400
"""Characters of a body's source."""

_URL = re.compile(rf"(?:https?://|www\.)[^\s<>\"{TAG_MARK}]+", re.IGNORECASE)
_TRAILING = ".,;:!?'"
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """Both templates, in Liquid, and what is wrong with the source."""

    html: str
    text: str
    problems: tuple[str, ...] = ()


@lru_cache(maxsize=1_024)
def read_body(source: str) -> Body:
    """Both templates of a body. What could not be read is left out of them and named in problems."""
    if len(source) > SOURCE_LIMIT:
        return Body(html="", text="", problems=(f"the template is longer than {SOURCE_LIMIT // 1024} KB",))
    rich = looks_like_html(source)
    found = scan(drop_unseen(source) if rich else source)
    hidden = hide(found.pieces)
    if rich:
        clean = sanitize(hidden)
        return Body(
            html=reveal(clean.html, found.pieces),
            text=reveal(to_plaintext(clean.html), found.pieces),
            problems=found.problems + clean.problems,
        )
    hidden = _URL.sub(lambda url: fit_marks(url.group(), "url_part"), hidden)
    paragraphs = [_trim_lines(one) for one in _PARAGRAPHS.split(hidden.strip())]
    return Body(
        html=reveal("\n".join(map(_paragraph, paragraphs)), found.pieces),
        text=reveal("\n\n".join(paragraphs), found.pieces),
        problems=found.problems,
    )


def plain_to_html(text: str) -> str:
    """Plain text without markup as HTML: paragraphs, line breaks, links."""
    piece = Piece(kind=PieceKind.LITERAL, text=text)
    return "\n".join(_paragraph(_trim_lines(one)) for one in _PARAGRAPHS.split(hide((piece,)).strip()))


def _trim_lines(paragraph: str) -> str:
    return "\n".join(line.rstrip() for line in paragraph.split("\n"))


def _paragraph(text: str) -> str:
    if not MARK.sub("", text).strip() and TAG_MARK in text and "\ue000" not in text:
        return text  # Only tags that begin or end a branch: a paragraph around them would print as an empty one.
    out: list[str] = []
    at = 0
    for found in _URL.finditer(text):
        url = found.group()
        kept = url.rstrip(_TRAILING)
        if kept.endswith(")") and "(" not in kept:
            kept = kept[:-1].rstrip(_TRAILING)
        address = kept if kept.lower().startswith("http") else f"https://{kept}"
        out.append(html.escape(text[at : found.start()], quote=False))
        out.append(f'<a href="{html.escape(address)}">{html.escape(kept, quote=False)}</a>')
        at = found.start() + len(kept)
    out.append(html.escape(text[at:], quote=False))
    return f"<p>{''.join(out).replace(chr(10), '<br>')}</p>"
