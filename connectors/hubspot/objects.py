"""Sequences and steps as custom objects, in portals that have them (Enterprise): RevOps edits them in HubSpot.

Lists of objects are read, never searches, which are behind. A step names its sequence in a property. Our own writes
(version, error, counts) are no part of what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from connectors.hubspot.client import TRACE
from connectors.hubspot.definitions import WRITTEN_BY_US, in_our_words
from connectors.hubspot.values import Properties
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.model import SequenceDraft, StepDraft
from crmdrip.ports import Purpose

if TYPE_CHECKING:
    from connectors.hubspot.portal import Portal

_PAGE = 100


class SequenceObjects:
    """All sequences of one portal. For several threads: what is remembered is replaced whole."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._known: dict[str, SequenceDraft] | None = None

    def drafts(self, purpose: Purpose) -> dict[str, SequenceDraft]:
        """Every sequence by id, a hundred records a call. Raises as the client."""
        words, step_words = self._words("sequence"), self._words("step")
        parent = step_words.pop("sequence")
        steps: dict[str, list[StepDraft]] = {}
        for step_id, row in self._list("step", [parent, *step_words.values()], purpose).items():
            of = str(row.get(parent) or "")
            steps.setdefault(of, []).append(StepDraft(id=step_id, fields=_read(step_words, row)))
        found = {
            one: SequenceDraft(id=one, fields=_read(words, row), steps=tuple(steps.get(one, ())))
            for one, row in self._list("sequence", list(words.values()), purpose).items()
        }
        self._known = found
        return found

    def known(self, purpose: Purpose) -> dict[str, SequenceDraft]:
        """As they were read last. Raises as the client when that was never."""
        return self.drafts(purpose) if self._known is None else self._known

    def statuses(self, ids: Iterable[str], purpose: Purpose) -> dict[str, str | None]:
        """As they stand now, by id, None for one that is gone; one call for a hundred. Raises as the client."""
        wanted, name = list(dict.fromkeys(ids)), self._portal.mapping.field("sequence", "status")
        numbers = [one for one in wanted if one.isdecimal()]
        rows = self._portal.read_objects(self.type_of("sequence"), numbers, [name], purpose) if numbers else {}
        return {one: in_our_words(rows[one].get(name)) if one in rows else None for one in wanted}

    def show_progress(self, sequence_id: str, values: Mapping[str, Any]) -> bool:
        """Write what people should know of a sequence on its record; False when there is none.

        Raises as the client, and the error of a refusal.
        """
        if not sequence_id.isdecimal():
            return False
        fields = self._portal.mapping.fields["sequence"]
        properties = {fields[word]: str(value) for word, value in values.items() if fields.get(word)}
        body = {"inputs": [{"id": sequence_id, "properties": properties, TRACE: "0"}]}
        path = f"{self.type_of('sequence')}/batch/update"
        answer = self._portal.client.change("POST", "objects", path, body, purpose=Purpose.REPORT)
        fault = answer.fault or next((each for each, _ in answer.faults), None)
        if fault is not None and fault.category != "OBJECT_NOT_FOUND":
            raise fault.error("HubSpot (sequences)")
        return fault is None

    def _words(self, word: str) -> dict[str, str]:
        fields = self._portal.mapping.fields[word]
        written = WRITTEN_BY_US if word == "sequence" else frozenset[str]()
        return {ours: name for ours, name in fields.items() if name and ours not in written}

    def type_of(self, word: str) -> str:
        """The fully qualified name, which begins with the portal's id (docs: custom objects)."""
        return f"p{self._portal.identity().org_id}_{self._portal.mapping.object(word)}"

    def _list(self, word: str, names: list[str], purpose: Purpose) -> dict[str, Properties]:
        """Raises as the client, and ConfigurationError when HubSpot has no such objects."""
        found: dict[str, Properties] = {}
        after = ""
        while True:
            query = {"limit": str(_PAGE), "properties": ",".join(names), **({"after": after} if after else {})}
            try:
                answer = self._portal.client.get("objects", self.type_of(word), purpose, query)
            except ConfigurationError as error:
                if "infer object type" not in error.what:
                    raise
                raise ConfigurationError(
                    f"HubSpot has no custom object {self._portal.mapping.object(word)}, of which sequences are made.",
                    where="HubSpot",
                    do_next="Type crmdrip install, which makes them (Enterprise); or keep sequences as files: add"
                    ' sequences = "sequences" under [crm.hubspot].',
                ) from error
            found.update((row["id"], row["properties"]) for row in answer.results)
            after = str((answer.body.get("paging") or {}).get("next", {}).get("after", ""))
            if not after:
                return found


def _read(words: Mapping[str, str], row: Properties) -> dict[str, Any]:
    return {ours: row[name] for ours, name in words.items() if row.get(name) not in (None, "")}
