"""What can be wrong with the ledger itself (B3, B30)."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from crmdrip.core.errors import ConfigurationError, CrmdripError, ErrorClass


class LedgerBusyError(ConfigurationError):
    """Another daemon holds this ledger."""


class LedgerBrokenError(CrmdripError):
    """Disk full, read-only, corrupt, or unreachable: nothing may be sent, since nothing could be remembered."""

    error_class = ErrorClass.CONFIGURATION


class LedgerConflictError(LedgerBrokenError):
    """The ledger refused what would have broken a promise, such as a second send: a fault of ours, not of the disk."""


_SYMPTOMS = (
    (
        "database is locked",
        "another program writes to it without end",
        "Close whatever else has the file open; sending goes on by itself.",
    ),
    ("disk is full", "the disk is full", "Free some space; sending goes on by itself."),
    ("readonly database", "the file is read-only", "Make the file and its folder writable for the daemon's user."),
    ("unable to open", "the file cannot be opened", "Check that the folder exists and belongs to the daemon's user."),
    ("malformed", "the file is damaged", "Keep the file, restore a copy or move it away: it is rebuilt from the CRM."),
    ("not a database", "the file is no ledger", "Correct [ledger] url, or move the file away."),
    ("disk i/o error", "the disk reports an error", "Check the disk; the ledger stays as it is."),
)


def explain(error: BaseException, where: str) -> LedgerBrokenError:
    """The database's own error in plain words, with what to do next."""
    text = str(error).lower()
    if isinstance(error, IntegrityError):
        return LedgerConflictError(
            f"the ledger refused a change that would break a promise ({_first_line(error.orig)}); it was not stored.",
            where=where,
            do_next="This is a fault of crmdrip: please report it, with the log.",
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
