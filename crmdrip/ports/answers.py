"""The edge at which a vendor's answers are read: whatever shape they have, only the taxonomy leaves a connector.

A vendor may answer what it does not document: a key is missing, a number stands where a text should. Reading on as if
nothing were wrong could lose a stop, and an error without a name counts as a fault of ours and ends the daemon. So it
becomes an error that is tried again and shown until somebody looks: nothing of the answer has been taken over by then.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from crmdrip.core.errors import RetriableError

_SHAPES = (AttributeError, IndexError, KeyError, OverflowError, OSError, RecursionError, TypeError, ValueError)
"""What reading something of another shape raises; OSError by datetime.fromtimestamp."""

C = TypeVar("C", bound=type)


def reads_answers_of(vendor: str) -> Callable[[C], C]:
    """Make each public method of a class raise RetriableError for an answer that cannot be read; iterators too."""

    def guard(cls: C) -> C:
        for name, method in vars(cls).copy().items():
            if not name.startswith("_") and inspect.isfunction(method):
                setattr(cls, name, _guarded(vendor, method))
        return cls

    return guard


@contextmanager
def reading(vendor: str, call: str) -> Iterator[None]:
    """Raises RetriableError where what is read inside has another shape than the vendor documents.

    call: what was asked for, in our words. The text of the cause is not repeated: it may hold somebody's data.
    """
    try:
        yield
    except _SHAPES as error:
        raise RetriableError(
            f"an answer has another shape than {vendor} documents ({type(error).__name__}, {_place(error)}).",
            where=f"{vendor} ({call})",
            do_next="It is asked again. If this stays, update crmdrip, and report it with these words.",
        ) from error


def _guarded(vendor: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with reading(vendor, method.__name__):
            found = method(*args, **kwargs)
        return _iterate(vendor, method.__name__, found) if isinstance(found, Iterator) else found

    return guarded


def _iterate(vendor: str, call: str, found: Iterator[Any]) -> Iterator[Any]:
    with reading(vendor, call):
        yield from found


def _place(error: Exception) -> str:
    """Where it was noticed, such as "records.py line 63"."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name} line {last.lineno}"
