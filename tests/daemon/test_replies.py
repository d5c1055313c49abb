"""What people and machines answer, the whole way: from the mail to the record, the timeline and the rep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from letters import DOMAIN, answer, came_in, header, letter

from crmdrip.config import RepliesSettings
from crmdrip.core.model import RunStatus
from crmdrip.daemon import passes
from crmdrip.ledger import forwards, mails
from crmdrip.sandbox.faults import Fault, FaultKind

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def stage(stage):
    """Answers come to a domain of ours."""
    stage.settings = stage.settings.model_copy(update={"replies": RepliesSettings(domain=DOMAIN)})
    stage.start()
    return stage


def mailed(stage, *, email: str = "ann.lee@acme.example", account: str | None = None, **sequence):
    """Somebody who got the first email of a sequence; the record's id and the email."""
    record = stage.contact(email, **({"AccountId": account} if account else {}))
    stage.tick(record, stage.sequence(**sequence))
    stage.turn()
    [sent] = stage.sent(email)
    return record, sent


def account(stage) -> str:
    """An account of the org."""
    return stage.do(stage.sandbox.org.insert, "Account", {"Name": "Acme"})


def rep_address(stage) -> str:
    """The rep's own mailbox."""
    return stage.record(stage.rep)["Email"]


class TestReplyAddress:
    """Where answers go."""

    def test_each_email_has_an_address_of_its_own(self, stage):
        """B6: the Reply-To names the touch, signed, in a local part of at most 64 characters."""
        _, email = mailed(stage)
        local, _, domain = email.message["reply_to"]["email"].partition("@")
        assert domain == DOMAIN
        assert local.startswith("reply+")
        assert len(local) <= 64
        assert stage.parts.replies.tokens.read(local.partition("+")[2]) == email.touch


