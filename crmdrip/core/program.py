"""A parsed template, compiled to steps that know which field is missing.

python-liquid reads the template; what runs is ours. The compiler knows a closed set of tree nodes and refuses every
other, so nothing of the library runs at render time: no loops, ranges, partials, object look-ups or auto-escape
exceptions to switch off one by one (its limits do not count ranges expanded by filters, `safe` defeats its escaping,
and None and "" pass its strict mode: tried on 2.3.6, 2026-11-24). Without loops, the work of a render is bounded by
the size of the template. Semantics are Liquid's; tests/core/test_render_equivalence.py holds the two together.

Where they differ, on purpose: a blank field counts as missing (`{% if title %}` is false for ""), it equals nil, "",
blank and empty; a `when` that matches twice prints once; whole numbers print without ".0".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from liquid import Environment
from liquid.ast import BlockNode, Node
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions import (
    BooleanExpression,
    FilteredExpression,
    KeywordArgument,
    Nil,
    Path,
    StringLiteral,
)
from liquid.builtin.expressions import Filter as FilterCall
from liquid.builtin.expressions.logical import LogicalAndExpression, LogicalOrExpression
from liquid.builtin.expressions.primitive import Blank, Empty, FalseLiteral, FloatLiteral, IntegerLiteral, TrueLiteral
from liquid.builtin.tags.assign_tag import AssignNode, AssignTag
from liquid.builtin.tags.case_tag import CaseNode, CaseTag, MultiExpressionBlockNode
from liquid.builtin.tags.if_tag import IfNode, IfTag
from liquid.builtin.tags.unless_tag import UnlessNode, UnlessTag
from liquid.expression import Expression

from crmdrip.core.comparison import BLANK, COMPARED, COMPARISONS, EMPTY, equal, is_true
from crmdrip.core.filters import FILTERS, FITTINGS, Filter, apply_filter, check_date_format, use_default
from crmdrip.core.values import Absent, RefusedError, fold, label, print_value, read_path

TAGS = frozenset({"if", "elsif", "else", "endif", "unless", "endunless", "case", "when", "endcase", "assign"})
"""The tags there are; comments are gone before (core.markup)."""

ASSIGN_LIMIT = 50
"""`{% assign %}` in one template: each may hold a text of core.filters.RESULT_LIMIT characters."""

OUTPUT_LIMIT = 262_144
"""Characters of a rendered template."""

_LONG = 1_000  # Shorter texts cannot reach the limit unnoticed: a template has room for a few thousand outputs.


class TemplateEnvironment(Environment):
    """python-liquid with the allowed tags only; filters are ours and are not registered with it."""

    block_nesting_limit = 20

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Register the allow-list in place of everything."""
        del extra
        for tag in (content.Literal, output.Output, illegal.Illegal, IfTag, UnlessTag, CaseTag, AssignTag):
            self.add_tag(tag)


ENVIRONMENT = TemplateEnvironment()


class State:
    """One render under way."""

    __slots__ = ("missing", "out", "size", "values")

    def __init__(self, values: dict[str, object]) -> None:
        self.values = values
        self.out: list[str] = []
        self.missing: dict[str, None] = {}
        self.size = 0

    def grow(self, characters: int) -> None:
        """Count a long text. Raises RefusedError past OUTPUT_LIMIT."""
        self.size += characters
        if self.size > OUTPUT_LIMIT:
            raise RefusedError("The email becomes too long")


Values = Mapping[str, object]
Evaluate = Callable[[Values], object]
Test = Callable[[Values], bool]
Run = Callable[[State], None]


class UnsupportedError(Exception):
    """The template uses something that is not available; the text says what."""


