"""Answers of any shape are named errors, and never a crash or a second email; `mangling.py` plays for hours."""

from __future__ import annotations

from pathlib import Path

import pytest
from mangling import play
from scene import make_blank


@pytest.mark.slow
@pytest.mark.parametrize("crm", ["salesforce", "hubspot"])
def test_whatever_vendors_answer_has_a_name_and_mails_nobody_twice(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, crm: str
) -> None:
    """P1, P3: missing keys, other types, cut bodies, HTML, odd headers, anywhere in a week."""
    blank = make_blank(tmp_path_factory.mktemp("blank"))
    plays = []
    for seed in (3, 5, 6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        plays.append(play(crm, folder, blank, seed))
    assert [line for one in plays for line in one.unnamed] == []
    assert [one.twice for one in plays] == [0, 0, 0]
    assert sum(one.mangled for one in plays) > 20
    assert sum(one.named for one in plays) > 0
