"""The example of connectors/README.md keeps the CRM ports' promises, is found by its name, and sends."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from jsoncrm_driver import JsonDriver

from crmdrip import registry
from crmdrip.assembly import assemble, connect_crm
from crmdrip.config import load
from crmdrip.core.model import RecordKind
from crmdrip.daemon import passes
from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.world import Habits
from crmdrip.testing.crm import CrmContract

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "jsoncrm.py"
README = ROOT / "connectors" / "README.md"
MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def jsoncrm(monkeypatch):
    """The example, installed as a package of its own would be."""
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))
    point = EntryPoint(name="jsoncrm", value="jsoncrm:connector", group=registry.GROUP)
    installed = registry.entry_points
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda *, group, name=None: (
            [*installed(group=group), point]
            if name is None
            else [point]
            if name == "jsoncrm"
            else installed(group=group, name=name)
        ),
    )
    yield importlib.import_module("jsoncrm")
    sys.modules.pop("jsoncrm", None)


class TestJsonCrm(CrmContract):
    """Every promise of CrmContract that a file can keep."""

    title = "JSON file (example)"

    @pytest.fixture
    def crm(self, tmp_path):
        """Whoever edits the file."""
        return JsonDriver(tmp_path / "crm.json")

    @pytest.fixture
    def source(self, jsoncrm, crm):
        """The source under test."""
        return jsoncrm.JsonSource(jsoncrm.JsonFile(crm.file), registry.mapping_for("jsoncrm"))

    @pytest.fixture
    def sink(self, jsoncrm, source):
        """The sink under test."""
        return jsoncrm.JsonSink(source, registry.mapping_for("jsoncrm"))


def test_a_connector_of_another_package_is_run_by_its_name(jsoncrm, tmp_path):
    """Its settings, its mapping beside its module, and two emails that stand among its touches."""
    quiet = Habits(**{spec.name: 0.0 for spec in fields(Habits)})
    with Sandbox(people=0, seed=1, now=MONDAY, habits=quiet) as sandbox:
        crm = JsonDriver(tmp_path / "crm.json")
        text = (ROOT / "config.example.toml").read_text(encoding="utf-8").replace('"salesforce"', '"jsoncrm"', 1)
        begin, end = text.index("[crm.salesforce]"), text.index("# HubSpot, with")
        text = text[:begin] + '[crm.jsoncrm]\nfile = "crm.json"\n\n' + text[end:]
        (tmp_path / "config.toml").write_text(text.replace("http://127.0.0.1:8182", sandbox.sendgrid_url))
        settings = load(tmp_path / "config.toml")

        class Clock:
            def now(self) -> datetime:
                return sandbox.clock()

        connection = connect_crm(settings, Clock())
        assert [one.level for one in connection.connector.check(connection.context)] == ["ok"]
        owner = crm.add_user("Rita Rep", "rita@acme.example", active=True)
        sequence = crm.add_sequence("Intro", ["Hello", "Again"])
        ref = crm.add_person(
            RecordKind.CONTACT, email="ann@firm.example", enrolled=True, sequence=sequence, owner=owner
        )
        with assemble(settings, Clock(), exclusive=True) as parts:
            passes.prepare(parts)
            for _ in range(20):
                sandbox.set_time(sandbox.clock() + timedelta(hours=4))
                passes.run_all(parts)
        assert [one.subject for one in sandbox.call(lambda: list(sandbox.account.accepted))] == ["Hello", "Again"]
        assert [entry["outcome"] for entry in crm.timeline(ref)] == ["Sent", "Sent"]
        assert (crm.read(ref, "status"), crm.read(ref, "enrolled")) == ("Finished", False)


def test_the_readme_shows_the_example_as_it_is():
    """Every block of Python on the page stands in the example, or in its test."""
    code = EXAMPLE.read_text(encoding="utf-8") + Path(__file__).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    assert [block for block in blocks if block.strip("\n") not in code] == []
