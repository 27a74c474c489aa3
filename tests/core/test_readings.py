"""Descriptions that a body fits: none but its own for honest mails, and the author's among them where somebody has changed it."""

from __future__ import annotations

import re
from base64 import b64encode, encodebytes
from quopri import encodestring

import pytest

from mailbridge.core.readings import others

TEXT = "Hallo Jürgen,\n\nIhr Code lautet 482913. Er gilt für zehn Minuten; wer ihn nicht angefordert hat, meldet sich bitte.\n"
PAGE = f"<html><body><p>{TEXT}</p></body></html>\n"
PARTS = (
    '--out\r\nContent-Type: multipart/alternative; boundary="in"\r\n\r\n'
    "--in\r\nContent-Type: text/plain\r\n\r\nYour code is 482913.\r\n--in--\r\n--out--\r\n"
)


def mail(form: str, body: str | bytes) -> bytes:
    """A mail of that form; no form at all for ``""``."""
    octets = body.replace("\r\n", "\n").replace("\n", "\r\n").encode() if isinstance(body, str) else body
    lines = form.replace("\n", "\r\n") + "\r\n" if form else ""
    return f"From: a@acme.example\r\nSubject: Code\r\n{lines}\r\n".encode() + octets


def forms_of(content: bytes) -> str:
    """A mail's type and transfer encoding in one line."""
    return " ".join(re.findall(r"(?m)^Content-[A-Za-z-]+: (.*?)\r?$", content.partition(b"\r\n\r\n")[0].decode()))


def forms(content: bytes) -> list[str]:
    """The other descriptions of a mail. Nothing else of it may be another."""
    found = [other.content for other in others(content)]
    for one in found:
        head, _, body = one.partition(b"\r\n\r\n")
        assert body == content.partition(b"\r\n\r\n")[2]
        assert head.startswith(b"From: a@acme.example\r\nSubject: Code")
    return [forms_of(one) for one in found]


