"""The command line: names the commands, loads only the one that is asked for, and turns every failure into plain words.

Exit codes: 0 done, 1 something failed, 2 the command line or the configuration is wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from crmdrip import __version__

COMMANDS = {
    "demo": ("demo:demo", "Play two weeks against stand-ins on this machine, and check the promises."),
    "init": ("init:init", "Write a commented config.toml that runs against the sandbox."),
    "install": ("install:install", "Install in the CRM what crmdrip reads and writes there."),
    "map": ("map:map_", "Propose which of the CRM's own fields stand for what crmdrip would install."),
    "doctor": ("doctor:doctor", "Check everything that sending needs, and say how to mend what is wrong."),
    "run": ("run:run", "Run the daemon: pull, send, write back, until told to stop."),
    "once": ("once:once", "Make one full pass and exit, for cron."),
    "plan": ("plan:plan", "Show everything that would be sent, to whom, when and why. Sends nothing."),
    "preview": ("preview:preview", "Render the emails of SEQUENCE for PERSON. Sends nothing."),
    "why": ("why:why", "Tell PERSON's story: what happened, what comes next, and why."),
    "status": ("status:status", "Show how the daemon, the ledger and every sequence are doing."),
    "retry": ("retry:retry", "Try parked write-backs again, and settle what only a person can."),
    "pause": ("pause:pause", "Send nothing more, in SEQUENCE or in all."),
    "resume": ("pause:resume", "Go on sending, in SEQUENCE or in all."),
    "export": ("erase:export", "Print everything the ledger holds about PERSON, as JSON."),
    "erase": ("erase:erase", "Erase everything the ledger holds about PERSON, who is never mailed again."),
    "rebuild": ("rebuild:rebuild", "Fill the ledger from the CRM again. Sends nothing."),
    "ledger": ("ledger:ledger", "Show, copy or back up the ledger, the daemon's own state."),
    "sandbox": ("sandbox:sandbox", "Serve the stand-ins of the CRM and SendGrid alone."),
}
"""By name: where it is, and what it does in one line. Kept here so that --help imports none of them."""


class Commands(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, None when there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"crmdrip.commands.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("config.toml"),
    envvar="CRMDRIP_CONFIG",
    show_default=True,
    help="The configuration file; CRMDRIP_CONFIG names it as well.",
)
@click.version_option(__version__, prog_name="crmdrip", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: Path) -> None:
    """Sales email sequences that live in your CRM."""
    ctx.obj = config


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code. Raises nothing."""
    try:
        result = cli.main(arguments, prog_name="crmdrip", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing is wrong, and nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last place where a failure can be put in words
        from crmdrip.commands.failure import explain  # noqa: PLC0415 - only needed when something failed

        return explain(error)
    return result if isinstance(result, int) else 0


def main() -> None:
    """The entry point of the package."""
    sys.exit(run())


if __name__ == "__main__":
    main()
