"""A sequence and its steps as records: shown and edited, added and deleted, as somebody from RevOps does it.

All of it goes through the org's own writes as an administrator's: what a picklist, a required field or a validation
rule refuses is shown in the org's words beside the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote as quote_url

from crmdrip.sandbox.http import Request, Response, redirect
from crmdrip.sandbox.pages import people
from crmdrip.sandbox.pages.entries import Entry, label_of, make_entry, shown, text_of, typed, value_of
from crmdrip.sandbox.pages.layouts import READ_ONLY, REQUIRED, SEQUENCE, STEP, Section, editable
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.schema import Field
from crmdrip.sandbox.world.reading import is_installed, quote, select

EMPTY = "Complete this field."
"""What Lightning says of a required field that was left empty."""

_SEQUENCE, _STEP = "Drip_Sequence__c", "Drip_Step__c"
_LAYOUTS = {_SEQUENCE: SEQUENCE, _STEP: STEP}
_NAMES = {"OwnerId": "Owner", "CreatedById": "CreatedBy", "LastModifiedById": "LastModifiedBy"}
"""Where the name of the user stands whom a field refers to."""
_DATES = {"CreatedById": "CreatedDate", "LastModifiedById": "LastModifiedDate"}

Row = Mapping[str, Any]
Texts = dict[str, str]


class SequencePages:
    """Answers what is asked about one sequence."""

    def __init__(self, org: SalesforceOrg, render: Callable[..., Response]) -> None:
        """render: makes a page of a template's name and values."""
        self._org = org
        self._render = render
        self.routes: list[tuple[str, re.Pattern[str], Callable[..., Response]]] = [
            ("GET", re.compile(r"/sequences/new"), self._new_sequence),
            ("POST", re.compile(r"/sequences/new"), self._create_sequence),
            ("GET", re.compile(r"/sequences/(\w+)/edit"), self._edit_sequence),
            ("POST", re.compile(r"/sequences/(\w+)/edit"), self._save_sequence),
            ("GET", re.compile(r"/sequences/(\w+)/steps/new"), self._new_step),
            ("POST", re.compile(r"/sequences/(\w+)/steps/new"), self._create_step),
            ("GET", re.compile(r"/sequences/(\w+)/steps/(\w+)"), self._edit_step),
            ("POST", re.compile(r"/sequences/(\w+)/steps/(\w+)"), self._save_step),
            ("POST", re.compile(r"/sequences/(\w+)/steps/(\w+)/delete"), self._delete_step),
            ("POST", re.compile(r"/sequences/(\w+)/steps/(\w+)/undelete"), self._undelete_step),
        ]

    def show(self, request: Request, sequence_id: str) -> Response:
        """The record with its steps. Raises LookupError, and Refusal for what is no id."""
        sequence, steps = people.sequence(self._org, sequence_id)
        query = request.query()
        return self._render(
            "sequence.html",
            tab="sequences",
            sequence=sequence,
            steps=steps,
            sections=self._details(self._read(_SEQUENCE, sequence_id)),
            said=query.get("said", ""),
            problem=query.get("problem", ""),
            deleted=query.get("deleted", ""),
        )

    # the sequence

    def _new_sequence(self, _: Request) -> Response:
        return self._form(_SEQUENCE, "New Sequence", "/sequences", self._defaults(_SEQUENCE))

    def _create_sequence(self, request: Request) -> Response:
        texts = self._typed(_SEQUENCE, request)
        problems, made = self._write(_SEQUENCE, texts)
        if problems:
            return self._form(_SEQUENCE, "New Sequence", "/sequences", texts, problems)
        return _back(made, f'Sequence "{texts["Name"]}" was created.')

    def _edit_sequence(self, _: Request, sequence_id: str) -> Response:
        row = self._read(_SEQUENCE, sequence_id)
        return self._form(_SEQUENCE, f"Edit {row['Name']}", f"/sequences/{sequence_id}", self._texts(_SEQUENCE, row))

    def _save_sequence(self, request: Request, sequence_id: str) -> Response:
        row, texts = self._read(_SEQUENCE, sequence_id), self._typed(_SEQUENCE, request)
        problems, _ = self._write(_SEQUENCE, texts, record_id=sequence_id)
        if problems:
            return self._form(_SEQUENCE, f"Edit {row['Name']}", f"/sequences/{sequence_id}", texts, problems)
        return _back(sequence_id, f'Sequence "{texts["Name"]}" was saved.')

    # its steps

    def _new_step(self, _: Request, sequence_id: str) -> Response:
        self._read(_SEQUENCE, sequence_id)
        return self._form(_STEP, "New Step", f"/sequences/{sequence_id}", self._defaults(_STEP))

    def _create_step(self, request: Request, sequence_id: str) -> Response:
        self._read(_SEQUENCE, sequence_id)
        texts = self._typed(_STEP, request)
        problems, _ = self._write(_STEP, texts, {"Drip_Sequence__c": sequence_id})
        if problems:
            return self._form(_STEP, "New Step", f"/sequences/{sequence_id}", texts, problems)
        return _back(sequence_id, f'Step "{texts["Name"]}" was created.')

    def _edit_step(self, _: Request, sequence_id: str, step_id: str) -> Response:
        row = self._read_step(sequence_id, step_id)
        return self._form(_STEP, f"Edit {row['Name']}", f"/sequences/{sequence_id}", self._texts(_STEP, row))

    def _save_step(self, request: Request, sequence_id: str, step_id: str) -> Response:
        row, texts = self._read_step(sequence_id, step_id), self._typed(_STEP, request)
        problems, _ = self._write(_STEP, texts, record_id=step_id)
        if problems:
            return self._form(_STEP, f"Edit {row['Name']}", f"/sequences/{sequence_id}", texts, problems)
        return _back(sequence_id, f'Step "{texts["Name"]}" was saved.')

    def _delete_step(self, _: Request, sequence_id: str, step_id: str) -> Response:
        row = self._read_step(sequence_id, step_id)
        try:
            self._org.delete(step_id)
        except Refusal as refusal:
            return redirect(f"/sequences/{sequence_id}?problem={quote_url(refusal.message[:300])}")
        return _back(sequence_id, f'Step "{row["Name"]}" was deleted.', f"&deleted={step_id}")

    def _undelete_step(self, _: Request, sequence_id: str, step_id: str) -> Response:
        row = self._read_step(sequence_id, step_id, everything=True)
        try:
            self._org.undelete(step_id)
        except Refusal as refusal:
            return redirect(f"/sequences/{sequence_id}?problem={quote_url(refusal.message[:300])}")
        return _back(sequence_id, f'Step "{row["Name"]}" was restored.')

    # reading

    def _read(self, kind: str, record_id: str, condition: str = "", *, everything: bool = False) -> Row:
        """A record with all that its layout shows. Raises LookupError."""
        if not is_installed(self._org):
            raise LookupError("There are no sequences: nothing of crmdrip is installed in this org yet.")
        fields = [name for section in _LAYOUTS[kind] for name in section.fields]
        fields += [f"{_NAMES[name]}.Name" for name in fields if name in _NAMES]
        fields += [_DATES[name] for name in fields if name in _DATES]
        where = f"WHERE Id = {quote(record_id)} {condition}"
        found = select(self._org, kind, ["Id", *fields], where, everything=everything)
        if not found:
            raise LookupError(f"There is no {self._org.schema[kind].label.lower()} {record_id}.")
        return found[0]

    def _read_step(self, sequence_id: str, step_id: str, *, everything: bool = False) -> Row:
        """A step of this sequence. Raises LookupError."""
        self._read(_SEQUENCE, sequence_id)
        return self._read(_STEP, step_id, f"AND Drip_Sequence__c = {quote(sequence_id)}", everything=everything)

    def _details(self, row: Row) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
        """Each section of the record, with label, help, value and time of each field."""
        spec = self._org.schema[_SEQUENCE]
        return [
            (
                section.title,
                [
                    (
                        label_of(spec.fields[name]),
                        spec.fields[name].help_text,
                        _name(row, name) if name in _NAMES else shown(spec.fields[name], row[name]),
                        row[_DATES[name]] if name in _DATES else "",
                    )
                    for name in section.fields
                ],
            )
            for section in SEQUENCE
        ]

    def _specs(self, kind: str) -> list[Field]:
        """The fields that a form of the object asks for. Which sequence a step is of is settled by where it stands."""
        if not is_installed(self._org):
            raise LookupError("There are no sequences: nothing of crmdrip is installed in this org yet.")
        fields = self._org.schema[kind].fields
        return [fields[name] for name in editable(_LAYOUTS[kind]) if name != "Drip_Sequence__c"]

    def _defaults(self, kind: str) -> Texts:
        texts = {spec.name: text_of(spec, spec.default) for spec in self._specs(kind)}
        return {**texts, "OwnerId": self._org.admin_id} if kind == _SEQUENCE else texts

    def _texts(self, kind: str, row: Row) -> Texts:
        return {spec.name: text_of(spec, row[spec.name]) for spec in self._specs(kind)}

    def _typed(self, kind: str, request: Request) -> Texts:
        form = request.form()
        return {spec.name: typed(spec, form) for spec in self._specs(kind)}

    # writing

    def _write(
        self, kind: str, texts: Texts, more: Row | None = None, *, record_id: str = ""
    ) -> tuple[dict[str, str], str]:
        """Write a record as the administrator, a new one without an id; why it is refused, by field, and its id."""
        empty = {name: EMPTY for name in sorted(REQUIRED) if not texts[name].strip()}
        if empty:
            return empty, ""
        values = {spec.name: value_of(spec, texts[spec.name]) for spec in self._specs(kind)} | dict(more or {})
        try:
            if not record_id:
                return {}, self._org.insert(kind, values)
            self._org.update(record_id, values)
        except Refusal as refusal:
            return dict.fromkeys(refusal.fields or ("",), refusal.message), ""
        return {}, record_id

    # the form

    def _form(
        self, kind: str, title: str, back: str, texts: Texts, problems: Mapping[str, str] | None = None
    ) -> Response:
        """The form of a record. problems: why it was refused, by the field's name, "" for the record as a whole."""
        problems = problems or {}
        specs = {spec.name: spec for spec in self._specs(kind)}
        sections = [
            (section.title, [self._entry(specs[name], texts, problems) for name in section.fields if name in specs])
            for section in _LAYOUTS[kind]
            if _is_asked(section)
        ]
        return self._render(
            "record_form.html",
            code=400 if problems else 200,
            tab="sequences",
            kind=self._org.schema[kind].label,
            title=title,
            back=back,
            sections=sections,
            refused=[entry for _, entries in sections for entry in entries if entry.problem],
            problem=" ".join(text for name, text in problems.items() if name not in specs),
        )

    def _entry(self, spec: Field, texts: Texts, problems: Mapping[str, str]) -> Entry:
        choices = [(user["Id"], user["Name"]) for user in self._owners(texts)] if spec.name == "OwnerId" else ()
        return make_entry(
            spec,
            texts[spec.name],
            required=spec.name in REQUIRED,
            problem=problems.get(spec.name, ""),
            choices=choices,
        )

    def _owners(self, texts: Texts) -> list[dict[str, Any]]:
        """Who may own a sequence: everybody active, and whoever owns it now."""
        users = select(self._org, "User", ["Id", "Name", "IsActive"], "ORDER BY Name")
        return [user for user in users if user["IsActive"] or user["Id"] == texts["OwnerId"]]


def _is_asked(section: Section) -> bool:
    return not section.read_only and any(name not in READ_ONLY for name in section.fields)


def _name(row: Row, field: str) -> str:
    related = row[_NAMES[field]]
    return str(related["Name"]) if related else ""


def _back(sequence_id: str, said: str, more: str = "") -> Response:
    return redirect(f"/sequences/{sequence_id}?said={quote_url(said)}{more}")
