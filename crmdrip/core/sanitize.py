"""HTML from rich text editors, cut down to what an email may carry.

Everything not listed goes: unknown tags are dropped and their text kept, scripts, styles and frames go with their
content. The output is written anew, tag by tag, so that nothing unrecognized can survive. Merge markup is hidden
behind marks (core.markup) and stays where it stands; in an address it is fitted with a filter, so that no value
can change where a link leads.

A tokenizer of our own, because the standard library's html.parser takes 58 s for 100 KB of `<a ` and 2.7 s for
`<!--` (Python 3.11.7, 2026-11-24). This one is linear: no attribute may contain "<", and nothing backtracks.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from crmdrip.core.markup import MARK, OUTPUT_MARK, TAG_MARK, fit_marks

DEPTH_LIMIT = 60
"""Tags within tags; deeper ones are dropped and their text kept."""

_INLINE = frozenset({"a", "b", "i", "em", "strong", "u", "s", "span", "sub", "sup"})
_BLOCK = frozenset(
    {"p", "div", "ul", "ol", "li", "blockquote", "h1", "h2", "h3", "table", "thead", "tbody", "tr", "td", "th"}
)
_VOID = frozenset({"br", "hr", "img"})
_RENAMED = {"h4": "h3", "h5": "h3", "h6": "h3", "strike": "s", "del": "s", "pre": "p", "center": "div"}

_DROPPED = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(script|style|iframe|object|embed|svg|math|noscript|template|head|title|textarea|select|xml)\b[^<>]*+>"
    r".*?(?:</\1\s*>|\Z)"
    r"|<[!?][^<>]*+>",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]{0,30})((?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+')*+)>")
_ATTRIBUTE = re.compile(r"([a-zA-Z][\w-]*)\s*+=\s*+(\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++)")

_LOOKS_HTML = re.compile(
    r"</?(?:p|br|div|span|a|b|i|em|strong|u|ul|ol|li|table|h[1-6]|blockquote|font|html|body|img|hr"
    r"|tr|td|pre|center|script|style|iframe|form)\b[^<>]{0,4000}>|<!--|<!doctype"
    r"|&(?:nbsp|amp|lt|gt|quot|#\d{2,6});",
    re.IGNORECASE,
)

_STYLES = frozenset(
    {"color", "background-color", "font-weight", "font-style", "text-decoration", "text-align", "font-size"}
)
_STYLE_VALUE = re.compile(r"[#\w\s%.,-]{1,60}|rgb\([\d\s,]{5,20}\)")
_NUMBER = re.compile(r"\d{1,4}%?")
_SAFE_SCHEME = re.compile(r"(?:https?://|mailto:|tel:)", re.IGNORECASE)
_BARE_HOST = re.compile(r"(?:[\w-]+\.)+[a-z]{2,24}(?:[/?#:].*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sanitized:
    """Clean HTML, and what had to be refused in plain words."""

    html: str
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A run of text, entities decoded."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """An opening, closing or void tag; attributes decoded, names in lower case."""

    name: str
    closing: bool
    attributes: dict[str, str]


def looks_like_html(source: str) -> bool:
    """Whether an author's source is rich text rather than plain text."""
    return _LOOKS_HTML.search(source) is not None


def drop_unseen(source: str) -> str:
    """The source without comments, declarations, scripts, styles and frames."""
    return _DROPPED.sub("", source)


def read_html(source: str) -> Iterator[Tag | Text]:
    """The source as tags and texts. A "<" that begins no tag is text."""
    at = 0
    for found in _TAG.finditer(source):
        if found.start() > at:
            yield Text(text=html.unescape(source[at : found.start()]))
        at = found.end()
        slash, name, rest = found.groups()
        attributes = {} if slash else {k.lower(): html.unescape(v.strip("\"'")) for k, v in _ATTRIBUTE.findall(rest)}
        yield Tag(name=name.lower(), closing=bool(slash), attributes=attributes)
    if at < len(source):
        yield Text(text=html.unescape(source[at:]))


