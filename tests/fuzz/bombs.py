"""Mails that have stopped parsers: each is built when asked for, none is a file."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

Bomb = Callable[[], bytes]

HEAD = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
CODE = b"\r\nYour code is 482913\r\n"
TAIL = b"\r\n\r\nYour code is 482913\r\n"
K100 = 100_000


def _plain(body: bytes, *, charset: bytes = b"utf-8", extra: bytes = b"") -> bytes:
    return HEAD + b"Content-Type: text/plain; charset=" + charset + b"\r\n" + extra + b"\r\n" + body


def _html(body: str) -> bytes:
    return HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + body.encode()


def _header(name: bytes, value: bytes) -> bytes:
    return HEAD.replace(name + b":", b"X-Was:") + name + b": " + value + TAIL


def _nested(kind: bytes, depth: int) -> bytes:
    levels = b"".join(
        b'Content-Type: multipart/%s; boundary="b%d"\r\n\r\n--b%d\r\n' % (kind, number, number) for number in range(depth)
    )
    return HEAD + levels + b"Content-Type: text/plain\r\n" + CODE


def _attached(subtype: bytes, depth: int) -> bytes:
    return HEAD + b"Content-Type: message/%s\r\n\r\n" % subtype * depth + b"Subject: inner\r\n" + CODE


def _parts(count: int, part: bytes) -> bytes:
    return HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + (b"--b\r\n" + part + b"\r\n") * count + b"--b--\r\n"


def _flat(name: bytes, value: bytes, *, count: int = 100) -> bytes:
    """Many parts, each with a costly header."""
    return _parts(count, name + b": " + value + b"\r\n" + CODE)


CHARSETS = (
    b"punycode",
    b"idna",
    b"utf-7",
    b"unicode_escape",
    b"raw_unicode_escape",
    b"zlib_codec",
    b"bz2_codec",
    b"base64_codec",
    b"hex_codec",
    b"rot13",
    b"undefined",
    b"mbcs",
    b"utf-8-sig",
    b"utf-32",
    b"iso2022_jp_2004",
    b"hz",
    b"nosuch",
    b'"a\x00b"',
    b"x" * 5_000,
)


def _written_in(charset: bytes) -> Bomb:
    return lambda: _plain(b"a-" * 300_000 + CODE, charset=charset)


STRUCTURE: dict[str, Bomb] = {
    "nested multipart, 25": lambda: _nested(b"mixed", 25),
    "nested multipart, 1,000": lambda: _nested(b"mixed", 1_000),
    "nested multipart, 10,000": lambda: _nested(b"mixed", 10_000),
    "nested digest, 1,000": lambda: _nested(b"digest", 1_000),
    "nested mail, 19": lambda: _attached(b"rfc822", 19),
    "nested mail, 1,000": lambda: _attached(b"rfc822", 1_000),
    "nested mail, 30,000": lambda: _attached(b"rfc822", 30_000),
    "nested message/x, 30,000": lambda: _attached(b"x", 30_000),
    "nested message/partial, 1,000": lambda: _attached(b"partial", 1_000),
    "nested delivery status, 1,000": lambda: _attached(b"delivery-status", 1_000),
    "nested mail, folded type": lambda: HEAD + b"Content-Type:\r\n message/\r\n rfc822\r\n\r\n" * 5_000 + CODE,
    "delivery status with 100,000 blocks": lambda: (
        HEAD + b"Content-Type: message/delivery-status\r\n\r\n" + b"A: b\r\n\r\n" * K100
    ),
    "10,000 parts": lambda: _parts(10_000, b"Content-Type: text/plain\r\n\r\n1"),
    "10,000 parts without headers": lambda: _parts(10_000, b"\r\n1"),
    "a million boundaries": lambda: HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n" * 200_000,
    "a boundary of 10,000 octets": lambda: HEAD + b'Content-Type: multipart/mixed; boundary="' + b"b" * 10_000 + b'"\r\n' + CODE,
    "an empty boundary": lambda: HEAD + b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n' + CODE + b"----\r\n",
    "a boundary of metacharacters": lambda: (
        HEAD + b'Content-Type: multipart/mixed; boundary="(.*)+$"\r\n\r\n--(.*)+$\r\n\r\n1\r\n' * 10
    ),
    "a multipart of base64": lambda: (
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b\r\n" + CODE
    ),
    "nothing": lambda: b"",
    "a blank line": lambda: b"\r\n",
    "only headers": lambda: HEAD,
    "only NULs": lambda: b"\0" * 1_000_000,
    "only line feeds": lambda: b"\n" * 1_000_000,
    "only carriage returns": lambda: b"\r" * 1_000_000,
    "a million empty lines": lambda: HEAD + b"\r\n" * 500_000,
    "a million lines of one space": lambda: _plain(b" \r\n" * 340_000),
    "one line of a million octets": lambda: _plain(b"x" * 1_000_000),
    "only dots": lambda: _plain(b"." * 1_000_000),
}

HEADERS: dict[str, Bomb] = {
    "a subject of a million octets": lambda: _header(b"Subject", b"x" * 1_000_000),
    "a subject folded 30,000 times": lambda: _header(b"Subject", b"x\r\n " * 30_000),
    "50,000 recipients": lambda: _header(b"To", b"a@b.example," * 50_000),
    "100,000 commas": lambda: _header(b"To", b"," * K100),
    "100,000 quotes": lambda: _header(b"To", b'"' * K100),
    "16,000 quotes": lambda: _header(b"To", b'"' * 16_000),
    "16,000 backslashes in quotes": lambda: _header(b"From", b'"' + b"\\" * 16_000),
    "100,000 parentheses": lambda: _header(b"To", b"(" * K100),
    "16,000 parentheses": lambda: _header(b"From", b"(" * 16_000),
    "16,000 angles": lambda: _header(b"To", b"<" * 16_000),
    "16,000 ats": lambda: _header(b"To", b"@" * 16_000),
    "8,000 groups": lambda: _header(b"To", b"a:;" * 5_000),
    "16,000 blanks": lambda: _header(b"From", b"a" + b" " * 15_000 + b"<a@b.example"),
    "a type of 100,000 semicolons": lambda: _header(b"Content-Type", b"text/plain" + b";" * K100),
    "a type of 16,000 semicolons": lambda: _header(b"Content-Type", b"text/plain" + b";" * 16_000),
    "a type of 16,000 quoted semicolons": lambda: _header(b"Content-Type", b'text/plain; a="' + b'\\";' * 5_000),
    "a type of 3,000 parameters": lambda: _header(
        b"Content-Type", b"text/plain" + b"".join(b"; a*%d=x" % n for n in range(1_500))
    ),
    "a type folded into 240 kB": lambda: _header(b"Content-Type", b"text/plain" + (b";" * 16_000 + b"\r\n ") * 15),
    "a boundary folded into 240 kB": lambda: _header(
        b"Content-Type", b"multipart/mixed" + (b';a="' * 4_000 + b"\r\n ") * 15 + b";boundary=b"
    ),
    "100 parts with costly types": lambda: _flat(b"Content-Type", b"text/plain" + b";" * 9_000),
    "100 parts with costly quotes": lambda: _flat(b"Content-Type", b"text/plain" + b';a="\\"' * 1_500),
    "20 parts with huge types": lambda: _flat(b"Content-Type", b"text/plain" + b";" * 50_000, count=20),
    "20 parts with huge dispositions": lambda: _flat(b"Content-Disposition", b"inline" + b';"' * 25_000, count=20),
    "a part with a type of a million": lambda: _flat(b"Content-Type", b"multipart/x" + b";" * 1_000_000, count=1),
    "20,000 encoded words": lambda: _header(b"Subject", b"=?utf-8?q?a?= " * 20_000),
    "1,000 encoded words": lambda: _header(b"Subject", b"=?utf-8?q?a?= " * 1_000),
    "encoded words that never end": lambda: _header(b"Subject", b"=?" * K100),
    "encoded words without a charset": lambda: _header(b"Subject", b"=??q??=" * 2_000),
    "encoded words in punycode": lambda: _header(b"Subject", b"=?punycode?q?" + b"a" * 4_000 + b"?= " * 3),
    "an encoded word with line ends": lambda: _header(b"Subject", b"=?utf-8?q?a=0D=0AX-Forwarded-For:_x@y.example?="),
    "100,000 headers": lambda: b"".join(b"X-%d: y\r\n" % n for n in range(K100)) + HEAD + CODE,
    "2,000 X-Forwarded-For": lambda: b"X-Forwarded-For: a@b.example\r\n" * 2_000 + HEAD + CODE,
    "1,000 Received": lambda: b"Received: from a by b for <c@d.example>; x\r\n" * 1_000 + HEAD + CODE,
    "Received full of for": lambda: b"Received: " + b"for " * 4_000 + b"\r\n" + HEAD + CODE,
    "headers without colons": lambda: b"nonsense\r\n" * 10_000 + HEAD + CODE,
    "a date out of time": lambda: b"Date: Thu, 01 Jan 99999 99:99:99 +9999\r\n" + HEAD + CODE,
    "a date with an endless zone": lambda: b"Date: Thu, 01 Jan 2026 00:00:00 +" + b"9" * 10_000 + b"\r\n" + HEAD + CODE,
    "three From headers": lambda: b"From: x@y.example\r\n" * 2 + HEAD + CODE,
    "8-bit headers": lambda: b"".join(b"X-%d: \xff\xfe\x80\r\n" % n for n in range(500)) + HEAD + CODE,
    "a Message-ID of 200,000": lambda: b"Message-ID: <" + b"x" * 200_000 + b">\r\n" + HEAD + CODE,
}

BODIES: dict[str, Bomb] = {
    **{f"charset {name[:20].decode('ascii')!r}": _written_in(name) for name in CHARSETS},
    "punycode in a header": lambda: _header(b"Subject", b"=?punycode?q?" + b"a" * 600_000 + b"?="),
    "broken base64": lambda: _plain(b"!" * 500_000 + b"abc", extra=b"Content-Transfer-Encoding: base64\r\n"),
    "base64 of a million line ends": lambda: _plain(
        base64.b64encode(b"\r\n" * 340_000), extra=b"Content-Transfer-Encoding: base64\r\n"
    ),
    "quoted-printable of equals": lambda: _plain(b"=" * 900_000, extra=b"Content-Transfer-Encoding: quoted-printable\r\n"),
    "soft breaks": lambda: _plain(b"=\r\n" * 90_000 + CODE, extra=b"Content-Transfer-Encoding: quoted-printable\r\n"),
    "uuencode": lambda: _plain(
        b"begin 644 x\r\n" + b"M" * 60 + b"\r\n" * 1_000, extra=b"Content-Transfer-Encoding: x-uuencode\r\n"
    ),
    "flowed lines": lambda: HEAD + b"Content-Type: text/plain; format=flowed\r\n\r\n" + b"aaaa \r\n" * 95_000,
    "flowed lines with delsp": lambda: (
        HEAD + b"Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n" + b"aaaa \r\n" * 95_000
    ),
    "500 kB of digits": lambda: _plain(b"4" * 500_000),
    "100,000 codes": lambda: _plain(b"code 482913\r\n" * 40_000),
    "100,000 numbers in a line": lambda: _plain(b"code " + b"482913 " * 70_000),
    "100,000 labels": lambda: _plain(b"code: code: code: " * 28_000 + b"482913"),
    "grouped digits": lambda: _plain(b"4-8 2.9 1 3-" * 40_000),
    "letters and digits": lambda: _plain(b"A1B2C3 " * 70_000),
    "links": lambda: _plain(b"https://a.example/verify?token=abc\r\n" * 14_000),
    "links of closings": lambda: _plain((b"http://a" + b")" * 3_900 + b"\r\n") * 130),
    "links that run on": lambda: _plain(b"http://" * 70_000),
    "a link of 500,000": lambda: _plain(b"Confirm https://a.example/" + b"a" * 500_000),
    "times": lambda: _plain(b"expires in 10 minutes " * 23_000),
    "times that never come": lambda: _plain(b"expires in " + b"1" * 500_000),
    "forward marks": lambda: _plain(b"---------- Forwarded message ----------\r\nFrom: a@b.example\r\n" * 5_000),
    "forward marks without ends": lambda: _plain(b"-----" * 90_000),
    "quotes": lambda: _plain(b">" * 500_000),
    "quoted lines": lambda: _plain(b"> > > > \r\n" * 45_000),
    "blanks before a forward": lambda: _plain(b"From:" + b" " * 16_000 + b"\r\nTo: " + b" \t" * 8_000),
    "underscores": lambda: _plain(b"_" * 500_000),
    "stars": lambda: _plain(b"*From:*" * 2_300),
    "every kind of blank": lambda: _plain("\u00a0\u2003\u200b\u00ad".encode() * 45_000),
    "combining marks": lambda: _plain(("4" + "\u0301" * 200_000).encode()),
    "surrogates": lambda: _plain(b"\xed\xa0\x80" * 150_000),
}

PAGES: dict[str, Bomb] = {
    "100,000 div": lambda: _html("<div>" * K100),
    "300 div": lambda: _html("<div>" * 300 + "482913"),
    "100,000 p": lambda: _html("<p>" * K100),
    "39,000 p": lambda: _html("<p>" * 39_000),
    "100,000 td": lambda: _html("<td>" * K100),
    "30,000 tables": lambda: _html("<table>" * 30_000),
    "390 tables": lambda: _html("<table><tr><td>" * 390),
    "39,000 b": lambda: _html("<b>" * 39_000),
    "39,000 a": lambda: _html("<a href=x>" * 39_000),
    "300 b in 300 p": lambda: _html(("<b>" * 300 + "<p>") * 100),
    "formatting and misnested": lambda: _html("<b><i><u><a href=x>" * 90 + "</p>" * 9_000),
    "100,000 attributes": lambda: _html("<p " + "".join(f"a{n}=1 " for n in range(K100)) + ">482913"),
    "2,000 attributes, often": lambda: _html(("<p " + "".join(f"a{n} " for n in range(1_500)) + ">") * 50),
    "an attribute of 500,000": lambda: _html(f'<p a="{"x" * 500_000}">482913'),
    "a style of 500,000": lambda: _html(f'<p style="{";" * 500_000}">482913'),
    "styles, all different": lambda: _html("".join(f"<p style='top:{n};font-size:{n}px'>" for n in range(10_000))),
    "a sheet of open comments": lambda: _html(f"<style>{'/* ' * 21_000}</style>482913"),
    "a sheet of comment ends": lambda: _html(f"<style>{'/*/' * 21_000}</style>482913"),
    "a sheet of dots": lambda: _html(f"<style>{'.a' * 32_000}</style>482913"),
    "a sheet of blanks": lambda: _html(f"<style>.a{' ' * 64_000}</style>482913"),
    "a sheet of dots and blanks": lambda: _html(f"<style>{('.a' + ' ' * 200) * 320}</style>482913"),
    "a sheet of commas": lambda: _html(f"<style>{'.a,' * 21_000}</style>482913"),
    "a sheet of braces": lambda: _html(f"<style>{'{' * 64_000}</style>482913"),
    "a sheet of ats": lambda: _html(f"<style>{'@a{' * 21_000}</style>482913"),
    "a sheet of rules": lambda: _html(f"<style>{'.a{color:red}' * 5_000}</style>" + "<p class=a>1" * 5_000),
    "classes, all different": lambda: _html(
        "<style>"
        + "".join(f".c{n} {{top:{'1' * 90}}}" for n in range(500))
        + "</style>"
        + "".join(f"<p class='c{n % 500} x{n}'>1" for n in range(15_000))
    ),
    "a blank style of 2,000": lambda: _html("".join(f"<p style='{n}font:{' ' * 60}1{' ' * 1_900}'>1" for n in range(250))),
    "comments": lambda: _html("<!--" * K100),
    "a comment without end": lambda: _html("<!-- " + "-" * 500_000),
    "angles": lambda: _html("<" * 500_000),
    "closings": lambda: _html("</" * 250_000),
    "closing tags": lambda: _html("</div>" * 39_000),
    "entities": lambda: _html("&amp;" * K100),
    "entities without ends": lambda: _html("&" * 500_000),
    "long entities": lambda: _html("&" + "a" * 500_000),
    "numbers as entities": lambda: _html("&#52;" * K100),
    "scripts": lambda: _html("<script>" * 39_000),
    "a script without end": lambda: _html("<script>" + "x" * 500_000),
    "plaintext": lambda: _html("<plaintext>" * 5_000),
    "svg and math": lambda: _html("<svg><math>" * 5_000),
    "templates": lambda: _html("<template>" * 5_000),
    "select": lambda: _html("<select><option>" * 15_000),
    "frames": lambda: _html("<frameset>" * 10_000),
    "NULs": lambda: _html("\0" * 500_000),
    "cells of a digit each": lambda: _html("<table><tr>" + "<td>4" * 39_000),
    "spans of a digit each": lambda: _html("<span>4</span>" * 19_000),
    "39,000 br": lambda: _html("4<br>" * 39_000),
    "links": lambda: _html("<a href='https://a.example/verify?t=1'>Confirm</a>" * 10_000),
    "a link of 500,000": lambda: _html(f"<a href='https://a.example/{'a' * 500_000}'>Confirm</a>"),
    "images": lambda: _html("<img alt='482913'>" * 25_000),
    "hidden": lambda: _html("<div style='display:none'>482913</div>" * 10_000),
    "hidden, nested": lambda: _html("<div style='display:none'>" * 390 + "482913"),
}

ALL: dict[str, Bomb] = {
    **{f"structure: {name}": bomb for name, bomb in STRUCTURE.items()},
    **{f"header: {name}": bomb for name, bomb in HEADERS.items()},
    **{f"body: {name}": bomb for name, bomb in BODIES.items()},
    **{f"page: {name}": bomb for name, bomb in PAGES.items()},
}


def attached(bombs: dict[str, Bomb] = ALL) -> Iterator[tuple[str, bytes]]:
    """Every bomb once more, as a mail attached to a forward."""
    for name, bomb in bombs.items():
        inner = bomb()
        if len(inner) < 1_000_000:
            yield name, HEAD + b"Content-Type: message/rfc822\r\n\r\n" + inner
