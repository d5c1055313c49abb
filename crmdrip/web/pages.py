"""The unsubscribe page: without scripts, without anything a request brought along, in the language of whoever reads.

Every page has one heading, a main part and a footer that says who is asking; each button says what it does. Colours
are chosen for a contrast of at least 4.5 to 1 on light and on dark screens (WCAG 2.2, 1.4.3), which a test computes.
"""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass
from string import Template

from crmdrip.core.footer import WORDINGS
from crmdrip.web.languages import choose_language
from crmdrip.web.wording import WORDS

SCOPE = "scope"
SEQUENCE = "sequence"
"""The form field that asks for less than everything, and its one value. Everything else that is posted means all."""

LIGHT = {"ground": "#ffffff", "text": "#1f2328", "muted": "#59636e", "button": "#0b57d0", "on-button": "#ffffff"}
DARK = {"ground": "#0d1117", "text": "#e6edf3", "muted": "#9198a1", "button": "#8ab4f8", "on-button": "#0d1117"}


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


_STYLE = f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; min-height: 100vh; min-height: 100dvh; padding: 1.5rem; display: flex; flex-direction: column;
  align-items: center; background: var(--ground); color: var(--text); font: 1.0625rem/1.5 system-ui, sans-serif; }}
main {{ flex: 1; display: flex; flex-direction: column; justify-content: center; width: 100%; max-width: 26rem;
  text-align: center; overflow-wrap: anywhere; }}
h1 {{ margin: 0 0 .75rem; font-size: 1.625rem; line-height: 1.25; text-wrap: balance; }}
p {{ margin: 0 0 1.25rem; text-wrap: balance; }}
form {{ margin: 0 0 .75rem; }}
button {{ width: 100%; min-height: 3rem; padding: .6rem 1.25rem; font: inherit; font-weight: 600; cursor: pointer;
  color: var(--on-button); background: var(--button); border: 2px solid var(--button); border-radius: .625rem; }}
button.less {{ color: var(--button); background: transparent; }}
button:hover {{ text-decoration: underline; }}
button:focus-visible {{ outline: 3px solid var(--text); outline-offset: 3px; }}
footer {{ max-width: 26rem; text-align: center; font-size: .875rem; color: var(--muted); overflow-wrap: anywhere; }}
"""

_PAGE = Template(
    '<!doctype html>\n<html lang="$language" dir="ltr">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="robots" content="noindex">\n'
    '<meta name="color-scheme" content="light dark">\n'
    "<title>$title</title>\n<style>$style</style>\n</head>\n"
    "<body>\n<main>\n<h1>$heading</h1>\n$content\n</main>\n<footer>$sender</footer>\n</body>\n</html>\n"
)

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    # The address is the token: it goes to no other site and into no cache.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Vary": "Accept-Language",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One answer."""

    language: str
    """ISO 639-1, for Content-Language."""
    text: str


class Pages:
    """The pages of one sender, in every language of the footer."""

    def __init__(self, company: str, postal_address: str, fallback: str) -> None:
        """fallback: for whoever asks for none of the languages."""
        lines = [company, *postal_address.splitlines()]
        self._company = company
        self._sender = "<br>".join(f'<bdi dir="auto">{html.escape(line)}</bdi>' for line in lines if line.strip())
        self._fallback = fallback

    def ask(self, accept_language: str, name: str = "") -> Page:
        """With the button; with two where the sequence has a public name.

        A form goes to the page's own address, so it holds no token. The one for all email comes first.
        """
        language = self._language(accept_language)
        words, footer = WORDS[language], WORDINGS[language]
        if name:
            only = words.only.format(name=_bidi(name))
            content = _paragraph(words.choice) + _form(_escape(words.everything)) + _form(only, _ONE)
        else:
            content = _paragraph(footer.question) + _form(_escape(footer.link))
        return self._build(footer.link, content, language)

    def done(self, accept_language: str) -> Page:
        """All email has stopped."""
        language = self._language(accept_language)
        return self._build(WORDS[language].done, _paragraph(WORDS[language].done_text), language)

    def left(self, accept_language: str, name: str) -> Page:
        """One sequence has stopped; the rest can be stopped here too."""
        language = self._language(accept_language)
        words = WORDS[language]
        said = f"<p>{words.left_text.format(name=_bidi(name))}</p>"
        return self._build(words.done, f"{said}{_form(_escape(words.everything), _LESS)}", language)

    def unknown(self, accept_language: str) -> Page:
        """The same for every link that is not ours, whatever is wrong with it (B28)."""
        language = self._language(accept_language)
        return self._build(WORDS[language].invalid, _paragraph(WORDS[language].invalid_text), language)

    def later(self, accept_language: str) -> Page:
        """It could not be stored now."""
        language = self._language(accept_language)
        return self._build(WORDS[language].later, _paragraph(WORDS[language].later_text), language)

    def _language(self, accept_language: str) -> str:
        return choose_language(accept_language, WORDINGS, self._fallback)

    def _build(self, heading: str, content: str, language: str) -> Page:
        text = _PAGE.substitute(
            language=language,
            title=_escape(f"{heading} · {self._company}"),
            style=_STYLE,
            heading=_escape(heading),
            content=content,
            sender=self._sender,
        )
        return Page(language=language, text=text)


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _bidi(name: str) -> str:
    """A name as RevOps typed it, whichever way its script runs."""
    return f'<bdi dir="auto">{html.escape(name)}</bdi>'


def _paragraph(text: str) -> str:
    return f"<p>{_escape(text)}</p>"


def _form(label: str, attributes: str = "") -> str:
    """A button in a form of its own, which goes to the page's own address. label: HTML."""
    return f'<form method="post"><button type="submit"{attributes}>{label}</button></form>'


_LESS = ' class="less"'
_ONE = f'{_LESS} name="{SCOPE}" value="{SEQUENCE}"'
