"""The documentation says what the code does: pages made from it are up to date, hand-written ones leave nothing out."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = runpy.run_path(str(DOCS / "generate.py"))["PAGES"]
SOURCES = [
    path
    for folder in ("crmdrip", "connectors")
    for path in (ROOT / folder).rglob("*.py")
    if "sandbox" not in path.parts and "testing" not in path.parts
]
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
CODE = re.compile(r"(?:CFG|PKG|LEDGER|UNSUB|WEB|DNS|SF|HS|SG|SMTP|IMAP|SQL)-[A-Z][A-Z-]*[A-Z]|TEMPLATES")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_made_from_the_code_is_up_to_date(name: str) -> None:
    """Otherwise type: python docs/generate.py."""
    assert (DOCS / "reference" / name).read_text("utf-8") == PAGES[name]().rstrip() + "\n"


def _strings(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_code_of_the_doctor_is_explained() -> None:
    """And no code is explained that does not exist any more."""
    used = {text for path in SOURCES for text in _strings(path) if CODE.fullmatch(text)}
    told = {
        code for code in re.findall(r"`([A-Z-]+)`", (DOCS / "doctor.md").read_text("utf-8")) if CODE.fullmatch(code)
    }
    assert told == used


def _events() -> set[tuple[str, str]]:
    """Every event with its level; one whose name is computed gives all the names in the expression."""
    found = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        names = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            logger = node.func.value
            if not (isinstance(logger, ast.Name) and logger.id in {"log", "_log"}) or not node.args:
                continue
            said = node.args[0]
            said = names.get(said.id, said) if isinstance(said, ast.Name) else said
            words = [
                one.value for one in ast.walk(said) if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
            assert words, f"{path}:{node.lineno} logs an event that cannot be found"
            found |= {(word, LEVELS[node.func.attr]) for word in words}
    return found


def test_every_log_event_is_explained_with_its_level() -> None:
    """And none that is gone."""
    told = set()
    for line in (DOCS / "logs.md").read_text("utf-8").splitlines():
        if line.startswith("| `"):
            events, level = line.split(" | ")[:2]
            told |= {(event, level) for event in re.findall(r"`([a-z_]+)`", events)}
    assert told == _events()


def test_every_link_between_pages_leads_somewhere() -> None:
    """Files and headings."""
    broken = []
    for page in (ROOT / "README.md", ROOT / "connectors" / "README.md", *DOCS.rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text("utf-8")):
            file, _, anchor = target.partition("#")
            there = (page.parent / file).resolve() if file else page
            if not there.exists() or (anchor and anchor not in _anchors(there)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_table_of_contents() -> None:
    """Nobody finds what is not linked."""
    listed = set(re.findall(r"\]\(([^)#]+)\)", (DOCS / "README.md").read_text("utf-8")))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    assert pages <= listed
