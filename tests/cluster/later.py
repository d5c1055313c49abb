"""A crmdrip of a later version, made of the present one: its ledger has a migration more, and it writes what is new."""

from __future__ import annotations

import shutil
from pathlib import Path

import crmdrip

VERSION = "9.9.9"
_MIGRATION = '''\
"""A column that may be empty, and a table: what the version before can leave alone."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("enrollment", sa.Column("of_a_later_version", sa.Text(), nullable=True))
    op.create_table("later", sa.Column("touch_id", sa.Text(), primary_key=True))
'''
_TOUCHES = '''

_intend = intend


def intend(connection, some):
    """As before, and each is noted in the new table and column as well."""
    from sqlalchemy import text

    some = list(some)
    _intend(connection, some)
    for one in some:
        connection.execute(text("INSERT INTO later VALUES (:id)"), {"id": one.id})
        note = text("UPDATE enrollment SET of_a_later_version = 'seen' WHERE id = :run")
        connection.execute(note, {"run": one.enrollment_id})
'''


def make_later(folder: Path) -> Path:
    """A folder that holds it, to stand before all others in PYTHONPATH."""
    package, root = folder / "crmdrip", Path(crmdrip.__file__).parents[1]
    for part in ("crmdrip", "connectors"):
        shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    if not (package / "_mappings").is_dir():  # an editable install has them in the source tree
        shutil.copytree(root / "mappings", folder / "mappings")
    (package / "ledger" / "migrations" / "versions" / "v0002_later.py").write_text(_MIGRATION, encoding="utf-8")
    _change(package / "ledger" / "store.py", 'HEAD = "0001"', 'HEAD = "0002"')
    _change(package / "__init__.py", '__version__ = version("crmdrip")', f'__version__ = "{VERSION}"')
    touches = package / "ledger" / "touches.py"
    touches.write_text(touches.read_text(encoding="utf-8") + _TOUCHES, encoding="utf-8")
    return folder


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{file.name} has no single {old!r}")
    file.write_text(text.replace(old, new), encoding="utf-8")
