"""What authors of sequences get wrong, and what they are told: which place, and what to write in its stead."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crmdrip.core.render import check_template

JARGON = re.compile(
    r"\b(?:expected|unexpected|tokens?|expressions?|primitive|identifier|word found|end of|disallowed|operand|d?pipe)\b"
)
"""What the parser says, and no person who writes emails."""


def told(source: str) -> list[str]:
    """What the author is told."""
    return check_template(f"Hi {source}, how are you?")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{% if title %}a", "{% if title %} is not closed with {% endif %}"),
        ("{% if title %}a{% else %}b", "{% if title %} is not closed with {% endif %}"),
        ("{% unless title %}a", "{% unless title %} is not closed with {% endunless %}"),
        ("{% unless title %}a{% endif %}", "{% unless title %} is closed with {% endif %}; write {% endunless %}"),
        ("a{% endif %}", "{% endif %} closes nothing: there is no {% if ... %} before it"),
        ("{% else %}a", "{% else %} stands outside of any {% if ... %} or {% unless ... %} or {% case ... %}"),
        ('{% when "a" %}b', '{% when "a" %} stands outside of any {% case ... %}'),
        ("{% case a %}{% if b %}c{% endif %}{% endcase %}", "before its first {% when"),
        ("{% case a %}{% endcase %}", '{% case a %} has no {% when "CEO" %} in it'),
        ("{% if a %}{% if b %}{% endif %}", "{% if a %} is not closed with {% endif %}"),
    ],
)
def test_tags_that_do_not_fit_each_other_are_named(source: str, says: str) -> None:
    """The one that is wrong and its partner, and nothing of what follows from it."""
    (problem,) = told(source)
    assert says in problem


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "{% if a %}1{% else if b %}2{% endif %}",
            "{% else if b %} has a condition, and else takes none; write {% elsif b %}",
        ),
        ('{% case a %}{% when "x" %}1{% else "y" %}2{% endcase %}', 'write {% when "y" %}'),
        ("{% if a %}1{% else %}2{% else %}3{% endif %}", "{% else %} stands a second time in {% if a %}"),
        ("{% if a %}1{% else %}2{% elsif b %}3{% endif %}", "{% elsif b %} stands behind {% else %} in {% if a %}"),
    ],
)
def test_what_liquid_drops_without_a_word_is_refused(source: str, says: str) -> None:
    """P3: "else if" would mail its words to everybody, and a second else would never be mailed."""
    (problem,) = told(source)
    assert says in problem


@pytest.mark.parametrize(
    ("source", "write"),
    [
        ("{% elseif title %}", "{% elsif title %}"),
        ("{% elif title %}", "{% elsif title %}"),
        ("{% end if %}", "{% endif %}"),
        ("{% /if %}", "{% endif %}"),
        ("{% endfi %}", "{% endif %}"),
        ("{% fi title %}", "{% if title %}"),
        ("{% IF title %}", "{% if title %}"),
        ("{% unles title %}", "{% unless title %}"),
        ("{% set a = title %}", "{% assign a = title %}"),
        ("{% end %}", "{% endif %}, {% endunless %} or {% endcase %}"),
    ],
)
def test_a_misspelled_tag_is_told_with_the_one_that_was_meant(source: str, write: str) -> None:
    """To be copied as it stands."""
    (problem,) = told(source)
    assert problem.startswith(source)
    assert problem.endswith(f"write {write}")


@pytest.mark.parametrize("tag", ["for c in contacts", "endfor", "capture x", "endcapture", 'include "x"', "raw"])
def test_a_tag_that_there_is_not_is_never_mistaken_for_another(tag: str) -> None:
    """{% endfor %} is one letter away from {% endif %}."""
    (problem,) = told(f"{{% {tag} %}}")
    assert problem.endswith("is not available in emails; there are if, unless, case, assign and comment")


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ('title = "x"', "compares with =; write =="),
        ('title === "x"', "has three =; write =="),
        ('title is "x"', 'has "is" in it; write =='),
        ('title is not "x"', 'has "is not" in it; write !='),
        ("title && phone", "has && or ||; write and, or"),
        ("not title", "is written with {% unless ... %}, and closed with {% endunless %}"),
        ("!title", "is written with {% unless ... %}"),
        ('(title == "x") and phone', "has round brackets"),
        ('title | upcase == "X"', "has a filter, and conditions take none"),
        ("title ==", 'has nothing behind ==; write it as {% if contact.title == "CEO" %}'),
        ('== "x"', "has nothing before =="),
        ("title and or phone", "has nothing between and and or"),
        ("job title", "has a space in job title; write job_title if it is one field"),
        ("title == \"x'", 'has a quote that is not closed; write texts "like this"'),
        ('title == “x"', 'has the curly quote “; type straight ones, "like this"'),
        ("", 'says nothing to compare; write {% if contact.title == "CEO" %}'),
    ],
)
def test_a_condition_that_cannot_be_read_is_told_with_what_to_write(condition: str, says: str) -> None:
    """It is shown as it was typed, in front."""
    tag = " ".join(f"{{% if {condition} %}}".split())
    (problem,) = told(f"{tag}a{{% endif %}}")
    assert problem.startswith(tag)
    assert says in problem


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("", "has nothing in it"),
        ("first name", "has a space in first name; write first_name if it is one field"),
        ('first_name | default "there"', "has no colon behind default; write default: and the value"),
        ('first_name | default = "there"', "has no colon behind default"),
        ('first_name, "there"', 'write {{ first_name | default: "there" }}'),
        ('first_name || "there"', 'write {{ first_name | default: "there" }}'),
        ('first_name ?? "there"', 'write {{ first_name | default: "there" }}'),
        ('first_name or "there"', 'write {{ first_name | default: "there" }}'),
        ('first_name | default: "there', "has a quote that is not closed"),
        ('first_name | default: ‘there"', "has the curly quote ‘"),  # noqa: RUF001 - a curly quote is meant
        ('first_name | default: "there" |', "has nothing behind the last |"),
        ('first_name | defualt: "there"', "there is no filter defualt; write default"),
        ("first_name | titlecase", "there is no filter titlecase; there are default, upcase"),
        ("first_name | upcase: 3", "upcase takes nothing behind it"),
        ("first_name | append", "append takes one value, behind a colon"),
        ("first_name | replace", "replace takes 1 to 2 values, behind a colon and with commas between them"),
        ("first_name + last_name", "has + in it, and nothing is added up in emails"),
        ('IF(title, "a", "b")', "has the formula IF(...), which is not available"),
        ("#if title", "is no field; conditions are written {% if contact.title %}"),
        ("contact..title", "has a dot too many"),
        ("title;", "has ; in it; take it out"),
    ],
)
def test_a_field_that_cannot_be_read_is_told_with_what_to_write(field: str, says: str) -> None:
    """It is shown as it was typed, in front."""
    (problem,) = told(f"{{{{ {field} }}}}")
    assert problem.startswith(f"{{{{ {field} }}}}")
    assert says in problem


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("a title", "has no = between the name and the value"),
        ("a == title", "has two =, and one is enough"),
        ("= title", "has no name before the ="),
        ("a =", "has nothing behind the ="),
        ("my name = title", "has a name of several words; write my_name"),
        ("a = title | foo", "there is no filter foo"),
        ('a = "x', "has a quote that is not closed"),
    ],
)
def test_an_assignment_that_cannot_be_read_is_told_with_what_to_write(assignment: str, says: str) -> None:
    """It is shown as it was typed, in front."""
    (problem,) = told(f"{{% assign {assignment} %}}")
    assert problem.startswith(f"{{% assign {assignment} %}}")
    assert says in problem


@pytest.mark.parametrize("quotes", ["“{}”", "„{}“", "‘{}’", "«{}»"])  # noqa: RUF001 - curly quotes are meant
def test_curly_quotes_of_a_word_processor_are_read_as_straight_ones(quotes: str) -> None:
    """Pasted from a document, where nobody can tell the difference."""
    assert told(f"{{{{ first_name | default: {quotes.format('there')} }}}}") == []
    assert told(f"{{% if title == {quotes.format('CEO')} %}}boss{{% endif %}}") == []


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("%%First Name%%", "first_name"),
        ("*|FNAME|*", "fname"),
        ("[[First Name]]", "first_name"),
        ("<<Company>>", "company"),
    ],
)
def test_another_programs_merge_field_is_not_mailed_as_it_stands(written: str, name: str) -> None:
    """B24: an email with a hole. Marketing Cloud, Mailchimp and word processors write fields so."""
    (problem,) = told(written)
    assert problem.startswith(f"{written} is another program's merge field")
    assert problem.endswith(f"write {{{{ {name} }}}}")


@pytest.mark.parametrize("text", ["100%% sure", "a << b and b >> c", "x[[0]]", "*|*", "2 * 3 | 4 * 5", "[sic]"])
def test_what_only_looks_like_one_is_mailed(text: str) -> None:
    """Signs of which nobody makes a field."""
    assert told(text) == []


def test_where_markup_is_not_closed_the_tags_around_it_are_not_blamed() -> None:
    """What was swallowed may hold the tag that seems to be missing."""
    assert check_template("Hi {% if title }}a{% endif %}") == ["{% if title }}a{% endif %} is not closed with %}"]


MARKS = st.sampled_from(("{{", "}}", "{%", "%}", '"', "'", "“", "=", "==", "|", ":", "!", "(", ")", ".", ",", " "))
WORDS = st.sampled_from(
    (
        " if ",
        " else ",
        " elsif ",
        " endif ",
        " case ",
        " when ",
        " endcase ",
        " assign ",
        " and ",
        "title",
        "default",
        "1",
    )
)


@given(st.lists(MARKS | WORDS, max_size=16).map("".join))
@example("{% if a %}b")
@example("{{ a || b }}")
def test_nobody_is_told_in_the_words_of_the_parser(source: str) -> None:
    """Whatever is typed: the Error field is read by people who write emails."""
    for problem in check_template(source):
        sentence = re.sub(r"\{[{%].*?[}%]\}", "", problem)
        assert not JARGON.search(sentence), problem
