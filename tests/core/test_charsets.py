"""Octets to text by an allow-list: what mail is written in is read, what burns time is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.charsets import ALLOWED, CODECS, decode, decode_header
from tests import cost

ASKED = "Ihr Code für Köln: 482913"


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_every_allowed_charset_is_one(name: str) -> None:
    """Each name on the list is a codec of text, and ASCII reads the same in all that extend it."""
    text = "code 482913"
    assert decode(text.encode(CODECS.get(name, name)), name) == (text, None)


@pytest.mark.parametrize(
    ("octets", "charset", "text", "defect"),
    [
        ("für".encode(), "utf-8", "für", None),
        ("für".encode(), "", "für", None),
        ("für".encode(), "us-ascii", "für", None),
        ("für".encode(), '"UTF-8"', "für", None),
        ("für".encode(), "utf_8", "für", None),
        ("für".encode("latin-1"), "us-ascii", "für", "bad-charset"),
        ("für".encode("latin-1"), "utf-8", "für", "bad-charset"),
        ("für €".encode("cp1252"), "iso-8859-1", "für €", None),
        ("für".encode("latin-1"), "ISO_8859-1", "für", None),
        ("код".encode("koi8-r"), "KOI8-R", "код", None),
        ("код".encode("cp1251"), "cp1251", "код", None),
        ("验证码".encode("gbk"), "GB2312", "验证码", None),
        ("確認".encode("cp932"), "Shift_JIS", "確認", None),
        ("인증".encode("cp949"), "ks_c_5601-1987", "인증", None),
        ("שלום".encode("iso-8859-8"), "iso-8859-8-i", "שלום", None),
        (b"code", "utf-7", "code", "unknown-charset"),
        (b"code", "punycode", "code", "unknown-charset"),
        (b"code", "rot13", "code", "unknown-charset"),
        (b"code", "x\0y", "code", "unknown-charset"),
        (b"\xed\xa0\x80", "utf-8", "í\u00a0€", "bad-charset"),
        ("код для входа".encode() + b"\xd0", "utf-8", "код для входа\ufffd", "bad-charset"),
    ],
)
def test_octets_are_read_as_they_were_meant(octets: bytes, charset: str, text: str, defect: str | None) -> None:
    """As named where that is true, else as UTF-8 or Windows-1252, with a defect."""
    assert decode(octets, charset) == (text, defect)


@given(st.binary(max_size=200), st.sampled_from([*sorted(ALLOWED), "punycode", "idna", "nosuch", "", "utf-7", "\0"]))
def test_decoding_never_fails(octets: bytes, charset: str) -> None:
    """Any octets under any name are text that can be written down again."""
    text, _ = decode(octets, charset)
    text.encode("utf-8")


@pytest.mark.parametrize("name", ["punycode", "idna", "unicode_escape", "utf-7", "hz", "nosuch"])
def test_no_codec_can_be_made_to_burn_time(name: str) -> None:
    """600 kB under any name are read at once: `punycode` took half a minute by itself."""

    def read() -> None:
        decode(b"a-" * 300_000, name)
        decode_header(f"=?{name}?q?{'a' * 4_000}?= " * 3)

    assert cost.loops(cost.seconds(read)) < 100


@pytest.mark.parametrize(
    ("value", "text", "defect"),
    [
        ("plain", "plain", None),
        ("=?utf-8?q?f=C3=BCr_dich?=", "für dich", None),
        ("=?UTF-8?B?ZsO8cg==?=", "für", None),
        ("=?utf-8?b?ZsO8cg?=", "für", None),
        ("=?utf-8?q?f=C3?= =?utf-8?q?=BCr?=", "für", None),
        ("=?utf-8?q?a?=\r\n =?iso-8859-1?q?=FC?=", "aü", None),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c", None),
        ("x =?utf-8?q?a?= y", "x a y", None),
        ("=?iso-8859-1*de?q?=FC?=", "ü", None),
        ("=?utf-8?q?a", "=?utf-8?q?a", None),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?=", None),
        ("=?nosuch?q?a?=", "a", "unknown-charset"),
        ("=?utf-8?b?a?=", "", "bad-encoded-word"),
        ("=?utf-8?q?=C3?=", "Ã", "bad-charset"),
    ],
)
def test_encoded_words(value: str, text: str, defect: str | None) -> None:
    """RFC 2047 as mail programs write it; neighbours of one charset are one run of octets."""
    assert decode_header(value) == (text, defect)


def test_encoded_words_are_counted() -> None:
    """More than two hundred are no subject."""
    text, defect = decode_header("=?utf-8?q?a?= " * 1_000)
    assert defect == "too-many-encoded-words"
    assert text.startswith("a" * 199)


@given(st.text(max_size=300))
def test_any_header_can_be_read(value: str) -> None:
    """And written down again."""
    decode_header(value)[0].encode("utf-8")
