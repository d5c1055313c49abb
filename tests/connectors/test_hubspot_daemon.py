"""The daemon on a HubSpot portal: a box ticked there becomes emails on time and touches on the timeline."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hubspot_driver import HubSpotDriver, HubSpotObjectsDriver
from hubspot_peer import HubSpotPeer, SteppedClock

from connectors.hubspot.client import HubSpotClient
from crmdrip.assembly import assemble
from crmdrip.config import load
from crmdrip.core.model import RecordKind, RecordRef, Signal, SignalKind
from crmdrip.daemon import passes
from crmdrip.daemon.signals import apply_signals
from crmdrip.daemon.snapshots import load_background
from crmdrip.doctor import examine
from crmdrip.inspection.forecast import Forecast, forecast
from crmdrip.sandbox.control import Sandbox
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.world import Habits

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


class SandboxClock(SteppedClock):
    """The sandbox's time, which the portal keeps as well."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def now(self) -> datetime:
        """Aware UTC."""
        return self._sandbox.clock()

    def move(self, **by: float) -> None:
        """Go on, by the words of timedelta."""
        self._sandbox.set_time(self.now() + timedelta(**by))


class Office:
    """A portal, a mail account, and the daemon between them."""

    def __init__(self, folder: Path, *, objects: bool = False) -> None:
        self.folder, self.objects = folder, objects
        quiet = Habits(**{spec.name: 0.0 for spec in fields(Habits)})
        self.sandbox = Sandbox(people=0, seed=1, now=MONDAY, habits=quiet)
        self.clock = SandboxClock(self.sandbox)
        self._daemon = ExitStack()

    def __enter__(self):
        self.sandbox.__enter__()
        self.peer = HubSpotPeer(self.folder / "sequences", objects=self.objects, clock=self.clock)
        self.peer.__enter__()
        self.crm = HubSpotObjectsDriver(self.peer) if self.objects else HubSpotDriver(self.peer)
        self.rep = self.crm.add_user("Rita Rep", "rita@acme.example", active=True)
        text = EXAMPLE.read_text(encoding="utf-8").replace('connector = "salesforce"', 'connector = "hubspot"')
        text = text.replace("http://127.0.0.1:8182", self.sandbox.sendgrid_url)
        begin, end = text.index("[crm.salesforce]"), text.index("# HubSpot, with")
        place = 'sequences = "sequences"\n'
        hubspot = (
            f'[crm.hubspot]\n{"" if self.objects else place}base_url = "{self.peer.server.url}"\nsearch_seconds = 0.0\n'
            f'[crm.hubspot.auth]\ntoken = {{ file = "token" }}\n'
        )
        (self.folder / "token").write_text(DEFAULT_TOKEN)
        (self.folder / "config.toml").write_text(text[:begin] + hubspot + text[end:], encoding="utf-8")
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._daemon.close()
        self.peer.__exit__(*exc)
        self.sandbox.__exit__(*exc)

    def start(self) -> None:
        """The daemon's process begins."""
        self._daemon.close()
        self._daemon = ExitStack()
        settings = load(self.folder / "config.toml")
        self.parts = self._daemon.enter_context(assemble(settings, self.clock, exclusive=True))
        passes.prepare(self.parts)

    def plan(self) -> Forecast:
        """What crmdrip plan shows of the coming week, with no daemon about."""
        self._daemon.close()
        settings = load(self.folder / "config.toml")
        copy = self.folder / "copy.sqlite3"
        shutil.copy(self.folder / "crmdrip.sqlite3", copy)
        copied = settings.model_copy(update={"ledger": settings.ledger.model_copy(update={"url": f"sqlite:///{copy}"})})
        with assemble(copied, self.clock, exclusive=False) as parts:
            found = forecast(parts, days=7)
        self.start()
        return found

    def lose_ledger(self) -> None:
        """Its file is gone, and the process begins again."""
        self._daemon.close()
        for file in self.folder.glob("*.sqlite3*"):
            file.unlink()
        self.start()

    def play(self, **by: float) -> None:
        """Pass after pass, two hours apart."""
        end = self.clock.now() + timedelta(**by)
        while self.clock.now() < end:
            self.clock.move(hours=2)
            passes.run_all(self.parts)

    def tick(self, email: str, sequence: str) -> RecordRef:
        """A rep ticks the box of somebody new."""
        return self.crm.add_person(
            RecordKind.CONTACT, email=email, first_name="Ann", enrolled=True, sequence=sequence, owner=self.rep
        )

    def sent(self) -> list[str]:
        """The subjects that the provider accepted, in order."""
        return [one.subject for one in self.sandbox.call(lambda: list(self.sandbox.account.accepted))]


