"""From the source tree that people keep (SFDX source format) to what an org takes (metadata format), and its archive.

Source keeps one file per field, list view or rule; the Metadata API takes one file per object with all of them inside.
Only what the package is made of is understood; anything else is refused by name, never left out in silence.
Tests compare the result with what the vendor's own converter makes of the same tree (source-deploy-retrieve 12.37).
"""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from xml.etree import ElementTree as ET

import orjson

from crmdrip.core.errors import ConfigurationError

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
_META = "-meta.xml"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Every file's date, so that the same tree makes the same archive."""

ET.register_namespace("", NAMESPACE)

_IGNORED = frozenset({"__tests__", "jsconfig.json", ".eslintrc.json", ".DS_Store"})
"""As .forceignore says: tests and the settings of editors are never deployed."""

_CHILDREN: Mapping[str, tuple[str, str]] = {
    "fields": ("fields", "CustomField"),
    "listViews": ("listViews", "ListView"),
    "validationRules": ("validationRules", "ValidationRule"),
    "compactLayouts": ("compactLayouts", "CompactLayout"),
    "fieldSets": ("fieldSets", "FieldSet"),
    "webLinks": ("webLinks", "WebLink"),
}
"""By the folder below an object: the element inside the object's file, and the type in package.xml."""

_SINGLE: Mapping[str, tuple[str, str]] = {
    "layouts": ("layout", "Layout"),
    "permissionsets": ("permissionset", "PermissionSet"),
    "tabs": ("tab", "CustomTab"),
    "applications": ("app", "CustomApplication"),
    "flexipages": ("flexipage", "FlexiPage"),
    "quickActions": ("quickAction", "QuickAction"),
    "reportTypes": ("reportType", "ReportType"),
    "customPermissions": ("customPermission", "CustomPermission"),
    "flows": ("flow", "Flow"),
}
"""By folder: the suffix of its files, and their type. One file is one component and stays as it is."""

_IN_FOLDERS: Mapping[str, tuple[str, str]] = {
    "reports": ("report", "Report"),
    "dashboards": ("dashboard", "Dashboard"),
}
"""The same, kept in folders that are components themselves."""

_WITH_CODE: Mapping[str, tuple[str, str]] = {
    "classes": ("cls", "ApexClass"),
    "staticresources": ("resource", "StaticResource"),
}
"""The same, of which each has a file beside its description."""