class TestReply:
    """A person answers (B5)."""

    def test_it_stops_the_run_at_once(self, stage):
        """B5: the record says so, with the time, and the box is off."""
        record, email = mailed(stage)
        came_in(stage, answer(email, "Yes, let us talk."))
        assert stage.run(record).status is RunStatus.STOPPED
        stage.turn()
        assert stage.shown(record) == ("Stopped", "The person replied on 2 Nov 2026. No further email goes out.")
        row = stage.record(record)
        assert (row["Drip_Enrolled__c"], bool(row["Drip_Replied_At__c"])) == (False, True)
        stage.later(days=10)
        stage.turn()
        assert len(stage.sent("ann.lee@acme.example")) == 1

    def test_it_is_on_the_timeline_once(self, stage):
        """B5: the newest part alone, linked to the person, beside the touches, however often it comes."""
        record, email = mailed(stage)
        mail = answer(email, "Yes, let us talk.\n\nOn Mon, 2 Nov 2026 at 09:00, Rita wrote:\n> Hi Lee, shall we talk?")
        for source in ("sendgrid:inbound", "imap:sales", "sendgrid:inbound"):
            came_in(stage, mail, source)
        stage.turn()
        [entry] = [task for task in stage.tasks(record) if task["Subject"].startswith("Replied: ")]
        assert (entry["Subject"], entry["IsClosed"]) == ("Replied: Re: Hello", True)
        assert "Yes, let us talk." in entry["Description"]
        assert "shall we talk" not in entry["Description"]

    def test_it_stops_every_record_of_the_person(self, stage):
        """B13: an answer to what the lead got stops the run of the contact with the same address."""
        lead = stage.lead("ann.lee@acme.example")
        stage.tick(lead, stage.sequence({"Drip_Delay__c": 0}))
        stage.turn()
        [email] = stage.sent("ann.lee@acme.example")
        contact = stage.contact("ann.lee@acme.example")
        stage.tick(contact, stage.sequence())
        stage.turn()
        assert stage.run(contact).status.live
        came_in(stage, answer(email, "Yes."))
        assert stage.run(contact).reason == "stop.replied"

    def test_it_is_known_by_the_reply_address_alone(self, stage):
        """B6: a mail program that keeps no thread, writing from another address in upper case."""
        record, email = mailed(stage)
        came_in(stage, letter("al@home.example", "Yes.", to=email.message["reply_to"]["email"].upper()))
        assert stage.run(record).reason == "stop.replied"

    def test_it_is_known_by_the_thread_alone(self, stage):
        """B6: to the rep's own address, from another one."""
        record, email = mailed(stage)
        own = header(email, "Message-ID")
        came_in(stage, letter("al@home.example", "Yes.", In_Reply_To=own), "imap:sales")
        assert stage.run(record).reason == "stop.replied"

    def test_it_is_known_by_the_address_alone(self, stage):
        """B6: a mail of its own."""
        record, _ = mailed(stage)
        came_in(stage, letter("Ann.Lee@acme.example", "About your email: yes.", subject="Your email"), "imap:sales")
        assert stage.run(record).reason == "stop.replied"

    @pytest.mark.parametrize(
        "sender", ["ann.lee+x@acme.example", '"Ann Lee" <alee@acme.example>', "ann.lee@mail.acme.example"]
    )
    def test_an_alias_is_the_same_person(self, stage, sender):
        """B6: alias of the same person = stop."""
        record, _ = mailed(stage)
        came_in(stage, letter(sender, "Yes, let us talk."), "imap:sales")
        assert stage.run(record).reason == "stop.replied"

    def test_dots_at_gmail_are_nothing(self, stage):
        """B6: and googlemail.com is gmail.com."""
        record, _ = mailed(stage, email="ann.lee@gmail.com")
        came_in(stage, letter("an.nlee@googlemail.com", "Yes, let us talk."), "imap:sales")
        assert stage.run(record).reason == "stop.replied"

    def test_free_mail_is_no_company(self, stage):
        """B6: free-mail domains never match by domain."""
        record, _ = mailed(stage, email="ann@gmail.com")
        came_in(stage, letter("bob@gmail.com", "Yes, let us talk."), "imap:sales")
        assert stage.run(record).status.live

    def test_after_the_last_step_it_is_shown_all_the_same(self, stage):
        """P3: a finished run cannot stop; the record says that they replied, and the sequence counts it once."""
        sequence = stage.sequence({"Drip_Delay__c": 0})
        record = stage.contact("ann.lee@acme.example")
        stage.tick(record, sequence)
        stage.turn()
        [email] = stage.sent("ann.lee@acme.example")
        for text in ("Yes.", "And one more thing."):
            came_in(stage, answer(email, text))
        stage.turn()
        status, reason = stage.shown(record)
        assert (status, reason.endswith("The person replied on 2 Nov 2026.")) == ("Finished", True)
        stage.turn()
        assert stage.record(sequence)["Drip_Replied_Count__c"] == 1

    def test_what_they_write_much_later_is_no_business_of_ours(self, stage):
        """A listened mailbox holds a rep's whole correspondence: a month after the last email it is theirs."""
        record = stage.contact("ann.lee@acme.example")
        stage.tick(record, stage.sequence({"Drip_Delay__c": 0}))
        stage.turn()
        stage.later(days=31)
        came_in(stage, letter("ann.lee@acme.example", "About the invoice.", subject="Invoice"), "imap:sales")
        stage.turn()
        assert [task for task in stage.tasks(record) if task["Subject"].startswith("Replied")] == []
        assert stage.shown(record)[0] == "Finished"

    def test_what_was_answered_before_the_look_stops_the_email(self, stage):
        """B5: minutes before a due send."""
        record, email = mailed(stage)
        stage.later(days=2)
        came_in(stage, answer(email, "Yes."))
        passes.dispatch(stage.parts)
        assert len(stage.sent("ann.lee@acme.example")) == 1
        assert stage.run(record).reason == "stop.replied"


