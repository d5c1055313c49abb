"""Installs the package in an org: shows what is missing, deploys it, and assigns its permission sets. Deletes nothing.

What stands there is read by describe, as the user who installs sees it. What a describe does not show (list views,
layouts, reports) is known by a mark in the description of a permission set: the digest of the package that was
deployed. An admin who changes a list view afterwards keeps it until there is another package.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.blueprint import compare, load_package, load_specs, read_spec
from connectors.salesforce.client import Answers, Part, SalesforceClient
from connectors.salesforce.deploying import Mode, deploy
from connectors.salesforce.metadata import Component, Package
from connectors.salesforce.org import RIGHT_ORG
from connectors.salesforce.schema import FieldInfo, ObjectInfo, read_object
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.tailoring import Tailored, tailor, widen
from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.core.mapping import CrmMapping
from crmdrip.ports import ChangeKind, Clock, Purpose, SchemaChange
from crmdrip.shipped import shipped

INTEGRATION_SET = "Drip_Integration"
EDITOR_SET = "Drip_Sequence_Editor"
_MARK = " Package "
_MARKED = re.compile(rf"{_MARK}([0-9a-f]{{12}})$")
_DESCRIPTION = re.compile(rb"<description>(.*?)</description>", re.DOTALL)
_DESCRIBABLE = 255
"""Characters of a permission set's description."""

_FIELDS: Mapping[str, int] = {"Professional Edition": 100, "Unlimited Edition": 800, "Performance Edition": 800}
_USUAL_FIELDS = 500
"""Custom fields per object, by edition (Salesforce help, "Custom Fields Allowed Per Object")."""

_NAMES: Mapping[str, str] = {
    "CustomField": "field",
    "CustomObject": "object",
    "ListView": "list view",
    "ValidationRule": "validation rule",
    "CompactLayout": "compact layout",
    "Layout": "page layout",
    "PermissionSet": "permission set",
    "CustomTab": "tab",
    "CustomApplication": "app",
    "FlexiPage": "Lightning page",
    "QuickAction": "quick action",
    "ReportType": "report type",
    "Report": "report",
    "Dashboard": "dashboard",
    "LightningComponentBundle": "Lightning component",
    "CustomPermission": "custom permission",
    "FieldSet": "field set",
    "WebLink": "button",
    "Flow": "flow",
    "ApexClass": "Apex class",
    "StaticResource": "static resource",
}
"""What Setup calls the kinds of the Metadata API."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The org as the user who installs sees it."""

    objects: Mapping[str, ObjectInfo]
    """By API name."""
    sets: Mapping[str, tuple[str, str]]
    """Id and description of our permission sets, by name."""
    assigned: frozenset[tuple[str, str]]
    """Who has which of them: permission set and user id."""
    edition: str

    def field(self, owner: str, name: str) -> FieldInfo | None:
        """The field, None when it is not there or hidden from us."""
        info = self.objects.get(owner)
        return None if info is None else info.find(name)

    def mark(self) -> str:
        """The digest of the package that was deployed last, "" when none was, or by other means."""
        found = _MARKED.search(self.sets.get(INTEGRATION_SET, ("", ""))[1])
        return found[1] if found else ""


