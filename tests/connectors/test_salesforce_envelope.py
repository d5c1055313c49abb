"""A composite answer is taken apart without decoding its rows, and whatever cannot be read may be asked for again."""

from __future__ import annotations

import pytest

from connectors.salesforce.envelope import Rows, open_envelope, read_json
from crmdrip.core.errors import RetriableError


def envelope(body: str) -> bytes:
    """A composite answer with one part."""
    part = f'{{"body":{body},"httpHeaders":{{}},"httpStatusCode":200,"referenceId":"q"}}'
    return f'{{"compositeResponse":[{part}]}}'.encode()


def test_the_rows_of_a_query_come_one_by_one() -> None:
    """By number, by slice and in order, as often as one likes, whatever else the vendor puts beside them."""
    (part,) = open_envelope(envelope('{"totalSize":3,"done":true,"records":[{"Id":"a"},{"Id":"b"},{"Id":"é"}]}'))
    found = part.read_query()
    rows = found["records"]
    assert (part.referenceId, part.httpStatusCode, found["nextRecordsUrl"]) == ("q", 200, None)
    assert isinstance(rows, Rows)
    assert [row["Id"] for row in rows] == [row["Id"] for row in rows] == ["a", "b", "é"]
    assert ([row["Id"] for row in rows[1:]], rows[-1]["Id"], len(rows)) == (["b", "é"], "é", 3)


def test_any_other_part_is_decoded_whole() -> None:
    """A collection's results are a list."""
    (part,) = open_envelope(envelope('[{"id":"a","success":true}]'))
    assert part.read() == [{"id": "a", "success": True}]


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b'{"compositeResponse":[{"body":{"records":[', b'{"compositeResponse":[\xff]}']
)
def test_what_is_no_composite_answer_is_retriable(content) -> None:
    """A proxy's page with status 200, and an answer that was cut."""
    with pytest.raises(RetriableError, match="no JSON"):
        open_envelope(content)


def test_a_query_without_rows_is_retriable() -> None:
    """A body of another shape is never read as "nobody"."""
    (part,) = open_envelope(envelope('{"totalSize":0}'))
    with pytest.raises(RetriableError, match="no JSON"):
        part.read_query()


def test_any_other_answer_that_is_no_json_is_retriable() -> None:
    """One that was changed on its way."""
    with pytest.raises(RetriableError, match="no JSON"):
        read_json(b"<html>")
