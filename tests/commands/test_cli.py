"""The command line itself: quick to help, plain about mistakes, silent about secrets."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from office import environment

from connectors.hubspot.definitions import SequenceFolder
from crmdrip import cli, registry
from crmdrip.commands import init
from crmdrip.commands.failure import describe
from crmdrip.config import load
from crmdrip.core.definition import validate
from crmdrip.core.model import Sequence, SequenceStatus
from crmdrip.ports import Purpose

WRONG = """\
[crm.salesforce]
domain = "acme.my"
org_idd = "00D"
[crm.salesforce.auth.client_credentials]
consumer_key = "key"
consumer_secret = "hunter2-in-plain-text"
[mail.sendgrid]
api_key = { env = "NO_SUCH_VARIABLE" }
[sender]
company = "Acme"
[unsubscribe]
base_url = "http://mail.acme.example"
keys = ["sandbox-unsubscribe-key"]
"""


class TestHelp:
    """What a newcomer types first."""

    def test_help_imports_no_command(self) -> None:
        """It answers at once, because nothing is loaded that it does not need."""
        program = (
            "import sys; from crmdrip import cli; cli.run(['--help']);"
            "print(sorted({'sqlalchemy', 'rich', 'pydantic', 'requests', 'starlette'} & set(sys.modules)))"
        )
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert answer.stdout.splitlines()[-1] == "[]"

    @pytest.mark.parametrize("name", cli.COMMANDS)
    def test_the_list_says_what_the_command_says(self, name: str) -> None:
        """The one-line texts are kept apart from the commands, and must not drift."""
        command = cli.cli.get_command(click.Context(cli.cli), name)
        assert command is not None
        assert (command.help or "").splitlines()[0] == cli.COMMANDS[name][1]

    @pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name != "sandbox"])
    def test_every_command_has_help(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a configuration."""
        assert cli.run([name, "--help"]) == 0
        assert f"crmdrip {name}" in capsys.readouterr().out

    def test_every_command_module_is_listed(self) -> None:
        """None is out of reach."""
        listed = {where.partition(":")[0] for where, _ in cli.COMMANDS.values()}
        folder = Path(str(import_module("crmdrip.commands").__path__[0]))
        commands = {
            path.stem
            for path in folder.glob("*.py")
            if any(isinstance(v, click.Command) for v in vars(import_module(f"crmdrip.commands.{path.stem}")).values())
        }
        assert commands == listed


class TestMistakes:
    """What is wrong, where, and what to type next; never a traceback."""

    @pytest.mark.parametrize(
        "name", ["run", "once", "plan", "status", "why x", "preview a b", "retry", "pause", "resume"]
    )
    def test_a_missing_configuration_names_the_next_command(
        self, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Exit code 2, as for every mistake in the configuration."""
        missing = tmp_path / "config.toml"
        assert cli.run(["--config", str(missing), *name.split()]) == 2
        err = capsys.readouterr().err
        assert f"crmdrip: {missing}: there is no such file." in err
        assert "Type crmdrip init" in err

    def test_every_problem_is_said_at_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Each with its line and what to type."""
        path = tmp_path / "config.toml"
        path.write_text(WRONG, encoding="utf-8")
        assert cli.run(["--config", str(path), "run"]) == 2
        err = capsys.readouterr().err
        for line, key in (
            (3, "crm.salesforce.org_idd"),
            (6, "consumer_secret"),
            (8, "NO_SUCH_VARIABLE"),
            (9, "sender.postal_address"),
            (12, "unsubscribe.base_url"),
        ):
            assert any(f"{path}:{line}:" in said and key in said for said in err.splitlines()), (line, err)
        assert "hunter2" not in err
        assert "Traceback" not in err

    def test_an_unknown_command_is_a_usage_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 2, and help is named."""
        assert cli.run(["sendall"]) == 2
        assert "No such command 'sendall'" in capsys.readouterr().err

    def test_a_bug_is_one_line_without_addresses(self) -> None:
        """Whoever reports it shows nobody's data."""
        lines = describe(KeyError("ann@acme.example"))
        assert lines[0].startswith("crmdrip: this is a bug: KeyError")
        assert "ann@" not in "".join(lines)

    def test_the_environment_can_name_the_configuration(self, tmp_path: Path) -> None:
        """As the container image does."""
        answer = subprocess.run(
            [sys.executable, "-m", "crmdrip.cli", "status"],
            env={**environment(), "CRMDRIP_CONFIG": str(tmp_path / "elsewhere.toml")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (answer.returncode, "elsewhere.toml" in answer.stderr) == (2, True)


class TestInit:
    """The first file."""

    def test_it_writes_a_file_that_loads(self, tmp_path: Path) -> None:
        """As it stands, against the sandbox."""
        path = tmp_path / "config.toml"
        assert cli.run(["--config", str(path), "init"]) == 0
        assert load(path, env={}).crm.connector == "salesforce"

    def test_it_leaves_a_file_that_is_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Somebody's settings are in it."""
        path = tmp_path / "config.toml"
        path.write_text("mine", encoding="utf-8")
        assert cli.run(["--config", str(path), "init"]) == 2
        assert path.read_text(encoding="utf-8") == "mine"
        assert "is left as it is" in capsys.readouterr().err

    def test_for_hubspot_it_writes_a_file_and_a_sequence(self, tmp_path: Path) -> None:
        """Both load as they stand; nothing is sent from the sequence before somebody sets it Live."""
        path = tmp_path / "config.toml"
        assert cli.run(["--config", str(path), "init", "--crm", "hubspot"]) == 0
        settings = load(path, env={})
        assert settings.crm.connector == "hubspot"
        assert settings.crm.settings.base_url.startswith("http://127.0.0.1:")
        mapping = registry.builtin_mapping("hubspot")
        (draft,) = SequenceFolder(settings.crm.settings.sequences, tmp_path, mapping).drafts(Purpose.PULL).values()
        found = validate(draft)
        assert isinstance(found, Sequence), found
        assert (found.status, len(found.steps)) == (SequenceStatus.DRAFT, 3)

    def test_for_hubspot_a_sequence_that_is_there_stays(self, tmp_path: Path) -> None:
        """Somebody wrote it."""
        (tmp_path / "sequences").mkdir()
        (tmp_path / "sequences" / "intro.toml").write_text("mine")
        assert cli.run(["--config", str(tmp_path / "config.toml"), "init", "--crm", "hubspot"]) == 0
        assert (tmp_path / "sequences" / "intro.toml").read_text() == "mine"

    def test_for_hubspot_nothing_of_salesforce_is_left(self) -> None:
        """And every line that is changed was found in the example."""
        example = init.read_example()
        assert [old for old, _ in init._FOR_HUBSPOT if example.count(old) < 1] == []
        assert not [line for line in init.for_hubspot(example).splitlines() if line.startswith("[crm.salesforce")]

    def test_it_is_the_example_of_the_source_tree(self) -> None:
        """One text, not two that drift."""
        example = Path(__file__).parents[2] / init.EXAMPLE
        assert init.read_example() == example.read_text(encoding="utf-8")
