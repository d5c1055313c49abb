"""Unpacking: a zip and its package.xml to parts, with the vendor's limits. Nothing is checked against an org here."""

from __future__ import annotations

import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from crmdrip.sandbox.salesforce.metadata.grammar import check
from crmdrip.sandbox.salesforce.metadata.parts import Part, Problem
from crmdrip.sandbox.salesforce.metadata.xml import Node, XmlError, parse

MAX_FILES = 10_000
MAX_ZIP = 39 * 1024 * 1024
MAX_UNZIPPED = 600 * 1024 * 1024
"""Metadata API guide, "Deploy with REST": files, compressed and uncompressed bytes of one deployment."""

_META = "-meta.xml"

CHILDREN: Mapping[str, str] = {
    "fields": "CustomField",
    "listViews": "ListView",
    "validationRules": "ValidationRule",
    "compactLayouts": "CompactLayout",
    "fieldSets": "FieldSet",
}
"""What stands inside an object's file as a component of its own, by its element."""

_FILES: Mapping[str, tuple[str, str]] = {
    "layouts": ("layout", "Layout"),
    "permissionsets": ("permissionset", "PermissionSet"),
    "tabs": ("tab", "CustomTab"),
    "applications": ("app", "CustomApplication"),
    "flexipages": ("flexipage", "FlexiPage"),
    "quickActions": ("quickAction", "QuickAction"),
    "reportTypes": ("reportType", "ReportType"),
    "customPermissions": ("customPermission", "CustomPermission"),
    "reports": ("report", "Report"),
    "dashboards": ("dashboard", "Dashboard"),
}
_FOLDERS = {"reports": "ReportFolder", "dashboards": "DashboardFolder"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A complaint about one file."""

    file: str
    problem: Problem
    kind: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """What was in it."""

    parts: tuple[Part, ...]
    failures: tuple[Failure, ...]


class ArchiveError(ValueError):
    """No deployment at all: the whole request fails."""


def read_archive(content: bytes) -> Archive:
    """Unpack. Raises ArchiveError for what is no archive of the Metadata API or is over its limits."""
    if len(content) > MAX_ZIP:
        raise ArchiveError(f"Maximum size of request reached. Maximum size of request is {MAX_ZIP} bytes.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_UNZIPPED:
                raise ArchiveError(f"Maximum number of files is {MAX_FILES}, of bytes {MAX_UNZIPPED}.")
            files = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, OSError):
        raise ArchiveError("The zip file is not valid.") from None
    if any(name.startswith("destructiveChanges") for name in files):
        raise ArchiveError("This stand-in deletes nothing: leave out destructiveChanges.")
    failures: list[Failure] = []
    members = _read_manifest(files, failures)
    parts = list(_read_parts(files, failures))
    failures.extend(_twice(parts))
    failures.extend(_unlisted(parts, members))
    return Archive(parts=tuple(parts), failures=tuple(failures))


def _read_manifest(files: Mapping[str, bytes], failures: list[Failure]) -> set[tuple[str, str]]:
    if "package.xml" not in files:
        failures.append(Failure(file="package.xml", problem=Problem(text="No package.xml found")))
        return set()
    try:
        root = parse(files["package.xml"])
    except XmlError as error:
        failures.append(Failure(file="package.xml", problem=_located(error)))
        return set()
    found = set()
    for types in root.all("types"):
        kind = types.get("name")
        for member in types.all("members"):
            # The vendor's own converter writes folders with a slash at the end.
            found.add((kind, member.text.removesuffix("/")))
    if not root.get("version"):
        failures.append(Failure(file="package.xml", problem=Problem(text="Required field is missing: version")))
    return found


def _read_parts(files: Mapping[str, bytes], failures: list[Failure]) -> Iterator[Part]:
    bundles: dict[str, dict[str, bytes]] = defaultdict(dict)
    for path, content in files.items():
        folder, _, rest = path.partition("/")
        if path == "package.xml":
            continue
        if folder == "lwc" and rest.count("/") >= 1:
            bundles[rest.partition("/")[0]][path] = content
        elif folder == "objects" and rest.endswith(".object"):
            yield from _read_object(path, rest.removesuffix(".object"), content, failures)
        elif folder in _FOLDERS and rest.endswith(_META) and "/" not in rest:
            kind = _FILES[folder][1]
            yield from _read_file(path, kind, rest.removesuffix(_META), content, failures, grammar=_FOLDERS[folder])
        elif folder in _FILES and rest.endswith("." + _FILES[folder][0]):
            suffix, kind = _FILES[folder]
            yield from _read_file(path, kind, rest.removesuffix(f".{suffix}"), content, failures)
        else:
            problem = Problem(text=f"Unknown metadata: this stand-in does not know what {path} is")
            failures.append(Failure(file=path, problem=problem))
    for name, contents in bundles.items():
        yield from _read_bundle(name, contents, failures)


def _read_file(
    path: str, kind: str, name: str, content: bytes, failures: list[Failure], *, grammar: str = ""
) -> Iterator[Part]:
    root = _parse(path, kind, name, content, failures)
    if root is None:
        return
    wanted = grammar or kind
    if root.name != wanted:
        problem = Problem(text=f"Error parsing file: Element {root.name} is no {wanted}", line=root.line, column=1)
        failures.append(Failure(file=path, problem=problem, kind=kind, name=name))
        return
    failures.extend(Failure(file=path, problem=each, kind=kind, name=name) for each in check(root, wanted))
    yield Part(kind=kind, name=name, file=path, node=root)


def _read_object(path: str, name: str, content: bytes, failures: list[Failure]) -> Iterator[Part]:
    root = _parse(path, "CustomObject", name, content, failures)
    if root is None:
        return
    found = list(check(root, "CustomObject"))
    failures.extend(Failure(file=path, problem=each, kind="CustomObject", name=name) for each in found)
    own = Node(name=root.name, line=root.line, column=root.column)
    for child in root.children:
        if (kind := CHILDREN.get(child.name)) is not None:
            full = f"{name}.{child.get('fullName')}"
            yield Part(kind=kind, name=full, file=path, node=child)
        else:
            own.children.append(child)
    if own.children:
        yield Part(kind="CustomObject", name=name, file=path, node=own)


def _read_bundle(name: str, contents: Mapping[str, bytes], failures: list[Failure]) -> Iterator[Part]:
    kind, path = "LightningComponentBundle", f"lwc/{name}/{name}.js-meta.xml"
    if path not in contents:
        problem = Problem(text=f"Cannot find Lightning Component Bundle {name}: {name}.js-meta.xml is missing")
        failures.append(Failure(file=f"lwc/{name}", problem=problem, kind=kind, name=name))
        return
    root = _parse(path, kind, name, contents[path], failures)
    if root is None:
        return
    # What stands in targetConfigs differs by target, and is not checked.
    plain = Node(name=root.name, line=root.line, column=root.column)
    plain.children = [child for child in root.children if child.name != "targetConfigs"]
    failures.extend(Failure(file=path, problem=each, kind=kind, name=name) for each in check(plain, kind))
    code = b"\0".join(contents[each] for each in sorted(contents) if each != path)
    yield Part(kind=kind, name=name, file=path, node=root, content=code)


def _parse(path: str, kind: str, name: str, content: bytes, failures: list[Failure]) -> Node | None:
    try:
        return parse(content)
    except XmlError as error:
        failures.append(Failure(file=path, problem=_located(error), kind=kind, name=name))
        return None


def _located(error: XmlError) -> Problem:
    return Problem(text=str(error), line=error.line, column=error.column)


def _twice(parts: Iterable[Part]) -> Iterator[Failure]:
    parts = list(parts)
    counts = Counter(part.key for part in parts)
    for part in parts:
        if counts.pop(part.key, 1) > 1:
            line = 0 if part.node is None else part.node.line
            problem = Problem(text=f"Duplicate name '{part.local}' specified", line=line)
            yield Failure(file=part.file, problem=problem, kind=part.kind, name=part.name)


def _unlisted(parts: Iterable[Part], members: set[tuple[str, str]]) -> Iterator[Failure]:
    """What is listed and absent fails; what is there and not listed is not deployed, and that is said."""
    if not members:
        return
    keys = {part.key: part for part in parts}
    for kind, name in sorted(members - set(keys)):
        text = f"An object '{name}' of type {kind} was named in package.xml, but was not found in zipped directory"
        yield Failure(file="package.xml", problem=Problem(text=text), name=name)
    listed = {name for kind, name in members if kind == "CustomObject"}
    for key, part in keys.items():
        # An object that is listed brings everything inside its file along.
        if key not in members and not (part.kind in CHILDREN.values() and part.owner in listed):
            yield Failure(file=part.file, problem=Problem(text="Not in package.xml"), kind=part.kind, name=part.name)
