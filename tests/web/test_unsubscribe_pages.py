"""The unsubscribe page as it is read: by people, in ten languages, by screen readers, on every screen (P7)."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from contrast import contrast
from hypothesis import given
from hypothesis import strategies as st

from crmdrip.core.footer import WORDINGS
from crmdrip.web.pages import DARK, HEADERS, LIGHT, Page, Pages
from crmdrip.web.wording import WORDS

PAGES = Pages("Acme <GmbH>", "1 Main Street\n\n10115 Berlin", "en")


def all_pages(language: str) -> list[Page]:
    """Every page there is, in a language."""
    return [
        PAGES.ask(language),
        PAGES.ask(language, "News"),
        PAGES.done(language),
        PAGES.left(language, "News"),
        PAGES.unknown(language),
        PAGES.later(language),
    ]


class Outline(HTMLParser):
    """What a screen reader finds: elements with their text."""

    VOID = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[int, str] = {}
        self._open: list[int] = []
        self.crooked: list[str] = []
        self.feed(page.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(len(self.found) - 1)

    def handle_endtag(self, tag: str) -> None:
        """It must close what was opened last."""
        if not self._open or self.found[self._open.pop()][0] != tag:
            self.crooked.append(tag)

    def handle_data(self, data: str) -> None:
        """Text belongs to everything around it."""
        for number in self._open:
            self.texts[number] = self.texts.get(number, "") + data

    def texts_of(self, tag: str) -> list[str]:
        """The text of each such element."""
        return [self.texts.get(n, "").strip() for n, (name, _) in enumerate(self.found) if name == tag]


@pytest.mark.parametrize("language", sorted(WORDINGS))
class TestLanguages:
    """Each of the ten."""

    def test_every_page_says_which_language_it_is_in(self, language: str) -> None:
        """WCAG 3.1.1: a screen reader chooses its voice by it."""
        for page in all_pages(language):
            (root,) = [attrs for tag, attrs in Outline(page).found if tag == "html"]
            assert (page.language, root["lang"], root["dir"]) == (language, language, "ltr")

    def test_every_page_differs_from_that_in_english(self, language: str) -> None:
        """P7: who got the email in Polish does not meet English behind its link."""
        for page, english in zip(all_pages(language), all_pages("en"), strict=True):
            heading, other = Outline(page).texts_of("h1"), Outline(english).texts_of("h1")
            assert (heading == other) is (language == "en")

    def test_the_pages_can_be_told_apart(self, language: str) -> None:
        """Nobody takes "try again" for "done"."""
        assert len({page.text for page in all_pages(language)}) == 6

    def test_each_has_one_heading_a_main_part_and_a_footer(self, language: str) -> None:
        """WCAG 1.3.1, 2.4.2, 2.4.6."""
        for page in all_pages(language):
            outline = Outline(page)
            assert outline.crooked == []
            assert [len(outline.texts_of(tag)) for tag in ("h1", "main", "footer", "title")] == [1, 1, 1, 1]
            assert all(outline.texts_of(tag)[0] for tag in ("h1", "title"))
            assert outline.texts_of("h1")[0] in outline.texts_of("title")[0]

    def test_each_button_says_what_it_does_and_is_in_a_form_that_posts(self, language: str) -> None:
        """WCAG 4.1.2, B22."""
        for page in all_pages(language):
            outline = Outline(page)
            assert all(outline.texts_of("button"))
            assert len(set(outline.texts_of("button"))) == len(outline.texts_of("button"))
            forms = [attrs for tag, attrs in outline.found if tag == "form"]
            assert len(forms) == len(outline.texts_of("button"))
            assert all(form == {"method": "post"} for form in forms)

    def test_every_page_says_who_is_asking(self, language: str) -> None:
        """P7: with the address, as the email does; as text, whatever it is."""
        for page in all_pages(language):
            assert "Acme &lt;GmbH&gt;" in page.text
            assert Outline(page).texts_of("footer") == ["Acme <GmbH>1 Main Street10115 Berlin"]

    def test_the_name_of_a_sequence_stands_where_the_words_want_it(self, language: str) -> None:
        """Both where it is offered and where it is confirmed."""
        assert Outline(PAGES.ask(language, "N&ws")).texts_of("bdi")[0] == "N&ws"
        assert "N&ws" in Outline(PAGES.left(language, "N&ws")).texts_of("p")[0]


def test_the_page_has_words_for_the_languages_of_the_footer() -> None:
    """No more and no fewer."""
    assert WORDS.keys() == WORDINGS.keys()


def test_nothing_of_any_page_runs_or_is_fetched() -> None:
    """B28: no script, no image, no style from elsewhere; and the header forbids it all."""
    for page in all_pages("en"):
        assert not re.search(r"<(script|link|img|iframe|object|svg)|\son\w+=|style=|https?:|url\(", page.text)
    assert HEADERS["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")


@given(st.text(max_size=40))
def test_no_name_breaks_out_of_the_page(name: str) -> None:
    """B27: RevOps may type anything into a public name."""
    outline = Outline(PAGES.left("en", name))
    assert outline.crooked == []
    assert [tag for tag, _ in outline.found if tag in ("script", "img", "a")] == []


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_has_enough_contrast(colours: dict[str, str]) -> None:
    """WCAG 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for the button's edge and the ring around what has the focus."""
    ground = colours["ground"]
    for text, behind in [("text", ground), ("muted", ground), ("button", ground), ("on-button", colours["button"])]:
        assert contrast(colours[text], behind) >= 4.5, text
    assert contrast(colours["text"], ground) >= 3


def test_contrast_is_computed_as_wcag_says() -> None:
    """Black on white is 21; the example of the definition."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
