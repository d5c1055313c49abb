"""crmdrip install, typed against an installer that keeps its CRM in memory: what is shown, asked, made and answered."""

# ruff: noqa: D102 - what each does is said by Installer

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import pytest
from office import Result

from crmdrip import cli
from crmdrip.assembly import Connection
from crmdrip.commands import install as command
from crmdrip.core.errors import ConfigurationError, RejectedError
from crmdrip.ports import ChangeKind, ConnectorContext, CrmIdentity, SchemaChange

CONFIG = """\
[crm.salesforce]
domain = "acme.my"
[crm.salesforce.auth.client_credentials]
consumer_key = "key"
consumer_secret = "sandbox-consumer-secret"
[mail.sendgrid]
api_key = "SG.sandbox.sandbox-secret"
[sender]
company = "Acme"
postal_address = "1 Example Street, London"
[unsubscribe]
base_url = "http://127.0.0.1:8025/u"
keys = ["sandbox-unsubscribe-key"]
"""

MISSING = SchemaChange(kind=ChangeKind.CREATE, what="Contact.Drip_Enrolled__c", detail="Checkbox")
SHORT = SchemaChange(kind=ChangeKind.UPDATE, what="Contact.Drip_Status__c", detail="gets Refused")
KEPT = SchemaChange(kind=ChangeKind.KEEP, what="Contact.Drip_Run__c")
CONFLICT = SchemaChange(kind=ChangeKind.CONFLICT, what="Contact.Drip_Step__c", detail="is a number. Rename it.")
ABSENT = SchemaChange(kind=ChangeKind.UNAVAILABLE, what="Drip_Sequence__c", detail="files take its place.")


class MemoryCrm:
    """A connector with an installer, and the account it installs in."""

    name = "salesforce"

    def __init__(self) -> None:
        self.changes: list[SchemaChange] = [MISSING, SHORT, KEPT]
        self.refusal: RejectedError | None = None
        self.made: list[SchemaChange] = []
        self.checked = 0

    def build_installer(self, context: ConnectorContext) -> MemoryCrm:
        return self

    def build_source(self, context: ConnectorContext) -> MemoryCrm:
        return self

    def identity(self) -> CrmIdentity:
        return CrmIdentity(org_id="1", name="Acme", sandbox=True)

    def preview(self) -> Sequence[SchemaChange]:
        return self.changes

    def install(self, changes: Sequence[SchemaChange], progress: Callable[[str], None]) -> Sequence[SchemaChange]:
        made = [one for one in changes if one.kind in (ChangeKind.CREATE, ChangeKind.UPDATE)]
        for one in made:
            progress(f"Made {one.what}.")
        self.made += made
        if self.refusal is not None:
            raise self.refusal
        self.changes = [replace(one, kind=ChangeKind.KEEP) if one in made else one for one in self.changes]
        return made

    def check(self, progress: Callable[[str], None]) -> None:
        self.checked += 1
        if self.refusal is not None:
            raise self.refusal

    def write_package(self, folder: Path) -> Sequence[str]:
        folder.mkdir(exist_ok=True)
        (folder / "package.xml").write_text("<Package/>")
        return ("sf project deploy start",)


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> MemoryCrm:
    """The account behind the configured connector."""
    found = MemoryCrm()
    context = ConnectorContext(settings=None, mapping=None, clock=None)
    monkeypatch.setattr(command, "connect_crm", lambda *_: Connection(connector=found, context=context))
    return found


@pytest.fixture
def install(tmp_path: Path, capsys: pytest.CaptureFixture[str], crm: MemoryCrm) -> Callable[..., Result]:
    """Types crmdrip install."""
    (tmp_path / "config.toml").write_text(CONFIG)

    def type_command(*arguments: str) -> Result:
        capsys.readouterr()
        code = cli.run(["--config", str(tmp_path / "config.toml"), "install", *arguments])
        return Result(code, *capsys.readouterr())

    return type_command


def test_what_is_missing_is_shown_before_it_is_made(install, crm):
    """The account first, then a line for each thing that differs, then the sums."""
    result = install("--yes")
    account, missing, short, sums, *_ = result.out.splitlines()
    assert account == "Acme"
    assert missing.split() == ["create", "Contact.Drip_Enrolled__c", "Checkbox"]
    assert short.split() == ["update", "Contact.Drip_Status__c", "gets", "Refused"]
    assert sums == "1 to create, 1 to complete, 1 there already."
    assert (result.code, crm.made) == (0, [MISSING, SHORT])


FIELDS = [SchemaChange(kind=ChangeKind.CREATE, what=f"Contact.Drip_{n}__c", detail="Text") for n in range(5)]


def test_many_things_of_one_object_are_one_line(install, crm):
    """With how many of each kind there are, and what to type to see each."""
    crm.changes = [*FIELDS, SHORT]
    _, fields, short, sums = install("--dry-run").out.splitlines()
    assert fields.split() == ["create", "Contact", "5", "fields"]
    assert short.split()[:2] == ["update", "Contact.Drip_Status__c"]
    assert sums == "5 to create, 1 to complete. Type crmdrip install --dry-run --all to see each of them."


