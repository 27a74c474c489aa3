"""What a mailbox's server and the operator's seal say, and when they say nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.trust import Proven, Unproven, authres, raw
from mailbridge.trust.seal import VALID_FOR, Sealer, without
from tests.peers import signer
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
        found = authres.check(raw.read(mail(above=line)), sender=SENDER, servers={"mx.mailbox.example"}, now=NOW)
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
        AR + "mx.mailbox.example; dmarc=pass header.from=acme.example_x.evil.example",
        AR + "mx.mailbox.example; dmarc=pass header.from=acme.example@evil.example",
        AR + "mx.mailbox.example; dmarc=pass header.from=acme.example\u00e9.evil.example",
        AR + "mx.mailbox.example; dmarc=pass smtp.mailfrom=header.from=acme.example",
        AR + "mx.mailbox.example; dkim=pass header.d=acme.example_x.evil.example",
        AR + "mx.mailbox.example; dkim=pass header.i=@acme.example_x.evil.example",
        AR + "mx.mailbox.example; dkim=pass header.i=x@acme.example@evil.example",
        AR + "mx.mailbox.example; dkim=pass smtp.mailfrom=header.d=acme.example",
    ],
)
def test_other_results_are_not_believed(above: str) -> None:
    """Results of another server, of another domain, below the topmost, or in a comment prove nothing."""
    found = authres.check(raw.read(mail(above=above)), sender=SENDER, servers={"mx.mailbox.example"}, now=NOW)
    assert isinstance(found, Unproven)


def whom(content: bytes) -> frozenset[str]:
    """Whom a mail that the mailbox's server found genuine was for, beside the author."""
    found = authres.check(raw.read(content), sender=SENDER, servers={"mx.mailbox.example"}, now=datetime.now(UTC))
    assert isinstance(found, Proven), found
    return found.named - {SENDER}


def test_a_mailboxs_server_says_who_wrote_never_for_whom() -> None:
    """Whom a fetched mail was for is said by signed headers, by headers that came straight from the author, or by the server's stamp."""
    ann, box = {"ann@corp.example"}, {"box@mailbox.example"}
    top = b"Authentication-Results: mx.mailbox.example; %sdmarc=pass header.from=acme.example\r\n"
    stamp = b"Delivered-To: box@mailbox.example\r\n"
    short = ("from", "subject", "date")

    def by_acme(**more: str) -> bytes:
        return signer.dkim(mail(**more), "acme.example")

    silent = signer.dkim(mail(), "acme.example", headers=short)
    assert whom(top % b"" + by_acme()) == ann
    assert whom(stamp + top % b"" + by_acme()) == ann  # what the author says leaves no room for the server's word
    assert whom(top % b"" + b"Cc: box@mailbox.example\r\n" + by_acme()) == ann
    assert whom(top % b"" + silent) == set()
    assert whom(stamp + top % b"" + silent) == box
    assert whom(b"X-Original-To: box@mailbox.example\r\n" + top % b"" + silent) == box
    assert whom(top % b"" + stamp + silent) == set()
    assert whom(stamp + top % b"" + by_acme(to="undisclosed-recipients:;")) == box
    assert whom(stamp + b"Message-ID: <x@y.example>\r\n" + top % b"" + silent.replace(b"Message-ID", b"X-Id")) == set()
    assert whom(top % b"" + signer.dkim(silent, "acme.example")) == set()  # which of the two was found genuine is not said
    assert whom(top % b"" + mail()) == ann  # not signed: so it was SPF that passed
    assert whom(top % b"spf=fail smtp.mailfrom=evil.example; " + mail()) == set()
    assert whom(top % b"spf=pass smtp.mailfrom=b@bounce.acme.example; " + silent) == ann
    for spf in (
        b"spf=pass smtp.mailfrom=evil.example; ",
        b"spf=neutral; ",
        b"spf=pass smtp.mailfrom=b@notacme.example; ",
        b"x=y; ",
    ):
        assert whom(top % spf + silent) == set()
    both = b"spf=pass smtp.mailfrom=acme.example; spf=fail smtp.mailfrom=evil.example; "
    assert whom(top % both + silent) == set()


def test_what_a_mailboxs_server_found_genuine_may_be_too_old() -> None:
    """A genuine mail of last week that somebody sends again is no proof, by its signature's time or by its Date."""
    top = b"Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example\r\n"
    for more in ({"t": "1600000000"}, {"t": None}, {"x": "1600000000"}):
        content = top + signer.dkim(mail(), "mail.acme.example", more=more)
        found = authres.check(
            raw.read(content), sender=SENDER, servers={"mx.mailbox.example"}, now=datetime.now(UTC) + timedelta(days=9)
        )
        assert isinstance(found, Unproven), more


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
