"""Commands that look: plan, why, status, preview, doctor, retry, once. They tell the truth and change nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from office import Office, Shell

from crmdrip.ledger import marks
from crmdrip.ledger.store import Ledger
from crmdrip.sandbox.faults import Fault, FaultKind


def files(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


class TestPlan:
    """What would be sent."""

    def test_it_covers_boxes_that_no_daemon_has_seen(self, office: Office, crmdrip: Shell) -> None:
        """Somebody ticks a box and asks at once."""
        (person,) = office.ticked()
        first, second = crmdrip("plan", "--days", "3", "--json").json["forecast"]["sendings"]
        assert (first["record_id"], first["step"], first["subject"]) == (person, "1 of 2", "Hello 1")
        assert (second["step"], second["subject"]) == ("2 of 2", "Hello 2")
        gap = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
        assert timedelta(days=2) <= gap < timedelta(days=2, minutes=10)

    def test_it_says_why_each_goes_out_when_it_does(self, office: Office, crmdrip: Shell) -> None:
        """In words: the delay, the window and whose zone."""
        office.ticked()
        sendings = crmdrip("plan", "--json").json["forecast"]["sendings"]
        assert [one["why"] for one in sendings] == [
            "right after enrollment; Mon-Sun 00:00-23:59 in UTC (sequence's zone)",
            "2 days after the touch before it; Mon-Sun 00:00-23:59 in UTC (sequence's zone)",
        ]

    def test_it_goes_no_further_than_asked(self, office: Office, crmdrip: Shell) -> None:
        """The second step is due in two days."""
        office.ticked()
        assert len(crmdrip("plan", "--days", "1", "--json").json["forecast"]["sendings"]) == 1

    def test_it_leaves_no_trace(self, office: Office, crmdrip: Shell) -> None:
        """No ledger, no write to the CRM, no email."""
        (person,) = office.ticked()
        before = office.read(person, "SystemModstamp", "Drip_Status__c"), files(office.folder)
        crmdrip("plan")
        assert (office.read(person, "SystemModstamp", "Drip_Status__c"), files(office.folder)) == before
        assert office.sent() == []

    def test_it_leaves_the_ledger_of_a_daemon_as_it_is(self, office: Office, crmdrip: Shell) -> None:
        """It rehearses on a copy."""
        office.ticked()
        crmdrip("once")
        before = office.touches()
        assert len(crmdrip("plan", "--json").json["forecast"]["sendings"]) == 1
        assert office.touches() == before

    def test_it_tells_who_waits_and_for_what(self, office: Office, crmdrip: Shell) -> None:
        """B24: a missing field is known beforehand."""
        office.ticked(Title=None)
        found = crmdrip("plan", "--json").json["forecast"]
        assert found["sendings"] == []
        assert "missing Title" in found["waiting"][0]["sentence"]

    def test_it_tells_who_would_not_start(self, office: Office, crmdrip: Shell) -> None:
        """B22: an opted-out person's box."""
        (person,) = office.ticked(HasOptedOutOfEmail=True)
        found = crmdrip("plan", "--json").json["forecast"]
        assert [one["record_id"] for one in found["not_started"]] == [person]

    def test_caps_count(self, office: Office, crmdrip: Shell) -> None:
        """Two emails a day, three people: the third goes out on the next day."""
        office.change(office.sequence_id, Drip_Daily_Cap__c=2)
        office.ticked(3)
        sendings = crmdrip("plan", "--days", "3", "--json").json["forecast"]["sendings"]
        begins = [datetime.fromisoformat(one["at"]).date() for one in sendings if one["step"] == "1 of 2"]
        assert begins == [begins[0], begins[0], begins[0] + timedelta(days=1)]


