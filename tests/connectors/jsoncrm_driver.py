"""People and admins at work in the example's file, in the words of the CRM contract."""

# ruff: noqa: D102 - what each does is said by CrmDriver

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.testing.crm import CrmTrouble

EMPTY = {"org": "acme", "people": {}, "sequences": {}, "users": {}, "touches": {}}
_BLANK = {"first_name": None, "title": None, "opted_out": False, "enrolled": False}


class JsonDriver:
    """A CrmDriver that edits the file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._ids = count(1)
        self._deleted: dict[str, dict] = {}
        self.save(EMPTY)

    def load(self) -> dict:
        return json.loads(self.file.read_text())

    def save(self, document: dict) -> None:
        self.file.write_text(json.dumps(document))

    def add_person(self, kind: RecordKind, *, email: str, **words: object) -> RecordRef:
        one, document = str(next(self._ids)), self.load()
        document["people"][one] = {"email": email, **_BLANK, **words}
        self.save(document)
        return RecordRef(kind=kind, id=one)

    def change(self, ref: RecordRef, **words: object) -> None:
        document = self.load()
        document["people"][ref.id].update(words)
        self.save(document)

    def read(self, ref: RecordRef, word: str) -> object:
        return self.load()["people"][ref.id].get(word)

    def add_sequence(self, name: str, steps: list[str]) -> str:
        one, document = name.lower().replace(" ", "-"), self.load()
        rows = {
            f"{one}-{number}": {"order": number, "delay": 1, "delay_unit": "days", "subject": subject, "body": "Hello."}
            for number, subject in enumerate(steps, 1)
        }
        document["sequences"][one] = {"name": name, "status": "Live", "steps": rows}
        self.save(document)
        return one

    def step_ids(self, sequence_id: str) -> list[str]:
        return list(self.load()["sequences"][sequence_id]["steps"])

    def change_step(self, step_id: str, **words: object) -> None:
        document = self.load()
        document["sequences"][step_id.rpartition("-")[0]]["steps"][step_id].update(words)
        self.save(document)

    def delete(self, record_id: str) -> None:
        document = self.load()
        for rows in (document["people"], document["sequences"], *(s["steps"] for s in document["sequences"].values())):
            if record_id in rows:
                self._deleted[record_id] = rows.pop(record_id)
                break
        self.save(document)

    def restore(self, record_id: str) -> None:
        document = self.load()
        document["people"][record_id] = self._deleted.pop(record_id)
        self.save(document)

    def set_brake(self, *, pulled: bool) -> None:
        document = self.load()
        document.setdefault("control", {}).update(brake=pulled, brake_by="Ada Admin")
        self.save(document)

    def control(self) -> dict:
        return self.load()["control"]

    def add_user(self, name: str, email: str, *, active: bool) -> str:
        return self._add_user({"name": name, "email": email, "active": active})

    def add_queue(self, name: str) -> str:
        return self._add_user({"name": name, "email": "", "active": True, "is_person": False})

    def _add_user(self, user: dict) -> str:
        one, document = f"u{next(self._ids)}", self.load()
        document["users"][one] = user
        self.save(document)
        return one

    def timeline(self, ref: RecordRef) -> list[dict]:
        touches = [one for one in self.load()["touches"].values() if one["record"]["record_id"] == ref.id]
        return [
            {**one["record"], "closed": one["done"], "opens": one["opens"], "clicks": one["clicks"]} for one in touches
        ]

    def finish_task(self, touch_id: str) -> None:
        document = self.load()
        document["touches"][touch_id]["done"] = True
        self.save(document)

    def sequence(self, sequence_id: str) -> dict:
        return self.load()["sequences"][sequence_id]["shown"]

    def trouble(self, trouble: CrmTrouble) -> None:
        match trouble:
            case CrmTrouble.DOWN:
                self.file.rename(self.file.with_suffix(".away"))
            case CrmTrouble.OPT_OUT_HIDDEN:
                document = self.load()
                for person in document["people"].values():
                    del person["opted_out"]
                self.save(document)
            case _:
                pytest.skip("nobody logs in to a file, and it has no connection and no quota")

    def recover(self) -> None:
        if not self.file.exists():
            self.file.with_suffix(".away").rename(self.file)
        document = self.load()
        for person in document["people"].values():
            person.setdefault("opted_out", False)
        self.save(document)

    def refuse_changes_of(self, ref: RecordRef, message: str) -> None:
        pytest.skip("a file has no validation rules")

    def lock(self, ref: RecordRef) -> None:
        pytest.skip("a file has no locks of rows")

    def short_pages(self, rows: int) -> None:
        pytest.skip("a file is read as one page")

    def pass_time(self, seconds: float) -> None:
        """Nothing in the file has a time."""

    # What this CRM has not is known by its capabilities, so nobody asks for it but where it makes no difference.

    def book_meeting(self, ref: RecordRef, subject: str) -> None:
        """It has no meetings."""

    def open_opportunity(self, ref: RecordRef, name: str) -> None:
        raise AssertionError

    def unlock(self, ref: RecordRef) -> None:
        raise AssertionError

    def merge(self, winner: RecordRef, loser: RecordRef) -> RecordRef:
        raise AssertionError

    def convert(self, lead: RecordRef, *, opportunity: bool) -> RecordRef:
        raise AssertionError
