"""The attack set's SMTP dialogues: ends of data that readers disagree about, and recipients that decode to others."""

from __future__ import annotations

from dataclasses import dataclass

HELLO = b"EHLO x.evil.example\r\n"
SENDER = b"MAIL FROM:<x@evil.example>\r\n"
TO = b"RCPT TO:<codes@bridge.example>\r\n"
HARMLESS = b"From: x@evil.example\r\nTo: list@evil.example\r\nSubject: hello\r\n\r\nNothing to see."
FORGED = (
    b"MAIL FROM:<no-reply@acme.example>\r\nRCPT TO:<otp-7m3k9q2wxy8vhtnc@bridge.example>\r\nDATA\r\n"
    b"From: no-reply@acme.example\r\nTo: ann@corp.example\r\nSubject: Your code\r\n\r\nYour verification code is 713928.\r\n.\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """What is sent, a part after each answer. ``mails`` may come of it at most; ``heard`` must be among the answers."""

    parts: tuple[bytes, ...]
    mails: int
    heard: tuple[bytes, ...] = ()


ENDS = {
    "LF . LF": b"\n.\n",
    "LF . CRLF": b"\n.\r\n",
    "CRLF . LF": b"\r\n.\n",
    "CR . CR": b"\r.\r",
    "CR . CRLF": b"\r.\r\n",
    "CRLF . CR": b"\r\n.\r",
    "LF . CR": b"\n.\r",
    "CR . LF": b"\r.\n",
    "CRLF . NUL CRLF": b"\r\n.\0\r\n",
    "CRLF NUL . CRLF": b"\r\n\0.\r\n",
    "CRLF . CRCRLF": b"\r\n.\r\r\n",
    "CRCRLF . CRCRLF": b"\r\r\n.\r\r\n",
    "CRLF . blank CRLF": b"\r\n. \r\n",
    "CRLF .. CRLF": b"\r\n..\r\n",
    "NEL . NEL": b"\xc2\x85.\xc2\x85",
}
"""Every one of these has been taken for the end of a mail by somebody (SMTP smuggling, 2023)."""

RECIPIENTS = {
    "an encoded word": b"<=?utf-8?q?otp-7m3k9q2wxy8vhtnc?=@bridge.example>",
    "an encoded word with a line end": b"<=?utf-8?q?x=0D=0ARCPT?=@bridge.example>",
    "a quoted local part with more in it": b'<"otp-7m3k9q2wxy8vhtnc x"@bridge.example>',
    "a comment": b"<otp-7m3k9q2wxy8vhtnc(x)@bridge.example>",
    "a source route that is none": b"<@evil.example;otp-7m3k9q2wxy8vhtnc@bridge.example>",
    "two at signs": b"<x@evil.example@bridge.example@>",
    "a percent route": b"<otp%bridge.example@evil.example>",
    "a bang path": b"<bridge.example!otp@evil.example>",
    "a NUL": b"<otp\0@bridge.example>",
    "eight bits": "<otp\u00e9@bridge.example>".encode(),
    "no brackets": b"otp-7m3k9q2wxy8vhtnc@bridge.example",
    "nothing": b"<>",
    "a blank inside": b"<otp @bridge.example>",
    "a parameter": b"<codes@bridge.example> NOTIFY=SUCCESS",
}


LETTER = FORGED.partition(b"DATA\r\n")[2]
CAF = b"MAIL FROM:<ann+caf_=codes=bridge.example@gmail.com>\r\n"
TRICKS: dict[str, tuple[bytes, ...]] = {
    "a proxy's line of Google's address": (b"PROXY TCP4 127.0.0.9 127.0.0.1 25 25\r\n" + HELLO, CAF + TO + b"DATA\r\n", LETTER),
    "XCLIENT of Google's address": (HELLO, b"XCLIENT ADDR=127.0.0.9 NAME=mail.google.com\r\n", CAF + TO + b"DATA\r\n", LETTER),
    "XFORWARD of Google's address": (HELLO, b"XFORWARD ADDR=127.0.0.9\r\n", CAF + TO + b"DATA\r\n", LETTER),
    "Google's name in the greeting": (b"EHLO mail-oi1-f182.google.com\r\n", CAF + TO + b"DATA\r\n", LETTER),
    "Google's address in the greeting": (b"EHLO [127.0.0.9]\r\n", CAF + TO + b"DATA\r\n", LETTER),
    "a sender with a word behind it": (HELLO, CAF.replace(b"\r\n", b" AUTH=<> BODY=8BITMIME\r\n") + TO + b"DATA\r\n", LETTER),
    "two senders": (HELLO, SENDER + CAF + TO + b"DATA\r\n", LETTER),
    "a sender taken back": (HELLO, CAF + b"RSET\r\n" + SENDER + TO + b"DATA\r\n", LETTER),
    "in chunks": (HELLO, SENDER + TO, b"BDAT %d LAST\r\n" % len(LETTER) + LETTER),
    "a login": (HELLO, b"AUTH PLAIN AG9wZXJhdG9yAG9wZXJhdG9y\r\n", SENDER + TO + b"DATA\r\n", LETTER),
    "a recipient in UTF-8": (HELLO, SENDER.replace(b"\r\n", b" SMTPUTF8\r\n") + b"RCPT TO:<c\xd0\xbedes@bridge.example>\r\n", b"DATA\r\n", LETTER),
    "a debugging command": (HELLO, b"DEBUG\r\nWIZ\r\nVRFY otp\r\nEXPN codes\r\n", SENDER + TO + b"DATA\r\n", LETTER),
    "data before the answer": (HELLO, SENDER + TO + b"DATA\r\n" + LETTER),
}  # fmt: skip
"""Dialogues that want to be taken for somebody else's; the letter in them is a forgery of Acme's."""


def every() -> dict[str, Dialogue]:
    """The whole set by name."""
    found: dict[str, Dialogue] = {}
    for name, end in ENDS.items():
        found[f"smuggled behind {name}"] = Dialogue(
            parts=(HELLO, SENDER, TO, b"DATA\r\n", HARMLESS + end + FORGED + b"QUIT\r\n"),
            mails=1,
            heard=(rb"250 2\.0\.0 OK: queued",),
        )
    for name, recipient in RECIPIENTS.items():
        found[f"recipient is {name}"] = Dialogue(
            parts=(HELLO, SENDER, b"RCPT TO:" + recipient + b"\r\n", b"DATA\r\n", b"QUIT\r\n"),
            mails=0,
            heard=(rb"\r\n5\d\d 5", rb"\r\n503 "),
        )
    for name, parts in TRICKS.items():
        found[name] = Dialogue(parts=parts, mails=1)
    found["commands behind STARTTLS in one segment"] = Dialogue(
        parts=(HELLO, b"STARTTLS\r\n" + SENDER + TO + b"DATA\r\n" + HARMLESS + b"\r\n.\r\n"), mails=1
    )
    found["no recipient"] = Dialogue(parts=(HELLO, SENDER, b"DATA\r\n", b"QUIT\r\n"), mails=0, heard=(rb"\r\n503 ",))
    found["left in the middle"] = Dialogue(parts=(HELLO, SENDER, TO, b"DATA\r\n", FORGED[: FORGED.find(b"\r\n.\r\n")]), mails=0)
    found["two recipients, one of them unknown"] = Dialogue(
        parts=(HELLO, SENDER, TO, b"RCPT TO:<x@elsewhere.example>\r\n", b"DATA\r\n", HARMLESS + b"\r\n.\r\n"),
        mails=1,
        heard=(rb"550 5\.1\.1",),
    )
    return found
