"""The sandbox's pages of sequences: what somebody from RevOps sees, changes, and is refused."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from world_stage import Stage

from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.pages import Pages, layouts
from crmdrip.sandbox.pages.layouts import READ_ONLY, REQUIRED, Section
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.world import World

HOST = "127.0.0.1:8183"
PACKAGE = Path(__file__).parents[2] / "mappings" / "salesforce" / "force-app" / "main" / "default"
FORM = {
    "Name": "Warm intro",
    "Drip_Status__c": "Paused",
    "Drip_Send_Days__c.Tue": "on",
    "Drip_Send_Days__c.Sat": "on",
    "Drip_Send_From__c": "08:30",
    "Drip_Send_Until__c": "18:00",
    "Drip_Minimum_Gap_Hours__c": "48",
    "Drip_Time_Zone_Policy__c": "Fixed",
    "Drip_Time_Zone__c": "Europe/Berlin",
    "Drip_Sender__c": "Fixed",
    "Drip_From_Address__c": "sales@acme.example",
    "Drip_Re_Enrollment__c": "After Days",
    "Drip_Re_Enroll_After_Days__c": "90",
    "Drip_Confirmed__c": "on",
}
STEP = {
    "Name": "Day 9: last word",
    "Drip_Order__c": "9.5",
    "Drip_Active__c": "on",
    "Drip_Kind__c": "Email",
    "Drip_Delay__c": "3",
    "Drip_Delay_Unit__c": "Business Days",
    "Drip_Continue_Thread__c": "on",
    "Drip_Body__c": "<p>Hi {{ contact.first_name }}</p>\r\n<p>Shall I close this?</p>",
}


@pytest.fixture(scope="module")
def shared() -> Stage:
    """For tests that change nothing."""
    return Stage(people=12)


@pytest.fixture
def stage() -> Stage:
    return Stage(people=12)


def sequence_of(stage: Stage) -> str:
    return next(iter(stage.world.sequences.values()))


def steps_of(stage: Stage, sequence: str) -> list[dict[str, Any]]:
    fields = "Id Name Drip_Order__c Drip_Active__c Drip_Delay__c Drip_Delay_Unit__c Drip_Subject__c Drip_Body__c"
    fields += " Drip_Continue_Thread__c Drip_Kind__c"
    return stage.rows("Drip_Step__c", fields, f"WHERE Drip_Sequence__c = '{sequence}' ORDER BY Drip_Order__c")


def row_of(stage: Stage, sequence: str, *fields: str) -> dict[str, Any]:
    return stage.rows("Drip_Sequence__c", " ".join(fields), f"WHERE Id = '{sequence}'")[0]


def ask(stage: Stage, method: str, path: str, form: dict[str, str] | None = None, origin: str = "") -> Response:
    path, _, query = path.partition("?")
    headers = {"host": HOST, "origin": origin or f"http://{HOST}"}
    body = urlencode(form or {}).encode()
    return stage.pages.handle(Request(method=method, path=path, raw_query=query, headers=headers, body=body))


def see(stage: Stage, path: str) -> str:
    response = ask(stage, "GET", path)
    assert response.status == 200, response.body.decode()
    return response.body.decode()


def save(stage: Stage, path: str, form: dict[str, str]) -> str:
    """Send a form that is taken; the page it leads to."""
    response = ask(stage, "POST", path, form)
    assert response.status == 303, response.body.decode()
    return see(stage, response.headers["Location"])


def refused(stage: Stage, path: str, form: dict[str, str]) -> str:
    """Send a form that is refused; the form as it comes back."""
    response = ask(stage, "POST", path, form)
    assert response.status == 400
    return response.body.decode()


def beside(page: str, field: str) -> str:
    """What stands beside a field in red, "" for nothing."""
    found = re.search(rf'class="problem" id="{field}-problem">([^<]*)<', page)
    return unescape(found[1]) if found else ""


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("Drip_Sequence__c-Drip Sequence Layout", layouts.SEQUENCE),
        ("Drip_Step__c-Drip Step Layout", layouts.STEP),
    ],
)
def test_the_pages_have_the_layout_of_the_package(name: str, layout: tuple[Section, ...]) -> None:
    """The same sections with the same fields, of which the same are required and the same can be edited."""
    space = "{http://soap.sforce.com/2006/04/metadata}"
    root = ET.parse(PACKAGE / "layouts" / f"{name}.layout-meta.xml").getroot()  # noqa: S314 - a file of this repository
    shipped = [
        (
            section.findtext(f"{space}label"),
            {
                item.findtext(f"{space}field"): item.findtext(f"{space}behavior")
                for item in section.iter(f"{space}layoutItems")
            },
        )
        for section in root.iter(f"{space}layoutSections")
    ]
    shipped = [(label, fields) for label, fields in shipped if fields]

    def behavior(section: Section, field: str) -> str:
        if section.read_only or field in READ_ONLY:
            return "Readonly"
        # Which sequence a new step is of is known by the page it is added on.
        return "Required" if field in REQUIRED or field == "Drip_Sequence__c" else "Edit"

    assert [(one.title, {field: behavior(one, field) for field in one.fields}) for one in layout] == shipped


def test_a_sequence_shows_every_field_of_its_layout(shared: Stage) -> None:
    """With what stands in it, times as people tell them and owners by name."""
    shared.org.update(sequence_of(shared), {"Drip_Sent_Count__c": 17})
    text = text_of(see(shared, f"/sequences/{sequence_of(shared)}"))
    for expected in ("Send Until 17:00", "Minimum Gap Hours 20", "Sent Count 17", "Confirmed Yes", "Created By Admin"):
        assert expected in text


def test_each_step_can_be_opened_from_its_sequence(shared: Stage) -> None:
    """And what the form asks for stands in it as the record has it."""
    sequence = sequence_of(shared)
    page = see(shared, f"/sequences/{sequence}")
    for step in steps_of(shared, sequence):
        path = f"/sequences/{sequence}/steps/{step['Id']}"
        assert f'href="{path}"' in page
        assert unescape(see(shared, path)).count(step["Drip_Body__c"]) == 1


def test_every_field_of_a_form_has_a_label_and_the_package_s_help(shared: Stage) -> None:
    """Somebody who cannot see the page is told the same."""
    for path in ("edit", "steps/new", f"steps/{steps_of(shared, sequence_of(shared))[0]['Id']}"):
        page = see(shared, f"/sequences/{sequence_of(shared)}/{path}")
        for name in re.findall(r'<(?:input|select|textarea) id="(\w+)"', page):
            assert f'for="{name}"' in page, name
        for described in re.findall(r'aria-describedby="([\w-]+)"', page):
            assert f'id="{described}"' in page
    assert "23:59 at the latest" in see(shared, f"/sequences/{sequence_of(shared)}/edit")


def test_a_form_needs_no_script(shared: Stage) -> None:
    """The policy forbids scripts, and no form carries one or a handler."""
    for path in ("/sequences/new", f"/sequences/{sequence_of(shared)}/edit", f"/sequences/{sequence_of(shared)}"):
        assert re.search(r"<script|\son\w+=|javascript:", see(shared, path)) is None


def test_a_form_that_was_not_touched_changes_nothing(stage: Stage) -> None:
    """What it was filled in with is what the record had."""
    sequence = sequence_of(stage)
    fields = ("Drip_Send_Days__c", "Drip_Send_From__c", "Drip_Minimum_Gap_Hours__c", "Drip_On_Conversion__c", "OwnerId")
    before = row_of(stage, sequence, *fields)
    page = see(stage, f"/sequences/{sequence}/edit")
    form = dict(re.findall(r'<input id="(\w+)" name="\w+" type="\w+"(?: step="any")? value="([^"]*)"', page))
    form |= dict(re.findall(r'<select id="(\w+)".*?<option value="([^"]*)" selected', page, re.DOTALL))
    form |= dict.fromkeys(re.findall(r'name="([\w.]+)" checked', page), "on")
    save(stage, f"/sequences/{sequence}/edit", {name: unescape(text) for name, text in form.items()})
    assert row_of(stage, sequence, *fields) == before


# --- what is changed --------------------------------------------------------------------------------------------------


def test_what_is_saved_is_what_the_org_holds(stage: Stage) -> None:
    """Picklists, days, times, numbers and boxes."""
    sequence = sequence_of(stage)
    page = save(stage, f"/sequences/{sequence}/edit", {**FORM, "OwnerId": stage.world.reps[1]})
    assert 'Sequence "Warm intro" was saved.' in text_of(page)
    found = row_of(stage, sequence, *(name for name in FORM if "." not in name), "OwnerId", "Drip_Send_Days__c")
    assert (
        found
        | {
            "Name": "Warm intro",
            "Drip_Status__c": "Paused",
            "Drip_Send_Days__c": "Tue;Sat",
            "Drip_Send_From__c": "08:30:00.000Z",
            "Drip_Send_Until__c": "18:00:00.000Z",
            "Drip_Minimum_Gap_Hours__c": 48.0,
            "Drip_From_Address__c": "sales@acme.example",
            "Drip_Re_Enroll_After_Days__c": 90.0,
            "Drip_Confirmed__c": True,
            "OwnerId": stage.world.reps[1],
        }
        == found
    )


def test_a_field_that_is_emptied_is_empty(stage: Stage) -> None:
    """And a box that is no longer ticked is off."""
    sequence = sequence_of(stage)
    owner = {"OwnerId": stage.world.reps[0]}
    save(stage, f"/sequences/{sequence}/edit", {**FORM, **owner})
    save(stage, f"/sequences/{sequence}/edit", {"Name": "Warm intro", **owner})
    names = ("Drip_Send_Days__c", "Drip_Send_From__c", "Drip_Minimum_Gap_Hours__c", "Drip_Confirmed__c")
    assert [row_of(stage, sequence, *names)[name] for name in names] == [None, None, None, False]


def test_what_the_daemon_writes_is_not_in_the_form(stage: Stage) -> None:
    """Figures, version and error stay as they are, whatever a form says of them."""
    sequence = sequence_of(stage)
    stage.org.update(sequence, {"Drip_Version__c": "abc", "Drip_Sent_Count__c": 5})
    form = {**FORM, "OwnerId": stage.world.reps[0], "Drip_Version__c": "typed", "Drip_Sent_Count__c": "9"}
    save(stage, f"/sequences/{sequence}/edit", form)
    found = row_of(stage, sequence, "Drip_Version__c", "Drip_Sent_Count__c")
    assert (found["Drip_Version__c"], found["Drip_Sent_Count__c"]) == ("abc", 5)


def test_a_new_sequence_is_a_draft_until_it_has_a_step(stage: Stage) -> None:
    """As the package's own rule has it: Live is refused, a step added, and then taken."""
    form = {"Name": "Mine", "OwnerId": stage.org.admin_id}
    problem = beside(refused(stage, "/sequences/new", {**form, "Drip_Status__c": "Live"}), "Drip_Status__c")
    assert problem.startswith("This sequence has no active step.")
    save(stage, "/sequences/new", {**form, "Drip_Status__c": "Draft"})
    (sequence,) = [row["Id"] for row in stage.rows("Drip_Sequence__c", "Id", "WHERE Name = 'Mine'")]
    save(stage, f"/sequences/{sequence}/steps/new", {**STEP, "Drip_Subject__c": "Hello"})
    page = save(stage, f"/sequences/{sequence}/edit", {**form, "Drip_Status__c": "Live"})
    assert "Active Steps 1" in text_of(page)


