"""What becomes of held mails: released by hand, over in time, counted and alarmed; and practice, where nothing is asked for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from mailbridge.app.daemon import bridge
from mailbridge.cli import cli
from mailbridge.cli.client import who
from mailbridge.config import settings as s
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Stored
from mailbridge.intake.burst import WINDOW, Burst
from mailbridge.intake.vouching import Word
from mailbridge.store.places import key_path_of
from mailbridge.trust.dns import Dns
from tests.attacks.forgeries import VF, confirm
from tests.loop import looped
from tests.peers import signer
from tests.peers.dns_server import dns_server
from tests.peers.house import House, house
from tests.trust.mails import mail

CODES = "codes@bridge.example"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with the default gate."""
    with house(tmp_path_factory.mktemp("release"), trust=s.TrustSettings(alarm_held=0)) as one:
        yield one


def command(home: House, *args: str) -> Result:
    """Run a command beside the house, on its store and listener."""
    env = {
        **{name: None for name in os.environ if name.startswith(("MAILBRIDGE_", "SKYVERN_"))},
        "MAILBRIDGE_STORE__URL": home.running.settings.store.url,
        "MAILBRIDGE_SMTP__LISTEN": "{}:{}".format(*home.smtp),
        "MAILBRIDGE_DOMAINS__ACCEPT": "bridge.example",
        "SKYVERN_API_KEY": "unused",
    }
    return CliRunner().invoke(cli, list(args), env=env)


def test_a_held_mail_is_shown_and_released_by_hand(home: House) -> None:
    """`mail show` tells what failed, `mail release` pushes the code once, with the time that it has left."""
    reply = home.send(mail("Your code is 200001."), rcpt=CODES)
    assert home.deliveries(reply.mail_id) == ()
    shown = json.loads(command(home, "mail", "show", str(reply.mail_id), "--json").stdout)
    assert shown["held"][0].startswith("dkim: it is not signed")
    before = home.pushed()
    done = command(home, "mail", "release", str(reply.mail_id), "--json")
    assert done.exit_code == 0, done.stderr
    number = json.loads(done.stdout)["mail"]
    (delivery,) = home.deliveries(number)
    assert delivery.draft.identifier == "ann@corp.example"
    assert delivery.draft.content.reveal() == "200001"
    assert home.row(number).trust == f"operator: released by {who()}, first came as mail {reply.mail_id}"
    assert delivery.received_at == home.row(reply.mail_id).received_at
    assert home.pushed() == before + 1
    assert command(home, "mail", "release", str(reply.mail_id)).exit_code == 0
    assert home.pushed() == before + 1


def test_a_release_makes_a_sender_known_only_if_told_to(home: House) -> None:
    """A stranger's link is released on a person's word, and the next one is held again; with --allow the next one goes."""
    home.dns.txt("s1._domainkey.larch.example", signer.record(signer.key()))

    def link() -> bytes:
        text = "Sign in with this link:\n\nhttps://larch.example/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ\n\nIt works once."
        content = mail(text, subject="Sign in to Larch", sender="a@larch.example", to="lea@corp.example")
        return signer.dkim(content, "larch.example")

    for more, is_known in (((), False), (("--allow",), True)):
        held = home.send(link(), rcpt=CODES)
        assert home.row(held.mail_id).held[0].startswith("stranger: ")
        done = command(home, "mail", "release", str(held.mail_id), "--json", *more)
        assert done.exit_code == 0, done.output
        until = time.monotonic() + 10
        while is_known and not home.running.settings.sender:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert (home.row(home.send(link(), rcpt=CODES).mail_id).held == ()) is is_known


def test_what_cannot_be_released_says_why(home: House) -> None:
    """A mail that is not held, or not there, is exit 4 and a reason."""
    reply = home.send(mail("Our office is closed on Monday.", subject="News"), rcpt=CODES)
    for number in (str(reply.mail_id), "99999"):
        done = command(home, "mail", "release", number)
        assert done.exit_code == 4
        assert done.stderr.startswith("mailbridge: ")
        assert f"mail {number}" in done.stderr


def test_a_mail_whose_time_is_over_is_not_pushed(home: House) -> None:
    """With the operator's word too a code lives from when it first came, and is not pushed after that."""
    envelope = Envelope(
        mail_from="bounces@acme.example",
        rcpt_to=(CODES,),
        content=mail("Your code is 200002. It expires in 10 minutes."),
        received_at=datetime.now(UTC) - timedelta(minutes=11),
        ingress="smtp",
    )
    before = home.pushed()
    word = Word(verb="released", by="a test", origin=1)
    answer = home.do(lambda: home.running.door.intake.accept(envelope, word))
    assert isinstance(answer, Stored)
    assert [str(one.state) for one in home.deliveries(answer.receipt.mail_id)] == ["expired"]
    assert home.pushed() == before


def test_no_mail_speaks_for_the_operator(home: House) -> None:
    """The header by which release 0.1 vouched for a mail is a header like any other: the mail is held, and keeps it."""
    line = b"X-Mailbridge-Seal: n=0; at=1764000000000000; made=1764000000000000; mac=" + b"0" * 64 + b"\r\n"
    reply = home.send(line + mail("Your code is 200006."), rcpt=CODES)
    assert home.row(reply.mail_id).held
    assert home.deliveries(reply.mail_id) == ()


