"""The sandbox's pages: what a rep sees, and what the buttons do."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
from world_stage import MONDAY, Stage

from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.pages.kinds import ANSWERS
from crmdrip.sandbox.world import ClickWay, StopKind, Trait

HOST = "127.0.0.1:8183"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def get(stage: Stage, path: str, **headers: str) -> Response:
    path, _, query = path.partition("?")
    request = Request(method="GET", path=path, raw_query=query, headers={"host": HOST, **headers}, body=b"")
    return stage.pages.handle(request)


def see(stage: Stage, path: str) -> str:
    response = get(stage, path)
    assert response.status == 200, response.body.decode()
    return response.body.decode()


def press(stage: Stage, path: str, origin: str = f"http://{HOST}", **form: str) -> Response:
    headers = {"host": HOST, "origin": origin}
    request = Request(method="POST", path=path, raw_query="", headers=headers, body=urlencode(form).encode())
    return stage.pages.handle(request)


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_the_list_shows_people_with_box_status_and_reason(stage: Stage) -> None:
    """One row says it all: the box, the status and why."""
    person = stage.ordinary()
    stage.tick(person)
    reason = "Step 1 of 4 went out 2 Mar 2026, 09:00 (Europe/Berlin)."
    stage.org.update(person.id, {"Drip_Status__c": "Active", "Drip_Step__c": "1 of 4", "Drip_Reason__c": reason})
    page = see(stage, f"/people?q={person.address}")
    assert 'aria-checked="true"' in page
    for expected in (person.address, "Active", "1 of 4", reason):
        assert expected in text_of(page)


def test_people_are_found_by_words_of_name_or_address(stage: Stage) -> None:
    """Every word must fit somewhere; a percent sign is no wildcard."""
    stage.org.insert("Contact", {"FirstName": "Zoë", "LastName": "Quixote", "Email": "zq@windmill.example"})
    assert "1 person" in text_of(see(stage, "/people?q=quixote+windmill"))
    assert "Nobody fits" in text_of(see(stage, "/people?q=quixote+absent"))
    assert "Nobody fits" in text_of(see(stage, "/people?q=%25"))


def test_people_are_found_by_their_company(stage: Stage) -> None:
    """A contact by its account and a lead by what it says itself; one word of the company, one of the name."""
    account = stage.org.insert("Account", {"Name": "Windmill & Sons"})
    stage.org.insert("Contact", {"LastName": "Quixote", "AccountId": account})
    stage.org.insert("Lead", {"LastName": "Panza", "Company": "Windmill & Sons"})
    assert "2 leads and contacts" in text_of(see(stage, "/people?q=windmill"))
    assert "Panza" in text_of(see(stage, "/people?q=windmill+panza"))
    assert "1 person" in text_of(see(stage, "/people?q=windmill+panza"))


def test_a_filter_shows_only_that_status(stage: Stage) -> None:
    """Held people are one click away."""
    stage.org.update(stage.ordinary().id, {"Drip_Status__c": "Held"})
    assert "1 person" in text_of(see(stage, "/people?status=held"))


def test_the_pages_of_the_list_hold_everybody_once(stage: Stage) -> None:
    """Contacts and leads are sorted into one list, and no page repeats or loses anyone."""
    found = [
        record_id
        for number in (1, 2, 3)
        for record_id in re.findall(r'<a href="/people/(\w+)">', see(stage, f"/people?page={number}"))
    ]
    assert sorted(found) == sorted(stage.world.people)


def test_the_record_shows_the_state_in_plain_words(stage: Stage) -> None:
    """Status, sentence, step and next touch, in the owner's time zone."""
    person = stage.ordinary()
    stage.org.update(
        person.id,
        {
            "Drip_Status__c": "Held",
            "Drip_Reason__c": "Waiting: missing Title. Fill it in and the email goes out at the next opening.",
            "Drip_Step__c": "2 of 4",
            "Drip_Next_Touch__c": MONDAY + timedelta(days=1),
            "OwnerId": stage.world.reps[2],
        },
    )
    text = text_of(see(stage, f"/people/{person.id}"))
    assert "Waiting: missing Title." in text
    assert "Step 2 of 4" in text
    assert "Next touch Tue 3 Mar 2026, 09:00" in text
    assert "Times in Europe/Berlin" in text


