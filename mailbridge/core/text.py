"""A body as a person sees it: HTML or plain text becomes lines, hidden text, links and alt texts.

Lexbor builds the tree; before it stands a linear check, since 100,000 nested tags or attributes hang it (measured). Cells and
blocks each make a line of their own, so that neighbours never run together into a number that nobody wrote; only units of one
character each, side by side, are one code that was laid out in boxes.
"""

from __future__ import annotations

import html as entities
import re
import unicodedata
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mailbridge.core.mail import Line, Link, Page
from mailbridge.core.style import Look, Sheet

MAX_HTML = 524_288
MAX_TAGS = 40_000
MAX_DEPTH = 400
MAX_TAG = 16_384
MAX_LINES = 5_000
MAX_LINE = 10_000
MAX_LINKS = 500
MAX_IMAGES = 100
MIN_MARKED = 4
MAX_MARKED = 24
MAX_MARKS = 8
"""Characters and number of the pieces of a sentence that are set apart in it."""

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
LONG_TAG = re.compile(rf"<[a-zA-Z!?/][^<>]{{{MAX_TAG},}}")
STRIP = re.compile(r"<[^<>]*>|<[!/a-zA-Z][^<>]*")
URL = re.compile(r"https?://[^\s<>\"'\u3000-\u303f\uff00-\uffef]{1,4000}", re.IGNORECASE)

ALIEN = re.compile(r"[^\x00-\x7f]+")
GOES_ON = re.compile(r"[/?&=#%]")
UNSPACED = "\u0e00"
"""The scripts from here on write no blanks between words, or glue endings to them: Thai, Chinese, Japanese, Korean."""

VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"])
SKIPPED = frozenset(
    ["head", "script", "style", "title", "template", "noscript", "svg", "object", "select", "option", "textarea", "iframe"]
)
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
STRONG = frozenset(["h1", "h2", "h3", "strong", "b", "code", "kbd", "samp", "big", "mark", "tt"])


def tidy(text: str) -> str:
    """Without characters that are not seen, every run of blanks one space."""
    return " ".join(visible(text).split())


def visible(text: str) -> str:
    """The text without characters that are not seen."""
    return text if text.isascii() else INVISIBLE.sub("", text)


def page_from_plain(text: str) -> Page:
    """Lines as written (blank ones kept, as they separate), and the links among them. Linear; bounded."""
    lines = [Line(text=tidy(line[:MAX_LINE])) for line in text.splitlines()[:MAX_LINES]]
    return Page(lines=tuple(lines), links=tuple(_plain_links(text)))


def _plain_links(text: str) -> list[Link]:
    links: list[Link] = []
    for match in URL.finditer(text[:MAX_HTML]):
        url = trimmed_url(match.group())
        links.append(Link(url=url, text=_words_before(text[max(0, match.start() - 200) : match.start()])))
        if len(links) >= MAX_LINKS:
            break
    return links


def _words_before(text: str) -> str:
    """What a plain text says right before an address: its own paragraph, or the one above if that holds no other address."""
    paragraphs = re.split(r"\n[ \t\r>]*\n", text)
    own = tidy(paragraphs[-1])
    if not own.strip("<>([ ") and len(paragraphs) > 1 and "://" not in paragraphs[-2]:
        own = tidy(paragraphs[-2])
    return own[-120:]


def trimmed_url(url: str) -> str:
    """A URL found in running text, without what belongs to the sentence: punctuation, quotes, and words glued behind it.

    An address is ASCII (RFC 3986). Letters of other scripts count only where it goes on behind them, as in a path of words.
    """
    if not url.isascii():
        url = _without_words(url)
    url = url.rstrip(".,;:!?*_|")
    for opening, closing in ("()", "[]", "{}"):
        surplus = url.count(closing) - url.count(opening)
        while surplus > 0 and url.endswith(closing):
            url = url[:-1].rstrip(".,;:!?")
            surplus -= 1
    return url


def _without_words(url: str) -> str:
    """A URL up to a quote, dash or ellipsis that is not ASCII, or up to the letters of another script that end it."""
    start = url.find("://") + 3
    for match in ALIEN.finditer(url, start):
        is_host = "/" not in url[start : match.end()] and "." not in url[start : match.start()]
        if not match.group().replace("·", "").isalnum() and not all(_is_letter(letter) for letter in match.group()):
            kept = next(place for place, letter in enumerate(match.group()) if not _is_letter(letter))
            return url[: match.start()] if kept == 0 or not is_host else url[: match.start() + kept]
        is_path = url[match.start() - 1] in "/-_" and match.group() < UNSPACED
        if not is_host and not is_path and not GOES_ON.search(url, match.end()):
            return url[: match.start()]
    return url


def _is_letter(letter: str) -> bool:
    return letter.isalnum() or unicodedata.category(letter).startswith("M")


def page_from_html(html: str) -> Page:
    """What is seen of an HTML part, and what is kept out of sight. Total and bounded."""
    html = html[:MAX_HTML]
    if _is_hostile(html):
        return page_from_plain(entities.unescape(STRIP.sub(" ", LONG_TAG.sub(" ", html))))
    tree = LexborHTMLParser(html)
    if tree.root is None:
        return Page()
    sheet = Sheet.read("".join(node.text() or "" for node in tree.css("style")))
    walk = _Walk(sheet)
    walk.go(tree.root)
    return walk.page()


def _is_hostile(html: str) -> bool:
    """Whether a tree builder would choke: too many tags, too deep, or one tag with no end."""
    if html.count("<") > MAX_TAGS or LONG_TAG.search(html):
        return True
    depth = 0
    for match in TAG.finditer(html):
        name = match[2].lower()
        if name in VOID or name in ("p", "li", "td", "tr", "th", "tbody", "option"):
            continue
        depth += -1 if match[1] else 1
        depth = max(depth, 0)
        if depth > MAX_DEPTH:
            return True
    return False


