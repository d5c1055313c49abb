"""SOQL, error codes and rows: what is written and understood, without an org."""

# ruff: noqa: S608 - queries that are parsed and never run

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce import soql
from connectors.salesforce.codes import CLASSES, Fault, read_fault, scrub
from connectors.salesforce.records import stop_field
from crmdrip.core.errors import ErrorClass, RateLimitedError
from crmdrip.sandbox.salesforce.soql import parse

AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_quoted_text_comes_back_as_it_was(text) -> None:
    """B27: whatever a person types stays inside its literal."""
    condition = parse(f"SELECT Id FROM Contact WHERE Name = {soql.quote(text)}").where
    assert condition.value.text == text


@given(st.text(alphabet="%_'\\ab", max_size=20))
def test_a_wildcard_in_a_name_stands_for_itself(text) -> None:
    """B27: 100% finds the name that holds it, not everybody."""
    condition = parse(f"SELECT Id FROM Contact WHERE Name LIKE {soql.quote_like(text)}").where
    inner = condition.value.text.removeprefix("%").removesuffix("%")
    assert inner.replace("\\%", "").replace("\\_", "").count("%") == 0


def test_a_position_names_the_rest_of_its_stamp() -> None:
    """Rows of the very stamp that come after the id, and everything later."""
    assert soql.after("SystemModstamp", soql.Position(at=AT, id="003A")) == [
        "SystemModstamp >= 2026-11-02T09:00:00Z",
        "(SystemModstamp > 2026-11-02T09:00:00Z OR Id > '003A')",
    ]


def test_a_moment_has_milliseconds_where_there_are_some() -> None:
    """A stamp read back is compared exactly."""
    assert soql.moment(AT.replace(microsecond=7_000)) == "2026-11-02T09:00:00.007Z"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=0, code="UNABLE_TO_LOCK_ROW", message=""), ErrorClass.RETRIABLE),
        (Fault(status=0, code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="no"), ErrorClass.REJECTED),
        (Fault(status=0, code="CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message="bad flow"), ErrorClass.REJECTED),
        (
            Fault(status=0, code="CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message="UNABLE_TO_LOCK_ROW"),
            ErrorClass.RETRIABLE,
        ),
        (Fault(status=403, code="REQUEST_LIMIT_EXCEEDED", message=""), ErrorClass.RATE_LIMITED),
        (Fault(status=401, code="", message=""), ErrorClass.AUTH),
        (Fault(status=429, code="", message=""), ErrorClass.RATE_LIMITED),
        (Fault(status=503, code="", message=""), ErrorClass.RETRIABLE),
        (Fault(status=503, code="", message="", retry_after=3), ErrorClass.RATE_LIMITED),
        (Fault(status=400, code="SOMETHING_NEW", message=""), ErrorClass.REJECTED),
    ],
)
def test_a_fault_has_a_class(fault, expected) -> None:
    """By code first, then by status; the unknown is not repeated."""
    assert fault.error_class is expected


def test_no_code_means_that_it_may_have_happened() -> None:
    """Every write is keyed, so nothing here is ever of unknown outcome."""
    assert ErrorClass.OUTCOME_UNKNOWN not in CLASSES.values()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([{"errorCode": "NOT_FOUND", "message": "x"}], "NOT_FOUND"),
        ([{"statusCode": "BAD_VALUE", "message": "x", "fields": ["A"]}], "BAD_VALUE"),
        ({"error": "invalid_grant", "error_description": "x"}, "invalid_grant"),
        ([], ""),
        (None, ""),
        ("<html>", ""),
        ([None], ""),
    ],
)
def test_an_error_of_any_shape_is_read(body, code) -> None:
    """A list of errors, a row's errors, OAuth's dict, and what is none of them."""
    assert read_fault(400, body).code == code


def test_a_retry_after_reaches_whoever_waits() -> None:
    """B20: the seconds come with the exception."""
    error = read_fault(429, None, "17").error("here")
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == 17


def test_a_message_is_scrubbed() -> None:
    """No address and no query reaches a log."""
    text = "\nFROM Contact WHERE Email = 'a@b.example'\n     ^\nERROR at Row:1:Column:8\nNo such column <c@d.example>"
    assert scrub(text) == "No such column <<address>>"


@pytest.mark.parametrize(
    ("condition", "field"),
    [("Status = Lost, Won", "Status"), ("  My_Field__c=x", "My_Field__c"), ("", ""), (None, ""), ("= x", "")],
)
def test_a_stop_condition_begins_with_its_field(condition, field) -> None:
    """The name is all that reading needs of it."""
    assert stop_field(condition) == field
