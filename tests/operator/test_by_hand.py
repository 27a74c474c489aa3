"""What an operator does by hand through a whole daemon: mails and their deliveries know each other, tests are bound, and no mail has privilege."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mailbridge.cli import cli
from mailbridge.config import settings as s
from tests.cli.running import command as process
from tests.cli.running import serving
from tests.ingress.imap.watched import account
from tests.peers.house import House, house
from tests.peers.scripted_imap import ScriptedImap
from tests.trust.mails import mail

CODES = "codes@bridge.example"
BEN = "ben@corp.example"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with the default gate, and an address that is bound to one identifier."""
    bound = (s.AddressSettings(rcpt="otp-ann@bridge.example", identifier="ann@corp.example"),)
    with house(tmp_path_factory.mktemp("by-hand"), trust=s.TrustSettings(alarm_held=0), address=bound) as one:
        yield one


def command(home: House, *args: str, **more: str) -> Result:
    """Run a command beside the house; it knows the store and the listener alone."""
    env = {
        **{name: None for name in os.environ if name.startswith(("MAILBRIDGE_", "SKYVERN_"))},
        "MAILBRIDGE_STORE__URL": home.running.settings.store.url,
        "MAILBRIDGE_SMTP__LISTEN": "{}:{}".format(*home.smtp),
        "SKYVERN_API_KEY": "unused",
        **more,
    }
    return CliRunner().invoke(cli, list(args), env=env)


def shown(home: House, number: int | None) -> dict[str, Any]:
    """A mail as `mail show --json` has it."""
    found: dict[str, Any] = json.loads(command(home, "mail", "show", str(number), "--json").stdout)
    return found


def test_a_mail_and_its_deliveries_know_each_other(home: House) -> None:
    """The first mail says what it became and when, the released one refers to it, and each delivery names its mail."""
    first = home.send(mail("Your code is 300001."), rcpt=CODES).mail_id
    released = json.loads(command(home, "mail", "release", str(first), "--json").stdout)["mail"]
    home.deliveries(released)
    assert shown(home, first)["deliveries"] == []
    assert [(one["event"], one["detail"]) for one in shown(home, first)["history"]] == [
        ("stored", ""),
        ("released", f"as mail {released}"),
    ]
    detail = shown(home, released)
    assert detail["origin"] == first
    (delivery,) = detail["deliveries"]
    assert (delivery["state"], delivery["mail"]) == ("delivered", released)
    assert delivery["final_at"] in {one["at"] for one in detail["history"] if one["event"] == "delivered"}
    listed = [json.loads(line) for line in command(home, "delivery", "list", "--json").stdout.splitlines()]
    assert {one["id"]: one["mail"] for one in listed}[delivery["id"]] == released
    one = json.loads(command(home, "delivery", "show", str(delivery["id"]), "--json").stdout)
    assert one["of"]["id"] == released
    assert f"delivery         {delivery['id']}: code for" in command(home, "mail", "show", str(released)).stdout


def test_a_release_that_is_sent_twice_is_one_mail(home: House) -> None:
    """The second one gives the first one's number, and nothing is pushed again."""
    first = home.send(mail("Your code is 300002."), rcpt=CODES).mail_id
    numbers = [json.loads(command(home, "mail", "release", str(first), "--json").stdout)["mail"] for _ in range(2)]
    home.deliveries(numbers[0])
    assert numbers[0] == numbers[1]


def test_a_test_is_for_whom_it_was_asked(home: House) -> None:
    """With several addresses the code is pushed under --for; what a real mail would have to prove is told for each address."""
    done = command(home, "send-test", "--for", BEN, "--yes", "--json")
    assert done.exit_code == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert BEN in rows[1]["text"]
    assert rows[-1]["proofs"] == ["any address at bridge.example: arc or dkim or forwarder"]
    last = home.receiver.rows(limit=1)[0]
    assert last.identifier == BEN


def test_a_test_address_takes_one_mail(home: House) -> None:
    """The second mail to it is refused as one to nobody, and so is one to an address that nobody asked for."""
    path = Path(home.running.settings.store.url.removeprefix("sqlite:///")).with_suffix(".sock")
    assert path.exists()
    test = asyncio.run(home.running.door.tests.make(BEN, domain="bridge.example", by="a test"))
    reply = home.send(mail("Your code is 300003."), rcpt=test.rcpt)
    (delivery,) = home.deliveries(reply.mail_id)
    assert (delivery.draft.identifier, delivery.draft.content.reveal()) == (BEN, "300003")
    again = home.send(mail("Your code is 300004."), rcpt=test.rcpt)
    assert home.deliveries(again.mail_id) == ()  # the whole domain is ours, so it is a mail like any other: held