class TestOnce:
    """One pass."""

    def test_it_sends_what_is_due_and_says_so(self, office: Office, crmdrip: Shell) -> None:
        """Counts on standard output, a line for people on standard error."""
        (person,) = office.ticked()
        result = crmdrip("once", "--json")
        assert (result.code, result.json["dispatch"]["accepted"]) == (0, 1)
        assert "1 enrolled (1 of them found in the CRM as the new ledger was filled), 0 refused" in result.err
        assert office.read(person, "Drip_Status__c") == ("Active",)

    def test_whom_a_new_ledger_refuses_is_counted(self, office: Office, crmdrip: Shell) -> None:
        """B10: they are read before the first pull."""
        office.ticked()
        office.ticked(HasOptedOutOfEmail=True, Email="no@firm9.example")
        result = crmdrip("once", "--json")
        assert result.json["prepare"] == {"enrolled": 1, "refused": 1, "stopped": 0}
        assert "new ledger was filled), 1 refused" in result.err

    def test_who_is_ticked_later_is_simply_enrolled(self, office: Office, crmdrip: Shell) -> None:
        """Only a new ledger is filled."""
        crmdrip("once")
        office.ticked()
        assert "1 enrolled, 0 refused" in crmdrip("once").err

    def test_a_pass_that_fails_keeps_no_other_from_being_made(self, office: Office, crmdrip: Shell) -> None:
        """A key that may not read the suppression lists still sends, and cron hears what is wrong."""
        (person,) = office.ticked()
        refused = Fault(kind=FaultKind.ANSWER, path="/v3/suppression", status=403, times=None, body="{}")
        office.sandbox.call(lambda: office.sandbox.account.faults.add(refused))
        result = crmdrip("once", "--json")
        assert (result.code, list(result.json["failed"])) == (1, ["feed"])
        assert "feed failed: " in result.err
        assert (len(office.sent()), office.read(person, "Drip_Status__c")) == (1, ("Active",))


class TestWhy:
    """One person's story."""

    @pytest.mark.parametrize("form", ["id", "address", "name"])
    def test_it_tells_what_was_and_what_comes(self, office: Office, crmdrip: Shell, form: str) -> None:
        """P3: by id, address or name."""
        (person,) = office.ticked()
        crmdrip("once")
        said = crmdrip("why", {"id": person, "address": "P0@firm0.example", "name": "Lee"}[form]).out
        assert "Active in 'Hello'. Step 2 of 2 is due" in said
        assert "step 1 of 2, email: accepted, 'Hello 1'" in said
        assert "In the CRM: the box is ticked, the status is Active." in said

    def test_it_gives_the_reason_of_a_hold_in_the_records_own_words(self, office: Office, crmdrip: Shell) -> None:
        """B24: the same sentence as on the record."""
        (person,) = office.ticked(Title=None)
        crmdrip("once")
        (reason,) = office.read(person, "Drip_Reason__c")
        assert crmdrip("why", person, "--json").json["history"]["now"] == f"Held in 'Hello'. {reason}"

    def test_a_status_that_its_reason_begins_with_is_said_once(self, office: Office, crmdrip: Shell) -> None:
        """Of somebody queued, in a sequence that sends nothing today."""
        steps = "SELECT Id FROM Drip_Step__c WHERE Drip_Order__c = 1"
        (first,) = office.sandbox.call(lambda: office.sandbox.org.select(steps))
        office.change(first["Id"], Drip_Delay__c=3)
        (person,) = office.ticked()
        crmdrip("once")
        (reason,) = office.read(person, "Drip_Reason__c")
        said = crmdrip("why", person).out.splitlines()
        assert reason.startswith("Queued, expected start ")
        assert said[1] == f"Queued in 'Hello': {reason.removeprefix('Queued, ')}"
        assert f"  Expected start {reason.removeprefix('Queued, expected start ')}" in said

    def test_a_box_not_pulled_yet_is_told(self, office: Office, crmdrip: Shell) -> None:
        """Between the tick and the next pull."""
        crmdrip("once")
        (person,) = office.ticked()
        assert "has not pulled it yet" in crmdrip("why", person).out

    def test_it_answers_from_the_ledger_when_the_crm_does_not(self, office: Office, crmdrip: Shell) -> None:
        """P3: an outage is when people ask."""
        (person,) = office.ticked()
        crmdrip("once")
        refused = Fault(kind=FaultKind.ANSWER, status=401, times=None, body="[]")
        office.sandbox.call(lambda: office.sandbox.org.faults.add(refused))
        result = crmdrip("why", person)
        assert (result.code, "step 1 of 2, email: accepted" in result.out) == (0, True)
        assert "The CRM cannot be asked" in result.err

    def test_several_people_of_a_name_are_listed(self, office: Office, crmdrip: Shell) -> None:
        """One of them has to be chosen."""
        people = office.ticked(2)
        crmdrip("once")
        result = crmdrip("why", "Lee")
        assert (result.code, "several records are found for 'Lee'." in result.err) == (1, True)
        assert all(person in result.err for person in people)

    def test_a_name_cannot_command_the_terminal(self, office: Office, crmdrip: Shell) -> None:
        """B27: neither a title nor a colour nor a turned line comes out of a CRM field."""
        people = office.ticked(2, LastName="Lee\x1b]0;owned\x07\x9b31m\u202eeeL")
        crmdrip("once")
        for words in (["why", people[0]], ["why", "Lee"], ["plan"], ["preview", "Hello", people[0]]):
            result = crmdrip(*words)
            assert not set(result.out + result.err) & set("\x1b\x07\x9b\u202e")

    def test_nobody_is_an_answer_too(self, office: Office, crmdrip: Shell) -> None:
        """With what can be given."""
        crmdrip("once")
        result = crmdrip("why", "nobody@nowhere.example")
        assert (result.code, "nobody is found" in result.err) == (1, True)


