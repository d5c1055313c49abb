"""Mailboxes are listened to, and read to now before a last look; while one is deaf nothing goes out (P2, P4, B5)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from letters import answer
from stage import MONDAY, Stage

from crmdrip.core.errors import AuthError, CrmdripError, RetriableError
from crmdrip.core.model import RunStatus
from crmdrip.core.received import RawMail
from crmdrip.core.struct import replace
from crmdrip.daemon import mailboxes, passes
from crmdrip.daemon.loop import Daemon, Rhythm
from crmdrip.daemon.mailboxes import Ear, Mailboxes
from crmdrip.ledger import marks, received
from crmdrip.ledger.received import ReceivedCount
from crmdrip.ports import MailPage

SOON = 20.0
"""Seconds within which whatever is expected of another thread has long happened."""


class PaperMailbox:
    """A mailbox in memory. Its cursor counts the emails that were read."""

    source = "imap:paper"

    def __init__(self, clock, name: str = "paper") -> None:
        self.name = name
        self.letters: list[bytes] = []
        self.drains = 0
        self.errors: list[Exception] = []
        """Raised one by one instead of draining."""
        self.rest_errors: list[Exception] = []
        self.open = threading.Event()
        """While it is not set, a drain waits."""
        self.open.set()
        self.resting = threading.Event()
        self.notes: tuple[str, ...] = ()
        self.closed = False
        self._clock = clock
        self._bell = threading.Event()

    def arrive(self, *letters: bytes) -> None:
        """Emails arrive, and whoever rests is told."""
        self.letters += letters
        self._bell.set()

    def drain(self, cursor: str | None, within: float) -> Iterator[MailPage]:
        """Two emails a page."""
        self.drains += 1
        self.open.wait(SOON)
        if self.errors:
            raise self.errors.pop(0)
        done = int(cursor or 0)
        while done < len(self.letters):
            bodies = self.letters[done : done + 2]
            mails = [RawMail(source=self.source, key=repr(b), body=b, received_at=self._clock.now()) for b in bodies]
            done += len(bodies)
            yield MailPage(mails=tuple(mails), cursor=str(done), notes=self.notes)

    def rest(self) -> None:
        """Until something comes."""
        if self.rest_errors:
            raise self.rest_errors.pop(0)
        self.resting.set()
        self._bell.wait(SOON)
        self._bell.clear()
        self.resting.clear()

    def wake(self) -> None:
        """End the rest."""
        self._bell.set()

    def close(self) -> None:
        """Nothing is held."""
        self.closed = True


@pytest.fixture
def box(stage: Stage) -> PaperMailbox:
    """A mailbox of the daemon's."""
    return PaperMailbox(stage.clock)


def attach(stage: Stage, *boxes: PaperMailbox) -> Mailboxes:
    """Give the daemon these mailboxes."""
    ears = Mailboxes(Ear(box, stage.parts.ledger, stage.clock) for box in boxes)
    stage.parts = replace(stage.parts, mailboxes=ears)
    return ears


def count(stage: Stage) -> ReceivedCount:
    """What waits in the ledger."""
    with stage.parts.ledger.read() as connection:
        return received.count(connection)


def cursor(stage: Stage, name: str = "paper") -> str | None:
    """How far the mailbox was read."""
    with stage.parts.ledger.read() as connection:
        return marks.read_cursor(connection, f"mailbox:{name}")


def due_again(stage: Stage, address: str = "ann@acme.example") -> str:
    """A contact whose second email is due now; its record's id."""
    contact = stage.contact(address)
    stage.tick(contact, stage.sequence())
    stage.turn()
    stage.at(MONDAY + timedelta(days=2))
    return contact


# --- before a last look ---------------------------------------------------------------------------------------------


def test_an_answer_in_a_mailbox_stops_the_next_email(stage: Stage, box: PaperMailbox) -> None:
    """B5, P2: no other pass has run since it came."""
    contact = due_again(stage)
    attach(stage, box)
    box.arrive(answer(stage.sent()[0], "Not now, thank you."))
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 1
    assert stage.run(contact).status is RunStatus.STOPPED


def test_nothing_goes_out_while_a_mailbox_is_deaf(stage: Stage, box: PaperMailbox) -> None:
    """P4: the email waits, and the record says for which mailbox (P3)."""
    contact = due_again(stage)
    attach(stage, box)
    box.errors.append(RetriableError("the server does not answer in time"))
    stage.later(hours=2)
    passes.dispatch(stage.parts)
    passes.write_back(stage.parts)
    assert len(stage.sent()) == 1
    status, reason = stage.shown(contact)
    assert status == RunStatus.HELD
    assert "(the mailbox paper cannot be read: the server does not answer in time)" in reason