def sanitize(source: str) -> Sanitized:
    """Clean HTML from any HTML, tags closed and nested as opened."""
    out: list[str] = []
    open_tags: list[str] = []
    problems: dict[str, None] = {}
    for token in read_html(drop_unseen(source)):
        if isinstance(token, Text):
            out.append(html.escape(token.text, quote=False))
            continue
        name = _RENAMED.get(token.name, token.name)
        if name in _VOID:
            if not token.closing and (attributes := _attributes(name, token.attributes, problems)) is not None:
                out.append(f"<{name}{attributes}>")
        elif name not in _INLINE and name not in _BLOCK:
            continue
        elif token.closing:
            if name in open_tags:
                while (last := open_tags.pop()) != name:
                    out.append(f"</{last}>")
                out.append(f"</{name}>")
        elif len(open_tags) < DEPTH_LIMIT and (attributes := _attributes(name, token.attributes, problems)) is not None:
            if name == "li":
                _close_item(open_tags, out)
            # A paragraph cannot hold another block; browsers close it just so.
            if name in _BLOCK and "p" in open_tags:
                while (last := open_tags.pop()) != "p":
                    out.append(f"</{last}>")
                out.append("</p>")
            out.append(f"<{name}{attributes}>")
            open_tags.append(name)
    out.extend(f"</{name}>" for name in reversed(open_tags))
    return Sanitized(html="".join(out), problems=tuple(problems))


def _close_item(open_tags: list[str], out: list[str]) -> None:
    """End the list item before this one where its end was left out."""
    for tag in reversed(open_tags):
        if tag in ("ul", "ol"):
            return
        if tag == "li":
            while (last := open_tags.pop()) != "li":
                out.append(f"</{last}>")
            out.append("</li>")
            return


def clean_address(address: str) -> str | None:
    """A link's address with its marks fitted, "" when it leads nowhere, None when it is not allowed."""
    address = "".join(address.split())
    if not address or address.startswith("#"):
        return ""
    if TAG_MARK in address:
        return None
    if whole := MARK.match(address):
        rest = address[whole.end() :]
        return fit_marks(whole.group(), "web_address") + fit_marks(rest, "url_part")
    before = address.partition(OUTPUT_MARK)[0]
    if not _SAFE_SCHEME.match(before):
        if not _BARE_HOST.fullmatch(before):
            return None
        address = f"https://{address}"
    return fit_marks(address, "mail_part" if address.lower().startswith("mailto:") else "url_part")


def _attributes(name: str, given: dict[str, str], problems: dict[str, None]) -> str | None:
    """The allowed attributes as text. None drops the tag and keeps what it holds."""
    kept: dict[str, str] = {}
    if name == "a":
        address = clean_address(given.get("href", ""))
        if address is None:
            problems[f'the link to "{_shown(given["href"])}" needs a full address such as https://example.com'] = None
        if not address:
            return None
        kept["href"] = address
    if name == "img":
        source = given.get("src", "").strip()
        if not source.lower().startswith("https://") or TAG_MARK in source:
            problems[f'the image "{_shown(source)}" needs a full https:// address'] = None
            return None
        kept["src"] = fit_marks(source, "url_part")
        kept["alt"] = given.get("alt", "")
    for key in ("width", "height", "colspan", "rowspan", "start", "border", "cellpadding", "cellspacing"):
        if name in {"img", "table", "td", "th", "ol"} and _NUMBER.fullmatch(given.get(key, "").removesuffix("px")):
            kept[key] = given[key].removesuffix("px")
    for key in ("align", "valign"):
        if given.get(key, "").isalpha() and name in {"td", "th", "tr", "table", "p", "div"}:
            kept[key] = given[key]
    if "style" in given and (style := _style(given["style"])):
        kept["style"] = style
    return "".join(f' {key}="{html.escape(value)}"' for key, value in kept.items())


def _style(given: str) -> str:
    declarations = (one.partition(":") for one in given.split(";"))
    kept = ((name.strip().lower(), value.strip()) for name, _, value in declarations)
    return ";".join(f"{name}:{value}" for name, value in kept if name in _STYLES and _STYLE_VALUE.fullmatch(value))


def _shown(address: str) -> str:
    return MARK.sub("...", address)[:60]
