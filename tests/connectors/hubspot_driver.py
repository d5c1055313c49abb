"""People and admins at work in the HubSpot stand-in, and RevOps in its folder, in the words of the CRM contract."""

# ruff: noqa: D102 - what each does is said by CrmDriver

from __future__ import annotations

import tomllib

import orjson
import pytest
from hubspot_peer import HubSpotPeer, load_mapping

from connectors.hubspot.trail import split_trail
from connectors.hubspot.values import parse_time
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.trouble import TROUBLES
from crmdrip.testing.crm import CrmTrouble

_TIMES = frozenset({"next_touch", "last_touch", "heartbeat"})
_BOXES = frozenset({"enrolled", "approved", "opted_out", "brake"})
_NUMBERS = frozenset({"run", "opens", "clicks", "calls_used", "calls_limit"})


class HubSpotDriver:
    """A CrmDriver for the stand-in."""

    def __init__(self, peer: HubSpotPeer) -> None:
        self.peer = peer
        self.mapping = load_mapping()

    def add_person(self, kind: RecordKind, *, email: str, **words: object) -> RecordRef:
        fields = {"lastname": email.partition("@")[0], "email": email, **self._fields(words)}
        return RecordRef(kind=kind, id=self.peer.do("create", "contacts", fields))

    def change(self, ref: RecordRef, **words: object) -> None:
        if words.pop("opted_out", False):
            self.peer.do("opt_out", self.peer.one("contacts", ref.id)["email"])
        if words:
            self.peer.do("update", "contacts", ref.id, self._fields(words))

    def read(self, ref: RecordRef, word: str) -> object:
        return self._typed(word, self.peer.one("contacts", ref.id).get(self.mapping.field("contact", word)))

    def add_sequence(self, name: str, steps: list[str]) -> str:
        self.peer.clock.move(seconds=1)
        sequence = name.lower().replace(" ", "-")
        rows = [
            {"id": f"s{number}", "order": number, "delay": 1, "delay_unit": "Days", "kind": "Email", "subject": subject}
            for number, subject in enumerate(steps, 1)
        ]
        self._write(sequence, {"name": name, "status": "Live"}, [{**row, "body": f"About {row['id']}"} for row in rows])
        return sequence

    def step_ids(self, sequence_id: str) -> list[str]:
        return [f"{sequence_id}/{row['id']}" for row in self._document(sequence_id)["step"]]

    def change_step(self, step_id: str, **words: object) -> None:
        sequence, _, step = step_id.partition("/")
        document = self._document(sequence)
        rows = [{**row, **words} if row["id"] == step else row for row in document.pop("step")]
        self._write(sequence, document, rows)

    def delete(self, record_id: str) -> None:
        sequence, slash, step = record_id.partition("/")
        if slash:
            document = self._document(sequence)
            self._write(sequence, document, [row for row in document.pop("step") if row["id"] != step])
        elif record_id.isdecimal():
            self.peer.do("archive", "contacts", record_id)
            # Searches never show a deletion: it is found when those in sequences are read by id, every five minutes.
            self.peer.clock.move(minutes=6)
        else:
            (self.peer.folder / f"{record_id}.toml").unlink()

    def restore(self, record_id: str) -> None:
        self.peer.do("restore", "contacts", record_id)

    def merge(self, winner: RecordRef, loser: RecordRef) -> RecordRef:
        return RecordRef(kind=winner.kind, id=self.peer.do("merge", "contacts", winner.id, loser.id))

    def convert(self, lead: RecordRef, *, opportunity: bool) -> RecordRef:
        pytest.skip("HubSpot's leads are not converted")

    def book_meeting(self, ref: RecordRef, subject: str) -> None:
        at = self.peer.clock.now()
        values = {
            "hs_timestamp": at.replace(year=at.year + 1).isoformat(),
            "hs_meeting_title": subject,
            "hs_meeting_outcome": "SCHEDULED",
        }
        self.peer.do("create", "meetings", values, contacts=ref.id)

    def open_opportunity(self, ref: RecordRef, name: str) -> None:
        self.peer.do("create", "deals", {"dealname": name, "dealstage": "appointmentscheduled"}, contacts=ref.id)

    def set_brake(self, *, pulled: bool) -> None:
        found = self._control()
        values = {"crmdrip_brake": str(pulled).lower()}
        if found is None:
            self.peer.do("create", "contacts", {"crmdrip_key": "crmdrip", "lastname": "crmdrip", **values})
        else:
            self.peer.do("update", "contacts", found.id, values)

    def control(self) -> dict:
        found = self._control()
        return self._words("control", dict(found.properties)) if found is not None else {}

    def _control(self):
        rows = self.peer.thread.call(lambda: self.peer.portal.all("contacts"))
        return next((row for row in rows if row.get("crmdrip_key") == "crmdrip"), None)

    def add_user(self, name: str, email: str, *, active: bool) -> str:
        first, last = name.split()
        owner = self.peer.do("add_owner", email, first, last)
        if not active:
            self.peer.do("deactivate_owner", owner)
        return owner

    def add_queue(self, name: str) -> str:
        pytest.skip("no queue owns a contact in HubSpot")

    def timeline(self, ref: RecordRef) -> list[dict]:
        entries = []
        for word, kind in (("email", "emails"), ("task", "tasks"), ("note", "notes")):
            for row in self.peer.thread.call(lambda: self.peer.portal.linked("contacts", ref.id, kind)):  # noqa: B023
                entry = self._entry(word, dict(row.properties))
                entry["closed"] = word != "task" or entry["status"] == "COMPLETED"
                entries.append(entry)
        return entries

    def _entry(self, word: str, properties: dict) -> dict:
        """What stands there, in properties of ours or at the end of the text."""
        text, said = split_trail(properties.get(self.mapping.field(word, "body")) or "")
        typed = {each: self._typed(each, value) for each, value in said.items()}
        entry = self._words(word, properties)
        return {**entry, **typed, "body": text} if said else entry

    def finish_task(self, touch_id: str) -> None:
        rows = self.peer.thread.call(lambda: self.peer.portal.all("tasks"))
        task = next(row for row in rows if self._entry("task", dict(row.properties))["touch_id"] == touch_id)
        self.peer.do("update", "tasks", task.id, {"hs_task_status": "COMPLETED"})

    def sequence(self, sequence_id: str) -> dict:
        return tomllib.loads((self.peer.folder / "progress" / f"{sequence_id}.toml").read_text())

    def refuse_changes_of(self, ref: RecordRef, message: str) -> None:
        holds = lambda values: values.get("hs_object_id") != ref.id  # noqa: E731 - a rule is a function
        self.peer.do("add_validation_rule", "contacts", "crmdrip_status", holds, message)

    def lock(self, ref: RecordRef) -> None:
        self.peer.do("lock", ref.id)

    def unlock(self, ref: RecordRef) -> None:
        self.peer.do("unlock", ref.id)

    def trouble(self, trouble: CrmTrouble) -> None:
        faults = self.peer.portal.faults
        match trouble:
            case CrmTrouble.LOGGED_OUT:
                pytest.skip("a service key has no session that could end")
            case CrmTrouble.DENIED:
                self.peer.thread.call(lambda: self.peer.portal.tokens.revoke(DEFAULT_TOKEN))
            case CrmTrouble.DOWN:
                faults.add(_forever(TROUBLES["unavailable"]))
            case CrmTrouble.QUOTA_GONE:
                faults.add(_forever(TROUBLES["daily"]))
            case CrmTrouble.CUT_AFTER_WRITE:
                faults.add(Fault(kind=FaultKind.CUT_AFTER, path=r"/batch/create$"))
            case CrmTrouble.OPT_OUT_HIDDEN:
                self._hide_opt_out(hidden=True)

    def recover(self) -> None:
        self.peer.portal.faults.clear()
        self._hide_opt_out(hidden=False)

    def _hide_opt_out(self, *, hidden: bool) -> None:
        from dataclasses import replace

        properties = self.peer.portal.kinds["contacts"].properties
        changed = replace(properties["hs_email_optout"], archived=hidden)
        self.peer.thread.call(lambda: properties.__setitem__("hs_email_optout", changed))

    def short_pages(self, rows: int) -> None:
        self.peer.portal.faults.add(Fault(kind=FaultKind.SHORT_PAGE, path="/search$", times=None, rows=rows))

    def pass_time(self, seconds: float) -> None:
        self.peer.clock.move(seconds=seconds)

    def add_list(self, name: str) -> str:
        return self.peer.do("create_list", name).id

    def name_list(self, sequence_id: str, list_id: str) -> None:
        document = self._document(sequence_id)
        steps = document.pop("step")
        self._write(sequence_id, {**document, "list": int(list_id)}, steps)

    def put_on(self, list_id: str, ref: RecordRef) -> None:
        self.peer.do("join_list", self.peer.portal.lists.find(list_id), ref.id)

    def take_off(self, list_id: str, ref: RecordRef) -> None:
        self.peer.do("leave_list", self.peer.portal.lists.find(list_id), ref.id)

    def delete_list(self, list_id: str) -> None:
        self.peer.thread.call(lambda: setattr(self.peer.portal.lists.find(list_id), "deleted", 1))

    def _document(self, sequence_id: str) -> dict:
        return tomllib.loads((self.peer.folder / f"{sequence_id}.toml").read_text())

    def _write(self, sequence_id: str, fields: dict, steps: list[dict]) -> None:
        lines = [f"{word} = {orjson.dumps(value).decode()}" for word, value in fields.items()]
        for step in steps:
            lines += ["", "[[step]]", *(f"{word} = {orjson.dumps(value).decode()}" for word, value in step.items())]
        (self.peer.folder / f"{sequence_id}.toml").write_text("\n".join(lines) + "\n")

    def _fields(self, words: dict) -> dict:
        known, merge = self.mapping.fields["contact"], self.mapping.merge["contact"]
        return {
            known.get(word) or merge[word]: str(value).lower() if isinstance(value, bool) else value
            for word, value in words.items()
        }

    def _words(self, object_word: str, row: dict) -> dict:
        return {
            word: self._typed(word, row.get(name)) for word, name in self.mapping.fields[object_word].items() if name
        }

    @staticmethod
    def _typed(word: str, value: str | None) -> object:
        if word in _BOXES:
            return value == "true"
        if word in _NUMBERS:
            return int(value) if value else None
        return parse_time(value) if word in _TIMES else value or None


