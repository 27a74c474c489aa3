"""No code, key or body in what the daemon says or leaves behind: a canary goes through every fault, and is then looked for."""

from __future__ import annotations

import itertools
import smtplib
from collections.abc import Collection
from pathlib import Path

import apsw
import pytest

from tests.peers.daemon import RCPT, Daemon, House, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty
from tests.store.test_sqlite_contract import held_by_another_process

pytestmark = pytest.mark.e2e

CANARIES = [f"7391{number:04d}" for number in range(20)]
RETENTION = '[retention]\ncode = "1s"\nmail = "2s"\n[rules]\nlifetime = "4s"\n'
NUMBERS = itertools.count(1)

HELD = """\
From: Larch Bank <no-reply@larch.example>\r
To: ann@example.com\r
Subject: {subject}\r
Message-ID: <held{number}@larch.example>\r
Content-Type: {kind}\r
\r
{body}\r
"""


class Watch:
    """What was said so far, and what lay sealed in the database at one time or another."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.said: list[str] = []
        self.sealed: set[bytes] = set()

    def look(self, daemon: Daemon) -> None:
        """See what machines are shown now, and what is on disk."""
        self.said += [daemon.get(path).text for path in ("/metrics", "/readyz", "/healthz")]
        self.sealed |= set(sealed_in(self._house))
        clear = left_by(self._house)
        assert [code for code in CANARIES if code.encode() in clear] == []

    def ask(self) -> None:
        """See what people are shown now."""
        for words in ("mail list", "mail list --json", "deliver list", "deliver list --json", "mail show 1"):
            done = self._house.visit(*words.split())
            self.said.append(done.stdout + done.stderr)


def through_every_fault(house: House, daemon: Daemon, receiver: FaultyReceiver, watch: Watch) -> None:
    """Send a canary through each fault in turn."""
    canaries = iter(CANARIES)
    tempers = (
        Temper(),
        Temper(refuses=1.0),
        Temper(refuses=1.0, status=401),
        Temper(refuses=1.0, status=422),
        Temper(refuses=1.0, status=302),
        Temper(garbage=1.0),
        Temper(loses=1.0),
        Temper(latency=0.3),
    )
    for temper in tempers:
        receiver.temper = temper
        before = receiver.requests
        fault = f"fault{next(NUMBERS)}"
        assert house.send(next(canaries), identifier=f"{fault}@example.com", number=fault)[0] == 250
        watch.look(daemon)
        wait_for(lambda: receiver.requests > before, "it is pushed")  # noqa: B023
    watch.ask()
    receiver.temper = Temper()
    held(house, f"Your code is {next(canaries)}", f"Your code is {next(canaries)}, or {next(canaries)}, or {next(canaries)}.")
    held(house, "A letter", f"{'<div>' * 5_000}Your code is {next(canaries)}", kind="text/html; charset=punycode")
    held(house, "Your code", f"Your code is {next(canaries)}", rcpt=f"{next(canaries)}@elsewhere.example")
    watch.look(daemon)
    with held_by_another_process(house.database):
        assert house.send(next(canaries), identifier="locked@example.com", number="locked")[0] == 451
    elsewhere = house.folder / "elsewhere.db"
    house.database.rename(elsewhere)
    assert house.send(next(canaries), identifier="gone@example.com", number="gone")[0] == 451
    watch.said.append(daemon.get("/readyz").text)
    elsewhere.rename(house.database)
    wait_for(lambda: daemon.get("/readyz").status_code == 200, "the store is back")
    receiver.temper = Temper(refuses=1.0, status=401)
    assert house.send(next(canaries), identifier="expired@example.com", number="expired")[0] == 250
    watch.look(daemon)


def held(house: House, subject: str, body: str, *, kind: str = "text/plain", rcpt: str = RCPT) -> None:
    """Send a mail that is held, or refused."""
    content = HELD.format(subject=subject, number=next(NUMBERS), kind=kind, body=body)
    with smtplib.SMTP("127.0.0.1", house.smtp, timeout=10) as client:
        try:
            client.sendmail("bounce@larch.example", [rcpt], content.encode())
        except smtplib.SMTPRecipientsRefused as refusal:
            assert rcpt != RCPT, refusal


def sealed_in(house: House) -> list[bytes]:
    """Everything that lies sealed in the database now."""
    query = "SELECT content FROM delivery UNION ALL SELECT private FROM mail UNION ALL SELECT raw FROM mail"
    connection = apsw.Connection(str(house.database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [bytes(row[0]) for row in connection.execute(query) if row[0] is not None]
    finally:
        connection.close(True)


def left_by(house: House) -> bytes:
    """Every octet of database, log and index."""
    files = [Path(f"{house.database}{ending}") for ending in ("", "-wal", "-shm")]
    return b"".join(one.read_bytes() for one in files if one.exists())


@pytest.mark.parametrize(
    ("form", "env"), [("json", {}), ("text", {}), ("auto", {"JOURNAL_STREAM": "8:1"})], ids=["json", "text", "journal"]
)
def test_no_canary_is_found(tmp_path: Path, form: str, env: dict[str, str]) -> None:
    """Not in logs of any form at any level, metrics, commands or answers; and after its time not on disk, sealed or in clear."""
    with running_faulty() as receiver:
        house = House(tmp_path, receiver.base_url, form=form, level="debug", more=RETENTION, grace="300ms")
        watch = Watch(house)
        with house.running(env=env) as daemon:
            through_every_fault(house, daemon, receiver, watch)
            daemon.kill()
        with house.running(env=env) as daemon:
            wait_for(lambda: daemon.waiting() == 0, "everything has come to its end", patience=60)
            wait_for(lambda: not sealed_in(house), "everything is erased", patience=60)
            wait_for(lambda: not _found(watch.sealed, left_by(house)), "the disk has forgotten it")
            watch.look(daemon)
            watch.ask()
            assert daemon.terminate() == 0
        assert not _found(watch.sealed, left_by(house))
        said = [*watch.said, house.log.read_text(encoding="utf-8")]
    assert len(watch.sealed) > 20
    for witness in ("outcome=dead", "alarm.raised", "mail.deferred", "outcome=expired"):
        assert witness in said[-1].replace('":"', "=")  # as JSON has it
    secrets = [*CANARIES, "sk-canary-key"]
    assert [text for text in said if any(secret in text for secret in secrets)] == []


def _found(sealed: Collection[bytes], octets: bytes) -> list[bytes]:
    """The sealed values of which a piece is still there: head, middle or tail."""
    places = ((one, (0, max(len(one) // 2 - 12, 0), max(len(one) - 24, 0))) for one in sealed)
    return [one for one, starts in places if any(one[at : at + 24] in octets for at in starts)]


def test_a_canary_is_found_where_it_is_not_hidden(tmp_path: Path) -> None:
    """The search works: the same canary is found in the mail that the operator asks for, and sealed pieces while they are there."""
    with running_faulty() as receiver:
        house = House(tmp_path, receiver.base_url)
        with house.running():
            assert house.send(CANARIES[0], identifier="ann@example.com")[0] == 250
            assert CANARIES[0] in house.visit("mail", "show", "1", "--raw").stdout
            sealed = sealed_in(house)
            assert len(_found(sealed, left_by(house))) == len(sealed) == 3