def test_the_form_of_a_new_sequence_begins_with_the_org_s_defaults(shared: Stage) -> None:
    """What nobody chooses is chosen, as in the org's own."""
    page = see(shared, "/sequences/new")
    for chosen in ("Draft", "Recipient", "Stop if Opportunity"):
        assert f'<option value="{chosen}" selected>' in page


def test_a_step_is_added_to_its_sequence(stage: Stage) -> None:
    """At its place, with the lines of its body as they were typed."""
    sequence = sequence_of(stage)
    page = save(stage, f"/sequences/{sequence}/steps/new", STEP)
    assert 'Step "Day 9: last word" was created.' in text_of(page)
    (step,) = [row for row in steps_of(stage, sequence) if row["Name"] == STEP["Name"]]
    assert (step["Drip_Order__c"], step["Drip_Delay__c"], step["Drip_Delay_Unit__c"]) == (9.5, 3.0, "Business Days")
    assert (step["Drip_Active__c"], step["Drip_Continue_Thread__c"]) == (True, True)
    assert step["Drip_Body__c"] == "<p>Hi {{ contact.first_name }}</p>\n<p>Shall I close this?</p>"


def test_a_step_is_changed(stage: Stage) -> None:
    """Also from an email to a task."""
    sequence = sequence_of(stage)
    step = steps_of(stage, sequence)[1]
    form = {**STEP, "Drip_Kind__c": "Task", "Drip_Subject__c": "Call"}
    save(stage, f"/sequences/{sequence}/steps/{step['Id']}", form)
    (changed,) = [row for row in steps_of(stage, sequence) if row["Id"] == step["Id"]]
    assert (changed["Drip_Kind__c"], changed["Drip_Subject__c"], changed["Drip_Order__c"]) == ("Task", "Call", 9.5)


