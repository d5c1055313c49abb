"""crmdrip rebuild: a ledger that is gone comes back from the CRM and the provider's log, and nobody is mailed (P6)."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from office import Office, Shell

from crmdrip.assembly import WallClock, assemble
from crmdrip.config import load
from crmdrip.core.errors import RetriableError
from crmdrip.core.struct import replace
from crmdrip.daemon import passes
from crmdrip.sandbox.faults import Fault, FaultKind

PEOPLE = 5


def ask_at_once(office: Office) -> None:
    """The provider's log needs no time to show an email."""
    text = office.config.read_text(encoding="utf-8")
    office.config.write_text(text.replace("[safety]\n", "[safety]\nin_doubt_first_look_minutes = 0.001\n"))


def lose_ledger(office: Office) -> None:
    """Its files are deleted."""
    for file in office.folder.glob("crmdrip.sqlite3*"):
        file.unlink()


@pytest.fixture
def lost(office: Office, crmdrip: Shell) -> list[str]:
    """People who have had their first email, and no ledger."""
    ask_at_once(office)
    people = office.ticked(PEOPLE)
    assert crmdrip("once").code == 0
    assert len(office.sent()) == PEOPLE
    lose_ledger(office)
    return people


def test_it_tells_what_was_read_and_sends_nothing(office: Office, crmdrip: Shell, lost: list[str]) -> None:
    """P6: every touch is known again, everybody was looked up, and the next pass mails nobody twice."""
    result = crmdrip("rebuild", "--take-over", "--json")
    assert result.code == 0
    told = result.json
    assert (told["touches"], told["looked_up"], told["to_look_up"]) == (PEOPLE, PEOPLE, 0)
    assert told["needs_person"] == []
    assert office.touches() == {"accepted": PEOPLE}
    assert crmdrip("once").code == 0
    assert len(office.sent()) == PEOPLE


def test_it_refuses_beside_a_daemon_that_may_be_at_work(office: Office, crmdrip: Shell, lost: list[str]) -> None:
    """B3: the org's heartbeat is young, and not of this ledger."""
    result = crmdrip("rebuild")
    assert result.code == 2
    assert "--take-over" in result.err


def test_a_ledger_that_is_whole_can_be_read_again(office: Office, crmdrip: Shell) -> None:
    """P6: for whoever does not trust it; what was known stays known, once."""
    ask_at_once(office)
    office.ticked(PEOPLE)
    crmdrip("once")
    assert crmdrip("rebuild").code == 0
    assert office.touches() == {"accepted": PEOPLE}
    assert crmdrip("once").code == 0
    assert len(office.sent()) == PEOPLE


def test_what_the_log_cannot_tell_now_the_daemon_asks_later(office: Office, crmdrip: Shell, lost: list[str]) -> None:
    """B4: nobody goes on unproven because a command ended."""
    told = crmdrip("rebuild", "--take-over", "--no-log", "--json").json
    assert (told["looked_up"], told["to_look_up"]) == (0, PEOPLE)
    assert "before it mails them" in crmdrip("rebuild", "--take-over", "--no-log").err


@pytest.fixture
def unheard(office: Office) -> list[str]:
    """People whose first email went out, of whom the CRM was told nothing before the ledger was lost."""
    ask_at_once(office)
    people = office.ticked(PEOPLE)
    with assemble(load(office.config), WallClock(), exclusive=True) as parts:
        passes.prepare(parts)
        passes.pull(parts)
        passes.dispatch(parts)
    assert len(office.sent()) == PEOPLE
    lose_ledger(office)
    return people


def test_what_the_crm_never_heard_of_is_found_in_the_log(office: Office, crmdrip: Shell, unheard: list[str]) -> None:
    """B4, P1: nobody is mailed twice, and everybody goes on."""
    told = crmdrip("rebuild", "--take-over", "--json").json
    assert (told["touches"], told["looked_up"], told["needs_person"]) == (0, PEOPLE, [])
    assert office.touches() == {"accepted": PEOPLE}
    assert crmdrip("once").code == 0
    assert len(office.sent()) == PEOPLE


def test_who_may_have_been_mailed_and_cannot_be_looked_up_is_listed(
    office: Office, crmdrip: Shell, unheard: list[str]
) -> None:
    """B4, P3: the account's key may not read its log: a person decides, and is told how."""
    denied = Fault(kind=FaultKind.ANSWER, path="/v3/logs", status=403, body='{"errors":[{"message":"no"}]}', times=None)
    office.sandbox.call(lambda: office.sandbox.account.faults.add(denied))
    result = crmdrip("rebuild", "--take-over")
    assert result.code == 0
    for record_id in unheard:
        assert f"crmdrip retry {record_id} --went-out" in result.out
    assert crmdrip("once").code == 0
    assert len(office.sent()) == PEOPLE
    assert "a person decides" in office.read(unheard[0], "Drip_Reason__c")[0]


class NoTimelines:
    """A source that breaks off once the people were read."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def touches(self, cursor: str | None) -> Any:
        """The connection breaks."""
        raise RetriableError("no answer.")


def test_a_daemon_that_ended_while_its_ledger_was_filled_is_no_rival_of_itself(office: Office, crmdrip: Shell) -> None:
    """B3, B4: its supervisor starts it again at once, and it does not wait six minutes for itself."""
    with assemble(load(office.config), WallClock(), exclusive=True) as parts:
        broken = replace(parts, source=NoTimelines(parts.source))
        with pytest.raises(RetriableError):
            passes.prepare(broken)
    assert crmdrip("once").code == 0


def test_a_copy_of_a_ledger_that_is_being_filled_is_a_rival(office: Office, crmdrip: Shell) -> None:
    """B3, P1: the original has left a newer heartbeat since."""
    with assemble(load(office.config), WallClock(), exclusive=True) as parts:
        with pytest.raises(RetriableError):
            passes.prepare(replace(parts, source=NoTimelines(parts.source)))
        shutil.copy(office.ledger_file, office.folder / "copy.sqlite3")
        passes.prepare(parts)
    office.use_ledger("copy.sqlite3")
    assert crmdrip("once").code == 2
