"""crmdrip init."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from crmdrip.commands.output import aside
from crmdrip.core.errors import ConfigurationError
from crmdrip.shipped import shipped

EXAMPLE = "config.example.toml"
SEQUENCES = "sequences"
"""The folder beside config.toml for HubSpot's sequences, as the example names it."""

_FOR_HUBSPOT = (
    ("# [crm.hubspot]\n", "[crm.hubspot]\n"),
    ('# portal_id = ""\n', '# REAL: fill it in.\n# portal_id = ""\n'),
    ('# sequences = "sequences"\n', 'sequences = "sequences"\n'),
    ('# A stand-in on this machine; "" for the real HubSpot.\n# base_url = ""\n', ""),
    ("# [crm.hubspot.auth]\n", "[crm.hubspot.auth]\n"),
    ('# token = { env = "HUBSPOT_TOKEN" }\n', 'token = "sandbox-service-key"  # REAL: { env = "HUBSPOT_TOKEN" }\n'),
)
"""What is commented out in the example, and what stands there for HubSpot."""
_STAND_IN = """\
# REAL: remove this line. A stand-in on this machine; "" for the real HubSpot.
base_url = "http://127.0.0.1:8184"
"""


@click.command()
@click.option(
    "--crm", type=click.Choice(["salesforce", "hubspot"]), default="salesforce", show_default=True, help="For which."
)
@click.pass_obj
def init(config: Path, *, crm: str) -> int:
    """Write a commented config.toml that runs against the sandbox."""
    hubspot = crm == "hubspot"
    _write(config, for_hubspot(read_example()) if hubspot else read_example())
    sequence = config.parent / SEQUENCES / "intro.toml"
    if hubspot and not sequence.exists():
        _write(sequence, shipped("hubspot/intro.toml").read_text(encoding="utf-8"))
    options = f" --crm hubspot --bare --sequences {SEQUENCES}" if hubspot else ""
    install = "  crmdrip install     in another: makes crmdrip's properties in the portal\n" if hubspot else ""
    aside().print(
        f"Wrote {config}{f' and {sequence}' if hubspot else ''}. It runs against the sandbox as it stands:\n"
        f"  crmdrip sandbox{options}\n"
        "                      in one terminal; tick boxes on the pages whose address it prints\n"
        f"{install}"
        "  crmdrip doctor      in another: is all as it should be?\n"
        "  crmdrip run         the daemon\n"
        f"For your own {'portal' if hubspot else 'org'} change the lines marked REAL.",
        markup=False,
    )
    return 0


def _write(path: Path, text: str) -> None:
    """Write a new file. Raises ConfigurationError when there is one, or when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigurationError(
            "there is such a file already, and it is left as it is.",
            where=str(path),
            do_next="Name another one: crmdrip --config other.toml init.",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written ({error.strerror}).", where=str(path), do_next="Choose another folder."
        ) from error


def for_hubspot(example: str) -> str:
    """The example with HubSpot in the place of Salesforce."""
    before, _, rest = example.partition("[crm.salesforce]\n")
    _, heading, rest = rest.partition("# HubSpot, with")
    part, end, after = rest.partition("\n\n\n")
    for commented, active in _FOR_HUBSPOT:
        part = part.replace(commented, active, 1)
    part = part.replace("[crm.hubspot]\n", f"[crm.hubspot]\n{_STAND_IN}", 1)
    before = before.replace('connector = "salesforce"', 'connector = "hubspot"').replace(
        "salesforce.toml", "hubspot.toml"
    )
    return f"{before}{heading}{part}{end}{after}"


def read_example() -> str:
    """The example, from the wheel or, in an editable install, from the source tree."""
    package = files("crmdrip")
    for file in (package / EXAMPLE, Path(str(package)).parent / EXAMPLE):
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise ConfigurationError(f"{EXAMPLE} is not installed.", do_next="Install crmdrip again.")
