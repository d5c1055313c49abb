"""A SOQL tree to SQL over the store's tables, and SQL rows back to records as answers show them."""

# ruff: noqa: S608 - table and column names come from the schema, values are always bound

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crmdrip.sandbox.salesforce.ids import normalize
from crmdrip.sandbox.salesforce.plan import Child, Parent, Plan
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field, Schema, SObject
from crmdrip.sandbox.salesforce.soql import (
    Comparison,
    Condition,
    Junction,
    Literal,
    Membership,
    Not,
    Order,
    Path,
    Query,
    point_at,
)
from crmdrip.sandbox.salesforce.store import quote
from crmdrip.sandbox.salesforce.values import parse_datetime, shower

Hidden = Callable[[str, str], bool]
"""Whether the field (object name, field name) is hidden from who asks."""

MAX_OFFSET = 2_000
MAX_PARENT_DEPTH = 5
MAX_CHILDREN = 20
MAX_SEMI_JOINS = 2

NAME_FIELDS = ("Id", "Name", "FirstName", "LastName", "Email", "Phone", "Title", "Username", "Alias", "IsActive")
"""What a polymorphic parent offers besides Type: the vendor's Name object."""


class _Compiler:
    """Compiles one query. A compiler is used once."""

    def __init__(
        self, schema: Schema, query: Query, *, hidden: Hidden, everything: bool, prefix: str = ""
    ) -> None:  # fmt: skip
        self.schema = schema
        self.prefix = prefix
        self.base = f"{prefix}t"
        self.query = query
        self.hidden = hidden
        self.everything = everything
        self.joins: list[str] = []
        self.aliases: dict[tuple[str, ...], str] = {}
        self.parameters: list[Any] = []
        self.semi_joins = 0

    # names

    def refuse(self, code: str, at: int, message: str) -> Refusal:
        return Refusal(code, point_at(self.query.text, at, message))

    def source(self) -> SObject:
        spec = self.schema.get(self.query.source)
        if spec is None or self.hidden(spec.name, "Id"):
            raise self.refuse(
                "INVALID_TYPE",
                self.query.source_at,
                f"sObject type '{self.query.source}' is not supported. If you are attempting to use a custom object, be"
                " sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for"
                " the appropriate names.",
            )
        return spec

    def no_column(self, path: Path, entity: str) -> Refusal:
        return self.refuse(
            "INVALID_FIELD",
            path.at,
            f"No such column '{path.parts[-1]}' on entity '{entity}'. If you are attempting to use a custom field, be"
            " sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call"
            " for the appropriate names.",
        )

    def visible(self, spec: SObject, name: str) -> Field | None:
        each = spec.field(name)
        return None if each is None or self.hidden(spec.name, each.name) else each

    # joins

    def resolve(self, source: SObject, path: Path) -> tuple[tuple[str, ...], Field, str]:
        """The path as the schema spells it, its last field, and its SQL."""
        spec, alias = source, self.base
        spelled: list[str] = []
        parts = path.parts
        if (
            len(parts) > 1
            and parts[0].lower() == source.name.lower()
            and source.relationships.get(parts[0].lower()) is None
        ):
            parts = parts[1:]  # a field may be written with its object's name before it
        if len(parts) > MAX_PARENT_DEPTH + 1:
            raise self.refuse("MALFORMED_QUERY", path.at, "SOQL statements cannot query more than 5 levels of parents")
        for place, part in enumerate(parts[:-1]):
            key = spec.relationships.get(part.lower())
            if key is None or self.hidden(spec.name, key.name):
                raise self.refuse(
                    "INVALID_FIELD",
                    path.at,
                    f"Didn't understand relationship '{part}' in field path. If you are attempting to use a custom"
                    " relationship, be sure to append the '__r' after the custom relationship name. Please reference"
                    " your WSDL or the describe call for the appropriate names.",
                )
            assert key.relationship is not None  # noqa: S101 - relationships are keyed by it
            spelled.append(key.relationship)
            if key.polymorphic:
                if place != len(parts) - 2:
                    raise self.no_column(path, "Name")
                return self.polymorphic(path, parts[-1], key, alias, tuple(spelled))
            spec, alias = self.schema[key.reference_to[0]], self.join(tuple(spelled), key.reference_to[0], key, alias)
        each = self.visible(spec, parts[-1])
        if each is None:
            raise self.no_column(path, spec.name)
        return (*spelled, each.name), each, f"{alias}.{quote(each.name)}"

    def join(self, at: tuple[str, ...], target: str, key: Field, alias: str) -> str:
        name = self.aliases.get((*at, target))
        if name is None:
            name = self.aliases[(*at, target)] = f"{self.prefix}j{len(self.aliases)}"
            self.joins.append(f' LEFT JOIN {quote(target)} AS {name} ON {name}."Id" = {alias}.{quote(key.name)}')
        return name

    def polymorphic(
        self, path: Path, part: str, key: Field, alias: str, spelled: tuple[str, ...]
    ) -> tuple[tuple[str, ...], Field, str]:
        if part.lower() == "type":
            cases = " ".join(
                f"WHEN '{self.schema[target].prefix}' THEN '{target}'"
                for target in key.reference_to
                if target in self.schema
            )
            sql = f"(CASE substr({alias}.{quote(key.name)}, 1, 3) {cases} END)"
            return (*spelled, "Type"), Field(name="Type", type="string", length=40), sql
        name = next((each for each in NAME_FIELDS if each.lower() == part.lower()), None)
        if name is None:
            raise self.no_column(path, "Name")
        found: list[str] = []
        spec: Field | None = None
        for target in key.reference_to:
            each = self.schema[target].field(name) if target in self.schema else None
            if each is None and name == "Name" and target in self.schema:
                each = next((f for f in self.schema[target].fields.values() if f.name_field), None)
            if each is not None:
                spec = spec or each
                found.append(f"{self.join(spelled, target, key, alias)}.{quote(each.name)}")
        sql = f"coalesce({', '.join(found)})" if len(found) > 1 else found[0] if found else "NULL"
        return (*spelled, name), spec or Field(name=name, type="string", length=80), sql

    # conditions

    def condition(self, source: SObject, condition: Condition) -> str:
        match condition:
            case Junction(word=word, conditions=conditions):
                return "(" + f" {word} ".join(self.condition(source, each) for each in conditions) + ")"
            case Not(condition=inner):
                return f"NOT coalesce({self.condition(source, inner)}, 0)"
            case Comparison():
                return self.comparison(source, condition)
            case Membership():
                return self.membership(source, condition)

    def filterable(self, source: SObject, path: Path) -> tuple[Field, str]:
        _, spec, sql = self.resolve(source, path)
        if not spec.filterable:
            raise self.refuse("INVALID_FIELD", path.at, f"field '{spec.name}' can not be filtered in a query call")
        return spec, sql

    def comparison(self, source: SObject, each: Comparison) -> str:
        spec, sql = self.filterable(source, each.path)
        operator, value = each.operator, each.value
        if value.kind == "null" or (value.text == "" and value.kind == "string" and spec.type in TEXT_TYPES):
            if operator not in ("=", "!="):
                raise self.refuse("MALFORMED_QUERY", value.at, "unexpected token: 'null'")
            if spec.type == "boolean":
                return "0" if operator == "=" else "1"
            return f"{sql} IS NULL" if operator == "=" else f"{sql} IS NOT NULL"
        if operator == "LIKE":
            if spec.type not in TEXT_TYPES:
                raise self.refuse("INVALID_FIELD", each.path.at, f"invalid operator on {spec.type} field")
            self.parameters.append(self.literal(spec, value))
            return f"{sql} LIKE ? ESCAPE '\\'"
        if operator not in ("=", "!=") and spec.type == "boolean":
            raise self.refuse("INVALID_FIELD", each.path.at, "invalid operator on boolean field")
        self.parameters.append(self.literal(spec, value))
        # In SOQL a missing value differs from every value.
        return f"{sql} IS NOT ?" if operator == "!=" else f"{sql} {operator} ?"

    def membership(self, source: SObject, each: Membership) -> str:
        spec, sql = self.filterable(source, each.path)
        word = "NOT IN" if each.negated else "IN"
        if each.query is not None:
            return f"{sql} {word} ({self.semi_join(spec, each)})"
        nulls = any(value.kind == "null" for value in each.values)
        values = [self.literal(spec, value) for value in each.values if value.kind != "null"]
        self.parameters.extend(values)
        text = f"{sql} {word} ({', '.join('?' * len(values))})"
        if each.negated and not nulls:
            return f"({text} OR {sql} IS NULL)"
        return f"({text} OR {sql} IS NULL)" if nulls and not each.negated else text

    def semi_join(self, spec: Field, each: Membership) -> str:
        query = each.query
        assert query is not None  # noqa: S101 - asked only for semi-joins
        self.semi_joins += 1
        if self.semi_joins > MAX_SEMI_JOINS:
            raise self.refuse("MALFORMED_QUERY", query.source_at, "Maximum 2 semi join sub-selects are allowed")
        if spec.type not in ("id", "reference") or len(query.fields) != 1 or query.order or query.children:
            raise self.refuse("MALFORMED_QUERY", each.path.at, "semi join sub-selects must query one id field")
        inner = _Compiler(
            self.schema,
            query,
            hidden=self.hidden,
            everything=self.everything,
            prefix=f"{self.prefix}s{self.semi_joins}",
        )
        source = inner.source()
        _, selected, sql = inner.resolve(source, query.fields[0])
        if selected.type not in ("id", "reference"):
            raise self.refuse("MALFORMED_QUERY", query.fields[0].at, "semi join sub-selects must query one id field")
        where = [f"{sql} IS NOT NULL", *inner.living(source)]
        if query.where is not None:
            where.append(inner.condition(source, query.where))
        self.parameters.extend(inner.parameters)
        joins = "".join(inner.joins)
        return f"SELECT {sql} FROM {quote(source.name)} AS {inner.base}{joins} WHERE {' AND '.join(where)}"

    def literal(self, spec: Field, value: Literal) -> Any:
        """The literal as stored, when its kind fits the field."""
        kind = spec.type
        if kind in ("id", "reference"):
            full = normalize(value.text) if value.kind == "string" else None
            if full is None:
                raise self.refuse("INVALID_QUERY_FILTER_OPERATOR", value.at, f"invalid ID field: {value.text}")
            return full
        wanted = (
            "string" if kind in TEXT_TYPES else "number" if kind in NUMBER_TYPES else kind
        )  # fmt: skip
        if value.kind != wanted:
            name = {"datetime": "dateTime", "number": "double"}.get(wanted, wanted)
            quotes = "should be enclosed in quotes" if wanted == "string" else "should not be enclosed in quotes"
            raise self.refuse(
                "INVALID_FIELD",
                value.at,
                f"value of filter criterion for field '{spec.name}' must be of type {name} and {quotes}",
            )
        if wanted == "boolean":
            return int(value.text == "true")
        if wanted == "number":
            return float(value.text)
        if wanted == "datetime":
            try:
                return parse_datetime(value.text)
            except ValueError:
                raise self.refuse("MALFORMED_QUERY", value.at, f"invalid datetime: {value.text}") from None
        return value.text

    def living(self, source: SObject) -> list[str]:
        if self.everything:
            return []
        terms = []
        if source.deletable:
            terms.append(f'{self.base}."IsDeleted" = 0')
        if source.activity:
            terms.append(f'{self.base}."IsArchived" = 0')
        return terms

    # the whole

    def plan(self, source: SObject, parent_key: Field | None) -> Plan:
        query = self.query
        selected = ['t."Id"', "t.rowid"]
        shape = Parent(key="", index=0, polymorphic=False)
        if parent_key is not None:
            selected.append(f"t.{quote(parent_key.name)}")
        seen: set[tuple[str, ...]] = set()
        for path in query.fields:
            spelled, spec, sql = self.resolve(source, path)
            if spelled in seen:
                raise self.refuse("INVALID_FIELD", path.at, f"duplicate field selected: {path}")
            seen.add(spelled)
            node = self.shape(source, shape, spelled[:-1], selected)
            node.columns.append((spelled[-1], len(selected), shower(spec)))
            selected.append(sql)
        children = tuple(self.child(source, each) for each in query.children)
        if len(children) > MAX_CHILDREN:
            raise self.refuse("MALFORMED_QUERY", query.source_at, "more than 20 child relationships")
        where = self.living(source)
        if query.where is not None:
            where.append(self.condition(source, query.where))
        since = self.stamp_bound(source)
        if since is not None:
            # Said once more at the top level, so that a bound inside an OR narrows the walk along the stamps too.
            where.append(f't."SystemModstamp" >= {since}')
        if parent_key is not None:
            where.append(f"t.{quote(parent_key.name)} IN (SELECT value FROM json_each(?))")
        if query.offset > MAX_OFFSET:
            raise self.refuse("NUMBER_OUTSIDE_VALID_RANGE", query.source_at, "Maximum SOQL offset allowed is 2000")
        order = ", ".join(self.order(source, each) for each in query.order) or "t.rowid"
        return Plan(
            source=source,
            selected=", ".join(selected),
            parameters=tuple(self.parameters),
            shape=shape,
            children=children,
            counting=query.counting,
            limit=query.limit if parent_key is None else None,
            offset=query.offset,
            since=since,
            by_stamp=bool(query.order) and str(query.order[0].path).lower() == "systemmodstamp",
            joins="".join(self.joins),
            where=f" WHERE {' AND '.join(where)}" if where else "",
            order=f" ORDER BY {order}",
        )

    def stamp_bound(self, source: SObject) -> int | None:
        """The lower bound of SystemModstamp that every row must pass, None when there is none or ids are given."""
        where = self.query.where
        if where is None or _names_ids(where):
            return None
        return self.bound_of(source, where)

    def bound_of(self, source: SObject, where: Condition) -> int | None:
        match where:
            case Comparison(path=Path(parts=(name,)), operator=">" | ">=" | "=", value=value) if (
                name.lower() == "systemmodstamp" and value.kind == "datetime"
            ):
                return int(self.literal(source.fields["SystemModstamp"], value))
            case Junction(word=word, conditions=conditions):
                bounds = [self.bound_of(source, each) for each in conditions]
                known = [each for each in bounds if each is not None]
                if word == "AND":
                    return max(known, default=None)
                return min(known) if len(known) == len(bounds) else None
            case _:
                return None

    def shape(self, source: SObject, top: Parent, path: tuple[str, ...], selected: list[str]) -> Parent:
        node, spec, alias = top, source, "t"
        for place, part in enumerate(path):
            key = spec.relationships[part.lower()]
            if part not in node.parents:
                node.parents[part] = Parent(key=part, index=len(selected), polymorphic=key.polymorphic)
                selected.append(f"{alias}.{quote(key.name)}")
            node = node.parents[part]
            if not key.polymorphic:
                alias = self.aliases[(*path[: place + 1], key.reference_to[0])]
                spec = self.schema[key.reference_to[0]]
        return node

    def child(self, source: SObject, query: Query) -> Child:
        wanted = query.source.lower()
        for spec, key in self.schema.children(source.name):
            if key.child_relationship is not None and key.child_relationship.lower() == wanted:
                inner = _Compiler(self.schema, query, hidden=self.hidden, everything=self.everything)
                plan = inner.plan(spec, key)
                return Child(name=key.child_relationship, key=key, plan=plan, limit=query.limit)
        raise self.refuse(
            "INVALID_FIELD",
            query.source_at,
            f"Didn't understand relationship '{query.source}' in FROM part of query call. If you are attempting to use"
            " a custom relationship, be sure to append the '__r' after the custom relationship name. Please reference"
            " your WSDL or the describe call for the appropriate names.",
        )

    def order(self, source: SObject, each: Order) -> str:
        _, spec, sql = self.resolve(source, each.path)
        if not spec.filterable:
            raise self.refuse("MALFORMED_QUERY", each.path.at, f"field '{spec.name}' can not be sorted in a query call")
        direction = " DESC" if each.descending else ""
        # SQLite and the vendor both put nulls first going up; the vendor also does going down.
        nulls = " NULLS LAST" if each.nulls_last else " NULLS FIRST" if each.descending else ""
        if spec.name == "Id" and sql == 't."Id"':
            return f"{sql}{direction}"
        return f"{sql}{direction}{nulls}"


def _names_ids(where: Condition) -> bool:
    """Whether every row must have one of some given ids, so that no other index is wanted."""
    if isinstance(where, Junction):
        return where.word == "AND" and any(_names_ids(each) for each in where.conditions)
    if isinstance(where, Membership):
        return not where.negated and tuple(part.lower() for part in where.path.parts) == ("id",)
    return isinstance(where, Comparison) and where.operator == "=" and str(where.path).lower() == "id"


def compile_query(schema: Schema, query: Query, *, hidden: Hidden, everything: bool) -> Plan:
    """The plan of a query that stands alone. everything: deleted and archived rows too.

    Raises Refusal INVALID_TYPE, INVALID_FIELD, INVALID_QUERY_FILTER_OPERATOR or MALFORMED_QUERY.
    """
    compiler = _Compiler(schema, query, hidden=hidden, everything=everything)
    return compiler.plan(compiler.source(), None)