class TestColleagues:
    """B6: the sequence's On Colleague Reply."""

    def with_colleague(self, stage, policy: str):
        """Ann and Bob of one account got an email, and Ann answers; Bob's record."""
        acme = account(stage)
        bob, _ = mailed(stage, email="bob@acme.example", account=acme, Drip_On_Colleague_Reply__c=policy)
        _, email = mailed(stage, account=acme)
        came_in(stage, answer(email, "Yes, let us talk."))
        stage.turn()
        return bob

    def test_pause_asks_the_rep(self, stage):
        """B6: pause others and task the rep; nothing goes out until the task is done, then it goes on by itself."""
        bob = self.with_colleague(stage, "Pause")
        status, reason = stage.shown(bob)
        assert status == "Paused"
        assert reason.startswith("Paused: a colleague replied (ann.lee@acme.example) on 2 Nov 2026. Complete the task")
        [task] = [one for one in stage.tasks(bob) if not one["IsClosed"]]
        assert stage.record(task["Id"])["OwnerId"] == stage.rep
        stage.play(stage.now.replace(day=6))
        assert len(stage.sent("bob@acme.example")) == 1
        stage.change(task["Id"], Status="Completed")
        stage.turn()
        stage.turn()
        assert len(stage.sent("bob@acme.example")) == 2

    def test_stop_stops(self, stage):
        """B6: stop others."""
        bob = self.with_colleague(stage, "Stop")
        assert stage.shown(bob)[1].startswith("A colleague replied (ann.lee@acme.example) on 2 Nov 2026.")

    def test_ignore_goes_on(self, stage):
        """B6: ignore."""
        bob = self.with_colleague(stage, "Ignore")
        assert stage.shown(bob)[0] == "Active"

    def test_somebody_nobody_knows_answers_for_the_company(self, stage):
        """B6: then domain, for a lead that has no account."""
        lead = stage.lead("bob@acme.example")
        stage.tick(lead, stage.sequence(Drip_On_Colleague_Reply__c="Stop"))
        stage.turn()
        came_in(stage, letter("carl@acme.example", "Bob gave me your email. Yes, let us talk."), "imap:sales")
        assert stage.run(lead).reason == "stop.colleague_replied"

    def test_another_account_of_the_same_domain_is_another_company(self, stage):
        """B6: two branches do not answer for one another."""
        bob, _ = mailed(stage, email="bob@acme.example", account=account(stage), Drip_On_Colleague_Reply__c="Stop")
        _, email = mailed(stage, account=account(stage))
        came_in(stage, answer(email, "Yes."))
        assert stage.run(bob).status.live


class TestMachines:
    """B7, B8: what only looks like an answer."""

    def test_out_of_office_pauses_and_goes_on_by_itself(self, stage):
        """B8: to the return date and a business day; on the record, never as a reply."""
        record, email = mailed(stage)
        text = "I am out of the office and will be back on 10 November 2026."
        came_in(stage, answer(email, text, Auto_Submitted="auto-replied"))
        stage.turn()
        assert stage.shown(record) == (
            "Paused",
            "Paused: the person is out of office until 10 Nov 2026; it goes on by itself on 11 Nov 2026.",
        )
        row = stage.record(record)
        assert row["Drip_Out_Of_Office_Until__c"].startswith("2026-11-10")
        assert not row["Drip_Replied_At__c"]
        stage.play(datetime(2026, 11, 11, tzinfo=UTC))
        assert len(stage.sent("ann.lee@acme.example")) == 1
        stage.play(datetime(2026, 11, 11, 12, tzinfo=UTC))
        assert len(stage.sent("ann.lee@acme.example")) == 2
        assert stage.shown(record)[0] == "Active"

    def test_an_automatic_answer_changes_nothing(self, stage):
        """B8: a ticket number is no reply."""
        record, email = mailed(stage)
        came_in(stage, answer(email, "Your ticket 4711 was opened.", Auto_Submitted="auto-generated"))
        stage.turn()
        assert stage.shown(record)[0] == "Active"
        assert [task for task in stage.tasks(record) if task["Subject"].startswith("Replied")] == []

    def test_who_has_left_is_a_stop_and_a_task(self, stage):
        """B8: "I no longer work here", with the successor's address."""
        record, email = mailed(stage)
        text = "Ann Lee no longer works for Acme. Please contact eve@acme.example instead."
        came_in(stage, answer(email, text, Auto_Submitted="auto-replied"))
        stage.turn()
        assert stage.shown(record) == (
            "Stopped",
            "The address no longer belongs to the person, who names eve@acme.example. No further email goes out to it.",
        )
        [task] = [one for one in stage.tasks(record) if not one["IsClosed"]]
        assert "eve@acme.example" in task["Description"]
        assert stage.record(task["Id"])["OwnerId"] == stage.rep

    def test_our_own_copy_is_no_reply(self, stage):
        """B7: from the sent folder, under the Message-ID we gave it."""
        record, email = mailed(stage)
        copy = letter(
            email.sender, "Hi Lee, shall we talk?", to=email.to, **{"Message-ID": header(email, "Message-ID")}
        )
        came_in(stage, copy, "imap:sales")
        assert stage.run(record).status.live

    def test_the_rep_writing_on_is_no_reply(self, stage):
        """B7: by hand, in the thread."""
        record, email = mailed(stage)
        came_in(stage, answer(email, "Ann, one more thing.", sender=email.sender), "imap:sales")
        assert stage.run(record).status.live

    def test_a_bounce_by_mail_takes_the_bounce_path(self, stage):
        """B7: the address is suppressed, the run stops, the CRM is told: with the server's words, each code once."""
        record, email = mailed(stage)
        came_in(stage, bounce(email, "5.1.1", "550 5.1.1 no such user"))
        stage.turn()
        assert "The address does not accept mail (550 5.1.1 no such user)" in stage.shown(record)[1]
        assert stage.record(record)["EmailBouncedReason"] == "550 5.1.1 no such user"

    def test_a_full_mailbox_is_only_noted(self, stage):
        """B7: soft."""
        record, email = mailed(stage)
        came_in(stage, bounce(email, "4.2.2", "452 4.2.2 mailbox full"))
        assert stage.run(record).status.live

    def test_a_bounce_nobody_can_prove_is_not_believed(self, stage):
        """B28: anybody can write a report about anybody; one without our id is believed for days after an email."""
        record, _ = mailed(stage, Drip_Status__c="Live")
        late = stage.now + timedelta(days=9)
        stage.change(record, Drip_Paused_Until__c=(late + timedelta(days=9)).isoformat())
        stage.play(late, timedelta(days=3))
        came_in(stage, report("ann.lee@acme.example", "5.1.1", "550 no such user", "<x@elsewhere.example>"))
        assert stage.run(record).status.live

    def test_a_bounce_without_our_id_is_believed_for_days(self, stage):
        """B7: many servers leave it out."""
        record, _ = mailed(stage)
        stage.later(days=1)
        came_in(stage, report("ann.lee@acme.example", "5.1.1", "550 no such user", "<x@elsewhere.example>"))
        assert stage.run(record).reason == "stop.bounced"

    def test_a_read_receipt_is_no_reply(self, stage):
        """B7: a receipt says that a mail program showed it."""
        record, email = mailed(stage)
        came_in(stage, receipt(email))
        assert stage.run(record).status.live


