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
    """The mail as ``forwarder`` (``google``, ``microsoft`` or ``""`` for one that seals nothing) sends it on to ``destination``."""
    wired = re.sub(rb"\r?\n", b"\r\n", content)
    head, separator, body = wired.partition(b"\r\n\r\n")
    bare = FAKED.sub(b"", head + b"\r\n").removesuffix(b"\r\n") + separator + body
    domain = author(bare)
    mail = signer.dkim(bare, domain)
    results = f"mx.example; dkim=pass header.i=@{domain}; dmarc=pass header.from={domain}"
    if forwarder == "google":
        mail = signer.arc(mail, "google.com", results=f"{results}", instance=1, headers=GOOGLE[:-1])
        mail = signer.arc(mail, "google.com", results=results, instance=2, headers=GOOGLE, darn=destination)
    if forwarder == "microsoft":
        mail = signer.arc(mail, "microsoft.com", results=results, instance=1, headers=MICROSOFT)
    return mail
