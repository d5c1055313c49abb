"""SOQL: text to a tree. Knows the grammar a careful client uses, and refuses everything else as MALFORMED_QUERY.

Understood: SELECT of fields and parent paths, COUNT(), one level of child subqueries, WHERE with AND, OR, NOT,
= != < <= > >= LIKE IN, NOT IN, semi-joins, ORDER BY, LIMIT, OFFSET. Not understood, on purpose: date literals (they use
the user's zone), TYPEOF, GROUP BY, aggregates other than COUNT(), toLabel(), SOSL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from crmdrip.sandbox.salesforce.refusals import Refusal

MAX_QUERY = 100_000
MAX_STRING = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """A field, perhaps of a parent: ("Owner", "Name")."""

    parts: tuple[str, ...]
    at: int
    """Where it stands in the text, from 0."""

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Literal:
    """A value in a condition."""

    kind: str
    """string, number, boolean, null, date, datetime."""
    text: str
    """Unescaped, without quotes."""
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A field compared with one value. operator: =, !=, <, <=, >, >=, LIKE."""

    path: Path
    operator: str
    value: Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Membership:
    """A field looked for in a list of values or in a query's ids."""

    path: Path
    negated: bool
    values: tuple[Literal, ...] = ()
    query: Query | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    """A condition negated."""

    condition: Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Junction:
    """Conditions joined by AND or by OR."""

    word: str
    conditions: tuple[Condition, ...]


Condition = Comparison | Membership | Not | Junction


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One ORDER BY term."""

    path: Path
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One SELECT."""

    text: str
    """The whole request's text, for error messages."""
    counting: bool
    """SELECT COUNT()."""
    fields: tuple[Path, ...]
    children: tuple[Query, ...]
    source: str
    """The object's name, or the relationship's in a subquery, as written."""
    source_at: int
    where: Condition | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int


def point_at(text: str, at: int, message: str) -> str:
    """A message as the vendor writes it: the query around the place, a caret under it, and the column."""
    start = max(0, at - 60)
    shown = text[start : at + 60].replace("\n", " ")
    return f"\n{shown}\n{' ' * (at - start)}^\nERROR at Row:1:Column:{at + 1}\n{message}"


