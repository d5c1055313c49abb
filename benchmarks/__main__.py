"""The command: `python -m benchmarks`, with --quick to see only that it runs."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time

from benchmarks.passes import measure_passes
from benchmarks.sending import measure_sending
from benchmarks.sizes import FULL, QUICK
from benchmarks.table import Table


def main() -> int:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few people only: shows that it runs, not how fast")
    quick = parser.parse_args().quick
    sizes, table, began = QUICK if quick else FULL, Table(judged=not quick), time.monotonic()
    measure_sending(sizes, table)
    measure_passes(sizes, table)
    load = os.getloadavg()[1]
    table.notes.append(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {load:.1f} over the last 5 minutes,"
        f" {time.monotonic() - began:.0f} s."
    )
    print(table.render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
