"""HTML becomes the lines that a person sees; hidden text stays apart; nothing hangs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.text import page_from_html, page_from_plain
from tests import cost


@pytest.mark.parametrize(
    ("html", "line"),
    [
        ("<table><tr>" + "".join(f"<td>{d}</td>" for d in "482913") + "</tr></table>", "482913"),
        ("<p>" + "".join(f"<span>{d}</span>" for d in "482913") + "</p>", "482913"),
        ("<p>482&zwnj;913</p>", "482913"),
        ("<p>48&shy;29&#8203;13</p>", "482913"),
        ("<p>482&nbsp;913</p>", "482 913"),
        ("<b>482</b>913", "482913"),
        ("<p>a &amp; b</p>", "a & b"),
    ],
)
def test_what_is_seen_as_one_is_one_line(html: str, line: str) -> None:
    """Digits in cells and spans are joined, invisible characters go, entities are read."""
    assert page_from_html(html).text == line


@pytest.mark.parametrize("cells", ["12²4", "²²²²", "١٢٣٤", "①②③④", "1₂34"])
def test_digits_of_any_script_in_cells_are_read(cells: str) -> None:
    """Superscripts, circles and other scripts' digits are characters like any other: what counts 1, 2, 3, 4 is a list, the rest is a word."""
    text = page_from_html("<table><tr>" + "".join(f"<td>{one}</td>" for one in cells) + "</tr></table>").text
    assert text in (cells, "\n".join(cells))


@pytest.mark.parametrize("html", ["<td>12</td><td>3456</td>", "<div>12</div><div>3456</div>", "12<br>3456"])
def test_neighbours_are_not_glued(html: str) -> None:
    """Cells and blocks of more than one character stay apart."""
    assert "123456" not in page_from_html(f"<table><tr>{html}</tr></table>" if "<td" in html else html).text


@pytest.mark.parametrize(
    "style",
    ["display:none", "visibility: hidden", "max-height:0;overflow:hidden", "font-size:0", "opacity:0", "mso-hide:all"],
)
def test_hidden_text_is_kept_apart(style: str) -> None:
    """What a style hides is not among the lines."""
    page = page_from_html(f'<div style="{style}">111222</div><p>482913</p>')
    assert page.text == "482913"
    assert page.hidden == ("111222",)


def test_text_in_a_column_without_font_size_is_seen_where_it_has_its_own() -> None:
    """Templates set a column's font size to nothing and give it back to the text; what has none of its own stays hidden."""
    page = page_from_html('<div style="font-size:0px;padding:0">7<div style="font-size:13px">482<b>913</b></div><i>8</i></div>')
    assert page.text == "482913"
    assert page.hidden == ("7", "8")


def test_a_class_rule_hides_too() -> None:
    """A simple rule of a style element counts as the element's own style."""
    page = page_from_html('<style>.pre{display:none}</style><div class="pre">111222</div><p hidden>9</p><p>482913</p>')
    assert page.text == "482913"


def test_emphasis_links_and_images_are_told() -> None:
    """A large number is emphasised, a button is a button, an alt text is an image."""
    page = page_from_html(
        '<p style="font-size:32px">482913</p><a class="btn" href="https://a.example/?a=1&amp;b=2">Go</a><img alt="x">'
    )
    assert page.lines[0].is_emphasised
    assert [(link.url, link.text, link.is_button) for link in page.links] == [("https://a.example/?a=1&b=2", "Go", True)]
    assert page.images == ("x",)


def test_an_address_is_taken_as_it_is_written() -> None:
    """Blanks around it go, as HTML says; what stands within it stays, however odd, so that it can be judged; a cut one is none."""
    for written, url in {
        " \n https://acme.example/a b\n ": "https://acme.example/a%20b",
        "https://ac&#9;me.example/": "https://ac\tme.example/",
        "https://ac&shy;me.example/": "https://ac\u00adme.example/",
        "https://evil.example\\.acme.example/": "https://evil.example\\.acme.example/",
        "https://acme.example/&#8203;x": "https://acme.example/\u200bx",
    }.items():
        assert [link.url for link in page_from_html(f'<a href="{written}">x</a>').links] == [url]
    long = "https://acme.example/" + "x" * 4_000
    assert page_from_html(f'<a href="{long}">x</a>').links == ()
    assert page_from_plain(f"Sign in: {long}").links == ()
    assert len(page_from_plain(f"Sign in: {long[:4_000]}").links) == 1


@pytest.mark.parametrize("bomb", ["<div>" * 100_000 + "482913", "<a " + 'b="c" ' * 100_000 + ">482913", "<" * 500_000])
def test_a_bomb_is_read_in_good_time(bomb: str) -> None:
    """Deep nesting, endless attributes and endless brackets take no longer than some hundred empty loops."""
    assert cost.loops(cost.seconds(lambda: page_from_html(bomb), rounds=2)) < 400


@given(st.text(max_size=400))
def test_any_text_gives_a_page(text: str) -> None:
    """Both readers are total and deterministic."""
    one, other = page_from_html(text), page_from_html(text)
    assert replace(one, bare=None) == replace(other, bare=None)
    assert (one.bare and one.bare.page) == (other.bare and other.bare.page)
    assert page_from_plain(text) == page_from_plain(text)
