"""What a mailbox's own server found (RFC 8601): the topmost Authentication-Results, if it is one that the operator named.

Only for mail that is fetched from a mailbox: there the server writes it above everything that the sender wrote. In a mail that is
sent to us it is the sender's own claim, and means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from mailbridge.trust import Finding, Proven, Unproven
from mailbridge.trust.arc import DMARC, HEADER_FROM, bare
from mailbridge.trust.raw import RawMail

DKIM_PASS = re.compile(r"(?i)^\s*dkim\s*=\s*pass\b")
SIGNER = re.compile(
    r"(?i)(?<![^\s;])header\.d\s*=\s*([a-z0-9.-]{1,253})(?![^\s;])|(?<![^\s;])header\.i\s*=\s*[^@\s;]{0,64}@([a-z0-9.-]{1,253})(?![^\s;])"
)


def check(mail: RawMail, *, sender: str, servers: Collection[str]) -> Finding:
    """Whether the mailbox's server found the mail genuine. ``servers`` are the authserv-ids that are named. Total."""
    if not sender:
        return Unproven(by="authres", why="the mail has not exactly one From address")
    if mail.doubt:
        return Unproven(by="authres", why=mail.doubt)
    topmost = next(iter(mail.values("authentication-results")), None)
    if topmost is None:
        return Unproven(by="authres", why="its mailbox's server wrote no Authentication-Results")
    text = bare(topmost)
    server, *results = text.split(";")
    name = (server.split() or [""])[0].lower()
    if name not in {one.lower() for one in servers}:
        return Unproven(
            by="authres", why=f"its topmost Authentication-Results is of {name[:100] or 'nobody'}, which is not named"
        )
    domain = sender.rpartition("@")[2].lower()
    for result in results:
        verdict = DMARC.search(result)
        if verdict is not None and verdict[1].lower() == "pass":
            named = HEADER_FROM.findall(result)
            if named and all(one.lower() == domain for one in named):
                return Proven(by="authres", detail=f"{name} found dmarc=pass for {domain}", named=None)
        if DKIM_PASS.match(result) and any((d or i).lower() == domain for d, i in SIGNER.findall(result)):
            return Proven(by="authres", detail=f"{name} found the signature of {domain}", named=None)
    return Unproven(by="authres", why=f"{name} found neither dmarc=pass nor a signature of {domain}")
