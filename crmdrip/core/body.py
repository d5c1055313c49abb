"""One body, written once, as the two templates an email needs: HTML and plain text.

An author writes rich text (HTML, as Salesforce's editor stores it) or plain text with blank lines between
paragraphs. Converting happens on the template, so that a send only fills in values.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import lru_cache

from crmdrip.core.markup import END_MARK, TAG_MARK, fit_marks, hide, reveal, scan
from crmdrip.core.plaintext import to_plaintext
from crmdrip.core.sanitize import drop_unseen, looks_like_html, sanitize

SOURCE_LIMIT = 102_400
"""Characters of a body's source."""

_URL = re.compile(rf"(?:https?://|www\.)[^\s<>\"{TAG_MARK}]+", re.IGNORECASE)
_TRAILING = ".,;:!?'"
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_TAG_LINES = re.compile(rf"^[ \t]*((?:{TAG_MARK}\d+{END_MARK}[ \t]*)+)\n\s*", re.MULTILINE)
_BLOCK_TAG = re.compile(r"</?(?:p|br|div|ul|ol|li|table|tr|td|h[1-6]|blockquote)\b", re.IGNORECASE)


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
        if not _BLOCK_TAG.search(hidden):
            # Text with a link or a bold word in it, typed into a plain field: its line breaks are meant.
            hidden = "\n".join(f"<p>{one.replace(chr(10), '<br>')}</p>" for one in _paragraphs(hidden))
        clean = sanitize(hidden)
        return Body(
            html=reveal(clean.html, found.pieces),
            text=reveal(to_plaintext(clean.html), found.pieces),
            problems=found.problems + clean.problems,
        )
    paragraphs = _paragraphs(_URL.sub(lambda url: fit_marks(url.group(), "url_part"), hidden))
    return Body(
        html=reveal("\n".join(map(_html_paragraph, paragraphs)), found.pieces),
        text=reveal("\n\n".join(paragraphs), found.pieces),
        problems=found.problems,
    )


def plain_to_html(text: str) -> str:
    """Plain text without markup as HTML: paragraphs, line breaks, links."""
    return "\n".join(map(_html_paragraph, _paragraphs(text)))


def _paragraphs(hidden: str) -> list[str]:
    # A line that holds only tags is none: its branch brings its own breaks, and leaves no gap when not taken.
    hidden = _TAG_LINES.sub(r"\1", hidden.strip())
    return ["\n".join(line.rstrip() for line in one.split("\n")) for one in _PARAGRAPHS.split(hidden)]


def _html_paragraph(text: str) -> str:
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
