"""A tree of HTML becomes lines as a person sees them: one walk, without recursion.

Cells and blocks each make a line of their own, so that neighbours never run together into a number that nobody wrote; only units
of one character each, side by side, are one code that was laid out in boxes.
"""

from __future__ import annotations

from dataclasses import field
from typing import NamedTuple

from selectolax.lexbor import LexborNode

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Line, Link, Page
from mailbridge.core.style import PLAIN, Look, StyleSheet
from mailbridge.core.swallowed import RAW
from mailbridge.core.visible import tidy, visible

MAX_LINES = 5_000
MAX_LINE = 10_000
MAX_LINK = 4_000
"""Characters of an address; a longer one is left out, since the first part of it would be another address."""

HTML_BLANKS = " \t\n\f\r"
"""What HTML takes off the ends of an address."""

MAX_LINKS = 500
MAX_IMAGES = 100
FEWEST_BOXES = 4
MIN_MARKED = 4
MAX_MARKED = 24
MAX_MARKS = 8
"""Characters and number of the pieces of a sentence that are emphasised in it."""

SKIPPED = RAW | frozenset(["head", "template", "noscript", "svg", "math", "object", "select", "option", "datalist"])
BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
INLINE = frozenset(["span", "font", "b", "strong", "i", "em", "u", "small", "big", "sup", "sub", "code"])
STRONG = frozenset(["h1", "h2", "h3", "strong", "b", "code", "kbd", "samp", "big", "mark", "tt"])


@dataclass(slots=True)
class _State:
    """What holds for the text below a node."""

    is_hidden: bool = False
    is_tiny: bool = False
    is_strong: bool = False
    anchor: int = -1
    row: int = 0
    is_quoted: bool = False


class _Row(NamedTuple):
    """A line that is written."""

    text: str
    is_strong: bool
    row: int
    is_link: bool
    marked: tuple[str, ...]
    is_quoted: bool

    def line(self) -> Line:
        """The line as readers take it."""
        return Line(text=self.text, is_emphasised=self.is_strong, marked=self.marked, is_quoted=self.is_quoted)


