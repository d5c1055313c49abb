"""A ledger lost with people in flight; `python -m benchmarks.proof losses` does it with two thousand."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from losses import play_loss
from scene import make_blank


@pytest.mark.slow
@pytest.mark.parametrize("crm", ["salesforce", "hubspot"])
def test_nobody_is_mailed_twice_or_forgotten_when_the_ledger_is_lost_in_the_middle(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, crm: str
) -> None:
    """B4, P6: touches in doubt, emails that no CRM heard of and changed addresses included."""
    loss = play_loss(crm, tmp_path, make_blank(tmp_path_factory.mktemp("blank")), 40, Random(2))
    assert (loss.unheard > 0, loss.doubtful > 0) == (True, True)
    assert loss.violations == []