class TestStatus:
    """Everything at once."""

    def test_it_counts_by_sequence_and_status(self, office: Office, crmdrip: Shell) -> None:
        """From the ledger, without a call to the CRM."""
        office.ticked(2)
        office.ticked(1, Title=None)
        crmdrip("once")
        calls = office.sandbox.org.api_calls
        found = crmdrip("status", "--json").json
        (line,) = (one for one in found["overview"]["sequences"] if one["name"] == "Hello")
        assert (line["state"], line["runs"]) == ("Live", {"Active": 2})
        assert found["overview"]["touches"] == {"accepted": 2}
        assert found["daemon"] is None
        assert office.sandbox.org.api_calls == calls

    def test_a_ledger_that_cannot_be_written_is_read_all_the_same(
        self, office: Office, crmdrip: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B30: on a volume that has become read-only people still see where they stand, and nothing is touched."""
        (person,) = office.ticked()
        crmdrip("once")
        before = office.ledger_file.read_bytes()
        monkeypatch.setattr("crmdrip.commands.setup.is_writable", lambda _: False)
        found = crmdrip("status", "--json").json["overview"]
        assert (found["touches"], "read-only" in found["ledger"]) == ({"accepted": 1}, True)
        assert "step 1 of 2, email: accepted" in crmdrip("why", person).out
        assert office.ledger_file.read_bytes() == before

    @pytest.mark.parametrize(("seconds", "told"), [("259200", "3 days, 0:00:00 AHEAD"), ("-7200", "2:00:00 BEHIND")])
    def test_it_says_that_the_clock_is_off(self, office: Office, crmdrip: Shell, seconds: str, told: str) -> None:
        """B29: where nothing else would, since nothing fails."""
        crmdrip("once")
        with closing(Ledger(f"sqlite:///{office.ledger_file}")) as ledger, ledger.write() as connection:
            marks.set_mark(connection, marks.CLOCK, seconds)
        assert f"CLOCK IS {told}" in crmdrip("status").out

    def test_it_says_that_the_brake_is_pulled(self, office: Office, crmdrip: Shell) -> None:
        """And that it is released in the CRM."""
        brake = office.sandbox.call(lambda: office.sandbox.org.select("SELECT Id FROM Drip_Control__c"))[0]["Id"]
        office.change(brake, Drip_Brake__c=True)
        crmdrip("once")
        assert "THE BRAKE IS PULLED" in crmdrip("status").out


class TestPause:
    """Holding sending back by command."""

    def test_one_sequence_can_be_paused_by_name(self, office: Office, crmdrip: Shell) -> None:
        """The beginning of its name is enough."""
        crmdrip("once")
        told = crmdrip("pause", "hel")
        assert (told.code, "Type crmdrip resume Hello to go on." in told.err) == (0, True)
        assert "paused by command" in crmdrip("status").out
        (person,) = office.ticked()
        crmdrip("once")
        assert (office.sent(), office.read(person, "Drip_Status__c")) == ([], ("Held",))
        (now,) = (line for line in crmdrip("why", person).out.splitlines() if line.startswith("Held in"))
        assert now.count("crmdrip resume") == 1  # by the run's own reason, and not once more
        crmdrip("resume", "Hello")
        crmdrip("once")
        assert len(office.sent()) == 1

    def test_an_unknown_sequence_is_answered_with_those_there_are(self, office: Office, crmdrip: Shell) -> None:
        """Nothing is paused by a slip of the finger, and nobody believes it is."""
        crmdrip("once")
        result = crmdrip("pause", "Helo")
        assert (result.code, "no sequence is called 'Helo'" in result.err, "Hello" in result.err) == (1, True, True)


class TestPreview:
    """How the emails look."""

    def test_it_renders_every_step(self, office: Office, crmdrip: Shell) -> None:
        """Nothing is sent, and no ledger is needed."""
        person = office.contact("ann@firm.example")
        result = crmdrip("preview", "Hello", person)
        assert result.code == 0
        assert result.out.count("Hi Ms Lee") == 2
        assert "-- step 2 of 2, email" in result.out
        assert "Subject: Hello 2" in result.out
        assert (office.sent(), office.ledger_file.exists()) == ([], False)

    def test_it_says_what_is_missing(self, office: Office, crmdrip: Shell) -> None:
        """B24: exit code 1."""
        person = office.contact("ann@firm.example", Title=None)
        result = crmdrip("preview", "Hello", person)
        assert (result.code, result.out.count("missing Title")) == (1, 2)

    def test_a_misspelled_merge_field_is_told_with_the_step_that_has_it(self, office: Office, crmdrip: Shell) -> None:
        """B24: the other steps are shown all the same."""
        person = office.contact("ann@firm.example")
        step = office.sandbox.call(lambda: office.sandbox.org.select("SELECT Id FROM Drip_Step__c"))[-1]["Id"]
        office.change(step, Drip_Body__c='<p>Hi {{ contact.frist_name | default: "there" }}</p>')
        result = crmdrip("preview", "Hello", person)
        assert "{{ frist_name }} is no field that can be seen: correct the step" in result.out
        assert (result.code, "Hi there" in result.out) == (1, True)

    def test_its_unsubscribe_links_are_nobodys(self, office: Office, crmdrip: Shell) -> None:
        """Whoever looks at a preview and clicks unsubscribes no one."""
        one, other = office.contact("ann@firm.example"), office.contact("bob@firm.example")
        links = {
            next(line for line in crmdrip("preview", "Hello", person).out.splitlines() if "Unsubscribe: " in line)
            for person in (one, other)
        }
        assert len(links) == 1

    def test_the_web_page_runs_nothing(self, office: Office, crmdrip: Shell) -> None:
        """B27: each email stands in a sandboxed frame, its markup escaped."""
        person = office.contact("ann@firm.example", LastName="<script>alert(1)</script>")
        page = office.folder / "preview.html"
        assert crmdrip("preview", "Hello", person, "--html", str(page)).code == 0
        text = page.read_text(encoding="utf-8")
        assert text.count("<iframe sandbox") == 2
        assert "<script" not in text


class TestDoctor:
    """Before sending."""

    def test_a_good_office_passes(self, office: Office, crmdrip: Shell) -> None:
        """Its stable codes are there, and nothing was made."""
        result = crmdrip("doctor", "--json")
        codes = {one["code"]: one["level"] for one in result.json["checks"]}
        assert (result.code, result.json["ok"]) == (0, True)
        assert {"PKG-CONNECTORS", "CFG-LOADED", "LEDGER-WRITABLE", "SF-LOGIN", "TEMPLATES", "SG-KEY"} <= codes.keys()
        assert codes["UNSUB-URL"] == "warn"
        assert office.ledger_file.exists() is False

    def test_a_wrong_configuration_fails_with_every_problem(self, office: Office, crmdrip: Shell) -> None:
        """Each as a finding of its own."""
        office.config.write_text('[sender]\ncompany = ""\nnonsense = 1\n', encoding="utf-8")
        result = crmdrip("doctor", "--json")
        found = [one for one in result.json["checks"] if one["code"] == "CFG-INVALID"]
        assert result.code == 1
        assert len(found) > 3
        assert all(one["do_next"] for one in found)

    def test_no_configuration_at_all_says_how_to_begin(self, office: Office, crmdrip: Shell) -> None:
        """The first thing a newcomer types."""
        office.config.unlink()
        (found,) = (one for one in crmdrip("doctor", "--json").json["checks"] if one["level"] == "fail")
        assert (found["code"], "crmdrip init" in found["do_next"]) == ("CFG-INVALID", True)

    def test_a_sandbox_that_is_not_started_is_named_as_such(self, office: Office, crmdrip: Shell) -> None:
        """Nobody goes looking for acme.my.salesforce.com."""
        text = office.config.read_text(encoding="utf-8").replace(office.sandbox.salesforce_url, "http://127.0.0.1:9")
        office.config.write_text(text, encoding="utf-8")
        result = crmdrip("once")
        assert result.code == 1
        assert "http://127.0.0.1:9: the sandbox does not answer" in result.err
        assert "Type crmdrip sandbox" in result.err

    def test_refused_credentials_fail(self, office: Office, crmdrip: Shell) -> None:
        """With what to do."""
        text = office.config.read_text(encoding="utf-8").replace("sandbox-consumer-secret", "sandbox-wrong")
        office.config.write_text(text, encoding="utf-8")
        result = crmdrip("doctor", "--json")
        (login,) = (one for one in result.json["checks"] if one["code"] == "SF-LOGIN")
        assert (result.code, login["level"], bool(login["do_next"])) == (1, "fail", True)

    def test_a_broken_sequence_is_found(self, office: Office, crmdrip: Shell) -> None:
        """B17: before anybody is enrolled in it."""
        office.change(office.sequence_id, Drip_Time_Zone__c="Berlin")
        checks = crmdrip("doctor", "--json").json["checks"]
        assert any(one["code"] == "TEMPLATES" and "Time Zone" in one["what"] for one in checks)

    def test_a_misspelled_merge_field_is_found_before_anybody_waits_for_it(
        self, office: Office, crmdrip: Shell
    ) -> None:
        """B24: with the sequence that asks for it."""
        step = office.sandbox.call(lambda: office.sandbox.org.select("SELECT Id FROM Drip_Step__c"))[-1]["Id"]
        office.change(step, Drip_Body__c="<p>Hi {{ contact.frist_name }}</p>")
        checks = crmdrip("doctor", "--json").json["checks"]
        assert any("'Hello' asks for {{ frist_name }}" in one["what"] for one in checks)

    def test_a_condition_on_a_field_that_is_not_there_is_told_on_the_sequence(
        self, office: Office, crmdrip: Shell
    ) -> None:
        """B17: its last good version stays in force."""
        crmdrip("once")
        office.change(office.sequence_id, Drip_Stop_When__c="Statuss = Lost")
        crmdrip("once")
        soql = "SELECT Drip_Error__c FROM Drip_Sequence__c WHERE Name = 'Hello'"
        (row,) = office.sandbox.call(lambda: office.sandbox.org.select(soql))
        assert "names the field Statuss" in row["Drip_Error__c"]

    def test_a_pause_is_no_failure_and_is_not_forgotten(self, office: Office, crmdrip: Shell) -> None:
        """Whoever wonders why nothing goes out types doctor."""
        crmdrip("once")
        assert crmdrip("doctor").out.endswith("Ready to send.\n")
        crmdrip("pause")
        result = crmdrip("doctor")
        assert (result.code, "Type crmdrip resume." in result.out) == (0, True)
        assert result.out.endswith("nothing goes out while it is paused.\n")

    def test_a_damaged_ledger_fails(self, office: Office, crmdrip: Shell) -> None:
        """B30: it says to move it away, since it can be rebuilt."""
        office.ledger_file.write_bytes(b"no database at all" * 100)
        result = crmdrip("doctor", "--json")
        (file,) = (one for one in result.json["checks"] if one["code"] == "LEDGER-FILE")
        assert (result.code, file["level"], "Move it away" in file["do_next"]) == (1, "fail", True)

    def test_a_ledger_of_another_org_fails(self, office: Office, crmdrip: Shell) -> None:
        """B25: a sandbox copy of production."""
        crmdrip("once")
        with sqlite3.connect(office.ledger_file) as connection:
            connection.execute("UPDATE meta SET value = '00DOTHER' WHERE name = 'org_id'")
        connection.close()
        result = crmdrip("doctor", "--json")
        (org,) = (one for one in result.json["checks"] if one["code"] == "LEDGER-ORG")
        assert (result.code, org["level"]) == (1, "fail")

    def test_another_org_than_the_configured_one_gets_nothing(self, office: Office, crmdrip: Shell) -> None:
        """B25: the doctor says so, and neither a pass nor a plan touches it."""
        office.ticked()
        text = office.config.read_text(encoding="utf-8")
        text = text.replace('domain = "acme.my"', 'domain = "acme.my"\norg_id = "00DDr0000000009"')
        office.config.write_text(text, encoding="utf-8")
        levels = {one["code"]: one["level"] for one in crmdrip("doctor", "--json").json["checks"]}
        assert levels["SF-ORG"] == "fail"
        for command in ("once", "run", "plan"):
            result = crmdrip(command)
            assert (result.code, "only 00DDr0000000009 may be mailed from" in result.err) == (2, True)
        assert office.sent() == []


class TestRetry:
    """What waits for a person."""

    @pytest.fixture
    def person(self, office: Office, crmdrip: Shell) -> str:
        """A contact whose status a rule of the org refuses."""
        office.sandbox.call(
            lambda: office.sandbox.org.add_validation_rule(
                "Contact", lambda row: row.get("Drip_Status__c") == "Active", "Not on a Tuesday."
            )
        )
        (person,) = office.ticked()
        crmdrip("once")
        return person

    def test_a_refused_write_back_is_listed_with_the_orgs_own_words(self, person: str, crmdrip: Shell) -> None:
        """B21: the email went out, and what the CRM has not got is shown."""
        (parked,) = crmdrip("retry", "--json").json["parked"]
        assert (parked["key"], "Not on a Tuesday." in parked["detail"]) == (f"status:{person}", True)
        assert "parked" in crmdrip("why", person).out

    @pytest.mark.parametrize("arguments", [["--write-backs"], ["p0@firm0.example"]])
    def test_it_is_written_once_the_rule_is_mended(
        self, office: Office, person: str, crmdrip: Shell, arguments: list[str]
    ) -> None:
        """B21: for everybody, or for one person."""
        office.sandbox.call(office.sandbox.org.records.validation_rules.clear)
        result = crmdrip("retry", *arguments)
        assert "Write-backs that are tried again: 1." in result.err
        crmdrip("once")
        assert office.read(person, "Drip_Status__c") == ("Active",)
        assert crmdrip("retry").out == "Nothing waits for a person.\n"

    def test_a_verdict_needs_a_person(self, crmdrip: Shell) -> None:
        """Nothing is settled for everybody at once."""
        assert crmdrip("retry", "--went-out").code == 2

    def test_a_verdict_on_nothing_is_refused(self, office: Office, crmdrip: Shell) -> None:
        """P1: whoever is not in doubt is not sent anything again."""
        (person,) = office.ticked()
        crmdrip("once")
        result = crmdrip("retry", person, "--did-not-go-out")
        assert (result.code, "needs a person" in result.err) == (1, True)
        crmdrip("once")
        assert len(office.sent()) == 1

    def test_nothing_waits_when_all_is_well(self, office: Office, crmdrip: Shell) -> None:
        """Said in words."""
        crmdrip("once")
        assert crmdrip("retry").out == "Nothing waits for a person.\n"