def test_the_email_goes_out_once_the_mailbox_can_be_read_again(stage: Stage, box: PaperMailbox) -> None:
    """P4: by itself."""
    due_again(stage)
    attach(stage, box)
    box.errors.append(RetriableError("gone"))
    passes.dispatch(stage.parts)
    attach(stage, box)
    stage.later(minutes=2)
    passes.dispatch(stage.parts)
    assert len(stage.sent()) == 2


def test_one_deaf_mailbox_among_several_is_enough(stage: Stage, box: PaperMailbox) -> None:
    """The answer may lie in that one."""
    other = PaperMailbox(stage.clock, "other")
    other.errors.append(AuthError("the login is refused.", do_next="Check the password."))
    assert attach(stage, box, other).drain() == (
        "the mailbox other cannot be read: the login is refused. Check the password."
    )


def test_no_mailbox_costs_nothing(stage: Stage) -> None:
    """Most installations have none at first."""
    assert attach(stage).drain() == ""


def test_a_mailbox_that_was_just_read_is_not_read_again(stage: Stage, box: PaperMailbox) -> None:
    """P5's spirit: batch after batch of a pass looks, and servers count connections and commands."""
    ears = attach(stage, box)
    assert ears.drain() == ears.drain() == ""
    assert box.drains == 1


def test_after_a_failure_the_server_is_left_alone_for_a_while(stage: Stage, box: PaperMailbox) -> None:
    """A wrong password that is tried with every look locks the account."""
    ears = attach(stage, box)
    box.errors.append(AuthError("the login is refused"))
    assert ears.drain() == ears.drain() != ""
    assert box.drains == 1


