"""The daemon as a process: killed, ended in order, started twice. What it promises holds across all of that."""

from __future__ import annotations

import signal
import subprocess
from datetime import timedelta

import pytest
from office import PATIENCE, Office, Shell, now, until

from crmdrip.sandbox.sendgrid import AcceptedEmail

pytestmark = pytest.mark.slow

PEOPLE = 30


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal and wait for the end; exit code and standard error."""
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def kill_while_sending(office: Office) -> list[AcceptedEmail]:
    """Start the daemon before a slow provider and kill it in the midst; what had been accepted by then."""
    office.configure(deadline=0.0002)
    office.ticked(PEOPLE)
    office.slow_mail(0.3)
    with office.daemon() as process:
        until(lambda: len(office.sent()) >= 8, process)
        process.kill()
        process.communicate()
    office.slow_mail(0.0)
    return office.sent()


def settle(office: Office, process: subprocess.Popen[str]) -> None:
    """Wait until nothing is in doubt any more."""
    until(lambda: not office.touches().keys() & {"intended", "in_doubt"}, process)


class TestKilled:
    """SIGKILL between the provider's accept and saving it."""

    def test_some_emails_are_in_doubt_when_it_dies(self, office: Office) -> None:
        """The stage for B1: accepted by the provider, and not known to be."""
        sent = kill_while_sending(office)
        touches = office.touches()
        assert touches["intended"] > 0
        assert touches.get("accepted", 0) < len(sent) < PEOPLE

    def test_nothing_is_sent_twice_and_the_log_settles_the_doubt(self, office: Office) -> None:
        """P1, B1: what the log has is accepted, what it has not is a person's to decide; nothing is sent again."""
        sent = kill_while_sending(office)
        with office.daemon() as process:
            settle(office, process)
            code, _ = end(process, signal.SIGTERM)
        assert code == 0
        assert office.touches() == {"accepted": len(sent), "needs_person": PEOPLE - len(sent)}
        assert len(office.sent()) == len(sent)
        assert office.twice() == {}

    def test_a_person_settles_what_nobody_could_tell(self, office: Office, crmdrip: Shell) -> None:
        """B1: told that it did not go out, the daemon sends it; told that it did, it goes on."""
        sent = kill_while_sending(office)
        with office.daemon() as process:
            settle(office, process)
            first, second, *_ = (one["record_id"] for one in crmdrip("retry", "--json").json["needs_person"])
            assert crmdrip("retry", first, "--did-not-go-out").code == 0
            assert crmdrip("retry", second, "--went-out").code == 0
            until(lambda: len(office.sent()) == len(sent) + 1, process)
            until(lambda: office.touches()["accepted"] == len(sent) + 2, process)
        assert office.twice() == {}
        assert "step 1 of 2, email: accepted" in crmdrip("why", second).out


class TestEnded:
    """SIGTERM."""

    def test_what_is_under_way_is_finished(self, office: Office) -> None:
        """No email is in doubt after an end that was asked for."""
        office.ticked(PEOPLE)
        office.slow_mail(0.2)
        with office.daemon() as process:
            until(lambda: len(office.sent()) >= 4, process)
            code, _ = end(process, signal.SIGTERM)
        assert code == 0
        assert office.touches() == {"accepted": len(office.sent())}

    def test_a_deadline_ends_what_does_not_finish(self, office: Office) -> None:
        """A provider that answers after a minute does not keep a deploy waiting; exit code 1 says so."""
        office.configure(drain=0.5)
        office.ticked(PEOPLE)
        office.slow_mail(60.0)
        with office.daemon() as process:
            until(lambda: len(office.sent()) >= 1, process)
            code, _ = end(process, signal.SIGTERM)
        assert code == 1
        assert office.touches() == {"intended": PEOPLE}


class TestTwice:
    """Two daemons."""

    def test_a_second_daemon_is_refused_in_plain_words(self, office: Office) -> None:
        """B3: it ends at once, names the first, and leaves it alone."""
        with office.daemon() as process:
            lock = office.folder / "crmdrip.sqlite3.lock"
            until(lambda: lock.exists() and lock.stat().st_size, process)
            second = office.start("run")
            _, err = second.communicate(timeout=PATIENCE)
            assert second.returncode == 2
            assert f"another daemon works on this ledger (process {process.pid} on " in err
            assert "Traceback" not in err
            assert process.poll() is None

    def test_a_second_ledger_is_refused_while_the_first_ones_daemon_is_about(
        self, office: Office, crmdrip: Shell
    ) -> None:
        """P1: two daemons with a ledger each would mail everybody twice."""
        office.ticked(2)
        crmdrip("once")
        office.use_ledger("other.sqlite3")
        for command in ("once", "run"):
            result = crmdrip(command)
            assert (result.code, "a daemon with another ledger worked on this org" in result.err) == (2, True)
        assert len(office.sent()) == 2

    def test_a_second_ledger_takes_over_when_it_is_told_to(self, office: Office, crmdrip: Shell) -> None:
        """B4: the first one's was lost; what had gone out is known from the CRM."""
        office.ticked(2)
        crmdrip("once")
        office.use_ledger("other.sqlite3")
        assert crmdrip("once", "--take-over").code == 0
        assert crmdrip("once").code == 0
        assert (len(office.sent()), office.twice()) == (2, {})

    def test_a_second_ledger_takes_over_by_itself_after_a_silence(self, office: Office, crmdrip: Shell) -> None:
        """B4: a container whose volume was lost comes back without anybody's help."""
        crmdrip("once")
        (control,) = office.sandbox.call(lambda: office.sandbox.org.select("SELECT Id FROM Drip_Control__c"))
        office.change(control["Id"], Drip_Heartbeat__c=now() - timedelta(minutes=7))
        office.use_ledger("other.sqlite3")
        assert crmdrip("once").code == 0

    def test_health_follows_the_daemon(self, office: Office, crmdrip: Shell) -> None:
        """Docker's HEALTHCHECK: 0 while it works, 1 when it does not."""
        with office.daemon() as process:
            until(lambda: crmdrip("status", "--healthy").code == 0, process)
            end(process, signal.SIGTERM)
        assert crmdrip("status", "--healthy").code == 1

    def test_a_pause_holds_the_running_daemon(self, office: Office, crmdrip: Shell) -> None:
        """Typed beside it, obeyed before the next email; resumed, the email goes out."""
        with office.daemon() as process:
            until(lambda: crmdrip("status", "--healthy").code == 0, process)
            assert crmdrip("pause").code == 0
            (person,) = office.ticked()
            until(lambda: office.read(person, "Drip_Status__c") == ("Held",), process)
            assert office.sent() == []
            assert crmdrip("resume").code == 0
            until(office.sent, process)
