"""Rendering one template: what is filled in, what is missing, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from crmdrip.core.errors import ConfigurationError
from crmdrip.core.render import Broken, Format, Missing, Rendered, check_template, compile_template
from crmdrip.core.values import Context


def render(source: str, landing: Format = Format.TEXT, /, **values: object) -> Rendered | Missing | Broken:
    """Render with values by path; a double underscore stands for the dot of a related field."""
    fields = {path.replace("__", "."): value for path, value in values.items()}
    return compile_template(source, landing).render(Context(fields))


def text_of(source: str, landing: Format = Format.TEXT, /, **values: object) -> str:
    """The rendered text; fails the test when there is none."""
    result = render(source, landing, **values)
    assert isinstance(result, Rendered), result
    return result.text


@pytest.mark.parametrize(
    "written",
    [
        "{{ first_name }}",
        "{{ contact.first_name }}",
        "{{ lead.first_name }}",
        "{{ person.FirstName }}",
        "{{contact.FIRSTNAME}}",
        "{{ Recipient.FirstName }}",
        "{!Contact.FirstName}",
        "{!Lead.FirstName}",
        "{! Contact.FirstName }",
        "{{{Recipient.FirstName}}}",
    ],
)
def test_a_field_has_one_value_however_it_is_written(written: str) -> None:
    """Our words, API names, leads, contacts and Salesforce's own markup mean the same field."""
    assert text_of(f"Hi {written},", first_name="Ana") == "Hi Ana,"


@pytest.mark.parametrize("key", ["first_name", "FirstName", "contact.first_name"])
def test_values_are_found_by_the_path_that_was_asked_for(key: str) -> None:
    """The last look returns fields under the path it was asked for, whichever spelling that was."""
    result = compile_template("{{ first_name }}", Format.TEXT).render(Context({key: "Ana"}))
    assert result == Rendered(text="Ana")


def test_salesforce_formula_for_blank_values_is_a_default() -> None:
    """BLANKVALUE and NULLVALUE are how Salesforce templates say `default`."""
    assert text_of('Hi {!BLANKVALUE(Contact.FirstName, "there")}') == "Hi there"
    assert text_of("Hi {!NULLVALUE(Contact.FirstName, 'there')}", first_name="Ana") == "Hi Ana"


def test_paths_leave_out_the_person_and_keep_relations() -> None:
    """They are what the last look asks the CRM for."""
    template = compile_template(
        "{{ contact.first_name }} {!Lead.Company} {{ Account.Name }} {{ contact.account.industry }} {{ User.Name }}"
        "{% if owner.title == 'AE' %}{{ Custom_Thing__c }}{% endif %}",
        Format.TEXT,
    )
    assert template.paths == {
        "first_name",
        "Company",
        "account.Name",
        "account.industry",
        "sender.Name",
        "owner.title",
        "Custom_Thing__c",
    }


def test_two_spellings_of_a_field_are_asked_for_once() -> None:
    """One column less in the query."""
    assert compile_template("{{ first_name }}{{ Contact.FirstName }}", Format.TEXT).paths == {"first_name"}


@pytest.mark.parametrize("blank", [None, "", "   ", "\t\n", "-", "[not provided]", "[[Unknown]]", "N/A", "..."])
def test_a_blank_value_is_missing_b24(blank: str | None) -> None:
    """CRM blanks arrive as None, "" and as what imports put into required fields."""
    assert render("Hi {{ first_name }}", first_name=blank) == Missing(paths=("first_name",))


def test_all_missing_fields_are_reported_at_once_b24() -> None:
    """A rep fills in everything in one go."""
    result = render("{{ title }} {{ first_name | upcase }} {{ account.name }} {{ title }}", last_name="Li")
    assert result == Missing(paths=("title", "first_name", "account.name"))


@pytest.mark.parametrize("blank", [None, "", " "])
def test_a_declared_default_fills_a_blank_b24(blank: str | None) -> None:
    """`default` is the only way to say that a field may be missing."""
    assert text_of('Hi {{ first_name | default: "there" }}', first_name=blank) == "Hi there"


