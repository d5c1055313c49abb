"""The package for an org that has fields of its own: what the mapping names otherwise is not installed a second time.

A field that is mapped to another name is left out, and with it whatever shows or checks it: list views, layouts, rules,
reports, components. Permission sets stay, and grant the org's own field in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

from connectors.salesforce.blueprint import load_names
from connectors.salesforce.metadata import NAMESPACE, Component, Package
from crmdrip.core.mapping import CrmMapping

_WORD = re.compile(r"\w+")
_OWNED = {"Layout": "-", "QuickAction": "."}
"""Kinds whose name begins with an object's, and what follows it there."""
_ACTIVITIES = ("Task", "Event")


@dataclass(frozen=True, kw_only=True, slots=True)
class Replacement:
    """A field or object of the package for which the org has one of its own."""

    word: str
    """What the mapping calls it, such as "contact.enrolled"."""
    object: str
    name: str
    """The package's field, "" for the object as a whole."""
    own_object: str
    own_name: str
    """The org's; both "" when it is switched off."""

    @property
    def full_name(self) -> str:
        """The package's, as people call it."""
        return f"{self.object}.{self.name}" if self.name else self.object

    @property
    def own(self) -> str:
        """The org's, "" when it is switched off."""
        return f"{self.own_object}.{self.own_name}" if self.own_name else self.own_object if not self.name else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tailored:
    """What is installed, and what is not."""

    package: Package
    replacements: tuple[Replacement, ...]
    left_out: Mapping[Component, str]
    """Why, by component. Fields and objects that are replaced are not among them."""


def tailor(package: Package, mapping: CrmMapping) -> Tailored:
    """The package less what the mapping names otherwise. An org that uses our names gets the package as it is."""
    replacements = tuple(find_replacements(package, mapping))
    if not replacements:
        return Tailored(package=package, replacements=(), left_out={})
    names = {one.full_name for one in replacements}
    own_objects = {one.object: one.own_object for one in replacements if not one.name}
    fields = frozenset(one.name for one in package.find("CustomField"))
    kept = [_point(one, own_objects) for one in package.components if not _replaced(one, names)]
    left_out: dict[Component, str] = {}
    gone: set[str] = set()
    while True:
        found = {
            one: why for one in kept if one.type != "PermissionSet" and (why := _why(one, replacements, gone, fields))
        }
        if not found:
            break
        left_out |= found
        gone |= {name for one in found if (name := _reference(one))}
        kept = [one for one in kept if one not in found]
    named = gone | {one.name for one in left_out if one.type in ("CustomApplication", "CustomTab")}
    fit = {
        "PermissionSet": lambda one: _rewrite(one, replacements, named),
        "CustomObject": lambda one: _trim(one, gone),
    }
    kept = [fit[one.type](one) if one.type in fit else one for one in kept]
    return Tailored(package=package.keep(kept), replacements=replacements, left_out=left_out)


def find_replacements(package: Package, mapping: CrmMapping) -> Iterable[Replacement]:
    """Every field and object of the package that the mapping does not name by its own name."""
    objects = {one.name for one in package.find("CustomObject")}
    fields = {one.name for one in package.find("CustomField")}
    shipped = load_names()
    for word, name in shipped.objects.items():
        own = mapping.objects.get(word, "")
        if name in objects and own != name:
            yield Replacement(word=word, object=name, name="", own_object=own, own_name="")
    for word, words in shipped.fields.items():
        owner = shipped.objects.get(word, "")
        for each, name in words.items():
            standing = "Activity" if owner in _ACTIVITIES else owner
            own = mapping.fields.get(word, {}).get(each, "")
            own_object = mapping.objects.get(word, "") if own else ""
            if f"{standing}.{name}" in fields and (own_object, own) != (owner, name):
                yield Replacement(
                    word=f"{word}.{each}", object=owner, name=name, own_object=own_object, own_name=own
                )  # fmt: skip


def _replaced(one: Component, names: set[str]) -> bool:
    if one.type == "CustomField":
        owner, _, name = one.name.partition(".")
        standing = "Task" if owner == "Activity" else owner
        return f"{standing}.{name}" in names or owner in names
    return one.object in names


def _point(one: Component, own_objects: Mapping[str, str]) -> Component:
    """A lookup to an object of the package that points at the org's own in its place."""
    if one.type != "CustomField" or one.element is None:
        return one
    element = deepcopy(one.element)
    target = element.find(_path("referenceTo"))
    own = own_objects.get(target.text or "") if target is not None else None
    if target is None or own is None:
        return one
    target.text = own
    return replace(one, element=element)


