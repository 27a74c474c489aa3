"""The gate for mail that is fetched from a mailbox: its server's word counts, and the mailbox never stands still."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mailbridge.config import settings as s
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Stored
from mailbridge.store import MailRow
from tests.peers import signer
from tests.peers.house import House, house
from tests.trust.mails import mail

RESULTS = "Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example"


def fetched(one: House, content: bytes) -> MailRow:
    """What becomes of a mail that comes in by IMAP."""
    envelope = Envelope(
        mail_from="",
        rcpt_to=("codes@bridge.example",),
        content=content,
        received_at=datetime.now(UTC),
        ingress="imap",
        is_fetched=True,
        can_wait=False,
    )
    answer = one.do(lambda: one.running.door.intake.accept(envelope))
    assert isinstance(answer, Stored)
    return one.row(answer.receipt.mail_id)


def test_a_named_servers_results_are_a_proof_there_and_only_there(tmp_path: Path) -> None:
    """The same header proves a mail that was fetched and nothing of one that was sent; another server's proves nothing."""
    with house(tmp_path, trust=s.TrustSettings(authserv_ids=("mx.mailbox.example",), senders=("*", "*@acme.example"))) as one:
        row = fetched(one, mail("Your code is 400001.", above=RESULTS))
        assert row.trust == "authres: mx.mailbox.example found dmarc=pass for acme.example"
        assert len(one.deliveries(row.id)) == 1
        row = fetched(one, mail("Your code is 400002.", above=RESULTS.replace("mailbox", "evil")))
        assert "authres: its topmost Authentication-Results is of mx.evil.example" in row.held[0]
        assert "[trust] authserv_ids" in row.held[0]
        reply = one.send(mail("Your code is 400003.", above=RESULTS), rcpt="codes@bridge.example")
        assert one.deliveries(reply.mail_id) == ()


def test_silence_of_dns_holds_a_fetched_mail(tmp_path: Path) -> None:
    """A mailbox goes on to its next mail: what cannot be looked up is held, and says so."""
    with house(tmp_path) as one:
        one.dns.broken["s1._domainkey.acme.example"] = "servfail"
        row = fetched(one, signer.dkim(mail("Your code is 400004."), "acme.example"))
        assert "no answer for s1._domainkey.acme.example" in row.held[0]
        assert one.deliveries(row.id) == ()