def test_each_of_them_is_named_when_that_is_asked_for(install, crm):
    """Nothing is left to look up then."""
    crm.changes = [*FIELDS, SHORT]
    _, *lines, sums = install("--dry-run", "--all").out.splitlines()
    assert [line.split()[1] for line in lines] == [change.what for change in crm.changes]
    assert sums == "5 to create, 1 to complete."


def test_progress_goes_to_standard_error(install):
    """Step by step, as the installer tells it."""
    assert install("--yes").err.splitlines() == ["Made Contact.Drip_Enrolled__c.", "Made Contact.Drip_Status__c."]


def test_a_dry_run_makes_nothing(install, crm):
    """It prints the same."""
    result = install("--dry-run")
    assert (result.code, crm.made) == (0, [])
    assert "Contact.Drip_Enrolled__c" in result.out


def test_run_again_there_is_nothing_to_do(install, crm):
    """And nobody is asked."""
    install("--yes")
    crm.made.clear()
    result = install()
    assert (result.code, crm.made) == (0, [])
    assert result.out.splitlines() == ["Acme", "Nothing to do: 3 there already."]


@pytest.mark.parametrize(("answer", "code", "count"), [(True, 0, 2), (False, 1, 0)])
def test_it_asks_first(install, crm, monkeypatch, *, answer, code, count):
    """Naming the account and how much it would be."""
    asked = []
    monkeypatch.setattr(click, "confirm", lambda text, **_: asked.append(text) or answer)
    assert (install().code, len(crm.made)) == (code, count)
    assert asked == ["Make these 2 in Acme?"]


def test_where_nobody_can_be_asked_it_says_what_to_add(install, crm, monkeypatch):
    """A job of cron has no terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    result = install()
    assert (result.code, crm.made) == (2, [])
    assert "Add --yes" in result.err


def test_a_conflict_is_left_to_a_person(install, crm):
    """The rest is made; the exit code tells that somebody has to look."""
    crm.changes.append(CONFLICT)
    result = install("--yes")
    assert (result.code, crm.made) == (1, [MISSING, SHORT])
    assert "is a number. Rename it." in result.out


def test_what_the_account_cannot_have_fails_nothing(install, crm):
    """It is told with what is done instead."""
    crm.changes = [KEPT, ABSENT]
    result = install()
    assert result.code == 0
    assert "Drip_Sequence__c  files take its place." in result.out


def test_a_refusal_is_told_in_the_vendor_s_words(install, crm):
    """Exit code 1, and no traceback."""
    crm.refusal = RejectedError("Too many fields.", where="Contact", do_next="Delete one.")
    result = install("--yes")
    assert (result.code, result.err.splitlines()[-2:]) == (1, ["crmdrip: Contact: Too many fields.", "  Delete one."])


def test_json_holds_what_was_found_and_what_was_made(install):
    """And nothing else stands on standard output."""
    found = install("--yes", "--json").json
    assert (found["account"], found["ok"]) == ("Acme", True)
    assert [one["kind"] for one in found["changes"]] == ["create", "update", "keep"]
    assert [one["what"] for one in found["made"]] == ["Contact.Drip_Enrolled__c", "Contact.Drip_Status__c"]


def test_a_check_makes_nothing(install, crm):
    """The vendor is asked alone."""
    assert (install("--check-only").code, crm.checked, crm.made) == (0, 1, [])


def test_a_check_that_fails_says_why(install, crm):
    """Exit code 1, in the vendor's words."""
    crm.refusal = RejectedError("Field is required.", where="Contact")
    result = install("--check-only", "--json")
    assert (result.code, result.out) == (1, "")
    assert "Field is required." in result.err


def test_a_package_is_written_with_what_to_type(install, crm, tmp_path):
    """No call is made for it."""
    result = install("--package", str(tmp_path / "out"))
    assert (tmp_path / "out" / "package.xml").is_file()
    assert result.out.splitlines()[1].strip() == "sf project deploy start"


def test_a_package_overwrites_nothing(install, tmp_path):
    """A folder that holds something stays as it is."""
    result = install("--package", str(tmp_path))
    assert result.code == 2
    assert "Name a new folder." in result.err


def test_the_crm_may_be_named(install):
    """As documentation does."""
    assert install("salesforce", "--dry-run").code == 0


def test_another_crm_than_the_configured_one_is_refused(install, crm):
    """Nothing is installed in an account that was not meant."""
    result = install("hubspot", "--yes")
    assert (result.code, crm.made) == (2, [])
    assert "Type crmdrip install salesforce" in result.err


def test_a_wrong_account_is_refused_before_anything_is_read(install, crm, monkeypatch):
    """B25: a sandbox, or the org of somebody else."""

    def refuse() -> CrmIdentity:
        raise ConfigurationError("another org answers.", where="Salesforce", do_next="Correct org_id.")

    monkeypatch.setattr(crm, "identity", refuse)
    assert (install("--yes").code, crm.made) == (2, [])


def test_two_ways_at_once_are_refused(install):
    """A dry run of a package says nothing."""
    assert install("--dry-run", "--check-only").code == 2


def test_without_a_configuration_it_says_how_to_make_one(tmp_path, capsys):
    """The first thing somebody may type."""
    assert cli.run(["--config", str(tmp_path / "config.toml"), "install", "hubspot"]) == 2
    assert "crmdrip init" in capsys.readouterr().err
