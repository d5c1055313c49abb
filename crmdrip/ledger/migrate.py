"""Runs the migrations. Imported only when there is one to run."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from crmdrip.ledger.errors import LedgerBrokenError, LedgerNewerError

_FOLDER = Path(__file__).parent / "migrations"


def configure() -> Config:
    """What Alembic has to know."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def versions() -> list[str]:
    """Every version that a ledger can have had, the first one first."""
    found = ScriptDirectory.from_config(configure()).walk_revisions()
    return [revision.revision for revision in found][::-1]


def upgrade(engine: Engine, where: str, target: str = "head") -> None:
    """Run every migration not yet run, in one transaction, and beside nobody else who would.

    Raises LedgerNewerError for a ledger whose version is none of `versions`, LedgerBrokenError for another's database.
    """
    config = configure()
    with engine.connect().execution_options(crmdrip_write=True) as connection, connection.begin():
        _require_known(connection, where)
        config.attributes["connection"] = connection
        command.upgrade(config, target)


def _require_known(connection: Connection, where: str) -> None:
    if not inspect(connection).has_table("alembic_version"):
        return
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if not inspect(connection).has_table("touch_move"):
        raise LedgerBrokenError(
            "this database belongs to another program. Nothing in it was changed.",
            where=where,
            do_next="Give crmdrip a database of its own in [ledger] url.",
        )
    if version is not None and version not in versions():
        raise LedgerNewerError(
            f"the ledger has version {version}, and this program knows none newer than {versions()[-1]}.",
            where=where,
            do_next="Install the newer crmdrip that has been at work on it: pip install --upgrade crmdrip. To go back"
            " to the older one, give it a copy of the ledger from before (crmdrip ledger backup).",
        )
