"""The mapping: which CRM object and field carries which word of ours, as data read from mappings/*.toml.

Pure: takes parsed TOML. Never reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crmdrip.core.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True, slots=True)
class CrmMapping:
    """API names by our words. `field("contact", "enrolled")` is "Drip_Enrolled__c" unless the org renames it."""

    name: str
    """Where it was read from, for error messages."""
    objects: Mapping[str, str]
    """Object API names by our word: contact, lead, sequence, step, control, task, event, user, ..."""
    fields: Mapping[str, Mapping[str, str]]
    """Field API names by object word, then by our word. "" switches an optional field off."""
    merge: Mapping[str, Mapping[str, str]]
    """Merge-field API names by object word (contact, lead, account, owner), then by the word used in templates."""
    values: Mapping[str, Mapping[str, str]]
    """Picklist values by group, then by our word, where the org's words differ from ours."""

    def object(self, word: str) -> str:
        """The object's API name. Raises ConfigurationError when the mapping lacks it."""
        try:
            return self.objects[word]
        except KeyError:
            raise ConfigurationError(
                f"no object is mapped for {word!r}.",
                where=self.name,
                do_next=f'Add {word} = "..." under [objects].',
            ) from None

    def field(self, object_word: str, word: str) -> str:
        """The field's API name, "" when it is switched off. Raises ConfigurationError when the mapping lacks it."""
        try:
            return self.fields[object_word][word]
        except KeyError:
            raise ConfigurationError(
                f"no field is mapped for {object_word}.{word}.",
                where=self.name,
                do_next=f'Add {word} = "..." under [{object_word}].',
            ) from None

    def value(self, group: str, word: str) -> str:
        """The org's picklist value for our word; our word itself where none is mapped."""
        return self.values.get(group, {}).get(word, word)


def parse_mapping(name: str, document: Mapping[str, Any]) -> CrmMapping:
    """Build a mapping from parsed TOML: [objects], [merge.OBJECT], [values.GROUP], and one table per object word.

    Raises ConfigurationError naming every entry that is not text, all at once.
    """
    problems: list[str] = []

    def texts(path: str, table: Any) -> dict[str, str]:
        if not isinstance(table, Mapping):
            problems.append(f"[{path}] must be a table")
            return {}
        for key, value in table.items():
            if not isinstance(value, str):
                problems.append(f"{path}.{key} must be text in quotes")
        return {k: v for k, v in table.items() if isinstance(v, str)}

    nested: dict[str, dict[str, dict[str, str]]] = {}
    for group in ("merge", "values"):
        tables = document.get(group, {})
        if not isinstance(tables, Mapping):
            problems.append(f"[{group}] must hold tables, such as [{group}.contact]")
            tables = {}
        nested[group] = {word: texts(f"{group}.{word}", table) for word, table in tables.items()}
    objects = texts("objects", document.get("objects", {}))
    fields = {
        word: texts(word, table) for word, table in document.items() if word not in ("objects", "merge", "values")
    }
    if problems:
        raise ConfigurationError("; ".join(problems) + ".", where=name, do_next="Correct these lines.")
    return CrmMapping(name=name, objects=objects, fields=fields, merge=nested["merge"], values=nested["values"])
