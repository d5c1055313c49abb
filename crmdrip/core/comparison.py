"""How conditions in templates compare values. A missing field is never larger, smaller or contained."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LtExpression,
    NeExpression,
)
from liquid.expression import Expression

from crmdrip.core.values import Absent, RefusedError, print_value


class Marker:
    """`blank` and `empty`, which are only ever compared with."""


BLANK = Marker()
EMPTY = Marker()


def is_true(value: object) -> bool:
    """Liquid's truth: everything but nil, false and what is missing; 0 is true."""
    return not (value is None or value is False or isinstance(value, Absent))


def equal(left: object, right: object) -> bool:
    """Whether two values are equal. What is missing equals nil, "", blank and empty."""
    if isinstance(left, Marker):
        left, right = right, left
    if isinstance(right, Marker):
        if right is BLANK and isinstance(left, str):
            return not left.strip()
        return isinstance(left, (Absent, Marker)) or left == ""
    if isinstance(left, Absent) or isinstance(right, Absent):
        other = right if isinstance(left, Absent) else left
        return isinstance(other, Absent) or other is None or other == ""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def _ordered(left: object, right: object, compare: Callable[[Any, Any], bool]) -> bool:
    if left is None or right is None or isinstance(left, Absent) or isinstance(right, Absent):
        return False
    numbers = (int, float, Decimal)
    if isinstance(left, str) and isinstance(right, str):
        return compare(left, right)
    if isinstance(left, numbers) and isinstance(right, numbers) and not isinstance(left, bool):
        return compare(left, right)
    raise RefusedError("A condition compares a text with a number")


def _contains(left: object, right: object) -> bool:
    if not is_true(left) or not is_true(right):
        return False
    if not isinstance(left, str):
        raise RefusedError("A condition looks for a text in something that is not a text")
    return print_value(right) in left


COMPARED = (
    EqExpression,
    NeExpression,
    LtExpression,
    GtExpression,
    LeExpression,
    GeExpression,
    ContainsExpression,
)

COMPARISONS: dict[type[Expression], Callable[[object, object], bool]] = {
    EqExpression: equal,
    NeExpression: lambda left, right: not equal(left, right),
    LtExpression: lambda left, right: _ordered(left, right, lambda a, b: a < b),
    GtExpression: lambda left, right: _ordered(left, right, lambda a, b: a > b),
    LeExpression: lambda left, right: _ordered(left, right, lambda a, b: a <= b),
    GeExpression: lambda left, right: _ordered(left, right, lambda a, b: a >= b),
    ContainsExpression: _contains,
}
