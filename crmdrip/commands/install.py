"""crmdrip install."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.text import Text

from crmdrip.assembly import Connection, WallClock, connect_crm
from crmdrip.commands.output import aside, console, print_json
from crmdrip.commands.setup import read_settings_to_look
from crmdrip.commands.summary import Line, summarize
from crmdrip.config import Settings
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import ChangeKind, Installer, NamesItsPlace, OffersInstallation, SchemaChange

_STYLES = {
    ChangeKind.CREATE: "green",
    ChangeKind.UPDATE: "yellow",
    ChangeKind.CONFLICT: "bold red",
    ChangeKind.UNAVAILABLE: "dim",
}
"""Of what is shown; what stands there as it should is only counted."""
_TO_DO = (ChangeKind.CREATE, ChangeKind.UPDATE)
_COUNTED = (
    (ChangeKind.CREATE, "to create"),
    (ChangeKind.UPDATE, "to complete"),
    (ChangeKind.KEEP, "there already"),
    (ChangeKind.CONFLICT, "in conflict, left as they are"),
    (ChangeKind.UNAVAILABLE, "not to be had in this account"),
)


@click.command()
@click.argument("crm", required=False)
@click.option("--dry-run", is_flag=True, help="Print what would be made, and make nothing.")
@click.option("--all", "in_full", is_flag=True, help="Name each thing that would be made, instead of each object.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--check-only", is_flag=True, help="Let the CRM validate the installation without making it.")
@click.option(
    "--package",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write what the vendor's own tools install into FOLDER, and print what to type. Calls nobody.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def install(
    config: Path,
    crm: str | None,
    *,
    dry_run: bool,
    in_full: bool,
    yes: bool,
    check_only: bool,
    package: Path | None,
    as_json: bool,
) -> int:
    """Install in the CRM what crmdrip reads and writes there.

    CRM is "hubspot", "salesforce" or "sql"; left out, it is the one of the configuration. What is missing is shown
    first, object by object, and made once that is confirmed. Nothing is ever deleted, nobody's own field is changed,
    and running it again changes nothing. Exit code 0 if all is there or was made, 1 if a conflict is left to a person
    or the question was answered with no.
    """
    if dry_run + check_only + (package is not None) > 1:
        raise click.UsageError("give one of --dry-run, --check-only and --package.")
    connection = _connect(read_settings_to_look(config), crm)
    installer = _build(connection)
    if package is not None:
        return _write_package(installer, package, as_json=as_json)
    # An installation in the wrong account is the one that is hard to undo: it is named before anything is asked.
    account = _name_account(connection, installer)
    if check_only:
        installer.check(_tell)
        if as_json:
            print_json({"account": account, "ok": True})
        else:
            console().print(f"{account}: the installation is valid. Nothing was made.", markup=False)
        return 0
    changes = list(installer.preview())
    if not as_json:
        show(account, changes, lines=list_each(changes) if in_full else list_objects(changes))
    conflicts = any(change.kind is ChangeKind.CONFLICT for change in changes)
    to_do = [change for change in changes if change.kind in _TO_DO]
    made: Sequence[SchemaChange] = ()
    if to_do and not dry_run:
        if not yes and not _confirm(account, len(to_do)):
            aside().print("Nothing was made.")
            return 1
        made = installer.install(changes, _tell)
    if as_json:
        print_json({"account": account, "ok": not conflicts, "changes": changes, "made": made})
    elif made:
        console().print(f"\n{len(made)} made. Type crmdrip doctor to see what else sending needs.")
    return 1 if conflicts else 0


def _connect(settings: Settings, crm: str | None) -> Connection:
    """The configured CRM, which must be the one that was named. Raises ConfigurationError."""
    configured = settings.crm.connector
    if crm is not None and crm != configured:
        raise ConfigurationError(
            f"the configuration is for {configured}, not for {crm}.",
            where="[crm] connector",
            do_next=f'Type crmdrip install {configured}, or set connector = "{crm}" with its own table [crm.{crm}].',
        )
    return connect_crm(settings, WallClock())


def _build(connection: Connection) -> Installer:
    if not isinstance(connection.connector, OffersInstallation):
        raise ConfigurationError(
            f"the connector {connection.connector.name!r} installs nothing in its CRM.",
            where="[crm] connector",
            do_next="Make what its mapping names by hand; crmdrip doctor tells what is missing.",
        )
    return connection.connector.build_installer(connection.context)


def _name_account(connection: Connection, installer: Installer) -> str:
    if isinstance(installer, NamesItsPlace):
        return installer.place()
    return connection.connector.build_source(connection.context).identity().name


def _write_package(installer: Installer, folder: Path, *, as_json: bool) -> int:
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError("is not empty.", where=str(folder), do_next="Name a new folder.")
    try:
        commands = installer.write_package(folder)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written ({error.strerror}).", where=str(folder), do_next="Name another folder."
        ) from error
    if as_json:
        print_json({"folder": str(folder), "commands": commands})
        return 0
    out = console()
    out.print(f"Wrote {folder}.", markup=False)
    for command in commands:
        out.print(f"  {command}", markup=False)
    return 0


def list_each(changes: Iterable[SchemaChange]) -> list[tuple[ChangeKind, Line]]:
    """What is missing or wrong, each by itself."""
    return [(one.kind, Line(what=one.what, detail=one.detail)) for one in changes if one.kind in _STYLES]


def list_objects(changes: Sequence[SchemaChange]) -> list[tuple[ChangeKind, Line]]:
    """The same with what is missing object by object; what asks for a person's eye stays by itself."""
    missing = summarize(change for change in changes if change.kind is ChangeKind.CREATE)
    rest = list_each(change for change in changes if change.kind is not ChangeKind.CREATE)
    return [*((ChangeKind.CREATE, line) for line in missing), *rest]


def show(account: str, changes: Sequence[SchemaChange], *, lines: Sequence[tuple[ChangeKind, Line]]) -> None:
    """Print what is missing or wrong, and the sums."""
    out = console()
    out.print(f"{account}", markup=False)
    wide = max((len(line.what) for _, line in lines if line.detail), default=0)
    for kind, line in lines:
        sign = Text(f"  {kind.value:<12}", style=_STYLES[kind])
        out.print(Text.assemble(sign, f"{line.what:<{wide}}  {line.detail}".rstrip()))
    counts = Counter(change.kind for change in changes)
    told = ", ".join(f"{counts[kind]} {words}" for kind, words in _COUNTED if counts[kind])
    nothing = "" if any(counts[kind] for kind in _TO_DO) else "Nothing to do: "
    shortened = len(lines) < sum(counts[kind] for kind in _STYLES)
    each = " Type crmdrip install --dry-run --all to see each of them." if shortened else ""
    out.print(f"{nothing}{told or 'nothing is installed in this CRM'}.{each}", markup=False)


def _confirm(account: str, count: int) -> bool:
    """Ask. Raises ConfigurationError where nobody is there to answer."""
    try:
        return click.confirm(f"Make these {count} in {account}?", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise ConfigurationError(
            "nobody is there to confirm.", where="crmdrip install", do_next="Add --yes, or --dry-run to look only."
        ) from None


def _tell(line: str) -> None:
    aside().print(line, markup=False)