def test_a_replay_does_not_release(home: House) -> None:
    """`mail replay` of a held mail is held again; of one that was let through it is let through."""
    held = home.send(mail("Your code is 200003."), rcpt=CODES)
    done = json.loads(command(home, "mail", "replay", str(held.mail_id), "--json").stdout)
    assert home.deliveries(done["mail"]) == ()
    released = json.loads(command(home, "mail", "release", str(held.mail_id), "--json").stdout)["mail"]
    again = json.loads(command(home, "mail", "replay", str(released), "--json").stdout)["mail"]
    assert len(home.deliveries(again)) == 1


def test_send_test_needs_no_proof(home: House) -> None:
    """Its address is one that only the operator could get, so that it works with a real target and a whole domain."""
    done = command(home, "send-test")
    assert done.exit_code == 0, done.stdout + done.stderr


def test_a_burst_of_held_mails_raises_an_alarm(tmp_path: Path) -> None:
    """As many held mails as the limit make the daemon say so: in readiness and in a metric."""
    with house(tmp_path, trust=s.TrustSettings(alarm_held=3)) as one:
        for number in range(3):
            assert "trust" not in one.do(one.running.health).checks
            one.send(mail(f"Your code is 20010{number}."), rcpt=CODES)
        assert "held without proof" in one.do(one.running.health).checks["trust"]
        assert 'mailbridge_alarm{kind="trust",name="held"} 1.0' in one.do(one.running.render_metrics).decode()


def test_a_burst_is_over_after_its_window() -> None:
    """Ten minutes later there is no alarm, and a new one is told anew; a limit of 0 is never reached."""
    at = datetime(2026, 11, 25, tzinfo=UTC)
    burst = Burst(lambda: 2)
    assert not burst.add(at)
    assert burst.add(at)
    assert not burst.add(at)
    assert burst.is_on(at + WINDOW)
    assert not burst.is_on(at + WINDOW + timedelta(seconds=1))
    assert not burst.add(at + WINDOW * 2)
    assert burst.add(at + WINDOW * 2)
    assert not Burst(lambda: 0).add(at)


@looped
async def test_practice_asks_for_nothing_and_nobody(tmp_path: Path) -> None:
    """Without a key nothing leaves the machine: an unsigned code goes to the practice receiver, and DNS is not asked."""
    async with dns_server() as server:
        settings = s.Settings(
            smtp=s.SmtpSettings(listen=("127.0.0.1:0",), tls=False),
            http=s.HttpSettings(listen="127.0.0.1:0"),
            practice=s.PracticeSettings(listen="127.0.0.1:0"),
            store=s.StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db"),
        )
        dns = Dns(timeout=timedelta(seconds=1), nameservers=[server.address])
        async with bridge(settings, state_dir=tmp_path, dns=dns) as running:
            envelope = Envelope(
                mail_from="x@evil.example",
                rcpt_to=("codes@mailbridge.localhost",),
                content=b"DKIM-Signature: v=1; d=acme.example; s=s1\r\n" + mail("Your code is 200009."),
                received_at=running.engine.clock.now(),
                ingress="smtp",
            )
            answer = await running.door.intake.accept(envelope)
            assert isinstance(answer, Stored)
            receipt = answer.receipt
            row = await running.engine.store.mails.one(receipt.mail_id)
            assert row is not None
            assert row.trust == "practice: nothing leaves this machine"
            assert len(await running.engine.store.outbox.deliveries(mail_id=receipt.mail_id)) == 1
            assert not server.asked


def test_gmails_question_waits_for_whom_is_not_listed(tmp_path: Path) -> None:
    """A proven confirmation of an account that is not listed is not answered by itself; `gmail confirm` finds it, and only such."""

    def nobody() -> httpx.AsyncClient:
        raise AssertionError("nobody is to be asked")

    with house(tmp_path, browser=nobody, trust=s.TrustSettings(accounts=("bob@gmail.com",))) as one:
        one.dns.txt("s1._domainkey.google.com", signer.record(signer.key()))
        assert command(one, "gmail", "confirm").exit_code == 4
        one.send(confirm(), rcpt=CODES)
        done = command(one, "gmail", "confirm")
        assert done.exit_code == 4
        assert "is not proven to be Google's" in done.stderr
        one.send(signer.dkim(confirm(), "google.com"), rcpt=CODES)
        done = command(one, "gmail", "confirm", "--print")
        assert done.exit_code == 0
        assert "ann@gmail.com" in done.stdout
        assert done.stdout.splitlines()[-1] == f"https://{VF}"


def test_a_key_is_changed_under_a_running_daemon(home: House) -> None:
    """`key rotate` beside the daemon is exit 0 once it has gone over to the new key; what comes then is read with it."""
    before = key_path_of(home.running.settings.store).read_bytes()
    done = command(home, "key", "rotate")
    assert (done.exit_code, done.stderr) == (0, "")
    assert key_path_of(home.running.settings.store).read_bytes() != before
    reply = home.send(mail("Your code is 200099."), rcpt=CODES)
    shown = json.loads(command(home, "mail", "show", str(reply.mail_id), "--json").stdout)
    assert shown["held"][0].startswith("dkim: it is not signed")
