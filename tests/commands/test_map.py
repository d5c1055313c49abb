"""crmdrip map: what an org has already is proposed by name and type, and nothing is guessed in silence."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from crmdrip.cli import run
from crmdrip.inspection.likeness import Confidence, propose, write_mapping
from crmdrip.ports import Candidate, Place
from crmdrip.sandbox.control import Sandbox

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def place(word: str = "replied_at", label: str = "Replied At", **known: Any) -> Place:
    """A word of contacts that stands nowhere yet."""
    fields = {"table": "contact", "name": f"Drip_{word}__c", "kind": "Date/Time", "there": False, "vital": False}
    return Place(word=word, label=label, **{**fields, **known})


def field(name: str, *problems: str) -> Candidate:
    """A field of an org, labelled by its name."""
    return Candidate(name=name, label=name.removesuffix("__c").replace("_", " "), kind="Date/Time", problems=problems)


class TestLikeness:
    """What is proposed, and how surely."""

    def test_a_field_that_is_called_the_same_is_proposed(self) -> None:
        """Whatever its org puts before all its names."""
        (found,) = propose([place(candidates=(field("Cadence_Replied_At__c"), field("Birthdate")))])
        assert (found.confidence, found.candidate) == (Confidence.PROPOSED, field("Cadence_Replied_At__c"))

    @pytest.mark.parametrize("name", ["Reply_Date__c", "Answered_On__c", "CadenceRepliedAt__c"])
    def test_other_words_for_the_same_count(self, name: str) -> None:
        """As sales people use them for one another."""
        (found,) = propose([place(candidates=(field(name),))])
        assert found.confidence is Confidence.PROPOSED

    def test_a_field_that_only_resembles_it_is_a_question(self) -> None:
        """A person answers it."""
        (found,) = propose([place("next_touch", "Next Touch", candidates=(field("Next_Call__c"),))])
        assert found.confidence in (Confidence.QUESTION, Confidence.MISSING)
        (found,) = propose([place("paused_until", "Paused Until", candidates=(field("Paused__c"),))])
        assert found.confidence is Confidence.QUESTION

    def test_two_fields_that_are_called_the_same_are_a_question(self) -> None:
        """Both are named."""
        (found,) = propose([place(candidates=(field("Replied_At__c"), field("Reply_Date__c")))])
        assert found.confidence is Confidence.QUESTION
        assert len(found.others) == 1

    def test_a_field_that_cannot_hold_it_is_named_with_the_reason(self) -> None:
        """And is never proposed."""
        (found,) = propose([place(candidates=(field("Replied_At__c", "is Checkbox, and Date/Time is needed"),))])
        assert found.confidence is Confidence.QUESTION
        assert "is Checkbox, and Date/Time is needed" in found.why

    def test_one_field_is_proposed_for_one_word(self) -> None:
        """For two it is a question at each."""
        one = (field("Last_Email__c"),)
        found = propose(
            [place("last_touch", "Last Touch", candidates=one), place("last_sent", "Last Sent", candidates=one)]
        )
        assert {each.confidence for each in found} == {Confidence.QUESTION}

    def test_what_is_there_is_left_alone(self) -> None:
        """As mapped now."""
        (found,) = propose([place(there=True, candidates=(field("Replied_At__c"),))])
        assert found.confidence is Confidence.THERE

    def test_a_file_holds_proposals_in_force_and_questions_as_comments(self) -> None:
        """And is valid TOML, whatever a label says."""
        nasty = Candidate(name="Own__c", label='Paused\n# "', kind="Date/Time")
        places = [
            place(candidates=(field("Replied_At__c"),)),
            place("paused_until", "Paused Until", candidates=(nasty,)),
            place("reason", "Reason", table="lead"),
        ]
        text = write_mapping("salesforce", propose(places))
        assert tomllib.loads(text) == {"contact": {"replied_at": "Replied_At__c"}, "lead": {}}
        assert '# paused_until = "Own__c"  # is it this? "Paused # "", Date/Time.' in text
        assert '# reason = ""  # missing; the package brings Drip_reason__c (Date/Time)' in text


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An org in which nothing of crmdrip is installed."""
    with Sandbox(people=0, bare=True) as served:
        yield served


