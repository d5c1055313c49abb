"""Which language a person reads, from what their browser says it prefers (RFC 9110 section 12.5.4)."""

from __future__ import annotations

import re
from collections.abc import Collection

LIMIT = 1_000
"""Characters of the header that are looked at; browsers send fewer than a hundred."""

_RANGE = re.compile(r"(\*|[a-z]{1,8}(?:-[a-z0-9]{1,8})*)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")


def choose_language(header: str, offered: Collection[str], fallback: str) -> str:
    """The best of the offered languages for an Accept-Language header, the fallback when it asks for none of them.

    offered, fallback: ISO 639-1 codes. "pt-BR" is served "pt" (RFC 4647 section 3.4). Of equal weights the one named
    first counts; "*" stands for the fallback first. What is not written as the RFC says is passed over.
    """
    named: dict[str, float] = {}
    anything = 0.0
    for part in header[:LIMIT].lower().split(","):
        found = _RANGE.fullmatch(part.strip(" \t"))
        if found is None:
            continue
        language, weight = found[1].partition("-")[0], float(found[2] or 1)
        if language == "*":
            anything = max(anything, weight)
        elif language in offered:
            # "de-AT;q=0, de" refuses Austrian German alone, and plain German is what there is.
            named[language] = max(weight, named.get(language, 0.0))

    def weigh(language: str) -> float:
        return named.get(language, anything)

    best = max((*named, fallback, *offered), key=weigh)
    return best if weigh(best) > 0 else fallback