@pytest.fixture
def office(tmp_path, monkeypatch):
    """A Monday at nine. Days pass in seconds, so that nothing waits for the limits of real ones."""
    monkeypatch.setitem(HubSpotClient.__init__.__kwdefaults__, "sleep", lambda _: None)
    with Office(tmp_path) as office:
        yield office


def test_a_ticked_box_becomes_emails_and_touches(office):
    """P3: two emails go out a day apart, stand on the timeline, and the record says that it is finished."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    office.play(days=5)
    assert office.sent() == ["Hello", "Again"]
    assert [entry["outcome"] for entry in office.crm.timeline(ref)] == ["Sent", "Sent"]
    assert (office.crm.read(ref, "status"), office.crm.read(ref, "enrolled")) == ("Finished", False)


def test_a_box_unticked_before_a_merge_is_not_ticked_again(office):
    """B9, B12, P2: a rep unticks a person and merges another contact into them before the next pull sees either."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    office.play(hours=28)
    other = office.crm.add_person(RecordKind.CONTACT, email="lee@firm.example", first_name="Lee", owner=office.rep)
    office.crm.change(ref, enrolled=False)
    merged = office.crm.merge(ref, other)
    office.play(days=5)
    assert office.sent() == ["Hello"]
    assert not office.crm.read(merged, "enrolled")
    assert office.crm.read(merged, "reason").startswith("The box was unticked.")


def test_sequences_in_custom_objects_do_the_very_same(tmp_path, monkeypatch):
    """Where the portal has them: the emails, the timeline and the record are those of a sequence in a file."""
    monkeypatch.setitem(HubSpotClient.__init__.__kwdefaults__, "sleep", lambda _: None)
    with Office(tmp_path, objects=True) as office:
        sequence = office.crm.add_sequence("Intro", ["Hello", "Again"])
        ref = office.tick("ann@firm.example", sequence)
        office.play(days=5)
        assert office.sent() == ["Hello", "Again"]
        assert [entry["outcome"] for entry in office.crm.timeline(ref)] == ["Sent", "Sent"]
        assert (office.crm.read(ref, "status"), office.crm.sequence(sequence)["sent"]) == ("Finished", 2)


def test_a_manual_step_is_a_task_for_the_rep_and_the_run_goes_on(office):
    """The owner finds it among their tasks; the email after it goes out on its day."""
    office.crm.add_sequence("Intro", ["Call them", "Hello"])
    file = office.peer.folder / "intro.toml"
    file.write_text(file.read_text().replace('kind = "Email"', 'kind = "Task"', 1))
    ref = office.tick("ann@firm.example", "intro")
    office.play(days=5)
    (task,) = office.peer.thread.call(lambda: office.peer.portal.linked("contacts", ref.id, "tasks"))
    said = [task.get(name) for name in ("hs_task_subject", "hs_task_status", "hs_task_type", "hubspot_owner_id")]
    assert said == ["Call them", "NOT_STARTED", "TODO", office.rep]
    assert office.sent() == ["Hello"]


