"""What is installed is what is written here: the wheel is complete and works by itself."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def sources(folder: str) -> set[str]:
    """Every file of a package in this tree, caches left out."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("package", ["crmdrip", "connectors"])
def test_the_wheel_holds_every_file_of_a_package(wheel: zipfile.ZipFile, package: str) -> None:
    """Templates, styles, schemas, tables, migrations and py.typed, not the Python alone."""
    assert sorted(sources(package) - set(wheel.namelist())) == []


def test_the_wheel_holds_the_mappings(wheel: zipfile.ZipFile) -> None:
    """As data of crmdrip, since a wheel has no folder beside it."""
    expected = {f"crmdrip/_{path}" for path in sources("mappings")}
    assert "crmdrip/_mappings/salesforce.toml" in expected
    assert sorted(expected - set(wheel.namelist())) == []


def test_no_node_tool_stands_where_everything_is_shipped() -> None:
    """All of mappings/ goes into the wheel, ignored or not; the node tools that check the package live in tests/."""
    found = {path.name for path in (ROOT / "mappings").rglob("*")}
    assert found.isdisjoint({"node_modules", "coverage", "package.json"})


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No test, benchmark, ledger or configuration of the machine it was built on."""
    assert {name.split("/")[0].removesuffix(".dist-info").split("-")[0] for name in wheel.namelist()} == {
        "crmdrip",
        "connectors",
    }
    assert not [name for name in wheel.namelist() if name.endswith((".sqlite3", "config.toml", ".pyc", ".lock"))]


def test_the_wheel_offers_a_command_and_the_connectors(wheel: zipfile.ZipFile) -> None:
    """The entry points by which the shell and the registry find them."""
    (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    text = wheel.read(name).decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for key, value in {**project["scripts"], **project["entry-points"]["crmdrip.connectors"]}.items():
        assert f"{key} = {value}" in text


def test_the_wheel_works_without_the_source_tree(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Unpacked elsewhere, it imports and finds its built-in mapping."""
    wheel.extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, 'site'); import crmdrip, crmdrip.config; from crmdrip import registry;"
        "print(crmdrip.__file__); print(registry.builtin_mapping('salesforce').object('contact'))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    place, contact = result.stdout.splitlines()
    assert (tmp_path / place).resolve().is_relative_to((tmp_path / "site").resolve())
    assert contact == "Contact"


def test_the_image_is_built_from_what_it_is_given() -> None:
    """Everything the Dockerfile copies from here passes .dockerignore."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    given = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copies = [line.split() for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()]
    copied = {name for words in copies if words[:1] == ["COPY"] for name in words[1:-1]}
    assert "pyproject.toml" in copied
    assert copied <= given
    assert all((ROOT / name).exists() for name in copied)