_BUNDLES: Mapping[str, str] = {"lwc": "LightningComponentBundle"}
"""By folder: the type. A folder below it is one component."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Component:
    """One thing of the package, as package.xml names it. Equal to itself alone: its XML is not compared."""

    type: str
    """As the Metadata API calls it: CustomObject, CustomField, ListView, ..."""
    name: str
    """Its full name, such as "Contact.Drip_Status__c"."""
    files: Mapping[str, bytes]
    """Where it is kept in an archive, and what is in it. A part of an object has none of its own, see `element`."""
    object: str = ""
    """The object whose file holds it, "" for none."""
    element: ET.Element | None = None
    """What stands in the object's file."""
    directory: str = ""
    """The package directory it belongs to. Directories are deployed one after the other."""

    @property
    def text(self) -> str:
        """Everything it says, for finding what it refers to."""
        own = "" if self.element is None else ET.tostring(self.element, encoding="unicode")
        return own + "".join(content.decode("utf-8", "replace") for content in self.files.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """Everything that is installed in an org."""

    api_version: str
    components: tuple[Component, ...]

    def find(self, kind: str) -> list[Component]:
        """Those of a type."""
        return [one for one in self.components if one.type == kind]

    def files(self) -> dict[str, bytes]:
        """The archive's files by path, package.xml first."""
        files = {"package.xml": self._manifest()}
        objects: dict[str, list[Component]] = defaultdict(list)
        for one in self.components:
            files.update(one.files)
            if one.object:
                objects[one.object].append(one)
        for name, parts in sorted(objects.items()):
            files[f"objects/{name}.object"] = _compose(parts)
        return files

    def zip(self) -> bytes:
        """The archive. The same package gives the same bytes."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in sorted(self.files().items(), key=lambda each: (each[0] != "package.xml", each[0])):
                archive.writestr(zipfile.ZipInfo(path, _EPOCH), content, zipfile.ZIP_DEFLATED)
        return buffer.getvalue()

    def split(self) -> list[Package]:
        """A package for each directory, in the order of the project."""
        names = dict.fromkeys(one.directory for one in self.components)
        return [self.keep(one for one in self.components if one.directory == name) for name in names]

    def keep(self, components: Iterable[Component]) -> Package:
        """A package of these alone."""
        return replace(self, components=tuple(components))

    def _manifest(self) -> bytes:
        root = ET.Element(_tag("Package"))
        members: dict[str, list[str]] = defaultdict(list)
        for one in self.components:
            members[one.type].append(one.name)
        for kind, names in sorted(members.items()):
            types = ET.SubElement(root, _tag("types"))
            for name in sorted(names):
                ET.SubElement(types, _tag("members")).text = name
            ET.SubElement(types, _tag("name")).text = kind
        ET.SubElement(root, _tag("version")).text = self.api_version
        return _write(root)


def read_package(tree: Traversable) -> Package:
    """Read a source tree: a folder with sfdx-project.json.

    Raises ConfigurationError naming the file that is not understood.
    """
    project = tree / "sfdx-project.json"
    try:
        settings = orjson.loads(project.read_bytes())
        version, folders = settings["sourceApiVersion"], [each["path"] for each in settings["packageDirectories"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(
            "there is no Salesforce package.", where=str(project), do_next="Install crmdrip again."
        ) from None
    found = [
        replace(one, directory=path)
        for path in folders
        for one in sorted(_read_folders(tree / path / "main" / "default"), key=lambda one: (one.type, one.name))
    ]
    return Package(api_version=version, components=tuple(found))


def _read_folders(root: Traversable) -> Iterator[Component]:
    for folder in _entries(root):
        name = folder.name
        if name == "objects":
            for each in _entries(folder):
                yield from _read_object(each)
        elif name in _SINGLE:
            suffix, kind = _SINGLE[name]
            for file in _entries(folder):
                full = _stem(file, f".{suffix}{_META}")
                yield Component(type=kind, name=full, files={f"{name}/{full}.{suffix}": _bytes(file)})
        elif name in _IN_FOLDERS:
            yield from _read_in_folders(folder)
        elif name in _WITH_CODE:
            yield from _read_with_code(folder)
        elif name in _BUNDLES:
            for bundle in _entries(folder):
                files = {f"{name}/{path}": content for path, content in _walk(bundle, bundle.name)}
                if files:
                    yield Component(type=_BUNDLES[name], name=bundle.name, files=files)
        else:
            raise _not_understood(folder)


def _read_object(folder: Traversable) -> Iterator[Component]:
    for entry in _entries(folder):
        if entry.name == f"{folder.name}.object{_META}":
            element = _parse(entry)
            yield Component(type="CustomObject", name=folder.name, files={}, object=folder.name, element=element)
        elif entry.name in _CHILDREN:
            tag, kind = _CHILDREN[entry.name]
            for file in _entries(entry):
                element = _parse(file)
                element.tag = _tag(tag)
                suffix = f".{kind[0].lower()}{kind[1:]}" if kind != "CustomField" else ".field"
                full = f"{folder.name}.{_stem(file, suffix + _META)}"
                if element.findtext(_tag("fullName")) != full.partition(".")[2]:
                    raise ConfigurationError("its fullName is not the file's name.", where=str(file))
                yield Component(type=kind, name=full, files={}, object=folder.name, element=element)
        else:
            raise _not_understood(entry)


def _read_in_folders(root: Traversable) -> Iterator[Component]:
    suffix, kind = _IN_FOLDERS[root.name]
    for entry in _entries(root):
        if entry.is_dir():
            for file in _entries(entry):
                full = f"{entry.name}/{_stem(file, f'.{suffix}{_META}')}"
                yield Component(type=kind, name=full, files={f"{root.name}/{full}.{suffix}": _bytes(file)})
        else:
            full = _stem(entry, f".{suffix}Folder{_META}")
            yield Component(type=kind, name=full, files={f"{root.name}/{full}{_META}": _bytes(entry)})


def _read_with_code(root: Traversable) -> Iterator[Component]:
    suffix, kind = _WITH_CODE[root.name]
    entries = {entry.name: entry for entry in _entries(root)}
    for name, entry in entries.items():
        if not name.endswith(_META):
            continue
        full = _stem(entry, f".{suffix}{_META}")
        content = next((each for other, each in entries.items() if other != name and _of(other, full)), None)
        if content is None:
            raise ConfigurationError(f"{full} has a description and no content.", where=str(entry))
        path = f"{root.name}/{full}.{suffix}"
        yield Component(type=kind, name=full, files={path: _bytes(content), path + _META: _bytes(entry)})


def _of(name: str, full: str) -> bool:
    return name.partition(".")[0] == full and not name.endswith(_META)


def _compose(parts: list[Component]) -> bytes:
    """One object's file: what is said about the object itself, and then its parts by kind and name."""
    root = ET.Element(_tag("CustomObject"))
    for one in sorted(parts, key=lambda part: (part.type != "CustomObject", part.type, part.name)):
        assert one.element is not None  # noqa: S101 - every part of an object was read from a file of its own
        if one.type == "CustomObject":
            root.extend(one.element)
        else:
            root.append(one.element)
    return _write(root)


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _write(root: ET.Element) -> bytes:
    # Indented on a copy: the elements are shared with the components.
    copy: ET.Element = ET.fromstring(ET.tostring(root))  # noqa: S314 - written a moment ago
    ET.indent(copy, "    ")
    text = ET.tostring(copy, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _parse(file: Traversable) -> ET.Element:
    try:
        return ET.fromstring(file.read_bytes())  # noqa: S314 - our own package
    except ET.ParseError as error:
        raise ConfigurationError(f"not well-formed XML: {error}.", where=str(file)) from None


def _entries(folder: Traversable) -> list[Traversable]:
    found = (entry for entry in folder.iterdir() if entry.name not in _IGNORED)
    return sorted(found, key=lambda entry: entry.name)


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _walk(entry, f"{path}/{entry.name}")
        else:
            yield f"{path}/{entry.name}", entry.read_bytes()


def _bytes(file: Traversable) -> bytes:
    if file.name.endswith(_META):
        _parse(file)
    return file.read_bytes()


def _stem(file: Traversable, suffix: str) -> str:
    if file.is_dir() or not file.name.endswith(suffix):
        raise _not_understood(file)
    return file.name.removesuffix(suffix)


def _not_understood(entry: Traversable) -> ConfigurationError:
    return ConfigurationError(
        "the package has no place for this.",
        where=str(entry),
        do_next="Deploy it with the sf command, or take it out of the tree.",
    )
