"""Which texts of a mail are its body, and which stand beside it."""

from __future__ import annotations

import pytest

from mailbridge.core.parse import parse

PLAIN, PAGE = "Content-Type: text/plain\n\n", "Content-Type: text/html\n\n"
INLINE = "Content-Type: text/plain\nContent-Disposition: inline\n\n"
FILE = "Content-Type: text/plain\nContent-Disposition: inline; filename=a.txt\n\n"
PICTURE = "Content-Type: image/png\n\n"


def multipart(kind: str, *parts: str, boundary: str = "b") -> str:
    """A multipart with its header."""
    inner = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary={boundary}\n\n{inner}--{boundary}--\n"


@pytest.mark.parametrize(
    ("content", "body", "page", "added"),
    [
        (PLAIN + "one", "one", "", []),
        (FILE + "one", "one", "", []),
        (multipart("alternative", PLAIN + "one", PAGE + "two"), "one", "two", []),
        (multipart("mixed", PLAIN + "one", PAGE + "two"), "one", "two", []),
        (multipart("mixed", PLAIN + "one", PAGE + "two", PAGE + "three"), "one", "two", ["three"]),
        (multipart("mixed", PAGE + "two", PLAIN + "one"), "", "two", ["one"]),
        (multipart("mixed", PLAIN + "one", PLAIN + "two"), "one", "", ["two"]),
        (multipart("mixed", PLAIN + "one", INLINE + "two"), "one", "", ["two"]),
        (multipart("mixed", FILE + "one", PLAIN + "two"), "two", "", ["one"]),
        (multipart("mixed", PICTURE + "x", PLAIN + "two"), "two", "", []),
        (multipart("related", PAGE + "one", PLAIN + "two"), "", "one", ["two"]),
        (
            multipart("mixed", multipart("alternative", PLAIN + "one", PAGE + "two", boundary="c"), PLAIN + "three"),
            "one",
            "two",
            ["three"],
        ),
        (
            multipart("mixed", PLAIN + "one", multipart("alternative", PLAIN + "two", PAGE + "three", boundary="c")),
            "one",
            "",
            ["two", "three"],
        ),
        (multipart("mixed", PLAIN + "one", multipart("related", PAGE + "two", PICTURE + "x", boundary="c")), "one", "two", []),
        (
            multipart("alternative", PLAIN + "one", multipart("related", PAGE + "two", PICTURE + "x", boundary="c")),
            "one",
            "two",
            [],
        ),
    ],
)
def test_the_body_and_what_stands_beside_it(content: str, body: str, page: str, added: list[str]) -> None:
    """The first text of a multipart is its body, or every part of a choice; plain text and HTML side by side are one."""
    message = parse(f"From: a@acme.example\n{content}".encode())
    assert (message.plain.text.strip() if message.plain else "") == body
    assert (message.html.text.strip() if message.html else "") == page
    texts = [(plain or (html.page if html else None)) for plain, html in message.added]
    assert [text.text.strip() for text in texts if text is not None] == added
    assert all(one in message.text for one in added)
