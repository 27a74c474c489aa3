"""A mail that was written to several mailboxes: whether it may be treated as a mail for one of them.

A careless site writes a name that its user chose into To without quotes. ``ann@corp.example, x <m@evil.example>`` is then two
mailboxes. So if a stranger's mailbox is also named, it is not certain for whom the mail is. A second mailbox of the sender's
organization is allowed if a proof says for whom the mail is.
"""

from __future__ import annotations

from collections.abc import Callable

from mailbridge.core.addresses import canonical, split
from mailbridge.trust import Proven
from mailbridge.trust.dkim import is_aligned
from mailbridge.trust.platforms import platforms

ELSEWHERE = "but for somebody else than it is to be pushed for"
UNSIGNED = "but the signature does not cover To, and nobody else who knows says for whom it was"
NOBODY = "but its To names nobody, and nobody else who knows says for whom it was"


def unnamed(proof: Proven) -> str:
    """Why a proof does not say that the mail is for the mailbox for which it would be pushed."""
    return ELSEWHERE if proof.written or proof.by == "forwarder" else NOBODY if proof.is_to_signed else UNSIGNED


def others(proof: Proven, address: str, *, sender: str, is_own: Callable[[str], bool]) -> frozenset[str]:
    """The other mailboxes that the author's signed To and Cc name; "" for those that cannot be read.

    Empty if a reliable source names this mailbox alone (``proof.sure``). Our own relay addresses (``is_own``) and mailboxes of
    the author's organization do not count, because no code was for them.
    """
    wanted = canonical(address)
    if wanted in proof.sure:
        return frozenset()
    return frozenset(one for one in proof.written if one != wanted and not (is_own(one) or is_neighbour(one, sender)))


def is_neighbour(address: str, other: str) -> bool:
    """Whether two mailboxes belong to one organization. Two mailboxes at a public mailbox provider do not."""
    domain, beside = split(address)[1].lower(), split(other)[1].lower()
    return bool(domain) and is_aligned(domain, beside) and not {domain, beside} & platforms().mailboxes
