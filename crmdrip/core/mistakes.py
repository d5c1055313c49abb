"""What the author of a template got wrong, in the author's words: never in those of the parser.

Tags that do not belong together, conditions and fields that cannot be read, merge fields of other programs. Each
sentence shows the place as it was written and what to write in its stead. Never parses, never decides that something
is wrong which the parser takes, but for what it would drop without a word ("else if", a second "else").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from crmdrip.core.markup import Piece, PieceKind

_CLOSED_BY = {"if": "endif", "unless": "endunless", "case": "endcase"}
_PARTS = {"else": ("if", "unless", "case"), "elsif": ("if", "unless"), "when": ("case",)}
"""Tags that stand within others, and within which."""

_EXAMPLES = {
    "if": '{% if contact.title == "CEO" %}',
    "unless": "{% unless contact.title %}",
    "elsif": '{% elsif contact.title == "CEO" %}',
    "case": "{% case contact.title %}",
    "when": '{% when "CEO" %}',
    "assign": '{% assign name = contact.first_name | default: "there" %}',
    "": '{{ contact.first_name }}, or {{ contact.first_name | default: "there" }}',
}
"""How each is written, by tag; "" for a field."""


# --- tags among each other ------------------------------------------------------------------------------------------


@dataclass(kw_only=True, slots=True)
class _Block:
    """An open {% if %}, {% unless %} or {% case %}."""

    piece: Piece
    ended: bool = False
    """Whether its {% else %} has come: nothing but its end may follow."""
    begun: bool = False
    """Whether a {% when %} has come."""

    @property
    def name(self) -> str:
        return self.piece.tag_name


def find_mismatches(pieces: Iterable[Piece]) -> Iterator[str]:
    """What is wrong with tags that are each well known. The first of several is enough: the rest follows from it."""
    opened: list[_Block] = []
    for piece in pieces:
        if piece.kind is not PieceKind.TAG:
            continue
        name, inner = piece.tag_name, opened[-1] if opened else None
        if name in _PARTS:
            if problem := _misplaced(piece, inner):
                yield problem
                return
        elif name in _CLOSED_BY.values():
            if inner is None:
                yield f"{piece.source} closes nothing: there is no {{% {name.removeprefix('end')} ... %}} before it"
                return
            if _CLOSED_BY[inner.name] != name:
                yield f"{inner.piece.source} is closed with {piece.source}; write {_tag(_CLOSED_BY[inner.name])}"
                return
            if inner.name == "case" and not inner.begun:
                yield f"{inner.piece.source} has no {_EXAMPLES['when']} in it"
                return
            opened.pop()
        elif inner is not None and inner.name == "case" and not (inner.begun or inner.ended):
            yield f"{piece.source} stands in {inner.piece.source} before its first {_EXAMPLES['when']}"
            return
        elif name in _CLOSED_BY:
            opened.append(_Block(piece=piece))
    for block in opened[:1]:
        yield f"{block.piece.source} is not closed with {_tag(_CLOSED_BY[block.name])}"


def _misplaced(piece: Piece, inner: _Block | None) -> str:
    """What is wrong with an else, elsif or when; "" when nothing is."""
    name, rest = piece.tag_name, rest_of(piece)
    if inner is None or inner.name not in _PARTS[name]:
        return f"{piece.source} stands outside of any {' or '.join(f'{{% {one} ... %}}' for one in _PARTS[name])}"
    if name == "else" and rest:
        condition = re.sub(r"^(?:if|when)\s+", "", rest)
        instead = "when" if inner.name == "case" else "elsif"
        return f"{piece.source} has a condition, and else takes none; write {_tag(f'{instead} {condition}')}"
    if inner.ended:
        where = "a second time" if name == "else" else "behind {% else %}"
        return f"{piece.source} stands {where} in {inner.piece.source}; {{% else %}} is the last part, and stands once"
    inner.ended, inner.begun = name == "else", inner.begun or name == "when"
    return ""


def rest_of(piece: Piece) -> str:
    """A tag without its name."""
    return piece.text[len(piece.tag_name) :].strip()


def _tag(code: str) -> str:
    return f"{{% {code} %}}"


# --- a tag that there is not ----------------------------------------------------------------------------------------

_MEANT = {
    "elseif": "elsif",
    "elif": "elsif",
    "else:": "else",
    "fi": "if",
    "set": "assign",
    "let": "assign",
    "var": "assign",
}
_NOT_IN_EMAILS = frozenset(
    {"for", "break", "continue", "cycle", "tablerow", "capture", "increment", "decrement", "include", "render", "raw"}
    | {"liquid", "echo", "layout", "extends", "block", "with", "macro", "import"}
    | {"endfor", "endtablerow", "endcapture", "endraw", "endblock", "endwith", "endmacro"}
)
"""Tags of Liquid and of its like that were meant, and that there are none of."""
_FIELD = re.compile(r"[A-Za-z]\w*(?:\.\w+)+(?:\s*\|.*)?")


def explain_tag(piece: Piece, known: frozenset[str]) -> str:
    """What to write in place of a tag that is not one of those known."""
    name, rest = piece.tag_name, rest_of(piece)
    if not name:
        return "{% %} has nothing in it; take it out"
    if _FIELD.fullmatch(piece.text):
        return f"{piece.source} is written {{{{ {piece.text} }}}}"
    joined = piece.text.casefold().replace(" ", "").replace("/", "end")
    low = name.casefold()
    if low == "end" and not rest:
        return "{% end %} does not say what it closes; write {% endif %}, {% endunless %} or {% endcase %}"
    meant = joined if joined in _CLOSED_BY.values() else _MEANT.get(low, low if low in known else "")
    if not meant and low not in _NOT_IN_EMAILS:
        meant = next(iter(get_close_matches(low, sorted(known), 1, 0.7)), "")
    if meant:
        code = meant if meant.startswith("end") or not rest else f"{meant} {rest}"
        return f"{piece.source} is not known; write {_tag(code)}"
    return f"{piece.source} is not available in emails; there are if, unless, case, assign and comment"


# --- what stands in a tag or a field --------------------------------------------------------------------------------

_TEXTS = re.compile(r"\"[^\"]*\"|'[^']*'")
_CURLY = re.compile("[“”„‟‘’‚‛«»]")  # noqa: RUF001 - the curly quotes are meant
_OPERATOR = r"==|!=|<>|<=|>=|<|>|=|contains|and|or"
_FUNCTION = re.compile(r"\b([A-Za-z]\w*)\(")
_WORDS = re.compile(r"([A-Za-z][\w.]*) ([A-Za-z][\w.]*)")
_FALLBACK = re.compile(r"([A-Za-z][\w.]*)\s*(?:,|:|\|\||\?\??|\bor\b)\s*(?:default:?\s*)?$")
_NO_COLON = re.compile(r"\|\s*(\w+)\s*(?:=\s*)?(?:(?=\")|(?=')|(?=\d))")


def explain(piece: Piece) -> str:
    """Why a field or tag of a known name cannot be read, and what to write; for one that the parser refused."""
    tag = piece.tag_name if piece.kind is PieceKind.TAG else ""
    code = rest_of(piece) if tag else piece.text
    reason = _explain_text(code) or (_explain_assign(code) if tag == "assign" else "")
    if not reason:
        reason = _explain_field(code) if tag in ("", "assign") else _explain_condition(code, tag)
    return f"{piece.source} {reason or f'is not understood; write it as {_EXAMPLES[tag]}'}"


def _explain_text(code: str) -> str:
    """Quotes that do not match, which leave the rest unreadable."""
    bare = _TEXTS.sub("", code)
    if found := _CURLY.search(bare):
        return f'has the curly quote {found[0]}; type straight ones, "like this"'
    if '"' in bare or "'" in bare:
        return 'has a quote that is not closed; write texts "like this", with the same quote at both ends'
    return ""


def _explain_assign(code: str) -> str:
    name, mark, value = _blank_texts(code).partition("=")
    example = f"; write {_EXAMPLES['assign']}"
    if not mark:
        return f"has no = between the name and the value{example}"
    if value.startswith("="):
        return f"has two =, and one is enough{example}"
    if not name.strip():
        return f"has no name before the ={example}"
    if " " in name.strip():
        return f"has a name of several words; write {'_'.join(name.split())}"
    return "" if value.strip() else f"has nothing behind the ={example}"


def _explain_condition(code: str, tag: str) -> str:
    bare = _blank_texts(code)
    example = _EXAMPLES[tag]
    if not code:
        return f"says nothing to compare; write {example}"
    if re.match(r"(?:not\b|!(?!=))", bare):
        return "is written with {% unless ... %}, and closed with {% endunless %}"
    if "===" in bare:
        return "has three =; write =="
    if re.search(r"(?<![=!<>])=(?!=)", bare):
        return "compares with =; write =="
    if "&&" in bare or "||" in bare:
        return "has && or ||; write and, or"
    if "(" in bare or ")" in bare:
        return "has round brackets, which are not available; put one {% if ... %} within another"
    if "|" in bare:
        return "has a filter, and conditions take none; put {% assign name = contact.title | upcase %} before it"
    if found := re.search(rf"({_OPERATOR})\s*$", bare):
        return f"has nothing behind {found[1]}; write it as {example}"
    if found := re.match(rf"({_OPERATOR})(?![\w.])", bare):
        return f"has nothing before {found[1]}; write it as {example}"
    if found := re.search(rf"\b(and|or)\s+({_OPERATOR})(?![\w.])", bare):
        return f"has nothing between {found[1]} and {found[2]}; write it as {example}"
    if found := re.search(r"\b(is not|is|equals|eq|includes|has)\b(?= )", bare):
        word = {"is not": "!=", "includes": "contains", "has": "contains"}.get(found[1], "==")
        return f'has "{found[1]}" in it; write {word}'
    return _explain_words(bare)


def _explain_field(code: str) -> str:
    bare = _blank_texts(code)
    if not code:
        return "has nothing in it; write {{ contact.first_name }}, or take it out"
    if code[0] in "#/^" or re.match(r"(?:if|else|end)\b", code):
        return "is no field; conditions are written {% if contact.title %} ... {% else %} ... {% endif %}"
    if found := _FUNCTION.search(bare):
        return f"has the formula {found[1]}(...), which is not available; use {{% if ... %}} or | default:"
    if found := _NO_COLON.search(code):
        return f"has no colon behind {found[1]}; write {found[1]}: and the value"
    if (found := _FALLBACK.match(_TEXTS.sub("", code))) and _TEXTS.search(code):
        return f"has a fallback that is not understood; write {{{{ {found[1]} | default: {_TEXTS.findall(code)[0]} }}}}"
    if re.search(r"\|\s*$", bare):
        return "has nothing behind the last |"
    if found := re.search(r"[+*/%]|(?<= )-(?= )", bare):
        return f"has {found[0]} in it, and nothing is added up in emails; write one field after the other"
    if re.search(r"\.\.|^\.|\.(?=\s|$)", bare):
        return "has a dot too many; write {{ contact.first_name }}"
    if found := re.search(r"[;?!&#@$^~\\]", bare):
        return f"has {found[0]} in it; take it out"
    return _explain_words(bare)


def _explain_words(bare: str) -> str:
    if found := _WORDS.search(bare):
        return f"has a space in {found[0]}; write {found[1]}_{found[2]} if it is one field, and each by itself if not"
    return ""


def _blank_texts(code: str) -> str:
    """The code with what stands in quotes blanked out."""
    return _TEXTS.sub('""', code)


# --- other programs' merge fields -----------------------------------------------------------------------------------

_FOREIGN = re.compile(
    r"%%[A-Za-z][\w .-]{0,60}%%|\*\|[A-Z][\w:]{0,60}\|\*|\[\[ ?[A-Za-z][\w .-]{0,60} ?\]\]|<<[A-Za-z][\w .-]{0,60}>>"
)
"""Of Salesforce Marketing Cloud, Mailchimp, and of mail merges in word processors."""


def find_foreign(literal: str) -> str:
    """What is wrong with a text that would be mailed as it is: a merge field of another program; "" for nothing."""
    found = _FOREIGN.search(literal)
    if found is None:
        return ""
    name = re.sub(r"\W+", "_", found[0].strip("%*|[]<> ")).strip("_").casefold()
    return f"{found[0]} is another program's merge field, and would be mailed as it stands; write {{{{ {name} }}}}"
