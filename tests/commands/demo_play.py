"""crmdrip demo, typed in an empty folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
from office import environment

BROKEN = [
    *("duplicate_touches", "touches_after_stop", "unexplained_due", "replies_unheard", "opt_outs_unasked"),
    "write_backs_pending",
]
"""Figures of which each must be nought."""
MEASURED = {"seconds": 0, "stop_latency_seconds": {}}
"""What depends on the machine."""


def play(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run the command in an empty folder: exit code, its JSON, standard error."""
    answer = subprocess.run(
        [sys.executable, "-m", "crmdrip.cli", "demo", "--no-serve", "--json", *options],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout, answer.stderr
    return answer.returncode, orjson.loads(answer.stdout), answer.stderr
