"""The package's source is whole: XML, names, labels, help, and every name that one file takes from another."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from package_source import (
    EXTENDED,
    NAMESPACE,
    OURS,
    PACKAGE,
    SourceField,
    children,
    every_field,
    fields,
    found,
    known_names,
    metadata_files,
    parse,
)

from connectors.salesforce.settings import SalesforceSettings

_API_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|_(?!_))*(?<!_)")
_COLUMNS = {
    "Contact": {"FULL_NAME", "ACCOUNT.NAME", "CONTACT.EMAIL", "CORE.USERS.ALIAS"},
    "Lead": {"FULL_NAME", "LEAD.COMPANY", "LEAD.EMAIL", "CORE.USERS.ALIAS"},
    **{name: {"NAME", "LAST_UPDATE", "OWNER.ALIAS"} for name in OURS},
}
"""What list views and related lists call fields of the platform."""

_ROOTS = {
    "app": "CustomApplication",
    "compactLayout": "CompactLayout",
    "dashboard": "Dashboard",
    "dashboardFolder": "DashboardFolder",
    "field": "CustomField",
    "flexipage": "FlexiPage",
    "js": "LightningComponentBundle",
    "layout": "Layout",
    "listView": "ListView",
    "object": "CustomObject",
    "permissionset": "PermissionSet",
    "quickAction": "QuickAction",
    "report": "Report",
    "reportFolder": "ReportFolder",
    "reportType": "ReportType",
    "tab": "CustomTab",
    "validationRule": "ValidationRule",
}
"""Root element by the suffix before -meta.xml."""


def shown(path: Path) -> str:
    """A file as a test names it."""
    return path.relative_to(PACKAGE).name


def full(one: SourceField) -> str:
    """A field as a test names it."""
    return f"{one.object}.{one.name}"


@pytest.mark.parametrize("path", metadata_files(), ids=shown)
def test_a_file_holds_what_its_name_says(path: Path) -> None:
    """Well-formed, in the Metadata API's namespace, of the type of its suffix, and named like the file."""
    root = parse(path)
    suffix = path.name.removesuffix("-meta.xml").rsplit(".", 1)[1]
    assert root.tag == NAMESPACE + _ROOTS[suffix]
    name = root.findtext(NAMESPACE + "fullName")
    assert name is None or path.name.startswith(f"{name}.")


def test_every_file_is_one_that_is_installed() -> None:
    """Beside what is installed stand the two files that the vendor's tools need, and nothing else."""
    others = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    others -= {path.relative_to(PACKAGE).as_posix() for path in metadata_files()}
    bundles = {name for name in others if "/lwc/" in name}
    assert {Path(name).suffix for name in bundles} == {".js", ".html"}
    assert others - bundles == {".forceignore", "sfdx-project.json"}


def test_the_api_version_is_the_one_that_the_connector_speaks() -> None:
    """Pinned once, and the components' own too."""
    project = json.loads((PACKAGE / "sfdx-project.json").read_text("utf-8"))
    assert project["sourceApiVersion"] == SalesforceSettings.model_fields["api_version"].default
    versions = {root.findtext(NAMESPACE + "apiVersion") for _, root in found("js")}
    assert versions == {project["sourceApiVersion"]}


@pytest.mark.parametrize("one", every_field(), ids=full)
def test_a_field_is_named_within_limits_and_explains_itself(one: SourceField) -> None:
    """API name and label of at most 40 characters, help of at most 510, a description of at most 1,000."""
    assert one.name.startswith("Drip_")
    assert one.name.endswith("__c")
    assert _API_NAME.fullmatch(one.name.removesuffix("__c"))
    assert len(one.name.removesuffix("__c")) <= 40
    assert 0 < len(one.text("label")) <= 40
    assert 20 <= len(one.text("inlineHelpText")) <= 510
    assert 20 <= len(one.text("description")) <= 1000