def report(address: str, status: str, diagnostic: str, message_id: str, kind: str = "failed") -> bytes:
    """A delivery report (RFC 3464)."""
    return f"""\
From: Mail Delivery System <mailer-daemon@mx.acme.example>
To: bounces@acme.example
Subject: Undelivered Mail Returned to Sender
Message-ID: <dsn-{status}@mx.acme.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.acme.example

Final-Recipient: rfc822; {address}
Action: {kind}
Status: {status}
Diagnostic-Code: smtp; {diagnostic}

--b
Content-Type: text/rfc822-headers

Message-ID: {message_id}
To: {address}
Subject: Hello

--b--
""".replace("\n", "\r\n").encode()


def bounce(email, status: str, diagnostic: str) -> bytes:
    """A report about an email that went out."""
    return report(email.to, status, diagnostic, header(email, "Message-ID"))


def receipt(email) -> bytes:
    """A read receipt (RFC 8098)."""
    return f"""\
From: {email.to}
To: {email.sender}
Subject: Read: Hello
Message-ID: <mdn@acme.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=disposition-notification; boundary="b"

--b
Content-Type: text/plain

Your message was read.
--b
Content-Type: message/disposition-notification

Final-Recipient: rfc822; {email.to}
Original-Message-ID: {header(email, "Message-ID")}
Disposition: manual-action/MDN-sent-manually; displayed

--b--
""".replace("\n", "\r\n").encode()


def invitation_answered(email, how: str) -> bytes:
    """An answer to an invitation (RFC 5546)."""
    return f"""\
From: {email.to}
To: {email.reply_to}
Subject: {how}: Demo
Message-ID: <ics-{how}@acme.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/plain

{how}
--b
Content-Type: text/calendar; method=REPLY; charset=utf-8

BEGIN:VCALENDAR
METHOD:REPLY
BEGIN:VEVENT
UID:demo-1
SUMMARY:Demo
DTSTART:20261110T090000Z
ORGANIZER:mailto:{email.sender}
ATTENDEE;PARTSTAT={how.upper()}:mailto:{email.to}
END:VEVENT
END:VCALENDAR

--b--
""".replace("\n", "\r\n").encode()


