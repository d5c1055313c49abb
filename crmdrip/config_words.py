"""What is wrong with a setting, in plain words, and what to type instead; from pydantic's errors and models. Pure."""

from __future__ import annotations

import json
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


def describe(detail: ErrorDetails) -> str:
    """What is wrong, in a clause."""
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


def give_example(info: FieldInfo | None) -> str:
    """What a required value may look like, as TOML."""
    if info is None:
        return "..."
    if info.examples:
        return _toml(info.examples[0])
    kinds = kinds_of(info.annotation)
    if SecretStr in kinds:
        reference = '{ env = "NAME" }'
        return f"[{reference}]" if get_origin(info.annotation) in (tuple, list, frozenset, set) else reference
    return '"..."' if str in kinds else "..."


def advise(name: str, info: FieldInfo | None) -> str:
    """What to type where nothing better is known: the default, an example, or nothing at all."""
    if info is None or info.is_required() or SecretStr in kinds_of(info.annotation):
        return f"Type {name} = {give_example(info)}." if info else "Correct this section."
    default = info.get_default(call_default_factory=True)
    if default is None:
        return "Correct it, or leave the line out."
    return f"Type {name} = {_toml(default)}, the default, or leave the line out."


def _toml(value: Any) -> str:
    """A default as one would type it. JSON's texts, numbers, lists and booleans are TOML's too."""
    return json.dumps(value, default=str, ensure_ascii=False)
