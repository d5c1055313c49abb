"""Who may import whom: the contracts in pyproject.toml hold, and can be broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint(folder: Path) -> tuple[int, str]:
    """Check the contracts of a source tree; import-linter looks in its working folder first."""
    program = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)
    return result.returncode, " ".join((result.stdout + result.stderr).split())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the source tree, free to break."""
    for name in ("crmdrip", "connectors"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_keeps_to_the_contracts() -> None:
    """DESIGN section 4, in this very tree."""
    code, output = lint(ROOT)
    assert code == 0, output


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("crmdrip/core/keys.py", "import crmdrip.ports", "the core imports nothing"),
        ("crmdrip/core/keys.py", "import crmdrip.sandbox.http", "the core imports nothing"),
        ("crmdrip/sandbox/http.py", "import crmdrip.core.keys", "the sandbox imports nothing"),
        ("crmdrip/ledger/schema.py", "import crmdrip.ports", "the ledger imports the core only"),
        ("crmdrip/ledger/schema.py", "import crmdrip.config", "crmdrip is built in layers"),
        ("crmdrip/settings.py", "import crmdrip.secrets", "crmdrip is built in layers"),
        ("crmdrip/inbound/mail.py", "import crmdrip.ports", "the mail reader imports"),
        ("crmdrip/daemon/__init__.py", "import crmdrip.registry", "daemon and web import"),
        ("crmdrip/testing/__init__.py", "import crmdrip.config", "the contract suites import"),
        ("crmdrip/registry.py", "import connectors.smtp", "nothing imports a connector"),
        ("connectors/smtp/__init__.py", "import crmdrip.core.plan", "a connector imports the ports"),
        ("connectors/smtp/__init__.py", "import crmdrip.config", "a connector imports the ports"),
        ("connectors/smtp/__init__.py", "import connectors.sendgrid", "connectors never import each other"),
        ("crmdrip/newcomer.py", "", "crmdrip is built in layers"),
    ],
)
def test_a_forbidden_import_breaks_its_contract(copy: Path, module: str, line: str, contract: str) -> None:
    """Each contract notices what it forbids; a module without a layer is noticed too."""
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    code, output = lint(copy)
    assert code == 1
    broken = [part.rsplit("KEPT", 1)[-1] for part in output.split("BROKEN")[:-1]]
    assert any(contract in part for part in broken), output
