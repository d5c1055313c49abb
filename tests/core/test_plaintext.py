"""One body as HTML and as plain text, converted at template level."""

from __future__ import annotations

import pytest

from crmdrip.core.body import read_body
from crmdrip.core.markup import scan
from crmdrip.core.plaintext import to_plaintext
from crmdrip.core.render import Format, Rendered, compile_template
from crmdrip.core.sanitize import sanitize
from crmdrip.core.values import Context


def filled(template: str, landing: Format, /, **values: object) -> str:
    """A template filled in."""
    result = compile_template(template, landing).render(Context(values))
    assert isinstance(result, Rendered), result
    return result.text


# --- HTML to text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("<div>One</div><div>Two</div>", "One\nTwo"),
        ("One<br>Two<br><br>Three", "One\nTwo\n\nThree"),
        ("<p>a  b\n c&nbsp;d</p>", "a b c d"),
        ("<h1>Title</h1><p>Text</p>", "Title\n\nText"),
        ("<p>x</p><ul><li>one</li><li>two</li></ul><p>y</p>", "x\n\n- one\n- two\n\ny"),
        ("<ol><li>one</li><li>two</li></ol>", "1. one\n2. two"),
        ('<ol start="3"><li>one</li></ol>', "3. one"),
        ("<ul><li>one<ul><li>deep</li></ul></li><li>two</li></ul>", "- one\n  - deep\n- two"),
        ("<ul><li>one<br>more</li></ul>", "- one\n  more"),
        ("<blockquote><p>a</p><p>b</p></blockquote><p>c</p>", "> a\n>\n> b\n\nc"),
        ('<a href="https://x.example/a">here</a>', "here (https://x.example/a)"),
        ('<a href="https://x.example/">x.example</a>', "x.example"),
        ('<a href="https://x.example/a">https://x.example/a</a>', "https://x.example/a"),
        ('<a href="mailto:a@x.example">a@x.example</a>', "a@x.example"),
        ('<a href="mailto:a@x.example">write</a>', "write (a@x.example)"),
        (
            '<a href="https://x.example/"><img src="https://x.example/i.png" alt="Logo"></a>',
            "Logo (https://x.example/)",
        ),
        ('<a href="https://x.example/"></a>', "https://x.example/"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a b\nc d"),
        ("<p>a</p><hr><p>b</p>", "a\n\n---\n\nb"),
        ("a &lt;b&gt; &amp; c", "a <b> & c"),
    ],
)
def test_html_reads_as_plain_text(html: str, text: str) -> None:
    """By example."""
    assert to_plaintext(html) == text


# --- cleaning HTML


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<p onclick='x()'>a</p>", "<p>a</p>"),
        ("<script>alert(1)</script>a", "a"),
        ("<scr<script>x</script>ipt>alert(1)</script>", "alert(1)"),
        ("<style>p{color:red}</style>a", "a"),
        ("<iframe src='https://x'>b</iframe>a", "a"),
        ("<svg><a href='x'>b</a></svg>a", "a"),
        ("<!-- {{ x }} <p> -->a", "a"),
        ("<!DOCTYPE html><html><body>a</body></html>", "a"),
        ("<form action='https://x'><input>a</form>", "a"),
        ("<p>a <b>b</p>", "<p>a <b>b</b></p>"),
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
        ("a</b></p>", "a"),
        ("1 < 2 <3 > <", "1 &lt; 2 &lt;3 &gt; &lt;"),
        ("<p style='color:red;background:url(https://x);position:fixed'>a</p>", '<p style="color:red">a</p>'),
        ("<h5>a</h5>", "<h3>a</h3>"),
        ("<font face='x'>a</font>", "a"),
        ("<a name='x'>a</a>", "a"),
        ("<a href='#x'>a</a>", "a"),
        ("<a href='www.x.example'>a</a>", '<a href="https://www.x.example">a</a>'),
        ("<a href='https://x.example/?a=1&b=2'>a</a>", '<a href="https://x.example/?a=1&amp;b=2">a</a>'),
        (
            "<img src='https://x.example/i.png' onerror='x' width='10px'>",
            '<img src="https://x.example/i.png" alt="" width="10">',
        ),
        ("&lt;script&gt;", "&lt;script&gt;"),
    ],
)
def test_only_what_an_email_may_carry_is_kept(given: str, kept: str) -> None:
    """The allow-list, by example; everything else goes."""
    assert sanitize(given).html == kept