def test_an_answer_in_the_rep_s_mailbox_stops_the_run(office):
    """P2: it is on the contact before the second email is due."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    office.play(hours=30)
    headers = '{"from":{"email":"ann@firm.example"},"to":[{"email":"rita@acme.example"}]}'
    values = {
        "hs_email_direction": "INCOMING_EMAIL",
        "hs_email_subject": "Re: Hello",
        "hs_email_text": "Call me tomorrow.",
        "hs_email_headers": headers,
    }
    office.peer.do("log_email", [ref.id], values)
    office.play(days=4)
    assert office.sent() == ["Hello"]
    assert office.crm.read(ref, "status") == "Stopped"


def test_a_lost_ledger_mails_nobody_twice(office):
    """P6: it is filled again from the portal, and the run goes on with its second step."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    office.play(hours=30)
    office.lose_ledger()
    office.play(days=5)
    assert sorted(office.sent()) == ["Again", "Hello"]
    assert office.crm.read(ref, "status") == "Finished"


def test_the_brake_on_its_contact_holds_everybody(office):
    """An admin ticks it in HubSpot, with no console and on every tier."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello"]))
    office.play(hours=1)
    office.crm.set_brake(pulled=True)
    other = office.tick("bob@firm.example", "intro")
    sent = len(office.sent())
    office.play(days=2)
    assert len(office.sent()) == sent
    assert "emergency brake" in office.crm.read(other, "reason")
    assert ref != other


def test_a_deleted_contact_is_mailed_no_more(office):
    """B14: the last look misses it, and the next pull tells why."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    office.play(hours=30)
    office.crm.delete(ref.id)
    office.play(days=4)
    assert office.sent() == ["Hello"]


def test_a_restored_contact_stays_stopped(office):
    """B14: within HubSpot's ninety days somebody brings it back, with its box still on: nothing goes out by itself."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    office.play(hours=30)
    office.crm.delete(ref.id)
    office.play(hours=6)
    office.crm.restore(ref.id)
    office.play(days=3)
    assert office.sent() == ["Hello"]
    assert (office.crm.read(ref, "enrolled"), "restored" in office.crm.read(ref, "reason")) == (False, True)


def test_an_erased_contact_is_mailed_no_more_and_never_made_again(office):
    """B14: deleted for privacy, it leaves nothing that could be written to."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    office.play(hours=30)
    office.peer.do("purge", ref.id)
    office.play(days=3)
    assert office.sent() == ["Hello"]
    everybody = office.peer.thread.call(lambda: office.peer.portal.all("contacts"))
    assert "ann@firm.example" not in {row.get("email") for row in everybody}


