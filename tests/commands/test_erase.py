"""crmdrip erase and crmdrip export: what is shown, what goes, what is left to do elsewhere (P7)."""

from __future__ import annotations

import pytest
from office import Office, Shell

from crmdrip.commands.erase import how_to_delete
from crmdrip.sandbox.faults import Fault, FaultKind

ADDRESS = "p0@firm0.example"


@pytest.fixture
def person(office: Office, crmdrip: Shell) -> str:
    """A contact who has got an email."""
    (record_id,) = office.ticked()
    crmdrip("once")
    assert len(office.sent()) == 1
    return record_id


def in_files(office: Office, text: str) -> bool:
    """Whether a text stands anywhere in the ledger's files."""
    return any(text.encode() in file.read_bytes() for file in office.folder.glob("crmdrip.sqlite3*"))


class TestErase:
    """By command."""

    def test_it_shows_first_and_erases_nothing_unless_told_to(
        self, office: Office, crmdrip: Shell, person: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Answering no leaves everything as it is."""
        monkeypatch.setattr("click.confirm", lambda *_, **__: False)
        result = crmdrip("erase", ADDRESS)
        assert result.code == 1
        assert f"Addresses: {ADDRESS}" in result.out
        assert f"Records: {person}" in result.out
        assert "1  runs through sequences" in result.out
        assert in_files(office, ADDRESS)

    @pytest.mark.parametrize("by", ["address", "id", "name"])
    def test_it_erases_by_whatever_names_the_person(self, office: Office, crmdrip: Shell, person: str, by: str) -> None:
        """As every command that takes a PERSON."""
        named = {"address": ADDRESS.upper(), "id": person, "name": "Lee"}[by]
        assert crmdrip("erase", named, "--yes").code == 0
        assert not in_files(office, ADDRESS)

    def test_it_says_what_remains_and_where(self, office: Office, crmdrip: Shell, person: str) -> None:
        """Other systems' data is not ours to delete."""
        said = crmdrip("erase", ADDRESS, "--yes").out
        assert f"contact {person}" in said
        assert "Delete" in said
        assert "erasejob" in said

    def test_the_crm_is_told_in_the_next_round(self, office: Office, crmdrip: Shell, person: str) -> None:
        """B22: the opt-out is what a lost ledger would learn it from."""
        crmdrip("erase", ADDRESS, "--yes")
        crmdrip("once")
        status, reason, out, ticked = office.read(
            person, "Drip_Status__c", "Drip_Reason__c", "HasOptedOutOfEmail", "Drip_Enrolled__c"
        )
        assert (status, out, ticked) == ("Stopped", True, False)
        assert "erased" in reason
        assert not in_files(office, ADDRESS)

    def test_a_person_gone_from_the_crm_is_erased_by_address(self, office: Office, crmdrip: Shell, person: str) -> None:
        """The record was deleted first; the ledger still knows whom it mailed."""
        office.sandbox.call(lambda: office.sandbox.org.delete(person))
        result = crmdrip("erase", ADDRESS, "--yes")
        assert result.code == 0
        assert "no record of these addresses any more" in result.out
        assert not in_files(office, ADDRESS)

    def test_it_works_while_the_crm_does_not(self, office: Office, crmdrip: Shell, person: str) -> None:
        """A request has a deadline of its own; what was not looked up is said."""
        fault = Fault(kind=FaultKind.ANSWER, status=503, times=None)
        office.sandbox.call(lambda: office.sandbox.org.faults.add(fault))
        result = crmdrip("erase", ADDRESS, "--yes")
        assert result.code == 0
        assert "could not be asked" in result.out
        assert not in_files(office, ADDRESS)

    def test_an_address_nobody_knows_is_kept_out(self, office: Office, crmdrip: Shell, person: str) -> None:
        """And its hash alone is stored."""
        result = crmdrip("erase", "new@firm.example", "--yes")
        assert (result.code, "holds nothing else" in result.out) == (0, True)
        newcomer = office.contact("new@firm.example", Drip_Enrolled__c=True, Drip_Sequence__c=office.sequence_id)
        crmdrip("once")
        assert office.read(newcomer, "Drip_Status__c") == ("Refused",)
        assert not in_files(office, "new@firm.example")

    def test_a_name_of_several_erases_nobody(self, office: Office, crmdrip: Shell, person: str) -> None:
        """They are listed, for one of them to be named."""
        office.contact("other@firm.example")
        result = crmdrip("erase", "Lee", "--yes")
        assert result.code == 1
        assert "several records" in result.err
        assert in_files(office, ADDRESS)

    def test_the_story_afterwards_is_that_there_is_none(self, office: Office, crmdrip: Shell, person: str) -> None:
        """P3: why says that they are not mailed, and nothing else."""
        crmdrip("erase", ADDRESS, "--yes")
        told = crmdrip("why", person, "--json").json["history"]
        assert told["suppressed"].startswith("was erased at the person's request")
        assert told["runs"] == []


class TestExport:
    """A data access request."""

    def test_it_holds_everything_about_the_person_and_nothing_of_others(self, office: Office, crmdrip: Shell) -> None:
        """As one JSON object."""
        office.ticked(2)
        crmdrip("once")
        told = crmdrip("export", ADDRESS).json
        assert told["addresses"] == [ADDRESS]
        assert [len(told[name]) for name in ("records", "runs", "touches")] == [1, 1, 1]
        assert told["touches"][0]["subject"] == "Hello 1"
        assert "p1@firm1.example" not in str(told)

    def test_it_changes_nothing(self, office: Office, crmdrip: Shell, person: str) -> None:
        """It can be asked twice."""
        assert crmdrip("export", person).json == crmdrip("export", ADDRESS).json


@pytest.mark.parametrize(("crm", "words"), [("salesforce", "Recycle Bin"), ("hubspot", "Actions"), ("sql", "rows")])
def test_how_to_delete_is_told_in_the_crm_s_own_words(crm: str, words: str) -> None:
    """HubSpot has no Recycle Bin, and a database has no page."""
    assert words in how_to_delete(crm)
