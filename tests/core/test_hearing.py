"""What a mail means, as a table: one row per kind, to be checked by eye (B5 to B8, B22)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from crmdrip.core.hearing import Heard, read_signals, reported_addresses
from crmdrip.core.inbound import (
    Attendance,
    CalendarAnswer,
    CalendarMethod,
    DeliveryReport,
    InboundMail,
    MailKind,
    Reading,
    ReportedRecipient,
    ReportKind,
)
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.core.whose import Addressee, How, Whose

AT = datetime(2026, 11, 3, 12, tzinfo=UTC)
TOUCH = "a" * 32


def somebody(address: str, number: int = 1, **changes) -> Addressee:
    """Whom a rep wrote to."""
    ref = RecordRef(kind=RecordKind.CONTACT, id=f"003{number}")
    return Addressee(**({"address": address, "ref": ref, "sender": "rita@vendor.example"} | changes))


ANN = somebody("ann@acme.example", touch_id=TOUCH, mailed="ann@acme.example")
BOB = somebody("bob@acme.example", 2)


def heard(kind: MailKind, *people: Addressee, how: How = How.TOKEN, reported=None, until=None, **mail) -> Heard:
    """A mail of Ann's that was taken for this kind."""
    written = InboundMail(**({"sender": "ann@acme.example", "subject": "Re: Hello"} | mail))
    return Heard(
        key="k",
        mail=written,
        reading=Reading(kind=kind, why="test", until=until, report=written.report),
        whose=Whose(how=how, people=people),
        at=AT,
        reported=reported or {},
    )


def said(one: Heard) -> list[tuple[str, str | None, str | None]]:
    """Kind, address and record of each signal."""
    return [(signal.kind.value, signal.address, signal.record_id) for signal in read_signals(one)]


class TestPeople:
    """What a person wrote."""

    def test_a_reply_is_one_of_everybody_it_answers_for(self):
        """B6: a forwarded email answered by somebody known."""
        assert said(heard(MailKind.REPLY, ANN, BOB)) == [
            ("reply", "ann@acme.example", "0031"),
            ("reply", "bob@acme.example", "0032"),
        ]

    def test_a_reply_names_the_touch_it_answers(self):
        """B6: as far as it is known."""
        assert [signal.touch_id for signal in read_signals(heard(MailKind.REPLY, ANN, BOB))] == [TOUCH, None]

    def test_a_reply_from_the_company_is_of_the_writers_own_address(self):
        """B6: on no record, for the policy on colleagues."""
        one = heard(MailKind.REPLY, how=How.COMPANY, sender="carl@acme.example")
        assert said(one) == [("reply", "carl@acme.example", None)]

    def test_a_wish_in_words_is_an_unsubscribe_and_a_reply(self):
        """B22: it is their answer, too."""
        assert [kind for kind, *_ in said(heard(MailKind.UNSUBSCRIBE, ANN))] == ["unsubscribe", "reply"]

    def test_a_wish_from_another_address_is_of_both(self):
        """B22: whoever asks is left alone, under the address they ask from as well."""
        one = heard(MailKind.UNSUBSCRIBE, ANN, sender="al@home.example")
        assert said(one)[:2] == [("unsubscribe", "ann@acme.example", "0031"), ("unsubscribe", "al@home.example", None)]

    def test_a_strangers_wish_is_heard(self):
        """B22: before they are in any sequence."""
        one = heard(MailKind.UNSUBSCRIBE, how=How.NOBODY, sender="dan@other.example")
        assert said(one) == [("unsubscribe", "dan@other.example", None)]

    def test_what_we_wrote_ourselves_says_nothing(self):
        """B7: whatever it looks like."""
        assert [said(heard(kind, how=How.OURSELVES)) for kind in MailKind] == [[] for _ in MailKind]

    def test_a_strangers_reply_says_nothing(self):
        """P3: it is kept and shown, and stops nobody."""
        assert said(heard(MailKind.REPLY, how=How.NOBODY)) == []


class TestMachines:
    """What a machine wrote."""

    def test_an_absence_is_of_whoevers_mailbox_answered(self):
        """B8: Bob was forwarded Ann's email and is away; Ann is not."""
        one = heard(MailKind.OUT_OF_OFFICE, ANN, BOB, sender="bob@acme.example", until=date(2026, 11, 10))
        [signal] = read_signals(one)
        assert (signal.kind.value, signal.address, signal.until) == (
            "out_of_office",
            "bob@acme.example",
            date(2026, 11, 10),
        )

    def test_only_an_absence_has_an_end(self):
        """B8."""
        assert [s.until for s in read_signals(heard(MailKind.REPLY, ANN, until=date(2026, 11, 10)))] == [None]

    @pytest.mark.parametrize("kind", [MailKind.RECEIPT, MailKind.UNREADABLE])
    def test_what_says_nothing(self, kind):
        """B7: a read receipt, and bytes that are no mail."""
        assert said(heard(kind, ANN)) == []

    def test_an_automatic_answer_is_noted(self):
        """B8: and is nothing else."""
        assert said(heard(MailKind.AUTO_REPLY, ANN)) == [("auto_reply", "ann@acme.example", "0031")]

    @pytest.mark.parametrize(
        ("text", "detail"),
        [
            ("Please write to eve@acme.example.", ", who names eve@acme.example"),
            ("Ask Eve (EVE@acme.example) or dan@acme.example", ", who names eve@acme.example and dan@acme.example"),
            ("I left. ann@acme.example is closed.", ""),
            ("I left.", ""),
            ("x" * 100_000 + " eve@acme.example", ""),
        ],
    )
    def test_who_left_may_name_a_successor(self, text, detail):
        """B8: the rep's task says whom to ask."""
        [signal] = read_signals(heard(MailKind.LEFT_COMPANY, ANN, text=text))
        assert signal.detail == detail


