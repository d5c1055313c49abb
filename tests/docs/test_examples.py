"""What the documentation tells people to type can be typed: commands, options, configuration, code."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import textwrap
import tomllib
from pathlib import Path

import click
import pytest

from crmdrip.cli import cli
from crmdrip.config import Settings
from crmdrip.sandbox.__main__ import build_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "connectors" / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(crmdrip [^`]+)`")


def _blocks(page: Path, *languages: str) -> list[str]:
    return [body for _, language, body in BLOCK.findall(page.read_text("utf-8")) if language in languages]


def _typed(page: Path) -> list[str]:
    """Every command line of ours on a page."""
    lines = [line for block in _blocks(page, "sh", "console", "bash", "") for line in block.splitlines()]
    found = [line.split("#")[0] for line in lines]
    ours = [re.sub(r"^.*?(?:\.venv/bin/|\$ ?)?\bcrmdrip ", "crmdrip ", line) for line in found if _is_ours(line)]
    return ours + [line for line in INLINE.findall(page.read_text("utf-8")) if "COMMAND" not in line]


def _is_ours(line: str) -> bool:
    return re.match(r"^\s*(?:\$ )?(?:\S*&& )*(?:\S*/)?crmdrip [a-z-]", line) is not None


def _problem(line: str) -> str:
    """What keeps a command line from being typed, "" when nothing does."""
    words = [word for word in shlex.split(re.sub(r"\[|\]|\.\.\.|<[^>]*>", " ", line)) if word]
    command: click.Command = cli
    context = click.Context(cli, info_name="crmdrip")
    rest = words[1:]
    while rest:
        word = rest.pop(0)
        options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
        if command.name == "sandbox":
            known = {name for action in build_parser()._actions for name in action.option_strings}
            return ", ".join(
                f"sandbox has no {one}" for one in [word, *rest] if one.startswith("-") and one not in known
            )
        if word.startswith("-"):
            option = options.get(word.partition("=")[0])
            if option is None and word not in {"--help", "-h"}:
                return f"{command.name or 'crmdrip'} has no {word}"
            if isinstance(option, click.Option) and not option.is_flag and "=" not in word and rest:
                rest.pop(0)
        elif isinstance(command, click.Group):
            inner = command.get_command(context, word)
            if inner is None:
                return f"there is no command {word}"
            command = inner
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_exists_with_its_options(page: Path) -> None:
    """A renamed option would leave the page behind."""
    problems = {line: _problem(line) for line in _typed(page)}
    assert {line: problem for line, problem in problems.items() if problem} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_example_on_a_page_can_be_read(page: Path) -> None:
    """TOML, JSON, Python and systemd's units; and of TOML for config.toml each table is one of ours."""
    for block in _blocks(page, "toml"):
        document = tomllib.loads(block)
        if "crm" in document or "mail" in document:
            assert document.keys() <= Settings.model_fields.keys(), block
    for block in _blocks(page, "json"):
        json.loads(block)
    for block in _blocks(page, "python"):
        fragment = textwrap.indent(textwrap.dedent(block), "    ")  # a piece of a function may stand alone
        compile(f"def example():\n{fragment}", str(page), "exec")
    for block in _blocks(page, "ini"):
        parser = configparser.ConfigParser(strict=False)
        parser.optionxform = str
        parser.read_string(block)
        assert parser.sections()
