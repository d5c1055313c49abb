"""Where keys stand in a TOML text."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.toml_lines import KeyPath, locate

TEXT = '''\
# a comment with [brackets] and key = 1
top = "x"   # 2

[crm]
connector = 'sales#force'
[crm.salesforce.auth.client_credentials]
consumer_key = "a\\"b = c"
secret = { env = "NAME", "quoted key" = [1, 2] }

[unsubscribe]
keys = [
  { env = "ONE" },   # first
  "two",
]
text = """
[not a table]
not_a_key = "1"
"""
raw = \'\'\'
also = "not"\'\'\'
dotted.name . deep = 2026-11-24T06:00:00Z
[[step]]
name = "one"
[[step]]
name = "two"
[step.more]
x = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("crm",), 4),
        (("crm", "connector"), 5),
        (("crm", "salesforce", "auth", "client_credentials"), 6),
        (("crm", "salesforce", "auth", "client_credentials", "consumer_key"), 7),
        (("crm", "salesforce", "auth", "client_credentials", "secret", "quoted key"), 8),
        (("unsubscribe", "keys"), 11),
        (("unsubscribe", "keys", 0, "env"), 12),
        (("unsubscribe", "keys", 1), 13),
        (("unsubscribe", "text"), 15),
        (("unsubscribe", "raw"), 19),
        (("unsubscribe", "dotted", "name", "deep"), 21),
        (("step", 0, "name"), 23),
        (("step", 1, "name"), 25),
        (("step", 1, "more", "x"), 27),
    ],
)
def test_every_key_is_found_on_its_line(path: KeyPath, line: int) -> None:
    """Tables, dotted keys, inline tables, lists and long strings do not lead it astray."""
    assert locate(TEXT).by_path[path] == line


def test_text_inside_strings_and_comments_is_no_key() -> None:
    """What looks like a key in a string or a comment is not taken for one."""
    names = {part for path in locate(TEXT).by_path for part in path}
    assert names.isdisjoint({"key", "not_a_key", "also", "not a table", "brackets", "b"})


def test_a_missing_key_has_the_line_of_the_closest_table() -> None:
    """A key that is not there is missed in its table."""
    assert locate("\n[crm]\n").line(("crm", "mapping")) == 2


def test_a_path_without_any_table_has_no_line() -> None:
    """Nothing is pointed at when nothing is there."""
    assert locate("a = 1").line(("b", "c")) is None


_NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
_LEAVES = st.one_of(st.integers(-5, 5), st.booleans(), st.text(max_size=8).filter(str.isprintable))
_TABLES = st.recursive(
    st.dictionaries(_NAMES, st.one_of(_LEAVES, st.lists(_LEAVES, max_size=3)), max_size=4),
    lambda inner: st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)


def _write(table: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """Plain TOML: values first, then subtables."""
    lines = [f"[{'.'.join(path)}]"] if path else []
    lines += [f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _write(value, (*path, key))
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(_value, value)) + "\n]"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    if isinstance(value, dict):
        items: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return set()
    return {(*path, key) for key, _ in items} | {found for key, item in items for found in _paths(item, (*path, key))}


@given(_TABLES)
def test_every_key_of_any_document_is_found(table: dict[str, Any]) -> None:
    """The locator knows exactly the paths that tomllib reads, each on a line that holds its name."""
    text = "\n".join(_write(table))
    found = locate(text).by_path
    assert set(found) == _paths(tomllib.loads(text))
    lines = text.split("\n")
    assert all(not isinstance(path[-1], str) or path[-1] in lines[line - 1] for path, line in found.items())