def test_an_opt_out_of_either_wins_in_a_merge(office):
    """B12: the twin wanted no email, so the contact that both become gets none."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    twin = office.crm.add_person(RecordKind.CONTACT, email="ann@other.example")
    office.play(hours=30)
    office.crm.change(twin, opted_out=True)
    survivor = office.crm.merge(ref, twin)
    office.play(days=3)
    assert office.sent() == ["Hello"]
    assert (office.crm.read(survivor, "enrolled"), "opted out" in office.crm.read(survivor, "reason")) == (False, True)


def replied(office, ref, email):
    """Somebody answers, and that is heard."""
    signal = Signal(
        key=f"reply:{ref.id}",
        kind=SignalKind.REPLY,
        at=office.clock.now(),
        source="test",
        record_id=ref.id,
        address=email,
    )
    with office.parts.ledger.write() as connection:
        background = load_background(connection)
        apply_signals(connection, [signal], background, office.parts.org_id, office.clock.now())
    passes.run_all(office.parts)


def test_a_stop_of_either_wins_in_a_merge(office):
    """B12, P2: HubSpot makes a third contact of both, and one reading tells of it and of both that are gone."""
    sequence = office.crm.add_sequence("Intro", ["Hello", "Again"])
    ref, twin = office.tick("ann@firm.example", sequence), office.tick("ann@other.example", sequence)
    office.play(hours=28)
    replied(office, twin, "ann@other.example")
    survivor = office.crm.merge(ref, twin)
    office.play(days=4)
    assert office.sent() == ["Hello", "Hello"]
    assert (office.crm.read(survivor, "status"), office.crm.read(survivor, "enrolled")) == ("Stopped", False)
    reason = office.crm.read(survivor, "reason")
    assert reason.startswith("Another record of the same person was stopped before the merge (the person replied on")


def test_a_box_ticked_and_merged_with_somebody_stopped_before_anybody_looked_starts_nothing(office):
    """B12, P2, P3: the contact says who was stopped, not that it went through the sequence; ticked again, it may."""
    sequence = office.crm.add_sequence("Intro", ["Hello", "Again"])
    twin = office.tick("ann@other.example", sequence)
    office.play(hours=28)
    replied(office, twin, "ann@other.example")
    ref = office.tick("ann@firm.example", sequence)
    survivor = office.crm.merge(ref, twin)
    office.play(days=2)
    assert office.sent() == ["Hello"]
    assert (office.crm.read(survivor, "status"), office.crm.read(survivor, "enrolled")) == ("Refused", False)
    assert office.crm.read(survivor, "reason").startswith(
        "Not started: another record of the same person was stopped before the merge (the person replied on"
    )
    office.crm.change(survivor, enrolled=True)
    office.play(hours=26)
    office.start()  # after which the merge is told once more
    office.play(days=3)
    assert office.sent() == ["Hello", "Hello", "Again"]


def test_a_step_sent_to_either_counts_after_a_merge_into_a_third(office):
    """B12: one run survives, and the step that both contacts got is not sent a third time."""
    sequence = office.crm.add_sequence("Intro", ["One", "Two", "Three"])
    ahead = office.tick("lee@firm.example", sequence)
    office.play(hours=24)
    behind = office.tick("lee@other.example", sequence)
    office.play(hours=28)
    assert sorted(office.sent()) == ["One", "One", "Two"]
    office.crm.merge(behind, ahead)
    office.play(days=6)
    assert sorted(office.sent()) == ["One", "One", "Three", "Two"]


def test_a_merged_contact_goes_on_as_the_third(office):
    """B12: the run moves to the contact that the merge has made, and its second step is sent once."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    twin = office.crm.add_person(RecordKind.CONTACT, email="ann@other.example")
    office.play(hours=30)
    survivor = office.crm.merge(ref, twin)
    office.play(days=4)
    assert office.sent() == ["Hello", "Again"]
    assert len(office.crm.timeline(survivor)) == 2


def test_a_list_that_is_emptied_by_a_slip_stops_nobody_for_good(office):
    """B10: an abnormal share would be stopped at once, so they wait; put back on the list, they go on."""
    office.crm.add_sequence("Intro", ["Hello", "Again"])
    fair = office.peer.do("create_list", "Met at the fair")
    file = office.peer.folder / "intro.toml"
    file.write_text(f"list = {fair.id}\n{file.read_text()}")
    people = [
        office.crm.add_person(RecordKind.CONTACT, email=f"p{n}@firm{n}.example", owner=office.rep) for n in range(30)
    ]
    for one in people:
        office.peer.thread.call(lambda one=one: office.peer.portal.join_list(fair, one.id))
    office.play(hours=30)
    assert office.sent() == ["Hello"] * 30
    for one in people:
        office.peer.thread.call(lambda one=one: office.peer.portal.leave_list(fair, one.id))
    office.play(days=2)
    assert {office.crm.read(one, "status") for one in people} == {"Held"}
    for one in people:
        office.peer.thread.call(lambda one=one: office.peer.portal.join_list(fair, one.id))
    office.play(days=3)
    assert office.sent() == ["Hello"] * 30 + ["Again"] * 30


def test_nobody_is_looked_for_who_cannot_be(office, monkeypatch):
    """B13, P5: HubSpot keeps an address on one contact alone, so that entering asks for no other of it."""
    monkeypatch.setattr(office.parts.source, "records_of", lambda _: pytest.fail("twins were asked for"))
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello"]))
    office.play(hours=30)
    assert office.crm.read(ref, "status") == "Finished"


