"""Honest shapes with signatures that hold: a fixture's fake ones are taken off, and author and forwarder sign as they do."""

from __future__ import annotations

import re

from mailbridge.core.address_list import read_author
from tests.peers import signer

FAKED = re.compile(rb"(?im)^(?:DKIM-Signature|ARC-[A-Za-z-]+|X-Google-DKIM-Signature):.*\r\n(?:[ \t].*\r\n)*")
GOOGLE = ("from", "to", "subject", "date", "message-id", "mime-version", "dkim-signature", "delivered-to")
MICROSOFT = ("from", "date", "subject", "message-id", "content-type", "mime-version")


def author(content: bytes) -> str:
    """The domain of the mail's From; ``""`` where it has not exactly one."""
    found = re.findall(rb"(?im)^From:(.*\r\n(?:[ \t].*\r\n)*)", content.partition(b"\r\n\r\n")[0] + b"\r\n")
    value = re.sub(rb"\r\n", b"", found[0]).decode("utf-8", "replace").strip() if len(found) == 1 else ""
    return "".join(read_author(value).addresses).rpartition("@")[2].lower()


def resigned(content: bytes, *, forwarder: str, destination: str) -> bytes:
    """The mail as ``forwarder`` (``google``, ``microsoft`` or ``""`` for one that seals nothing) sends it on to ``destination``.

    Google's two sets stand where Google puts them: one below its stamps, made when the mail came in, one above, made when it goes
    out. Where a fixture shows the places, they are the fixture's.
    """
    wired = re.sub(rb"\r?\n", b"\r\n", content)
    head, separator, body = wired.partition(b"\r\n\r\n")
    front, stamps, inner = _layers(head + b"\r\n")
    mail = inner.removesuffix(b"\r\n") + separator + body
    domain = author(mail)
    mail = signer.dkim(mail, domain)
    results = f"mx.example; dkim=pass header.i=@{domain}; dmarc=pass header.from={domain}"
    if forwarder == "google":
        mail = stamps + signer.arc(mail, "google.com", results=results, instance=1, headers=GOOGLE[:-1])
        return front + signer.arc(mail, "google.com", results=results, instance=2, headers=GOOGLE, darn=destination)
    mail = front + stamps + mail
    if forwarder == "microsoft":
        mail = signer.arc(mail, "microsoft.com", results=results, instance=1, headers=MICROSOFT)
    return mail


def _layers(head: bytes) -> tuple[bytes, bytes, bytes]:
    """What the last server wrote, what the forwarder wrote, and what came in, each without its faked signatures."""
    sets = [re.search(rb"(?m)^ARC-Seal: i=%d;" % number, head) for number in (2, 1)]
    first = re.search(rb"(?im)^(?:From|To|Subject|Date|Message-ID|MIME-Version):", head)
    inner = sets[1].start() if sets[1] else first.start() if first else 0
    front = sets[0].start() if sets[0] and sets[1] else 0
    return FAKED.sub(b"", head[:front]), FAKED.sub(b"", head[front:inner]), FAKED.sub(b"", head[inner:])