class Compiler:
    """Compiles one template. Collects the paths it uses. Raises UnsupportedError at the first thing unknown."""

    def __init__(self, land: Callable[[str], str], is_odd: Callable[[str], object]) -> None:
        """land: makes a value fit for where it lands; is_odd: whether it is not fit as it is."""
        self._land = land
        self._is_odd = is_odd
        self._locals: set[str] = set()
        self._assigns = 0
        self.paths: dict[str, str] = {}
        """As written first, by folded path."""

    @property
    def assigns(self) -> bool:
        """Whether rendering sets values of its own."""
        return bool(self._locals)

    def compile_nodes(self, nodes: Iterable[Node], *, silent: bool = False) -> tuple[str | Run, ...]:
        """The steps of some nodes; literals stay texts; a silent block, which prints nothing, has none."""
        steps: list[str | Run] = []
        for node in nodes:
            if isinstance(node, content.ContentNode):
                if not silent:
                    steps.append(node.text)
            else:
                steps.append(self._compile_node(node))
        return tuple(steps)

    def _compile_node(self, node: Node) -> Run:
        if isinstance(node, output.OutputNode):
            return self.compile_output(node.expression)
        if isinstance(node, IfNode):
            branches = [(self._test(node.condition), self._block(node.consequence))]
            branches += [(self._test(other.expression), self._block(other.block)) for other in node.alternatives]
            return _choose(branches, self._block(node.default))
        if isinstance(node, UnlessNode):
            condition = self._test(node.condition)
            branches = [(lambda values: not condition(values), self._block(node.consequence))]
            branches += [(self._test(other.expression), self._block(other.block)) for other in node.alternatives]
            return _choose(branches, self._block(node.default))
        if isinstance(node, CaseNode):
            return self._case(node)
        if isinstance(node, AssignNode):
            return self._assign(node)
        raise UnsupportedError(f"{{% {node.token.value} %}} is not available in emails")

    def _block(self, block: BlockNode | None) -> tuple[str | Run, ...]:
        # Liquid leaves out the line breaks of a block that only assigns.
        return () if block is None else self.compile_nodes(block.nodes, silent=block.blank)

    def compile_output(self, expression: Expression) -> Run:
        """The step that prints one expression."""
        if not isinstance(expression, FilteredExpression):
            raise UnsupportedError("only a field with filters can stand here")
        evaluate = self._filtered(expression)
        land, is_odd = self._land, self._is_odd
        path = _named(expression.left)
        may_be_blank = isinstance(expression.left, StringLiteral) or any(
            call.name == "default" for call in expression.filters or ()
        )

        def put(state: State) -> None:
            try:
                value = evaluate(state.values)
                if isinstance(value, Absent):
                    state.missing[value.path] = None
                    return
                text = print_value(value)
                if is_odd(text):
                    text = land(text)
            except RefusedError as error:
                raise RefusedError(f"{label(path)} {error}") from None
            if not may_be_blank and not text.strip():
                state.missing[path] = None
            if len(text) > _LONG:
                state.grow(len(text))
            state.out.append(text)

        return put

    def _assign(self, node: AssignNode) -> Run:
        if not isinstance(node.expression, FilteredExpression):
            raise UnsupportedError("only a field with filters can be assigned")
        self._assigns += 1
        if self._assigns > ASSIGN_LIMIT:
            raise UnsupportedError(f"there are more than {ASSIGN_LIMIT} {{% assign %}}")
        evaluate = self._filtered(node.expression)
        self._locals.add(str(node.name))
        key, path = _local(str(node.name)), _named(node.expression.left)

        def assign(state: State) -> None:
            try:
                state.values[key] = evaluate(state.values)
            except RefusedError as error:
                raise RefusedError(f"{label(path)} {error}") from None

        return assign

    def _case(self, node: CaseNode) -> Run:
        subject = self._operand(node.expression)
        whens: list[tuple[list[Evaluate] | None, tuple[str | Run, ...]]] = []
        for block in node.blocks:
            if isinstance(block, MultiExpressionBlockNode):
                whens.append(([self._operand(one) for one in block.expression.expressions], self._block(block.block)))
            else:
                whens.append((None, self._block(block)))

        def choose(state: State) -> None:
            value = subject(state.values)
            matched = False
            for candidates, steps in whens:
                if candidates is None:
                    if not matched:
                        run_steps(steps, state)
                elif any(equal(value, candidate(state.values)) for candidate in candidates):
                    matched = True
                    run_steps(steps, state)

        return choose

    # --- values

    def _filtered(self, expression: FilteredExpression) -> Evaluate:
        evaluate = self._value(expression.left)
        for call in expression.filters or ():
            evaluate = self._default(evaluate, call) if call.name == "default" else self._filter(evaluate, call)
        return evaluate

    def _default(self, before: Evaluate, call: FilterCall) -> Evaluate:
        positional = [argument for argument in call.args if not isinstance(argument, KeywordArgument)]
        allow_false = False
        for argument in call.args:
            if isinstance(argument, KeywordArgument):
                if argument.name != "allow_false" or not isinstance(argument.value, TrueLiteral):
                    raise UnsupportedError(f"default takes no {argument.name}")
                allow_false = True
        if len(positional) != 1:
            raise UnsupportedError('default needs one text, such as default: "there"')
        fallback = self._value(positional[0].value)

        def evaluate(values: Values) -> object:
            value = before(values)
            if isinstance(value, Absent):
                instead = fallback(values)
                # Both missing: the one asked for first is the one to fill in.
                return value if isinstance(instead, Absent) else instead
            return fallback(values) if use_default(value, allow_false=allow_false) else value

        return evaluate

    def _filter(self, before: Evaluate, call: FilterCall) -> Evaluate:
        chosen = FILTERS.get(call.name) or FITTINGS.get(call.name)
        if chosen is None:
            close = get_close_matches(call.name.casefold(), ["default", *FILTERS], 1, 0.7)
            instead = f"write {close[0]}" if close else f"there are default, {', '.join(FILTERS)}"
            raise UnsupportedError(f"there is no filter {call.name}; {instead}")
        if any(isinstance(argument, KeywordArgument) for argument in call.args):
            raise UnsupportedError(f"{call.name} takes no named arguments")
        if not chosen.least <= len(call.args) <= chosen.most:
            raise UnsupportedError(f"{call.name} {_wanted(chosen)}")
        for argument in call.args:
            if call.name == "date" and isinstance(argument.value, StringLiteral):
                try:
                    check_date_format(argument.value.value)
                except RefusedError as error:
                    raise UnsupportedError(f"date {error}") from None
        arguments = [self._value(argument.value) for argument in call.args]
        said = "" if call.name in FITTINGS else f"({call.name}) "

        def evaluate(values: Values) -> object:
            value = before(values)
            if isinstance(value, Absent):
                return value
            given = [argument(values) for argument in arguments]
            for one in given:
                if isinstance(one, Absent):
                    return one
            try:
                return apply_filter(chosen, value, given)
            except RefusedError as error:
                raise RefusedError(f"{said}{error}") from None

        return evaluate

    def _value(self, expression: Expression) -> Evaluate:
        if isinstance(expression, Path):
            return self._path(expression)
        if isinstance(expression, StringLiteral) and ("{" in expression.value or "}" in expression.value):
            raise UnsupportedError("a text in quotes contains a brace")
        if isinstance(expression, (StringLiteral, IntegerLiteral, FloatLiteral, TrueLiteral, FalseLiteral)):
            literal = expression.value
            return lambda _: literal
        if isinstance(expression, (Nil, Blank, Empty)):
            raise UnsupportedError(f"{type(expression).__name__.lower()} can only be compared with")
        raise UnsupportedError("a range of numbers is not available in emails")

    def _path(self, expression: Path) -> Evaluate:
        segments = expression.path
        written = ".".join(segment for segment in segments if isinstance(segment, str))
        if not all(isinstance(segment, str) for segment in segments):
            raise UnsupportedError(f"{written} [...] is not a field")
        if len(segments) == 1 and written in self._locals:
            key, path = _local(written), written
        else:
            try:
                path = read_path(written)
            except RefusedError as error:
                raise UnsupportedError(f"{written} {error}") from None
            key = fold(path)
            self.paths.setdefault(key, path)
        absent = Absent(path)
        return lambda values: values.get(key, absent)

    # --- conditions

    def _operand(self, expression: Expression) -> Evaluate:
        if isinstance(expression, Nil):
            return lambda _: None
        if isinstance(expression, (Blank, Empty)):
            constant = BLANK if isinstance(expression, Blank) else EMPTY
            return lambda _: constant
        return self._value(expression)

    def _test(self, expression: Expression) -> Test:
        if isinstance(expression, BooleanExpression):
            return self._test(expression.expression)
        if isinstance(expression, (LogicalAndExpression, LogicalOrExpression)):
            left, right = self._test(expression.left), self._test(expression.right)
            if isinstance(expression, LogicalAndExpression):
                return lambda values: left(values) and right(values)
            return lambda values: left(values) or right(values)
        if isinstance(expression, COMPARED):
            # A comparison may itself stand in one (a == b == c): then its outcome is compared.
            before, after = self._compared(expression.left), self._compared(expression.right)
            compare = COMPARISONS[type(expression)]
            return lambda values: compare(before(values), after(values))
        operand = self._operand(expression)
        return lambda values: is_true(operand(values))

    def _compared(self, expression: Expression) -> Evaluate:
        nested = isinstance(expression, (LogicalAndExpression, LogicalOrExpression, *COMPARED))
        return self._test(expression) if nested else self._operand(expression)


