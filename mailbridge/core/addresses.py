"""Mail addresses, read strictly: the recipient is the routing key, so nothing in it is guessed, decoded or repaired."""

from __future__ import annotations

import re
import unicodedata

from mailbridge.core.url import ascii_host

MAX_LOCAL = 64
MAX_ADDRESS = 254
MAX_RETURN_LOCAL = 512
"""Characters of a sender's local part: forwarders write whole addresses into it (Gmail's ``+caf_=…``, SRS, VERP), over the 64."""

ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
LOCAL = re.compile(rf"{ATEXT}+(?:\.{ATEXT}+)*")
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?")
HOST = re.compile(r"(?=[a-z0-9])[a-z0-9_-]{0,62}[a-z0-9](?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)*\.?")
"""A domain, in lower case, with underscores in its labels, as some senders have it."""

LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]")
MAILBOX = re.compile(rf"{LOCAL.pattern}@(?:{DOMAIN.pattern}|{LITERAL.pattern})")
ENCODED = re.compile(r"=\?[^?]*\?[BbQq]\?")
RETURN_LOCAL = re.compile(rf"(?:{ATEXT}|\.){{1,{MAX_RETURN_LOCAL}}}")
RETURN_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})")
CAF = re.compile(r"(?i)([A-Za-z0-9.!#$%&'*+/?^_`{|}~-]{1,64}?)\+caf_=([^@]{3,320})@([^@]{1,253})")
"""Gmail's envelope of a forward. No ``=`` in the account: Google allows none, and rewritten envelopes (SRS, BATV) have one before it."""

UPPER_TO_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
GMAIL = frozenset({"gmail.com", "googlemail.com"})


def parse_mailbox(text: str) -> str | None:
    """The mailbox (RFC 5321 4.1.2) that ``text`` is, unchanged but for a final dot of the domain; None if it is none.

    Dot-string local parts only: quoted strings, comments, encoded words, source routes, white space and anything that is not
    ASCII are refused, although RFC 5321 allows some of them, since no code mail needs them and each has been a way in.
    """
    if len(text) > MAX_ADDRESS or MAILBOX.fullmatch(text) is None:
        return None
    if text.index("@") > MAX_LOCAL or ("=?" in text and ENCODED.search(text)):
        return None
    return text.removesuffix(".")


def parse_author(text: str) -> str | None:
    """The mailbox of a From that `parse_mailbox` does not take for a recipient; None where it is none.

    It may have letters beyond ASCII (RFC 6531, RFC 6532), its domain then given in its ASCII form; a local part of over 64 characters, as
    services write that put a number of theirs into it; and underscores in its domain. None also where a letter is another way to write an ASCII one (a full-width letter, a long s): it would look like another mailbox.
    """
    local, _, domain = text.rpartition("@")
    labels, plain = domain.split("."), ascii_host(domain)
    mapped = plain.split(".")
    is_plain = len(labels) == len(mapped) and all(
        one.isascii() or to.startswith("xn--") for one, to in zip(labels, mapped, strict=True)
    )
    if not is_plain or not text.isprintable() or any(not one.isascii() and _is_dressed(one) for one in local):
        return None
    shape = "".join(one if one.isascii() else "x" for one in local)
    if not LOCAL.fullmatch(shape) or ENCODED.search(shape) or len(local) + len(plain) >= MAX_ADDRESS:
        return None
    return f"{local}@{plain.removesuffix('.')}" if HOST.fullmatch(plain) else None


def _is_dressed(letter: str) -> bool:
    return (
        unicodedata.normalize("NFKC", letter).casefold().isascii() or unicodedata.normalize("NFKC", letter.casefold()).isascii()
    )


def parse_return_path(text: str) -> str | None:
    """The sender of an envelope, unchanged; None where it is none. Nothing is routed by it, so it may be longer and looser than
    a recipient: dots in any place, underscores in the domain. The characters are no others, for it is stored and shown."""
    local, at, domain = text.rpartition("@")
    if not at or not RETURN_LOCAL.fullmatch(local) or ENCODED.search(local):
        return None
    if LITERAL.fullmatch(domain) or RETURN_DOMAIN.fullmatch(domain):
        return text
    return None


def split(address: str) -> tuple[str, str]:
    """Local part and domain, at the last ``@``."""
    local, _, domain = address.rpartition("@")
    return local, domain


def canonical(address: str) -> str:
    """The mailbox behind an address's spellings: case, ``+tag``, a final dot, and Gmail's dots and second domain folded away.

    For comparing only: two addresses with one canonical form are the same mailbox at every large provider. Letters that are not
    ASCII are compared as they are: no look-alike (a long s, a full-width letter) is folded to the letter that it resembles.
    """
    local, _, domain = (address.lower() if address.isascii() else address.translate(UPPER_TO_LOWER)).rpartition("@")
    domain = domain.removesuffix(".")
    local = local.partition("+")[0] or local
    if domain in GMAIL:
        return f"{local.replace('.', '') or local}@gmail.com"
    return f"{local}@{domain}"


def parse_sole_mailbox(text: str) -> str | None:
    """The mailbox that is all of ``text``, in angles or bare, blanks around it apart; None where there is anything else."""
    return parse_mailbox(_without_angles(text))


def parse_return_path_header(text: str) -> str:
    """The address of a Return-Path header (RFC 5321 4.4), for `parse_return_path`; ``""`` for the null sender and where there is none."""
    return parse_return_path(_without_angles(text)) or ""


def _without_angles(text: str) -> str:
    bare = text.strip(" \t")
    return bare[1:-1] if bare.startswith("<") and bare.endswith(">") else bare


def parse_forwarding_envelope(mail_from: str) -> tuple[str, str] | None:
    """The account that forwards and the destination, with its ``@`` as ``=``, of Gmail's ``account+caf_=destination@domain``.

    None for every other envelope: no recipient is read out of SRS, VERP or BATV, whatever they wrap.
    """
    found = CAF.fullmatch(mail_from) if "=" in mail_from else None
    account = parse_mailbox(f"{found[1]}@{found[3]}") if found is not None else None
    return (account, found[2]) if found is not None and account is not None else None
