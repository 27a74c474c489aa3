"""What forwarders write about a recipient: each stamp by its own grammar, whole, and nothing out of anything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core import stamps
from mailbridge.core.addresses import canonical, parse_return_path_header
from mailbridge.core.identity import BEFORE_GMAIL, BEHIND_GMAIL, LATER_STAMPS, IdentityPolicy, identify
from mailbridge.core.parse import parse
from mailbridge.core.recipients import Recipient
from tests.core.forged_addresses import ANN, FORGED

BRIDGE = "codes@bridge.example"
TENANT = "0f1e2d3c-0000-0000-0000-000000000000"

HONEST: dict[str, tuple[Callable[[str], str | None], str]] = {
    "Delivered-To": (stamps.bare, ANN),
    "X-Original-To in angles": (stamps.bare, f"<{ANN}>"),
    "Exchange": (stamps.forwarding_loop, f"{ANN};{TENANT}"),
    "Exchange, folded": (stamps.forwarding_loop, f"{ANN}; {TENANT}"),
    "Gmail": (stamps.forwarding_account, f"{ANN} {BRIDGE}"),
    "Gmail, two destinations": (stamps.forwarding_account, f"{ANN} {BRIDGE}, other@bridge.example"),
    "Gmail, folded": (stamps.forwarding_account, f"{ANN}  {BRIDGE},\tother@bridge.example"),
    "Gmail, the account alone": (stamps.forwarding_account, ANN),
    "Yahoo": (stamps.yahoo, f"from {ANN} to {BRIDGE}"),
    "Outlook's redirect": (stamps.resent_from, f"<{ANN}>"),
    "redirected by hand": (stamps.resent_from, f'"Smith, Ann" <{ANN}>'),
    "Postfix": (stamps.received_for, f"from a.example (a.example [192.0.2.1]) by b (Postfix) with ESMTPS id 4 for <{ANN}>; now"),
    "Google": (
        stamps.received_for,
        f"from a by mx.google.com with ESMTPS id b-c.1.2026 for <{ANN}> (version=TLS1_3 cipher=X; bits=256/256); now",
    ),
    "Exim": (
        stamps.received_for,
        f"from [192.0.2.1] (helo=a) by b with esmtps (TLS1.3) (Exim 4.98) (envelope-from <x@y.example>) id 1a for {ANN}; now",
    ),
    "without from": (stamps.received_for, f"by b.example for <{ANN}>; now"),
    "in another order": (stamps.received_for, f"from a by b for <{ANN}> with SMTP id 7; now"),
}


@pytest.mark.parametrize("name", HONEST)
def test_each_stamp_is_read_as_its_forwarder_writes_it(name: str) -> None:
    """The account, or the recipient, of each form that has been seen."""
    read, value = HONEST[name]
    assert read(value) == ANN


OTHERS: dict[str, tuple[Callable[[str], str | None], str]] = {
    "Exchange's own copy": (stamps.forwarding_loop, f"ForwardingHandled;{TENANT}"),
    "Exchange, no tenant": (stamps.forwarding_loop, ANN),
    "Exchange, an empty tenant": (stamps.forwarding_loop, f"{ANN};"),
    "Exchange, two": (stamps.forwarding_loop, f"{ANN};{TENANT};m@evil.example;{TENANT}"),
    "Exchange, a word before": (stamps.forwarding_loop, f"x {ANN};{TENANT}"),
    "Exchange, a word behind": (stamps.forwarding_loop, f"{ANN};{TENANT} x"),
    "Exchange, an address for a tenant": (stamps.forwarding_loop, f"{ANN};m@evil.example"),
    "a web proxy": (stamps.forwarding_account, "192.0.2.7, 198.51.100.1"),
    "a web proxy and an address": (stamps.forwarding_account, f"{ANN} 192.0.2.7"),
    "Gmail, a word before": (stamps.forwarding_account, f"for {ANN} {BRIDGE}"),
    "Gmail, more destinations than any": (stamps.forwarding_account, f"{ANN} " + "x@y.example " * 100),
    "Yahoo, a word before": (stamps.yahoo, f"not from {ANN} to {BRIDGE}"),
    "Yahoo, a word behind": (stamps.yahoo, f"from {ANN} to {BRIDGE} x"),
    "Yahoo, no destination": (stamps.yahoo, f"from {ANN}"),
    "Yahoo, no address": (stamps.yahoo, f"from {ANN} to nobody"),
    "two resenders": (stamps.resent_from, f"{ANN}, m@evil.example"),
    "a client that calls itself so": (stamps.received_for, f"from for {ANN} by b; now"),
    "a client that calls itself so, in a comment": (stamps.received_for, f"from a (for <{ANN}>) by b; now"),
    "the same beside the true one": (stamps.received_for, f"from for ({ANN}) by b for <m@evil.example> for <{ANN}>; now"),
    "a comment that ends early": (stamps.received_for, f"from a (x)) by b for <{ANN}> (; now"),
    "a comment that does not end": (stamps.received_for, f"from a (x by b for <{ANN}>; now"),
    "an escaped comment": (stamps.received_for, f"from a (x \\) by b for <{ANN}>) by c; now"),
    "behind the date": (stamps.received_for, f"from a by b; now for <{ANN}>"),
    "without by": (stamps.received_for, f"from a for <{ANN}>; now"),
    "before by": (stamps.received_for, f"from a for <{ANN}> by b; now"),
    "in the place of a host": (stamps.received_for, f"from a by for {ANN}; now"),
    "more than one for": (stamps.received_for, f"from a by b for <{ANN}> for <m@evil.example>; now"),
    "words behind": (stamps.received_for, f"from a by b for <{ANN}> and <m@evil.example>; now"),
    "no date": (stamps.received_for, f"from a by b for <{ANN}>"),
    "for nobody": (stamps.received_for, "from a by b for; now"),
    "longer than any": (stamps.received_for, f"from {'a ' * 3_000} by b for <{ANN}>; now"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_value_that_does_not_fit_says_nothing(name: str) -> None:
    """Words around it, another order, half of it: no answer."""
    read, value = OTHERS[name]
    assert read(value) is None


READERS: dict[str, Callable[[str], str | None]] = {
    "bare": stamps.bare,
    "ForwardingLoop": lambda form: stamps.forwarding_loop(f"{form};{TENANT}"),
    "X-Forwarded-For": lambda form: stamps.forwarding_account(f"{form} {BRIDGE}"),
    "X-Forwarded-For, alone": stamps.forwarding_account,
    "Yahoo": lambda form: stamps.yahoo(f"from {form} to {BRIDGE}"),
    "Resent-From": stamps.resent_from,
    "Received": lambda form: stamps.received_for(f"from a by b with SMTP id 1 for {form}; now"),
    "Received, in angles": lambda form: stamps.received_for(f"from a by b with SMTP id 1 for <{form}>; now"),
    "Return-Path": parse_return_path_header,
}
OWN_GRAMMAR = {("X-Forwarded-For", "two without a comma"), ("X-Forwarded-For, alone", "two without a comma")}
"""Forms that name the mailbox after all in this header: an account and its destinations stand there with blanks between them."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FORGED)
def test_what_only_shows_a_mailbox_is_no_stamp(name: str, reader: str) -> None:
    """No form of somebody else's name becomes the account that forwards, by any reader of any stamp."""
    found = READERS[reader](FORGED[name].replace("\r\n", ""))
    assert (found is not None and canonical(found) == canonical(ANN)) is ((reader, name) in OWN_GRAMMAR)