def _wanted(chosen: Filter) -> str:
    """How many values a filter takes, as its author is told."""
    if chosen.most == 0:
        return "takes nothing behind it"
    if chosen.least == chosen.most:
        values = "one value" if chosen.most == 1 else f"{chosen.most} values"
        return f"takes {values}, behind a colon{'' if chosen.most == 1 else ' and with commas between them'}"
    return f"takes {chosen.least} to {chosen.most} values, behind a colon and with commas between them"


def run_steps(steps: tuple[str | Run, ...], state: State) -> None:
    """Print the literals and run the rest. Raises RefusedError when a value cannot be printed."""
    out = state.out
    for step in steps:
        if isinstance(step, str):
            out.append(step)
        else:
            step(state)


def _choose(branches: list[tuple[Test, tuple[str | Run, ...]]], default: tuple[str | Run, ...]) -> Run:
    def choose(state: State) -> None:
        for test, steps in branches:
            if test(state.values):
                run_steps(steps, state)
                return
        run_steps(default, state)

    return choose


def _local(name: str) -> str:
    """The key of an assigned name; no folded path begins with an equals sign."""
    return f"={name}"


def _named(expression: Expression) -> str:
    """How the value of an output is called when something is wrong with it."""
    if isinstance(expression, Path):
        written = ".".join(str(segment) for segment in expression.path)
        try:
            return read_path(written)
        except RefusedError:
            return written
    return "The text"
