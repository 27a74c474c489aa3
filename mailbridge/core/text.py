"""A body as a person sees it: HTML or plain text becomes lines, hidden text, links and alt texts.

Lexbor builds the tree; before it stands a linear check, since 100,000 nested tags or attributes hang it (measured).
"""

from __future__ import annotations

import html as entities
import re
import unicodedata
from dataclasses import replace

from selectolax.lexbor import LexborHTMLParser

from mailbridge.core.mail import Body, Line, Link, Page
from mailbridge.core.markup import MAX_LINE, MAX_LINES, MAX_LINK, MAX_LINKS, Walk
from mailbridge.core.style import StyleSheet
from mailbridge.core.swallowed import is_open, is_swallowed, unswallowed
from mailbridge.core.visible import tidy

MAX_HTML = 524_288
MAX_TAGS = 40_000
MAX_DEPTH = 400
MAX_TAG = 16_384

LONG_TAG = re.compile(rf"<[a-zA-Z!?/][^<>]{{{MAX_TAG},}}")
STRIP = re.compile(r"<[^<>]*>|<[!/a-zA-Z][^<>]*")
URL = re.compile(r"[hH][tT][tT][pP][sS]?://[^\s<>\"'\u3000-\u303f\uff00-\uffef]+")

ALIEN = re.compile(r"[^\x00-\x7f]+")
GOES_ON = re.compile(r"[/?&=#%]")
UNSPACED = "\u0e00"
"""The scripts from here on write no blanks between words, or glue endings to them: Thai, Chinese, Japanese, Korean."""

UNNESTED = "area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr|p|li|td|tr|th|tbody|option"
NESTED = re.compile(rf"(?i)<(/?)(?!(?:{UNNESTED})\b)[a-z]")
"""The marks of elements that stand in one another; void ones, and those that end by themselves, do not."""


def page_from_plain(text: str) -> Page:
    """Lines as written (blank ones kept, as they separate), and the links among them. Linear; bounded."""
    lines = [Line(text=tidy(line[:MAX_LINE])) for line in text.splitlines()[:MAX_LINES]]
    return Page(lines=tuple(lines), links=tuple(_plain_links(text)))


def _plain_links(text: str) -> list[Link]:
    links: list[Link] = []
    if "://" not in text:
        return links
    for match in URL.finditer(text[:MAX_HTML]):
        url = trimmed_url(match.group())
        if len(url) <= MAX_LINK:
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
    """What is seen of an HTML part, and what is hidden from view. Total and bounded."""
    html = html[:MAX_HTML]
    if _is_hostile(html):
        return page_from_plain(entities.unescape(STRIP.sub(" ", LONG_TAG.sub(" ", html))))
    tree = LexborHTMLParser(html)
    if tree.root is None:
        return Page()
    sheet = StyleSheet.read("".join(node.text() or "" for node in tree.tags("style")))
    walk = Walk(sheet)
    walk.go(tree.root)
    page = walk.page()
    if any(line.is_quoted for line in page.lines) and is_open(html, "blockquote"):
        page = replace(page, lines=tuple(replace(line, is_quoted=False) for line in page.lines))
    if walk.is_hidden_below or is_swallowed(html, walk.left_out):
        return replace(page, bare=Body(lambda: _bare_page(html)))
    return page


def _bare_page(html: str) -> Page:
    """The page with nothing swallowed or hidden."""
    walk = Walk(StyleSheet())
    tree = LexborHTMLParser(unswallowed(html))
    if tree.root is not None:
        walk.go(tree.root)
    return walk.page()


def _is_hostile(html: str) -> bool:
    """Whether a tree builder would choke: too many tags, too deep, or one tag with no end."""
    tags = html.count("<")
    if tags > MAX_TAGS or LONG_TAG.search(html):
        return True
    if tags <= MAX_DEPTH or tags - html.count("</") <= MAX_DEPTH:
        return False
    marks = NESTED.findall(html)
    if marks.count("") <= MAX_DEPTH:
        return False
    depth = 0
    for slash in marks:
        if slash:
            depth = depth - 1 if depth else 0
        else:
            depth += 1
            if depth > MAX_DEPTH:
                return True
    return False
