"""crmdrip sandbox."""

from __future__ import annotations

import click

from crmdrip.sandbox.__main__ import main


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> int:
    """Serve the stand-ins of the CRM and SendGrid alone."""
    try:
        return main(list(arguments))
    except SystemExit as end:  # argparse ends --help and a wrong option so
        return end.code if isinstance(end.code, int) else 1