@pytest.mark.parametrize(
    "tag",
    [
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='java\nscript:alert(1)'>x</a>",
        "<a href='&#106;avascript:alert(1)'>x</a>",
        "<a href='data:text/html,x'>x</a>",
        "<a href='/relative'>x</a>",
        "<a href='//x.example'>x</a>",
        "<img src='http://x.example/i.png'>",
        "<img src='data:image/png;base64,x'>",
    ],
)
def test_an_address_that_is_not_allowed_is_refused_aloud_b27(tag: str) -> None:
    """An author hears of it instead of finding the link gone."""
    clean = sanitize(tag)
    assert "href" not in clean.html
    assert "src" not in clean.html
    assert len(clean.problems) == 1


@pytest.mark.parametrize(
    "source",
    [
        "<a " * 33_000,
        "<!--" * 25_000,
        "<a b='" + "<" * 90_000,
        "</" * 50_000,
        "<b>" * 15_000 + "</i>" * 12_000,
        "<" * 100_000,
    ],
    ids=["tags", "comments", "quote", "ends", "depth", "brackets"],
)
@pytest.mark.timeout(20)
def test_hostile_html_is_read_in_linear_time_b27(source: str) -> None:
    """The first takes the standard library's parser a minute; nothing of them survives as a tag."""
    assert "<a" not in read_body(source).html


# --- bodies


def test_rich_text_becomes_two_templates() -> None:
    """The markup stays, with what the editor did to it undone."""
    body = read_body(
        "<p>Hi {{ contact.first_name | default: &quot;there&quot; }},</p>"
        "<p>{%&nbsp;if title == &#39;CTO&#39; %}<b>{!Contact.Title}</b>{% endif %}</p>"
    )
    assert body.problems == ()
    assert body.html == (
        '<p>Hi {{ contact.first_name | default: "there" }},</p>'
        "<p>{% if title == 'CTO' %}<b>{{ Contact.Title }}</b>{% endif %}</p>"
    )
    assert body.text == (
        "Hi {{ contact.first_name | default: \"there\" }},\n\n{% if title == 'CTO' %}{{ Contact.Title }}{% endif %}"
    )


def test_plain_text_becomes_two_templates() -> None:
    """Paragraphs, line breaks and bare links."""
    body = read_body("Hi {{ first_name }},\r\n\r\nsee https://x.example/a?b=1&c=2 (or www.y.example).\r\nBye & <3")
    assert body.html == (
        "<p>Hi {{ first_name }},</p>\n"
        '<p>see <a href="https://x.example/a?b=1&amp;c=2">https://x.example/a?b=1&amp;c=2</a> '
        '(or <a href="https://www.y.example">www.y.example</a>).<br>Bye &amp; &lt;3</p>'
    )
    assert body.text == "Hi {{ first_name }},\n\nsee https://x.example/a?b=1&c=2 (or www.y.example).\nBye & <3"


def test_plain_text_with_a_link_in_it_keeps_its_line_breaks() -> None:
    """HTML alone would run the lines together."""
    body = read_body('Hi,\n\nsee <a href="https://x.example">this</a>\nBye')
    assert body.html == '<p>Hi,</p>\n<p>see <a href="https://x.example">this</a><br>Bye</p>'
    assert body.text == "Hi,\n\nsee this (https://x.example)\nBye"


def test_markup_broken_up_by_an_editor_is_mended() -> None:
    """Formatting tags, non-breaking spaces and curly quotes inside of it."""
    found = scan("{{ <span style='x'>first_name</span>\u00a0| default: “there” }}")
    assert [piece.text for piece in found.pieces] == ['first_name | default: "there"']