def _trim(one: Component, gone: set[str]) -> Component:
    """An object without the pages and compact layouts that are left out: it shows the standard ones."""
    element = deepcopy(one.element)
    assert element is not None  # noqa: S101 - an object is always XML
    for override in element.findall(_path("actionOverrides")):
        if override.findtext(_path("content")) in gone:
            element.remove(override)
    layout = element.find(_path("compactLayoutAssignment"))
    if layout is not None and layout.text in gone:
        layout.text = "SYSTEM"
    return replace(one, element=element)


def _said(one: Component) -> str:
    """What a component says about others. Of a field its own name and its texts are no mention of anything."""
    if one.type != "CustomField" or one.element is None:
        return f"{one.name} {one.text}"
    tags = {_path(name) for name in ("formula", "summaryFilterItems", "summaryForeignKey", "summarizedField")}
    return " ".join(ET.tostring(child, encoding="unicode") for child in one.element if child.tag in tags)


def _why(one: Component, replacements: Iterable[Replacement], gone: set[str], fields: frozenset[str]) -> str:
    """Why a component cannot be installed, "" when it can. fields: of the package, whatever becomes of them."""
    if one.type == "CustomObject":
        return ""
    text = _said(one)
    words = set(_WORD.findall(text))
    sign = _OWNED.get(one.type)
    owner = one.object or (one.name.partition(sign)[0] if sign else "")
    about = {owner} if owner else words
    for each in replacements:
        name = each.name or each.object
        if not each.name and f"{owner}.{name}" in fields:
            continue  # Contact has a field that is called as the object is
        if name in words and (not each.name or not about.isdisjoint(_standing(each.object))):
            return f"it uses {each.full_name}, which is {each.own or 'switched off'} here"
    for name in sorted(gone):
        field_of, dot, field = name.partition(".")
        if dot:
            used = field in words and not about.isdisjoint(_standing(field_of))
        else:
            used = name in words or ("/" in name and name in text)
        if used:
            return f"it uses {name}, which is left out as well"
    return ""


def _standing(owner: str) -> tuple[str, ...]:
    """What an object is called where its fields are used."""
    return (*_ACTIVITIES, "Activity") if owner in _ACTIVITIES else (owner,)


def _reference(one: Component) -> str:
    """How others name a component, "" for one that nothing refers to."""
    match one.type:
        case "ReportType":
            return f"{one.name}__c"
        case "CustomField" | "Report" | "FlexiPage" | "LightningComponentBundle" | "CustomPermission":
            return one.name
        case "CompactLayout" | "QuickAction":
            return one.name.partition(".")[2]
        case _:
            return ""


def _rewrite(one: Component, replacements: tuple[Replacement, ...], gone: set[str]) -> Component:
    """A permission set that grants the org's own fields and objects, and names nothing that is left out."""
    ((path, content),) = one.files.items()
    root = ET.fromstring(content)  # noqa: S314 - our own package
    by_name = {each.full_name: each for each in replacements}
    by_name |= {f"Event.{each.name}": each for each in replacements if each.object == "Task"}
    granted: set[str] = set()
    for entry in list(root):
        leaf = next((child for child in entry if _local(child) in ("field", "object", "tab", "application")), None)
        if leaf is None:
            continue
        found = by_name.get(leaf.text or "") or by_name.get((leaf.text or "").partition(".")[0])
        if found is None:
            if leaf.text in gone:
                root.remove(entry)
            continue
        # Of an object that is replaced, a field without a word of its own has nothing to stand for it.
        fits = _local(leaf) == ("field" if found.name else "object")
        own = found.own if fits else ""
        if not own or own in granted or not own.endswith("__c"):
            root.remove(entry)
        else:
            leaf.text = own
            granted.add(own)
    ET.indent(root, "    ")
    text = ET.tostring(root, encoding="unicode")
    return replace(one, files={path: f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()})


def widen(element: ET.Element, length: int, values: Iterable[str]) -> ET.Element:
    """A field that takes nothing from the org: as long as it is there, and with the values that admins have added."""
    wide = deepcopy(element)
    own = wide.find(_path("length"))
    if own is not None and length > int(own.text or 0):
        own.text = str(length)
    definition = wide.find("/".join(_path(name) for name in ("valueSet", "valueSetDefinition")))
    if definition is not None:
        there = {value.findtext(_path("fullName")) for value in definition.iterfind(_path("value"))}
        for value in values:
            if value not in there:
                entry = ET.SubElement(definition, _path("value"))
                for name, text in (("fullName", value), ("default", "false"), ("label", value)):
                    ET.SubElement(entry, _path(name)).text = text
    return wide


def _path(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