def test_a_test_by_an_address_of_somebody_else_fails(home: House) -> None:
    """`--rcpt` goes the way of a real mail: what is for another identifier, or held, is no success."""
    done = command(home, "send-test", "--for", BEN, "--yes", "--rcpt", "otp-ann@bridge.example", "--json")
    assert done.exit_code == 1
    assert [json.loads(line)["ok"] for line in done.stdout.splitlines()] == [True, False]


def test_a_real_identifier_is_asked_about(home: House) -> None:
    """Without --yes and without anybody to ask nothing is sent; a made-up one needs no question."""
    before = home.pushed()
    done = command(home, "send-test", "--for", BEN.replace("example", "com"))
    assert done.exit_code == 2
    assert "--yes does it anyway" in done.stderr
    assert home.pushed() == before
    assert command(home, "send-test").exit_code == 0


def test_gmails_filter_is_for_the_identifiers_own_address(home: House) -> None:
    """Ann's filter forwards to the address that is bound to her; Ben's to one at the domain, never to hers."""
    assert "otp-ann@bridge.example" in command(home, "gmail", "filter", "--for", "ann@corp.example").stdout
    other = command(home, "gmail", "filter", "--for", BEN).stdout
    assert "otp-ann@" not in other
    assert "codes@bridge.example" in other


def test_what_is_removed_is_gone(home: House) -> None:
    """`mail remove` erases all of one identifier, and names what still holds it."""
    number = home.send(mail("Your code is 300005."), rcpt="otp-ann@bridge.example").mail_id
    done = command(home, "mail", "remove", "--for", "ann@corp.example", "--yes", "--json")
    found = json.loads(done.stdout)
    assert found["mails"] >= 1
    assert found["still_named_by"] == ["address otp-ann@bridge.example"]
    assert shown(home, number)["verdict"] == "removed"
    assert command(home, "mail", "list", "--for", "ann@corp.example").stdout == ""
    folder = Path(home.running.settings.store.url.removeprefix("sqlite:///")).parent
    octets = b"".join(path.read_bytes() for path in folder.iterdir() if path.name.startswith("mailbridge.db"))
    assert b"ann@corp.example" not in octets


def test_without_a_key_deliveries_say_practice(tmp_path: Path) -> None:
    """The receiver is called what it is in every list, in status and in readiness."""
    with serving(tmp_path) as daemon:
        done = process("--set", f"smtp.listen={daemon.smtp}", "send-test", cwd=tmp_path)
        assert done.code == 0, done.out + done.err
        assert "the practice receiver" in done.out
        (row,) = process("delivery", "list", "--json", cwd=tmp_path).rows
        assert (row["target"], row["is_practice"], row["state"]) == ("practice", True, "delivered")


def test_a_test_goes_by_lmtp_and_by_the_mailbox(tmp_path: Path) -> None:
    """Each way ends with the code under --for; what is put into the mailbox is found there by the daemon itself."""
    listener = f"unix:{tmp_path}/lmtp.sock"
    with ScriptedImap() as server:
        box = account(server.port)
        smtp = s.SmtpSettings(listen=("127.0.0.1:0",), lmtp=(listener,), tls=False)
        with house(tmp_path, imap=(box,), smtp=smtp) as one:
            config = tmp_path / "mailbridge.toml"
            config.write_text(
                f'[smtp]\nlmtp = ["{listener}"]\n[[imap]]\nname = "box"\nhost = "127.0.0.1"\nport = {server.port}\ntls = "none"\n'
                f'username = "{box.username}"\npassword = "{box.password.reveal() if box.password else ""}"\n',
                encoding="utf-8",
            )
            for via, hop in (("lmtp", "listener"), ("imap", "mailbox")):
                done = command(one, "send-test", "--via", via, "--for", BEN, "--json", MAILBRIDGE_CONFIG=str(config))
                rows = [json.loads(line) for line in done.stdout.splitlines()]
                assert done.exit_code == 0, (via, done.stdout, done.stderr)
                assert [row["hop"] for row in rows] == [hop, "understood", "delivered"]
                assert one.receiver.rows(limit=1)[0].identifier == BEN
