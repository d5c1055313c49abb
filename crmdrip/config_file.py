"""Reads a configuration file into a settings model and gathers every problem with its line and what to type.

Knows TOML, pydantic and connectors, and no setting by name but `connector`, `mapping` and `settings` of the two
sections that belong to a connector. Never puts a value that may be secret into a message.
"""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from crmdrip import registry
from crmdrip.config_words import (
    advise,
    describe,
    field_at,
    give_example,
    is_table,
    kinds_of,
    name_table,
    name_variable,
    retype,
    show_path,
    typed_part,
)
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import Role
from crmdrip.secrets import (
    SecretUnavailableError,
    hide,
    holds_password,
    is_reference,
    is_sandbox_constant,
    read_reference,
)
from crmdrip.toml_lines import KeyPath, TomlLines, locate
from crmdrip.toml_words import explain_toml

M = TypeVar("M", bound=BaseModel)

_ROLES = {"crm": Role.CRM, "mail": Role.MAILER}
MAILBOX = "mailbox"
"""The field that is an array of tables, each of which holds its connector's own keys beside `name` and `connector`."""
_UNREAD = "x" * 64
"""Stands in for a secret that could not be read, so that the rest of its section is still checked."""
_MIN_MASKED = 4
"""Characters from which a value read by reference is masked; shorter ones would garble messages and hide nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with the configuration."""

    path: str
    """The key's path, such as "crm.salesforce.client_secret" or "unsubscribe.keys[0]"; "" for the whole file."""
    line: int | None
    """Of the key, or of the closest table around it; None when neither is in the file."""
    what: str
    do_next: str

    @property
    def told(self) -> str:
        """The key and what is wrong with it, as a sentence, for those who show do_next on a line of its own."""
        sentence = self.what if self.what.endswith(("?", "!")) else f"{self.what}."
        return f"{self.path}: {sentence}" if self.path else sentence

    def __str__(self) -> str:
        return f"{self.told} {self.do_next}".strip()


