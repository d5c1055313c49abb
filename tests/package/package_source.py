"""The Salesforce package's source as it lies in mappings/: its files, objects, fields and names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mappings" / "salesforce"
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"

OURS = ("Drip_Sequence__c", "Drip_Step__c", "Drip_Control__c")
EXTENDED = ("Contact", "Lead", "Activity")


@dataclass(frozen=True, kw_only=True)
class SourceField:
    """One custom field."""

    object: str
    name: str
    type: str
    xml: ET.Element

    def text(self, element: str) -> str:
        """What stands in an element, "" when it is not there."""
        return self.xml.findtext(NAMESPACE + element) or ""

    @property
    def computed(self) -> bool:
        """Whether the org works it out, so that nobody writes it."""
        return self.type == "Summary" or bool(self.text("formula"))

    @property
    def permissionable(self) -> bool:
        """Whether a permission set may carry it: of required and master-detail fields the deploy is refused."""
        return self.type != "MasterDetail" and self.text("required") != "true"

    @property
    def values(self) -> tuple[str, ...]:
        """Of a picklist."""
        return tuple(one.text or "" for one in self.xml.findall(f".//{NAMESPACE}value/{NAMESPACE}fullName"))


def metadata_files() -> list[Path]:
    """Every file that describes a component."""
    return sorted(PACKAGE.rglob("*-meta.xml"))


def parse(path: Path) -> ET.Element:
    """Its root element."""
    return ET.parse(path).getroot()  # noqa: S314 -- the project's own files


def found(suffix: str) -> Iterator[tuple[str, ET.Element]]:
    """The components whose files have this suffix before -meta.xml, by name. Raises LookupError when there are none."""
    paths = sorted(PACKAGE.rglob(f"*.{suffix}-meta.xml"))
    if not paths:
        raise LookupError(f"the package has no {suffix}")
    for path in paths:
        yield path.name.removesuffix(f".{suffix}-meta.xml"), parse(path)


def children(element: ET.Element, name: str) -> list[str]:
    """The texts of every such element below."""
    return [one.text or "" for one in element.iter(NAMESPACE + name)]


@cache
def fields() -> Mapping[str, Mapping[str, SourceField]]:
    """Every custom field by object and name."""
    read: dict[str, dict[str, SourceField]] = {}
    for path in sorted((PACKAGE / "force-app").rglob("objects/*/fields/*.field-meta.xml")):
        xml = parse(path)
        name, kind = xml.findtext(NAMESPACE + "fullName") or "", xml.findtext(NAMESPACE + "type") or ""
        owner = path.parents[1].name
        read.setdefault(owner, {})[name] = SourceField(object=owner, name=name, type=kind, xml=xml)
    return read


def every_field() -> list[SourceField]:
    """Every custom field."""
    return [one for group in fields().values() for one in group.values()]


def known_names(name: str) -> set[str]:
    """What a page, list view or report may name on an object: its fields, ours and the platform's."""
    audit = {"Id", "CreatedById", "CreatedDate", "LastModifiedById", "LastModifiedDate"}
    named = {"Name", "OwnerId"} if name != "Drip_Step__c" else {"Name"}
    return {*fields()[name], *audit, *named}