_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
  | (?P<date>\d{4}-\d\d-\d\d)
  | (?P<number>[+-]?\d+(?:\.\d+)?)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
  | (?P<sign><=|>=|!=|<>|[=<>(),:])
    """,
    re.VERBOSE | re.DOTALL,
)

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}

_RESERVED = frozenset({
    "and", "asc", "desc", "excludes", "first", "from", "group", "having", "in", "includes", "last", "like", "limit",
    "not", "null", "nulls", "or", "select", "where", "with", "using", "offset", "order", "by", "for", "typeof",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _scan(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Refusal("MALFORMED_QUERY", point_at(text, at, f"line 1:{at} no viable alternative at character"))
        kind = found.lastgroup or ""
        if kind != "space":
            tokens.append(_Token(kind, found.group(), at))
        at = found.end()
    tokens.append(_Token("end", "<EOF>", len(text)))
    return tokens


def _unescape(text: str, raw: str, at: int) -> str:
    """The string inside the quotes; in LIKE patterns an escaped % or _ keeps its backslash."""
    out: list[str] = []
    letters = iter(raw[1:-1])
    for letter in letters:
        if letter != "\\":
            out.append(letter)
            continue
        escaped = next(letters)
        if escaped in "%_":
            out.append("\\" + escaped)
        elif escaped.lower() in _ESCAPES:
            out.append(_ESCAPES[escaped.lower()])
        else:
            raise Refusal("MALFORMED_QUERY", point_at(text, at, f"Illegal escape sequence \\{escaped}"))
    return "".join(out)


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _scan(text)
        self.place = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.place]

    def fail(self, message: str = "", at: int | None = None) -> NoReturn:
        token = self.token
        text = message or f"unexpected token: '{token.text}'"
        raise Refusal("MALFORMED_QUERY", point_at(self.text, token.at if at is None else at, text))

    def next(self) -> _Token:
        token = self.token
        self.place += 1
        return token

    def word(self, *words: str) -> bool:
        """Take these words when they come next."""
        ahead = self.tokens[self.place : self.place + len(words)]
        if all(t.kind == "name" and t.text.lower() == w for t, w in zip(ahead, words, strict=False)) and len(
            ahead
        ) == len(words):
            self.place += len(words)
            return True
        return False

    def sign(self, sign: str) -> bool:
        if self.token.kind == "sign" and self.token.text == sign:
            self.place += 1
            return True
        return False

    def expect_word(self, word: str) -> None:
        if not self.word(word):
            self.fail(f"expecting '{word.upper()}', found '{self.token.text}'")

    def expect_sign(self, sign: str) -> None:
        if not self.sign(sign):
            self.fail(f"expecting '{sign}', found '{self.token.text}'")

    def path(self, allowed: str = "") -> Path:
        token = self.token
        if token.kind != "name" or (token.text.lower() in _RESERVED and token.text.lower() != allowed):
            self.fail()
        self.place += 1
        return Path(parts=tuple(token.text.split(".")), at=token.at)

    def query(self, depth: int = 0) -> Query:
        self.expect_word("select")
        counting, fields, children = self.selection(depth)
        self.expect_word("from")
        source = self.path(allowed="group")  # an object of that name exists, and the vendor takes it here
        if len(source.parts) > 1 and depth == 0:
            self.fail(at=source.at)
        where = self.condition() if self.word("where") else None
        order = self.ordering() if self.word("order", "by") else ()
        limit = self.whole_number() if self.word("limit") else None
        offset = self.whole_number() if self.word("offset") else 0
        return Query(
            text=self.text,
            counting=counting,
            fields=fields,
            children=children,
            source=str(source),
            source_at=source.at,
            where=where,
            order=order,
            limit=limit,
            offset=offset,
        )

    def selection(self, depth: int) -> tuple[bool, tuple[Path, ...], tuple[Query, ...]]:
        fields: list[Path] = []
        children: list[Query] = []
        while True:
            if self.sign("("):
                if depth:
                    self.fail("nesting of subqueries is not supported")
                children.append(self.query(depth + 1))
                self.expect_sign(")")
            else:
                path = self.path()
                if self.token.text == "(":
                    if str(path).lower() != "count" or fields or children or depth:
                        self.fail()
                    self.expect_sign("(")
                    self.expect_sign(")")
                    return True, (), ()
                fields.append(path)
            if not self.sign(","):
                break
        if not fields and depth == 0 and not children:
            self.fail()
        return False, tuple(fields), tuple(children)

    def condition(self) -> Condition:
        """One level: terms joined by AND, or by OR; the vendor wants parentheses to mix them."""
        terms = [self.term()]
        joint = ""
        while True:
            for word in ("and", "or"):
                if self.word(word):
                    if joint and joint != word:
                        self.fail("unexpected token: mixing AND and OR needs parentheses")
                    joint = word
                    terms.append(self.term())
                    break
            else:
                break
        return terms[0] if not joint else Junction(word=joint.upper(), conditions=tuple(terms))

    def term(self) -> Condition:
        if self.word("not"):
            return Not(condition=self.term())
        if self.sign("("):
            inside = self.condition()
            self.expect_sign(")")
            return inside
        path = self.path()
        if self.word("not", "in"):
            return self.membership(path, negated=True)
        if self.word("in"):
            return self.membership(path, negated=False)
        if self.word("like"):
            return Comparison(path=path, operator="LIKE", value=self.literal())
        token = self.token
        if token.kind != "sign" or token.text not in ("=", "!=", "<>", "<", "<=", ">", ">="):
            self.fail()
        self.place += 1
        return Comparison(path=path, operator="!=" if token.text == "<>" else token.text, value=self.literal())

    def membership(self, path: Path, *, negated: bool) -> Membership:
        self.expect_sign("(")
        if self.token.kind == "name" and self.token.text.lower() == "select":
            query = self.query(depth=1)
            self.expect_sign(")")
            return Membership(path=path, negated=negated, query=query)
        values = [self.literal()]
        while self.sign(","):
            values.append(self.literal())
        self.expect_sign(")")
        return Membership(path=path, negated=negated, values=tuple(values))

    def literal(self) -> Literal:
        token = self.next()
        if token.kind == "string":
            text = _unescape(self.text, token.text, token.at)
            if len(text) > MAX_STRING:
                self.fail("the string of a condition is longer than 4000 characters", at=token.at)
            return Literal(kind="string", text=text, at=token.at)
        if token.kind in ("number", "date", "datetime"):
            return Literal(kind=token.kind, text=token.text, at=token.at)
        if token.kind == "name" and token.text.lower() in ("true", "false"):
            return Literal(kind="boolean", text=token.text.lower(), at=token.at)
        if token.kind == "name" and token.text.lower() == "null":
            return Literal(kind="null", text="", at=token.at)
        self.place -= 1
        return self.fail()

    def ordering(self) -> tuple[Order, ...]:
        terms: list[Order] = []
        while True:
            path = self.path()
            descending = self.word("desc")
            if not descending:
                self.word("asc")
            nulls_last = False
            if self.word("nulls"):
                nulls_last = self.word("last")
                if not nulls_last:
                    self.expect_word("first")
            terms.append(Order(path=path, descending=descending, nulls_last=nulls_last))
            if not self.sign(","):
                return tuple(terms)

    def whole_number(self) -> int:
        token = self.next()
        if token.kind != "number" or not token.text.isdigit():
            self.place -= 1
            self.fail()
        return int(token.text)


def parse(text: str) -> Query:
    """The tree of a SOQL text. Raises Refusal MALFORMED_QUERY."""
    if len(text) > MAX_QUERY:
        raise Refusal("MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters.")
    parser = _Parser(text)
    query = parser.query()
    if parser.token.kind != "end":
        parser.fail()
    return query