class ConfigProblems(ConfigurationError):  # noqa: N818 - the plural says what it is: all of them at once
    """The configuration cannot be used. problems: every one, in the order of the file."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.path)))
        count = len(self.problems)
        super().__init__(
            f"{count} {'problem' if count == 1 else 'problems'}.", where=file, do_next="Correct the lines named."
        )

    def __str__(self) -> str:
        lines = [f"{self.file}: {self.what}"]
        for problem in self.problems:
            place = f"{self.file}:{problem.line}" if problem.line else self.file
            lines.append(f"  {place}: {problem}")
        return "\n".join(lines)


def read_settings(model: type[M], path: Path, env: Mapping[str, str]) -> M:
    """Read the file into the model, a section per field. Raises ConfigProblems with every problem at once."""
    document, lines = _read_toml(path)
    reader = _Reader(model=model, lines=lines, env=env, folder=path.resolve().parent)
    for name in document:
        if name not in model.model_fields:
            reader.unknown((name,), model.model_fields)
    sections: dict[str, Any] = {
        name: reader.section(info.annotation, document.get(name, {}), name)
        for name, info in model.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }
    if MAILBOX in model.model_fields:
        entry = get_args(model.model_fields[MAILBOX].annotation)[0]
        sections[MAILBOX] = reader.mailboxes(entry, document.get(MAILBOX, []))
    if reader.problems:
        raise ConfigProblems(str(path), reader.problems)
    return model.model_validate(sections)


def _read_toml(path: Path) -> tuple[dict[str, Any], TomlLines]:
    def refuse(what: str, do_next: str, line: int | None = None) -> ConfigProblems:
        return ConfigProblems(str(path), [Problem(path="", line=line, what=what, do_next=do_next)])

    try:
        text = path.read_text(encoding="utf-8-sig")  # with the mark before it that Windows' Notepad leaves
    except OSError as error:
        raise refuse(f"cannot be read ({error.strerror})", "Start from a copy of config.example.toml.") from None
    except UnicodeDecodeError:
        raise refuse("is not UTF-8 text", "Store it as UTF-8.") from None
    try:
        return tomllib.loads(text), locate(text)
    except tomllib.TOMLDecodeError as error:
        mistake = explain_toml(text, error)
        raise refuse(mistake.what, mistake.do_next, mistake.line) from None
    except RecursionError:
        raise refuse("has lists too deep within lists", "Correct this line.") from None


@dataclass(kw_only=True)
class _Reader:
    """Gathers problems while sections are read."""

    model: type[BaseModel]
    lines: TomlLines
    env: Mapping[str, str]
    folder: Path
    problems: list[Problem] = field(default_factory=list)
    _unread: set[KeyPath] = field(default_factory=set)
    _values: set[str] = field(default_factory=set)
    """What must not appear in any message."""

    def add(self, path: KeyPath, what: str, do_next: str) -> None:
        hidden = frozenset(self._values)
        self.problems.append(
            Problem(
                path=show_path(path),
                line=self.lines.line(path),
                what=hide(what, hidden).rstrip("."),
                do_next=hide(do_next, hidden),
            )
        )

    def unknown(self, path: KeyPath, known: Iterable[str]) -> None:
        name = str(path[-1])
        names = sorted(set(known) - ({"settings"} if path[0] in _ROLES else set()))
        elsewhere = [
            section
            for section, info in self.model.model_fields.items()
            if section != path[0] and name in getattr(info.annotation, "model_fields", {})
        ]
        hint = registry.suggest(name, names)
        if not hint and elsewhere:
            hint = f"It belongs in [{elsewhere[0]}]."
        self.add(path, "is not a setting", hint.strip() or f"Known here: {', '.join(names)}.")

    # --- sections

    def section(self, model: type[BaseModel], table: Any, name: str) -> BaseModel | None:
        if not isinstance(table, dict):
            self.add((name,), "must be a table", f"Type [{name}] on a line of its own.")
            return None
        if name not in _ROLES:
            return self.table(model, table, (name,))
        return self._connector_section(model, table, name)

    def _connector_section(self, model: type[BaseModel], table: dict[str, Any], name: str) -> BaseModel | None:
        """Read [crm] or [mail] and the chosen connector's own table; other connectors' tables wait unread."""
        own = {key: value for key, value in table.items() if key in model.model_fields and key != "settings"}
        for key, value in table.items():
            if key not in own and not (isinstance(value, dict) and key in registry.installed()):
                self.unknown((name, key), [*model.model_fields, *registry.installed()])
        section = self.table(model, own, (name,))
        chosen = own.get("connector", model.model_fields["connector"].default)
        if not isinstance(chosen, str):
            return None
        try:
            connector = registry.find(chosen, _ROLES[name])
        except ConfigurationError as error:
            self.add((name, "connector"), error.what, error.do_next)
            return None
        settings_table = table.get(chosen, {})
        if not isinstance(settings_table, dict):
            self.add((name, chosen), "must be a table", f"Type [{name}.{chosen}] on a line of its own.")
            return None
        settings = self.table(connector.settings_model, settings_table, (name, chosen))
        if section is None or settings is None:
            return None
        update: dict[str, Any] = {"settings": settings}
        if _ROLES[name] is Role.CRM:
            update["mapping"] = self._mapping(chosen, getattr(section, "mapping", ""), name)
        return section.model_copy(update=update)

    def mailboxes(self, model: type[BaseModel], tables: Any) -> tuple[BaseModel, ...]:
        """Read every [[mailbox]] with its connector's own model."""
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.add((MAILBOX,), "must be an array of tables", "Type [[mailbox]] on a line of its own.")
            return ()
        found = [self._mailbox(model, table, (MAILBOX, number)) for number, table in enumerate(tables)]
        names: set[Any] = set()
        for number, table in enumerate(tables):
            name = table.get("name")
            if isinstance(name, str) and name in names:
                self.add((MAILBOX, number, "name"), "is the name of another mailbox too", "Give each its own.")
            names.add(str(name))
        return tuple(one for one in found if one is not None)

    def _mailbox(self, model: type[BaseModel], table: dict[str, Any], path: KeyPath) -> BaseModel | None:
        own = {key: value for key, value in table.items() if key in model.model_fields and key != "settings"}
        section = self.table(model, own, path)
        chosen = own.get("connector", model.model_fields["connector"].default)
        if not isinstance(chosen, str):
            return None
        try:
            connector = registry.find(chosen, Role.MAILBOX)
        except ConfigurationError as error:
            self.add((*path, "connector"), error.what, error.do_next)
            return None
        rest = {key: value for key, value in table.items() if key not in own}
        settings = self.table(connector.settings_model, rest, path)
        return section.model_copy(update={"settings": settings}) if section and settings else None

    def _mapping(self, connector: str, file: str, section: str) -> str:
        absolute = str(self.folder / Path(file).expanduser()) if file else ""
        try:
            registry.mapping_for(connector, absolute)
        except ConfigurationError as error:
            self.add((section, "mapping"), f"{error.where}: {error.what}", error.do_next)
        return absolute

    def table(self, model: type[M], table: dict[str, Any], path: KeyPath) -> M | None:
        """Check one table against its model."""
        try:
            # As JSON, whose strict reading takes a list for a tuple and a text for an enum, as a file must write them.
            text = json.dumps(self._resolve(model, table, path), default=str)
            return model.model_validate_json(text, strict=True)
        except ValidationError as error:
            by_setting: dict[KeyPath, list[ErrorDetails]] = defaultdict(list)
            for detail in error.errors(include_input=False, include_url=False):
                by_setting[typed_part(model, detail["loc"])].append(detail)
            for typed, details in by_setting.items():
                if not any(_overlap((*path, *typed), unread) for unread in self._unread):
                    self._explain(model, details, (*path, *typed), _value_at(table, typed))
        except ConfigurationError as error:
            self.add(path, error.what, error.do_next)
        return None

    # --- references

    def _resolve(self, model: type[BaseModel], table: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        """Replace references by what they lead to; report unknown keys and drop them."""
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        resolved: dict[str, Any] = {}
        for key, value in table.items():
            if key in fields:
                resolved[key] = self._resolve_value(kinds_of(fields[key].annotation), value, (*path, key))
            else:
                self.unknown((*path, key), fields)
        return resolved

    def _resolve_value(self, kinds: frozenset[Any], value: Any, path: KeyPath) -> Any:
        if isinstance(value, list):
            return [self._resolve_value(kinds, item, (*path, number)) for number, item in enumerate(value)]
        if is_reference(value):
            return self._read(value, path)
        if isinstance(value, dict):
            nested = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
            return self._resolve(nested, value, path) if nested else value
        if isinstance(value, str) and (SecretStr in kinds or holds_password(value)):
            return self._plain_secret(value, path)
        if isinstance(value, str) and Path in kinds:
            return str(self.folder / Path(value).expanduser())
        return value

    def _read(self, reference: Mapping[str, Any], path: KeyPath) -> str:
        try:
            value = read_reference(reference, env=self.env, folder=self.folder)
        except SecretUnavailableError as error:
            self._unread.add(path)
            self.add(path, f"cannot be read: {error.what}", error.do_next)
            return _UNREAD
        if len(value) >= _MIN_MASKED:
            self._values.add(value)
        return value

    def _plain_secret(self, value: str, path: KeyPath) -> str:
        if not value or is_sandbox_constant(value):
            return value
        self._unread.add(path)
        name = next(str(part) for part in reversed(path) if isinstance(part, str))
        variable = name_variable(path)
        key = f"{name} = " if path[-1] == name else ""
        self.add(
            path,
            "is a secret in plain text",
            f'Type {key}{{ env = "{variable}" }} or {key}{{ file = "path/to/{name}" }}.',
        )
        return _UNREAD

    # --- words

    def _explain(self, model: type[BaseModel], details: list[ErrorDetails], at: KeyPath, given: Any) -> None:
        """details: several where a setting may be one thing or another, and is neither; given: as in the file."""
        name = next((str(part) for part in reversed(at) if isinstance(part, str)), "")
        info = field_at(model, details[0]["loc"])
        if details[0]["type"] == "missing":
            example = f"Add {name} = {give_example(info, at)} under {name_table(at[:-1])}."
            table = f"Add the table {name_table(at)}; config.example.toml shows what it holds."
            self.add(at, "is missing", table if is_table(info) else example)
            return
        for detail in details:
            error = detail.get("ctx", {}).get("error")
            if isinstance(error, ValueError) and error.args:
                what, *do_next = (str(part) for part in error.args)
                self.add(at, what, " ".join(do_next) or advise(info, at))
                return
        meant = next(filter(None, (retype(detail["type"], given) for detail in details)), "")
        advice = f"Type {name} = {meant}." if meant else advise(info, at)
        self.add(at, ", or ".join(dict.fromkeys(describe(detail, info) for detail in details)), advice)


def _value_at(table: Any, path: KeyPath) -> Any:
    """What stands there in the file, None where nothing does."""
    for part in path:
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            return None
    return table


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    """Whether one path is the other or lies around it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]