class HubSpotObjectsDriver(HubSpotDriver):
    """The same people in a portal where sequences are custom objects."""

    def add_sequence(self, name: str, steps: list[str]) -> str:
        sequence = self.peer.do("create", "crmdrip_sequence", {"name": name, "status": "Live"})
        for number, subject in enumerate(steps, 1):
            step = {"sequence": sequence, "order": number, "delay": 1, "delay_unit": "Days", "kind": "Email"}
            self.peer.do("create", "crmdrip_step", {**step, "subject": subject, "body": f"About {subject}"})
        return sequence

    def step_ids(self, sequence_id: str) -> list[str]:
        rows = self.peer.thread.call(lambda: self.peer.portal.all("crmdrip_step"))
        return [row.id for row in sorted(rows, key=lambda row: row.get("order")) if row.get("sequence") == sequence_id]

    def change_step(self, step_id: str, **words: object) -> None:
        self.peer.do("update", "crmdrip_step", step_id, words)

    def delete(self, record_id: str) -> None:
        tables = self.peer.portal.store.tables
        kind = next((each for each in ("crmdrip_sequence", "crmdrip_step") if record_id in tables[each]), None)
        if kind is None:
            super().delete(record_id)
        else:
            self.peer.do("archive", kind, record_id)

    def name_list(self, sequence_id: str, list_id: str) -> None:
        self.peer.do("update", "crmdrip_sequence", sequence_id, {"list": list_id})

    def sequence(self, sequence_id: str) -> dict:
        row = self._words("sequence", self.peer.one("crmdrip_sequence", sequence_id))
        return {**row, "sent": int(row["sent"]) if row["sent"] else None}


def _forever(fault: Fault) -> Fault:
    from dataclasses import replace

    return replace(fault, times=None)