QUOTED = encodestring(TEXT.encode()).replace(b"\n", b"\r\n")
PACKED = encodebytes(TEXT.encode()).replace(b"\n", b"\r\n")
HONEST = {
    "nothing said": mail("", "Your code is 482913.\n"),
    "plain": mail("Content-Type: text/plain; charset=us-ascii", "Your code is 482913.\n"),
    "plain, of no known charset": mail("Content-Type: text/plain; charset=x-none", "Your code is 482913.\n"),
    "plain, Western": mail("Content-Type: text/plain; charset=iso-8859-1", "Your code is 482913.\n"),
    "plain, 8 bits": mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit", TEXT),
    "plain, called quoted-printable": mail(
        "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable", "Code: 482913\n"
    ),
    "plain, with an equals sign": mail("Content-Type: text/plain", "https://acme.example/x?token=ab12cdZ\n"),
    "plain, folded": mail('Content-Type:\n text/plain;\n charset="utf-8"', "Your code is 482913.\n"),
    "page": mail("Content-Type: text/html; charset=utf-8", PAGE),
    "quoted": mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", QUOTED),
    "base64": mail("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", PACKED),
    "base64, page": mail("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: BASE64", b64encode(PAGE.encode())),
    "parts": mail('Content-Type: multipart/mixed; boundary="out"', PARTS),
    "parts, a foreword": mail(
        "Content-Type: multipart/alternative; boundary=out", "This is a multi-part message in MIME format.\n\n" + PARTS
    ),
    "parts, never closed": mail("Content-Type: multipart/mixed; boundary=out", PARTS.replace("--out--\r\n", "")),
    "parts, a header of another kind": mail(
        "Content-Type: multipart/mixed; boundary=out", PARTS.replace("Content", "X-Id: 1\r\nContent", 1)
    ),
    "parts, with an encoding": mail("Content-Type: multipart/mixed; boundary=out\nContent-Transfer-Encoding: 7bit", PARTS),
    "a heading between dashes": mail("Content-Type: text/plain", "-- Acme --\nCode: 482913\n-- Acme --\n"),
    "rules of dashes": mail("Content-Type: text/plain", "----------\nCode: 482913\n----------\n"),
    "a signature's dashes": mail("Content-Type: text/plain", "Your code is 482913.\n\n-- \nAcme\n--\n"),
    "plain, named as charsets are": mail('Content-Type: text/plain; charset="US-ASCII"', "Code: 482913\n"),
    "plain, encoding in capitals": mail("Content-Transfer-Encoding:  7BIT ", "Code: 482913\n"),
    "plain, called ASCII": mail("Content-Type: text/plain; charset=us-ascii", TEXT),
    "flowed": mail("Content-Type: text/plain; format=Flowed", "Code: 482913\n"),
    "ISO 2022": mail("Content-Type: text/plain; charset=ISO-2022-JP", "\x1b$B%3!<%I\x1b(B 482913\n"),
    "Chinese": mail("Content-Type: text/plain; charset=gb2312", "您的验证码是482913。\r\n".encode("gb18030")),
    "Japanese": mail("Content-Type: text/plain; charset=shift_jis", "認証コード482913です\r\n".encode("cp932")),
    "page, with a mark of order": mail("Content-Type: text/html; charset=utf-8", "\ufeff" + PAGE),
    "page, nothing but tags at its ends": mail("Content-Type: text/html", "<!DOCTYPE html>\n<p>482913</p>\n\n"),
    "a text with angles": mail("Content-Type: text/plain", "Code <482913>, see <https://acme.example/x>.\n"),
    "base64, one line": mail("Content-Transfer-Encoding: base64", b64encode(b"Code: 482913.")),
    "base64, blanks around": mail("Content-Transfer-Encoding: base64", b"\r\n" + b64encode(TEXT.encode()) + b" \r\n\r\n"),
    "eight digits and nothing else": mail("", "48291344\n"),
    "sixteen letters and nothing else": mail("", "abcdefghABCDEFGH\n"),
    "forty letters that decode to nothing": mail("", "A" * 43 + "\n"),
    "many words without blanks": mail("", "Code\n482913\nAcme\nAcme\nAcme\n!\n"),
    "quoted, folded by its length": mail(
        "Content-Type: text/plain; charset=x\nContent-Transfer-Encoding: Quoted-Printable",
        b"x" * 70 + b"=\r\n" + b"Code: 482913\r\n",
    ),
    "quoted, two letters of one octet": mail(
        "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable",
        b"El c=F3digo ser=E1 482913\r\n",
    ),
    "quoted, written equals": mail("Content-Transfer-Encoding: quoted-printable", "a=3Db c=3Dd 482913\n"),
    "an equals sign that is no escape, and one that is": mail("Content-Type: text/plain", "a=b c=3D 482913\n"),
    "a delimiter with a quote": mail("", '--a"b\n\nCode: 482913\n--a"b--\n'),
    "a delimiter with a backslash": mail("", "--a\\b\n\nCode: 482913\n--a\\b--\n"),
    "two dashes": mail("", "--\n\nCode: 482913\n----\n"),
    "a delimiter of one letter": mail("Content-Type: multipart/mixed; boundary=x", "--x\n\nCode: 482913\n--x--\n"),
    "parts, blanks behind the delimiters": mail("Content-Type: multipart/mixed; boundary=x", "--x  \n\nCode: 482913\n--x-- \n"),
    "parts, blank lines around": mail("Content-Type: multipart/mixed; boundary=x", "\n\n--x\n\nCode: 482913\n--x--\n\n"),
    "a dash line that opens nothing, then parts": mail(
        "Content-Type: multipart/mixed; boundary=x", "MIME\n--y\n--x\n\nCode: 482913\n--x--\n"
    ),
    "a line that begins as another does": mail("Content-Type: text/plain", "--x\n\nCode: 482913\n--xyz\n"),
    "page, lines that end in blanks": mail("Content-Type: text/html", "<p>Code: 48 \n2913</p>\n"),
    "Cyrillic, in pairs": mail("Content-Type: text/plain; charset=windows-1251", "Да 482913 на\r\n".encode("cp1251")),
    "flowed in capitals": mail("Content-Type: text/plain; FORMAT=FLOWED", "Code: 482913\n"),
    "parts in a type of its own": mail("Content-Type: multipart/x-y; boundary=out", PARTS),
    "no end": b"From: a@acme.example",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_mail_is_read_once(name: str) -> None:
    """A body that its own headers describe fits no other description."""
    assert forms(HONEST[name]) == []


HALVED = {
    "Western": mail("Content-Type: text/plain; charset=iso-8859-1", TEXT.encode("latin-1")),
    "Cyrillic": mail("Content-Type: text/plain; charset=koi8-r", "Ваш код 482913.\r\n".encode("koi8-r")),
    "base64, Western": mail(
        "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64", encodebytes(TEXT.encode("latin-1"))
    ),
}


@pytest.mark.parametrize("name", HALVED)
def test_letters_beyond_ascii_may_be_halves_of_others(name: str) -> None:
    """In a charset without a mark of its own they are looked at as East Asia's too, which counts only if it shows another value."""
    found = list(others(HALVED[name]))
    assert found
    assert all(one.is_loose for one in found)


MULTIPART = 'multipart/mixed; boundary="out"'
CHANGED = {
    "parts called a text": (mail("Content-Type: text/plain", PARTS), MULTIPART),
    "parts called nothing": (mail("", PARTS), MULTIPART),
    "another boundary": (mail("Content-Type: multipart/mixed; boundary=in", PARTS), MULTIPART),
    "a boundary that is not there": (mail("Content-Type: multipart/mixed; boundary=none", PARTS), MULTIPART),
    "a boundary that closes before it opens": (
        mail("Content-Type: multipart/mixed; boundary=x", "--x--\nCode: 482913\n--x\n\nCode: 111222\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "a boundary in a text that is never closed": (
        mail("Content-Type: multipart/mixed; boundary=x", "Code: 482913\n--x\n\nCode: 111222\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "a digest": (mail("Content-Type: multipart/digest; boundary=out", PARTS), MULTIPART),
    "a whole mail": (mail("Content-Type: message/rfc822", "Your code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "a file": (mail('Content-Type: text/plain; name="a.eml"', "Your code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "an attachment": (mail("Content-Disposition: attachment", "Your code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "base64 called a text": (mail("Content-Type: text/plain", PACKED), "text/plain; charset=utf-8 base64"),
    "a text called base64": (mail("Content-Transfer-Encoding: base64", "Your code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "quoted called a text": (mail("Content-Type: text/plain", QUOTED), "text/plain; charset=utf-8 quoted-printable"),
    "a text called quoted": (
        mail("Content-Transfer-Encoding: quoted-printable", "Your code: =3482913\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "a page called a text": (mail("Content-Type: text/plain", PAGE), "text/html; charset=utf-8 8bit"),
    "a text called a page": (mail("Content-Type: text/html", TEXT), "text/plain; charset=utf-8 8bit"),
    "a text with tags called a page": (mail("Content-Type: text/html", "Code <b>482913</b>\n"), "text/plain; charset=utf-8 8bit"),
    "UTF-16": (mail("Content-Type: text/plain; charset=utf-16", "Your code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "a Japanese escape": (
        mail("Content-Type: text/plain", "Code \x1b$B%3!<%I\x1b(B 482913\n"),
        "text/plain; charset=iso-2022-jp 8bit",
    ),
    "UTF-8 called Western": (mail("Content-Type: text/plain; charset=iso-8859-1", TEXT), "text/plain; charset=utf-8 8bit"),
    "Western called UTF-8": (mail("Content-Type: text/plain", TEXT.encode("latin-1")), "text/plain; charset=windows-1252 8bit"),
    "halves of characters": (
        mail("Content-Type: text/plain; charset=windows-1251", b"Code: \xa4A482913\r\n"),
        "text/plain; charset=big5hkscs 8bit",
    ),
    "another charset of East Asia": (
        mail("Content-Type: text/plain; charset=windows-1252", b"Code: \x83A482913\r\n"),
        "text/plain; charset=cp932 8bit",
    ),
    "Korean called Western": (
        mail("Content-Type: text/plain; charset=windows-1252", b"Code: \x81A482913\r\n"),
        "text/plain; charset=cp949 8bit",
    ),
    "Chinese called Western": (
        mail("Content-Type: text/plain; charset=windows-1252", b"Code: \xc9A482913\r\n"),
        "text/plain; charset=gb18030 8bit",
    ),
    "Western called Chinese": (
        mail("Content-Type: text/plain; charset=gb2312", b"Code \xe0 482913\r\n"),
        "text/plain; charset=windows-1252 8bit",
    ),
    "UTF-16, little end": (
        mail("Content-Type: text/plain; charset=utf-16le", "Code: 482913\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "UTF-16, big end": (mail("Content-Type: text/plain; charset=utf-16be", "Code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "no Japanese": (mail("Content-Type: text/plain; charset=iso-2022-jp", "Code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "no Korean": (mail("Content-Type: text/plain; charset=iso-2022-kr", "Code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "UTF-16 over more than ASCII": (
        mail("Content-Type: text/plain; charset=utf-16", TEXT.encode("latin-1")),
        "text/plain; charset=windows-1252 8bit",
    ),
    "letters that may be base64": (
        mail("Content-Transfer-Encoding: base64", b64encode(b"Code \xe9 482913.")),
        "text/plain; charset=utf-8 8bit",
    ),
    "one written equals sign": (
        mail("Content-Transfer-Encoding: quoted-printable", "a=3Db 482913\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "one written equals sign, not said": (mail("", "a=3Db 482913\n"), "text/plain; charset=utf-8 quoted-printable"),
    "a text behind tags called a page": (
        mail("Content-Type: text/html", "<p>482913</p> is it\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "a text before tags called a text": (
        mail("Content-Type: text/plain", "It is <b>482913</b>\n"),
        "text/html; charset=utf-8 8bit",
    ),
    "parts of an odd boundary": (mail("Content-Type: multipart/mixed; boundary*=x", PARTS), MULTIPART),
    "a file in another charset": (
        mail("Content-Type: text/plain; name*=utf-99''a.eml", "Code: 482913\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "lines to be joined": (
        mail("Content-Type: text/plain; format=flowed", "Code: 48 \n2913\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "joined lines": (mail("Content-Type: text/plain", "Code: 48 \n2913\n"), "text/plain; charset=utf-8; format=flowed 8bit"),
    "more than anybody writes": (
        mail("Content-Type: text/plain; " + "x=y;\n " * 2_000, "Your code: 482913\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "parts under more than anybody writes": (
        mail("Content-Type: multipart/mixed; boundary=out; " + "x=y;\n " * 2_000, PARTS),
        MULTIPART,
    ),
    "parts of a type that has none": (mail("Content-Type: text/x; boundary=out", PARTS), MULTIPART),
    "quoted UTF-8 called Western": (
        mail("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable", QUOTED),
        "text/plain; charset=utf-8 quoted-printable",
    ),
    "a charset that is none": (
        mail('Content-Type: text/plain; charset="x/y"', TEXT.encode("latin-1")),
        "text/plain; charset=windows-1252 8bit",
    ),
    "halves of characters among whole ones": (
        mail("Content-Type: text/plain; charset=windows-1252", b"\xa4\xa4: \xa4A482913\r\n"),
        "text/plain; charset=big5hkscs 8bit",
    ),
    "two types": (mail("Content-Type: text/html\nContent-Type: text/plain", "Code: 482913\n"), "text/plain; charset=utf-8 8bit"),
    "a text around parts": (
        mail("Content-Type: multipart/mixed; boundary=out", "Dear Ann,\n" + PARTS),
        "text/plain; charset=utf-8 8bit",
    ),
    "parts, and a text behind": (
        mail("Content-Type: multipart/mixed; boundary=out", PARTS + "P.S.\n"),
        "text/plain; charset=utf-8 8bit",
    ),
    "parts, and a foreword with a code": (
        mail("Content-Type: multipart/mixed; boundary=out", "A multi-part message: 482913\n" + PARTS),
        "text/plain; charset=utf-8 8bit",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_the_authors_description_is_among_the_others(name: str) -> None:
    """Where the headers are not the body's own, what the body fits is offered."""
    content, expected = CHANGED[name]
    assert expected in forms(content)


@pytest.mark.parametrize(
    ("name", "is_loose"),
    [
        ("another boundary", False),
        ("base64 called a text", False),
        ("quoted called a text", False),
        ("a text called quoted", False),
        ("UTF-16", False),
        ("Western called UTF-8", False),
        ("a page called a text", False),
        ("letters that may be base64", True),
        ("one written equals sign", True),
        ("one written equals sign, not said", False),
        ("joined lines", True),
        ("halves of characters", True),
        ("Western called Chinese", True),
    ],
)
def test_what_fits_hardly_is_marked(name: str, is_loose: bool) -> None:
    """A description that only chance allows counts less: it must show another value, and not just none."""
    content, expected = CHANGED[name]
    found = [one for one in others(content) if forms_of(one.content) == expected]
    assert [one.is_loose for one in found] == [is_loose]
    assert "482913" not in repr(found)


def test_flowed_lines_are_joined_in_one_reading_alone() -> None:
    """A text that says that it is flowed, in whatever letters, is read as it is without that, and not flowed twice."""
    content = mail("Content-Type: text/plain; Format=FLOWED", "Code: 48 \n2913\n")
    assert forms(content) == ["text/plain; charset=utf-8 8bit"]


def test_many_delimiters_are_not_all_looked_at() -> None:
    """NoEvents writes 200 lines of dashes before the first part."""
    body = "MIME\n" + "--y\n" * 199 + "--x\n\nCode: 482913\n--x--\n"
    assert 'multipart/mixed; boundary="x"' in forms(mail("", body.replace("--y\n", "--y\n", 1).replace("--y\n", "", 3)))
    assert not any("multipart" in one for one in forms(mail("", "MIME\n" + "--y\n" * 3 + body)))
