"""How often Python looks for cycles of garbage in a process that works through batches."""

from __future__ import annotations

import gc

_YOUNG = 10_000
"""Objects made and not yet freed before the youngest are looked through; Python's own 700 is a batch's first steps.
With five times as many, what SQLAlchemy and tenacity leave in cycles grows to ten megabytes (measured: 100,000 people
pulled)."""


def collect_rarely() -> None:
    """Once everything is loaded: never look at what is there already again, and at what is new less often.

    A batch holds a thousand records, runs and emails at a time, all without cycles and freed as their last reference
    goes. Python's defaults have the collector walk through them, and through every module, again and again: a sixth of
    the daemon's whole CPU time (measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 100)
