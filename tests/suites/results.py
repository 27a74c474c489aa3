"""The header fields in the tests of the package authres (Apache licence): whom each of them calls genuine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from mailbridge.trust import Proven, authres, raw
from tests.suites.outcome import Missing, Outcome

SOURCE = "the package authres (its source archive), folder authres"
FIELD = re.compile(r"parse\('(Authentication-Results: [^'\n]*)'\)", re.IGNORECASE)
ASIDE = re.compile(r'\([^()]*\)|"[^"]*"')
DOMAIN = re.compile(r"(?:@|=)([a-z0-9-]+(?:\.[a-z0-9-]+)+)")


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Every field with every domain in it as the author: genuine where a signature of that domain, or DMARC for it, passed."""
    file = next((one for one in sorted(folder.rglob("authres/tests")) if one.is_file()), None)
    if file is None:
        raise Missing(f"no file authres/tests under {folder}: it is in {SOURCE}")
    fields = FIELD.findall(file.read_text(encoding="utf-8"))
    for number, field in enumerate(fields, 1):
        server, *results = ASIDE.sub("", field.partition(":")[2]).split(";")
        for domain in dict.fromkeys(DOMAIN.findall(field.lower())):
            right = "genuine" if any(_is_genuine(" ".join(result.split()), domain) for result in results) else "not"
            content = f"{field}\r\nFrom: a@{domain}\r\nSubject: x\r\n\r\nx\r\n".encode()
            said = authres.check(raw.read(content), sender=f"a@{domain}", servers={server.strip()}, now=datetime.now(UTC))
            got = "genuine" if isinstance(said, Proven) else "not"
            yield Outcome(
                name=f"{number} {domain}", wanted=(right,), got=got, is_pass=got == "genuine", may_pass=right == "genuine"
            )


def _is_genuine(result: str, domain: str) -> bool:
    """Whether one result says that the domain wrote the mail."""
    method, _, properties = result.partition(" ")
    values = dict(one.partition("=")[::2] for one in properties.split() if "=" in one)
    if method == "dmarc=pass":
        return values.get("header.from", "").lower() == domain
    signer = values.get("header.d") or values.get("header.i", "").rpartition("@")[2]
    return method == "dkim=pass" and signer.lower() == domain
