"""Pages of which a mark within them keeps something from sight: which they are, and how they are read without it."""

from __future__ import annotations

import pytest

from mailbridge.core.swallowed import is_swallowed, unswallowed
from mailbridge.core.text import page_from_html

REST = "</p><p>Your code:</p><h1>482913</h1></body></html>"
HIDING = {
    "a comment": "<!--",
    "a comment that looks closed": "<!-- -- >",
    "a comment that another ends": "<!-- a <b>x</b></p><!-- footer --><p>",
    "a comment for one program": "<!--[if mso]>",
    "an odd comment": "<!x",
    "a processing instruction": "<?x",
    "a style": "<style>",
    "a style that a later one ends": "<style></p><style>b{color:red}</style>",
    "a title": "<title>",
    "a script": "<script>",
    "a field": "<textarea>",
    "a choice": "<select>",
    "a template": "<template>",
    "what stands for scripts": "<noscript>",
    "a frame": "<iframe>",
    "an object": "<object>",
    "a drawing": "<svg>",
    "a formula": "<math>",
    "a list of data": "<datalist>",
    "sample text": "<xmp>",
    "plain text": "<plaintext>",
    "what stands for embedded things": "<noembed>",
    "what stands for frames": "<noframes>",
    "an attribute": '<a title="',
    "an attribute in single quotes": "<a title='",
    "an attribute behind an end": "<a title='>",
    "a tag without an end": "<a ",
    "a division out of sight": '<div style="display:none">',
    "a division that the page hides": "<div hidden>",
    "text of no size": '<div style="font-size:0">',
}
HONEST = {
    "nothing": "",
    "a comment that is closed": "<!-- a name --><!-- <td>1234</td> -->",
    "a comment for other programs": "<!--[if !mso]><!--><b>Ann</b><!--<![endif]-->",
    "a comment for one program that holds a comment": "<!--[if mso]><!-- a --><![endif]-->",
    "a style": "<style>b{color:#202123}</style>",
    "a style in a comment": "<style><!-- b{color:red} --></style>",
    "an object that ends": "<object><b>x</b></object><svg><text>1</text></svg>",
    "a heart": "Ann <3",
    "an arrow": "a -> b",
    "quotes": '<a title="it\'s" href=\'https://acme.example/?a=b&c="d"\'>Ann</a>',
}


@pytest.mark.parametrize("name", HIDING)
def test_what_hides_the_rest_of_a_page_is_seen(name: str) -> None:
    """Behind each such mark the page is read a second time, and its code stands there on a line of its own."""
    page = page_from_html(f"<html><body><p>Hello Ann{HIDING[name]}, {REST}")
    assert page.bare is not None
    assert "482913" in [line.text for line in page.bare.page.lines]


@pytest.mark.parametrize("name", HONEST)
def test_marks_that_end_where_they_should_cost_no_second_reading(name: str) -> None:
    """What an author began he ended: then there is nothing to read again."""
    page = page_from_html(f"<html><body><p>Hello {HONEST[name]}, {REST}")
    assert page.bare is None
    assert "482913" in [line.text for line in page.lines]


def test_text_out_of_sight_above_all_is_a_preview() -> None:
    """Only what is hidden below text that is seen makes a page suspect; a preview stands above."""
    hidden = '<div style="display:none">Your code is 482913</div>'
    assert page_from_html(f"<body>{hidden}<p>Hello</p></body>").bare is None
    assert page_from_html(f"<body><p>Hello</p>{hidden}</body>").bare is not None


def test_words_of_a_torn_tag_stay_and_its_name_goes() -> None:
    """What a tag without an end had swallowed is text again, and no attribute is left that could hide it."""
    assert unswallowed('<p style="display:none">a<b class="x">1</b><a, 2</p>') == "<p>a<b>1</b> , 2</p>"
    assert unswallowed("<style>p{x:1}</style>a<style><b>2</b>") == " a <b>2</b>"


BEGUN = [
    "<!-- without an end",
    "<!--",
    "<!-- one --><!-- another",
    "<!-- a <!---->",
    "<!--[if mso]><!--[if gte mso 9]><!-- a -->",
    "<a <b>x</b>",
    '<a title="x>y</a><!-- c -->',
    "<!-- c --><a title='x>y</a>",
    "Hello <b",
]
ENDED = [
    "a<!-->b",
    "<!-- a <!--->",
    "<!-- a --><b>x</b><!-- c -->",
    '<a title="<!-- x -->y">z</a>',
    "a = b isn't > c",
    "1 < 2, 3 > 2",
]


@pytest.mark.parametrize("html", BEGUN)
def test_what_does_not_end_is_seen(html: str) -> None:
    """A comment, a tag or a quote that goes on, wherever in the page it begins, and a comment within a comment."""
    assert is_swallowed(html, ())


@pytest.mark.parametrize("html", ENDED)
def test_what_ends_is_no_mark(html: str) -> None:
    """Comments end as browsers end them, quotes of text are no quotes of a tag, and signs of mathematics are no tags."""
    assert not is_swallowed(html, ())


def test_tags_in_an_element_of_text_are_swallowed() -> None:
    """Where an author wrote a title he wrote no tag in it, although it ends; what is read as a page may hold tags if it ends."""
    assert is_swallowed("<title>Ann <b>x</title>", [("title", "Ann <b>x")])
    assert not is_swallowed("<title>Ann</title>", [("title", "Ann")])
    assert is_swallowed("<select><b>x</b>", [("select", "")])
    assert not is_swallowed("<select><b>x</b></select>", [("select", "")])


def test_a_tag_of_a_program_leaves_nothing() -> None:
    """Elements of other vocabularies go, with their names; the text within stays."""
    assert unswallowed("a<o:p>1</o:p>b") == "a 1 b"


@pytest.mark.parametrize("mark", ["<!--", "<a title='", "<select>", "<b ", "<style>", "=' "])
def test_the_look_is_linear(mark: str) -> None:
    """A page of nothing but such marks is judged and read again at once."""
    html = mark * 20_000
    is_swallowed(html, [("select", ""), ("style", "<b>")] * 1_000)
    assert len(unswallowed(html)) <= 2 * len(html)