@dataclass(slots=True)
class _State:
    """What holds for the text below a node."""

    is_hidden: bool = False
    is_tiny: bool = False
    is_strong: bool = False
    anchor: int = -1
    row: int = 0


@dataclass(slots=True)
class _Open:
    """The line being written: its text, how much of it is strong, and the row of boxes that it stands in."""

    parts: list[str] = field(default_factory=list)
    strong: int = 0
    plain: int = 0
    row: int = 0
    is_link: bool = False
    marked: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Row:
    """A line that is written."""

    text: str
    is_strong: bool
    row: int
    is_link: bool
    marked: tuple[str, ...]


class _Walk:
    """Goes through a tree once, without recursion, and writes lines."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._lines: list[_Row] = []
        self._open = _Open()
        self._hidden: list[str] = []
        self._hidden_open: list[str] = []
        self._links: list[tuple[str, list[str], bool]] = []
        self._images: list[str] = []

    def go(self, root: LexborNode) -> None:
        """Visit every node: children are walked by first child and next sibling, closings by marks on the stack."""
        stack: list[tuple[LexborNode | None, str, _State]] = [(root, "", _State())]
        while stack:
            node, closing, state = stack.pop()
            if node is None:
                self._close(closing, state)
                continue
            if node.next is not None and closing != "root":
                stack.append((node.next, "", state))
            name = node.tag or ""
            if name == "-text":
                self._text(node.text_content or "", state)
                continue
            if name.startswith(("-", "_", "!")) or name in SKIPPED:
                continue
            inner = self._enter(node, name, state)
            stack.append((None, name, inner))
            if node.child is not None:
                stack.append((node.child, "", inner))

    def page(self) -> Page:
        """What was written."""
        self._break(0)
        self._flush_hidden()
        lines = _boxes_joined(self._lines)
        links = tuple(Link(url=url, text=tidy("".join(text)), is_button=button) for url, text, button in self._links)
        return Page(lines=tuple(lines), hidden=tuple(self._hidden), links=links, images=tuple(self._images))

    def _enter(self, node: LexborNode, name: str, state: _State) -> _State:
        attributes = node.attributes
        look = self._sheet.look(attributes.get("style") or "", attributes.get("class") or "")
        is_hidden = state.is_hidden or look.is_hidden or "hidden" in attributes
        is_tiny = state.is_tiny if look.is_tiny is None else look.is_tiny
        inner = _State(is_hidden, is_tiny, state.is_strong or look.is_large or name in STRONG, state.anchor, state.row)
        if name in BLOCKS:
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

    def _close(self, name: str, state: _State) -> None:
        if name in BLOCKS:
            self._break(state.row, is_hidden=state.is_hidden)

    def _image(self, alt: str, state: _State) -> None:
        text = tidy(alt[:200])
        if text and not state.is_hidden and len(self._images) < MAX_IMAGES:
            self._images.append(text)
        if state.anchor >= 0:
            self._links[state.anchor][1].append(f" {text} ")

    def _link(self, attributes: dict[str, str | None], look: Look, state: _State) -> int:
        url = tidy((attributes.get("href") or "")[:4000]).replace(" ", "%20")
        if not url.lower().startswith(("http://", "https://")) or len(self._links) >= MAX_LINKS:
            return -1
        names = (attributes.get("class") or "").lower()
        is_button = look.is_button or "btn" in names or "button" in names or attributes.get("role") == "button"
        self._links.append((url, [], is_button and not state.is_hidden))
        return len(self._links) - 1

    def _text(self, text: str, state: _State) -> None:
        text = visible(text[:MAX_LINE])
        if not text:
            return
        if state.is_hidden or state.is_tiny:
            self._hidden_open.append(text)
            return
        if state.anchor >= 0:
            self._links[state.anchor][1].append(text)
        line = self._open
        seen = len(text.strip())
        if seen:
            line.row = state.row
            line.is_link = line.is_link or state.anchor >= 0
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
        text = " ".join("".join(line.parts).split())[:MAX_LINE]
        if text and len(self._lines) < MAX_LINES:
            marked = tuple(line.marked) if line.plain else ()
            self._lines.append(_Row(text, line.strong > 0 and line.plain == 0, line.row or row, line.is_link, marked))
        self._open = _Open()

    def _flush_hidden(self) -> None:
        text = tidy("".join(self._hidden_open))
        self._hidden_open = []
        if text and len(self._hidden) < 50:
            self._hidden.append(text[:2_000])


def _boxes_joined(rows: list[_Row]) -> list[Line]:
    """Runs of four to ten units of one character, side by side in one row and no links, are one word laid out in boxes."""
    joined: list[Line] = []
    position = 0
    while position < len(rows):
        end = position
        row = rows[position].row
        while end < len(rows) and rows[end].row == row and not rows[end].is_link and _is_unit(rows[end].text):
            end += 1
        units = [one.text for one in rows[position:end] if one.text not in "-–—·"]
        if row and 4 <= len(units) <= 10 and not _is_counting(units):
            joined.append(Line(text="".join(one.text for one in rows[position:end]), is_emphasised=True))
            position = end
            continue
        end = max(end, position + 1)
        joined += [Line(text=one.text, is_emphasised=one.is_strong, marked=one.marked) for one in rows[position:end]]
        position = end
    return joined


def _is_unit(text: str) -> bool:
    return len(text) == 1 and (text.isalnum() or text in "-–—·")


def _is_counting(units: list[str]) -> bool:
    """1, 2, 3, 4 is a list or a pager, not a code."""
    return all(unit.isdecimal() for unit in units) and [int(unit) for unit in units] == list(range(1, len(units) + 1))
