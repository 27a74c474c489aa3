"""A part's type, charset and boundary beside the library's own reading of the same header."""

from __future__ import annotations

from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.media import UNTOLD, Media, plain_media

PIECES = (
    *("text/plain", "TEXT/HTML", "multipart/mixed", "multipart/x/y", "text", "", "message/rfc822", "a.b+c/d-e"),
    *(";", "; ", ";\r\n\t", " ; ", ";;", "charset=", "CharSet=", "boundary=", "Boundary =", "format=", "charset*=", "boundary*0=", "name="),
    *("utf-8", '"utf-8"', "UTF-8", '"b"', "b", '"a b"', '"a;b"', "'b'", "<b>", '"<b>"', '"b', 'b"', "=_b?:/.,+-", '"\\"b"', "%41", "é", "\udce9"),
    *(" ", "\t", "(comment)", "=", "\r\n "),
)  # fmt: skip


def part_with(value: str | None) -> Message:
    """A part whose head has this Content-Type, if any."""
    part = Message()
    part.set_raw("Subject", "charset=x")
    if value is not None:
        part.set_raw("Content-type", value)
        part.set_raw("Content-Type", "text/second")
    return part


def by_library(part: Message) -> Media:
    """What the standard library reads."""
    return Media(part.get_content_type(), charset=str(part.get_content_charset("")), boundary=str(part.get_boundary("")))


USUAL = st.tuples(*map(st.sampled_from, (PIECES[:8], PIECES[8:13], PIECES[13:21], PIECES[21:39], (*PIECES[39:], "", ";")))).map(
    "".join
)


@given(USUAL | st.lists(st.sampled_from(PIECES), max_size=7).map("".join))
def test_what_is_read_is_what_the_library_reads(value: str) -> None:
    """Whatever a header says: it is read as the library reads it, or left to the library."""
    part = part_with(value)
    found = plain_media(part)
    assert found is None or found == by_library(part)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/plain", Media("text/plain")),
        ("Text/HTML; charset=UTF-8", Media("text/html", charset="utf-8")),
        ('text/html;\r\n\tCharset="iso-8859-1"', Media("text/html", charset="iso-8859-1")),
        ('multipart/alternative; boundary="----=_Part_1.2"', Media("multipart/alternative", boundary="----=_Part_1.2")),
        ("multipart/mixed;boundary=000000000000a1;", Media("multipart/mixed", boundary="000000000000a1")),
        (None, UNTOLD),
    ],
)
def test_usual_headers_need_no_library(value: str | None, expected: Media) -> None:
    """A type with its charset or its boundary is read here; so is a part without the header."""
    part = part_with(value)
    assert plain_media(part) == expected == by_library(part)


@pytest.mark.parametrize(
    "value", ["text/plain; format=flowed; delsp=yes", "text/plain; charset*=utf-8''a", "text", "text/plain (x)"]
)
def test_other_headers_are_the_librarys(value: str) -> None:
    """Further parameters, RFC 2231 and comments are left to the library."""
    assert plain_media(part_with(value)) is None
