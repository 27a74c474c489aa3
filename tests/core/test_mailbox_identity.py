"""Whom a mail in a watched mailbox was for: the mailbox itself as typed, or whoever it was forwarded for."""

from __future__ import annotations

import pytest

from mailbridge.core.identity import IdentityPolicy, identify
from mailbridge.core.parse import parse
from mailbridge.core.recipients import Recipient

BOX = "ann@corp.example"
INLINE = (
    "\r\n---------- Forwarded message ---------\r\nFrom: Acme <no-reply@acme.example>\r\nDate: Wed, 25 Nov 2026 at 02:00\r\n"
    "Subject: Your code\r\nTo: <bob@other.example>\r\n\r\nYour code is 482913\r\n"
)

CASES = {
    "straight to the mailbox": ("To: ann@corp.example\r\n", "", "ann@corp.example", "To"),
    "as typed, with its tag": (
        "To: Ann+github@Corp.example\r\nDelivered-To: ann@corp.example\r\n",
        "",
        "Ann+github@Corp.example",
        "To",
    ),
    "the host's own names do not count": (
        "Delivered-To: ann@server7.hosting.example\r\nEnvelope-To: ann@corp.example\r\nTo: ann@corp.example\r\n",
        "",
        "ann@corp.example",
        "To",
    ),
    "an alias of the mailbox": (
        "Delivered-To: ann@corp.example\r\nTo: support@corp.example\r\n",
        "",
        "support@corp.example",
        "To",
    ),
    "with others in To": ("To: bob@other.example, ann@corp.example\r\n", "", "ann@corp.example", "To"),
    "a blind copy": ("Delivered-To: ann@corp.example\r\n", "", "ann@corp.example", "mailbox"),
    "forwarded by Gmail": (
        (
            "Delivered-To: ann@corp.example\r\nX-Forwarded-To: ann@corp.example\r\nX-Forwarded-For: bob@gmail.com ann@corp.example\r\n"
            "Delivered-To: bob@gmail.com\r\nTo: bob+x@gmail.com\r\n"
        ),
        "",
        "bob+x@gmail.com",
        "To",
    ),
    "forwarded by Microsoft": (
        "X-MS-Exchange-ForwardingLoop: bob@other.example;1-2\r\nTo: list@other.example\r\n",
        "",
        "bob@other.example",
        "X-MS-Exchange-ForwardingLoop",
    ),
    "for a hub, as postfix delivers it": (
        "X-Original-To: ann@corp.example\r\nDelivered-To: ann@corp.example\r\nTo: bob@other.example\r\n",
        "",
        "bob@other.example",
        "To",
    ),
    "forwarded by hand": (
        "From: bob@other.example\r\nTo: ann@corp.example\r\nSubject: Fwd: Your code\r\n",
        INLINE,
        "bob@other.example",
        "inline",
    ),
    "a list of strangers": ("To: bob@other.example, eve@other.example\r\n", "", None, None),
}


@pytest.mark.parametrize("name", CASES)
def test_who_a_mail_in_a_mailbox_was_for(name: str) -> None:
    """The identifier, and where it stood."""
    head, body, expected, source = CASES[name]
    start = "" if head.startswith("From") else "From: no-reply@acme.example\r\n"
    message = parse(f"{start}{head}\r\n{body or 'Your code is 482913'}\r\n".encode())
    found = identify(message, recipient=Recipient(rcpt=BOX, is_mailbox=True), mail_from="", policy=IdentityPolicy())
    assert (found.identifiers[:1], found.source) == ((expected,) if expected else (), source)


def test_a_mailbox_may_be_bound_to_an_identifier() -> None:
    """Then everything in it is pushed under that, whatever the mail says."""
    message = parse(b"From: a@b.example\r\nTo: bob@other.example\r\n\r\nYour code is 482913\r\n")
    recipient = Recipient(rcpt=BOX, identifier="team@corp.example", is_mailbox=True)
    assert identify(message, recipient=recipient, mail_from="", policy=IdentityPolicy()).identifiers == ("team@corp.example",)


def test_the_same_address_at_smtp_is_plumbing() -> None:
    """What makes it an identifier is the mailbox, not the address: a bridge's own address never is one."""
    message = parse(b"From: a@b.example\r\nTo: ann@corp.example\r\n\r\nYour code is 482913\r\n")
    policy = IdentityPolicy(own_addresses=(BOX,))
    assert identify(message, recipient=Recipient(rcpt=BOX), mail_from="", policy=policy).identifiers == ()
