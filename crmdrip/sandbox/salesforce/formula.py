"""Formulas of validation rules and formula fields, as far as the package uses them.

A formula with a function that is not known here is told apart (UnknownFunctionError): nobody takes it for evaluated.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 3_900
"""Characters of a formula (Salesforce help, "Formula Field Limits and Restrictions")."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<comment>/\*.*?\*/)|(?P<number>\d+(?:\.\d+)?)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<name>\$?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<sign><=|>=|<>|!=|==|&&|\|\||[-+*/&(),<>=!]))""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WORDS: Mapping[str, Any] = {"TRUE": True, "FALSE": False, "NULL": None}


class FormulaError(ValueError):
    """What the vendor would refuse."""


class UnknownFunctionError(ValueError):
    """What the vendor would take, and this stand-in cannot work out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What a formula is asked of: a row as it will be, and as it was."""

    row: Mapping[str, Any]
    """Values as answers show them, by field name."""
    before: Mapping[str, Any] | None = None
    """None for a new row."""


Value = Callable[[Scope], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Formula:
    """A formula, ready to be asked."""

    value: Value
    fields: frozenset[str]
    """What it is made of: nothing else changes it."""


PICKLISTS = frozenset({"picklist", "multipicklist"})
_TAKE_PICKLISTS = frozenset({"ISPICKVAL", "ISCHANGED", "ISBLANK", "ISNULL", "TEXT", "PRIORVALUE", "INCLUDES", "CASE"})


def compile_formula(text: str, kinds: Mapping[str, str]) -> Formula:
    """Read a formula. kinds: the object's fields with their types, as in describe.

    Raises FormulaError, worded as the vendor words it, and UnknownFunctionError.
    """
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"Formula is too long ({len(text):,} characters). Maximum length is {MAX_LENGTH:,}.")
    parser = _Parser(list(_tokens(text)), kinds)
    value = parser.read_or()
    if parser.peek() is not None:
        raise FormulaError(f"Syntax error. Extra {parser.peek()}")
    return Formula(value=value, fields=frozenset(parser.used))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise FormulaError(f"Syntax error. Found '{text[place:].strip()[:1]}'")
        if found.lastgroup != "comment":
            yield found.lastgroup, found[found.lastgroup]
        place = found.end()


