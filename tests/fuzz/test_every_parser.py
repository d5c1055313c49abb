"""Every reader of text from outside: an answer, or an error with a name. CRMDRIP_FUZZ=20000 tries so many of each."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.hubspot.cursor import parse_cursor as parse_hubspot
from connectors.hubspot.definitions import SequenceFolder
from connectors.hubspot.faults import read_fault as read_hubspot_fault
from connectors.imap.cursor import parse_position
from connectors.salesforce.codes import read_fault as read_salesforce_fault
from connectors.salesforce.cursor import parse_cursor as parse_salesforce
from connectors.salesforce.envelope import open_envelope
from connectors.sendgrid.events import read_events
from connectors.sendgrid.exchange import Answer
from connectors.sendgrid.form import read_form
from connectors.sendgrid.verdict import judge, wait_of
from connectors.sql import values
from connectors.sql.cursor import parse_cursor as parse_sql
from crmdrip import config, registry
from crmdrip.core.definition import validate
from crmdrip.core.errors import CrmdripError
from crmdrip.core.mapping import parse_mapping
from crmdrip.core.model import Sequence, SequenceDraft, StepDraft
from crmdrip.core.render import check_template
from crmdrip.core.sanitize import sanitize
from crmdrip.core.tokens import ReplyTokens, UnsubscribeTags, UnsubscribeTokens

EXAMPLES = int(os.environ.get("CRMDRIP_FUZZ", "60"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

NOW = datetime(2026, 11, 2, tzinfo=UTC)
KEYS = ("a-key-of-sixteen-letters",)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["9999-12-31", "0001-01-01T00:00:00Z", "1e999", "\u00b2", "-0", "nan", "00:00", "24:00", "*"])
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
)
MAPPING = registry.builtin_mapping("hubspot")
EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")


def encode(value: Any) -> bytes:
    """As JSON, whatever stands in it; b"" for what JSON cannot hold."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return b""


BODIES = st.binary(max_size=400) | JSON.map(encode)


@fuzz
@given(st.text(max_size=600))
def test_any_token_is_somebodys_or_nobodys(token: str) -> None:
    """B28: of unsubscribe links, of unsubscribe and reply addresses."""
    assert UnsubscribeTokens(KEYS).read(token) is None
    assert UnsubscribeTags(KEYS).read(token, "org") is None
    assert ReplyTokens(KEYS).read(token) is None


@fuzz
@given(st.text(max_size=200) | BODIES.map(lambda body: body.decode("utf-8", "replace")), st.text(max_size=20))
def test_any_saved_place_is_one_or_the_beginning(text: str, org: str) -> None:
    """B4: a ledger of another version, or a torn one. What is no place is told or begins anew."""
    for parse in (parse_salesforce, parse_hubspot, parse_sql, lambda text, _: parse_position(text)):
        try:
            parse(text, org)  # type: ignore[operator]  # a table of readers
        except CrmdripError as error:
            assert error.what  # noqa: PT017 - either is right


@fuzz
@given(st.integers(0, 999), BODIES, st.text(max_size=30))
def test_any_refusal_has_a_class(status: int, body: bytes, after: str) -> None:
    """B21: of the CRMs and of SendGrid."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    assert read_salesforce_fault(status, value, after).error("here").what
    assert read_hubspot_fault(status, body, {"retry-after": after}).error("here").error_class
    answer = Answer(status=status, headers={b"retry-after": after.encode()}, body=body)
    assert judge(answer).status
    wait = wait_of(answer, NOW)
    assert wait is None or 0 < wait <= 3_600


@fuzz
@given(BODIES)
def test_any_composite_answer_is_read_or_refused(body: bytes) -> None:
    """P3: cut short or changed on its way."""
    try:
        for part in open_envelope(body):
            part.read()
    except CrmdripError as error:
        assert error.what  # noqa: PT017 - either is right


@fuzz
@given(BODIES, st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_post_is_read_or_refused(body: bytes, content_type: str) -> None:
    """B5, B28: events and forms that carried a good signature."""
    for read in (lambda: read_events(body, NOW), lambda: read_form(body, content_type)):
        try:
            read()
        except CrmdripError as error:
            assert error.what  # noqa: PT017 - either is right


@fuzz
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys((*MAPPING.fields["sequence"], "confirmed", "confirm_above"), JSON)
    ),
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(MAPPING.fields["step"], JSON)), max_size=3),
)
def test_any_sequence_is_one_or_says_what_is_wrong(fields: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    """B24, B27: RevOps may type anything anywhere."""
    drafts = tuple(StepDraft(id=str(number), fields=step) for number, step in enumerate(steps))
    found = validate(SequenceDraft(id="a", fields=fields, steps=drafts), check_template)
    assert isinstance(found, Sequence) or found


@fuzz
@given(st.text(max_size=400), st.sampled_from(["{{", "}}", "{%", "%}", "{!", "{{ a | replace: ", "<a href=", "<!--"]))
def test_any_template_is_one_or_says_what_is_wrong(text: str, part: str) -> None:
    """B24, B27: and is made harmless."""
    for source in (text, part.join(text), part + text):
        assert all(isinstance(problem, str) and problem for problem in check_template(source))
        sanitize(source)


@fuzz
@given(SCALARS | st.datetimes() | st.dates() | st.decimals(allow_nan=True))
def test_any_value_of_a_column_is_read(value: Any) -> None:
    """P3: a date that stands for "never", an infinite number, text in a column of times."""
    for zone in ("UTC", "America/New_York", "Pacific/Kiritimati"):
        at = values.read_time(value, ZoneInfo(zone))
        assert at is None or at.tzinfo is UTC
        values.read_pause(value, ZoneInfo(zone))
    values.read_key(value)
    values.read_number(value)
    values.read_merge_value(value)
    values.is_set(value)


@fuzz
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
def test_any_file_among_the_sequences_is_one_or_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """B24: saved half, in another encoding, or no TOML at all."""
    folder = tmp_path_factory.mktemp("sequences")
    (folder / "a.toml").write_bytes(content)
    (draft,) = SequenceFolder(folder, folder / "progress", MAPPING).drafts(None).values()  # type: ignore[arg-type]  # no call is made
    assert draft.problems or validate(draft, check_template)


@fuzz
@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(["contact", "object", "values", "fields"]), JSON))
def test_any_mapping_is_one_or_is_refused_in_words(document: dict[str, Any]) -> None:
    """B26: a mapping is written by hand."""
    try:
        parse_mapping("mine", document)
    except CrmdripError as error:
        assert error.what  # noqa: PT017 - either is right


@fuzz
@given(st.data())
def test_any_configuration_is_read_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Every problem with its place; among them addresses of ledgers, lists, and TOML that is none."""
    lines = EXAMPLE.splitlines()
    keys = [number for number, line in enumerate(lines) if "=" in line]
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.sampled_from(keys))
        odd = data.draw(SCALARS | st.sampled_from(["sqlite:////", "postgresql://a:b@[::1", "x://", "[" * 3_000]))
        shown = str(odd) if data.draw(st.booleans()) else encode(odd).decode()
        lines[number] = f"{lines[number].removeprefix('# ').partition('=')[0]}= {shown}"
    file = tmp_path_factory.mktemp("config") / "config.toml"
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        config.load(file, env={})
    except CrmdripError as error:
        assert str(error)  # noqa: PT017 - either is right
