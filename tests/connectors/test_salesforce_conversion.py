"""From source format to metadata format, compared with what the vendor's own converter makes of the same tree."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import zipfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from connectors.salesforce.blueprint import load_package, load_specs, read_specs
from connectors.salesforce.metadata import NAMESPACE, read_package
from crmdrip.core.errors import ConfigurationError
from crmdrip.shipped import shipped

NODE = Path(os.environ.get("CRMDRIP_NODE", Path(__file__).parents[1] / "package" / "node"))
CONVERTER = NODE / "node_modules" / "@salesforce" / "source-deploy-retrieve"
CONVERT = """
import { createRequire } from "node:module";
const { ComponentSet, MetadataConverter } = createRequire(import.meta.url)("@salesforce/source-deploy-retrieve");
const [out, ...trees] = process.argv.slice(1);
const target = { type: "directory", outputDirectory: out, genUniqueDir: false };
await new MetadataConverter().convert(ComponentSet.fromSource(trees), "metadata", target);
"""


def write(tree, path, text):
    """A file of the default package directory."""
    file = tree / "force-app" / "main" / "default" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def xml(kind, body):
    """A document of the Metadata API."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{kind} xmlns="{NAMESPACE}">{body}</{kind}>\n'


@pytest.fixture
def tree(tmp_path):
    """A project with one field on Contact."""
    project = {"packageDirectories": [{"path": "force-app", "default": True}], "sourceApiVersion": "64.0"}
    (tmp_path / "sfdx-project.json").write_text(json.dumps(project))
    write(
        tmp_path,
        "objects/Contact/fields/Drip_X__c.field-meta.xml",
        xml("CustomField", "<fullName>Drip_X__c</fullName><label>X &amp; Y</label><type>Date</type>"),
    )
    return tmp_path


def read(content):
    """The document."""
    return ET.fromstring(content)  # noqa: S314 - made by these tests


def canonical(element):
    """What an element says, whatever the order and the layout."""
    text = "" if len(element) else (element.text or "").strip()
    return (element.tag, text, tuple(sorted(canonical(child) for child in element)))


def test_parts_of_an_object_stand_in_its_one_file(tree):
    """Fields, list views and the object's own words."""
    write(tree, "objects/Drip_A__c/Drip_A__c.object-meta.xml", xml("CustomObject", "<label>A</label>"))
    write(
        tree,
        "objects/Drip_A__c/listViews/All.listView-meta.xml",
        xml("ListView", "<fullName>All</fullName><label>All</label>"),
    )
    files = read_package(tree).files()
    assert list(files) == ["package.xml", "objects/Contact.object", "objects/Drip_A__c.object"]
    root = read(files["objects/Drip_A__c.object"])
    assert [child.tag.rpartition("}")[2] for child in root] == ["label", "listViews"]


def test_package_xml_names_every_component(tree):
    """A field of a standard object by itself, without the object."""
    write(tree, "lwc/dripPanel/dripPanel.js", "export default 1;")
    write(tree, "lwc/dripPanel/dripPanel.js-meta.xml", xml("LightningComponentBundle", "<isExposed>true</isExposed>"))
    write(tree, "lwc/dripPanel/__tests__/dripPanel.test.js", "never deployed")
    files = read_package(tree).files()
    manifest = read(files["package.xml"])
    words = [element.text for element in manifest.iter() if (element.text or "").strip()]
    assert words == ["Contact.Drip_X__c", "CustomField", "dripPanel", "LightningComponentBundle", "64.0"]
    assert not any("__tests__" in path for path in files)


def test_the_same_tree_makes_the_same_archive(tree):
    """Byte for byte: the digest of the archive says which package is installed."""
    assert read_package(tree).zip() == read_package(tree).zip()
    with zipfile.ZipFile(io.BytesIO(read_package(tree).zip())) as archive:
        assert archive.namelist()[0] == "package.xml"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("triggers/A.trigger", "trigger A on Contact (before insert) {}"),
        ("objects/Contact/recordTypes/A.recordType-meta.xml", xml("RecordType", "")),
        ("tabs/A.xml", xml("CustomTab", "")),
        ("objects/Contact/fields/Drip_Y__c.field-meta.xml", xml("CustomField", "<fullName>Other__c</fullName>")),
        ("objects/Contact/fields/Drip_Y__c.field-meta.xml", "<CustomField"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tree, path, text):
    """Nothing is left out in silence."""
    write(tree, path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_package(tree)
    assert str(Path(path).parts[0]) in caught.value.where


def test_the_shipped_package_is_found_and_read():
    """With the fields of activities under the object that people know."""
    specs = load_specs()
    assert specs["Task", "Drip_Touch_Id__c"].external_id
    assert specs["Contact", "Drip_Sequence__c"].reference_to == "Drip_Sequence__c"
    assert read_specs(load_package().components) == specs


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.skipif(not CONVERTER.is_dir(), reason="the vendor's converter: type npm ci in tests/package/node")
def test_the_vendors_converter_makes_the_same_package(tmp_path):
    """Every file of the shipped package says the same, and so does package.xml."""
    source, out = tmp_path / "project", tmp_path / "out"
    shutil.copytree(str(shipped("salesforce")), source)
    project = json.loads((source / "sfdx-project.json").read_text())
    trees = [str(source / each["path"]) for each in project["packageDirectories"]]
    command = ["node", "--input-type=module", "-e", CONVERT, "--", str(out), *trees]
    subprocess.run(command, cwd=NODE, check=True, capture_output=True, timeout=120)
    theirs = {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    ours = load_package().files()
    assert sorted(ours) == sorted(theirs)
    different = [path for path, content in theirs.items() if not same(path, ours[path], content)]
    assert different == []


def same(path, ours, theirs):
    """Whether two files say the same."""
    if path == "package.xml":
        return members(ours) == members(theirs)
    if path.endswith((".object", "-meta.xml")) or b"<?xml" in theirs[:40]:
        return canonical(read(ours)) == canonical(read(theirs))
    return ours == theirs


def members(content):
    """Every (type, member) of a package.xml."""
    root, tag = read(content), f"{{{NAMESPACE}}}"
    return Counter(
        (types.findtext(f"{tag}name"), (member.text or "").removesuffix("/"))  # the vendor's folders end so
        for types in root.iter(f"{tag}types")
        for member in types.iter(f"{tag}members")
    )
