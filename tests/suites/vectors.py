"""Signed messages in the tests of the package dkimpy: those of RFC 6376 and RFC 8463, and what was made of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from mailbridge.trust import Proven, dkim, raw
from tests.suites.outcome import Outcome, found
from tests.suites.zone import Zone

SOURCE = "the package dkimpy (its source archive), folder dkim/tests/data"
SENDER = "joe@football.example.com"
ED25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
"""The public key of RFC 8463 A.2, which the package's tests have in their code."""

SIGNED_AT = {
    "rfc6376.signed.msg": 1_518_460_054,
    "rfc6376.signed.rsa.msg": 1_527_915_362,
    "rfc6376.signed.no_t.msg": 1_527_915_362,
}
KEYS = {
    "rsa": ("test", "test.txt"),
    "rsa without k=": ("test", "test2.txt"),
    "a bad version": ("test", "badversion.txt"),
    "a bad kind": ("test", "badk.txt"),
    "a key for something else": ("test", "test_tlsrpt.txt"),
    "ed25519": ("brisbane", ""),
}
GOOD = {
    ("rfc6376.signed.msg", "ed25519"),
    ("rfc6376.signed.rsa.msg", "rsa"),
    ("rfc6376.signed.rsa.msg", "rsa without k="),
}
"""Which message is genuine by which key when it was signed. Of the first message the second signature is younger than that."""


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Every message by every key, as it is and with a word of it changed."""
    for name, signed_at in SIGNED_AT.items():
        content = found(folder, name, SOURCE).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        for kind, (selector, file) in KEYS.items():
            record = found(folder, file, SOURCE).read_text().strip() if file else ED25519
            zone = Zone({f"{selector}._domainkey.football.example.com": [{"TXT": record}]})
            for how, octets in (("", content), (", changed", content.replace(b"hungry", b"thirsty"))):
                right = "genuine" if (name, kind) in GOOD and not how else "not"
                got = asyncio.run(_judged(octets, zone, datetime.fromtimestamp(signed_at + 60, UTC)))
                yield Outcome(
                    name=f"{name} by {kind}{how}", wanted=(right,), got=got, is_pass=got == "genuine", may_pass=right == "genuine"
                )


async def _judged(content: bytes, zone: Zone, now: datetime) -> str:
    said = await dkim.check(raw.read(content), sender=SENDER, signers={}, dns=zone, now=now)
    return "genuine" if isinstance(said, Proven) else "not"
