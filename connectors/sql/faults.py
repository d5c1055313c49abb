"""What a database's refusals mean: by its own code where it has one, by the kind of exception where not. Pure.

Codes: PostgreSQL, "Appendix A. Error Codes"; SQLite, "Result and Extended Result Codes"; MySQL and MariaDB, "Server
Error Message Reference"; SQL Server, "Database Engine events and errors", whose number ends the driver's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchTableError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from crmdrip.core.errors import (
    AuthError,
    ConfigurationError,
    CrmdripError,
    ErrorClass,
    RateLimitedError,
    RejectedError,
    RetriableError,
)

_SQLSTATES: Mapping[str, ErrorClass] = {
    "28": ErrorClass.AUTH,
    "53300": ErrorClass.RATE_LIMITED,  # too many connections
    "3D": ErrorClass.CONFIGURATION,  # no such database
    "3F": ErrorClass.CONFIGURATION,  # no such schema
    "42": ErrorClass.CONFIGURATION,  # no such table or column, no privilege
    "0A": ErrorClass.CONFIGURATION,  # a view that cannot be written
    "55000": ErrorClass.RETRIABLE,  # the database takes no connections just now
    "22": ErrorClass.REJECTED,  # too long, out of range
    "23": ErrorClass.REJECTED,  # a constraint
    "27": ErrorClass.REJECTED,
    "44": ErrorClass.REJECTED,  # WITH CHECK OPTION
    "45": ErrorClass.REJECTED,  # SIGNAL in a trigger
    "P0": ErrorClass.REJECTED,  # RAISE in a trigger
}
"""By the first characters, the longest that fit; every other one may work later (locks, deadlocks, shutdown)."""

_SQLITE: Mapping[str, ErrorClass] = {
    "SQLITE_CONSTRAINT": ErrorClass.REJECTED,
    "SQLITE_MISMATCH": ErrorClass.REJECTED,
    "SQLITE_TOOBIG": ErrorClass.REJECTED,
    "SQLITE_READONLY": ErrorClass.CONFIGURATION,
    "SQLITE_CANTOPEN": ErrorClass.CONFIGURATION,
    "SQLITE_NOTADB": ErrorClass.CONFIGURATION,
    "SQLITE_CORRUPT": ErrorClass.CONFIGURATION,
    "SQLITE_PERM": ErrorClass.CONFIGURATION,
    "SQLITE_AUTH": ErrorClass.CONFIGURATION,
    "SQLITE_ERROR": ErrorClass.CONFIGURATION,  # no such table, no such column
}
"""By how the name begins; BUSY, LOCKED, FULL and IOERR may work later."""

_NUMBERS: Mapping[int, ErrorClass] = {
    # MySQL and MariaDB
    1045: ErrorClass.AUTH,
    1698: ErrorClass.AUTH,
    1040: ErrorClass.RATE_LIMITED,
    1203: ErrorClass.RATE_LIMITED,
    1226: ErrorClass.RATE_LIMITED,  # the account's own quota of queries or connections
    **dict.fromkeys((1044, 1049, 1054, 1142, 1143, 1146, 1227, 1288), ErrorClass.CONFIGURATION),
    **dict.fromkeys((1048, 1062, 1264, 1265, 1292, 1364, 1366, 1406, 1452, 1644, 3819, 4025), ErrorClass.REJECTED),
    **dict.fromkeys((1205, 1213, 1969, 2006, 2013, 3024, 3572), ErrorClass.RETRIABLE),
    # SQL Server
    18456: ErrorClass.AUTH,
    10928: ErrorClass.RATE_LIMITED,
    **dict.fromkeys((207, 208, 229, 230, 4060), ErrorClass.CONFIGURATION),
    **dict.fromkeys((515, 547, 2601, 2627, 2628, 8152, 50000), ErrorClass.REJECTED),
    **dict.fromkeys((1222, 3960), ErrorClass.RETRIABLE),
}
_LOCKS = frozenset({"55P03", "40P01", "40001", "1205", "1213", "3572", "1222", "SQLITE_BUSY", "SQLITE_LOCKED"})

_NATIVE = re.compile(r"\((\d{3,5})\)")
"""SQL Server's number in the text of its ODBC driver."""

_REFUSED_LOGIN = re.compile(r"password authentication|not permitted to log in|no pg_hba|role \".*\" does not exist")
_NO_DATABASE = re.compile(r"database \".*\" does not exist")
_CROWDED = re.compile(r"too many (connections|clients)|connection slots|connection limit")
"""A connection that PostgreSQL refuses has a text and no code: libpq passes on nothing else."""

