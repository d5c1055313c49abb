"""Finds connectors by the name the configuration gives, and the mapping that belongs to each.

A connector is an entry point of group "crmdrip.connectors" and is imported only when it is asked for: whoever
mails over SMTP never imports a vendor's SDK.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, packages_distributions
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.mapping import CrmMapping, parse_mapping
from crmdrip.ports import CheckLevel, CheckResult, Connector, Role
from crmdrip.shipped import shipped
from crmdrip.toml_words import explain_toml

GROUP = "crmdrip.connectors"
_OPEN_TABLES = frozenset({"merge", "values"})
"""Tables of a mapping in which an org may add words of its own."""


def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
    """As importlib.metadata's, which reads every distribution's files anew each time it is asked."""
    return [point for point in _points_of(group, tuple(sys.path)) if name in (None, point.name)]


@lru_cache(maxsize=4)
def _points_of(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    del path  # what is found depends on it
    return tuple(importlib.metadata.entry_points(group=group))


def installed() -> tuple[str, ...]:
    """The names of all installed connectors, sorted; imports none of them."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def find(name: str, role: Role) -> Connector:
    """The connector of that name, imported now.

    Raises ConfigurationError when none or several are installed under the name, when it cannot be imported, or when
    it fills another role.
    """
    connector = _load(_entry_point(name, role))
    if connector.role is not role:
        raise ConfigurationError(
            f"{name!r} is a connector for {_section(connector.role)}, not for {_section(role)}.",
            where=f"{_section(role)} connector",
            do_next=f"Installed: {', '.join(installed())}.",
        )
    return connector


def _section(role: Role) -> str:
    return {Role.CRM: "[crm]", Role.MAILER: "[mail]", Role.MAILBOX: "[[mailbox]]"}[role]


def _entry_point(name: str, role: Role) -> EntryPoint:
    # An editable install beside a regular one lists the same entry point twice; two values are two connectors.
    found = {point.value: point for point in entry_points(group=GROUP, name=name)}
    where = f"{_section(role)} connector"
    if len(found) > 1:
        raise ConfigurationError(
            f"several installed packages offer a connector named {name!r}: {', '.join(sorted(found))}.",
            where=where,
            do_next="Uninstall all but one.",
        )
    if not found:
        names = installed()
        raise ConfigurationError(
            f"no connector named {name!r} is installed.",
            where=where,
            do_next=f"{suggest(name, names)}Installed: {', '.join(names) or 'none; reinstall crmdrip'}.",
        )
    return next(iter(found.values()))


def _load(point: EntryPoint) -> Connector:
    try:
        return cast("Connector", point.load())
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the connector {point.name!r} ({point.value}) cannot be imported: {error}.",
            where=f"entry point group {GROUP}",
            do_next="Install what it needs, or choose another connector.",
        ) from error


def suggest(word: str, known: Iterable[str]) -> str:
    """A did-you-mean sentence with a blank after it, "" when nothing known is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}? " if close else ""


# --- mappings -----------------------------------------------------------------------------------------------------


def builtin_mapping(name: str) -> CrmMapping:
    """The mapping that crmdrip brings for a CRM. Raises ConfigurationError when it brings none."""
    return parse_mapping(f"the built-in mapping {name}", _builtin_document(name))


def mapping_for(name: str, path: str = "") -> CrmMapping:
    """The built-in mapping of a CRM with the org's own names laid over it, where a file is given.

    The file needs only the names that differ. Raises ConfigurationError naming every word it has that crmdrip
    does not know, except merge fields and picklist values, which an org may add.
    """
    if not path:
        return builtin_mapping(name)
    document = _read_document(Path(path), path)
    base = _builtin_document(name)
    unknown = list(_unknown_words(base, document))
    if unknown:
        what = "; ".join(unknown)
        what = what if what.endswith("?") else f"{what}."
        raise ConfigurationError(what, where=path, do_next=f"Known words: mappings/{name}.toml.")
    return parse_mapping(path, _overlay(base, document))


def _builtin_document(name: str) -> dict[str, Any]:
    if (ours := _shipped_document(name)) is not None:
        return ours
    for point in entry_points(group=GROUP, name=name):
        # That of a connector which crmdrip does not bring stands beside its module, under its name.
        spec = importlib.util.find_spec(point.module)
        beside = Path(spec.origin).with_name(f"{name}.toml") if spec and spec.origin else None
        if beside is not None and beside.is_file():
            return _read_document(beside, beside.name)
    raise ConfigurationError(
        f"neither crmdrip nor a connector brings a mapping for {name!r}.",
        where="[crm] mapping",
        do_next=f"Put {name}.toml beside the connector's module.",
    )


@lru_cache(maxsize=8)
def _shipped_document(name: str) -> dict[str, Any] | None:
    """That which crmdrip brings, to read and not to change; None where it brings none."""
    file = shipped(f"{name}.toml")
    return _read_document(file, file.name) if file.is_file() else None


def _read_document(file: Traversable, where: str) -> dict[str, Any]:
    text = ""
    try:
        text = file.read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(
            f"the mapping cannot be read ({error.strerror}).", where=where, do_next="Correct the path in [crm] mapping."
        ) from error
    except tomllib.TOMLDecodeError as error:
        mistake = explain_toml(text, error)
        raise ConfigurationError(
            f"line {mistake.line}: {mistake.what}.", where=where, do_next=mistake.do_next
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError("is not UTF-8 text.", where=where, do_next="Store it as UTF-8.") from error
    except RecursionError:
        raise ConfigurationError("lists too deep within lists.", where=where, do_next="Correct that line.") from None


def _unknown_words(base: Mapping[str, Any], document: Mapping[str, Any]) -> Iterable[str]:
    for table, words in document.items():
        if table in _OPEN_TABLES:
            continue
        if table not in base:
            yield f"no table [{table}] is known. {suggest(table, base)}".strip()
        elif isinstance(words, Mapping):
            for word in words:
                if word not in base[table]:
                    yield f"no word {table}.{word} is known. {suggest(word, base[table])}".strip()


def _overlay(base: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in document.items():
        below = merged.get(key)
        both_tables = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _overlay(below, value) if both_tables else value  # type: ignore[arg-type]  # mypy loses both_tables
    return merged


# --- doctor -------------------------------------------------------------------------------------------------------


def check_connectors_owner() -> CheckResult:
    """Whether the top-level package `connectors` is ours alone: another distribution's would shadow or mix with it."""
    code = "PKG-CONNECTORS"
    others = sorted(set(packages_distributions().get("connectors", ())) - {"crmdrip"})
    if others:
        return CheckResult(
            code=code,
            level=CheckLevel.FAIL,
            what=f"The package name `connectors` is also installed by {', '.join(others)}.",
            do_next=f"Install crmdrip into a virtual environment without {others[0]}.",
        )
    ours = Path(str(files("crmdrip"))).parent / "connectors"
    spec = importlib.util.find_spec("connectors")
    origin = Path(spec.origin).parent if spec and spec.origin else None
    if origin is None or origin.resolve() != ours.resolve():
        return CheckResult(
            code=code,
            level=CheckLevel.FAIL,
            what=f"`import connectors` finds {origin or 'nothing'} in place of crmdrip's own package.",
            do_next="Start crmdrip from another folder, and look for a `connectors` package on PYTHONPATH.",
        )
    return CheckResult(code=code, level=CheckLevel.OK, what="The package `connectors` is crmdrip's alone.")