@pytest.fixture
def crmdrip(sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Types a command; its exit code and what it printed."""
    config = tmp_path / "config.toml"
    text = EXAMPLE.read_text(encoding="utf-8").replace("http://127.0.0.1:8181", sandbox.salesforce_url)
    config.write_text(text, encoding="utf-8")

    def type_(*words: str) -> tuple[int, str]:
        code = run(["--config", str(config), *words])
        return code, capsys.readouterr().out

    return type_


def own_fields(sandbox: Sandbox) -> None:
    """Fields of an org that ran its sequences by hand."""
    for name, text in (
        ("Cadence__c", "boolean"),
        ("Cadence_Status__c", "picklist 40"),
        ("Cadence_Paused_Until__c", "datetime"),
        ("Cadence_Reply_Date__c", "datetime"),
        ("Cadence_Reason__c", "string 20"),
    ):
        sandbox.call(lambda name=name, text=text: sandbox.org.add_field("Contact", name, text))


def test_an_empty_org_is_told_to_install(crmdrip: Callable[..., tuple[int, str]]) -> None:
    """There is nothing to map."""
    code, out = crmdrip("map")
    assert code == 1
    assert out.rstrip().endswith("Nothing here stands for what is missing: type crmdrip install salesforce.")


def test_an_installed_org_has_nothing_to_map(crmdrip: Callable[..., tuple[int, str]]) -> None:
    """Every word stands there by the package's name."""
    assert crmdrip("install", "salesforce", "--yes")[0] == 0
    code, out = crmdrip("map")
    assert (code, out.splitlines()[-1]) == (0, "Nothing to map: type crmdrip doctor.")


def test_own_fields_are_proposed_with_what_to_type_next(
    sandbox: Sandbox, crmdrip: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """The file is a mapping that crmdrip reads; questions stand in it as comments."""
    own_fields(sandbox)
    target = tmp_path / "mapping.toml"
    _, out = crmdrip("map", "--write", str(target))
    text = target.read_text(encoding="utf-8")
    contact = tomllib.loads(text)["contact"]
    assert contact == {
        "paused_until": "Cadence_Paused_Until__c",
        "status": "Cadence_Status__c",
        "replied_at": "Cadence_Reply_Date__c",
    }
    assert '# enrolled = "Cadence__c"  # is it this?' in text
    assert '# reason = "Cadence_Reason__c"  # cannot hold it' in text
    assert f'set mapping = "{target}" under [crm]' in out


def test_a_mapping_that_was_written_is_installed_around(
    sandbox: Sandbox, crmdrip: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """What is mapped is not installed a second time, and the rest is."""
    own_fields(sandbox)
    crmdrip("map", "--write", str(tmp_path / "mapping.toml"))
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace('# mapping = ""', 'mapping = "mapping.toml"'))
    code, out = crmdrip("install", "salesforce", "--yes")
    assert code == 0, out
    fields = sandbox.org.schema["Contact"].fields
    assert "Drip_Status__c" not in fields
    assert "Drip_Run__c" in fields
    checks = orjson.loads(crmdrip("doctor", "--json")[1])["checks"]
    levels = {one["code"]: one["level"] for one in checks if one["code"].startswith("SF-")}
    assert (levels["SF-FIELDS"], levels["SF-TYPES"], levels["SF-VALUES"]) == ("ok", "ok", "ok")


def test_a_file_that_is_there_is_left_as_it_is(crmdrip: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Nobody's mapping is written over."""
    target = tmp_path / "mapping.toml"
    target.write_text("# mine")
    assert crmdrip("map", "--write", str(target))[0] == 2
    assert target.read_text() == "# mine"


def test_proposals_come_as_json(sandbox: Sandbox, crmdrip: Callable[..., tuple[int, str]]) -> None:
    """For whoever maps by a program."""
    own_fields(sandbox)
    _, out = crmdrip("map", "--json")
    found = {(one["table"], one["word"]): one for one in orjson.loads(out)["proposals"]}
    assert found["contact", "status"]["name"] == "Cadence_Status__c"
    assert found["contact", "enrolled"]["confidence"] == "question"
    assert found["objects", "sequence"]["confidence"] == "missing"