def test_a_default_may_be_another_field_and_may_be_missing_too() -> None:
    """The field asked for first is the one to fill in."""
    source = "{{ nick_name | default: first_name }}"
    assert text_of(source, first_name="Ana") == "Ana"
    assert render(source) == Missing(paths=("nick_name",))


def test_an_empty_default_is_a_decision() -> None:
    """Whoever writes default: "" wants nothing there."""
    assert text_of('Dear {{ salutation | default: "" }}Li') == "Dear Li"


def test_a_filter_that_leaves_nothing_makes_the_field_missing() -> None:
    """A hole is a hole, however it came about."""
    assert render("{{ title | remove: 'CTO' }}", title="CTO") == Missing(paths=("title",))


def test_a_missing_argument_of_a_filter_is_missing() -> None:
    """The text would have a hole in it."""
    assert render("{{ first_name | append: last_name }}", first_name="Ana") == Missing(paths=("last_name",))


def test_a_field_of_a_branch_not_taken_is_not_missing() -> None:
    """`if` is how authors ask whether a field is filled."""
    source = "A{% if title %} {{ title }} {{ phone }}{% else %} none{% endif %}"
    assert text_of(source, phone="1") == "A none"
    assert text_of(source, title="CTO", phone="1") == "A CTO 1"


@pytest.mark.parametrize(
    ("condition", "filled", "blank"),
    [
        ("title", True, False),
        ("title == blank", False, True),
        ("title != blank", True, False),
        ("title == empty", False, True),
        ("title == nil", False, True),
        ('title == ""', False, True),
        ('title == "CTO"', True, False),
        ('title contains "T"', True, False),
        ('title == "CEO" or title == "CTO"', True, False),
        ('title and first_name == "Ana"', True, False),
        ("employees > 10", True, True),
        ("employees >= 50 and employees <= 50", True, True),
        ("revenue < 5", False, False),
    ],
)
def test_conditions_know_blank_fields(condition: str, filled: bool, blank: bool) -> None:  # noqa: FBT001  a table
    """In Liquid "" is true and nil is not blank; a CRM has one kind of blank."""
    source = f"{{% if {condition} %}}yes{{% else %}}no{{% endif %}}"
    assert text_of(source, title="CTO", first_name="Ana", employees=50) == ("yes" if filled else "no")
    assert text_of(source, title="", first_name="Ana", employees=50) == ("yes" if blank else "no")


def test_case_unless_and_assign_work() -> None:
    """The rest of the allowed tags."""
    source = (
        '{% assign greeting = first_name | default: "there" %}{{ greeting }}:'
        '{% case country %}{% when "DE", "AT" %}Hallo{% when "FR" %}Salut{% else %}Hello{% endcase %}'
        "{% unless title %} no title{% endunless %}"
    )
    assert text_of(source, country="AT") == "there:Hallo no title"
    assert text_of(source, country="US", first_name="Ana", title="CTO") == "Ana:Hello"


def test_an_assigned_missing_field_is_reported_by_its_own_name() -> None:
    """A rep knows Title, not the author's variable."""
    assert render("{% assign t = title %}{{ t }}") == Missing(paths=("title",))


def test_comments_and_what_is_in_them_vanish() -> None:
    """A field in a comment is not asked for."""
    assert text_of("a{% comment %} {{ title }} {% if %} {% endcomment %}b") == "ab"


def test_dashes_trim_the_text_beside_them() -> None:
    """Liquid's whitespace control."""
    assert text_of("a  {{- first_name -}}  b", first_name="X") == "aXb"


