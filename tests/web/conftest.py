"""A door on the stage of the daemon's tests: a real server on loopback, before a real ledger and org."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "daemon"))  # the stage is the daemon tests' own

from open_door import HINT_SECRET, KEY, OpenDoor
from stage import Stage

from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.ledger.store import open_ledger
from crmdrip.web.allowance import Allowance, Allowances
from crmdrip.web.door import Door, build_app, listen
from crmdrip.web.hooks import Hooks
from crmdrip.web.pages import Pages
from crmdrip.web.unsubscribe import Unsubscribes


@pytest.fixture(scope="session")
def blank_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with tables and nothing in them."""
    file = tmp_path_factory.mktemp("blank") / "blank.sqlite3"
    open_ledger(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def stage(tmp_path: Path, blank_ledger: Path) -> Iterator[Stage]:
    """A stage on a Monday at nine, with the daemon prepared."""
    with Stage(tmp_path, blank_ledger, unsubscribes=False) as ready:
        passes.prepare(ready.parts)
        yield ready


@pytest.fixture
def allowance() -> Allowances:
    """More than any test asks for."""
    return Allowances(Allowance(per_second=1_000, burst=1_000), per_second=1_000, burst=1_000)


@pytest.fixture
def door(stage: Stage, allowance: Allowances) -> Iterator[OpenDoor]:
    """A door that is open."""
    with Door(listen(("127.0.0.1", 0))) as bound:
        unsubscribes = Unsubscribes(stage.parts, (KEY,))
        opened = OpenDoor(stage, bound, unsubscribes)
        opened.hooks = Hooks(
            stage.parts, (HINT_SECRET,), on_stored=opened.stored.set, on_hint=opened.count_hint, room=opened.room
        )
        bound.serve(
            build_app(
                watch=lambda: replace(opened.health),
                unsubscribes=unsubscribes,
                pages=Pages("Acme", "1 Example Street\nLondon", "en"),
                base_url=stage.settings.unsubscribe.base_url,
                after=bound.after,
                allowance=allowance,
                hooks=opened.hooks.routes(""),
            )
        )
        yield opened