_ADVICE = {
    ErrorClass.AUTH: "Correct the user in [crm.sql] url, or the password.",
    ErrorClass.CONFIGURATION: "Grant it to the user, or correct the mapping: crmdrip doctor tells what is missing.",
    ErrorClass.RATE_LIMITED: "Close other connections, or allow more.",
}

_ERRORS: Mapping[ErrorClass, type[CrmdripError]] = {
    ErrorClass.RETRIABLE: RetriableError,
    ErrorClass.AUTH: AuthError,
    ErrorClass.REJECTED: RejectedError,
    ErrorClass.CONFIGURATION: ConfigurationError,
    ErrorClass.RATE_LIMITED: RateLimitedError,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One refusal."""

    error_class: ErrorClass
    code: str
    """SQLSTATE, number or name, as the database calls it."""
    message: str
    """Its first line: others may hold the values of a row."""
    lost: bool = False
    """Whether the connection is gone, so that it is not known what became of the transaction."""

    @property
    def locked(self) -> bool:
        """Whether somebody else holds what was to be written."""
        return self.code in _LOCKS

    def error(self, where: str) -> CrmdripError:
        """As an exception of the taxonomy."""
        return _ERRORS[self.error_class](
            f"{self.message.rstrip('.')}.", where=where, do_next=_ADVICE.get(self.error_class, "")
        )


def read_fault(error: SQLAlchemyError) -> Fault:
    """What an exception means."""
    if isinstance(error, PoolTimeoutError):
        return Fault(error_class=ErrorClass.RETRIABLE, code="POOL", message="every connection is in use")
    if isinstance(error, NoSuchTableError):
        return Fault(error_class=ErrorClass.CONFIGURATION, code="NO_TABLE", message=f"there is no table {error}")
    if not isinstance(error, DBAPIError) or error.orig is None:
        return Fault(error_class=ErrorClass.CONFIGURATION, code=type(error).__name__, message=_first_line(str(error)))
    cause = error.orig
    message = str(getattr(getattr(cause, "diag", None), "message_primary", None) or _first_line(_text_of(cause)))
    code = _code(cause)
    if code:
        lost = error.connection_invalidated or code.startswith(("08", "57P0"))
        return Fault(error_class=_class_of(code, error), code=code, message=message, lost=lost)
    lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return Fault(error_class=_by_text(error), code=type(cause).__name__, message=message, lost=lost)


def _code(cause: BaseException) -> str:
    """The database's own code, "" where the driver tells none."""
    first = cause.args[0] if cause.args else None
    if isinstance(first, int):  # MySQL's number says more than its SQLSTATE
        return str(first)
    state = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    if state:
        return str(state)
    if isinstance(first, str) and re.fullmatch(r"[0-9A-Z]{5}", first) and len(cause.args) > 1:
        numbers = [number for number in _NATIVE.findall(str(cause.args[1])) if int(number) in _NUMBERS]
        return numbers[0] if numbers else first
    return ""


def _class_of(code: str, error: DBAPIError) -> ErrorClass:
    if code.startswith("SQLITE_"):
        begins = (known for name, known in _SQLITE.items() if code.startswith(name))
        return next(begins, ErrorClass.RETRIABLE)
    if code.isdecimal() and len(code) != 5 and int(code) in _NUMBERS:
        return _NUMBERS[int(code)]
    if code in ("18456", "10928", "50000"):
        return _NUMBERS[int(code)]
    fitting = [known for known in _SQLSTATES if code.startswith(known)]
    if fitting:
        return _SQLSTATES[max(fitting, key=len)]
    return ErrorClass.REJECTED if isinstance(error, IntegrityError | DataError) else ErrorClass.RETRIABLE


def _by_text(error: DBAPIError) -> ErrorClass:
    text = str(error.orig)
    if _REFUSED_LOGIN.search(text):
        return ErrorClass.AUTH
    if _NO_DATABASE.search(text):
        return ErrorClass.CONFIGURATION
    if _CROWDED.search(text):
        return ErrorClass.RATE_LIMITED
    if isinstance(error, IntegrityError | DataError):
        return ErrorClass.REJECTED
    if isinstance(error, ProgrammingError):
        return ErrorClass.CONFIGURATION
    return ErrorClass.RETRIABLE


def _text_of(cause: BaseException) -> str:
    """Without the number or state before it."""
    return str(cause.args[1]) if len(cause.args) > 1 else str(cause) or type(cause).__name__


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0][:300]
