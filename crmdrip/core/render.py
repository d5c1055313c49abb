"""Renders one template for one person, or says what keeps it from being sent.

Templates come from the CRM and are not trusted: sizes are bounded, only listed tags and filters exist, and a value
is escaped for where it lands. A field that is missing or blank and has no `default` is reported, and all such fields
at once; a field used only in a branch that is not taken is not asked for. No email ever shows a brace.

Never fetches a value, never knows a CRM, never decides whether to send.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

from liquid.builtin.expressions import FilteredExpression, tokenize
from liquid.exceptions import LiquidError
from liquid.stream import TokenStream
from liquid.token import TOKEN_EXPRESSION, Token

from crmdrip.core.body import read_body
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.markup import Piece, PieceKind, scan
from crmdrip.core.mistakes import explain, explain_tag, find_foreign, find_mismatches, rest_of
from crmdrip.core.program import ENVIRONMENT, OUTPUT_LIMIT, TAGS, Compiler, Run, State, UnsupportedError, run_steps
from crmdrip.core.struct import Struct
from crmdrip.core.values import ODD_IN_HTML, ODD_IN_TEXT, Context, RefusedError, clean_html, clean_text

TEMPLATE_LIMIT = 409_600
"""Characters of a template. What an author writes is limited before (core.body); HTML made from it may be longer."""

MARKUP_COUNT_LIMIT = 1_000
"""Fields and tags in one template; compiling one costs about 50 µs."""

CACHED_TEMPLATES = 1_024


class Format(Enum):
    """Where the values of a template land."""

    HTML = "html"
    TEXT = "text"
    """Plain text and headers."""


class Rendered(Struct, frozen=True, kw_only=True):
    """The finished text."""

    text: str


class Missing(Struct, frozen=True, kw_only=True):
    """Fields that are missing or blank and have no default, by path, in the order of their use."""

    paths: tuple[str, ...]


class Broken(Struct, frozen=True, kw_only=True):
    """It cannot be rendered for this person: a value is not printable or too long. problem: why, in plain words."""

    problem: str


class Template:
    """A compiled template. Immutable; shared between threads."""

    __slots__ = ("_assigns", "_steps", "branches", "paths", "source")

    def __init__(self, *, source: str, steps: tuple[str | Run, ...], paths: frozenset[str], assigns: bool) -> None:
        self.source = source
        self.paths = paths
        """Every merge path used, in any branch, as the last look asks for it ("first_name", "account.name")."""
        self.branches = any(not isinstance(step, str) for step in steps) and "{%" in source
        """Whether parts of it may be left out."""
        self._steps = steps
        self._assigns = assigns

    def render(self, context: Context) -> Rendered | Missing | Broken:
        """The text for this person's values. Raises nothing."""
        state = State(dict(context.values) if self._assigns else context.values)
        try:
            run_steps(self._steps, state)
        except RefusedError as error:
            return Broken(problem=str(error))
        if state.missing:
            return Missing(paths=tuple(state.missing))
        text = "".join(state.out)
        if len(text) > OUTPUT_LIMIT:
            return Broken(problem="The email becomes too long")
        return Rendered(text=text)


@lru_cache(maxsize=CACHED_TEMPLATES)
def compile_template(source: str, landing: Format) -> Template:
    """Compile a template, once per source. Raises ConfigurationError with every problem in it."""
    compiled = _compile(source, landing)
    if isinstance(compiled, Template):
        return compiled
    raise ConfigurationError("; ".join(compiled) + ".", do_next="Correct the step.")


def find_problems(source: str, landing: Format) -> tuple[str, ...]:
    """What is wrong with a template in plain words, all at once; nothing when it compiles."""
    compiled = _compile(source, landing)
    return () if isinstance(compiled, Template) else compiled


def check_template(source: str) -> list[str]:
    """What is wrong with a subject or body as its author wrote it, in plain words, all at once."""
    body = read_body(source)
    problems = dict.fromkeys(body.problems)
    if problems:
        # What could not be read is missing below: tags that seem not to fit each other may well do so.
        return list(problems | dict.fromkeys(_judge_all(scan(body.text).pieces)))
    # Both are made from the same source: what the text shows needs no second telling.
    return list(find_problems(body.text, Format.TEXT) or find_problems(body.html, Format.HTML))


