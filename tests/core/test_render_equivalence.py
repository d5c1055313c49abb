"""What we run is Liquid: random templates print the same here and in python-liquid.

Only where every field is filled: what a blank means differs on purpose (core.program).
"""

from __future__ import annotations

import html

from hypothesis import given
from hypothesis import strategies as st
from liquid import Environment

from crmdrip.core.render import Format, Rendered, compile_template
from crmdrip.core.values import Context

VALUES = {
    "first": "Ana",
    "title": "Head of R&D <b>",
    "company": "Müller's “Söhne”",
    "count": 42,
    "zero": 0,
    "yes": True,
    "no": False,
}

LIQUID = Environment()

fields = st.sampled_from(sorted(VALUES))
# python-liquid's filters turn yes/no into Python's True and False; nobody writes that in an email.
printable = st.sampled_from(sorted(VALUES.keys() - {"yes", "no"}))
quoted = st.sampled_from(["Ana", "A", "x & y", "Head", ""]).map(lambda text: f'"{text}"')
numbers = st.sampled_from(["0", "1", "41", "42", "43"])
filters = st.one_of(
    st.sampled_from(["upcase", "downcase", "capitalize", "strip", "lstrip", "rstrip"]),
    st.builds("append: {}".format, quoted),
    st.builds("prepend: {}".format, quoted),
    st.builds("remove: {}".format, st.sampled_from(['"A"', '"zz"'])),
    st.builds("replace: {}, {}".format, st.sampled_from(['"A"', '"e"', '"zz"']), quoted),
    st.builds("default: {}".format, quoted),
    st.builds("default: {}, allow_false: true".format, quoted),
    # A text of exactly the asked length is cut by python-liquid 2.3.6, and by neither Shopify nor us.
    st.builds("truncate: {}".format, st.sampled_from([60, 100])),
    st.builds("truncatewords: {}".format, st.sampled_from([50, 100])),
)
outputs = st.builds(
    lambda value, chain: "{{ " + " | ".join([value, *chain]) + " }}",
    st.one_of(printable, quoted),
    st.lists(filters, max_size=3),
)
comparisons = st.one_of(
    fields,
    st.builds("{} == {}".format, fields, st.one_of(fields, quoted, numbers)),
    st.builds("{} != {}".format, fields, st.one_of(fields, quoted, numbers)),
    st.builds("{} {} {}".format, st.sampled_from(["count", "zero"]), st.sampled_from(["<", ">", "<=", ">="]), numbers),
    st.builds("{} contains {}".format, st.sampled_from(["first", "title", "company"]), quoted),
)
conditions = st.lists(comparisons, min_size=1, max_size=3).flatmap(
    lambda parts: st.lists(st.sampled_from([" and ", " or "]), min_size=len(parts) - 1, max_size=len(parts) - 1).map(
        lambda joints: parts[0] + "".join(joint + part for joint, part in zip(joints, parts[1:], strict=True))
    )
)
literals = st.sampled_from(["Hi ", "\n", " and <p>", "&amp; ", "  ", ","])


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Templates made of others."""
    return st.one_of(
        st.builds("{{% if {} %}}{}{{% endif %}}".format, conditions, inner),
        st.builds(
            "{{% if {} %}}{}{{% elsif {} %}}{}{{% else %}}{}{{% endif %}}".format,
            conditions,
            inner,
            conditions,
            inner,
            inner,
        ),
        st.builds("{{% unless {} %}}{}{{% else %}}{}{{% endunless %}}".format, conditions, inner, inner),
        st.builds(
            "{{% case {} %}}{{% when {} %}}{}{{% when {} %}}{}{{% else %}}{}{{% endcase %}}".format,
            fields,
            st.one_of(quoted, numbers),
            inner,
            st.one_of(quoted, numbers),
            inner,
            inner,
        ),
        st.builds("{{% assign local = {} %}}{}{{{{ local }}}}".format, fields, inner),
        st.lists(inner, max_size=4).map("".join),
    )


templates = st.recursive(st.one_of(literals, outputs), blocks, max_leaves=12)


def ours(source: str, landing: Format) -> str | None:
    """What we print; None for a hole, which python-liquid lets through."""
    result = compile_template(source, landing).render(Context(VALUES))
    return result.text if isinstance(result, Rendered) else None


@given(source=templates)
def test_text_is_what_liquid_prints(source: str) -> None:
    """Filters, conditions, branches and white space."""
    printed = ours(source, Format.TEXT)
    assert printed is None or printed == LIQUID.from_string(source).render(**VALUES)


@given(source=templates)
def test_html_shows_a_reader_the_same_text(source: str) -> None:
    """Values are escaped once, whatever filters they went through; python-liquid escapes some twice."""
    page, text = ours(source, Format.HTML), ours(source, Format.TEXT)
    assert (page is None) == (text is None)
    assert page is None or html.unescape(page) == html.unescape(text or "")


@given(source=templates)
def test_a_value_never_opens_a_tag_in_html(source: str) -> None:
    """Whatever filters do to it."""
    printed = ours(source, Format.HTML)
    assert printed is None or "<b>" not in printed