def test_a_step_is_deleted_and_brought_back(stage: Stage) -> None:
    """The page that tells of it has the button that undoes it."""
    sequence = sequence_of(stage)
    before = steps_of(stage, sequence)
    path = f"/sequences/{sequence}/steps/{before[1]['Id']}"
    page = save(stage, f"{path}/delete", {})
    assert steps_of(stage, sequence) == [before[0], *before[2:]]
    assert f'Step "{before[1]["Name"]}" was deleted. Undo' in text_of(page)
    assert f'action="{path}/undelete"' in page
    save(stage, f"{path}/undelete", {})
    assert steps_of(stage, sequence) == before


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"Name": " "}, "Name", "Complete this field."),
        ({"Drip_Send_Until__c": "08:00"}, "Drip_Send_Until__c", "Send Until is not after Send From."),
        ({"Drip_Status__c": "Running"}, "Drip_Status__c", "Status: bad value for restricted picklist field: Running"),
        ({"Drip_From_Address__c": ""}, "Drip_From_Address__c", "From Address is empty, and Sender is Fixed."),
        ({"Drip_Re_Enroll_After_Days__c": ""}, "Drip_Re_Enroll_After_Days__c", "Re-enroll After Days is empty"),
        ({"Drip_Daily_Cap__c": "1000000000"}, "Drip_Daily_Cap__c", "Daily Cap: value outside of valid range"),
        ({"Drip_Time_Zone__c": "x" * 65}, "Drip_Time_Zone__c", "Time Zone: data value too large"),
        ({"OwnerId": "nobody"}, "OwnerId", "Owner ID: id value of incorrect type: nobody"),
    ],
)
def test_what_the_org_refuses_stands_beside_the_field(
    shared: Stage, typed: dict[str, str], field: str, words: str
) -> None:
    """In the org's words, with all that was typed still there, and nothing of it saved."""
    sequence = sequence_of(shared)
    form = {**FORM, "OwnerId": shared.world.reps[0], "Drip_Public_Name__c": "Product news", **typed}
    page = refused(shared, f"/sequences/{sequence}/edit", form)
    assert beside(page, field).startswith(words)
    assert f'href="#{field}"' in page
    assert 'value="Product news"' in page
    assert row_of(shared, sequence, "Drip_Public_Name__c")["Drip_Public_Name__c"] is None


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"Drip_Order__c": ""}, "Drip_Order__c", "This step has no Order."),
        ({"Drip_Body__c": ""}, "Drip_Body__c", "This email has no Body."),
        ({"Drip_Continue_Thread__c": ""}, "Drip_Continue_Thread__c", ""),
        ({"Drip_Delay__c": "-1"}, "Drip_Delay__c", "Delay is 0 or more"),
    ],
)
def test_a_step_that_the_org_refuses_is_not_added(stage: Stage, typed: dict[str, str], field: str, words: str) -> None:
    """The package's validation rules say why."""
    sequence = sequence_of(stage)
    before = steps_of(stage, sequence)
    form = {name: text for name, text in {**STEP, **typed}.items() if text}
    page = refused(stage, f"/sequences/{sequence}/steps/new", form)
    assert beside(page, field).startswith(words)
    assert steps_of(stage, sequence) == before


