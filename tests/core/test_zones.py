"""Which time zone a person is in, and whose it is (B18)."""

from __future__ import annotations

from importlib.resources import files

import pytest
from babel import Locale
from schedule_values import make_owner, make_record, make_sequence

from crmdrip.core.model import ZonePolicy
from crmdrip.core.places import find_country, find_zone
from crmdrip.core.zones import ZoneSource, ZoneUsed, find_zone_name, load_zone, resolve_zone

SEQUENCE = make_sequence(time_zone="Europe/Lisbon")
REP = make_owner("Europe/Paris")
ELSEWHERE = make_record(country="Atlantis")


class TestResolveZone:
    """Recipient, then sender, then sequence."""

    def test_the_record_s_own_zone_comes_before_its_country(self) -> None:
        """B18: a field that names the zone knows better than an address."""
        record = make_record(time_zone="Asia/Tokyo", country="Germany")
        used = resolve_zone(ZonePolicy.RECIPIENT, record, REP, SEQUENCE)
        assert used == ZoneUsed(zone="Asia/Tokyo", source=ZoneSource.RECIPIENT)

    def test_a_zone_that_is_none_gives_way_to_the_country(self) -> None:
        """B18: "PST" is no IANA name; the country counts."""
        record = make_record(time_zone="PST", country="Germany")
        used = resolve_zone(ZonePolicy.RECIPIENT, record, REP, SEQUENCE)
        assert used == ZoneUsed(zone="Europe/Berlin", source=ZoneSource.RECIPIENT)

    def test_without_a_place_the_sender_s_zone_is_used(self) -> None:
        """B18: the second choice."""
        used = resolve_zone(ZonePolicy.RECIPIENT, ELSEWHERE, REP, SEQUENCE)
        assert used == ZoneUsed(zone="Europe/Paris", source=ZoneSource.SENDER)

    @pytest.mark.parametrize("owner", [None, make_owner(""), make_owner("Mars/Olympus")])
    def test_without_a_sender_s_zone_the_sequence_s_is_used(self, owner: object) -> None:
        """B18: the last choice; an owner whose zone is no zone counts as none."""
        used = resolve_zone(ZonePolicy.RECIPIENT, ELSEWHERE, owner, SEQUENCE)  # type: ignore[arg-type] -- parametrized
        assert used == ZoneUsed(zone="Europe/Lisbon", source=ZoneSource.SEQUENCE)

    def test_the_sender_policy_does_not_look_at_the_recipient(self) -> None:
        """A rep who wants to send in office hours does."""
        used = resolve_zone(ZonePolicy.SENDER, make_record(country="Japan"), REP, SEQUENCE)
        assert used == ZoneUsed(zone="Europe/Paris", source=ZoneSource.SENDER)

    def test_the_fixed_policy_looks_at_nobody(self) -> None:
        """The sequence's own zone, whoever is mailed by whom."""
        used = resolve_zone(ZonePolicy.FIXED, make_record(country="Japan"), REP, SEQUENCE)
        assert used == ZoneUsed(zone="Europe/Lisbon", source=ZoneSource.SEQUENCE)

    def test_american_zones_are_not_guessed(self) -> None:
        """Without a state, the United States have no zone, and the sender's is used."""
        used = resolve_zone(ZonePolicy.RECIPIENT, make_record(country="USA"), REP, SEQUENCE)
        assert used.source is ZoneSource.SENDER

    def test_endless_text_in_a_field_is_no_place(self) -> None:
        """B27: a megabyte in the country field falls through like any unknown name."""
        record = make_record(time_zone="../" * 300_000, country="Germany " * 100_000, state="a " * 500_000)
        assert resolve_zone(ZonePolicy.RECIPIENT, record, None, SEQUENCE).source is ZoneSource.SEQUENCE