def test_a_value_in_a_link_cannot_lead_elsewhere_b27() -> None:
    """It is encoded for the place in the address where it stands."""
    body = read_body('<a href="https://x.example/u?n={{ first_name }}">a</a>')
    page = filled(body.html, Format.HTML, first_name="a&b=\"c@evil.example/../ '")
    assert page == '<p><a href="https://x.example/u?n=a%26b%3D%22c%40evil.example%2F..%2F%20%27">a</a></p>'


@pytest.mark.parametrize("value", ["javascript:alert(1)", "x", "https://x.example/ onclick=1", "data:a,b"])
def test_a_value_that_is_a_whole_link_must_be_a_web_address_b27(value: str) -> None:
    """A website field is typed by people."""
    body = read_body('<a href="{{ website }}">site</a>')
    result = compile_template(body.html, Format.HTML).render(Context({"website": value}))
    assert not isinstance(result, Rendered)


def test_a_website_without_a_scheme_gets_one() -> None:
    """Most website fields have none."""
    body = read_body('<a href="{{ website }}">site</a>')
    assert (
        filled(body.html, Format.HTML, website="www.x.example/a") == '<p><a href="https://www.x.example/a">site</a></p>'
    )
    assert filled(body.text, Format.TEXT, website="www.x.example/a") == "site (https://www.x.example/a)"


def test_a_mail_link_keeps_its_at_sign() -> None:
    """An address is encoded but stays one."""
    body = read_body('<a href="mailto:{{ email }}?subject={{ title }}">write</a>')
    page = filled(body.html, Format.HTML, email="a+b@x.example", title="C T&O")
    assert page == '<p><a href="mailto:a%2Bb@x.example?subject=C%20T%26O">write</a></p>'


def test_a_branch_inside_an_address_is_refused() -> None:
    """Its parts cannot be judged one by one."""
    assert "needs a full address" in read_body('<a href="{% if a %}https://x{% endif %}">x</a>').problems[0]


@pytest.mark.parametrize(
    "source",
    [
        "<p>One</p>{% if title %}<p>Two {{ title }}</p>{% endif %}<p>Three</p>",
        "One\n\n{% if title %}\n\nTwo {{ title }}\n\n{% endif %}\n\nThree",
        "One\n\n{% if title %}\nTwo {{ title }}\n\n{% endif %}\nThree",
    ],
)
def test_a_branch_brings_its_own_breaks_and_leaves_none(source: str) -> None:
    """Whether it is taken or not, paragraphs stand apart by one blank line."""
    template = read_body(source).text
    assert filled(template, Format.TEXT, title="CTO") == "One\n\nTwo CTO\n\nThree"
    assert filled(template, Format.TEXT) == "One\n\nThree"


@pytest.mark.parametrize(
    "source",
    [
        "<ul><li>a</li>{% if title %}<li>{{ title }}</li>{% endif %}<li>c</li></ul>",
        "- a\n{% if title %}\n- {{ title }}\n{% endif %}\n- c",
    ],
)
def test_a_branch_of_a_list_leaves_no_gap(source: str) -> None:
    """List items stay together."""
    template = read_body(source).text
    assert filled(template, Format.TEXT, title="b") == "- a\n- b\n- c"
    assert filled(template, Format.TEXT) == "- a\n- c"


def test_a_body_over_the_limit_is_refused_before_it_is_read_b27() -> None:
    """10 MB of template."""
    body = read_body("<p>" * 3_500_000)
    assert (body.html, body.text) == ("", "")
    assert body.problems == ("the template is longer than 100 KB",)


def test_marks_an_author_typed_are_not_taken_for_ours_b27() -> None:
    """The private characters behind which markup is hidden are removed from what people write."""
    body = read_body("a\ue0000\ue00f {{ title }}")
    assert filled(body.text, Format.TEXT, title="x") == "a0 x"
