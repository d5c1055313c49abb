"""The text of an HTML mail, and where in it the history begins.

Mail programs fence what they quote in their own ways (`gmail_quote`, Outlook's `divRplyFwdMsg`, `blockquote
type="cite"`). The fence becomes a mark in the text, which quotes.py cuts at.
"""

from __future__ import annotations

import re

from crmdrip.core.markup import clean_source
from crmdrip.core.plaintext import to_plaintext
from crmdrip.core.sanitize import drop_unseen, sanitize
from crmdrip.inbound import limits

HISTORY_MARK = "\ue010"
"""A private-use character, taken out of whatever came in."""

_OPENING = re.compile(r"<(?:div|blockquote|hr|table|span|p|section)\b([^<>]*+)>", re.IGNORECASE)
# What each program calls its fence, as seen in the attributes of real mails.
_FENCE = re.compile(
    r"""(?:class|id)\s*=\s*["']?[^"']{0,200}\b(?:
        gmail_quote(?:_container)? | gmail_attr | gmail_extra          # Gmail
      | divRplyFwdMsg | appendonsend | OLK_SRC_BODY_SECTION            # Outlook on the web, for iOS, for the Mac
      | ms-outlook-mobile-reference-message | x_divRplyFwdMsg
      | moz-cite-prefix | moz-email-headers-table                      # Thunderbird
      | yahoo_quoted | yahooquoted | yahoo_quoted_begin
      | protonmail_quote | tutanota_quote | zmail_extra | zm_quote | hey_quote
      | ms_outlook_reply | OutlookMessageHeader | WordSection1_quote | freebirdReplyHeader
      | front-blockquote | front_quote | hs_reply | crisp-quote | mcntmcntQuote | reply_quote | replyHeader
      | airmail_on | spark_quote | edo-reply-header | quoted-text | mail_quote | tw-quote
      )\b
      | \btype\s*=\s*["']?cite\b | \bname\s*=\s*["']?quote\b
      | border:\s?none;\s?border-top:\s?solid\s\#(?:E1E1E1|B5C4DF|E5E5E5)   # Word-based Outlook's line above "From:"
    """,
    re.IGNORECASE | re.VERBOSE,
)


def html_to_text(source: str) -> str:
    """The text of an HTML body, HISTORY_MARK on a line of its own where a fence stands."""
    source = clean_source(source).replace(HISTORY_MARK, "")
    source = _OPENING.sub(_mark, drop_unseen(source))
    return to_plaintext(sanitize(source).html)[: limits.TEXT_CHARACTERS]


def _mark(found: re.Match[str]) -> str:
    attributes = found.group(1)[:1_000]
    return f"<div>{HISTORY_MARK}</div>{found.group()}" if _FENCE.search(attributes) else found.group()