class TestCalendars:
    """An invitation is answered by mail."""

    @pytest.mark.parametrize("how", ["Accepted", "Tentative"])
    def test_who_accepts_has_a_meeting(self, stage, how):
        """P2: the run stops, as for one that is in the CRM."""
        record, email = mailed(stage)
        came_in(stage, invitation_answered(email, how))
        assert stage.run(record).reason == "stop.meeting"

    def test_who_declines_has_none(self, stage):
        """It is noted."""
        record, email = mailed(stage)
        came_in(stage, invitation_answered(email, "Declined"))
        assert stage.run(record).status.live


class TestUnsubscribing:
    """B22: in words, and by the mail address in List-Unsubscribe."""

    def test_please_remove_me_is_one_suppression(self, stage):
        """B22: on all twins, written back as the opt-out, and the answer is on the timeline."""
        record, email = mailed(stage)
        twin = stage.lead("ann.lee@acme.example")
        came_in(stage, answer(email, "Please remove me from your list. I do not want any more emails."))
        stage.turn()
        assert stage.shown(record)[1].startswith("The person unsubscribed on 2 Nov 2026.")
        assert [stage.record(one)["HasOptedOutOfEmail"] for one in (record, twin)] == [True, True]
        assert any(task["Subject"].startswith("Replied: ") for task in stage.tasks(record))

    def test_a_mail_to_the_unsubscribe_address(self, stage):
        """B22: an empty mail to the signed address unsubscribes its owner, whoever sends it."""
        record, _ = mailed(stage)
        person = stage.run(record).person
        tag = stage.parts.replies.tags.sign(person, stage.parts.org_id)
        came_in(stage, letter("al@home.example", "", subject="unsubscribe", to=f"unsubscribe+{tag}@{DOMAIN}"))
        stage.turn()
        assert stage.shown(record)[1].startswith("The person unsubscribed on 2 Nov 2026.")
        assert stage.record(record)["HasOptedOutOfEmail"]

    def test_a_forged_unsubscribe_address_does_nothing(self, stage):
        """B28: a tag for somebody else."""
        record, _ = mailed(stage)
        came_in(stage, letter("al@home.example", "", subject="x", to=f"unsubscribe+{'a' * 48}@{DOMAIN}"))
        assert stage.run(record).status.live

    def test_a_stranger_who_asks_is_left_alone_too(self, stage):
        """B22: whoever is entered later has asked before."""
        came_in(stage, letter("dan@other.example", "Please remove me from your list."))
        record = stage.contact("dan@other.example")
        stage.tick(record, stage.sequence())
        stage.turn()
        assert stage.shown(record)[0] == "Refused"