def test_the_timeline_shows_emails_replies_and_meetings_newest_first(stage: Stage) -> None:
    """What happened last stands on top, each with its kind."""
    person = stage.ordinary()
    email = stage.send(person.address, "f" * 32)
    task = {
        "WhoId": person.id,
        "Subject": "[Drip] [Email] [Out] Hello",
        "Status": "Completed",
        "TaskSubtype": "Email",
        "Description": "Hi there,\nall the best",
        "Drip_Touch_Id__c": "f" * 32,
        "Drip_Outcome__c": "Sent",
    }
    stage.org.insert("Task", task)
    stage.world.advance(MONDAY + timedelta(hours=1))
    stage.actions.reply(person.address, "Sounds good", to=email)
    stage.world.advance(MONDAY + timedelta(hours=2))
    stage.actions.book_meeting(person.id)
    page = see(stage, f"/people/{person.id}")
    assert re.findall(r'<li class="(\w+)">', page) == ["meeting", "inbound", "email"]
    assert "Sounds good" in page
    assert "Outcome Sent" in text_of(page)
    assert 'href="/outbox/0"' in page


def test_an_email_is_shown_as_it_was_received(stage: Stage) -> None:
    """The HTML stands in a frame that runs nothing; text, headers and the touch stand beside it."""
    stage.send(stage.ordinary().address, "f" * 32)
    page = see(stage, "/outbox/0")
    assert '<iframe sandbox=""' in page
    assert "&lt;script&gt;alert(1)" in page
    for expected in ("plain <text>", "List-Unsubscribe", "f" * 32, "Hello & welcome"):
        assert expected in text_of(page)


def test_the_outbox_lists_the_newest_first_and_finds_a_recipient(stage: Stage) -> None:
    """Everything accepted can be found again."""
    one, other = stage.ordinary(number=0).address, stage.ordinary(number=1).address
    stage.send(one)
    stage.send(other)
    page = see(stage, "/outbox")
    assert page.index(other) < page.index(one)
    assert one not in see(stage, f"/outbox?q={other}")


def test_a_sequence_is_shown_with_its_steps(stage: Stage) -> None:
    """Delays are told in words and templates as RevOps wrote them."""
    text = text_of(see(stage, f"/sequences/{next(iter(stage.world.sequences.values()))}"))
    assert "At once, in the window Day 1: intro" in text
    assert "2 days later · same thread Day 3: follow-up" in text
    assert '{{ contact.first_name | default: "there" }}' in text
    assert "Warm intro, four touches" in see(stage, "/sequences")


@pytest.mark.parametrize("page", ["/sequences", "one"])
def test_the_send_window_is_told_as_people_tell_times(stage: Stage, page: str) -> None:
    """Hours and minutes, not the API's 09:00:00.000Z."""
    path = f"/sequences/{next(iter(stage.world.sequences.values()))}" if page == "one" else page
    assert "09:00 to 17:00" in text_of(see(stage, path))


def test_the_home_page_counts_what_must_be_nought(stage: Stage) -> None:
    """Touches sent twice and emails after a stop stand out."""
    person = stage.ordinary()
    stage.send(person.address, "twice")
    stage.actions.opt_out(person.id)
    stage.send(person.address, "twice")
    text = text_of(see(stage, "/"))
    assert "1 touches sent twice" in text
    assert "1 emails after a stop" in text


def test_nothing_from_a_record_reaches_a_page_unescaped(stage: Stage) -> None:
    """Markup in a name, a title and a reason is shown, never obeyed (B27)."""
    person = stage.ordinary()
    evil = '"><script>alert(1)</script>'
    stage.org.update(person.id, {"FirstName": evil, "Title": evil, "Drip_Reason__c": evil})
    stage.actions.reply(person.address, evil)
    for path in (f"/people/{person.id}", "/people?q=script", f"/people/{person.id}?problem={evil}", "/"):
        assert "<script" not in see(stage, path)


def test_no_page_needs_or_allows_a_script(stage: Stage) -> None:
    """The policy forbids scripts, and no page carries one or a handler."""
    person = stage.ordinary()
    stage.send(person.address)
    sequence = next(iter(stage.world.sequences.values()))
    for path in (
        "/",
        "/people",
        f"/people/{person.id}",
        "/outbox",
        "/outbox/0",
        "/sequences",
        f"/sequences/{sequence}",
    ):
        response = get(stage, path)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert re.search(r"<script|\son\w+=|javascript:|https?://(?!127)", response.body.decode()) is None, path