class _Parser:
    """Reads one formula from left to right."""

    def __init__(self, tokens: list[tuple[str, str]], kinds: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._kinds = {name.lower(): (name, kind) for name, kind in kinds.items()}
        self._inside: list[str] = []
        self.used: set[str] = set()
        """Every field that was named."""

    def peek(self) -> str | None:
        """The next token, None at the end."""
        return self._tokens[self._place][1] if self._place < len(self._tokens) else None

    def _take(self, *wanted: str) -> str | None:
        if (found := self.peek()) in wanted:
            self._place += 1
            return found
        return None

    def _expect(self, sign: str) -> None:
        if self._take(sign) is None:
            raise FormulaError(f"Syntax error. Missing '{sign}'")

    def read_or(self) -> Value:
        """The loosest of all: alternatives."""
        value = self._read_and()
        while self._take("||"):
            value = _either(value, self._read_and())
        return value

    def _read_and(self) -> Value:
        value = self._read_comparison()
        while self._take("&&"):
            value = _both(value, self._read_comparison())
        return value

    def _read_comparison(self) -> Value:
        value = self._read_sum()
        while sign := self._take("=", "==", "<>", "!=", "<", "<=", ">", ">="):
            value = _compare(sign, value, self._read_sum())
        return value

    def _read_sum(self) -> Value:
        value = self._read_product()
        while sign := self._take("+", "-", "&"):
            value = _calculate(sign, value, self._read_product())
        return value

    def _read_product(self) -> Value:
        value = self._read_single()
        while sign := self._take("*", "/"):
            value = _calculate(sign, value, self._read_single())
        return value

    def _read_single(self) -> Value:
        if self._place >= len(self._tokens):
            raise FormulaError("Syntax error. Missing expression")
        kind, text = self._tokens[self._place]
        self._place += 1
        if text == "(":
            value = self.read_or()
            self._expect(")")
            return value
        if text == "!":
            return _negate(self._read_single())
        if text == "-":
            return _calculate("-", lambda _: 0, self._read_single())
        if kind == "number":
            return _constant(float(text))
        if kind == "text":
            return _constant(_ESCAPE.sub(_unescape, text[1:-1]))
        if kind != "name":
            raise FormulaError(f"Syntax error. Found '{text}'")
        if self.peek() == "(":
            return self._read_call(text.upper())
        if text.upper() in _WORDS:
            return _constant(_WORDS[text.upper()])
        return self._field(text)

    def _read_call(self, name: str) -> Value:
        self._expect("(")
        self._inside.append(name)
        given: list[Value] = []
        names: list[str] = []
        if self.peek() != ")":
            while True:
                names.append(self.peek() or "")
                given.append(self.read_or())
                if self._take(",") is None:
                    break
        self._expect(")")
        self._inside.pop()
        if name in ("ISCHANGED", "PRIORVALUE"):
            return _history(name, self._known(names[0]))
        if name not in _FUNCTIONS:
            raise UnknownFunctionError(name)
        least, most, function = _FUNCTIONS[name]
        if not least <= len(given) <= most:
            text = f"Incorrect number of parameters for function '{name}()'. Expected {least}, received {len(given)}"
            raise FormulaError(text)
        return function(given)

    def _field(self, name: str) -> Value:
        real = self._known(name)
        picklist = self._kinds[name.lower()][1] in PICKLISTS
        if picklist and (not self._inside or self._inside[-1] not in _TAKE_PICKLISTS):
            text = f"Field {name} is a picklist field. Picklist fields are only supported in certain functions."
            raise FormulaError(text)
        return lambda scope: scope.row.get(real)

    def _known(self, name: str) -> str:
        if name.startswith("$") or "." in name:
            raise UnknownFunctionError(name)
        if name.lower() not in self._kinds:
            raise FormulaError(f"Field {name} does not exist. Check spelling.")
        real = self._kinds[name.lower()][0]
        self.used.add(real)
        return real


def _unescape(found: re.Match[str]) -> str:
    return {"n": "\n", "r": "\r", "t": "\t"}.get(found[1], found[1])


def _constant(value: Any) -> Value:
    return lambda _: value


def _blank(value: Any) -> bool:
    return value is None or value == ""


def _same(one: Any, other: Any) -> bool:
    return bool(one == other or (_blank(one) and _blank(other)))


_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _either(left: Value, right: Value) -> Value:
    return lambda scope: bool(left(scope)) or bool(right(scope))


def _both(left: Value, right: Value) -> Value:
    return lambda scope: bool(left(scope)) and bool(right(scope))


def _negate(value: Value) -> Value:
    return lambda scope: not value(scope)


def _compare(sign: str, left: Value, right: Value) -> Value:
    if sign in ("=", "=="):
        return lambda scope: _same(left(scope), right(scope))
    if sign in ("<>", "!="):
        return lambda scope: not _same(left(scope), right(scope))
    order = _ORDERS[sign]

    def compared(scope: Scope) -> bool:
        one, other = left(scope), right(scope)
        return one is not None and other is not None and order(one, other)

    return compared


def _calculate(sign: str, left: Value, right: Value) -> Value:
    def calculated(scope: Scope) -> Any:
        one, other = left(scope), right(scope)
        if sign == "&" or isinstance(one, str) or isinstance(other, str):
            return f"{'' if one is None else one}{'' if other is None else other}"
        if one is None or other is None or (sign == "/" and not other):
            return None
        return {"+": one + other, "-": one - other, "*": one * other}[sign] if sign != "/" else one / other

    return calculated


def _history(name: str, field: str) -> Value:
    if name == "PRIORVALUE":
        return lambda scope: (scope.before or scope.row).get(field)
    # Of a new row nothing has changed (help, "ISCHANGED").
    return lambda scope: scope.before is not None and scope.before.get(field) != scope.row.get(field)


def _all(given: Sequence[Value]) -> Value:
    def held(scope: Scope) -> bool:
        for each in given:  # noqa: SIM110 - asked for every row; a generator takes twice as long
            if not each(scope):
                return False
        return True

    return held


def _any(given: Sequence[Value]) -> Value:
    def held(scope: Scope) -> bool:
        for each in given:  # noqa: SIM110 - as above
            if each(scope):
                return True
        return False

    return held


def _if(given: Sequence[Value]) -> Value:
    condition, then, otherwise = given
    return lambda scope: then(scope) if condition(scope) else otherwise(scope)


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _regex(given: Sequence[Value]) -> Value:
    # Java's regular expressions, of which the package uses what Python's mean alike.
    return lambda scope: re.fullmatch(_text_of(given[1](scope)), _text_of(given[0](scope)), re.DOTALL) is not None


def _time(given: Sequence[Value]) -> Value:
    def read(scope: Scope) -> str | None:
        text = _text_of(given[0](scope)).removesuffix("Z")
        return f"{text}Z" if text else None

    return read


def _strings(function: Callable[..., Any]) -> Callable[[Sequence[Value]], Value]:
    return lambda given: lambda scope: function(*(_text_of(each(scope)) for each in given))


_FUNCTIONS: Mapping[str, tuple[int, int, Callable[[Sequence[Value]], Value]]] = {
    "AND": (1, 99, _all),
    "OR": (1, 99, _any),
    "NOT": (1, 1, lambda given: _negate(given[0])),
    "IF": (3, 3, _if),
    "ISBLANK": (1, 1, lambda given: lambda scope: _blank(given[0](scope))),
    "ISNULL": (1, 1, lambda given: lambda scope: given[0](scope) is None),
    "ISNEW": (0, 0, lambda _: lambda scope: scope.before is None),
    "ISPICKVAL": (2, 2, lambda given: _compare("=", given[0], given[1])),
    "BLANKVALUE": (2, 2, lambda given: lambda scope: given[int(_blank(given[0](scope)))](scope)),
    "REGEX": (2, 2, _regex),
    "TIMEVALUE": (1, 1, _time),
    "TEXT": (1, 1, _strings(lambda text: text)),
    "LEN": (1, 1, _strings(len)),
    "TRIM": (1, 1, _strings(str.strip)),
    "UPPER": (1, 1, _strings(str.upper)),
    "LOWER": (1, 1, _strings(str.lower)),
    "BEGINS": (2, 2, _strings(lambda text, start: text.startswith(start))),
    "CONTAINS": (2, 2, _strings(lambda text, part: part in text)),
}