def test_whoever_is_in_a_sequence_of_hubspot_waits_until_it_is_over(office):
    """P2: two programs do not write to one person; the record says so, and the run goes on by itself."""
    ref = office.tick("ann@firm.example", office.crm.add_sequence("Intro", ["Hello", "Again"]))
    office.play(hours=30)
    office.peer.do("enroll_in_sequence", ref.id, 7)
    office.play(days=2)
    assert office.sent() == ["Hello"]
    assert "a sequence of HubSpot's own" in office.crm.read(ref, "reason")
    office.peer.do("leave_sequence", ref.id)
    office.play(days=2)
    assert office.sent() == ["Hello", "Again"]


def test_everybody_on_a_list_is_in_its_sequence(office):
    """B9: joining ticks, leaving unticks and stops; whoever went through stays on the list and is not mailed again."""
    office.crm.add_sequence("Intro", ["Hello", "Again"])
    fair = office.peer.do("create_list", "Met at the fair")
    file = office.peer.folder / "intro.toml"
    file.write_text(f"list = {fair.id}\n{file.read_text()}")
    ann, bob = (
        office.crm.add_person(RecordKind.CONTACT, email=f"{name}@firm.example", owner=office.rep)
        for name in ("ann", "bob")
    )
    for one in (ann, bob):
        office.peer.do("join_list", fair, one.id)
    office.play(hours=30)
    office.peer.do("leave_list", fair, bob.id)
    office.play(days=5)
    assert sorted(office.sent()) == ["Again", "Hello", "Hello"]
    assert [office.crm.read(one, "status") for one in (ann, bob)] == ["Finished", "Stopped"]
    assert [office.crm.read(one, "enrolled") for one in (ann, bob)] == [False, False]


def test_a_plan_counts_whoever_has_joined_a_list_as_ticked(office):
    """P3: with every email, as the daemon then sends them; the box stays as it is, and so does the portal."""
    fair = office.peer.do("create_list", "Met at the fair")
    office.crm.add_sequence("Intro", ["Hello", "Again"])
    file = office.peer.folder / "intro.toml"
    file.write_text(f"list = {fair.id}\n{file.read_text()}")
    office.play(hours=2)
    ann = office.crm.add_person(RecordKind.CONTACT, email="ann@firm.example", owner=office.rep)
    opted_out = office.crm.add_person(RecordKind.CONTACT, email="no@firm.example", owner=office.rep, opted_out=True)
    for one in (ann, opted_out):
        office.peer.do("join_list", fair, one.id)
    found = office.plan()
    assert [(one.address, one.subject) for one in found.sendings] == [
        ("ann@firm.example", "Hello"),
        ("ann@firm.example", "Again"),
    ]
    assert [one.record_id for one in found.not_started] == [opted_out.id]
    assert (office.crm.read(ann, "enrolled"), office.crm.read(ann, "status")) == (False, None)
    office.play(days=4)
    assert office.sent() == ["Hello", "Again"]


def test_the_doctor_says_where_the_app_s_webhooks_are_to_be_posted(office):
    """They are no deliveries but hints, and HubSpot has to know their address all the same."""
    file, url = office.folder / "config.toml", "https://mail.acme.example/hooks/hubspot/changes"
    text = file.read_text(encoding="utf-8")
    text = text.replace("\n[web]\n", '\n[web]\npublic_url = "https://mail.acme.example"\n')
    app = f'webhook_url = "{url}"\nclient_secrets = [{{ file = "token" }}]\n'
    text = text.replace("\n[crm.hubspot]\n", f"\n[crm.hubspot]\n{app}")
    file.write_text(text, encoding="utf-8")
    said = {finding.code: finding.what for finding in examine(file)}
    assert said["WEB-URL"] == f"vendors post to {url}."
