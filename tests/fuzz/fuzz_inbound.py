"""Fuzzes the mail reader with atheris: `python tests/fuzz/fuzz_inbound.py SEEDS -max_total_time=600`.

No part of the test suite: atheris is not among the project's requirements (`pip install atheris`). With --seeds FOLDER
it writes the labelled mails there first, as a beginning. A mail that takes longer than a second is a finding, too.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "inbound")]

with atheris.instrument_imports(include=["crmdrip.inbound"]):
    import crmdrip.inbound.mail  # noqa: F401  instrumented on its way in

from bounds import read  # noqa: E402  after the path is set
from collection import load_collection  # noqa: E402

SECONDS = 2.0
"""Processor time that one mail may take under instrumentation, which makes everything some five times slower."""


def try_one(data: bytes) -> None:
    """Read one mail and check every promise."""
    began = time.process_time()
    read(data)
    took = time.process_time() - began
    if took > SECONDS:
        raise AssertionError(f"{len(data)} bytes took {took:.1f} s")


def main() -> None:
    """Write seeds if asked, then fuzz until the time is up."""
    if "--seeds" in sys.argv:
        place = sys.argv.index("--seeds")
        folder = Path(sys.argv[place + 1])
        del sys.argv[place : place + 2]
        folder.mkdir(parents=True, exist_ok=True)
        for number, mail in enumerate(load_collection()):
            (folder / f"{number:04}.eml").write_bytes(mail.raw)
        sys.argv.append(str(folder))
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
