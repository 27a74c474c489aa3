"""When a mail came, by its server's date and its own: what was moved in is old, and no odd clock makes a live mail old."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.arrivals import Arrivals
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.responses import Fetched
from tests.moved_time import MovedTime

MINUTE = timedelta(minutes=1)
NOW, NONE = 0.0, None


class Folder:
    """One that was looked at a second ago, and what a mail in it says, all in minutes before now."""

    def __init__(self) -> None:
        self.time = MovedTime()
        self.clock = self.time.clock()
        self.ages = Ages(now=self.clock.now, drift=lambda: self.clock.drift, counted=lambda: self.time.since_boot)
        self.arrivals = Arrivals(self.ages, MailboxStatus("box/INBOX", renew=55))

    def before(self, minutes: float) -> datetime:
        """So long before now, by a clock that is right."""
        return self.time.now() - minutes * MINUTE

    def age(self, written: float | None, received: float | None, dated: float | None, *, unseen: float = 0.02) -> float:
        """How many minutes ago a mail came."""
        form = "%a, %d %b %Y %H:%M:%S +0000"
        head = "" if received is None else f"Received: from a by b; {self.before(received).strftime(form)}\r\n"
        head += "" if written is None else f"Date: {self.before(written).strftime(form)}\r\n"
        mail = Fetched(uid=7, at=None if dated is None else self.before(dated), content=f"{head}\r\ncode 123456\r\n".encode())
        return (self.clock.now() - self.arrivals.at(mail, seen=self.clock.now() - unseen * MINUTE)) / MINUTE


@pytest.mark.parametrize(
    ("written", "received", "dated", "unseen", "expected"),
    [
        pytest.param(20.0, 20.0, NOW, 0.02, 20.0, id="moved in, dated as new"),
        pytest.param(300.0, 299.0, NOW, 0.02, 299.0, id="moved in after hours"),
        pytest.param(20.0, 20.0, NOW, 10.0, 20.0, id="moved in while nobody looked"),
        pytest.param(20.0, 20.0, 20.0, 0.02, 20.0, id="moved in, its date kept"),
        pytest.param(20.0, 20.0, NONE, 0.02, 20.0, id="moved in, not dated"),
        pytest.param(NOW, NOW, NOW, 0.02, NOW, id="live"),
        pytest.param(4.0, 4.0, NOW, 0.02, NOW, id="moved in at once"),
        pytest.param(20.0, NOW, NOW, 0.02, NOW, id="delayed, or the sender's clock behind"),
        pytest.param(NOW, 20.0, NOW, 0.02, NOW, id="the relay's clock behind"),
        pytest.param(20.0, NONE, NOW, 0.02, NOW, id="no Received, the sender's clock behind"),
        pytest.param(NONE, 20.0, NOW, 0.02, NOW, id="no Date, the relay's clock behind"),
        pytest.param(-20.0, -20.0, NOW, 0.02, NOW, id="both ahead"),
        pytest.param(20.0, -20.0, NOW, 0.02, NOW, id="one ahead"),
        pytest.param(NOW, 20.0, 20.0, 0.02, NOW, id="the server's clock behind"),
        pytest.param(15.0, 15.0, NOW, 30.0, NOW, id="came while nobody looked, dated as new"),
        pytest.param(20.0, 20.0, NOW, -60.0, NOW, id="our clock was set back by an hour"),
    ],
)
def test_only_what_was_moved_in_is_old(
    written: float | None, received: float | None, dated: float | None, unseen: float, expected: float
) -> None:
    """Both of its own dates have to be old, and one wrong clock makes only one of them old."""
    assert Folder().age(written, received, dated, unseen=unseen) == pytest.approx(expected, abs=0.1)


def test_a_known_clock_that_is_behind_makes_no_live_mail_old() -> None:
    """Where everything is dated by one clock that a canary has shown to be behind, the mail is live; what is moved in there is not."""
    folder = Folder()
    folder.arrivals.canary(folder.before(17.0), under_way=timedelta(seconds=1))
    assert folder.age(17.0, 17.0, 17.0) == pytest.approx(NOW, abs=0.1)
    assert folder.age(40.0, 40.0, 17.0) == pytest.approx(40.0, abs=0.1)


@pytest.mark.parametrize("jump", [timedelta(hours=1), -timedelta(hours=1)])
def test_a_clock_of_ours_that_was_wrong_makes_no_live_mail_old(jump: timedelta) -> None:
    """Wrong at the start and mended since: the mails' own dates go by the right time."""
    folder = Folder()
    folder.time.jump(jump)
    assert folder.age(NOW, NOW, NOW) == pytest.approx(NOW, abs=0.1)