class TestForwarding:
    """An answer that came to us goes on to the rep."""

    def forwarded(self, stage):
        """What went to the rep."""
        passes.forward(stage.parts)
        return stage.sent(rep_address(stage))

    def test_the_rep_gets_it_and_answers_the_person(self, stage):
        """The subject kept, the person as Reply-To, the thread theirs, marked as a machine's."""
        _, email = mailed(stage)
        came_in(stage, answer(email, "Yes, let us talk.\n", sender='"Ann Lee" <ann.lee@acme.example>'))
        [sent] = self.forwarded(stage)
        assert (sent.subject, sent.sender, sent.sender_name) == ("Re: Hello", rep_address(stage), "Ann Lee")
        assert sent.message["reply_to"]["email"] == "ann.lee@acme.example"
        assert (header(sent, "X-Loop"), header(sent, "Auto-Submitted")) == (DOMAIN, "auto-generated")
        text = sent.message["content"][0]["value"]
        assert text.startswith("Yes, let us talk.\n")
        assert "Ann Lee answered step 1 of 3 of Sequence 1. Your answer goes to ann.lee@acme.example." in text

    def test_it_goes_once(self, stage):
        """P1: the same mail twice, and two passes."""
        _, email = mailed(stage)
        mail = answer(email, "Yes.")
        for _ in range(2):
            came_in(stage, mail)
            passes.forward(stage.parts)
        assert len(self.forwarded(stage)) == 1

    def test_one_in_doubt_is_never_repeated(self, stage):
        """B1: the connection broke after the request; the timeline has the answer."""
        record, email = mailed(stage)
        came_in(stage, answer(email, "Yes."))
        stage.fail_mail(Fault(kind=FaultKind.CUT_AFTER))
        passes.forward(stage.parts)
        stage.mend()
        assert len(self.forwarded(stage)) == 1
        with stage.parts.ledger.read() as connection:
            assert forwards.count_by_state(connection) == {"in_doubt": 1}
        stage.turn()
        assert any(task["Subject"].startswith("Replied") for task in stage.tasks(record))

    def test_one_that_a_crash_left_is_in_doubt(self, stage):
        """B1: between the intent and the answer the process ended."""
        _, email = mailed(stage)
        came_in(stage, answer(email, "Yes."))
        with stage.parts.ledger.write() as connection:
            assert len(forwards.claim(connection, stage.now, 10)) == 1
        stage.restart()
        assert self.forwarded(stage) == []
        with stage.parts.ledger.read() as connection:
            assert forwards.count_by_state(connection) == {"in_doubt": 1}

    def test_what_an_older_copy_of_the_ledger_still_meant_to_send_on_is_in_doubt(self, stage):
        """B1, P6: it went out after the copy was made; the timeline has the answer."""
        record, email = mailed(stage)
        came_in(stage, answer(email, "Yes."))
        copy = stage.copy_ledger()
        passes.prepare(stage.parts)
        assert len(self.forwarded(stage)) == 1
        stage.later(hours=1)
        stage.turn()
        stage.restore_ledger(copy)
        passes.prepare(stage.parts)
        stage.turn()
        assert len(self.forwarded(stage)) == 1
        with stage.parts.ledger.read() as connection:
            assert forwards.count_by_state(connection) == {"in_doubt": 1}
        assert any(task["Subject"].startswith("Replied") for task in stage.tasks(record))

    def test_a_refused_one_is_tried_again(self, stage):
        """B2: the provider was busy."""
        _, email = mailed(stage)
        came_in(stage, answer(email, "Yes."))
        busy = '{"errors":[{"message":"too many requests"}]}'
        stage.fail_mail(Fault(kind=FaultKind.ANSWER, status=429, body=busy))
        assert self.forwarded(stage) == []
        stage.mend()
        stage.later(hours=1)
        assert len(self.forwarded(stage)) == 1

    def test_what_came_to_the_reps_own_mailbox_stays_there(self, stage):
        """They have it already."""
        _, email = mailed(stage)
        own = header(email, "Message-ID")
        came_in(stage, letter("ann.lee@acme.example", "Yes.", In_Reply_To=own, to=email.sender), "imap:sales")
        assert self.forwarded(stage) == []

    def test_machines_are_not_forwarded(self, stage):
        """Mail loops: an automatic answer to a rep who is away would be answered for ever."""
        _, email = mailed(stage)
        came_in(stage, answer(email, "I am out of the office until 10 November 2026.", Auto_Submitted="auto-replied"))
        came_in(stage, bounce(email, "5.1.1", "550 no such user"))
        assert self.forwarded(stage) == []

    def test_what_we_sent_on_is_refused_when_it_comes_back(self, stage):
        """Mail loops: X-Loop."""
        record, email = mailed(stage)
        came_in(stage, answer(email, "Yes.", X_Loop=DOMAIN))
        assert stage.run(record).status.live
        assert self.forwarded(stage) == []

    def test_attachments_are_named_and_not_sent_on(self, stage):
        """B27: attachments are never opened."""
        _, email = mailed(stage)
        head, _, text = answer(email, "See the offer.").partition(b"Content-Type: text/plain")
        mixed = b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain"
        file = b'\n--x\nContent-Type: application/pdf\nContent-Disposition: attachment; filename="offer.pdf"\n\nJVBE\n'
        body = head + mixed + text + file + b"--x--\n"
        came_in(stage, body)
        [sent] = self.forwarded(stage)
        assert "Attached, and not sent on: offer.pdf." in sent.message["content"][0]["value"]
        assert "attachments" not in sent.message


class TestStrangers:
    """P3: nothing that comes in is silent."""

    def read(self, stage):
        """What was read, by kind and by how it was found to belong to somebody."""
        with stage.parts.ledger.read() as connection:
            return mails.count_by_kind(connection, EPOCH)

    def test_what_a_stranger_writes_to_us_is_kept(self, stage):
        """P3: whole, to be shown by status."""
        came_in(stage, letter("dan@other.example", "Who are you?", to=f"reply+x@{DOMAIN}"))
        assert self.read(stage) == {("reply", "nobody"): 1}
        with stage.parts.ledger.read() as connection:
            [kept] = mails.of_nobody(connection, EPOCH, 10)
        assert b"Who are you?" in kept.body

    def test_what_strangers_write_to_a_rep_is_not_kept(self, stage):
        """A listened mailbox is somebody's own: counted, and nothing of it remembered."""
        came_in(stage, letter("dan@other.example", "Lunch?", to="rita@acme.example"), "imap:sales")
        assert self.read(stage) == {("reply", "nobody"): 1}
        with stage.parts.ledger.read() as connection:
            assert mails.of_nobody(connection, EPOCH, 10) == []

    def test_bytes_that_are_no_mail_harm_nothing(self, stage):
        """B27: anybody's bytes."""
        came_in(stage, b"\xff\x00\xfe" * 1000)
        assert sum(self.read(stage).values()) == 1


