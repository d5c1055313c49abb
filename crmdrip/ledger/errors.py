"""What can be wrong with the ledger itself (B3, B30)."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from crmdrip.core.errors import ConfigurationError, CrmdripError, ErrorClass


class LedgerBusyError(ConfigurationError):
    """Another daemon holds this ledger."""


class LedgerBrokenError(CrmdripError):
    """Disk full, read-only, corrupt, or unreachable: nothing may be sent, since nothing could be remembered."""

    error_class = ErrorClass.CONFIGURATION


class LedgerNewerError(ConfigurationError):
    """A newer program has changed the ledger, and this one does not know how to read it."""


class LedgerTakenError(LedgerBrokenError):
    """Another daemon has taken the ledger over, and this one may write no more."""


class LedgerConflictError(LedgerBrokenError):
    """The ledger refused what would have broken a promise, such as a second send: a fault of ours, not of the disk."""


_SYMPTOMS = (
    (
        "database is locked",
        "another program writes to it without end",
        "Close whatever else has the file open; sending goes on by itself.",
    ),
    ("disk is full", "the disk is full", "Free some space; sending goes on by itself."),
    ("no space left", "the disk is full", "Free some space."),
    ("quota exceeded", "the disk quota of the daemon's user is used up", "Free some space, or raise the quota."),
    ("readonly database", "the file is read-only", "Make the file and its folder writable for the daemon's user."),
    (
        "read-only file system",
        "the disk is read-only",
        "Name a place in [ledger] url that the daemon may write to. If it was one: the system's log (dmesg) says why.",
    ),
    ("permission denied", "the file cannot be opened", "Make its folder writable for the daemon's user."),
    ("no such file or directory", "its folder does not exist", "Make the folder, or correct [ledger] url."),
    ("unable to open", "the file cannot be opened", "Check that the folder exists and belongs to the daemon's user."),
    ("malformed", "the file is damaged", "Keep the file, restore a copy or move it away: it is rebuilt from the CRM."),
    ("not a database", "the file is no ledger", "Correct [ledger] url, or move the file away."),
    (
        "disk i/o error",
        "the disk reports an error",
        "The system's log (dmesg) says which; mend it, and start the daemon again. The ledger stays as it is.",
    ),
)

_STATES = (
    ("53100", "the database server's disk is full", "Free some space there; sending goes on by itself."),
    ("53300", "the database server takes no further connections", "Raise max_connections, or close what is idle."),
    ("53", "the database server is short of something", "Look into the server's log; sending goes on by itself."),
    (
        "28",
        "the database server refuses the user or the password",
        "Correct [ledger] url, or the server's pg_hba.conf.",
    ),
    ("3D000", "there is no such database or user", "Create it (CREATE DATABASE ...), or correct [ledger] url."),
    (
        "42501",
        "the database user may not do this",
        "Make it the owner of the database: ALTER DATABASE ... OWNER TO ...",
    ),
    ("25006", "the database takes no changes, as a standby does", "Name the primary server in [ledger] url."),
    (
        "55P03",
        "another program keeps it from being written",
        "Look for it in pg_stat_activity; sending goes on by itself.",
    ),
    ("57P", "the database server is being stopped or started", "Sending goes on by itself once it answers."),
    ("25P03", "the database server ended a transaction that had stopped", "Sending goes on by itself."),
    ("XX001", "the database is damaged", "Restore a backup, or make a new database: it is filled from the CRM."),
    ("XX002", "an index of the database is damaged", "Type REINDEX DATABASE in psql."),
)
"""By the beginning of PostgreSQL's SQLSTATE (its manual, appendix A)."""


_REFUSALS = (
    ("password authentication failed", "28"),
    ("no password supplied", "28"),
    ("no pg_hba.conf entry", "28"),
    ('" does not exist', "3D000"),
    ("too many clients", "53300"),
    ("connection slots are reserved", "53300"),
    ("starting up", "57P"),
    ("shutting down", "57P"),
)
"""What a server says to who is not connected yet, to whom the driver gives no code."""


def _state_of(error: BaseException) -> str | None:
    """PostgreSQL's code for what is wrong; "" for a server that could not be asked, None for another database."""
    origin = error.orig if isinstance(error, DBAPIError) else None
    if type(origin).__module__.partition(".")[0] != "psycopg":
        return None
    return getattr(origin, "sqlstate", None) or ""


def explain(error: BaseException, where: str) -> LedgerBrokenError:
    """The database's own error in plain words, with what to do next."""
    text = str(error).lower()
    if isinstance(error, IntegrityError):
        return LedgerConflictError(
            f"the ledger refused a change that would break a promise ({_first_line(error.orig)}); it was not stored.",
            where=where,
            do_next="This is a fault of crmdrip: please report it, with the log.",
        )
    state = _state_of(error)
    if state is not None:
        for code, what, do_next in _STATES:
            if state.startswith(code):
                return LedgerBrokenError(f"{what}. Nothing is sent until it is mended.", where=where, do_next=do_next)
        if not state and isinstance(error, OperationalError):
            for symptom, code in _REFUSALS:
                if symptom in text:
                    what, do_next = next((what, do_next) for known, what, do_next in _STATES if known == code)
                    return LedgerBrokenError(f"{what}. Nothing is sent until then.", where=where, do_next=do_next)
            return LedgerBrokenError(
                f"the database server cannot be reached ({_first_line(error.orig)}). Nothing is sent until it can.",
                where=where,
                do_next="Check that it runs and that [ledger] url names it; sending goes on by itself.",
            )
    for symptom, what, do_next in _SYMPTOMS:
        if symptom in text:
            return LedgerBrokenError(f"{what}. Nothing is sent until it is mended.", where=where, do_next=do_next)
    return LedgerBrokenError(
        f"the database answered: {_first_line(error)}. Nothing is sent until it is mended.",
        where=where,
        do_next="Check [ledger] url and the database.",
    )


def _first_line(error: BaseException | None) -> str:
    """PostgreSQL names the values in further lines: they are people's addresses."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
