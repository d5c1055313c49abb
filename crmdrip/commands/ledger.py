"""crmdrip ledger info, copy and backup."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from crmdrip.commands.output import aside, console, print_json, print_table
from crmdrip.commands.setup import read_existing_ledger, read_settings_to_look, require_existing
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.struct import Struct
from crmdrip.ledger import copying
from crmdrip.ledger.copying import Copied
from crmdrip.ledger.store import HEAD, Ledger
from crmdrip.secrets import holds_password

PLACE = (
    "a path of an SQLite file, a postgresql:// address, env:NAME for an address that stands in an environment variable,"
    " or config for the ledger of the configuration"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def ledger() -> None:
    """Show, copy or back up the ledger, the daemon's own state.

    Whatever is lost of it is read back from the CRM; a copy spares that, and keeps what the CRM does not know.
    """


class Info(Struct, frozen=True, kw_only=True):
    """What the ledger is."""

    where: str
    database: str
    version: str
    bytes: int
    rows: Mapping[str, int]


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def info(config: Path, *, as_json: bool) -> int:
    """Show where the ledger is, how large, and of which version."""
    with read_existing_ledger(read_settings_to_look(config)) as found:
        told = read_info(found)
    if as_json:
        print_json({name: getattr(told, name) for name in Info.__struct_fields__})
        return 0
    out = console()
    out.print(
        f"{told.where}\n{told.database}, ledger version {told.version}, {told.bytes / 2**20:,.1f} MB", markup=False
    )
    print_table(("Table", "Rows"), ((name, f"{rows:,}") for name, rows in told.rows.items()))
    return 0


def read_info(found: Ledger) -> Info:
    """Look. Raises LedgerBrokenError."""
    with found.read() as connection:
        rows = {table.name: copying.count(connection, table) for table in copying.tables()}
        dialect = connection.dialect
        number = ".".join(map(str, dialect.server_version_info or ()))
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[dialect.name]
    return Info(where=found.where, database=f"{name} {number}", version=HEAD, bytes=copying.size(found), rows=rows)


@ledger.command()
@click.argument("origin", metavar="FROM")
@click.argument("target", metavar="TO")
@click.pass_obj
def copy(config: Path, origin: str, target: str) -> int:
    """Copy a whole ledger FROM one place TO another one, which must be empty.

    FROM and TO are each a path of an SQLite file, a postgresql:// address, env:NAME for an address that stands in an
    environment variable, or the word config for the ledger of the configuration. No daemon may be at work on either.
    Every row is read back and compared before anything of the copy counts; a copy that breaks off leaves nothing.
    Afterwards put the new place into [ledger] url. The old ledger stays as it was: start no daemon on it any more.
    """
    source, new = Ledger(_url_of(origin, config)), Ledger(_url_of(target, config))
    try:
        if source.url == new.url:
            raise ConfigurationError("FROM and TO are the same ledger.", where=source.where, do_next=f"Name {PLACE}.")
        require_existing(source)
        source.lock()
        source.migrate()
        new.lock()
        new.migrate()
        with _telling() as tell:
            copied = copying.copy_ledger(source, new, tell)
    finally:
        new.close()
        source.close()
    rows = sum(one.rows for one in copied)
    aside().print(
        f"Copied {rows:,} rows from {source.where} to {new.where}, read back and compared. [ledger] url has to name"
        " the new place; start no daemon on the old one any more.",
        markup=False,
    )
    return 0


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(config: Path, file: Path) -> int:
    """Write the ledger as it is now into a new SQLite FILE, beside a daemon that may be running.

    To restore one: stop the daemon, move the damaged ledger away, and type crmdrip ledger copy FILE config. What was
    sent since the backup is then read back from the CRM before anything goes out.
    """
    with read_existing_ledger(read_settings_to_look(config)) as found, _telling() as tell:
        copying.back_up(found, file, tell)
        where = found.where
    aside().print(f"{where} is backed up in {file} ({file.stat().st_size / 2**20:,.1f} MB).", markup=False)
    return 0


def _url_of(place: str, config: Path) -> str:
    """The address meant by one of the words of PLACE. Raises ConfigurationError."""
    if place == "config":
        return read_settings_to_look(config).ledger.url
    if place.startswith("env:"):
        name = place.removeprefix("env:")
        if not os.environ.get(name):
            raise ConfigurationError(
                f"the environment variable {name} is not set.", where=place, do_next=f"Set it: export {name}=..."
            )
        return os.environ[name]
    if holds_password(place):
        raise ConfigurationError(
            "this address has a password in it, which everybody on this machine can read in the list of processes.",
            do_next="Put the address into an environment variable and type env:NAME for it; or leave the password to"
            " PGPASSWORD or ~/.pgpass.",
        )
    return place if "://" in place else f"sqlite:///{Path(place).resolve()}"


@contextmanager
def _telling() -> Iterator[Callable[[Copied], None]]:
    """A bar for each table, on a terminal."""
    out = aside()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        tasks = {}

        def tell(one: Copied) -> None:
            if one.table not in tasks:
                tasks[one.table] = progress.add_task(one.table, total=one.total)
            progress.update(tasks[one.table], completed=one.rows)

        yield tell