@pytest.mark.parametrize(
    ("country", "state", "zone"),
    [
        ("DE", "", "Europe/Berlin"),
        ("Deutschland", "Bayern", "Europe/Berlin"),
        ("de", "", "Europe/Berlin"),
        ("DEU", "", "Europe/Berlin"),
        (" U.K. ", "", "Europe/London"),
        ("Scotland", "", "Europe/London"),
        ("España", "Las Palmas", "Atlantic/Canary"),
        ("Espana", "", "Europe/Madrid"),
        ("Korea, Republic of", "", "Asia/Seoul"),
        ("日本", "", "Asia/Tokyo"),
        ("भारत", "", "Asia/Kolkata"),
        ("Republic of Kenya", "", "Africa/Nairobi"),
        ("Norway", "", "Europe/Oslo"),
        ("United States", "CA", "America/Los_Angeles"),
        ("USA", "US-TX", "America/Chicago"),
        ("U.S.A.", "Texas (TX)", "America/Chicago"),
        ("America", "State of New York", "America/New_York"),
        ("US", "arizona", "America/Phoenix"),
        ("Canada", "Québec", "America/Toronto"),
        ("Kanada", "Saskatchewan", "America/Regina"),
        ("Australia", "WA", "Australia/Perth"),
        ("Australia", "", "Australia/Sydney"),
        ("Brasil", "Amazonas", "America/Manaus"),
        ("Brazil", "Mato Grosso do Sul", "America/Campo_Grande"),
        ("México", "Baja California Sur", "America/Mazatlan"),
        ("Mexico", "Jalisco", "America/Mexico_City"),
        ("Россия", "Свердловская область", "Asia/Yekaterinburg"),
        ("Russia", "", "Europe/Moscow"),
        ("Indonesia", "Bali", "Asia/Makassar"),
        ("US", "", ""),
        ("US", "Bavaria", ""),
        ("Canada", "", ""),
        ("Georgia", "", "Asia/Tbilisi"),
        ("", "Texas", ""),
        ("Atlantis", "", ""),
    ],
)
def test_a_place_as_people_type_it_has_its_zone(country: str, state: str, zone: str) -> None:
    """B18: codes, English, native and formal names, accents or not; an unknown state may mean no zone."""
    assert find_zone(country, state) == zone


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (" america/new_york ", "America/New_York"),
        ("(GMT-08:00) Pacific Standard Time (America/Los_Angeles)", "America/Los_Angeles"),
        ("US/Pacific", "US/Pacific"),
        ("UTC", "UTC"),
        ("EST", ""),
        ("Factory", ""),
        ("Europe", ""),
        ("/etc/passwd", ""),
        ("", ""),
    ],
)
def test_a_zone_s_name_is_read_as_crms_show_it(text: str, name: str) -> None:
    """What is no zone of the tz database, or means another zone than people think, is no name."""
    assert find_zone_name(text) == name


def test_every_zone_in_the_tables_exists() -> None:
    """A zone renamed in the tz database, or misspelt here, is found before a person's email is late."""
    for line in files("crmdrip.core").joinpath("subdivisions.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            load_zone(line.split("\t")[1])


def test_every_country_but_two_has_a_zone() -> None:
    """The United States and Canada need a state; uninhabited places, Antarctica and scattered islets have none."""
    table = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text("utf-8").splitlines()
    codes = {line.split("\t")[0] for line in table if not line.startswith("#")}
    assert {code for code in codes if not find_zone(code, "")} == {"US", "CA", "AQ", "BV", "HM", "UM"}


@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "sv", "tr", "uk"])
def test_a_country_is_known_by_the_name_its_own_language_has_for_it(language: str) -> None:
    """Against the Unicode CLDR: the countries in which the language is the main one."""
    homes = {
        "en": "GB US AU NZ IE", "de": "DE AT CH", "es": "ES MX AR CO PE CL", "fr": "FR BE CH LU", "it": "IT",
        "ja": "JP", "ko": "KR", "nl": "NL BE", "pl": "PL", "pt": "PT BR", "sv": "SE", "tr": "TR", "uk": "UA",
    }  # fmt: skip
    territories = Locale.parse(language).territories
    assert {find_country(territories[code]) for code in homes[language].split()} == set(homes[language].split())


def test_every_english_name_of_the_cldr_is_that_country() -> None:
    """An English name never leads to another country; the few unknown ones lead nowhere."""
    names = {code: name for code, name in Locale.parse("en").territories.items() if len(code) == 2 and code.isalpha()}
    found = {name: find_country(name) for code, name in names.items() if find_country(name) not in ("", code)}
    assert found == {}


def test_an_unknown_zone_cannot_be_loaded() -> None:
    """The error says which name, and nothing is read from outside the tz database."""
    with pytest.raises(ValueError, match=r"'\.\./etc' is no IANA time zone"):
        load_zone("../etc")