def test_what_concerns_no_field_stands_above_them(stage: Stage) -> None:
    """A row that another transaction holds, say."""
    sequence = sequence_of(stage)
    stage.org.lock_row(sequence)
    page = refused(stage, f"/sequences/{sequence}/edit", {**FORM, "OwnerId": stage.world.reps[0]})
    assert "We hit a snag. unable to obtain exclusive access to this record" in text_of(page)


def test_a_step_that_cannot_be_deleted_says_why(stage: Stage) -> None:
    """On the page of its sequence."""
    sequence = sequence_of(stage)
    step = steps_of(stage, sequence)[0]["Id"]
    stage.org.lock_row(step)
    assert "unable to obtain exclusive access" in text_of(save(stage, f"/sequences/{sequence}/steps/{step}/delete", {}))


@pytest.mark.parametrize("path", ["/sequences/nobody/edit", "/sequences/{other}/steps/{step}", "/sequences/{one}/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_record_that_is_not_there_is_404(shared: Stage, path: str, method: str) -> None:
    """So is a step under a sequence that it is not of."""
    one, other = list(shared.world.sequences.values())[:2]
    step = steps_of(shared, one)[0]["Id"]
    assert ask(shared, method, path.format(one=one, other=other, step=step), FORM).status == 404


def test_a_bare_org_has_no_sequences_to_edit() -> None:
    """Nothing offers a form, and one that is asked for says what is missing."""
    stage = Stage(people=12)
    org = SalesforceOrg(stage.clock, bare=True)
    stage.pages = Pages(org, stage.account, World(org, stage.account, stage.clock, people=12), stage.clock)
    assert "/sequences/new" not in see(stage, "/sequences")
    for method in ("GET", "POST"):
        response = ask(stage, method, "/sequences/new", FORM)
        assert response.status == 404
        assert "nothing of crmdrip is installed in this org yet" in text_of(response.body.decode())


def test_nothing_that_was_typed_reaches_a_page_unescaped(stage: Stage) -> None:
    """Markup in a name, a body or a notice is shown, never obeyed (B27)."""
    evil, sequence = '"><script>alert(1)</script>', sequence_of(stage)
    save(stage, f"/sequences/{sequence}/edit", {"Name": evil, "OwnerId": stage.world.reps[0]})
    step = {**STEP, "Name": evil, "Drip_Body__c": f"</textarea>{evil}"}
    page = save(stage, f"/sequences/{sequence}/steps/new", step)
    forms = see(stage, f"/sequences/{sequence}/edit") + refused(
        stage, f"/sequences/{sequence}/steps/new", {"Name": evil, **STEP, "Drip_Order__c": ""}
    )
    assert "<script" not in page + forms + see(stage, f"/sequences/{sequence}?said={evil}&deleted={evil}")


def test_a_form_of_another_site_is_refused(stage: Stage) -> None:
    """A page that is open in the same browser changes nothing."""
    sequence = sequence_of(stage)
    response = ask(stage, "POST", f"/sequences/{sequence}/edit", FORM, origin="http://evil.example")
    assert response.status == 403
    assert row_of(stage, sequence, "Name")["Name"] != "Warm intro"