@pytest.mark.parametrize("name", [*OURS, *EXTENDED])
def test_labels_of_an_object_differ(name: str) -> None:
    """Two fields of one label can't be told apart on a page."""
    labels = [one.text("label") for one in fields()[name].values()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("kind", ["listView", "validationRule", "compactLayout", "quickAction", "permissionset"])
def test_components_are_named_within_limits(kind: str) -> None:
    """Names and labels of at most 40 characters; a label of a permission set of at most 80."""
    for name, root in found(kind):
        bare = name.split(".")[-1]
        assert _API_NAME.fullmatch(bare), name
        assert len(bare) <= 40, name
        assert len(root.findtext(NAMESPACE + "label") or "") <= (80 if kind == "permissionset" else 40), name


def test_no_layout_of_a_standard_object_is_overwritten() -> None:
    """Nor a compact layout, search layout or record page of theirs: an org's own stay as they are."""
    assert {name.split("-")[0] for name, _ in found("layout")} == set(OURS)
    assert {path.parents[1].name for path in PACKAGE.rglob("compactLayouts/*.xml")} == set(OURS)
    assert {path.stem.split(".")[0] for path in PACKAGE.rglob("objects/*/*.object-meta.xml")} == set(OURS)
    pages = {root.findtext(NAMESPACE + "sobjectType") for _, root in found("flexipage")}
    assert pages <= {None, *OURS}


@pytest.mark.parametrize("name", OURS)
def test_a_layout_shows_every_field_of_its_object(name: str) -> None:
    """Each once; what the daemon or the org writes read-only; and nothing that is not there."""
    (root,) = (root for title, root in found("layout") if title.startswith(f"{name}-"))
    items = {
        item.findtext(NAMESPACE + "field"): item.findtext(NAMESPACE + "behavior")
        for item in root.iter(f"{NAMESPACE}layoutItems")
    }
    assert len(items) == len(list(root.iter(f"{NAMESPACE}layoutItems")))
    assert set(fields()[name]) <= set(items)
    assert set(items) <= known_names(name)
    written = {
        one.name for one in fields()[name].values() if one.computed or "Written by crmdrip" in one.text("description")
    }
    assert {field for field, behavior in items.items() if behavior == "Readonly"} - {
        "CreatedById",
        "LastModifiedById",
    } == written


def test_related_lists_name_lookups_that_are_there() -> None:
    """And columns of the object that is listed."""
    for _, root in found("layout"):
        for each in root.iter(f"{NAMESPACE}relatedLists"):
            target = each.findtext(NAMESPACE + "relatedList") or ""
            if target == "RelatedEntityHistoryList":
                continue
            child, lookup = target.split(".")
            assert lookup in fields()[child]
            assert set(children(each, "fields")) <= {*fields()[child], *_COLUMNS[child]}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("listViews/*.xml")), ids=shown)
def test_a_list_view_names_fields_that_are_there(path: Path) -> None:
    """Columns and filters; long text can be neither."""
    name, root = path.parents[1].name, parse(path)
    able = {one.name for one in fields()[name].values() if one.type not in ("LongTextArea", "Html")}
    assert set(children(root, "columns")) <= {*able, *_COLUMNS[name]}
    for each in root.iter(f"{NAMESPACE}filters"):
        field, value = each.findtext(NAMESPACE + "field") or "", each.findtext(NAMESPACE + "value") or ""
        assert field in able
        if (found_field := fields()[name][field]).type == "Picklist":
            assert set(value.split(",")) <= set(found_field.values)


@pytest.mark.parametrize("name", OURS)
def test_a_compact_layout_is_assigned_and_names_fields_that_are_there(name: str) -> None:
    """An unassigned one would never be seen."""
    root = parse(PACKAGE / "force-app" / "main" / "default" / "objects" / name / f"{name}.object-meta.xml")
    assigned = root.findtext(NAMESPACE + "compactLayoutAssignment")
    (path,) = (PACKAGE / "force-app").rglob(f"objects/{name}/compactLayouts/*.xml")
    layout = parse(path)
    assert layout.findtext(NAMESPACE + "fullName") == assigned
    assert set(children(layout, "fields")) <= known_names(name)


@pytest.mark.parametrize("name", OURS)
def test_a_lookup_shows_what_tells_records_apart(name: str) -> None:
    """Whoever chooses a sequence sees whether it is Live."""
    root = parse(PACKAGE / "force-app" / "main" / "default" / "objects" / name / f"{name}.object-meta.xml")
    shown = children(root, "searchResultsAdditionalFields")
    assert shown == children(root, "lookupDialogsAdditionalFields")
    assert shown
    assert set(shown) <= set(fields()[name])


def test_pages_apps_and_actions_name_what_is_there() -> None:
    """Components, related lists, list views, tabs and pages."""
    bundles = {name for name, _ in found("js")}
    pages = dict(found("flexipage"))
    views = {(path.parents[1].name, path.name.split(".")[0]) for path in PACKAGE.rglob("listViews/*.xml")}
    relations = {f"{one.text('relationshipName')}__r" for one in every_field() if one.text("relationshipName")}
    for root in pages.values():
        assert {name for name in children(root, "componentName") if ":" not in name} <= bundles
        for each in root.iter(f"{NAMESPACE}componentInstance"):
            given = {
                one.findtext(NAMESPACE + "name"): one.findtext(NAMESPACE + "value")
                for one in each.iter()
                if len(one) == 2
            }
            assert "relatedListApiName" not in given or given["relatedListApiName"] in relations
            assert "filterName" not in given or (given["entityName"], given["filterName"]) in views
    tabs = {name for name, _ in found("tab")}
    assert tabs == set(OURS)
    for _, root in found("app"):
        assert {tab for tab in children(root, "tabs") if not tab.startswith("standard-")} == tabs
        assert set(children(root, "content")) <= set(pages)
    for path in PACKAGE.rglob("*.object-meta.xml"):
        assert set(children(parse(path), "content")) <= set(pages)
    for name, root in found("quickAction"):
        assert set(children(root, "field")) <= set(fields()[name.split(".")[0]])