HEADERS = {
    **{name: "{}" for name, _ in (*BEFORE_GMAIL, *BEHIND_GMAIL)},
    **dict.fromkeys(LATER_STAMPS, "{}"),
    "X-MS-Exchange-ForwardingLoop": f"{{}};{TENANT}",
    "X-Forwarded-For": f"{{}} {BRIDGE}",
    "X-Yahoo-Forwarded": f"from {{}} to {BRIDGE}",
    "Received": "from a by b for <{}>; now",
    "To": "{}",
    "Subject": "{}",
    "Return-Path": "{}",
    "Cc": "{}",
    "Resent-To": "{}",
    "X-Forwarded-To": "{}",
}


@pytest.mark.parametrize("header", HEADERS)
def test_no_header_makes_it_an_identifier(header: str) -> None:
    """Through the whole reading of a mail: no form in any header makes ann the one whose code it is, over SMTP or in a mailbox."""
    wrong = []
    for name, form in FORGED.items():
        value = HEADERS[header].format(form).encode("utf-8", "surrogateescape")
        message = parse(b"From: x@acme.example\r\n" + header.encode() + b": " + value + b"\r\n\r\nYour code is 482913\r\n")
        for mail_from in ("bounces@acme.example", form.replace("\r\n", "")):
            found = identify(
                message,
                recipient=Recipient(rcpt=BRIDGE),
                mail_from=mail_from,
                policy=IdentityPolicy(own_domains=("bridge.example",)),
            )
            if canonical(ANN) in {canonical(one) for one in found.identifiers}:
                wrong.append(name)
    assert set(wrong) <= {name for reader, name in OWN_GRAMMAR if reader == header}


@pytest.mark.parametrize("name", FORGED)
def test_in_a_mailbox_an_unclear_to_is_no_blind_copy(name: str) -> None:
    """A mail whose To names somebody in a way that nobody can read was not for the mailbox that it lies in; one without To was."""
    for head, is_for_ann in ((f"To: {FORGED[name]}\r\n", False), ("", True), ("To: undisclosed-recipients:;\r\n", True)):
        content = f"From: x@acme.example\r\n{head}\r\nYour code is 482913\r\n".encode("utf-8", "surrogateescape")
        box = Recipient(rcpt=ANN, is_mailbox=True)
        found = identify(parse(content), recipient=box, mail_from="", policy=IdentityPolicy())
        assert (canonical(ANN) in {canonical(one) for one in found.identifiers}) is is_for_ann


@given(st.text(max_size=200), st.sampled_from(sorted(READERS)))
def test_any_value_gives_a_mailbox_or_none(value: str, reader: str) -> None:
    """Total."""
    found = READERS[reader](value)
    assert found is None or found == "" or "@" in found
