"""The whole sandbox with a HubSpot portal: its pages, the control API, and the process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hubspot import HubSpot

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.http import Request, Response, Server, ServerThread
from crmdrip.sandbox.hubspot import DEFAULT_TOKEN, HubSpotPortal
from crmdrip.sandbox.hubspot.sandbox import HubSpotSandbox
from crmdrip.sandbox.hubspot.site import PortalPages
from crmdrip.sandbox.hubspot.world import PortalWorld
from crmdrip.sandbox.sendgrid import SCOPES, SendGridAccount
from crmdrip.sandbox.world import NOBODY_REACTS, SENDING_DOMAIN, Person, StopKind, Trait

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOST = "127.0.0.1:8183"
EVIL = '"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def served() -> Iterator[HubSpotSandbox]:
    with HubSpotSandbox(people=60, now=MONDAY, habits=NOBODY_REACTS) as opened:
        yield opened


class Stage:
    """A portal, its world and its pages, without servers."""

    def __init__(self) -> None:
        self.clock = SandboxClock(MONDAY)
        self.portal = HubSpotPortal(self.clock)
        self.account = SendGridAccount(self.clock, api_keys={"key": SCOPES}, verified_domains=[SENDING_DOMAIN])
        self.world = PortalWorld(self.portal, self.account, self.clock, people=120, habits=NOBODY_REACTS)
        self.pages = PortalPages(self.portal, self.account, self.world, self.clock)


@pytest.fixture
def sandbox() -> Stage:
    return Stage()


def ordinary(sandbox: Stage | HubSpotSandbox, number: int = 0) -> Person:
    return [each for each in sandbox.world.people.values() if not each.traits][number]


def get(sandbox: Stage, path: str) -> Response:
    path, _, query = path.partition("?")
    return sandbox.pages.handle(Request(method="GET", path=path, raw_query=query, headers={"host": HOST}, body=b""))


def see(sandbox: Stage, path: str) -> str:
    response = get(sandbox, path)
    assert response.status == 200, response.body.decode()
    return response.body.decode()


def press(sandbox: Stage, path: str, **form: str) -> str:
    headers = {"host": HOST, "origin": f"http://{HOST}"}
    request = Request(method="POST", path=path, raw_query="", headers=headers, body=urlencode(form).encode())
    return sandbox.pages.handle(request).headers["Location"]


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


# --- pages ------------------------------------------------------------------------------------------------------------


def test_the_list_shows_contacts_with_box_status_and_reason(sandbox: Stage) -> None:
    """One row says it all; the contact with the brake is no person."""
    person = ordinary(sandbox)
    values = {"crmdrip_enrolled": "true", "crmdrip_status": "Active", "crmdrip_reason": "Step 1 of 4 went out."}
    sandbox.portal.update("contacts", person.id, values)
    page = see(sandbox, f"/people?q={person.address}")
    assert 'aria-checked="true"' in page
    assert "Step 1 of 4 went out." in text_of(page)
    assert "Nobody fits" in text_of(see(sandbox, "/people?q=heartbeat"))
    assert person.address.lower() in text_of(see(sandbox, "/people?status=active")).lower()


def test_contacts_are_found_by_their_company(sandbox: Stage) -> None:
    """The company that HubSpot associated, or the word on the contact itself where there is none."""
    company = sandbox.portal.create("companies", {"name": "Windmill & Sons"})
    sandbox.portal.create("contacts", {"lastname": "Quixote"}, companies=company)
    sandbox.portal.create("contacts", {"lastname": "Panza", "company": "Windmill & Sons"})
    assert "2 contacts" in text_of(see(sandbox, "/people?q=windmill"))
    assert "1 person" in text_of(see(sandbox, "/people?q=windmill+panza"))


def test_a_sequence_is_shown_and_not_edited(sandbox: Stage) -> None:
    """It stands in a file or in HubSpot's own objects: no page offers a form."""
    path = next(iter(re.findall(r'<a href="(/sequences/[^"]+)">', see(sandbox, "/sequences"))))
    for page in (see(sandbox, "/sequences"), see(sandbox, path)):
        assert "/edit" not in page
        assert "/new" not in page
    assert get(sandbox, f"{path}/edit").status == 404


def test_the_pages_of_the_list_hold_everybody_once(sandbox: Stage) -> None:
    """No page repeats or loses anyone."""
    found = [
        record_id
        for number in (1, 2, 3)
        for record_id in re.findall(r'<a href="/people/(\d+)">', see(sandbox, f"/people?page={number}"))
    ]
    assert sorted(found) == sorted(sandbox.world.people)


