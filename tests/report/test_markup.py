"""What is text stays text."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from penchant.report.markup import Markup, facts, join, safe, table, tag


class Read(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(TEXT, TEXT)
def test_no_text_becomes_a_tag_or_leaves_its_attribute(text, value):
    read = Read(tag("p", text, title=value))
    assert (read.tags, read.attributes, read.text) == (["p"], [("title", value)], text)


def test_markup_is_kept_and_text_is_not_trusted():
    assert safe(Markup("<b>")) == "<b>"
    assert join([Markup("<b>"), "<b>"]) == "<b>&lt;b&gt;"
    assert tag("td", tag("b", "<")) == "<td><b>&lt;</b></td>"


def test_attributes_that_are_off_are_left_out():
    assert tag("input", checked=True, disabled=False, name=None, data_at=10) == '<input checked data-at="10">'


def test_a_table_names_its_rows_and_columns():
    made = table(["a", "b"], [["x", 1], ["<y>", tag("td", 2, class_="n")]], caption="<c>")
    read = Read(made)
    assert read.tags == [
        "div",
        "table",
        "caption",
        "thead",
        "tr",
        "th",
        "th",
        "tbody",
        "tr",
        "th",
        "td",
        "tr",
        "th",
        "td",
    ]
    assert read.text == "<c>abx1<y>2"
    assert ("scope", "row") in read.attributes


def test_text_that_looks_like_a_cell_is_text():
    assert Read(table(["a", "b"], [["x", "<td>1</td>"]], caption="c")).text == "cabx<td>1</td>"


def test_facts_are_names_and_values():
    assert facts([("a", 1)]) == '<dl class="facts"><div><dt>a</dt><dd>1</dd></div></dl>'
