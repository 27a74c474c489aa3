"""Whom a mail was for where the author's signed To says nothing, as a table: who may say it, and who may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailbridge.core.mail import Envelope
from mailbridge.trust import Proven, direct, raw
from tests.loop import looped
from tests.peers.zone import Zone

BOX, ANN, BOB = "box@corp.example", "ann@corp.example", "bob@corp.example"
NOBODY: frozenset[str] = frozenset()
DKIM = Proven(by="dkim", detail="signed", named=frozenset({"a@acme.example"}))
SENT = Envelope(
    mail_from="b@mail.acme.example", rcpt_to=(BOX,), content=b"", received_at=datetime.now(UTC), ingress="smtp", peer="192.0.2.1"
)
FETCHED = replace(SENT, ingress="imap", is_fetched=True, peer="")
TRACE = "Received: from x by mx.corp.example; x"


def zone() -> Zone:
    """Acme's own server, and Google's, which Acme's domain lists too."""
    found = Zone()
    for domain in ("acme.example", "mail.acme.example"):
        found.texts[domain] = ("v=spf1 ip4:192.0.2.1 include:_spf.google.com -all",)
    found.texts["acme.zendesk.com"] = ("v=spf1 ip4:192.0.2.1 -all",)
    found.texts["evil.example"] = ("v=spf1 +all",)
    found.texts["gmail.com"] = ("v=spf1 redirect=_spf.google.com",)
    found.texts["_spf.google.com"] = ("v=spf1 ip4:209.85.128.0/17 ~all",)
    return found


async def named(proof: Proven, envelope: Envelope, *lines: str, sender: str = "a@acme.example") -> Proven:
    """The proof of a mail with these header lines."""
    content = "".join(f"{line}\r\n" for line in (*lines, "From: a@acme.example", "", "Hello")).encode()
    return await direct.with_recipients(proof, raw.read(content), envelope, sender=sender, dns=zone())


@looped
async def test_the_authors_server_names_the_recipient_and_to() -> None:
    """Beside what the signature named; what cannot be read stands among what is written, and is no mailbox."""
    found = await named(DKIM, SENT, f"To: {ANN}", "Cc: Bob <bob@corp.example")
    assert found.named == {"a@acme.example", ANN, BOX}
    assert found.written == {ANN, ""}
    assert found.sure == NOBODY
    loud = replace(SENT, mail_from="b@MAIL.acme.example")
    assert BOX in (await named(DKIM, loud, sender="a@ACME.example")).named


@pytest.mark.parametrize(
    ("proof", "envelope", "sender"),
    [
        (replace(DKIM, written=frozenset({BOB})), SENT, "a@acme.example"),
        (replace(DKIM, by="arc"), SENT, "a@acme.example"),
        (DKIM, replace(SENT, peer="192.0.2.2"), "a@acme.example"),
        (DKIM, replace(SENT, peer="209.85.167.1"), "a@acme.example"),
        (DKIM, replace(SENT, peer="unix"), "a@acme.example"),
        (DKIM, replace(SENT, mail_from="b@without-policy.acme.example"), "a@acme.example"),
        (DKIM, replace(SENT, mail_from="b@ACME.Zendesk.com"), "a@acme.zendesk.com"),
        (DKIM, replace(SENT, mail_from=""), "a@acme.example"),
        (DKIM, replace(SENT, mail_from="b@evil.example"), "a@acme.example"),
        (DKIM, SENT, "a@other.example"),
    ],
)
@looped
async def test_nobody_else_names_anybody(proof: Proven, envelope: Envelope, sender: str) -> None:
    """Not where the author has said it, not under a seal, not from another's server, or one of Google's, or by another's envelope."""
    assert await named(proof, envelope, f"To: {ANN}", sender=sender) == proof


@looped
async def test_googles_own_mails_come_from_its_servers() -> None:
    """There the server is the author's alone."""
    envelope = replace(SENT, mail_from="b@gmail.com", peer="209.85.167.1")
    assert BOX in (await named(DKIM, envelope, sender="a@gmail.com")).named


@pytest.mark.parametrize("name", ["Delivered-To", "X-Original-To", "X-Delivered-To", "Envelope-To"])
@looped
async def test_a_mailboxs_stamp_above_its_trace_names_it(name: str) -> None:
    """And for certain, whatever it is called."""
    found = await named(DKIM, FETCHED, f"{name}: {BOX}", TRACE)
    assert found.named == {"a@acme.example", BOX}
    assert found.sure == {BOX}
    assert (await named(DKIM, FETCHED, f"{name}: {BOX}", TRACE, f"To: {BOX}")).sure == {BOX}


@pytest.mark.parametrize(
    "lines",
    [
        (TRACE, f"Delivered-To: {BOX}"),
        (f"Delivered-To: {BOX}",),
        (f"Delivered-To: {BOX}", TRACE, f"To: {ANN}"),
        (f"Delivered-To: {ANN}", TRACE),
        (f"Delivered-To: {BOX}", f"X-Original-To: {ANN}", TRACE),
        (f"Delivered-To: {BOX}", "Subject: x", TRACE),
        (TRACE,),
    ],
)
@looped
async def test_a_stamp_that_anybody_may_have_written_names_nobody(lines: tuple[str, ...]) -> None:
    """Below the trace, without one, beside another To or another stamp, or among what the author wrote."""
    assert await named(DKIM, FETCHED, *lines) == DKIM
