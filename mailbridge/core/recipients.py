"""Which recipients are ours, and what an address by itself says about whom a mail is for."""

from __future__ import annotations

from collections.abc import Iterable

from mailbridge.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A recipient that we accept.

    ``rcpt`` is the address as given. ``identifier`` is set where the configuration binds the address to one,
    else None: the mail itself must tell. ``workflow_run_id``, ``workflow_id`` and ``task_id`` come from a plus tag
    (``codes+wr_123@…``, ``+w_…``, ``+tsk_…``). ``is_token`` says that the address is an unguessable one.
    ``is_mailbox``: it is the address of a mailbox that we read, to which people write in earnest, not one of our own plumbing.
    """

    rcpt: str
    identifier: str | None = None
    workflow_run_id: str | None = None
    workflow_id: str | None = None
    task_id: str | None = None
    is_token: bool = False
    is_mailbox: bool = False


RUN_TAGS = (("wr_", "workflow_run_id"), ("w_", "workflow_id"), ("tsk_", "task_id"))
"""Plus tags that carry a run: the prefixes that Skyvern gives its own ids."""

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Digits and letters that nobody takes for one another: no 0, 1, i, l, o."""

POSTMASTER = "postmaster"
"""The recipient of a mail to ``<postmaster>``, without a domain, which every server takes (RFC 5321 4.5.1)."""

RANDOM_LENGTH = 16
"""Characters of an unguessable address: 79 bits."""


class Recipients:
    """The table of recipients that are ours: configured addresses, and whole domains."""

    def __init__(self, *, addresses: Iterable[tuple[str, str | None]] = (), domains: Iterable[str] = ()) -> None:
        self._addresses = {rcpt.casefold(): identifier for rcpt, identifier in addresses}
        self._domains = frozenset(domain.casefold().rstrip(".") for domain in domains)

    def accept(self, rcpt: str) -> Recipient | None:
        """What a recipient is to us; None where it is not ours.

        A configured address also takes mail with a plus tag (RFC 5233): one that carries a run binds the code to it, any
        other means nothing. Upper and lower case are the same, as nobody gives two people ``Ann@`` and ``ann@``.
        """
        local, _, domain = rcpt.rpartition("@")
        base, _, tag = local.partition("+")
        for known in (rcpt, f"{base}@{domain}") if self._addresses else ():
            if known.casefold() in self._addresses:
                return _recipient(rcpt, self._addresses[known.casefold()], "" if known == rcpt else tag, is_token=_is_token(base))
        if domain.casefold().rstrip(".") in self._domains:
            return _recipient(rcpt, None, tag, is_token=False)
        return None


def unguessable_address(domain: str, random: bytes, *, prefix: str = "otp") -> str:
    """An address that nobody guesses, from at least 16 random octets (the caller's dice; the core has none).

    Raises:
        ValueError: fewer octets.
    """
    if len(random) < RANDOM_LENGTH:
        raise ValueError(f"needs {RANDOM_LENGTH} random octets, got {len(random)}")
    number = int.from_bytes(random, "big")
    letters = []
    for _ in range(RANDOM_LENGTH):
        number, rest = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[rest])
    return f"{prefix}-{''.join(letters)}@{domain}"


def _recipient(rcpt: str, identifier: str | None, tag: str, *, is_token: bool) -> Recipient:
    named = [name for prefix, name in RUN_TAGS if tag.startswith(prefix) and len(tag) > len(prefix)] if tag else ()
    name = next(iter(named), None)
    return Recipient(
        rcpt=rcpt,
        identifier=identifier,
        workflow_run_id=tag if name == "workflow_run_id" else None,
        workflow_id=tag if name == "workflow_id" else None,
        task_id=tag if name == "task_id" else None,
        is_token=is_token,
    )


def _is_token(local: str) -> bool:
    tail = local.rpartition("-")[2]
    return len(tail) >= RANDOM_LENGTH and all(letter in ALPHABET for letter in tail.casefold())
