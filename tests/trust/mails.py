"""Mails for proofs: written here, signed by tests."""

from __future__ import annotations

from itertools import count

RCPT = "codes@bridge.example"
NUMBERS = count(1)


def mail(
    text: str = "Your code is 482913.",
    *,
    sender: str = "Acme <no-reply@acme.example>",
    to: str = "ann@corp.example",
    subject: str = "Your sign-in code",
    above: str = "",
    below: str = "",
) -> bytes:
    """One new mail in plain text. ``above`` and ``below`` are header lines before and after the author's own."""
    lines = [
        *above.splitlines(),
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {subject}",
        "Date: Wed, 25 Nov 2026 09:57:25 +0000",
        f"Message-ID: <{next(NUMBERS)}@acme.example>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        *below.splitlines(),
        "",
        *text.splitlines(),
        "",
    ]
    return "\r\n".join(lines).encode()
