"""What forwarders and receivers write about a mail's recipient: each stamp by its own grammar, over its whole value.

A value that does not fit says nothing. Nothing is searched for: an address inside something else is somebody's name or trick.
"""

from __future__ import annotations

import re

from mailbridge.core.address_list import read_author
from mailbridge.core.addresses import parse_mailbox, parse_sole_mailbox

ADDRESS_HEADERS = frozenset(
    {
        "delivered-to",
        "envelope-to",
        "received",
        "resent-from",
        "x-delivered-to",
        "x-envelope-to",
        "x-forwarded-for",
        "x-gm-original-to",
        "x-ms-exchange-forwardingloop",
        "x-ms-exchange-inbox-rules-loop",
        "x-original-to",
        "x-pm-forwarded-from",
        "x-rcpt-to",
        "x-simplelogin-envelope-to",
        "x-yahoo-forwarded",
    }
)
"""The headers that are read here, as they are written: an encoded word in them is no address (RFC 2047 5)."""

LOOP = re.compile(r"[ \t]*([^;\s]{3,254})[ \t]*;[ \t]*([0-9A-Za-z-]{1,64})[ \t]*")
YAHOO = re.compile(r"[ \t]*from[ \t]+(\S{3,254})[ \t]+to[ \t]+(\S{3,254})[ \t]*")
BETWEEN = re.compile(r"[ \t]*,[ \t]*|[ \t]+")
BLANKS = re.compile(r"[ \t]+")
MAX_DESTINATIONS = 50
MAX_RECEIVED = 4_000
MARK = re.compile(r"[()\\]")
CLAUSES = frozenset({"from", "by", "via", "with", "id"})
"""What may stand behind the ``for`` clause of a Received header, as some servers order them."""


def bare(value: str) -> str | None:
    """Of the stamps that are one address: Delivered-To, X-Original-To, Envelope-To, X-Gm-Original-To and their like."""
    return parse_sole_mailbox(value)


def forwarding_loop(value: str) -> str | None:
    """Of Exchange's ``X-MS-Exchange-ForwardingLoop: address;tenant``; for the copy that stays, it has a word in the address's place."""
    found = LOOP.fullmatch(value)
    return parse_mailbox(found[1]) if found else None


def forwarding_account(value: str) -> str | None:
    """Of Gmail's and Cloudflare's ``X-Forwarded-For: account destination, destination``: the account.

    Web proxies write network addresses into a header of that name, which are none.
    """
    parts = BETWEEN.split(value.strip(" \t"), maxsplit=MAX_DESTINATIONS)
    mailboxes = [parse_mailbox(part) for part in parts]
    return mailboxes[0] if None not in mailboxes else None


def yahoo(value: str) -> str | None:
    """Of Yahoo's ``X-Yahoo-Forwarded: from account to destination``: the account."""
    found = YAHOO.fullmatch(value)
    return parse_mailbox(found[1]) if found and parse_mailbox(found[2]) is not None else None


def resent_from(value: str) -> str | None:
    """Of Resent-From (RFC 5322 3.6.6), which is written as a From is: the one mailbox."""
    return next(iter(read_author(value).addresses), None)


def received_for(value: str) -> str | None:
    """Of a Received header (RFC 5321 4.4): the one address of its one ``for`` clause.

    Host names and comments are what a client has called itself, with whatever words it liked. So comments are taken out, and the
    clause stands behind ``by``, where the server itself has written.
    """
    text = _without_comments(value) if len(value) <= MAX_RECEIVED else None
    words = BLANKS.split(text.partition(";")[0].strip(" \t")) if text is not None and ";" in text else []
    folded = [word.lower() for word in words]
    if folded.count("for") != 1 or "by" not in folded:
        return None
    at = folded.index("for")
    if at < folded.index("by") + 2 or len(words) < at + 2 or not (len(words) == at + 2 or folded[at + 2] in CLAUSES):
        return None
    return parse_sole_mailbox(words[at + 1])


def _without_comments(text: str) -> str | None:
    """The text with a blank for each comment; None where they do not come out even."""
    kept: list[str] = []
    depth = position = 0
    while (mark := MARK.search(text, position)) is not None:
        if depth == 0:
            kept.append(text[position : mark.start()])
        position = mark.end()
        match mark.group():
            case "(":
                depth += 1
                kept.append(" ")
            case ")":
                depth -= 1
                if depth < 0:
                    return None
            case _ if depth:
                position += 1
            case _:
                kept.append("\\")
    return None if depth else "".join(kept) + text[position:]
