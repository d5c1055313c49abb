"""Random weeks in both CRMs, the same ones each time; `python -m benchmarks.proof` plays others for hours.

P1, P2, P4 are checked with every request that the stand-ins answer, P3 and P5 when everything has come to its end.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from lives import MACHINES

WEEKS = settings(
    max_examples=2,
    stateful_step_count=16,
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate],  # a failure is shrunk by benchmarks.proof, not in front of somebody who waits
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.parametrize("crm", list(MACHINES))
def test_random_weeks_break_no_promise(crm: str) -> None:
    """P1 to P5: nobody is mailed twice, after a stop, unseen or in silence, and the budget holds."""
    run_state_machine_as_test(MACHINES[crm], settings=WEEKS)