def test_a_mailbox_that_never_ends_holds_up_nobody_for_long(
    stage: Stage, box: PaperMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read by then stays read; the look waits for the rest."""
    monkeypatch.setattr(mailboxes, "PATIENCE", 0.0)
    assert attach(stage, box).drain() == "the mailbox paper cannot be read: it takes too long"
    assert box.drains == 0


# --- storing --------------------------------------------------------------------------------------------------------


def test_emails_are_stored_with_how_far_the_mailbox_was_read(stage: Stage, box: PaperMailbox) -> None:
    """P1: a crash in between would lose them, or read them twice."""
    ears = attach(stage, box)
    box.arrive(b"one", b"two", b"three")
    assert ears.drain() == ""
    assert (count(stage).waiting, cursor(stage)) == (3, "3")


def test_a_cursor_that_cannot_be_stored_takes_its_emails_with_it(
    stage: Stage, box: PaperMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction: both or neither."""
    ears = attach(stage, box)
    box.arrive(b"one", b"two", b"three")
    saved = marks.save_cursor

    def save(connection, name, value, now) -> None:
        if value == "3":
            raise CrmdripError("the disk is full")
        saved(connection, name, value, now)

    monkeypatch.setattr(marks, "save_cursor", save)
    assert ears.drain() == "the mailbox paper cannot be read: the disk is full"
    assert (count(stage).waiting, cursor(stage)) == (2, "2")


def test_an_email_that_was_read_before_is_stored_once(stage: Stage, box: PaperMailbox) -> None:
    """B23: a mailbox whose emails were numbered anew gives them all again."""
    box.arrive(b"one", b"two")
    assert attach(stage, box).drain() == ""
    with stage.parts.ledger.write() as connection:
        marks.save_cursor(connection, "mailbox:paper", "0", stage.now)
    assert attach(stage, box).drain() == ""
    assert count(stage).waiting == 2


def test_a_long_folder_name_finds_its_cursor_again(stage: Stage) -> None:
    """The ledger has 64 characters for it, and two such folders of one account are told apart."""
    boxes = [PaperMailbox(stage.clock, "replies/" + "a" * 80 + end) for end in "xy"]
    for number, box in enumerate(boxes, 1):
        box.arrive(*[b"%d %d" % (number, n) for n in range(number)])
    assert attach(stage, *boxes).drain() == ""
    assert attach(stage, *boxes).drain() == ""
    assert count(stage).waiting == 3


# --- listening ------------------------------------------------------------------------------------------------------


def test_new_mail_is_stored_as_it_comes(stage: Stage, box: PaperMailbox) -> None:
    """P2: within moments, without anybody being about to look; and whoever reads it is called."""
    ears, called = attach(stage, box), threading.Event()
    with ears.listening(called.set):
        assert box.resting.wait(SOON)
        box.arrive(b"one")
        assert called.wait(SOON)
        assert count(stage).waiting == 1


def test_a_look_asks_whoever_rests(stage: Stage, box: PaperMailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: read once more and to the end, on the connection that is there."""
    monkeypatch.setattr(mailboxes, "FRESH", 0.0)
    ears = attach(stage, box)
    with ears.listening():
        assert box.resting.wait(SOON)
        box.letters.append(b"of which the server told nobody")
        assert ears.drain() == ""
        assert (count(stage).waiting, cursor(stage)) == (1, "1")


def test_a_look_waits_for_a_reading_that_was_begun_before_it(
    stage: Stage, box: PaperMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2: that one may have passed by what came since, so another follows."""
    monkeypatch.setattr(mailboxes, "FRESH", 0.0)
    ears = attach(stage, box)
    box.open.clear()
    with ears.listening():
        answers: list[str] = []
        looking = threading.Thread(target=lambda: answers.append(ears.drain()))
        looking.start()
        box.open.set()
        looking.join(SOON)
        assert answers == [""]
        assert box.drains == 2


def test_a_look_does_not_wait_for_a_mailbox_that_hangs(
    stage: Stage, box: PaperMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P4: the email waits instead, and every other part of the daemon goes on."""
    monkeypatch.setattr(mailboxes, "PATIENCE", 0.05)
    ears = attach(stage, box)
    box.open.clear()
    with ears.listening():
        assert ears.drain() == "the mailbox paper cannot be read: it takes too long"
        box.open.set()


def test_an_old_connection_that_ended_is_made_anew_at_once(
    stage: Stage, box: PaperMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers end them every half hour; nobody has to be deaf for that."""
    monkeypatch.setattr(mailboxes, "SHORT_REST", 0.0)
    box.rest_errors.append(RetriableError("the connection was lost"))
    ears = attach(stage, box)
    with ears.listening():
        assert box.resting.wait(SOON)
        assert box.drains == 2
        assert ears.hearings()[0].error == ""


def test_a_connection_that_ends_at_once_is_a_failure(stage: Stage, box: PaperMailbox) -> None:
    """A server that takes connections and drops them is not asked in a circle."""
    box.rest_errors += [RetriableError("the connection was lost")] * 1000
    ears = attach(stage, box)
    with ears.listening():
        assert _wait_for(lambda: ears.hearings()[0].error != "")
        assert box.drains == 1


@pytest.mark.parametrize("error", [RetriableError("gone"), ZeroDivisionError("a bug"), AuthError("no")])
def test_no_failure_ends_the_listening(
    stage: Stage, box: PaperMailbox, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever goes wrong is tried again after a while, and told until then."""
    monkeypatch.setattr("crmdrip.core.retry.backoff", lambda *_: timedelta(0))
    box.errors += [error, error]
    box.arrive(b"one")
    ears = attach(stage, box)
    with ears.listening():
        assert _wait_for(lambda: count(stage).waiting == 1)
        assert _wait_for(lambda: ears.hearings()[0].error == "")
    assert box.drains >= 3


def test_the_end_is_not_held_up_by_who_rests(stage: Stage, box: PaperMailbox) -> None:
    """SIGTERM: nobody waits for mail any more, and the connection is given back."""
    ears = attach(stage, box)
    with ears.listening():
        assert box.resting.wait(SOON)
    assert not box.resting.is_set()
    ears.close()
    assert box.closed


def test_how_each_fares_can_be_asked(stage: Stage, box: PaperMailbox) -> None:
    """For status and health."""
    deaf = PaperMailbox(stage.clock, "deaf")
    deaf.errors.append(RetriableError("gone"))
    ears = attach(stage, box, deaf)
    assert [one.heard_at for one in ears.hearings()] == [None, None]
    ears.drain()
    assert [(one.name, one.heard_at, one.error) for one in ears.hearings()] == [
        ("paper", stage.now, ""),
        ("deaf", None, "gone"),
    ]


def test_who_cannot_read_a_mailbox_is_not_ready(
    stage: Stage, box: PaperMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P3, P4: nothing goes out meanwhile, and whoever watches is to be told."""
    monkeypatch.setattr(passes, "PASSES", {"pull": lambda _: {}})
    ears = attach(stage, box)
    rhythm = Rhythm(every={"pull": 3600})
    daemon = Daemon(replace(stage.parts, mailboxes=ears), rhythm, prepare=lambda _: None)
    working = threading.Thread(target=daemon.run)
    working.start()
    assert _wait_for(lambda: daemon.ready)
    box.errors.append(AuthError("the login is refused"))
    ears.drain()
    assert not daemon.ready
    assert daemon.alive
    daemon.stop()
    working.join(SOON)


def _wait_for(true) -> bool:
    """Whether it becomes so, asked again and again."""
    asked = threading.Event()
    for _ in range(2000):
        if true():
            return True
        asked.wait(0.01)
    return False