def test_the_style_sheet_comes_from_the_package(stage: Stage) -> None:
    """Served locally, and no other file of the package is."""
    response = get(stage, "/static/style.css")
    assert (response.status, response.content_type) == (200, "text/css; charset=utf-8")
    assert get(stage, "/static/..").status == 404
    assert get(stage, "/static/__init__.py").status == 404


@pytest.mark.parametrize(
    "path", ["/nothing", "/people/003000000000000AAA", "/people/nobody", "/outbox/7", "/sequences/x"]
)
def test_what_does_not_exist_is_404(stage: Stage, path: str) -> None:
    """With a page that leads back."""
    response = get(stage, path)
    assert response.status == 404
    assert b"All people" in response.body


# --- what buttons do --------------------------------------------------------------------------------------------------


def test_the_box_is_ticked_and_unticked_by_its_button(stage: Stage) -> None:
    """Ticking sets the chosen sequence; both lead back to where the button was."""
    person = stage.ordinary()
    sequence = next(iter(stage.world.sequences.values()))
    ticked = press(stage, f"/people/{person.id}/tick", sequence=sequence, back="/people?page=2")
    assert (ticked.status, ticked.headers["Location"]) == (303, "/people?page=2")
    assert stage.field(person.id, "Drip_Sequence__c") == sequence
    press(stage, f"/people/{person.id}/untick")
    assert stage.field(person.id, "Drip_Enrolled__c") is False


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
def test_a_button_does_what_it_says(stage: Stage, button: str, form: dict[str, str], kind: StopKind) -> None:
    """Each deed happens in the org, and the oracle knows."""
    person = stage.ordinary()
    response = press(stage, f"/people/{person.id}/{button}", **form)
    assert response.headers["Location"].startswith(f"/people/{person.id}?said=")
    assert [stop.kind for stop in stage.world.stops.of(person.address)] == [kind]


def test_an_answer_on_the_timeline_looks_like_one(stage: Stage) -> None:
    """The package logs it as a task, beside the emails that went out."""
    person = stage.ordinary()
    for subject in ("Replied: Re: Hello", "[Drip] [Email] [Out] Hello"):
        stage.org.insert(
            "Task", {"WhoId": person.id, "Subject": subject, "TaskSubtype": "Email", "Status": "Completed"}
        )
    assert set(re.findall(r'<li class="(\w+)">', see(stage, f"/people/{person.id}"))) == {"inbound", "email"}


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_everything_can_come_back_by_a_button(stage: Stage, kind: str) -> None:
    """In the chosen language; the outbox and the email's page show what it really is."""
    person = stage.ordinary()
    stage.send(person.address, "t1")
    where = press(stage, f"/people/{person.id}/answer", kind=kind, language="pl").headers["Location"]
    (answer,) = stage.actions.answers.all
    assert "said=" in where
    assert answer.language == "pl"
    for page in ("/outbox", "/outbox/0"):
        assert answer.truth.value.replace("_", " ") in text_of(see(stage, page))


def test_nothing_comes_back_before_an_email_went_out(stage: Stage) -> None:
    """And nobody answers in a way that there is not."""
    person = stage.ordinary()
    for form in ({"kind": "reply"}, {"kind": "nonsense"}):
        assert "problem=" in press(stage, f"/people/{person.id}/answer", **form).headers["Location"]
    assert stage.actions.answers.all == []


def test_a_reply_in_one_s_own_words_answers_the_newest_email(stage: Stage) -> None:
    """Where there is one, it is quoted; without one the words are logged all the same."""
    person = stage.ordinary()
    press(stage, f"/people/{person.id}/reply", text="Before")
    stage.send(person.address, "t1")
    press(stage, f"/people/{person.id}/reply", text="After")
    texts = [row["TextBody"] for row in stage.rows("EmailMessage", "TextBody", "ORDER BY CreatedDate, Id")]
    assert texts[0] == "Before"
    assert texts[1].startswith("After")
    assert "plain <text>" in texts[1]


def test_a_record_changes_owner(stage: Stage) -> None:
    """The chosen rep owns it."""
    person = stage.ordinary()
    press(stage, f"/people/{person.id}/owner", owner=stage.world.reps[3])
    assert stage.field(person.id, "OwnerId") == stage.world.reps[3]


