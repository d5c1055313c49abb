"""What an org has already that could stand for the package's objects and fields. A call or two, and only reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from connectors.salesforce.blueprint import FieldSpec, load_names, load_package, load_specs, say, stand_in
from connectors.salesforce.client import Answers, Part, SalesforceClient
from connectors.salesforce.schema import REQUIRED, WRITTEN_BY_US, FieldInfo, ObjectInfo, read_object
from crmdrip.core.mapping import CrmMapping
from crmdrip.ports import Candidate, Place, Purpose

_OBJECTS = ("sequence", "step", "control")
"""Words whose objects the package brings."""
_TABLES = ("contact", "lead", "sequence", "step", "control", "task")


def describe_org(client: SalesforceClient, mapping: CrmMapping) -> Sequence[Place]:
    """Every word that an installation would make.

    Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
    """
    names = {word: mapping.objects.get(word, "") for word in _TABLES}
    parts = [
        Part(name=f"describe_{word}", path=f"sobjects/{name}/describe") for word, name in names.items() if name
    ]  # fmt: skip
    answers = client.read([*parts, Part(name="all", path="sobjects")], Purpose.PULL)
    objects = {word: info for word in names if (info := _described(answers, word)) is not None}
    return [*_objects(answers, objects, mapping), *_fields(objects, mapping)]


def _described(answers: Answers, word: str) -> ObjectInfo | None:
    answer = answers.parts.get(f"describe_{word}")
    return None if answer is None else read_object(answer, word)


def _objects(answers: Answers, objects: dict[str, ObjectInfo], mapping: CrmMapping) -> Iterator[Place]:
    shipped = {one.name for one in load_package().find("CustomObject")}
    own = tuple(
        Candidate(name=one["name"], label=one["label"], kind="object")
        for one in answers.body("all")["sobjects"]
        if one.get("custom") and one.get("queryable") and one["name"].endswith("__c") and one["name"] not in shipped
    )
    for word in _OBJECTS:
        yield Place(
            table="objects",
            word=word,
            name=mapping.objects.get(word, ""),
            label=word.title(),
            kind="object",
            there=word in objects,
            vital=True,
            candidates=own,
        )


def _fields(objects: dict[str, ObjectInfo], mapping: CrmMapping) -> Iterator[Place]:
    names, specs = load_names(), load_specs()
    shipped_fields = {spec.name for spec in specs.values()}
    renamed = {names.objects[word]: mapping.objects.get(word, "") for word in _OBJECTS}
    for word, info in objects.items():
        required = REQUIRED.get(word) or tuple(
            one for one in names.fields.get(word, {}) if one not in WRITTEN_BY_US.get(word, ())
        )  # fmt: skip
        for each, shipped in names.fields.get(word, {}).items():
            spec, name = specs.get((names.objects[word], shipped)), mapping.fields[word].get(each, "")
            if spec is None or not name:
                continue  # the org's own standard field, or switched off on purpose
            target = renamed.get(spec.reference_to, spec.reference_to)
            # Never a standard field: crmdrip writes there, and Lead Status has other readers.
            own = [one for one in info.fields.values() if one.name.endswith("__c") and one.name not in shipped_fields]
            candidates = tuple(_candidate(spec, one, target) for one in own)
            yield Place(
                table=word,
                word=each,
                name=name,
                label=spec.label.removeprefix("Drip "),
                kind=say(spec.type),
                there=info.find(name) is not None,
                vital=each in required,
                candidates=candidates,
            )


def _candidate(spec: FieldSpec, one: FieldInfo, target: str) -> Candidate:
    problems = stand_in(replace(spec, reference_to=target), one)
    missing = [value for value in spec.values if value not in one.values]
    if one.restricted and missing and not problems:
        problems = [f"lacks the values {', '.join(missing)} (add them, or name yours under [values])"]
    return Candidate(name=one.name, label=one.label, kind=say(one.type), problems=tuple(problems))