def _compile(source: str, landing: Format) -> Template | tuple[str, ...]:
    if len(source) > TEMPLATE_LIMIT:
        return (f"the template becomes longer than {TEMPLATE_LIMIT // 1024} KB",)
    found = scan(source)
    if sum(piece.kind is not PieceKind.LITERAL for piece in found.pieces) > MARKUP_COUNT_LIMIT:
        return (f"the template has more than {MARKUP_COUNT_LIMIT} fields and tags",)
    problems = dict.fromkeys((*found.problems, *_judge_all(found.pieces)))
    if not problems:
        problems = dict.fromkeys(find_mismatches(found.pieces))
    if problems:
        return tuple(problems)
    liquid = "".join(piece.source for piece in found.pieces)
    html = landing is Format.HTML
    compiler = Compiler(clean_html, ODD_IN_HTML.search) if html else Compiler(clean_text, ODD_IN_TEXT.search)
    try:
        steps = compiler.compile_nodes(ENVIRONMENT.parse(liquid).nodes)
    except LiquidError:
        refused = dict.fromkeys(filter(None, map(_judge_tag, found.pieces)))
        return tuple(refused) or (f"tags stand more than {ENVIRONMENT.block_nesting_limit} deep within each other",)
    except UnsupportedError as error:
        return tuple(dict.fromkeys(filter(None, map(_judge_tag, found.pieces)))) or (str(error),)
    return Template(
        source=liquid,
        steps=steps,
        paths=frozenset(compiler.paths.values()),
        assigns=compiler.assigns,
    )


def _judge_all(pieces: Iterable[Piece]) -> Iterable[str]:
    """What is wrong with pieces, each by itself."""
    return filter(None, map(_judge, pieces))


def _judge(piece: Piece) -> str:
    """What is wrong with one piece by itself, "" when nothing is. What stands in a tag is left to the parser."""
    if piece.kind is PieceKind.LITERAL:
        at = min((at for at in (piece.text.find("{"), piece.text.find("}")) if at >= 0), default=-1)
        if at < 0:
            return find_foreign(piece.text)
        shown = " ".join(piece.text[max(at - 10, 0) : at + 20].split())
        return f'"{shown}" has a brace that fills nothing in; a field is written {{{{ contact.first_name }}}}'
    if piece.kind is PieceKind.TAG:
        return "" if piece.tag_name in TAGS else explain_tag(piece, TAGS)
    try:
        token = Token(TOKEN_EXPRESSION, piece.text, 0, piece.text)
        parsed = FilteredExpression.parse(ENVIRONMENT, TokenStream(tokenize(piece.text, token)))
        Compiler(clean_text, ODD_IN_TEXT.search).compile_output(parsed)
    except LiquidError:
        return explain(piece)
    except UnsupportedError as error:
        return f"{piece.source}: {error}"
    return ""


_TRIALS = {
    "if": "{tag}{{% endif %}}",
    "unless": "{tag}{{% endunless %}}",
    "elsif": "{{% if true %}}{tag}{{% endif %}}",
    "case": "{tag}{{% when 1 %}}{{% endcase %}}",
    "when": "{{% case 1 %}}{tag}{{% endcase %}}",
    "assign": "{tag}",
}
"""The smallest template that each tag can stand in."""


def _judge_tag(piece: Piece) -> str:
    """What is wrong with what stands in a tag, "" when nothing is: for one of a template that was refused."""
    if piece.kind is not PieceKind.TAG or piece.tag_name not in _TRIALS:
        return ""
    if piece.tag_name != "assign" and not rest_of(piece):
        return explain(piece)
    try:
        trial = ENVIRONMENT.parse(_TRIALS[piece.tag_name].format(tag=piece.source))
        Compiler(clean_text, ODD_IN_TEXT.search).compile_nodes(trial.nodes)
    except LiquidError:
        return explain(piece)
    except UnsupportedError as error:
        return f"{piece.source}: {error}"
    return ""
