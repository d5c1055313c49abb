"""The formulas of validation rules and formula fields, as far as the stand-in works them out."""

from __future__ import annotations

from typing import Any

import pytest

from crmdrip.sandbox.salesforce.formula import FormulaError, Scope, UnknownFunctionError, compile_formula

KINDS = {"Text__c": "string", "Number__c": "double", "Box__c": "boolean", "Pick__c": "picklist", "Time__c": "time"}
ROW = {"Text__c": "Ada", "Number__c": 3.0, "Box__c": True, "Pick__c": "Live", "Time__c": "09:00:00.000Z"}
EMPTY = {"Text__c": None, "Number__c": None, "Box__c": False, "Pick__c": None, "Time__c": None}


def ask(text: str, row: dict[str, Any] = ROW, before: dict[str, Any] | None = None) -> Any:
    """What a formula says about a row."""
    return compile_formula(text, KINDS).value(Scope(row=row, before=before))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-Number__c + 1", -2),
        ("Number__c / 0", None),
        ("Number__c >= 3 && Box__c", True),
        ("Number__c > 3 || !Box__c", False),
        ("Number__c <> 3", False),
        ('"a" & Text__c', "aAda"),
        ('Text__c = "Ada" /* a remark */', True),
        ('IF(ISPICKVAL(Pick__c, "Live"), "yes", "no")', "yes"),
        ('TEXT(Pick__c) = "Live"', True),
        ('BEGINS(Text__c, "A")', True),
        ('CONTAINS(Text__c, "x")', False),
        (r'REGEX(Text__c, "\\w+")', True),
        (r'REGEX(Text__c, "\\w")', False),
        ('Time__c <= TIMEVALUE("09:00:00.000")', True),
        ("LEN(TRIM(UPPER(Text__c)))", 3),
        ('BLANKVALUE(Text__c, "none")', "Ada"),
        ("isblank(text__c)", False),
    ],
)
def test_formulas_are_worked_out(text: str, expected: Any) -> None:
    """Names and functions in any case."""
    assert ask(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ISBLANK(Text__c)", True),
        ('Text__c = ""', True),
        ("Number__c < 1", False),
        ("Number__c > 1", False),
        ('ISPICKVAL(Pick__c, "")', True),
        ("Number__c + 1", None),
    ],
)
def test_what_is_blank_is_no_number(text: str, expected: Any) -> None:
    """A rule about a number's bounds does not hold for an empty field."""
    assert ask(text, EMPTY) == expected


def test_what_has_changed_is_told_from_what_is_new() -> None:
    """Of a new row nothing has changed."""
    assert ask("ISNEW()") is True
    assert ask("ISCHANGED(Text__c)") is False
    assert ask("ISCHANGED(Text__c)", before={**ROW, "Text__c": "Bob"}) is True
    assert ask("ISCHANGED(Text__c)", before=ROW) is False
    assert ask("PRIORVALUE(Text__c)", before={**ROW, "Text__c": "Bob"}) == "Bob"


def test_a_formula_knows_what_it_is_made_of() -> None:
    """Nothing else changes it."""
    assert compile_formula("IF(Box__c, Text__c, TEXT(Pick__c))", KINDS).fields == {"Box__c", "Text__c", "Pick__c"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Nope__c", "Field Nope__c does not exist. Check spelling."),
        ('Pick__c = "Live"', "Field Pick__c is a picklist field."),
        ("IF(Box__c, 1)", r"Incorrect number of parameters for function 'IF\(\)'. Expected 3, received 2"),
        ("AND(Box__c", r"Syntax error. Missing '\)'"),
        ("1 +", "Syntax error. Missing expression"),
        ("1 2", "Syntax error. Extra 2"),
        ("1 # 2", "Syntax error. Found '#'"),
        ("Text__c" + " " * 4_000 + "= 1", "Formula is too long"),
    ],
)
def test_formulas_that_no_org_takes_are_refused(text: str, problem: str) -> None:
    """In the vendor's words."""
    with pytest.raises(FormulaError, match=problem):
        compile_formula(text, KINDS)


@pytest.mark.parametrize("text", ["VLOOKUP(Text__c)", "$User.Id = Text__c", "Account.Name = Text__c"])
def test_what_is_not_worked_out_here_is_told_apart(text: str) -> None:
    """Nobody takes such a rule for one that was asked."""
    with pytest.raises(UnknownFunctionError):
        compile_formula(text, KINDS)
