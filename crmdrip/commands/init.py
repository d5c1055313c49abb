"""crmdrip init."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from crmdrip.commands.output import aside
from crmdrip.core.errors import ConfigurationError

EXAMPLE = "config.example.toml"


@click.command()
@click.pass_obj
def init(config: Path) -> int:
    """Write a commented config.toml that runs against the sandbox."""
    try:
        with config.open("x", encoding="utf-8") as file:
            file.write(read_example())
    except FileExistsError as error:
        raise ConfigurationError(
            "there is such a file already, and it is left as it is.",
            where=str(config),
            do_next="Name another one: crmdrip --config other.toml init.",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written ({error.strerror}).", where=str(config), do_next="Choose another folder."
        ) from error
    aside().print(
        f"Wrote {config}. It runs against the sandbox as it stands:\n"
        "  crmdrip sandbox     in one terminal; tick boxes on the pages whose address it prints\n"
        "  crmdrip doctor      in another: is all as it should be?\n"
        "  crmdrip run         the daemon\n"
        "For your own org change the lines marked REAL.",
        markup=False,
    )
    return 0


def read_example() -> str:
    """The example, from the wheel or, in an editable install, from the source tree."""
    package = files("crmdrip")
    for file in (package / EXAMPLE, Path(str(package)).parent / EXAMPLE):
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise ConfigurationError(f"{EXAMPLE} is not installed.", do_next="Install crmdrip again.")
