"""What leaves a connector: its own answers, the taxonomy's errors, and nothing without a name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crmdrip.core.errors import AuthError, ErrorClass, RetriableError
from crmdrip.ports import reads_answers_of


@reads_answers_of("Acme")
class Connector:
    """One that believes what it is answered."""

    def look(self, answer: dict[str, str]) -> str:
        """One thing."""
        return answer["id"]

    def pages(self, answer: list[int]) -> Iterator[int]:
        """Several, as they are asked for."""
        for one in answer:
            yield one + 1

    def refuse(self) -> None:
        """An error that has a name."""
        raise AuthError("the key is refused.")


def test_an_answer_of_another_shape_is_a_retriable_error_that_says_where() -> None:
    """P3: it is shown, and asked for again."""
    with pytest.raises(RetriableError) as caught:
        Connector().look({"name": "somebody@example.com"})
    assert caught.value.error_class is ErrorClass.RETRIABLE
    assert caught.value.where == "Acme (look)"
    assert "another shape than Acme documents (KeyError, test_answers_edge.py line" in caught.value.what
    assert "somebody" not in str(caught.value)


def test_what_was_read_before_an_answer_of_another_shape_is_given() -> None:
    """P3: whoever has it knows how far they are."""
    pages = Connector().pages([1, None])  # type: ignore[list-item]  # what no vendor documents
    assert next(pages) == 2
    with pytest.raises(RetriableError):
        next(pages)


def test_an_error_with_a_name_keeps_it() -> None:
    """Its class says what to do."""
    with pytest.raises(AuthError):
        Connector().refuse()


def test_an_error_of_whoever_asks_is_theirs() -> None:
    """A fault of ours is not put down to the vendor."""
    with pytest.raises(KeyError):  # noqa: PT012 - what is raised between two pages
        for _ in Connector().pages([1, 2]):
            raise KeyError
