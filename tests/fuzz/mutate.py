"""Mutations of octets that stay close enough to a mail to get deep into a parser. The same seed gives the same mutation."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\r\n\r\n",
    b"\r\n ",
    b"\t",
    b":",
    b";",
    b"=",
    b'"',
    b"\\",
    b"<",
    b">",
    b"@",
    b",",
    b"(",
    b")",
    b"--",
    b"=?utf-8?q?",
    b"?=",
    b"=?punycode?b?",
    b"=\r\n",
    b"=0D=0A",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\x8b",
    b"&#x110000;",
    b"&nbsp",
    b"<!--",
    b"</table>",
    b"<td>4",
    b"<div style='display:none'>",
    b"<style>",
    b"</",
    b"Content-Type: multipart/mixed; boundary=",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Type: text/html; charset=utf-16\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"charset=iso-2022-jp",
    b"format=flowed; delsp=yes",
    b"From: ",
    b"To: ",
    b"Subject: Fwd: ",
    b"Date: ",
    b"Received: from a by b for <c@d.example>; ",
    b"X-Forwarded-For: ",
    b"---------- Forwarded message ---------\r\n",
    b"code ",
    b"482913",
    b"482 913",
    b"expires in 10 minutes",
    b"https://a.example/verify?t=",
    b"9" * 40,
    b"A" * 3_000,
    b"2026-11-24",
)

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def _flip(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    octets = bytearray(mail or b"x")
    for _times in range(dice.choice((1, 1, 2, 5, 30))):
        octets[dice.randrange(len(octets))] = dice.randrange(256)
    return bytes(octets)


def _insert(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    at = dice.randint(0, len(mail))
    return mail[:at] + dice.choice(TOKENS) * dice.choice((1, 1, 1, 2, 7, 60)) + mail[at:]


def _replace(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    at, length = _span(dice, mail)
    return mail[:at] + dice.choice(TOKENS) + mail[at + length :]


def _delete(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    at, length = _span(dice, mail)
    return mail[:at] + mail[at + length :]


def _repeat(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    at, length = _span(dice, mail)
    times = dice.choice((2, 3, 10, 100, 2_000))
    return mail[:at] + mail[at : at + length] * min(times, 200_000 // max(length, 1)) + mail[at + length :]


def _swap_lines(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    lines = mail.split(b"\r\n")
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def _drop_line(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    lines = mail.split(b"\r\n")
    del lines[dice.randrange(len(lines))]
    return b"\r\n".join(lines)


def _splice(dice: random.Random, mail: bytes, seeds: Sequence[bytes]) -> bytes:
    other = dice.choice(seeds)
    return mail[: dice.randint(0, len(mail))] + other[dice.randint(0, len(other)) :]


def _enclose(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    kind = dice.choice((b"message/rfc822", b'multipart/mixed; boundary="b"', b"multipart/alternative; boundary=b"))
    inner = (
        mail
        if kind.startswith(b"message")
        else b"--b\r\n" + mail + b"\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>1</b>\r\n--b--"
    )
    return b"From: a@b.example\r\nSubject: Fwd: x\r\nContent-Type: " + kind + b"\r\n\r\n" + inner


def _cut(dice: random.Random, mail: bytes, _: Sequence[bytes]) -> bytes:
    return mail[: dice.randint(0, len(mail))]


MUTATIONS: Sequence[Mutation] = (
    *(_flip, _insert, _replace, _delete) * 3,
    *(_repeat, _swap_lines, _drop_line, _splice) * 2,
    _enclose,
    _cut,
)


def mutated(number: int, seeds: Sequence[bytes]) -> bytes:
    """The mutation of that number: one to six steps away from one of the seeds."""
    dice = random.Random(number)
    mail = dice.choice(seeds)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        mail = dice.choice(MUTATIONS)(dice, mail, seeds)
    return mail[:1_000_000]


def _span(dice: random.Random, mail: bytes) -> tuple[int, int]:
    return dice.randint(0, len(mail)), dice.choice((1, 1, 2, 8, 40, 300))
