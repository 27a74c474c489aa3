"""Where a head ends and which CR ends no line, by the plainest way to say it, over every short run of the octets that matter."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from mailbridge.core.limits import has_bare_cr, split_head


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