def test_converting_leads_to_the_contact(stage: Stage) -> None:
    """And the lead's page says where to go."""
    lead = stage.ordinary("Lead")
    contact = press(stage, f"/people/{lead.id}/convert").headers["Location"].partition("?")[0]
    assert contact.startswith("/people/003")
    assert f'href="{contact}"' in see(stage, f"/people/{lead.id}")


def test_merging_leaves_a_way_from_the_loser_to_the_winner(stage: Stage) -> None:
    """The loser's page names the winner."""
    winner, loser = stage.ordinary(number=0), stage.ordinary(number=1)
    press(stage, f"/people/{winner.id}/merge", loser=loser.id)
    assert f'href="/people/{winner.id}"' in see(stage, f"/people/{loser.id}")


def test_a_deleted_record_can_be_restored(stage: Stage) -> None:
    """Its page offers the way back."""
    person = stage.ordinary()
    press(stage, f"/people/{person.id}/delete")
    assert "recycle bin" in see(stage, f"/people/{person.id}")
    press(stage, f"/people/{person.id}/undelete")
    assert stage.actions.record(person.id)["IsDeleted"] is False


def test_unsubscribe_presses_the_link_of_the_newest_email(stage: Stage) -> None:
    """And says so when there is none yet."""
    person = stage.ordinary()
    assert "problem=" in press(stage, f"/people/{person.id}/unsubscribe").headers["Location"]
    stage.send(person.address)
    press(stage, f"/people/{person.id}/unsubscribe")
    press(stage, f"/people/{person.id}/unsubscribe_page")
    assert [(click.address, click.way) for click in stage.actions.one_clicks] == [
        (person.address, ClickWay.ONE_CLICK),
        (person.address, ClickWay.PAGE),
    ]


def test_what_the_org_refuses_is_shown(stage: Stage) -> None:
    """The vendor's own words come back as a note on the record."""
    person = stage.ordinary()
    where = press(stage, f"/people/{person.id}/address", address="no address").headers["Location"]
    assert "invalid email address" in text_of(see(stage, where))


def test_somebody_without_an_address_cannot_reply(stage: Stage) -> None:
    """The note says why."""
    person = stage.world.find(Trait.NO_ADDRESS)[0]
    where = press(stage, f"/people/{person.id}/reply").headers["Location"]
    assert "this person has no email address" in text_of(see(stage, where))


def test_forms_of_other_sites_are_refused(stage: Stage) -> None:
    """A page elsewhere cannot press buttons here, and a foreign name for this machine opens nothing."""
    person = stage.ordinary()
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9"):
        assert press(stage, f"/people/{person.id}/delete", origin=origin).status == 403
    assert get(stage, "/people", host="evil.example").status == 403
    assert stage.actions.record(person.id)["IsDeleted"] is False


def test_a_button_never_leads_to_another_site(stage: Stage) -> None:
    """Where to go back to is only believed within the list."""
    person = stage.ordinary()
    where = press(stage, f"/people/{person.id}/untick", back="//evil.example").headers["Location"]
    assert where.startswith(f"/people/{person.id}?")


# --- the emergency brake ----------------------------------------------------------------------------------------------


def test_the_home_page_pulls_the_emergency_brake_and_releases_it(stage: Stage) -> None:
    """Any admin can, from the first page, and sees that it is pulled."""
    for form, expected, sight in (("pulled", True, "brake is pulled"), ("released", False, "Pull the brake")):
        assert press(stage, "/brake", brake=form).status == 303
        (control,) = stage.org.select("SELECT Drip_Brake__c FROM Drip_Control__c")
        assert control["Drip_Brake__c"] is expected
        assert sight in text_of(see(stage, "/"))


def test_the_home_page_shows_when_the_daemon_last_looked(stage: Stage) -> None:
    """A daemon that no longer runs is seen where people look."""
    (control,) = stage.org.select("SELECT Id FROM Drip_Control__c")
    stage.org.update(control["Id"], {"Drip_Heartbeat__c": MONDAY, "Drip_State__c": "Running."})
    assert "crmdrip last looked Mon 2 Mar 2026, 08:00 UTC and said: Running." in text_of(see(stage, "/"))


def test_a_brake_that_was_deleted_is_not_offered(stage: Stage) -> None:
    """The home page works without it."""
    (control,) = stage.org.select("SELECT Id FROM Drip_Control__c")
    stage.org.delete(control["Id"])
    assert "brake" not in text_of(see(stage, "/"))
    assert press(stage, "/brake", brake="pulled").status == 404