class TestCalendars:
    """Answers to invitations."""

    @pytest.mark.parametrize(
        ("method", "attendance", "kind"),
        [
            (CalendarMethod.REPLY, Attendance.ACCEPTED, "meeting"),
            (CalendarMethod.REPLY, Attendance.TENTATIVE, "meeting"),
            (CalendarMethod.REPLY, Attendance.DECLINED, "auto_reply"),
            (CalendarMethod.REQUEST, Attendance.NONE, "meeting"),
            (CalendarMethod.COUNTER, Attendance.NONE, "reply"),
            (CalendarMethod.CANCEL, Attendance.NONE, "auto_reply"),
        ],
    )
    def test_what_it_means(self, method, attendance, kind):
        """Accepted or invited is a meeting; another time proposed is an answer; declined is noted."""
        calendar = CalendarAnswer(method=method, attendance=attendance, summary="Demo")
        assert [one for one, *_ in said(heard(MailKind.CALENDAR, ANN, calendar=calendar))] == [kind]


def report(
    *recipients: ReportedRecipient, kind: ReportKind = ReportKind.DELIVERY, feedback: str = ""
) -> DeliveryReport:
    """A machine's report."""
    return DeliveryReport(kind=kind, recipients=recipients, feedback=feedback)


def failed(address: str, *, permanent: bool = True, original: str = "", action: str = "failed") -> ReportedRecipient:
    """One recipient of a report."""
    return ReportedRecipient(
        address=address,
        original=original,
        action=action,
        status="5.1.1",
        diagnostic="no such user",
        permanent=permanent,
    )


class TestReports:
    """Bounces and complaints (B7, B28)."""

    def bounced(self, *recipients: ReportedRecipient, people=(ANN,), reported=None):
        """What a delivery report says."""
        mail = {"sender": "mailer-daemon@mx.example", "report": report(*recipients)}
        return said(heard(MailKind.BOUNCE, *people, how=How.THREAD, reported=reported, **mail))

    def test_a_failure_for_good(self):
        """B7: the bounce path."""
        assert self.bounced(failed("ann@acme.example")) == [("bounce", "ann@acme.example", "0031")]

    @pytest.mark.parametrize(
        "one", [failed("ann@acme.example", permanent=False), failed("ann@acme.example", action="delayed")]
    )
    def test_another_failure_is_noted(self, one):
        """B7: soft, or late."""
        assert self.bounced(one) == [("deferred", "ann@acme.example", "0031")]

    def test_a_delivery_is_nothing(self):
        """B7: a positive report."""
        assert self.bounced(failed("ann@acme.example", action="delivered")) == []

    def test_our_id_is_enough(self):
        """B7: the address forwards to another one, which is gone."""
        assert self.bounced(failed("a.lee@mail.acme.example")) == [("bounce", "ann@acme.example", "0031")]

    def test_the_address_we_wrote_to_counts(self):
        """B7: Original-Recipient."""
        gone = failed("a.lee@mail.acme.example", original="ann@acme.example")
        assert self.bounced(gone) == [("bounce", "ann@acme.example", "0031")]

    def test_a_former_address_says_nothing_of_the_record(self):
        """B15: the email went to an address that was changed since."""
        moved = somebody("ann@new.example", touch_id=TOUCH, mailed="ann@acme.example")
        assert self.bounced(failed("ann@acme.example"), people=(moved,)) == [("bounce", "ann@acme.example", None)]

    def test_without_our_id_a_recent_email_is_believed(self):
        """B7: many servers leave it out."""
        found = self.bounced(failed("dan@x.example"), people=(), reported={"dan@x.example": AT - timedelta(days=3)})
        assert found == [("bounce", "dan@x.example", None)]

    @pytest.mark.parametrize("reported", [{}, {"dan@x.example": AT - timedelta(days=30)}])
    def test_without_anything_it_is_not_believed(self, reported):
        """B28: anybody can write a report."""
        assert self.bounced(failed("dan@x.example"), people=(), reported=reported) == []

    def test_one_address_is_told_of_once(self):
        """B23: servers repeat themselves within one report."""
        assert len(self.bounced(failed("ann@acme.example"), failed("ann@acme.example"))) == 1

    def test_a_complaint_is_a_spam_report(self):
        """B22: somebody pressed the button."""
        mail = {"report": report(kind=ReportKind.FEEDBACK, feedback="abuse")}
        assert said(heard(MailKind.COMPLAINT, ANN, **mail)) == [("spam_report", "ann@acme.example", "0031")]

    @pytest.mark.parametrize("feedback", ["not-spam", "auth-failure"])
    def test_other_feedback_is_no_complaint(self, feedback):
        """RFC 5965, RFC 6591."""
        assert said(heard(MailKind.COMPLAINT, ANN, report=report(kind=ReportKind.FEEDBACK, feedback=feedback))) == []

    def test_reported_addresses_are_those_to_look_up(self):
        """Original-Recipient first."""
        mail = InboundMail(report=report(failed("b@x.example", original="a@x.example")))
        assert reported_addresses(mail) == ["a@x.example", "b@x.example"]


def test_signals_of_one_mail_have_keys_of_their_own():
    """B23: and the same ones whenever it is read."""
    one = heard(MailKind.UNSUBSCRIBE, ANN, BOB, sender="al@home.example")
    keys = [signal.key for signal in read_signals(one)]
    assert len(set(keys)) == len(keys) == 5
    assert keys == [signal.key for signal in read_signals(one)]
