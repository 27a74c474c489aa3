"""Mails that a worker reads before it says that it is ready, so that the first real one finds everything built.

Modules are imported, patterns compiled and the automata of the linear matcher grown by what is read, not by what is loaded. That
takes 0.15 s of the processor, which the deadline of the first mail must not pay for: on a busy machine it was given up for it, and
held as unreadable (seen at a load of 10 on two cores).
"""

from __future__ import annotations

from datetime import UTC, datetime

from mailbridge.intake.worker_protocol import Request

CRLF = "\r\n"
NOW = datetime(2026, 1, 1, tzinfo=UTC)

SENTENCES = (
    "Hello Ann,\r\n\r\nYour verification code is 482913. It expires in 10 minutes.\r\nDo not share it with anyone.",
    "Use this code to sign in to Acme:\r\n\r\nK7F-29Q\r\n\r\nIf you did not try to log in, ignore this email or call +1 555 010 9000.",
    "482 913 is your one-time password. Valid until 12:30.\r\n(c) 2026 Acme Inc., 1 Main Street, Springfield 62704",
    "Ihr Code lautet: 1234-5678\r\n\r\nEr ist 15 Minuten gültig. Geben Sie ihn niemals weiter.",
    "Sign in with one click: https://login.acme.example/magic?token=Abc123def456ghi789&next=%2Fhome\r\nThe link works once.",
    "Thank you for your order 7702231 of 3 March 2026.\r\nTotal: $1,299.00, delivered to 10115 Berlin. No. 0042-17.",
)
PAGE = (
    "<html><head><style>.c{font-size:28px;letter-spacing:4px}.p{display:none}</style></head><body><div class=p>482913 - preview</div>"
    "<table><tr><td>4</td><td>8</td><td>2</td><td>9</td><td>1</td><td>3</td></tr></table><p>Your code is <b class=c>482913</b></p>"
    "<a class=btn style='padding:12px;background:#06c' href='https://acme.example/verify?t=Abc123def456'>Confirm e-mail</a></body></html>"
)


def warm_ups() -> tuple[Request, ...]:
    """A dozen mails of the usual shapes: forwarded, plain and HTML, with a code, a link, and neither."""
    plain = [_mail("Your Acme code", "text/plain", text) for text in SENTENCES]
    pages = [_mail("482913 is your code", "text/html", PAGE), _mail("Fwd: Sign in", "text/html", f"<p>{SENTENCES[4]}</p>")]
    forwarded = "---------- Forwarded message ---------\r\nFrom: Acme <no-reply@acme.example>\r\nDate: Thu, 1 Jan 2026\r\n"
    inline = _mail("Fwd: code", "text/plain", f"{forwarded}Subject: code\r\nTo: <ann@corp.example>\r\n\r\n{SENTENCES[0]}")
    return (*plain, *pages, inline)


def _mail(subject: str, kind: str, text: str) -> Request:
    headers = (
        "Delivered-To: ann@corp.example",
        "X-Forwarded-For: ann@corp.example codes@bridge.example",
        "Received: from mx.acme.example by mx.corp.example with ESMTPS id 1 for <ann@corp.example>; Thu, 1 Jan 2026 00:00:00 +0000",
        'From: "Acme, Inc." <no-reply@acme.example>',
        "To: Ann <ann@corp.example>",
        f"Subject: =?utf-8?q?{subject.replace(' ', '_')}?=",
        "Date: Thu, 01 Jan 2026 00:00:00 +0000",
        "Message-ID: <1@acme.example>",
        "MIME-Version: 1.0",
        f"Content-Type: {kind}; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    )
    content = CRLF.join((*headers, "", text)).encode()
    return Request(
        content=content, rcpt_to=("codes@bridge.example",), mail_from="ann+caf_=codes=bridge.example@corp.example", now=NOW
    )
