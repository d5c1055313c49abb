"""Finds the merge markup in what RevOps wrote, and leaves everything between it alone.

Liquid (`{{ ... }}`, `{% ... %}`) is the dialect; Salesforce's own `{!Contact.FirstName}` and
`{{{Recipient.FirstName}}}` are read as Liquid, so that existing templates work as they are. What rich text editors do
to markup (entities, non-breaking spaces, formatting tags, curly quotes) is undone. Never evaluates, never judges a
name.

The scan is linear in the source and each piece of markup is short, so that the Liquid parser behind it, whose
patterns backtrack, is only ever given small, well-formed pieces.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from enum import Enum

MARKUP_LIMIT = 500
"""Characters of one piece of markup."""

PROBLEM_LIMIT = 20
"""Problems reported at once; more say nothing further."""


class PieceKind(Enum):
    """What a piece of a template is."""

    LITERAL = "literal"
    OUTPUT = "output"
    """`{{ ... }}`; text is what stands inside."""
    TAG = "tag"
    """`{% ... %}`; text is what stands inside."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One piece of a template."""

    kind: PieceKind
    text: str

    @property
    def source(self) -> str:
        """The piece as Liquid."""
        if self.kind is PieceKind.OUTPUT:
            return f"{{{{ {self.text} }}}}"
        if self.kind is PieceKind.TAG:
            return f"{{% {self.text} %}}"
        return self.text

    @property
    def tag_name(self) -> str:
        """The first word of a tag ("if"), "" when there is none."""
        return self.text.split(maxsplit=1)[0] if self.text else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """A template in pieces, and what is wrong with it in plain words."""

    pieces: tuple[Piece, ...]
    problems: tuple[str, ...]


# Control characters, direction overrides, halves of surrogate pairs (which no encoder takes) and the marks of hide().
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ue000-\ue00f]"
)

OUTPUT_MARK = "\ue000"
TAG_MARK = "\ue001"
END_MARK = "\ue00f"
"""Private-use characters; scan() removes them from what people wrote."""

MARK = re.compile(f"[{OUTPUT_MARK}{TAG_MARK}](\\d+)([a-z_]*){END_MARK}")
"""One hidden piece: its number, and the filter that fits its value for an address, if any."""

_CLOSER = {"{{{": "}}}", "{{": "}}", "{%": "%}", "{!": "}"}
_OPENER = re.compile(r"\{\{\{|\{\{|\{%|\{!")
_ENDCOMMENT = re.compile(r"\{%-?\s*endcomment\s*-?%\}")
_EDITOR_TAG = re.compile(r"</?(?:span|font|b|i|u|em|strong|a|wbr)\b[^<>]*>", re.IGNORECASE)
_PATH = re.compile(r"\$?([A-Za-z]\w*(?:\.\w+)*)")
_BLANK_VALUE = re.compile(
    r"(?:BLANKVALUE|NULLVALUE)\s*\(\s*\$?([A-Za-z]\w*(?:\.\w+)*)\s*,\s*(\"[^\"]*\"|'[^']*')\s*\)", re.IGNORECASE
)


