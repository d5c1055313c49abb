"""Where a person is, from what people type as country and state: names and codes only, never a guess."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

_ANY_STATE = "*"
_ACCENTS = ("\u0300", "\u036f")
"""Combining accents of Latin, Greek and Cyrillic. Marks of other scripts are letters' vowels and stay."""

_LONGEST_NAME = 100
"""Characters; longer texts are no names and are not worth folding."""

_GENERIC_WORDS = frozenset(
    {
        *("state", "province", "territory", "region", "republic", "oblast", "krai", "kray", "okrug", "of", "the"),
        *("estado", "provincia", "provincie", "région", "provinsi", "de", "do", "da", "of"),
        *("область", "край", "республика", "автономный", "округ", "autonomous"),
    }
)
"""Words around a state's name that say what kind of state it is."""

_FORMAL_PREFIX = re.compile(
    r"^\s*(the\s+)?([\w'-]+\s+)*(republic|kingdom|commonwealth|principality|state|sultanate|union)\s+of\s+(the\s+)?",
    re.IGNORECASE,
)
"""The "Republic of" in "Republic of Kenya"."""


def fold(text: str) -> str:
    """The form in which names are compared: no case, accents, spaces or punctuation ("U.K." is "uk")."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = (
        character
        for character in decomposed
        if not _ACCENTS[0] <= character <= _ACCENTS[1] and unicodedata.category(character)[0] in "LNM"
    )
    return unicodedata.normalize("NFC", "".join(kept))


@cache
def _country_codes() -> Mapping[str, str]:
    """ISO 3166-1 alpha-2 codes by folded code and name, from the tz database and our own list."""
    codes: dict[str, str] = {}
    own = list(_rows("crmdrip.core", "countries.tsv"))
    for code, *_ in own:
        codes[fold(code)] = code
    # Codes come first and are never overruled: "CH" is Switzerland whatever a name folds to.
    for code, alpha_3, _ in own:
        codes.setdefault(fold(alpha_3), code)
    for code, name in _rows("tzdata", "zoneinfo", "iso3166.tab"):
        codes.setdefault(fold(name), code)
    for code, _, names in own:
        for name in filter(None, names.split("|")):
            codes.setdefault(fold(name), code)
    return codes


@cache
def _zones_by_state() -> Mapping[str, Mapping[str, str]]:
    """Zones by country, then by folded state code and name; "*" is the country's dominant zone."""
    zones: dict[str, dict[str, str]] = defaultdict(dict)
    for country, zone, states in _rows("crmdrip.core", "subdivisions.tsv"):
        for state in states.split("|"):
            for name in state.split("="):
                zones[country][name if name == _ANY_STATE else fold(name)] = zone
    return zones


@cache
def _single_zones() -> Mapping[str, str]:
    """Zones by country for the countries that have one, from the tz database."""
    zones: dict[str, list[str]] = defaultdict(list)
    # zone.tab rather than zone1970.tab: the latter files Norway under Berlin, and people read this zone's name.
    for country, _, zone, *_ in _rows("tzdata", "zoneinfo", "zone.tab"):
        zones[country].append(zone)
    return {country: names[0] for country, names in zones.items() if len(names) == 1}


def find_country(text: str) -> str:
    """The ISO 3166-1 alpha-2 code of a country given by code (two or three letters) or name; "" when unknown."""
    if len(text) > _LONGEST_NAME:
        return ""
    codes = _country_codes()
    return codes.get(fold(text)) or codes.get(fold(_FORMAL_PREFIX.sub("", text)), "")


def find_zone(country: str, state: str) -> str:
    """The IANA zone of a place, "" when it cannot be told.

    A country of several zones needs a state that is known; without one its dominant zone is taken where it has
    one (Sydney in Australia, Moscow in Russia), and nothing is guessed for the United States and Canada.
    """
    code = find_country(country)
    if zone := _single_zones().get(code):
        return zone
    by_state = _zones_by_state().get(code)
    if by_state is None:
        return ""
    for name in _spellings(code, state):
        if zone := by_state.get(name):
            return zone
    return by_state.get(_ANY_STATE, "")


def _spellings(country: str, state: str) -> Iterator[str]:
    """The folded forms under which a typed state may be listed: "US-TX", "Texas (TX)", "State of Texas"."""
    whole = fold(state)
    yield whole
    if whole.startswith(country.lower()):
        yield whole[len(country) :]
    words = "".join(c if c.isalnum() else " " for c in state).split()
    yield "".join(fold(word) for word in words if word.casefold() not in _GENERIC_WORDS)
    if len(words) > 1:
        # A code beside a name: "TX - Texas", "Texas (TX)".
        yield fold(" ".join(words[1:]))
        yield fold(" ".join(words[:-1]))


def _rows(package: str, *path: str) -> Iterator[list[str]]:
    """The rows of a tab-separated table that ships with a package, without comments."""
    for line in files(package).joinpath(*path).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")
