"""The SQL connector: a CRM that has no connector of its own, read and written through its database.

Any table or view that SQLAlchemy reaches. PostgreSQL and SQLite are tested; docs/sql.md says what was tried of others.
"""

from __future__ import annotations

from collections.abc import Iterator

from connectors.sql.check import check_database, unopened
from connectors.sql.database import Database
from connectors.sql.install import SqlInstaller
from connectors.sql.settings import SqlSettings
from connectors.sql.sink import SqlSink
from connectors.sql.source import SqlSource
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import CheckResult, ConnectorContext, CrmSink, CrmSource, Installer, Mailer, Role, SignalFeed

__all__ = ["connector"]


class SqlConnector:
    """How to configure, build, install and check a database."""

    name = "sql"
    role = Role.CRM
    settings_model = SqlSettings

    def build_source(self, context: ConnectorContext) -> CrmSource:
        """Makes no call. Raises ConfigurationError."""
        return SqlSource(_open(context))

    def build_sink(self, context: ConnectorContext, source: CrmSource) -> CrmSink:
        """Shares the source's connections and budget; makes no call. Raises ConfigurationError."""
        del context
        if not isinstance(source, SqlSource):
            raise ConfigurationError("the SQL sink needs the SQL source.", where="sql")
        return SqlSink(source)

    def build_mailer(self, context: ConnectorContext) -> Mailer:
        """A database sends no email. Raises ConfigurationError."""
        del context
        raise ConfigurationError("a database sends no email.", where="[mail]", do_next='Choose "sendgrid" or "smtp".')

    def build_feed(self, context: ConnectorContext) -> SignalFeed | None:
        """Signals come with the pull."""
        del context
        return None

    def build_installer(self, context: ConnectorContext) -> Installer:
        """Makes no call. Raises ConfigurationError."""
        return SqlInstaller(_open(context))

    def check(self, context: ConnectorContext) -> Iterator[CheckResult]:
        """Every preflight check, in order; makes calls; raises nothing."""
        try:
            database = _open(context)
        except ConfigurationError as error:
            yield unopened(error)
            return
        yield from check_database(SqlSource(database))


def _open(context: ConnectorContext) -> Database:
    if context.mapping is None:
        raise ConfigurationError("a database needs a mapping.", where="[crm]", do_next="Name mappings/sql.toml.")
    if not isinstance(context.settings, SqlSettings):
        raise ConfigurationError("these are no settings for a database.", where="[crm]")
    return Database(context.settings, context.mapping, context.clock)


connector = SqlConnector()
