"""The unsubscribe page in a real browser: by mouse, by keyboard, without JavaScript, in the dark and on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from contrast import contrast
from open_door import OpenDoor
from stage import Stage

from crmdrip.core.keys import person_key
from crmdrip.core.model import RunStatus
from crmdrip.ledger import people

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install crmdrip[test]")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser: apt-get install chromium")

ANN = "ann@acme.example"
PHONE = {"width": 320, "height": 568}
"""CSS pixels; also what a desktop shows at 400 % (WCAG 1.4.10)."""

AXE_LIKE = """() => {
  const shown = e => { const b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0; };
  const name = e => (e.getAttribute('aria-label') || e.textContent).trim();
  const outside = [...document.body.querySelectorAll('h1, p, form, button')].filter(e => !e.closest('main'));
  return {
    headings: [...document.querySelectorAll('h1')].filter(shown).length,
    mains: document.querySelectorAll('main').length,
    footers: document.querySelectorAll('body > footer').length,
    outside: outside.length,
    unnamed: [...document.querySelectorAll('button')].filter(e => !name(e)).length,
    small: [...document.querySelectorAll('button')].filter(e => e.getBoundingClientRect().height < 44).length,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    language: document.documentElement.lang,
    title: document.title,
  };
}"""
"""What axe-core's rules for such a page ask: page-has-heading-one, landmark-one-main, region, button-name, target-size,
html-has-lang, document-title; and that nothing has to be scrolled sideways (WCAG 1.4.10)."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_api.sync_playwright() as playwright:
        # As root, as in a container, Chromium refuses its own sandbox; it visits one page of ours on this machine.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def ann(stage: Stage) -> str:
    """A contact who has got an email of a sequence that may be left alone."""
    contact = stage.contact(ANN)
    stage.tick(contact, stage.sequence(Drip_Public_Name__c="Product news"))
    stage.turn()
    return contact


@pytest.fixture
def url(door: OpenDoor, ann: str) -> str:
    """What the link in the email opens."""
    return f"http://127.0.0.1:{door.door.port}{door.link(ANN)}"


def open_page(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    response = page.goto(url)
    assert response is not None
    assert response.status == 200
    return page


def is_suppressed(stage: Stage) -> bool:
    with stage.parts.ledger.read() as connection:
        return bool(people.suppressed(connection, [person_key(ANN)]))


def test_the_button_unsubscribes_without_javascript(browser: Browser, url: str, stage: Stage, ann: str) -> None:
    """B22: a plain form; opening the page alone changes nothing."""
    with browser.new_context(java_script_enabled=False, locale="en-GB") as context:
        page = open_page(context, url)
        assert stage.run(ann).status.live
        page.get_by_role("button", name="Stop all emails").click()
        page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert stage.run(ann).status is RunStatus.STOPPED
    assert is_suppressed(stage)


def test_the_other_button_leaves_one_sequence(browser: Browser, url: str, stage: Stage, ann: str) -> None:
    """B22: and the page that follows can still stop everything."""
    with browser.new_context(java_script_enabled=False, locale="en-GB") as context:
        page = open_page(context, url)
        page.get_by_role("button", name="Stop only “Product news”").click()
        page.get_by_text("You will not receive “Product news” any more.").wait_for()
        assert stage.run(ann).reason == "stop.left_sequence"
        assert not is_suppressed(stage)
        page.get_by_role("button", name="Stop all emails").click()
        page.get_by_text("You will not receive these emails any more.").wait_for()
    assert is_suppressed(stage)


def test_the_keyboard_alone_is_enough(browser: Browser, url: str, stage: Stage) -> None:
    """WCAG 2.1.1, 2.4.7: one Tab reaches the button for everything, a ring shows it, Enter presses it."""
    with browser.new_context(locale="en-GB") as context:
        page = open_page(context, url)
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        assert focused.inner_text() == "Stop all emails"
        assert focused.evaluate("e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]") == [
            "solid",
            "3px",
        ]
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Stop only “Product news”"
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert is_suppressed(stage)


@pytest.mark.parametrize(
    ("locale", "button"),
    [("de-AT", "Alle E-Mails abbestellen"), ("ja", "すべての配信を停止"), ("zh-CN", "Stop all emails")],
)
def test_the_page_speaks_the_browser_s_language(browser: Browser, url: str, locale: str, button: str) -> None:
    """As the browser itself asks for it; else the language of the emails."""
    with browser.new_context(locale=locale) as context:
        assert open_page(context, url).get_by_role("button", name=button).is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en", "de", "fr", "es", "pt", "it", "nl", "pl", "sv", "ja"])
def test_every_language_fits_a_small_phone(browser: Browser, url: str, locale: str, scheme: str) -> None:
    """Landmarks, names and sizes as rendered, before and after the press; nothing runs off the side."""
    with browser.new_context(locale=locale, viewport=PHONE, color_scheme=scheme) as context:
        page = open_page(context, url)
        for pressed in (False, True):
            if pressed:
                with page.expect_navigation():
                    page.locator("button").last.click()
            found = page.evaluate(AXE_LIKE)
            assert found.pop("title")
            assert found == {
                "headings": 1,
                "mains": 1,
                "footers": 1,
                "outside": 0,
                "unnamed": 0,
                "small": 0,
                "wide": False,
                "language": locale,
            }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_rendered_colours_have_enough_contrast(browser: Browser, url: str, scheme: str) -> None:
    """WCAG 1.4.3: as the browser computes them, for whatever shows text."""
    with browser.new_context(locale="en-GB", color_scheme=scheme) as context:
        page = open_page(context, url)
        pairs = page.evaluate(
            """() => [...document.querySelectorAll('h1, p, button, footer')].map(e => {
                 let behind = e;
                 while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
                 return [getComputedStyle(e).color, getComputedStyle(behind).backgroundColor];
               })"""
        )
    assert len(pairs) == 5
    for text, ground in pairs:
        assert contrast(_hex(text), _hex(ground)) >= 4.5, (text, ground)


def _hex(colour: str) -> str:
    """The colour "rgb(31, 35, 40)" as "#1f2328"."""
    return "#" + "".join(f"{int(part):02x}" for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


def test_the_browser_asks_nobody_else(browser: Browser, url: str, door: OpenDoor) -> None:
    """B28: the page loads nothing, and its own policy breaks nothing of it."""
    asked: list[str] = []
    complaints: list[str] = []
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(url)
        page.get_by_role("button", name="Stop all emails").click()
        page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert {one.split("/u/")[0] for one in asked if not one.endswith("/favicon.ico")} == {
        f"http://127.0.0.1:{door.door.port}"
    }
    assert [one for one in complaints if "favicon" not in one] == []
