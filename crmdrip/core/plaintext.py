"""The plain text of an email, from its clean HTML, at template level: once per template, not once per person.

Merge markup stays where it stands, behind its marks. Links become "text (address)", lists "- " or numbers,
quotes "> ", paragraphs stand apart by one blank line. Lines are not wrapped.
"""

from __future__ import annotations

import re

from crmdrip.core.markup import END_MARK, OUTPUT_MARK, TAG_MARK
from crmdrip.core.sanitize import Tag, Text, read_html

_SPACE = re.compile(r"[ \t\n\r\f]+")
_APART = frozenset({"p", "ul", "ol", "blockquote", "h1", "h2", "h3", "table"})
_OWN_LINE = frozenset({"div", "li", "tr"})


_ONLY_TAGS = re.compile(rf"(?:\s*{TAG_MARK}\d+{END_MARK})+\s*")


class _Writer:
    """Collects lines. A break is only written once text follows it, so that none pile up."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.line: list[str] = []
        self.written = False
        """Whether any text was."""
        self.blank = False
        """Whether a blank line is due before the next text."""
        self.margins: list[str] = []
        self.bullet = ""

    def text(self, text: str) -> None:
        """Go on in the line."""
        if not self.line or self.line[-1].endswith(" "):
            text = text.lstrip(" ")
        if text:
            self.line.append(text)

    def end_line(self) -> None:
        """Begin a new line, unless this one is empty."""
        line = "".join(self.line).rstrip(" ")
        self.line.clear()
        if not line:
            return
        if _ONLY_TAGS.fullmatch(line):
            # `{% if %}` by itself is no line: its branch brings its own breaks, and leaves none when not taken.
            self.out.append(line)
            return
        margin = "".join(self.margins)
        if self.blank and self.written:
            self.out.append(f"{margin.rstrip()}\n")
        self.blank, self.written = False, True
        self.out.append(f"{margin}{self.bullet}{line}\n")
        self.bullet = " " * len(self.bullet)

    def end_paragraph(self) -> None:
        """Begin a new line with a blank one before it."""
        self.end_line()
        self.blank = True


def to_plaintext(clean: str) -> str:
    """The plain text of sanitized HTML."""
    writer = _Writer()
    lists: list[int | None] = []
    """The next number of each open list, None for bullets."""
    links: list[tuple[str, int]] = []
    """Address and where its text begins in the line."""
    for token in read_html(clean):
        if isinstance(token, Text):
            writer.text(_SPACE.sub(" ", token.text).replace("\u00a0", " "))
        elif token.name in ("ul", "ol"):
            _list(token, writer, lists)
        elif token.name == "li":
            _item(token, writer, lists)
        elif token.name == "a":
            _link(token, writer, links)
        elif token.name == "br":
            _break(writer)
        elif token.name == "hr":
            writer.end_paragraph()
            writer.text("---")
            writer.end_paragraph()
        elif token.name == "img":
            writer.text(token.attributes.get("alt", ""))
        elif token.name == "blockquote":
            writer.end_paragraph()
            if token.closing:
                writer.margins.pop()
            else:
                writer.margins.append("> ")
        elif token.name in ("td", "th"):
            writer.text(" ")
        elif token.name in _APART:
            writer.end_paragraph()
        elif token.name in _OWN_LINE:
            writer.end_line()
    writer.end_line()
    return "".join(writer.out).rstrip("\n")


def _break(writer: _Writer) -> None:
    if writer.line:
        writer.end_line()
    else:
        writer.blank = True


def _list(token: Tag, writer: _Writer, lists: list[int | None]) -> None:
    nested = bool(lists) if not token.closing else len(lists) > 1
    if nested:
        writer.end_line()
    else:
        writer.end_paragraph()
    if token.closing:
        lists.pop()
        writer.bullet = ""
        if lists:
            writer.margins.pop()
    else:
        if lists:
            writer.margins.append("  ")
        lists.append(int(token.attributes.get("start", "1").rstrip("%")) if token.name == "ol" else None)


def _item(token: Tag, writer: _Writer, lists: list[int | None]) -> None:
    writer.end_line()
    if token.closing:
        writer.bullet = ""
        return
    number = lists[-1] if lists else None
    writer.bullet = "- " if number is None else f"{number}. "
    if lists and number is not None:
        lists[-1] = number + 1


def _link(token: Tag, writer: _Writer, links: list[tuple[str, int]]) -> None:
    if not token.closing:
        links.append((token.attributes.get("href", ""), len(writer.line)))
        return
    address, begin = links.pop()
    shown = "".join(writer.line[begin:]).strip()
    plain = re.sub(r"^(?:mailto:|tel:)", "", address)
    if not shown:
        writer.text(plain)
    elif _bare(shown) != _bare(plain):
        writer.text(f" ({plain})")


def _bare(address: str) -> str:
    """An address as people write it, to see whether a link's text already says where it leads."""
    address = re.sub(rf"([{OUTPUT_MARK}{TAG_MARK}]\d+)[a-z_]*{END_MARK}", rf"\1{END_MARK}", address)
    return re.sub(r"^(?:https?://)?(?:www\.)?", "", address.lower()).rstrip("/")
