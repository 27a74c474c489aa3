"""Whole mails from a subject and a body, as octets."""

from __future__ import annotations

from email.header import Header


def composed(subject: str, *, site: str, plain: str | None = None, html: str | None = None, number: int = 0) -> bytes:
    """A mail of a site to one person, of one part or of two (RFC 5322, RFC 2046); ``number`` makes its Message-ID."""
    host = f"{site.lower()}.example"
    head = [
        f"From: {site} <no-reply@{host}>",
        "To: <ann@corp.example>",
        f"Subject: {Header(subject, 'utf-8').encode()}",
        "Date: Fri, 01 May 2026 11:59:40 +0000",
        f"Message-ID: <{number:x}@{host}>",
        "MIME-Version: 1.0",
    ]
    parts = [(kind, text) for kind, text in (("plain", plain), ("html", html)) if text is not None]
    if len(parts) == 1:
        return _part(*parts[0], head)
    boundary = f"=_{number:x}_part"
    inner = b"".join(b"--" + boundary.encode() + b"\r\n" + _part(kind, text, []) for kind, text in parts)
    head.append(f'Content-Type: multipart/alternative; boundary="{boundary}"')
    return "\r\n".join(head).encode() + b"\r\n\r\n" + inner + b"--" + boundary.encode() + b"--\r\n"


def _part(kind: str, text: str, head: list[str]) -> bytes:
    lines = [*head, f"Content-Type: text/{kind}; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", ""]
    return "\r\n".join(lines).encode() + text.replace("\n", "\r\n").encode() + b"\r\n"
