"""HTML of which something is kept from sight by a mark within it: the page as it would stand without that mark.

Where a site does not escape the name that a stranger chose, ``<!--``, ``<textarea>``, ``<a title="`` or ``<div style="display:none">``
in it hides what the site writes after it, its code among that. What is shown then is the stranger's word. So where text is swallowed
that may be a code, the page is written once more with every such mark taken out; whoever reads it compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

RAW = frozenset({"style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "plaintext"})
"""Elements whose content is text up to their end tag, whatever stands there."""

CONDITION = re.compile(r"\s*\[if[^<>\]]*\]>\s*<!--")
"""How a comment for one mail program may begin (``[if !mso]><!-- … ``): its inner mark opens nothing."""

TORN = re.compile(r"<(?!!--)[!?/a-zA-Z][^<>]*(?:<|\Z)")
"""A tag in which another begins: the first has no end, or an attribute of it has none."""

UNQUOTED = re.compile(r"=\s?(?:\"[^\"<>]*>|'[^'<>]*>)")
"""An attribute whose quote is not closed where its tag seems to end."""

UNQUOTED_MARKS = re.compile(rb"=(?:\"[^\"<>]*>|'[^'<>]*>)")
QUOTES = b"\"'="
NO_MARKS = bytes(octet for octet in range(128) if octet not in b"<>" + QUOTES)

TAG = re.compile(r"<[!?/a-zA-Z][^<>]*(?:>|(?=<)|\Z)")
TAGGED = re.compile(r"</?[a-zA-Z]")
ELEMENT = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)(?:[\s/][^<>]*)?>")
BEGINNING = re.compile(r"<[!?/]?[a-zA-Z]*")
SHEET = re.compile(r"(?is)<(style|script|title)\b[^<>]*>[^<]*+(?:<!--[^<]*+)*+</\1\s*>")
"""What holds no text of the page: no tag stands in it."""

MARKS = re.compile(r"<!--|--!?>|<!\[[^<>\]]*\]>|<!(?=\w)|<\?")

SHOWN = re.compile(
    r"(?i)p|div|span|br|hr|h[1-6]|b|strong|i|em|u|small|big|code|kbd|samp|mark|tt|font|center|a|table|tbody|thead|tfoot|tr|td|th"
    r"|ul|ol|li|dl|dt|dd|pre|section|article|header|footer|main|nav"
)
"""Elements that show what they hold."""


def is_swallowed(html: str, left_out: Iterable[tuple[str, str]]) -> bool:
    """Whether a tag, a comment or an element that shows no text goes on where its author did not end it. Linear.

    ``left_out`` are the elements of the page whose content is not read, each with its text where that stands in `RAW`.
    """
    rest = _without_comments(html)
    return rest is None or _is_torn(rest) or any(_goes_on(html, *one) for one in dict.fromkeys(left_out))


def unswallowed(html: str) -> str:
    """The page with bare elements only: no comments, no attributes, and nothing that hides what it holds. Linear."""
    return TAG.sub(_bare, MARKS.sub(" ", SHEET.sub(" ", html)))


def _bare(found: re.Match[str]) -> str:
    """A tag without its attributes; a blank for one that may hide. Of one without an end the words stay, without its name."""
    element = ELEMENT.fullmatch(found[0])
    if element is None:
        return " " if found[0].endswith(">") else BEGINNING.sub(" ", found[0])
    return f"<{element[1]}{element[2]}>" if SHOWN.fullmatch(element[2]) else " "


def _without_comments(html: str) -> str | None:
    """The page without its comments; None where one has no end, or the end of another that began within it."""
    start, end = html.find("<!--"), 0
    kept = []
    while start >= 0:
        kept.append(html[end:start])
        end = html.find("-->", start) + 3
        if end < 3 or "<!--" in CONDITION.sub("", html[start + 4 : end - 3], count=1):
            return None
        start = html.find("<!--", end)
    return "".join([*kept, html[end:]])


def _is_torn(html: str) -> bool:
    """Whether a tag has no end, or an attribute of it no second quote. Its marks alone rule that out for nearly every page."""
    marks = html.encode("ascii", "replace").translate(None, NO_MARKS)
    if UNQUOTED_MARKS.search(marks) is not None and UNQUOTED.search(html) is not None:
        return True
    tags = marks.translate(None, QUOTES)
    return (b"<<" in tags or tags.endswith(b"<")) and TORN.search(html) is not None


def _goes_on(html: str, name: str, text: str) -> bool:
    """Whether an element that shows no text has no end, or has tags in it where its author wrote none."""
    return TAGGED.search(text) is not None if name in RAW else is_open(html, name)


def is_open(html: str, name: str) -> bool:
    """Whether an element begins more often than it ends."""
    marks = re.findall(rf"(?i)<(/?){name}(?=[\s/>])", html)
    return marks.count("") > marks.count("/")
