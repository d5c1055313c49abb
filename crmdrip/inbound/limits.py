"""How much of a mail is read. Whoever writes to us decides what is in it, so every amount has a bound (B27).

What lies beyond is left out and `InboundMail.truncated` says so. The bounds are far above what people send: together
they keep the time for any mail of any size near that for an ordinary one.
"""

from __future__ import annotations

RAW_BYTES = 64 * 1024 * 1024
"""Of the whole mail; the largest providers take 50 MB (Exchange Online 150, minus a third for base64)."""

HEADER_BYTES = 64 * 1024
"""Of one header section. Real ones reach 30 KB after a dozen relays with ARC seals."""
HEADER_FIELDS = 300
"""Fields in one header section."""
FIELD_CHARACTERS = 8 * 1024
"""Of one field, unfolded."""

DEPTH = 10
"""Parts within parts."""
PARTS = 60
"""Parts in all."""
ENCODED_BYTES = 512 * 1024
"""Of one part, before base64 or quoted-printable is undone."""
TEXT_CHARACTERS = 64 * 1024
"""Of one part's text, and of all texts joined."""
TEXT_PARTS = 8
"""Text parts joined into the mail's text."""

LINES = 5_000
"""In which the newest part is looked for; what follows counts as quoted."""

ADDRESSES = 100
"""In one list of addresses."""
MESSAGE_IDS = 50
"""In References; the newest are kept."""
ATTACHMENTS = 50
"""Names of attachments."""
NAME_CHARACTERS = 255
"""Of one name: a sender's, a file's, an event's."""
SUBJECT_CHARACTERS = 998
"""RFC 5322's longest line."""

RECIPIENTS = 50
"""In one delivery report."""
DIAGNOSTIC_CHARACTERS = 500

LIBRARY_LINE = 300
"""Characters of a line given to mail-parser-reply, whose patterns backtrack (facts: one line of 8 KB takes 1 s)."""
LIBRARY_LINES = 50
"""Lines given to it."""

WORDS_CHARACTERS = 4_000
"""Of the newest text, in which words are looked for. What a mail is, it says at its beginning."""
