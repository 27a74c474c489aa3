"""Floods: put off for whom they are meant, and not felt by anybody else."""

from __future__ import annotations

import contextlib
import smtplib
import threading
from pathlib import Path
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.core.buckets import MOST_KEYS, TokenBuckets
from mailbridge.intake.admission import Admission, By, Rates
from tests.peers.house import PATIENCE, house
from tests.trust.mails import mail

BOMBED = "otp-7m3k9q2wxy8vhtnc@bridge.example"
OTHER = "otp-h4d8s2jk9w7q3vzn@bridge.example"


def test_a_bucket_holds_ten_minutes_worth_and_fills_evenly() -> None:
    """Ten minutes' worth at once, then one for each share of the minute; 0 never runs out, and nobody is nobody."""
    bucket = TokenBuckets(rate=1.0, burst=600)
    for _ in range(600):
        assert bucket.has("a", 0.0)
        bucket.take("a", 0.0)
    assert not bucket.has("a", 0.5)
    assert bucket.has("a", 1.0)
    assert bucket.has("b", 0.0)
    free = TokenBuckets(rate=0, burst=0)
    free.take("a", 0.0)
    assert free.has("a", 0.0)
    for _ in range(1_000):
        bucket.take("", 0.0)
    assert bucket.has("", 0.0)


def test_buckets_are_bounded() -> None:
    """Strangers cannot fill the memory with names."""
    bucket = TokenBuckets(rate=1.0, burst=10)
    for number in range(MOST_KEYS + 100):
        bucket.take(str(number), 0.0)
    assert len(bucket) == MOST_KEYS


def test_a_bucket_that_is_full_again_is_forgotten() -> None:
    """Names that come once take no memory for longer than their bucket needs to fill; one in debt is remembered all the same."""
    bucket = TokenBuckets(rate=1.0, burst=10)
    most = 0
    for number in range(5_000):
        bucket.take(str(number), number / 10)
        most = max(most, len(bucket))
    assert most < 20
    for _ in range(40):
        bucket.spend("flood", 1_000.0)
    for number in range(100):
        bucket.take(str(number), 1_000.0 + number / 10)
    assert not bucket.has("flood", 1_010.0)
    assert bucket.has("flood", 1_031.0)


def test_each_kind_has_buckets_of_its_own() -> None:
    """A recipient that is over says nothing of the sender, and whoever counts is told of which kind it was."""
    told: list[By] = []
    rates = Rates(recipient=1, sender=5, client=5)
    floods = Admission(is_ours=lambda _: True, memory=0, rates=rates, on_flood=told.append)
    for _ in range(10):
        floods.count(recipients=("r",), sender="s", client="c", now=0.0)
    assert floods.is_over("recipient", "r", 0.0)
    assert not floods.is_over("sender", "s", 0.0)
    assert not floods.is_over("client", "c", 0.0)
    assert told == ["recipient"]


@pytest.mark.parametrize(("key", "by"), [("rate_sender", "sender"), ("rate_recipient", "recipient")])
def test_who_sends_too_many_is_told_to_come_again(tmp_path: Path, key: str, by: str) -> None:
    """The mail above the limit gets 451 4.7.1, at MAIL FROM or RCPT TO, and is counted."""
    few: dict[str, Any] = {key: 1}
    smtp = s.SmtpSettings(listen=("127.0.0.1:0",), tls=False, **few)
    with house(tmp_path, smtp=smtp) as one, smtplib.SMTP(*one.smtp, timeout=PATIENCE) as client:
        client.ehlo()
        answers = []
        for number in range(11):
            code, text = client.mail("x@evil.example")
            if code == 250:
                code, text = client.rcpt("codes@bridge.example")
            if code == 250:
                code, text = client.data(mail(f"Your code is 3000{number:02d}."))
            else:
                client.rset()
            answers.append((code, text[:5]))
        assert [code for code, _ in answers] == [250] * 10 + [451]
        assert answers[10][1] == b"4.7.1"
        assert f'mailbridge_flooded_total{{by="{by}"}} 1.0' in one.do(one.running.render_metrics).decode()


def test_a_bomb_to_one_recipient_is_put_off_and_leaves_the_others_alone(tmp_path: Path) -> None:
    """While one recipient gets all that four connections can send, another's code is pushed, in good time; the bomb meets 451."""
    sections: dict[str, Any] = {
        "smtp": s.SmtpSettings(listen=("127.0.0.1:0",), tls=False, rate_recipient=20, rate_sender=0),
        "address": (
            s.AddressSettings(rcpt=BOMBED, identifier="bob@corp.example"),
            s.AddressSettings(rcpt=OTHER, identifier="ann@corp.example"),
        ),
        "log": s.LogSettings(level="error"),
    }
    with house(tmp_path, **sections) as one:
        stop, refused = threading.Event(), threading.Event()

        def bomb() -> None:
            """Send until told to stop; a session that was too long is ended by the listener, and another one begun."""
            while not stop.is_set():
                with contextlib.suppress(smtplib.SMTPServerDisconnected), smtplib.SMTP(*one.smtp, timeout=PATIENCE) as client:
                    client.ehlo()
                    while not stop.is_set():
                        client.mail("x@evil.example")
                        if client.rcpt(BOMBED)[0] == 451:
                            refused.set()
                            client.rset()
                        else:
                            client.data(mail("Your code is 666666."))

        bombers = [threading.Thread(target=bomb) for _ in range(4)]
        for bomber in bombers:
            bomber.start()
        try:
            assert refused.wait(PATIENCE)
            for number in range(5):
                reply = one.send(mail(f"Your code is 30010{number}."), rcpt=OTHER)
                (delivery,) = one.deliveries(reply.mail_id)
                assert (delivery.draft.identifier, str(delivery.state)) == ("ann@corp.example", "delivered")
        finally:
            stop.set()
            for bomber in bombers:
                bomber.join(PATIENCE)
