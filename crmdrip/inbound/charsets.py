"""Bytes to text, whatever the sender's program said they were.

Mails lie about their charset in a few well-known ways: none is named, "us-ascii" is named and UTF-8 sent, ISO-8859-1
is named and Windows-1252 or UTF-8 meant, gb2312 is named and a superset sent. Never raises.
"""

from __future__ import annotations

import binascii
import codecs
import re
from functools import lru_cache

# A name leads to a codec only from here: Python's registry also holds "zlib", "idna" and "punycode", which unpack or
# take quadratic time.
_CODECS = re.compile(
    r"ascii|utf-(?:7|8|16(?:-[lb]e)?|32)|iso8859-\d{1,2}|cp(?:125[0-8]|437|850|852|866|874|932|949|950)|koi8-[ru]|mac-roman"
    r"|tis-620|shift_jis(?:_2004)?|euc_jp|euc_jis_2004|iso2022_(?:jp(?:_[123]|_ext)?|kr)|gb2312|gbk|gb18030|hz"
    r"|big5(?:hkscs)?|euc_kr|johab"
)
_WIDER = {
    "iso8859-1": "cp1252",  # as browsers read it (WHATWG Encoding Standard)
    "iso8859-9": "cp1254",
    "ascii": "cp1252",
    "shift_jis": "cp932",
    "iso2022_jp": "iso2022_jp_ext",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}
_ALIASES = {
    "x-sjis": "cp932",
    "x-gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "cp-850": "cp850",
    "x-mac-roman": "mac-roman",
}
_SINGLE_BYTE = re.compile(r"cp(?:125\d|437|8\d\d)|iso8859-\d+|koi8-.|mac-roman|tis-620")

_ENCODED_WORD = re.compile(r"=\?([\w.:+-]{1,40})(?:\*[\w-]{0,20})?\?([bBqQ])\?([^?]{0,2000}+)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t\r\n]++(?==\?[\w.:+-]{1,40}(?:\*[\w-]{0,20})?\?[bBqQ]\?)")


@lru_cache(maxsize=256)
def find_codec(name: str) -> str:
    """The codec for a charset's name as a mail gives it; "" when there is none."""
    name = name.strip().strip("\"'").lower()
    if not name.isascii() or len(name) > 40:
        return ""
    name = _ALIASES.get(name, name)
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""
    return _WIDER.get(found, found) if _CODECS.fullmatch(found) else ""


def decode_text(data: bytes, charset: str = "") -> str:
    """The text of bytes, with the replacement character where nothing fits."""
    codec = find_codec(charset) if charset else ""
    if b"\x1b$" in data and not codec.startswith("iso2022"):
        codec = "iso2022_jp_ext"  # an escape sequence of ISO-2022 stands in no other text
    if not codec or codec == "utf-8" or _SINGLE_BYTE.fullmatch(codec):
        # Bytes beyond ASCII that are well-formed UTF-8 were never meant as anything else.
        text = _decode(data, "utf-8")
        if text is not None:
            return text
        if codec == "utf-8":
            loose = data.decode("utf-8", "replace")
            # A few bad bytes are damage; many are another charset under a wrong name.
            return loose if loose.count("\ufffd") * 20 < len(loose) else data.decode("cp1252", "replace")
        return data.decode(codec or "cp1252", "replace")
    text = _decode(data, codec)
    if text is None:
        text = _decode(data, "utf-8")
    return text if text is not None else data.decode(codec, "replace")


def _decode(data: bytes, codec: str) -> str | None:
    """Strictly, but for a character that was cut off at the end of a text with others of its kind."""
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        whole = data[: error.start]
        if error.reason in _CUT_OFF and not whole.isascii():
            return whole.decode(codec, "ignore")
    except UnicodeError:  # "utf-16" without its marks, and other codecs' own errors
        return None
    return None


_CUT_OFF = ("unexpected end of data", "incomplete multibyte sequence", "truncated data")


def decode_words(text: str) -> str:
    """A header field with its encoded words (RFC 2047) decoded; what is not well-formed stays as it is.

    Words that follow one another in one charset are joined before decoding: many programs cut a character in two.
    """
    if "=?" not in text:
        return text
    text = _BETWEEN_WORDS.sub(r"\1", text)
    out: list[str] = []
    waiting, charset, at = b"", "", 0
    for found in _ENCODED_WORD.finditer(text):
        between = text[at : found.start()]
        if waiting and (between or found.group(1).lower() != charset):
            out.append(decode_text(waiting, charset))
            waiting = b""
        out.append(between)
        charset = found.group(1).lower()
        waiting += _word_bytes(found.group(2), found.group(3))
        at = found.end()
    if waiting:
        out.append(decode_text(waiting, charset))
    out.append(text[at:])
    return "".join(out)


def _word_bytes(encoding: str, payload: str) -> bytes:
    raw = payload.encode("utf-8", "replace")
    return undo_base64(raw) if encoding in "bB" else binascii.a2b_qp(raw.replace(b"_", b" "), header=True)


_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def undo_base64(data: bytes) -> bytes:
    """The bytes behind base64, ignoring whatever is not of its alphabet."""
    data = _NOT_BASE64.sub(b"", data)
    data = data[:-1] if len(data) % 4 == 1 else data
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4))