@pytest.mark.parametrize(
    ("filters", "value", "expected"),
    [
        ("upcase", "ana", "ANA"),
        ("downcase", "ANA", "ana"),
        ("capitalize", "ANA li", "Ana li"),
        ("strip", " a ", "a"),
        ("truncate: 5", "abcdefgh", "ab..."),
        ("truncate: 8", "abcdefgh", "abcdefgh"),
        ('truncate: 4, ""', "abcdefgh", "abcd"),
        ("truncatewords: 2", "one two three", "one two..."),
        ("truncatewords: 3", "one two three", "one two three"),
        ('append: "!" | prepend: "¡"', "ana", "¡ana!"),
        ('replace: "a", "b"', "aXa", "bXb"),
        ('remove: " Inc"', "Acme Inc", "Acme"),
        ('date: "%-d %B %Y"', "2026-11-04", "4 November 2026"),
        ('date: "%H:%M"', "2026-11-04T09:05:00.000+0000", "09:05"),
        ('date: "%d.%m.%Y"', date(2026, 11, 4), "04.11.2026"),
        ("url_encode", "a b&c/d", "a%20b%26c%2Fd"),
        ("escape", "a<b", "a<b"),
    ],
)
def test_filters(filters: str, value: object, expected: str) -> None:
    """The allow-list, by example."""
    assert text_of(f"{{{{ x | {filters} }}}}", x=value) == expected


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (50.0, "50"),
        (50, "50"),
        (1.5, "1.5"),
        (Decimal("10.00"), "10"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02 03:04"),
    ],
)
def test_plain_values_print_as_people_write_them(value: object, printed: str) -> None:
    """Salesforce sends whole numbers as 50.0."""
    assert text_of("{{ x }}", x=value) == printed


def test_values_are_escaped_once_for_html_b27() -> None:
    """HTML in a first name shows as text, also after `escape`."""
    name = "<b onclick='x'>\"A&B\"</b>"
    escaped = "&lt;b onclick=&#39;x&#39;&gt;&quot;A&amp;B&quot;&lt;/b&gt;"
    assert text_of("{{ first_name }}", Format.HTML, first_name=name) == escaped
    assert text_of("{{ first_name | escape }}", Format.HTML, first_name=name) == escaped
    assert text_of('{{ x | default: "R&D" }}', Format.HTML) == "R&amp;D"


@pytest.mark.parametrize("landing", list(Format))
def test_control_characters_of_a_value_become_spaces_b27(landing: Format) -> None:
    """A line break in a name would end a header; a direction override shows another name than it holds."""
    value = "Ana\r\nBcc: x\x00\u2028y\u202ez\ud800"
    assert text_of("{{ first_name }}", landing, first_name=value) == "Ana Bcc: x y z "


@pytest.mark.parametrize("value", ["{{ 7 | times: 7 }}", "{% if a %}", "{!Contact.Name}", "a } b", "{FirstName}"])
@pytest.mark.parametrize("landing", list(Format))
def test_template_code_in_a_value_is_never_run_and_holds_b27(value: str, landing: Format) -> None:
    """An import that went wrong left it there; nobody wants to read it."""
    assert render("Hi {{ first_name }}", landing, first_name=value) == Broken(problem="First Name contains a brace")


@pytest.mark.parametrize("value", [{"city": "Berlin"}, ["a"], b"a", object(), float("nan"), 10**80])
def test_what_is_no_text_number_or_date_is_never_printed_b27(value: object) -> None:
    """A Python repr in an email tells of our insides."""
    result = render("{{ address }}", address=value)
    assert isinstance(result, Broken)
    assert result.problem.startswith("Address is ")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ contact }}", "whole record"),
        ("{{ contact.account }}", "whole record"),
        ("{{ owner }}", "whole record"),
        ("{{ (1..1000000000) | join: ',' }}", "range"),
        ("{% if (1..9) contains 3 %}{% endif %}", "range"),
        ("{% for x in y %}{{ x }}{% endfor %}", "{% for x in y %} is not available"),
        ("{% include 'x' %}", "not available"),
        ("{% render 'x' %}", "not available"),
        ("{% capture x %}a{% endcapture %}", "not available"),
        ("{% raw %}{{ x }}{% endraw %}", "not available"),
        ("{% liquid assign x = 1 %}", "not available"),
        ("{{ x | safe }}", "no filter safe"),
        ("{{ x | split: ' ' | first }}", "no filter split"),
        ("{{ x | join: ',' }}", "no filter join"),
        ("{{ x | map: 'y' }}", "no filter map"),
        ("{{ x | upcase: 1 }}", "upcase takes nothing behind it"),
        ("{{ x | truncate: length: 5 }}", "no named arguments"),
        ("{{ x | date: '%Q' }}", "%Q"),
        ("{{ x | date: '%9999999d' }}", "%9"),
        ("{{ x | default }}", "default needs"),
        ("{{ x | default: nil }}", "only be compared"),
        ("{{ x[0] }}", "not a field"),
        ("{{ x[y] }}", "not a field"),
        ("{{ a.b.c.d.e }}", "not a field"),
        ("{{ First Name }}", "has a space in First Name; write First_Name if it is one field"),
        ("{{ }}", "has nothing in it"),
        ("{{ contact.first_nam } and so on", "{{ contact.first_nam } and so on is not closed with }}"),
        ("{% if title %}x", "{% if title %} is not closed with {% endif %}"),
        ("x{% endif %}", "{% endif %} closes nothing"),
        ("{% comment %}x", "endcomment"),
        ("Hi {first_name}", "brace that fills nothing in"),
        ("Hi first_name}}", "brace that fills nothing in"),
        ('{{ x | default: "{" }}', "brace"),
        ('{!IF(ISBLANK(Contact.Title), "a", "b")}', "is not a field"),
        ("{{ " + "a" * 600 + " }}", "not closed"),
        ("x" * 102_401, "longer than 100 KB"),
        ("{% assign a = 'x' %}" * 51, "more than 50"),
        ("{{ a }}" * 1001, "more than 1000"),
        ("{% if a %}" * 25 + "{% endif %}" * 25, "more than 20 deep"),
    ],
)
def test_what_is_not_available_is_refused_in_words(source: str, says: str) -> None:
    """The words say what is wrong and show the place."""
    problems = check_template(source)
    assert any(says in problem for problem in problems), problems
    assert not any("\n" in problem or "Token" in problem for problem in problems)


