"""Presses Unsubscribe for the people of the world: in the mail program (RFC 8058), or on the page behind the link."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

from crmdrip.sandbox.courier import Errand, Outcome, Post, carry
from crmdrip.sandbox.world import ClickWay, OneClick

BODY = b"List-Unsubscribe=One-Click"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}

Report = Callable[[OneClick, str], None]
"""Told of each unsubscribe: the problem, "" when it was answered with success."""


class Clicker:
    """Hands requests to a courier, so that whoever unsubscribes never waits."""

    def __init__(self, post: Post, report: Report) -> None:
        self._post = post
        self._report = report

    def post(self, click: OneClick) -> None:
        """Unsubscribe soon, the way the person chose. `report` is called exactly once."""
        if click.way is ClickWay.PAGE:
            self._post(Errand(url=click.url, method="GET"), lambda outcome: self._submit(click, outcome))
            return
        errand = Errand(url=click.url, body=BODY, headers=_FORM)
        self._post(errand, lambda outcome: self._report(click, outcome.problem))

    def scan(self, url: str) -> None:
        """A mail gateway looks where the link leads. It presses nothing."""
        self._post(Errand(url=url, method="GET"), lambda _: None)

    def _submit(self, click: OneClick, page: Outcome) -> None:
        form = read_form(click.url, page.body.decode("utf-8", "replace"))
        if page.problem or form is None:
            self._report(click, page.problem or "the page has no button")
            return
        self._post(form, lambda outcome: self._report(click, outcome.problem))


def press(url: str) -> str:
    """Post to the link once; what went wrong, "" for success."""
    return carry(Errand(url=url, body=BODY, headers=_FORM)).problem


def read_form(url: str, page: str) -> Errand | None:
    """What the button of the page's first form sends, None when there is no form that posts."""
    reader = _FormReader()
    reader.feed(page)
    if reader.action is None:
        return None
    return Errand(url=urljoin(url, reader.action), body=urlencode(reader.values).encode(), headers=_FORM)


class _FormReader(HTMLParser):
    """Finds the first form with method POST and its hidden inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.values: list[tuple[str, str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form" and self.action is None and (found.get("method") or "").lower() == "post":
            self.action, self._inside = found.get("action") or "", True
        elif tag in ("input", "button") and self._inside and found.get("name"):
            self.values.append((str(found["name"]), found.get("value") or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