class SalesforceInstaller:
    """Brings one org to what the mapping names."""

    def __init__(
        self,
        settings: SalesforceSettings,
        mapping: CrmMapping,
        clock: Clock,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Makes no call. With install_auth, that user installs, and the daemon's own gets the permission set."""
        self._settings = settings
        self._mapping = mapping
        self._sleep = sleep
        self._daemon = SalesforceClient(settings, clock)
        self.client = self._daemon
        """The session of the user who installs."""
        if settings.install_auth is not None:
            self.client = SalesforceClient(settings.model_copy(update={"auth": settings.install_auth}), clock)
        self._tailored: Tailored | None = None

    def preview(self) -> Sequence[SchemaChange]:
        """What stands there and what would be made; a handful of calls, and nothing is changed.

        Raises AuthError, RetriableError, RateLimitedError, ConfigurationError.
        """
        self._right_org()
        found = self._look()
        changes = [*self._fields(found), *self._others(found), *self._own(found), *self._assignments(found)]
        self._within_limits(found, changes)
        return changes

    def install(self, changes: Sequence[SchemaChange], progress: Callable[[str], None]) -> Sequence[SchemaChange]:
        """Deploy everything at once, and assign the permission sets.

        Raises as preview, and RejectedError naming each component the org refused: then nothing was changed.
        """
        to_do = [one for one in changes if one.kind in (ChangeKind.CREATE, ChangeKind.UPDATE)]
        made = [one for one in to_do if not one.what.startswith(_ASSIGNMENT)]
        if made:
            self._deploy(progress)
        found = self._look()
        if not self._daemon.user_id():
            progress(f"Whom crmdrip logs in as is not known. {_BY_HAND.format(INTEGRATION_SET.replace('_', ' '))}")
        for set_name, user_id, what in self._missing_assignments(found):
            if self._assign(found, set_name, user_id, progress):
                made += [one for one in to_do if one.what == what]
        return made

    def check(self, progress: Callable[[str], None]) -> None:
        """Let the org validate the deployment without making it. Raises as install."""
        self._right_org()
        deploy(self.client, self._fit(self._look()).zip(), Mode.CHECK, progress, self._sleep)

    def write_package(self, folder: Path) -> Sequence[str]:
        """Write the archives, and the source tree of a package that is not tailored; returns what to type for sf.

        Makes no call. Raises OSError.
        """
        folder.mkdir(parents=True, exist_ok=True)
        tailored, commands = self._tailor(), []
        for number, package in enumerate(tailored.package.split()):
            name = package.components[0].directory if number else "crmdrip"
            archive = folder / f"{name}.zip"
            archive.write_bytes(package.zip())
            commands.append(f"sf project deploy start --metadata-dir {archive} --single-package --target-org YOUR_ORG")
        if not tailored.replacements:
            _copy(shipped("salesforce"), folder / "source")
        user = "INTEGRATION_USERNAME"
        commands.append(
            f"sf org assign permset --name {INTEGRATION_SET} --on-behalf-of {user} --target-org YOUR_ORG"
        )  # fmt: skip
        return commands

    # looking

    def _right_org(self) -> None:
        """Nothing is installed in another org than the one that may be mailed from (B25)."""
        wanted, found = self._settings.org_id, self.client.token.org_id
        if wanted and found and wanted[:15] != found[:15]:
            raise ConfigurationError(
                f"the org {found} answers, and only {wanted} is meant. Nothing was installed.",
                where="Salesforce",
                do_next=RIGHT_ORG,
            )

    def _look(self) -> Found:
        package = self._tailor().package
        own = {spec.object for spec in load_specs().values()} | {one.name for one in package.find("CustomObject")}
        names = sorted(own | set(self._mapping.objects.values()) - {""})
        parts = [Part(name=f"describe_{name}", path=f"sobjects/{name}/describe") for name in names]
        sets = [one.name for one in package.find("PermissionSet")]
        parts.append(_query("sets", ["Id", "Name", "Description"], "PermissionSet", soql.in_list("Name", sets)))
        users = [user for user in {self._daemon.user_id(), self.client.user_id()} if user]
        if users:
            assigned = ["AssigneeId", "PermissionSet.Name"]
            where = f"{soql.in_list('PermissionSet.Name', sets)} AND {soql.in_list('AssigneeId', sorted(users))}"
            parts.append(_query("assigned", assigned, "PermissionSetAssignment", where))
        parts.append(_query("organization", ["OrganizationType"], "Organization", ""))
        answers = self.client.read(parts, Purpose.PULL)
        return Found(
            objects={name: info for name in names if (info := _describe(answers, name)) is not None},
            sets={row["Name"]: (row["Id"], row["Description"] or "") for row in _rows(answers, "sets")},
            assigned=frozenset(
                (row["PermissionSet"]["Name"], row["AssigneeId"]) for row in _rows(answers, "assigned")
            ),
            edition=next((row["OrganizationType"] or "" for row in _rows(answers, "organization")), ""),
        )  # fmt: skip

    def _tailor(self) -> Tailored:
        if self._tailored is None:
            self._tailored = tailor(load_package(), self._mapping)
        return self._tailored

    # what would be made

    def _fields(self, found: Found) -> Iterator[SchemaChange]:
        package = self._tailor().package
        for one in package.find("CustomObject"):
            kind = ChangeKind.KEEP if one.name in found.objects else ChangeKind.CREATE
            yield SchemaChange(kind=kind, what=one.name)
        for one in package.find("CustomField"):
            spec = read_spec(one)
            there = found.field(spec.object, spec.name)
            if there is None:
                yield SchemaChange(kind=ChangeKind.CREATE, what=spec.full_name)
                continue
            difference = compare(spec, there)
            if difference.conflict:
                advice = "Rename it in Setup, or give it another word in the mapping (crmdrip map)."
                detail = f"{difference.conflict}. {advice}"
                yield SchemaChange(kind=ChangeKind.CONFLICT, what=spec.full_name, detail=detail)
            elif difference.lacks:
                detail = "; ".join(difference.lacks)
                yield SchemaChange(kind=ChangeKind.UPDATE, what=spec.full_name, detail=detail)
            else:
                yield SchemaChange(kind=ChangeKind.KEEP, what=spec.full_name)

    def _others(self, found: Found) -> Iterator[SchemaChange]:
        """What no describe shows: there when this very package was deployed, and else made or brought up to date."""
        tailored = self._tailor()
        same = found.mark() == digest(tailored.package)
        kind = ChangeKind.KEEP if same else ChangeKind.UPDATE if found.sets else ChangeKind.CREATE
        for one in tailored.package.components:
            if one.type not in ("CustomObject", "CustomField"):
                yield SchemaChange(kind=kind, what=_call(one))
        for one, why in tailored.left_out.items():
            yield SchemaChange(kind=ChangeKind.UNAVAILABLE, what=_call(one), detail=f"left out: {why}.")

    def _own(self, found: Found) -> Iterator[SchemaChange]:
        """The org's own fields, as mapped."""
        for each in self._tailor().replacements:
            if not each.own:
                continue
            there = each.own_object in found.objects and (
                not each.own_name or found.field(each.own_object, each.own_name) is not None
            )
            detail = f"stands for {each.word}" if there else (
                f"mapped for {each.word}, and not there or hidden. Correct the mapping, or grant access to it."
            )  # fmt: skip
            yield SchemaChange(kind=ChangeKind.KEEP if there else ChangeKind.CONFLICT, what=each.own, detail=detail)

    def _assignments(self, found: Found) -> Iterator[SchemaChange]:
        for _, _, what in self._missing_assignments(found):
            yield SchemaChange(kind=ChangeKind.CREATE, what=what)

    def _missing_assignments(self, found: Found) -> list[tuple[str, str, str]]:
        """Permission set, user and what it is called, of those that lack theirs."""
        wanted = [(INTEGRATION_SET, self._daemon.user_id(), "the user that crmdrip logs in as")]
        if self.client is not self._daemon:
            wanted.append((EDITOR_SET, self.client.user_id(), "you, who install it"))
        return [
            (name, user_id, f"{_ASSIGNMENT} of {name.replace('_', ' ')} to {who}")
            for name, user_id, who in wanted
            if user_id and (name, user_id) not in found.assigned
        ]

    def _within_limits(self, found: Found, changes: Iterable[SchemaChange]) -> None:
        most = _FIELDS.get(found.edition, _USUAL_FIELDS)
        new = [one.what for one in changes if one.kind is ChangeKind.CREATE]
        for name, info in found.objects.items():
            there = sum(one.name.endswith("__c") for one in info.fields.values())
            added = sum(what.startswith(f"{name}.") for what in new)
            if added and there + added > most:
                raise ConfigurationError(
                    f"{name} has {there} custom fields, {added} are to come, and {found.edition} allows {most}.",
                    where="Salesforce",
                    do_next="Delete fields nobody uses, or map fields you have (crmdrip map).",
                )

    # making

    def _deploy(self, progress: Callable[[str], None]) -> None:
        """Directory by directory: should the org refuse the reports, everything else stands.

        The mark comes with the last one, so that a preview knows whether all of it was taken.
        """
        mark = digest(self._tailor().package)
        *first, last = self._fit(self._look()).split()
        marked = [_marked(one, mark) for one in self._tailor().package.components if one.name == INTEGRATION_SET]
        for package in (*first, last.keep((*(one for one in last.components if one.name != INTEGRATION_SET), *marked))):
            names = {_NAMES.get(one.type, one.type) for one in package.components}
            progress(f"Deploying {len(package.components)} components: {', '.join(sorted(names))}.")
            deploy(self.client, package.zip(), Mode.INSTALL, progress, self._sleep)

    def _fit(self, found: Found) -> Package:
        """The package, less what is in conflict, and taking nothing away from fields that stand there."""
        package = self._tailor().package
        kept = []
        for one in package.components:
            spec = read_spec(one) if one.type == "CustomField" else None
            there = found.field(spec.object, spec.name) if spec is not None else None
            if spec is None or there is None:
                kept.append(one)
            elif not compare(spec, there).conflict:
                assert one.element is not None  # noqa: S101 - a field is always XML
                kept.append(replace(one, element=widen(one.element, there.length, there.values)))
        return package.keep(kept)

    def _assign(self, found: Found, set_name: str, user_id: str, progress: Callable[[str], None]) -> bool:
        """Whether the user has the permission set now; otherwise it is said what to click."""
        label = set_name.replace("_", " ")
        known = found.sets.get(set_name)
        if known is not None:
            body = {"AssigneeId": user_id, "PermissionSetId": known[0]}
            part = Part(name="assign", path="sobjects/PermissionSetAssignment", method="POST", body=body)
            try:
                answer = self.client.write([part], Purpose.PULL).parts["assign"]
            except CrmdripError as error:
                progress(f"{label} was not assigned: {error.what}")
            else:
                if answer.fault is None:
                    progress(f"Assigned {label}.")
                    return True
                progress(f"{label} was not assigned: {answer.fault.message or answer.fault.code}")
        progress(_BY_HAND.format(label))
        return False


_BY_HAND = "Assign it by hand: Setup, Permission Sets, {}, Manage Assignments, Add Assignment."
_ASSIGNMENT = "permission set assignment"
"""How an assignment begins that is shown among the changes."""


def digest(package: Package) -> str:
    """Twelve digits that say which package it is."""
    return hashlib.sha256(package.zip()).hexdigest()[:12]


def _marked(one: Component, mark: str) -> Component:
    """A permission set with the digest of its package in the description, where the next preview finds it."""
    ((path, content),) = one.files.items()

    def add(found: re.Match[bytes]) -> bytes:
        room = _DESCRIBABLE - len(_MARK) - len(mark)
        text = found[1].decode().strip()
        return f"<description>{text if len(text) <= room else text[:room]}{_MARK}{mark}</description>".encode()

    return replace(one, files={path: _DESCRIPTION.sub(add, content, count=1)})


def _call(one: Component) -> str:
    return one.name if one.type == "CustomField" else f"{_NAMES.get(one.type, one.type)} {one.name}"


def _query(name: str, columns: Sequence[str], object_name: str, where: str) -> Part:
    return soql.query(name, soql.select(list(columns), object_name, where=[where] if where else ()))


def _rows(answers: Answers, name: str) -> list[dict[str, Any]]:
    answer = answers.parts.get(name)
    return [] if answer is None or answer.fault is not None else list(answer.body["records"])


def _describe(answers: Answers, name: str) -> ObjectInfo | None:
    return read_object(answers.parts[f"describe_{name}"], name)


def _copy(tree: Traversable, folder: Path) -> None:
    """The source tree, from wherever crmdrip is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in tree.iterdir():
        if entry.is_dir():
            _copy(entry, folder / entry.name)
        else:
            (folder / entry.name).write_bytes(entry.read_bytes())