def scan(source: str) -> Scan:
    """Cut a template into literals, outputs and tags; comments vanish, `-` trims the literal beside it."""
    source = clean_source(source)
    pieces: list[Piece] = []
    problems: dict[str, None] = {}
    at = unclosed = 0
    trim = False
    """Whether the literal that follows loses its leading whitespace."""

    def literal(text: str, *, right: bool) -> None:
        text = text.lstrip() if trim else text
        text = text.rstrip() if right else text
        if text:
            pieces.append(Piece(kind=PieceKind.LITERAL, text=text))

    while found := _OPENER.search(source, at):
        opener = found.group()
        start = found.end()
        end = source.find(_CLOSER[opener], start, start + MARKUP_LIMIT)
        reopened = _OPENER.search(source, start, end if end >= 0 else start)
        if end < 0 or reopened:
            problems[f"{_place(source, found.start())} is not closed with {_CLOSER[opener]}"] = None
            unclosed += 1
            following = _OPENER.search(source, start)
            if following is None or unclosed >= PROBLEM_LIMIT:
                break
            at = following.start()
            continue
        inner = source[start:end]
        literal(source[at : found.start()], right=inner.startswith("-"))
        trim = inner.endswith("-")
        at = end + len(_CLOSER[opener])
        code = tidy_markup(inner.strip("-"))
        if opener == "{%":
            if code == "comment":
                closed = _ENDCOMMENT.search(source, at)
                if closed is None:
                    problems[f"{_place(source, found.start())} is not closed with {{% endcomment %}}"] = None
                    break
                at = closed.end()
            elif not code.startswith("#"):
                pieces.append(Piece(kind=PieceKind.TAG, text=code))
        elif opener == "{{":
            pieces.append(Piece(kind=PieceKind.OUTPUT, text=code))
        elif (translated := _translate(code)) is not None:
            pieces.append(Piece(kind=PieceKind.OUTPUT, text=translated))
        else:
            problems[
                f'{_place(source, found.start())} is not a field; write {{{{ contact.first_name | default: "there" }}}}'
            ] = None
    else:
        literal(source[at:], right=False)
    return Scan(pieces=tuple(pieces), problems=tuple(problems))


def clean_source(source: str) -> str:
    """What an author wrote, with line feeds for line ends and nothing invisible in it."""
    return _UNPRINTABLE.sub("", source.replace("\r\n", "\n").replace("\r", "\n"))


def tidy_markup(inner: str) -> str:
    """The inside of a piece of markup as its author meant it, on one line."""
    if "<" in inner:
        inner = _EDITOR_TAG.sub("", inner)
    if "&" in inner:
        inner = html.unescape(inner)
    if not inner.isascii():
        inner = inner.replace("\u00a0", " ")
        if '"' not in inner and "'" not in inner:
            # “there” typed in a word processor; between straight quotes a curly one is text.
            inner = re.sub("[“”„«»]", '"', inner)
            inner = re.sub("[‘’‚]", "'", inner)  # noqa: RUF001  the curly quotes are meant
    return " ".join(inner.split())


def _translate(code: str) -> str | None:
    """Salesforce's way of naming a field, as Liquid; None when it is more than a field."""
    if path := _PATH.fullmatch(code):
        return path.group(1)
    if formula := _BLANK_VALUE.fullmatch(code):
        return f"{formula.group(1)} | default: {formula.group(2)}"
    return None


def _place(source: str, at: int) -> str:
    """Where in the template something is: its line, when there are several, and how it begins."""
    snippet = " ".join(source[at : at + 40].split())
    shown = f"{snippet} ..." if at + 40 < len(source) else snippet
    lines = source.count("\n", 0, at) + 1
    return f"line {lines}: {shown}" if "\n" in source.strip() else shown


def hide(pieces: tuple[Piece, ...]) -> str:
    """The template with each piece of markup behind an opaque mark, so that HTML can be read around it."""
    return "".join(
        piece.text
        if piece.kind is PieceKind.LITERAL
        else f"{OUTPUT_MARK if piece.kind is PieceKind.OUTPUT else TAG_MARK}{number}{END_MARK}"
        for number, piece in enumerate(pieces)
    )


def reveal(text: str, pieces: tuple[Piece, ...]) -> str:
    """Put the markup back in place of its marks, with the filter its place asks for."""

    def markup(found: re.Match[str]) -> str:
        piece, fitting = pieces[int(found.group(1))], found.group(2)
        return f"{{{{ {piece.text} | {fitting} }}}}" if fitting else piece.source

    return MARK.sub(markup, text)


def fit_marks(text: str, fitting: str) -> str:
    """The text with its outputs to be fitted by the given filter."""
    return MARK.sub(lambda found: f"{found.group()[:-1]}{fitting}{END_MARK}", text)