def test_every_problem_is_reported_at_once_with_its_line() -> None:
    """An author corrects a template in one go."""
    problems = check_template("Hi {{ contact }},\n{{ x | safe }}\n{{ broken\n\nBye")
    assert len(problems) == 3
    assert any(problem.startswith("line 3: {{ broken") for problem in problems)


def test_a_good_template_has_no_problems() -> None:
    """Rich text as Salesforce stores it, plain text, a subject."""
    assert check_template("<p>Hi {{ first_name | default: &quot;there&quot; }},</p>") == []
    assert check_template("Hi {!Contact.FirstName},\n\nsee https://example.com") == []
    assert check_template("{% if title %}{{ title }}{% else %}Hello{% endif %}") == []


def test_a_bad_template_does_not_compile() -> None:
    """Rendering never meets a template with a problem."""
    with pytest.raises(ConfigurationError, match="no filter safe"):
        compile_template("{{ x | safe }}", Format.TEXT)


def test_a_replace_chain_cannot_grow_without_end_b27() -> None:
    """Refused before the text is built."""
    source = "{{ x" + " | replace: 'a', 'aaaaaaaaaaaaaaaa'" * 8 + " }}"
    result = render(source, x="a" * 100)
    assert result == Broken(problem="X (replace) becomes too long")


def test_assigned_texts_cannot_grow_without_end_b27() -> None:
    """Doubling fifty times would fill the memory."""
    source = "{% assign a = x %}" + "{% assign a = a | append: a %}" * 40 + "{{ a }}"
    result = render(source, x="a" * 100)
    assert result == Broken(problem="A (append) becomes too long")


def test_a_huge_value_does_not_make_a_huge_email_b27() -> None:
    """A 10 MB body is held, and a value used often does not get there either."""
    assert render("{{ x }}", x="a" * 10_000_000) == Broken(problem="The email becomes too long")
    assert render("{{ x }}" * 1000, x="a" * 2_000) == Broken(problem="The email becomes too long")


def test_cases_in_cases_print_once_each_b27() -> None:
    """In the Liquid library each repeated match doubles the work, thirty levels deep."""
    source = "{% case a %}{% when 1, 1, 1, 1 %}" * 15 + "x" + "{% endcase %}" * 15
    assert text_of(source, a=1) == "x"


def test_a_condition_on_unlike_values_is_broken_in_words() -> None:
    """A text field compared with a number."""
    result = render("{% if employees > 5 %}x{% endif %}", employees="many")
    assert result == Broken(problem="A condition compares a text with a number")


def test_templates_are_compiled_once() -> None:
    """Compiling costs a hundred renders."""
    assert compile_template("{{ a }} once", Format.TEXT) is compile_template("{{ a }} once", Format.TEXT)
