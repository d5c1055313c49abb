"""Sequences as TOML files in a folder: the file's name is the sequence's id, best under version control.

The words are those of the CRM's fields (mappings/hubspot.toml, [sequence] and [step]); whether they make a sequence is
judged where every other definition is. A file that is no TOML comes as a sequence with that problem, so that the last
good version goes on (B17). Nothing is written among them but the progress, in a folder of its own.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import orjson

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.mapping import CrmMapping
from crmdrip.core.model import SequenceDraft, SequenceStatus, StepDraft
from crmdrip.ports import Purpose
from crmdrip.toml_words import explain_toml

WRITTEN_BY_US = frozenset({"version", "error", "active", "sent", "replied", "meetings", "stopped", "held"})
"""Words of a sequence that nobody else writes. A step's own "active" is not among them."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Of a file without .toml, and of a step's id."""
_STOP_FIELD = re.compile(r"\s*(\w+)\s*=")
_LARGEST = 1_000_000
"""Bytes of a file."""


class Definitions(Protocol):
    """Where the sequences are kept. Every method raises what the client raises, or ConfigurationError."""

    def drafts(self, purpose: Purpose) -> dict[str, SequenceDraft]:
        """Every sequence by id, as it stands now."""
        ...

    def known(self, purpose: Purpose) -> dict[str, SequenceDraft]:
        """Every sequence by id, as it was read last where reading costs calls."""
        ...

    def statuses(self, ids: Iterable[str], purpose: Purpose) -> dict[str, str | None]:
        """By id in our words, as they stand now; None for one that is gone."""
        ...

    def show_progress(self, sequence_id: str, values: Mapping[str, Any]) -> bool:
        """Show people version, error and counts of a sequence; False when there is no such sequence."""
        ...


class SequenceFolder:
    """All sequences of one folder. Read anew each time; a file that did not change costs one look at its date."""

    def __init__(self, folder: Path, progress: Path, mapping: CrmMapping) -> None:
        self.folder = folder
        self._progress = progress
        self._words = frozenset(mapping.fields["sequence"]) - WRITTEN_BY_US
        self._step_words = frozenset(mapping.fields["step"]) - {"sequence"}
        self._read: dict[str, tuple[tuple[int, int], SequenceDraft]] = {}

    def known(self, purpose: Purpose) -> dict[str, SequenceDraft]:
        """As drafts: there is nothing to save."""
        return self.drafts(purpose)

    def statuses(self, ids: Iterable[str], purpose: Purpose) -> dict[str, str | None]:
        """As they stand now. One that cannot be read is left out: what was pulled last counts. Raises as drafts."""
        drafts = self.drafts(purpose)
        return {
            one: in_our_words(drafts[one].fields.get("status")) if one in drafts else None
            for one in ids
            if one not in drafts or not drafts[one].problems
        }

    def drafts(self, purpose: Purpose) -> dict[str, SequenceDraft]:
        """Every sequence by id. Raises ConfigurationError when the folder cannot be read."""
        del purpose
        found: dict[str, SequenceDraft] = {}
        try:
            for path in sorted(self.folder.glob("*.toml")):
                if _NAME.fullmatch(path.stem):
                    found[path.stem] = self._draft(path)
            self.folder.stat()
        except OSError as error:
            raise ConfigurationError(
                f"the sequences cannot be read ({error.strerror}).",
                where=str(self.folder),
                do_next="Correct [crm.hubspot] sequences, or make the folder.",
            ) from error
        self._read = {one: kept for one, kept in self._read.items() if one in found}
        return found

    def strays(self) -> tuple[str, ...]:
        """The names of files that are not read, since no id can be made of them. Raises OSError."""
        return tuple(path.name for path in sorted(self.folder.glob("*.toml")) if not _NAME.fullmatch(path.stem))

    def _draft(self, path: Path) -> SequenceDraft:
        stat = path.stat()
        state = (stat.st_mtime_ns, stat.st_size)
        kept = self._read.get(path.stem)
        if kept is not None and kept[0] == state:
            return kept[1]
        draft = self._parse(path, stat.st_size)
        self._read[path.stem] = (state, draft)
        return draft

    def _parse(self, path: Path, size: int) -> SequenceDraft:
        if size > _LARGEST:
            return _broken(path, f"has {size} bytes. Shorten it to {_LARGEST} or fewer.")
        try:
            text = path.read_text(encoding="utf-8-sig")  # with the mark before it that Windows' Notepad leaves
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            mistake = explain_toml(text, error)
            return _broken(path, f"cannot be read at line {mistake.line}: {mistake.what}. {mistake.do_next}")
        except UnicodeDecodeError:
            return _broken(path, "is not UTF-8. Save it as UTF-8.")
        except RecursionError:
            return _broken(path, "has lists too deep within lists. Correct that line.")
        rows = document.pop("step", [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return _broken(path, "has a step that is no table. Begin each step with [[step]].")
        problems = [*_unknown(document, self._words, path.name)]
        steps: list[StepDraft] = []
        for number, row in enumerate(rows, 1):
            step_id = str(row.pop("id", ""))
            if not _NAME.fullmatch(step_id):
                problems.append(
                    f"{path.name}: step number {number} has no id of letters, digits, _ and -. Give it one and never"
                    " change it: people in flight are known by it."
                )
                continue
            if any(step.id == f"{path.stem}/{step_id}" for step in steps):
                problems.append(f"{path.name}: two steps have the id {step_id}. Give each its own.")
                continue
            problems += _unknown(row, self._step_words, f"{path.name}, step {step_id}")
            steps.append(StepDraft(id=f"{path.stem}/{step_id}", fields=_texts(row)))
        return SequenceDraft(id=path.stem, fields=_texts(document), steps=tuple(steps), problems=tuple(problems))

    def show_progress(self, sequence_id: str, values: Mapping[str, Any]) -> bool:
        """Write what people should know of a sequence beside it; False when there is no such sequence.

        Raises ConfigurationError when the folder cannot be written.
        """
        if not _NAME.fullmatch(sequence_id) or not (self.folder / f"{sequence_id}.toml").is_file():
            return False
        lines = ["# Written by crmdrip, and by nobody else."]
        lines += [f"{name} = {orjson.dumps(value).decode()}" for name, value in values.items()]
        target = self._progress / f"{sequence_id}.toml"
        try:
            self._progress.mkdir(parents=True, exist_ok=True)
            draft = target.with_suffix(".new")
            draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
            draft.replace(target)
        except OSError as error:
            raise ConfigurationError(
                f"the progress cannot be written ({error.strerror}).",
                where=str(self._progress),
                do_next="Let crmdrip write there, or set [crm.hubspot] progress to another folder.",
            ) from error
        return True


def in_our_words(status: Any) -> str:
    """A sequence's status as it is typed, in our words."""
    given = str(status or SequenceStatus.DRAFT.value)
    return next((each.value for each in SequenceStatus if each.value.casefold() == given.casefold()), given)


def digest(draft: SequenceDraft) -> str:
    """Changes with the draft; the same in every process."""
    said = [draft.id, dict(draft.fields), [[step.id, dict(step.fields)] for step in draft.steps], list(draft.problems)]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def stop_field(draft: SequenceDraft) -> str:
    """The property a sequence's stop condition is about, "" for none."""
    match = _STOP_FIELD.match(str(draft.fields.get("stop_when") or ""))
    return match[1] if match else ""


def _broken(path: Path, what: str) -> SequenceDraft:
    return SequenceDraft(id=path.stem, fields={"name": path.stem}, steps=(), problems=(f"{path.name} {what}",))


def _unknown(row: Mapping[str, Any], known: frozenset[str], where: str) -> Iterator[str]:
    for word in row:
        if word not in known:
            close = get_close_matches(word, sorted(known), 1)
            advice = f"Write {close[0]}." if close else "Correct the word, or take the line out."
            yield f"{where}: {word} is no field of a sequence or step here. {advice}"


def _texts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a CRM's fields have them: a list is joined as a choice of several is, a time is text."""
    return {
        word: ";".join(map(str, value))
        if isinstance(value, list)
        else value
        if isinstance(value, bool | int | float | str)
        else str(value)
        for word, value in row.items()
    }
