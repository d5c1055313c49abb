"""Connectors are found by name, and mappings with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crmdrip import registry
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import CheckLevel, Role


def entry(name: str, value: str = "x:y", load: Any = None) -> Any:
    """An entry point as the standard library would give it."""
    return SimpleNamespace(name=name, value=value, load=load)


def install(monkeypatch: pytest.MonkeyPatch, *points: Any) -> None:
    """Make these the installed connectors."""
    monkeypatch.setattr(
        registry, "entry_points", lambda *, group, name=None: [p for p in points if name in (None, p.name)]
    )


def fail(error: Exception) -> Any:
    """An import that fails."""

    def load() -> Any:
        raise error

    return load


def test_the_connectors_of_this_project_are_installed() -> None:
    """The entry points of pyproject.toml."""
    assert {"salesforce", "sendgrid", "smtp"} <= set(registry.installed())


def test_a_connector_is_found_by_name_and_role() -> None:
    """The name in the configuration is all it takes."""
    connector = registry.find("sendgrid", Role.MAILER)
    assert (connector.name, connector.role) == ("sendgrid", Role.MAILER)


def test_no_connector_is_imported_before_it_is_asked_for() -> None:
    """Whoever mails over SMTP never imports a vendor's SDK."""
    program = (
        "import sys, crmdrip.registry, crmdrip.config; crmdrip.registry.installed();"
        "print([name for name in sys.modules if name.startswith(('connectors.', 'sendgrid', 'simple_salesforce'))])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_an_unknown_name_lists_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error is answered with the word meant and with all there are."""
    install(monkeypatch, entry("salesforce"), entry("hubspot"))
    with pytest.raises(ConfigurationError) as caught:
        registry.find("hubpsot", Role.CRM)
    assert caught.value.what == "no connector named 'hubpsot' is installed."
    assert caught.value.do_next == "Did you mean hubspot? Installed: hubspot, salesforce."


def test_a_connector_of_another_role_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail provider is no CRM."""
    install(monkeypatch, entry("mailer", load=lambda: SimpleNamespace(role=Role.MAILER)))
    with pytest.raises(ConfigurationError, match=r"a connector for \[mail\], not for \[crm\]"):
        registry.find("mailer", Role.CRM)


def test_two_packages_under_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them sends must not depend on the order of installation."""
    install(monkeypatch, entry("salesforce", "one:connector"), entry("salesforce", "two:connector"))
    with pytest.raises(ConfigurationError, match="one:connector, two:connector"):
        registry.find("salesforce", Role.CRM)


def test_one_package_listed_twice_is_one_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable install beside a regular one lists its entry points twice."""
    made = SimpleNamespace(role=Role.CRM)
    install(monkeypatch, entry("salesforce", load=lambda: made), entry("salesforce", load=lambda: made))
    assert registry.find("salesforce", Role.CRM) is made


@pytest.mark.parametrize("error", [ImportError("No module named 'vendor'"), AttributeError("no connector")])
def test_a_connector_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A missing dependency of one connector is a configuration problem, not a crash."""
    install(monkeypatch, entry("salesforce", load=fail(error)))
    with pytest.raises(ConfigurationError, match=str(error)):
        registry.find("salesforce", Role.CRM)


# --- mappings -------------------------------------------------------------------------------------------------------


def test_salesforce_has_a_built_in_mapping() -> None:
    """It comes with the package or the source tree."""
    assert registry.builtin_mapping("salesforce").object("contact") == "Contact"


def test_a_crm_without_a_built_in_mapping_says_what_to_set() -> None:
    """A connector from elsewhere brings its own mapping by path."""
    with pytest.raises(ConfigurationError, match=r"\[crm\] mapping"):
        registry.builtin_mapping("none")


def test_a_mapping_file_is_laid_over_the_built_in_one(tmp_path: Path) -> None:
    """Only the names that differ in an org have to be typed."""
    file = tmp_path / "ours.toml"
    file.write_text('[contact]\nenrolled = "In_Sequence__c"\n[merge.contact]\nshoe_size = "Shoe__c"\n', "utf-8")
    ours, base = registry.mapping_for("salesforce", str(file)), registry.builtin_mapping("salesforce")
    assert ours.field("contact", "enrolled") == "In_Sequence__c"
    assert ours.merge["contact"] == {**base.merge["contact"], "shoe_size": "Shoe__c"}
    assert {**ours.fields["contact"], "enrolled": ""} == {**base.fields["contact"], "enrolled": ""}
    assert ours.fields["lead"] == base.fields["lead"]


def test_every_unknown_word_of_a_mapping_file_is_named(tmp_path: Path) -> None:
    """A misspelt word would silently leave the built-in name in force."""
    file = tmp_path / "ours.toml"
    file.write_text('[contact]\nenroled = "x"\n[objekts]\ncontact = "y"\n', "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        registry.mapping_for("salesforce", str(file))
    assert "no word contact.enroled is known. Did you mean enrolled?" in caught.value.what
    assert "no table [objekts] is known. Did you mean objects?" in caught.value.what


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[contact", "line 1: the name of a table"),
        (b"\xff", "is not UTF-8"),
        (b"[contact]\nenrolled = 1", "text in quotes"),
    ],
)
def test_a_broken_mapping_file_is_a_configuration_problem(tmp_path: Path, content: bytes, sentence: str) -> None:
    """Whatever stands in the file, the answer names the file."""
    file = tmp_path / "ours.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        registry.mapping_for("salesforce", str(file))
    assert caught.value.where == str(file)


# --- the name `connectors` ------------------------------------------------------------------------------------------


def test_the_package_connectors_is_ours() -> None:
    """In this very environment."""
    assert registry.check_connectors_owner().level is CheckLevel.OK


def test_another_distribution_with_a_package_connectors_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two distributions that write into one package overwrite each other's files."""
    monkeypatch.setattr(registry, "packages_distributions", lambda: {"connectors": ["crmdrip", "other"]})
    result = registry.check_connectors_owner()
    assert (result.code, result.level) == ("PKG-CONNECTORS", CheckLevel.FAIL)
    assert "installed by other" in result.what


def test_a_folder_that_shadows_connectors_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of that name where crmdrip is started, or on PYTHONPATH, comes first."""
    origin = tmp_path / "connectors" / "__init__.py"
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda _: SimpleNamespace(origin=str(origin)))
    result = registry.check_connectors_owner()
    assert result.level is CheckLevel.FAIL
    assert str(tmp_path) in result.what
