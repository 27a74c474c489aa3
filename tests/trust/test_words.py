"""What a mailbox's server and the operator's seal say, and when they say nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.trust import Proven, Unproven, authres, raw
from mailbridge.trust.seal import VALID_FOR, Sealer, without
from tests.trust.mails import RCPT, mail

SENDER = "no-reply@acme.example"
AR = "Authentication-Results: "
DMARC = AR + "mx.mailbox.example; spf=fail; dmarc=pass (p=none) header.from=acme.example"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_the_mailboxs_own_server_is_believed() -> None:
    """The topmost Authentication-Results of a named server proves by DMARC, or by a signature of From's domain."""
    for line in (
        DMARC,
        AR + "mx.mailbox.example 1; dkim=pass header.d=acme.example",
        AR + "mx.mailbox.example; dkim=pass header.i=@acme.example",
    ):
        found = authres.check(raw.read(mail(above=line)), sender=SENDER, servers={"mx.mailbox.example"})
        assert isinstance(found, Proven), line


@pytest.mark.parametrize(
    "above",
    [
        "",
        AR + "mx.evil.example; dmarc=pass header.from=acme.example",
        AR + "mx.evil.example; x=y\n" + DMARC,
        AR + "mx.mailbox.example; dmarc=fail header.from=acme.example\n" + DMARC,
        AR + "mx.mailbox.example; dmarc=pass header.from=evil.example",
        AR + "mx.mailbox.example; dmarc=pass",
        AR + "mx.mailbox.example; dkim=pass header.d=evil.example",
        AR + "mx.mailbox.example; dkim=fail header.d=acme.example",
        AR + "mx.mailbox.example; spf=fail (dmarc=pass header.from=acme.example)",
        AR + "mx.mailbox.example; xdkim=pass header.d=acme.example",
        AR + "mx.mailbox.example; spf=fail (a ( b ) dmarc=pass header.from=acme.example ( c ))",
        AR + 'mx.mailbox.example; spf=fail smtp.mailfrom="; dmarc=pass header.from=acme.example"@evil.example',
        AR + "(mx.mailbox.example) mx.evil.example; dmarc=pass header.from=acme.example",
    ],
)
def test_other_results_are_not_believed(above: str) -> None:
    """Results of another server, of another domain, below the topmost, or in a comment prove nothing."""
    found = authres.check(raw.read(mail(above=above)), sender=SENDER, servers={"mx.mailbox.example"})
    assert isinstance(found, Unproven)


def test_the_operators_seal_holds_for_its_mail_alone() -> None:
    """A seal is read for the mail, recipient, key and minutes that it was made for; any other gives None."""
    sealer = Sealer(b"k" * 32)
    came = NOW - timedelta(minutes=5)
    content = mail()
    sealed = sealer.make(content, rcpt=RCPT, mail_id=7, received_at=came, now=NOW)
    found = sealer.read(sealed, rcpt=RCPT.upper(), now=NOW)
    assert found is not None
    assert (found.mail_id, found.received_at) == (7, came)
    assert without(sealed) == content
    assert sealer.make(sealed, rcpt=RCPT, mail_id=7, received_at=came, now=NOW) == sealed
    assert sealer.read(sealed.replace(b"482913", b"111111"), rcpt=RCPT, now=NOW) is None
    assert sealer.read(sealed.replace(b"n=7;", b"n=8;"), rcpt=RCPT, now=NOW) is None
    assert sealer.read(sealed, rcpt="other@bridge.example", now=NOW) is None
    assert sealer.read(sealed, rcpt=RCPT, now=NOW + VALID_FOR + timedelta(seconds=1)) is None
    assert Sealer(b"x" * 32).read(sealed, rcpt=RCPT, now=NOW) is None
    assert sealer.read(mail(), rcpt=RCPT, now=NOW) is None
    assert sealer.read(b"X-Mailbridge-Seal: nonsense\r\n" + mail(), rcpt=RCPT, now=NOW) is None
