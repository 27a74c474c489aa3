"""The dialogues of order that were handed out: the older of two mails comes last, and the newer one stays the newest."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from mailbridge.config import settings as s
from tests.peers.house import House, house
from tests.trust.mails import mail

STEP = re.compile(r"Date (\d\d:\d\d:\d\d).*?code (\d+)")
UNSIGNED: dict[str, s.Trust] = {"nobody asks": "none", "an unguessable address": "token"}


def newest(one: House, mails: list[tuple[timedelta, str]], rcpt: str) -> str:
    """Send codes that were written so long ago, in this order; which is the target's newest."""
    for age, number in mails:
        at = format_datetime(datetime.now(UTC) - age).encode()
        content = mail(f"Your code is {number}.", to="o1@corp.example").replace(b"Wed, 25 Nov 2026 09:57:25 +0000", at)
        one.deliveries(one.send(content, rcpt=rcpt).mail_id)
    return one.receiver.rows("o1@corp.example")[0].content


@pytest.mark.parametrize("way", UNSIGNED)
def test_the_older_of_two_that_comes_late_is_not_pushed(tmp_path: Path, shared: Path, way: str) -> None:
    """As handed out: the first mail was written a minute after the second."""
    text = (shared / "handout" / "order-01-late-older-mail.txt").read_text(encoding="utf-8")
    steps = [(datetime.strptime(at, "%H:%M:%S").replace(tzinfo=UTC), number) for at, number in STEP.findall(text)]
    assert len(steps) == 2
    last = max(at for at, _ in steps)
    rcpt = "otp-7m3k9q2wxy8vhtnc@bridge.example"
    with house(tmp_path, address=(s.AddressSettings(rcpt=rcpt, trust=UNSIGNED[way]),)) as one:
        assert newest(one, [(last - at, number) for at, number in steps], rcpt) == max(steps)[1]
