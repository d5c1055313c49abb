"""Every failure in plain words: what is wrong, where, and what to type next. Never a traceback unless asked for."""

from __future__ import annotations

import os
import sys
import traceback

from crmdrip.commands.output import clean
from crmdrip.core.errors import ConfigurationError, CrmdripError
from crmdrip.logs import mask_text

FAILED = 1
MISCONFIGURED = 2
DEBUG = "CRMDRIP_DEBUG"


def explain(error: Exception) -> int:
    """Print a failure to standard error and return the exit code."""
    if os.environ.get(DEBUG):
        # To be reported, so it is as clean as a log: causes hold the addresses of databases, and answers of vendors.
        print(clean_lines(mask_text("".join(traceback.format_exception(error)))), file=sys.stderr)  # noqa: T201 - as below
    for line in describe(error):
        print(clean(line), file=sys.stderr)  # noqa: T201 - a command's output
    return MISCONFIGURED if isinstance(error, ConfigurationError) else FAILED


def clean_lines(text: str) -> str:
    """As clean, line by line."""
    return "\n".join(clean(line) for line in text.splitlines())


def describe(error: Exception) -> list[str]:
    """The lines to print."""
    problems = getattr(error, "problems", None)
    if problems is not None:  # config_file.ConfigProblems, which lists them all
        return [str(error)]
    if isinstance(error, CrmdripError):
        where = f"{error.where}: " if error.where else ""
        lines = [f"crmdrip: {where}{error.what}"]
        return [*lines, f"  {error.do_next}"] if error.do_next else lines
    return [
        f"crmdrip: this is a bug: {type(error).__name__}: {mask_text(str(error))}",
        f"  Set {DEBUG}=1 to see where, and report it.",
    ]
