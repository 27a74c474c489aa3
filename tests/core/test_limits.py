"""Where a head ends and which CR ends no line, by the plainest way to say it, over every short run of the octets that matter."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from mailbridge.core.limits import MAX_MIME_HEADER, MAX_PARAMETERS, has_bare_cr, limited, split_head


def runs(longest: int) -> Iterator[bytes]:
    """Every run of CR, LF and a letter up to a length."""
    return (bytes(run) for length in range(longest + 1) for run in itertools.product(b"\r\nx", repeat=length))


def test_a_head_ends_at_the_first_empty_line() -> None:
    """Of CRLF or LF, in any mixture; head, line and body together are the content."""
    for content in runs(9):
        found = re.search(rb"\r?\n\r?\n", content)
        head, separator, body = split_head(content)
        assert head + separator + body == content
        assert (len(head), len(separator)) == ((len(content), 0) if found is None else (found.start(), len(found.group())))


def test_a_bare_cr_is_seen_wherever_it_stands() -> None:
    """Also as the last octet, and before another CR."""
    for content in runs(9):
        assert has_bare_cr(content) == (content.count(b"\r") != content.count(b"\r\n"))


def cut(content: bytes) -> tuple[bytes, bool]:
    """The octets that are read, and whether a header was cut."""
    defects: dict[str, None] = {}
    return limited(content, defects), "headers-cut" in defects


PLACES = (b"%s\r\nA: b\r\n\r\ntext", b"A: b\r\n%s\r\nC: d\r\n\r\ntext", b"A: b\r\n%s\r\n\r\ntext", b"A: b\r\n\r\n%s\r\n\r\ntext")
"""Where a header stands: first and last in the head, between others, and in the head of a part."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", [b"Content-Type: ", b"content-type:", b"CONTENT-DESCRIPTION:\r\n "])
def test_a_mime_header_is_cut_beyond_its_limits(place: bytes, name: bytes) -> None:
    """It stays as it is up to so many octets, of which its line ends are two, and so many semicolons."""
    for short in (name.ljust(MAX_MIME_HEADER - 2, b"x"), name + b"a;" * MAX_PARAMETERS):
        assert cut(place % short) == (place % short, False)
    for long in (name.ljust(MAX_MIME_HEADER + 1, b"x"), name + b"a;" * (MAX_PARAMETERS + 1)):
        found, is_cut = cut(place % long)
        assert is_cut
        assert len(found) < len(place % long)


@pytest.mark.parametrize("place", PLACES)
def test_mime_headers_that_are_long_together_stay(place: bytes) -> None:
    """The limits are those of one header."""
    whole = place % b"\r\n".join([b"Content-Description: " + b"x;" * MAX_PARAMETERS] * 60)
    assert cut(whole) == (whole, False)


@pytest.mark.parametrize("place", PLACES)
def test_a_message_of_another_type_is_a_file(place: bytes) -> None:
    """Wherever its header stands; a whole mail stays one."""
    assert cut(place % b"Content-Type: message/delivery-status") == (place % b"Content-Type: application/octet-stream", False)
    whole = place % b"Content-Type: Message/RFC822"
    assert cut(whole) == (whole, False)
