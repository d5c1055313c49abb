"""What is wrong with a setting, in plain words, and what to type instead; from what pydantic says. Pure."""

from __future__ import annotations

import json
import re
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from crmdrip.toml_lines import KeyPath

_WORDS: dict[str, str] = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "list_type": "must be a list in square brackets",
    "tuple_type": "must be a list in square brackets",
    "set_type": "must be a list in square brackets",
    "frozen_set_type": "must be a list in square brackets",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entries, and has {actual_length}",
    "too_long": "must have at most {max_length} entries, and has {actual_length}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must have the form {pattern}",
    "finite_number": "must be a finite number",
}
"""Plain words by pydantic's error type; its own message serves where none stand here."""


def describe(detail: ErrorDetails, info: FieldInfo | None = None) -> str:
    """What is wrong, in a clause. info: the setting's, which may say its form in words as its description."""
    if detail["type"] == "string_pattern_mismatch" and info is not None and info.description:
        return f"must be {info.description}"
    words, message = _WORDS.get(detail["type"]), detail["msg"]
    return words.format_map(detail.get("ctx", {})) if words else message[:1].lower() + message[1:]


def typed_part(model: type[BaseModel], location: tuple[int | str, ...]) -> KeyPath:
    """Where an error lies, without pydantic's names for the kinds of value that a setting may have."""
    for end in range(1, len(location)):
        info = field_at(model, location[:end])
        named = isinstance(location[end], str) and field_at(model, location[: end + 1]) is not info
        if info is not None and not named and get_origin(info.annotation) in (Union, UnionType):
            return location[:end] if isinstance(location[end], str) else location
    return location


def show_path(path: KeyPath) -> str:
    """A key's path as people write it: "crm.salesforce.client_secret", "unsubscribe.keys[0]"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def kinds_of(annotation: Any) -> frozenset[Any]:
    """The types an annotation is made of: `tuple[SecretStr, ...] | None` is {SecretStr, None}."""
    if get_origin(annotation) is Annotated:
        return kinds_of(get_args(annotation)[0])
    parts = get_args(annotation)
    return frozenset().union(*map(kinds_of, parts)) if parts else frozenset({annotation})


def field_at(model: type[BaseModel], location: tuple[int | str, ...]) -> FieldInfo | None:
    """The field an error of pydantic's is about, None for an error of the table as a whole."""
    names = [part for part in location if isinstance(part, str)]
    info: FieldInfo | None = None
    for name in names:
        fields = {known.alias or key: known for key, known in model.model_fields.items()}
        if name not in fields:
            return info
        info = fields[name]
        nested = (kind for kind in kinds_of(info.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel))
        model = next(nested, model)
    return info


def name_variable(path: KeyPath) -> str:
    """An environment variable for a secret: "SENDGRID_API_KEY" for mail.sendgrid.api_key."""
    name = "_".join(part for part in path if isinstance(part, str)).upper()
    return name.removeprefix("CRM_").removeprefix("MAIL_").removesuffix("S" if isinstance(path[-1], int) else "")


def name_table(path: KeyPath) -> str:
    """How a table's own line reads: "[sender]", "[[mailbox]]"."""
    return f"[[{show_path(path[:-1])}]]" if isinstance(path[-1], int) else f"[{show_path(path)}]"


def is_table(info: FieldInfo | None) -> bool:
    """Whether the setting is a table of its own rather than a value."""
    return info is not None and any(
        isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds_of(info.annotation)
    )


def give_example(info: FieldInfo | None, path: KeyPath) -> str:
    """What a required value may look like, as TOML."""
    if info is None:
        return "..."
    if info.examples:
        return _toml(info.examples[0])
    kinds = kinds_of(info.annotation)
    if SecretStr in kinds:
        listed = get_origin(info.annotation) in (tuple, list, frozenset, set)
        reference = f'{{ env = "{name_variable((*path, 0) if listed else path)}" }}'
        return f"[{reference}]" if listed else reference
    return '"..."' if str in kinds else "..."


def advise(info: FieldInfo | None, path: KeyPath) -> str:
    """What to type where nothing better is known: the default, an example, or nothing at all."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    if info is None or is_table(info):
        return "Correct this section; config.example.toml shows it."
    if info.is_required() or SecretStr in kinds_of(info.annotation):
        return f"Type {name} = {give_example(info, path)}."
    default = info.get_default(call_default_factory=True)
    if not default and info.examples:
        return f"Type such as {name} = {_toml(info.examples[0])}, or leave the line out."
    if default is None:
        return "Correct it, or leave the line out."
    return f"Type {name} = {_toml(default)}, the default, or leave the line out."


_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,6})?")
_YES = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}


def retype(error: str, given: Any) -> str:
    """The value that was meant, as TOML, where only its quotes are wrong; "" where that cannot be told.

    error: pydantic's type of it; given: as it stands in the file.
    """
    if error in {"string_type", "enum", "literal_error"} and isinstance(given, int | float):
        return _toml(str(given)) if not isinstance(given, bool) else ""
    if not isinstance(given, str):
        return ""
    if error in {"int_type", "float_type"} and _NUMBER.fullmatch(given) and (error == "float_type" or "." not in given):
        return given
    return _YES.get(given.casefold(), "") if error == "bool_type" else ""


def _toml(value: Any) -> str:
    """A default as one would type it. JSON's texts, numbers, lists and booleans are TOML's too."""
    return json.dumps(value, default=str, ensure_ascii=False)