def test_every_bundle_exposes_what_its_page_needs() -> None:
    """The panel on contacts and leads alone, the brake on every page."""
    targets = {name: set(children(root, "target")) for name, root in found("js")}
    assert targets["dripPanel"] == {"lightning__RecordPage"}
    assert targets["dripBrake"] == {"lightning__AppPage", "lightning__HomePage", "lightning__RecordPage"}
    panel = dict(found("js"))["dripPanel"]
    assert set(children(panel, "object")) == {"Contact", "Lead"}


def test_components_import_fields_that_are_there() -> None:
    """By the names that a deploy would check."""
    own = {f"{name}.{field}" for name, group in fields().items() for field in group}
    platform = {"Contact.HasOptedOutOfEmail", "Lead.HasOptedOutOfEmail", "Drip_Control__c"}
    for path in PACKAGE.rglob("lwc/*/*.js"):
        text = path.read_text("utf-8")
        imported = {name.replace("__r.Name", "__c") for name in re.findall(r"@salesforce/schema/([\w.]+)", text)}
        assert imported <= own | platform, path.name
        queried = set(re.findall(r"\bDrip_\w+__c\b", text)) - set(OURS)
        assert queried <= {one.name for one in every_field()}, path.name


def test_the_panel_says_how_many_touches_it_shows() -> None:
    """As many as its query asks for; the query itself must be written out."""
    (path,) = PACKAGE.rglob("lwc/dripPanel/touches.js")
    text = path.read_text("utf-8")
    assert re.findall(r"SHOWN = (\d+)", text) == re.findall(r"first: (\d+)", text)


def test_report_types_take_fields_that_are_there() -> None:
    """From the base object or from what is joined to it."""
    for name, root in found("reportType"):
        base = root.findtext(NAMESPACE + "baseObject") or ""
        tables = {base: base, f"{base}.Drip_Steps__r": "Drip_Step__c"}
        for column in root.iter(f"{NAMESPACE}columns"):
            table = tables[column.findtext(NAMESPACE + "table") or ""]
            field = column.findtext(NAMESPACE + "field") or ""
            platform = {"Name", "Email", "Company", "Owner", "CreatedDate", "LastModifiedDate"}
            assert field in {*fields()[table], *platform}, f"{name}: {field}"


def report_columns(root: ET.Element) -> set[str]:
    """Every column that a report names."""
    return {text for tag in ("field", "column", "dateColumn") for text in children(root, tag)}


def test_reports_take_columns_of_their_type() -> None:
    """And filter picklists by values that are there."""
    types = {f"{name}__c": root for name, root in found("reportType")}
    for name, root in found("report"):
        kind = types[root.findtext(NAMESPACE + "reportType") or ""]
        base = kind.findtext(NAMESPACE + "baseObject")
        columns = {f"{base}${field}" for field in children(kind, "field")}
        assert report_columns(root) <= columns, name
        detail = {each.findtext(NAMESPACE + "field") for each in root.iter(f"{NAMESPACE}columns")}
        grouped = {
            each.findtext(NAMESPACE + "field")
            for tag in ("groupingsDown", "groupingsAcross")
            for each in root.iter(NAMESPACE + tag)
        }
        assert detail.isdisjoint(grouped), name


def test_the_dashboard_shows_reports_that_are_there_by_their_own_groups() -> None:
    """A component groups by what its report groups by, and sums what that sums."""
    reports = {f"Drip/{name}": root for name, root in found("report")}
    ((_, board),) = found("dashboard")
    cells = list(board.iter(f"{NAMESPACE}dashboardComponent"))
    assert len(cells) == 12
    for cell in cells:
        report = reports[cell.findtext(NAMESPACE + "report") or ""]
        grouped = [each.findtext(NAMESPACE + "field") for each in report.iter(f"{NAMESPACE}groupingsDown")]
        asked = children(cell, "groupingColumn")
        assert asked == grouped[: len(asked)]
        summed = {
            each.findtext(NAMESPACE + "field")
            for each in report.iter(f"{NAMESPACE}columns")
            if each.find(NAMESPACE + "aggregateTypes") is not None
        }
        assert set(children(cell, "column")) <= summed | {"RowCount"}


def test_lookups_point_at_sequences_by_the_names_the_daemon_knows() -> None:
    """Child relationships differ by object, since an object's must."""
    assert fields()["Drip_Step__c"]["Drip_Sequence__c"].type == "MasterDetail"
    names = {one.object: one.text("relationshipName") for one in every_field() if one.text("referenceTo")}
    assert names == {"Drip_Step__c": "Drip_Steps", "Contact": "Enrolled_Contacts", "Lead": "Enrolled_Leads"}
    assert {one.text("referenceTo") for one in every_field() if one.text("referenceTo")} == {"Drip_Sequence__c"}


def test_the_touch_id_is_a_unique_external_id() -> None:
    """That is what keeps a repeated write single; nothing else is, since an org has few of them."""
    assert [full(one) for one in every_field() if one.text("externalId") == "true"] == ["Activity.Drip_Touch_Id__c"]
    touch = fields()["Activity"]["Drip_Touch_Id__c"]
    assert (touch.text("unique"), touch.text("caseSensitive"), touch.text("length")) == ("true", "true", "64")