def test_the_record_shows_properties_and_timeline(sandbox: Stage) -> None:
    """Every property that is set under its label; what happened last stands on top."""
    person = ordinary(sandbox)
    email = {
        "hs_timestamp": "2026-03-02T08:00:00Z",
        "hs_email_direction": "EMAIL",
        "hs_email_subject": "Hello",
        "hs_email_text": "Hi there",
        "crmdrip_outcome": "Sent",
    }
    sandbox.portal.create("emails", email, contacts=person.id)
    sandbox.clock.set(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
    sandbox.world.actions.reply(person.address, "Sounds good")
    sandbox.clock.set(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))
    sandbox.world.actions.book_meeting(person.id)
    page = see(sandbox, f"/people/{person.id}")
    assert re.findall(r'<li class="(\w+)">', page) == ["meeting", "inbound", "email"]
    text = text_of(page)
    for expected in ("Sounds good", "Outcome Sent", "All properties", "Drip Enrolled", "hs_object_id"):
        assert expected in (page if expected == "hs_object_id" else text)


def test_an_old_id_leads_to_the_merged_record(sandbox: Stage) -> None:
    """As a link from before the merge does."""
    one = sandbox.world.find(Trait.SECOND_SELF)[0]
    target = press(sandbox, f"/people/{one.id}/merge", loser=one.partner)
    new = target.partition("?")[0].removeprefix("/people/")
    assert new not in (one.id, one.partner)
    assert get(sandbox, f"/people/{one.partner}").headers["Location"] == f"/people/{new}"


@pytest.mark.parametrize(
    ("button", "form", "kind"),
    [
        ("reply", {"text": "Yes"}, StopKind.REPLY),
        ("meeting", {}, StopKind.MEETING),
        ("opt_out", {}, StopKind.OPT_OUT),
        ("bounce", {}, StopKind.BOUNCE),
        ("spam", {}, StopKind.SPAM_REPORT),
        ("pause", {"days": "3"}, StopKind.PAUSED),
        ("opportunity", {}, StopKind.OPPORTUNITY),
        ("address", {"address": "new@else.example"}, StopKind.ADDRESS_CHANGED),
        ("delete", {}, StopKind.DELETED),
    ],
)
def test_a_button_does_what_it_says(sandbox: Stage, button: str, form: dict[str, str], kind: StopKind) -> None:
    """Each deed happens in the portal, and the oracle knows."""
    person = ordinary(sandbox)
    assert "said=" in press(sandbox, f"/people/{person.id}/{button}", **form)
    assert [stop.kind for stop in sandbox.world.stops.of(person.address)] == [kind]


def test_the_box_is_ticked_unticked_and_the_record_comes_back_from_deletion(sandbox: Stage) -> None:
    """By their buttons."""
    person = ordinary(sandbox)
    sequence = next(iter(sandbox.world.sequences.values()))
    press(sandbox, f"/people/{person.id}/tick", sequence=sequence)
    record = sandbox.portal.get("contacts", person.id)
    assert (record.get("crmdrip_enrolled"), record.get("crmdrip_sequence")) == ("true", sequence)
    press(sandbox, f"/people/{person.id}/untick")
    assert sandbox.portal.get("contacts", person.id).get("crmdrip_enrolled") == "false"
    press(sandbox, f"/people/{person.id}/delete")
    assert "recycle bin" in text_of(see(sandbox, f"/people/{person.id}"))
    press(sandbox, f"/people/{person.id}/undelete")
    assert sandbox.portal.get("contacts", person.id).archived is None


def test_what_the_portal_refuses_is_told(sandbox: Stage) -> None:
    """An address somebody else has."""
    one, other = ordinary(sandbox, 0), ordinary(sandbox, 1)
    told = press(sandbox, f"/people/{one.id}/address", address=other.address)
    assert "problem=Contact%20already%20exists" in told


def test_the_brake_is_pulled_on_the_control_contact(sandbox: Stage) -> None:
    """And released."""
    for state in ("pulled", "released"):
        press(sandbox, "/brake", brake=state)
        found = sandbox.portal.store.owner_of("contacts", "crmdrip_key", "crmdrip")
        assert found is not None
        assert (sandbox.portal.get("contacts", found).get("crmdrip_brake") == "true") is (state == "pulled")


def test_nothing_from_a_record_reaches_a_page_unescaped(sandbox: Stage) -> None:
    """Markup in a name, a title and a reason is shown, never obeyed (B27)."""
    person = ordinary(sandbox)
    sandbox.portal.update("contacts", person.id, {"firstname": EVIL, "jobtitle": EVIL, "crmdrip_reason": EVIL})
    sandbox.world.actions.reply(person.address, EVIL)
    for path in (f"/people/{person.id}", "/people?q=script", "/", "/sequences"):
        assert "<script" not in see(sandbox, path)