@dataclass(slots=True)
class _Open:
    """The line being written: its text, how much of it is strong, and the row of boxes that it stands in."""

    parts: list[str] = field(default_factory=list)
    strong: int = 0
    plain: int = 0
    row: int = 0
    is_link: bool = False
    is_quoted: bool = False
    marked: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Begin the next line."""
        self.parts.clear()
        self.marked.clear()
        self.strong = self.plain = self.row = 0
        self.is_link = self.is_quoted = False


class Walk:
    """Goes through a tree once and writes lines.

    ``left_out`` are the elements that were not read, with their text where they have no other content; ``is_hidden_below``: text is
    hidden from view that stands below text which is seen, as no preview of a mail does.
    """

    def __init__(self, sheet: StyleSheet) -> None:
        self._sheet = sheet
        self._lines: list[_Row] = []
        self._open = _Open()
        self._hidden: list[str] = []
        self._hidden_open: list[str] = []
        self._links: list[tuple[str, list[str], bool]] = []
        self._images: list[str] = []
        self.left_out: list[tuple[str, str]] = []
        self.is_hidden_below = False

    def go(self, root: LexborNode) -> None:
        """Visit every node: siblings in a loop, and on the stack what is to be done when the children of a node are through."""
        stack: list[tuple[LexborNode | None, _State, _State | None]] = [(root, _State(), None)]
        while stack:
            node, state, closing = stack.pop()
            if closing is not None and (self._open.parts or self._hidden_open):
                self._break(closing.row, is_hidden=closing.is_hidden)
            while node is not None:
                name = node.tag or ""
                if name == "-text":
                    self._text(node.text_content or "", state)
                elif name not in SKIPPED and name[:1].isalpha():
                    inner = self._enter(node, name, state)
                    child = node.child
                    if child is not None:
                        stack.append((node.next, state, inner if name in BLOCKS else None))
                        node, state = child, inner
                        continue
                    if name in BLOCKS and self._open.parts:
                        self._break(inner.row, is_hidden=inner.is_hidden)
                elif name in SKIPPED and name != "head":
                    self.left_out.append((name, node.text() if name in RAW else ""))
                node = node.next

    def page(self) -> Page:
        """What was written."""
        self._break(0)
        self._flush_hidden()
        lines = _boxes_joined(self._lines)
        links = tuple(Link(url=url, text=tidy("".join(text)), is_button=button) for url, text, button in self._links)
        return Page(lines=tuple(lines), hidden=tuple(self._hidden), links=links, images=tuple(self._images))

    def _enter(self, node: LexborNode, name: str, state: _State) -> _State:
        attributes = node.attributes
        look = self._sheet.look(attributes.get("style") or "", attributes.get("class") or "") if attributes else PLAIN
        is_strong = state.is_strong or look.is_large or name in STRONG
        if name in INLINE and look is PLAIN and is_strong == state.is_strong and "hidden" not in attributes:
            return state
        is_hidden = state.is_hidden or look.is_hidden or "hidden" in attributes
        is_tiny = state.is_tiny if look.is_tiny is None else look.is_tiny
        inner = _State(is_hidden, is_tiny, is_strong, state.anchor, state.row, state.is_quoted or name == "blockquote")
        if name in BLOCKS:
            if self._open.parts or self._hidden_open:
                self._break(state.row, is_hidden=state.is_hidden)
            if name == "tr":
                inner.row = node.mem_id
            elif name not in ("td", "th") and node.parent is not None:
                inner.row = node.parent.mem_id
        elif name == "br":
            self._break(state.row, is_hidden=state.is_hidden)
        elif name == "img":
            self._image(attributes.get("alt") or "", inner)
        elif name == "a":
            inner.anchor = self._link(attributes, look, inner)
        elif look.is_box and node.parent is not None:
            self._break(state.row, is_hidden=state.is_hidden)
            inner.row = node.parent.mem_id
        elif name == "input" and attributes.get("value") and (attributes.get("type") or "text") == "text":
            self._text(attributes["value"] or "", inner)
        return inner

    def _image(self, alt: str, state: _State) -> None:
        text = tidy(alt[:200])
        if text and not state.is_hidden and len(self._images) < MAX_IMAGES:
            self._images.append(text)
        if state.anchor >= 0:
            self._links[state.anchor][1].append(f" {text} ")

    def _link(self, attributes: dict[str, str | None], look: Look, state: _State) -> int:
        url = (attributes.get("href") or "").strip(HTML_BLANKS).replace(" ", "%20")
        if not url[:8].lower().startswith(("http://", "https://")) or len(url) > MAX_LINK or len(self._links) >= MAX_LINKS:
            return -1
        names = (attributes.get("class") or "").lower()
        is_button = look.is_button or "btn" in names or "button" in names or attributes.get("role") == "button"
        self._links.append((url, [], is_button and not state.is_hidden))
        return len(self._links) - 1

    def _text(self, text: str, state: _State) -> None:
        line = self._open
        if text.isspace():
            # Between blocks it is nothing; inside a line it is a blank.
            if line.parts and not (state.is_hidden or state.is_tiny):
                line.parts.append(" ")
            if state.anchor >= 0:
                self._links[state.anchor][1].append(" ")
            return
        text = visible(text[:MAX_LINE])
        if not text:
            return
        if state.is_hidden or state.is_tiny:
            self._hidden_open.append(text)
            return
        if state.anchor >= 0:
            self._links[state.anchor][1].append(text)
        seen = len(text.strip())
        if seen:
            line.row = state.row
            line.is_link = line.is_link or state.anchor >= 0
            line.is_quoted = state.is_quoted
            if state.is_strong:
                line.strong += seen
                if MIN_MARKED <= seen <= MAX_MARKED and len(line.marked) < MAX_MARKS:
                    line.marked.append(text.strip())
            else:
                line.plain += seen
        line.parts.append(text)

    def _break(self, row: int, *, is_hidden: bool = False) -> None:
        if is_hidden:
            self._flush_hidden()
            return
        if self._hidden_open:
            self._flush_hidden()
        line = self._open
        if not line.parts:
            return
        if not (line.strong or line.plain):
            line.clear()
            return
        text = " ".join("".join(line.parts).split())[:MAX_LINE]
        if text and len(self._lines) < MAX_LINES:
            marked = tuple(line.marked) if line.plain else ()
            is_strong = line.strong > 0 and line.plain == 0
            self._lines.append(_Row(text, is_strong, line.row or row, line.is_link, marked, line.is_quoted))
        line.clear()

    def _flush_hidden(self) -> None:
        text = tidy("".join(self._hidden_open))
        self._hidden_open = []
        if text and len(self._hidden) < 50:
            self._hidden.append(text[:2_000])
            self.is_hidden_below = self.is_hidden_below or bool(
                self._lines or self._open.strong or self._open.plain or self._images
            )


def _boxes_joined(rows: list[_Row]) -> list[Line]:
    """Runs of four to ten units of one character, side by side in one row and no links, are one word laid out in boxes."""
    if sum(len(one.text) == 1 for one in rows) < FEWEST_BOXES:
        return [one.line() for one in rows]
    joined: list[Line] = []
    position = 0
    while position < len(rows):
        end = position
        row = rows[position].row
        while end < len(rows) and rows[end].row == row and not rows[end].is_link and _is_unit(rows[end].text):
            end += 1
        units = [one.text for one in rows[position:end] if one.text not in "-–—·"]
        if row and FEWEST_BOXES <= len(units) <= 10 and not _is_counting(units):
            joined.append(Line(text="".join(one.text for one in rows[position:end]), is_emphasised=True))
            position = end
            continue
        end = max(end, position + 1)
        joined += [one.line() for one in rows[position:end]]
        position = end
    return joined


def _is_unit(text: str) -> bool:
    return len(text) == 1 and (text.isalnum() or text in "-–—·")


def _is_counting(units: list[str]) -> bool:
    """1, 2, 3, 4 is a list or a pager, not a code."""
    return all(unit.isdecimal() for unit in units) and [int(unit) for unit in units] == list(range(1, len(units) + 1))