class TestLostLedgers:
    """P6: what was heard by mail and is gone with the ledger."""

    def lose(self, stage):
        """The ledger is gone; the next one learns from the CRM."""
        stage.lose_ledger()
        passes.prepare(stage.parts)
        stage.turn()

    def test_who_was_away_is_left_alone(self, stage):
        """P6, B8: the record says Paused and not until when, so three business days more."""
        record, email = mailed(stage)
        text = "I am out of the office and will be back on 10 November 2026."
        came_in(stage, answer(email, text, Auto_Submitted="auto-replied"))
        stage.turn()
        stage.later(days=2)
        self.lose(stage)
        assert stage.shown(record)[0] == "Paused"
        stage.play(stage.now + timedelta(days=2))
        assert len(stage.sent("ann.lee@acme.example")) == 1
        stage.play(stage.now + timedelta(days=6))
        assert len(stage.sent("ann.lee@acme.example")) > 1

    def test_what_the_rep_decides_is_waited_for(self, stage):
        """P6, B6: the task is still open; once it is completed the run goes on."""
        acme = account(stage)
        bob, _ = mailed(stage, email="bob@acme.example", account=acme)
        _, email = mailed(stage, account=acme)
        came_in(stage, answer(email, "Yes, let us talk."))
        stage.turn()
        self.lose(stage)
        stage.play(stage.now + timedelta(days=9), timedelta(days=1))
        assert stage.shown(bob)[0] == "Paused"
        [task] = [one for one in stage.tasks(bob) if not one["IsClosed"]]
        stage.change(task["Id"], Status="Completed")
        stage.play(stage.now + timedelta(days=3))
        assert len(stage.sent("bob@acme.example")) > 1

    def test_an_answer_still_finds_its_person_and_rep(self, stage):
        """P6, B6: touches are known again under their own ids, and the rep is asked of the CRM."""
        record, email = mailed(stage)
        self.lose(stage)
        came_in(stage, answer(email, "Yes, let us talk.", sender="al@home.example"))
        assert stage.run(record).reason == "stop.replied"
        passes.forward(stage.parts)
        [sent] = stage.sent(rep_address(stage))
        assert sent.reply_to == "al@home.example"

    def test_an_answer_goes_to_its_rep_once_the_crm_can_be_asked(self, stage):
        """P6, P3: the CRM is down when the answer comes and a pass runs; the process even ends. It is sent on later."""
        _, email = mailed(stage)
        self.lose(stage)
        rep = rep_address(stage)
        stage.later(hours=1)  # the rep's address that the last look read is too old
        stage.fail_crm(Fault(kind=FaultKind.ANSWER, body="down", times=None))
        came_in(stage, answer(email, "Yes, let us talk."))
        passes.forward(stage.parts)
        with stage.parts.ledger.read() as connection:
            assert forwards.count_by_state(connection) == {"waiting": 1}
        stage.mend()
        stage.restart()
        stage.later(hours=1)
        passes.forward(stage.parts)
        [sent] = stage.sent(rep)
        assert (sent.sender, sent.reply_to) == (rep, "ann.lee@acme.example")
        assert header(sent, "Message-ID").endswith(f"@{rep.partition('@')[2]}>")

    def test_an_answer_to_a_rep_who_has_gone_is_told(self, stage):
        """P3: nobody is there to be sent it, which status says; the timeline has it."""
        _, email = mailed(stage)
        self.lose(stage)
        stage.later(hours=1)
        stage.change(stage.rep, IsActive=False)
        came_in(stage, answer(email, "Yes, let us talk."))
        passes.forward(stage.parts)
        with stage.parts.ledger.read() as connection:
            assert forwards.count_by_state(connection) == {"failed": 1}
