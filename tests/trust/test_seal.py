"""The operator's own seal: for which mail, recipient and minutes it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.trust.seal import Sealer, without
from tests.trust.mails import RCPT, mail

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTES = timedelta(minutes=2)
INSTANT = timedelta(microseconds=1)


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
    assert sealer.read(sealed, rcpt=RCPT, now=NOW + MINUTES + timedelta(seconds=1)) is None
    assert Sealer(b"x" * 32).read(sealed, rcpt=RCPT, now=NOW) is None
    assert sealer.read(mail(), rcpt=RCPT, now=NOW) is None
    assert sealer.read(b"X-Mailbridge-Seal: nonsense\r\n" + mail(), rcpt=RCPT, now=NOW) is None


@pytest.mark.parametrize(
    ("after", "is_valid"),
    [
        (timedelta(0), True),
        (MINUTES, True),
        (-MINUTES, True),
        (MINUTES + INSTANT, False),
        (-MINUTES - INSTANT, False),
    ],
)
def test_a_seal_is_for_the_moment(after: timedelta, is_valid: bool) -> None:
    """It holds for two minutes, and as long before, where two clocks differ; not an instant longer."""
    sealer = Sealer(b"k" * 32)
    sealed = sealer.make(mail(), rcpt=RCPT, mail_id=7, received_at=NOW, now=NOW)
    assert (sealer.read(sealed, rcpt=RCPT, now=NOW + after) is not None) is is_valid


@pytest.mark.parametrize("content", [b"A: b\n\ntext", b"A: b\r\n\r\ntext", b"A: b\n\r\ntext\n", b"A: b\r\n\r\ntext\r\n"])
def test_a_mail_is_sealed_as_it_will_arrive(content: bytes) -> None:
    """Every line ends as SMTP has it, the last one too, before the seal is made."""
    sealer = Sealer(b"k" * 32)
    sealed = sealer.make(content, rcpt=RCPT, mail_id=0, received_at=NOW, now=NOW)
    assert without(sealed) == b"A: b\r\n\r\ntext\r\n"
    assert sealer.read(sealed, rcpt=RCPT, now=NOW) is not None
    assert without(content) == content