@pytest.mark.parametrize("path", ["/people/12", "/people/nobody", "/sequences/x", "/outbox/7"])
def test_what_does_not_exist_is_404(sandbox: Stage, path: str) -> None:
    """With a page that leads back."""
    assert get(sandbox, path).status == 404


def test_the_sequences_and_their_steps_are_shown(sandbox: Stage) -> None:
    """As they stand in the files."""
    listed = text_of(see(sandbox, "/sequences"))
    for name, sequence in sandbox.world.sequences.items():
        assert name in listed
        assert "Day 1" in text_of(see(sandbox, f"/sequences/{sequence}"))


# --- served -----------------------------------------------------------------------------------------------------------


def control(sandbox: HubSpotSandbox, name: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{sandbox.pages_url}/_sandbox/{name}", data)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
        return json.loads(answer.read())


def test_the_state_counts_people_of_the_portal(served: HubSpotSandbox) -> None:
    """Boxes, statuses and calls."""
    control(served, "tick_boxes", {"share": 0.5, "days": 0})
    person = ordinary(served)
    served.call(lambda: served.portal.update("contacts", person.id, {"crmdrip_status": "Held"}))
    client = HubSpot(access_token=DEFAULT_TOKEN, host=served.hubspot_url, retry=False)
    client.crm.contacts.basic_api.get_by_id(person.id)
    state = control(served, "state")
    assert state["ticked"] > 20
    assert state["statuses"] == {"Held": 1}
    assert state["crm_calls_by_kind"] == {"record": 1}
    assert state["unasked_opt_outs"] == 0


def test_faults_and_latency_are_asked_for_by_the_portal_s_name(served: HubSpotSandbox) -> None:
    """Not by Salesforce's, which is not there."""
    assert control(served, "faults", {"on": "hubspot", "clear": True})["added"] == 0
    assert control(served, "latency", {"hubspot": 0})["hubspot"] == 0
    with pytest.raises(urllib.error.HTTPError):
        control(served, "faults", {"on": "salesforce", "clear": True})


def test_a_program_is_told_of_boxes_and_answers_at_its_own_address(served: HubSpotSandbox) -> None:
    """Signed arrays, once the clock has moved; the example sequences come as files."""
    received: list[Request] = []

    def receive(request: Request) -> Response:
        received.append(request)
        return Response(status=204)

    receiver = Server(receive)
    with ServerThread(receiver):
        asked = {"url": f"{receiver.url}/hints", "secret": "s"}
        assert control(served, "webhooks", asked)["subscriptions"] > 5
        person = ordinary(served, 3)
        served.call(lambda: served.world.actions.tick(person.id, None))
        served.call(lambda: served.world.actions.reply(person.address, "Yes"))
        control(served, "clock", {"seconds": 1})
        while control(served, "pending")["requests"]:
            pass
    changed = {each["propertyName"] for request in received for each in request.json() if "propertyName" in each}
    assert "hs_sales_email_last_replied" in changed
    assert all("x-hubspot-signature-v3" in request.headers for request in received)
    assert set(control(served, "sequences")) == set(served.world.sequences.values())


def test_the_limits_can_be_changed_and_lifted(served: HubSpotSandbox) -> None:
    """For a play on a fast clock, in which nobody waits for real seconds; what is no limit is refused."""
    assert control(served, "limits", {"search_secondly": 1})["ten_secondly"] == 190
    request = urllib.request.Request(f"{served.pages_url}/_sandbox/limits", b"null")  # noqa: S310 - our own server
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - as above
    assert served.portal.meter.limits is None
    with pytest.raises(urllib.error.HTTPError):
        control(served, "limits", {"minutely": 1})


def test_the_process_serves_the_portal_and_ends(tmp_path: Path) -> None:
    """With its address in the ports file."""
    ports = tmp_path / "ports.json"
    command = [sys.executable, "-m", "crmdrip.sandbox", "--crm", "hubspot", "--people", "20", "--speed", "0"]
    command += ["--hubspot-port", "0", "--sendgrid-port", "0", "--pages-port", "0", "--ports-file", str(ports)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not ports.exists() and time.monotonic() < end and process.poll() is None:
            pass
        addresses = json.loads(ports.read_text())
        client = HubSpot(access_token=DEFAULT_TOKEN, host=addresses["hubspot"], retry=False)
        assert client.crm.owners.owners_api.get_page().results
        assert "salesforce" not in addresses
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
