"""Mail in by SMTP at a running daemon, and Skyvern's own lookup gives the code: every shape, tags, outages, and what is never pushed."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any

import httpx
import pytest

from mailbridge.demo import mails
from mailbridge.net.smtp_client import send
from tests.cli.running import Daemon, serving
from tests.core.test_forwards import BLOCKS
from tests.core.test_identity import STRATEGY
from tests.peers.gate import Gate, gate_before
from tests.peers.receiver import Kind
from tests.peers.skyvern import Skyvern

pytestmark = pytest.mark.e2e

BRIDGE = "codes@bridge.example"
LINK = "https://tern.example/session/magic?token=p3QvX0Zb-9sdfK2mN4rT8wYc1LhJ5g&next=%2Fhome"
PATIENCE = 20.0
CONFIG = """
[domains]
accept = ["bridge.example", "bridge.example.net", "mailbridge.localhost"]
[skyvern]
base_url = "{base_url}"
grace = "1s"
timeout = "3s"
[trust]
default = "none"
"""
DATED = re.compile(r"(?m)^([> ]*(?:Date|Sent|Datum|Fecha|日付|日期)[*_ ]*[:：][ \t]*)\S.*?(\r?)$")
GLUED_DATE = re.compile(r"(Gesendet: ).*?(Betreff)")
NUMERIC_DATE = re.compile(r"(?<=Le )\d{2}/\d{2}/\d{4} \d{2}:\d{2}")
ENCODED = re.compile(r"(?s)(Content-Transfer-Encoding: base64\r?\n\r?\n)([A-Za-z0-9+/=\r\n]+)")


@contextmanager
def bridge_to(base_url: str, key: str, folder: Path, more: str = "") -> Iterator[Daemon]:
    """A running daemon that pushes there."""
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "mailbridge.toml").write_text(CONFIG.format(base_url=base_url) + more, encoding="utf-8")
    with serving(folder, env={"SKYVERN_API_KEY": key}) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def sent() -> list[str]:
    """Codes and links that went through the daemon: none of them may be found in its log."""
    return []


@pytest.fixture(scope="module")
def daemon(skyvern: Skyvern, sent: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for most of the tests. At the end its log is searched for what must not be in it."""
    with bridge_to(skyvern.base_url, skyvern.api_key, tmp_path_factory.mktemp("bridge")) as running:
        yield running
        log = running.log.read_text(encoding="utf-8")
    assert skyvern.api_key not in log
    assert [code for code in sent if code in log] == []
    assert "@" not in log


def fresh_code() -> str:
    """Six digits that nobody has used before."""
    return str(secrets.randbelow(900_000) + 100_000)


def fresh_identifier(name: str = "ann") -> str:
    """A mailbox that nobody has used before."""
    return f"{name}.{secrets.token_hex(4)}@example.com"


def post(daemon: Daemon, content: bytes, *, mail_from: str = "bounces@larch.example", rcpt: str = BRIDGE) -> int:
    """Send a mail; it must be taken. Gives its number."""
    sent = send(daemon.smtp, mail_from=mail_from, rcpt=rcpt, content=content)
    assert sent.is_accepted, sent
    assert sent.mail_id is not None
    return sent.mail_id


def post_sample(daemon: Daemon, sample: mails.Sample) -> int:
    """Send one of the mails of the tour."""
    return post(daemon, sample.build(datetime.now(UTC)), mail_from=sample.mail_from, rcpt=sample.rcpt)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something to hold."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)


def until_resolved(skyvern: Skyvern, identifier: str, value: str, **more: Any) -> None:
    """Wait until Skyvern's own lookup gives a value."""
    until(lambda: skyvern.resolve(identifier, **more).value == value, f"a code for {identifier}")


def rows(skyvern: Skyvern, identifier: str) -> list[dict[str, Any]]:
    """What Skyvern holds for an identifier, newest first."""
    query = {"totp_identifier": identifier, "limit": "200"}
    answer = httpx.get(
        f"{skyvern.base_url}/v1/credentials/totp", params=query, headers={"x-api-key": skyvern.api_key}, trust_env=False
    )
    found = answer.raise_for_status().json()
    assert isinstance(found, list)
    return found


def freshened(content: bytes, now: datetime) -> bytes:
    """A mail as if it were sent now: a Message-ID of its own, and the time of what it forwards by hand or as an attachment.

    Everything else stays as it is. Without this a code from a mail of last year would be held as too old, as it should be.
    """
    head, separator, body = content.partition(b"\r\n\r\n" if b"\r\n\r\n" in content else b"\n\n")
    head = re.sub(rb"(?im)^message-id:.*$", f"Message-ID: {make_msgid(domain='larch.example')}".encode(), head)
    text = ENCODED.sub(lambda found: found[1] + _encoded(_dated(_decoded(found[2]), now)), body.decode("utf-8"))
    return head + separator + _dated(text, now).encode("utf-8")


def _dated(text: str, now: datetime) -> str:
    text = DATED.sub(lambda found: f"{found[1]}{format_datetime(now)}{found[2]}", text)
    text = GLUED_DATE.sub(lambda found: f"{found[1]}{format_datetime(now)}{found[2]}", text)
    return NUMERIC_DATE.sub(now.strftime("%d/%m/%Y %H:%M"), text)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("utf-8")


def _encoded(text: str) -> str:
    return base64.encodebytes(text.encode("utf-8")).decode("ascii").replace("\n", "\r\n")


def forwarded(headers: str, code: str, sender: str = "no-reply@larch.example") -> bytes:
    """A mail with the headers of a shape, and a code; an attached original keeps its own body."""
    head, separator, body = headers.partition("\n\n")
    body = body.replace("482913", code) if separator else f"Hello,\n\nyour code is {code}.\n"
    own = "" if "\nFrom:" in f"\n{head}" else f"From: Larch Bank <{sender}>\n"
    text = f"{own}Message-ID: {make_msgid(domain='larch.example')}\n{head.rstrip()}\n\n{body}"
    return text.replace("\n", "\r\n").encode("utf-8")


@pytest.mark.parametrize("name", [name for name, (_, identifier, _) in STRATEGY.items() if identifier])
def test_every_way_of_forwarding_reaches_its_identifier(skyvern: Skyvern, daemon: Daemon, sent: list[str], name: str) -> None:
    """The code is what Skyvern gives to whoever waits for the mailbox that the mail was first sent to."""
    headers, identifier, _ = STRATEGY[name]
    assert identifier is not None
    code = fresh_code()
    sent.append(code)
    post(daemon, forwarded(headers, code))
    until_resolved(skyvern, identifier, code, kind="totp")
    until_resolved(skyvern, f" {identifier.upper()} ", code)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_forward_by_hand_reaches_its_identifier(skyvern: Skyvern, daemon: Daemon, sent: list[str], name: str) -> None:
    """A mail of just now that a person forwards to try it out, in the layouts of many mail programs."""
    code = fresh_code()
    sent.append(code)
    head = f"From: Bo <bo@home.example>\nTo: {BRIDGE}\nSubject: Fwd: code\nMessage-ID: <x@home.example>\nContent-Type: text/plain; charset=utf-8"
    content = f"{head}\n\n{BLOCKS[name].replace('482913', code)}\n".replace("\n", "\r\n").encode("utf-8")
    post(daemon, freshened(content, datetime.now(UTC)), mail_from="bo@home.example")
    until_resolved(skyvern, "ann@corp.example", code)


@pytest.mark.parametrize(
    ("sample", "value", "kind"),
    [
        (mails.plain_code("371904", account="ann@tour.example"), "371904", "totp"),
        (mails.digit_cells("580217"), "580217", "totp"),
        (mails.letters_and_digits("K7F-29Q"), "K7F-29Q", "totp"),
        (mails.magic_link(LINK), LINK, "magic_link"),
    ],
    ids=["text", "cells", "letters", "link"],
)
def test_the_mails_of_the_tour_reach_it(
    skyvern: Skyvern, daemon: Daemon, sent: list[str], sample: mails.Sample, value: str, kind: Kind
) -> None:
    """Codes of digits, of letters, in cells of a table, and a link: found as what they are."""
    sent.append(value)
    post_sample(daemon, sample)
    until_resolved(skyvern, sample.account, value, kind=kind)
    (row,) = rows(skyvern, sample.account)
    assert (row["otp_type"], row["source"], row["content"]) == (kind, "email", value)
    expires_at = datetime.fromisoformat(row["expired_at"]).replace(tzinfo=UTC)
    assert 0 < (expires_at - datetime.now(UTC)).total_seconds() <= 16 * 60


def test_every_shape_of_the_collection_reaches_it(skyvern: Skyvern, daemon: Daemon, shared: Path) -> None:
    """Each mail beside the project that carries a code makes one new row, and the lookup gives its code to its identifier."""
    lines = (shared / "eml" / "index.jsonl").read_text(encoding="utf-8").splitlines()
    index = [row for row in map(json.loads, lines) if row["code"]]
    assert len(index) >= 30
    missing = []
    for row in index:
        identifier, code = row["expected_identifier"], row["code"]
        before = len(rows(skyvern, identifier))
        content = (shared / "eml" / row["file"]).read_bytes()
        found = re.match(rb"Return-Path: <([^>]*)>", content)
        mail_from = found[1].decode() if found else ""
        post(daemon, freshened(content, datetime.now(UTC)), mail_from=mail_from, rcpt=row["rcpt"])
        deadline = time.monotonic() + 5
        while len(rows(skyvern, identifier)) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        after = rows(skyvern, identifier)
        if len(after) != before + 1 or after[0]["code"] != code or skyvern.resolve(identifier, kind="totp").value != code:
            missing.append(row["file"])
    assert missing == []


def test_what_holds_no_code_is_never_pushed(skyvern: Skyvern, daemon: Daemon) -> None:
    """A receipt and Gmail's confirmation are taken in, and nothing of them goes to Skyvern."""
    everything = {"x-api-key": skyvern.api_key}
    url = f"{skyvern.base_url}/v1/credentials/totp?limit=200"
    before = len(httpx.get(url, headers=everything, trust_env=False).json())
    account = fresh_identifier("gus")
    held = [post_sample(daemon, sample) for sample in (mails.receipt(), mails.confirmation(account))]

    def told() -> list[tuple[str, str | None]]:
        last = {event["mail"]: (event["event"], event.get("outcome")) for event in daemon.events() if event.get("mail") in held}
        return list(last.values())

    until(lambda: told() == [("mail.stored", "none"), ("mail.held", None)], "the mails' own lines")
    after = fresh_code()
    identifier = fresh_identifier()
    post_sample(daemon, mails.plain_code(after, account=identifier))
    until_resolved(skyvern, identifier, after)
    assert len(httpx.get(url, headers=everything, trust_env=False).json()) in (before + 1, 200)
    assert rows(skyvern, account) == []


def test_the_same_mail_again_is_one_code(skyvern: Skyvern, daemon: Daemon, sent: list[str]) -> None:
    """A mail that is sent twice, as senders do that saw no answer, makes one row."""
    identifier, code = fresh_identifier(), fresh_code()
    sent.append(code)
    sample = mails.plain_code(code, account=identifier)
    content = sample.build(datetime.now(UTC))
    numbers = {post(daemon, content, mail_from=sample.mail_from, rcpt=sample.rcpt) for _ in range(3)}
    assert len(numbers) == 1
    until_resolved(skyvern, identifier, code)
    assert len(rows(skyvern, identifier)) == 1


def test_a_tagged_recipient_is_for_its_run_alone(skyvern: Skyvern, daemon: Daemon, sent: list[str]) -> None:
    """A code that came to codes+wr_…@ is seen by that run, and by no other."""
    identifier, code = fresh_identifier(), fresh_code()
    sent.append(code)
    run, other = skyvern.make_run(is_started=True), skyvern.make_run(is_started=True)
    post_sample(daemon, mails.plain_code(code, account=identifier, rcpt=f"codes+{run}@bridge.example"))
    until_resolved(skyvern, identifier, code, workflow_run_id=run)
    assert skyvern.resolve(identifier, workflow_run_id=other).value is None
    assert [row["workflow_run_id"] for row in rows(skyvern, identifier)] == [run]


def test_two_runs_at_once_get_their_own_codes(skyvern: Skyvern, daemon: Daemon, sent: list[str]) -> None:
    """Two runs that wait for one mailbox: each sees the code that came to its own address."""
    identifier = fresh_identifier()
    runs = {skyvern.make_run(is_started=True): fresh_code() for _ in range(2)}
    for run, code in runs.items():
        sent.append(code)
        post_sample(daemon, mails.plain_code(code, account=identifier, rcpt=f"codes+{run}@bridge.example"))
    for run, code in runs.items():
        until_resolved(skyvern, identifier, code, workflow_run_id=run)


def test_a_run_that_is_unknown_does_not_lose_the_code(skyvern: Skyvern, daemon: Daemon, sent: list[str]) -> None:
    """Where Skyvern does not know the run, the code goes once more without it, and is there for everybody."""
    identifier, code = fresh_identifier(), fresh_code()
    sent.append(code)
    post_sample(daemon, mails.plain_code(code, account=identifier, rcpt="codes+wr_nope@bridge.example"))
    until_resolved(skyvern, identifier, code)
    assert [row["workflow_run_id"] for row in rows(skyvern, identifier)] == [None]


@pytest.fixture(scope="module")
def gated(skyvern: Skyvern, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Gate]]:
    """A daemon that reaches Skyvern only through a gate."""
    with (
        gate_before(skyvern.base_url) as gate,
        bridge_to(gate.base_url, skyvern.api_key, tmp_path_factory.mktemp("gated")) as running,
    ):
        yield running, gate


def attempts(daemon: Daemon, state: str) -> int:
    """How many attempts have ended so."""
    return sum((event["event"], event.get("outcome")) == ("delivery.settled", state) for event in daemon.events())


def test_after_an_outage_only_the_newer_code_is_pushed(skyvern: Skyvern, gated: tuple[Daemon, Gate]) -> None:
    """A code that could not get out and a resent one: once Skyvern is back it gets the resent one, and never the older."""
    daemon, gate = gated
    identifier, older, newer = fresh_identifier(), fresh_code(), fresh_code()
    gate.position = "shut"
    before = attempts(daemon, "pending")
    post_sample(daemon, mails.plain_code(older, account=identifier))
    until(lambda: attempts(daemon, "pending") > before, "a failed attempt")
    post_sample(daemon, mails.plain_code(newer, account=identifier))
    gate.position = "open"
    until_resolved(skyvern, identifier, newer)
    until(lambda: daemon_is_idle(daemon), "the outbox to be empty")
    assert [row["code"] for row in rows(skyvern, identifier)] == [newer]


def test_after_an_outage_two_senders_keep_their_order(skyvern: Skyvern, gated: tuple[Daemon, Gate]) -> None:
    """Codes of two senders for one mailbox wait in line: both arrive, and the newer one is the newest."""
    daemon, gate = gated
    identifier, first, second = fresh_identifier(), fresh_code(), fresh_code()
    gate.position = "shut"
    post_sample(daemon, mails.plain_code(first, account=identifier))
    post_sample(daemon, mails.plain_code(second, account=identifier, shop="Heron Mail", host="heron.example"))
    before = attempts(daemon, "pending")
    until(lambda: attempts(daemon, "pending") > before, "a failed attempt")
    gate.position = "open"
    until_resolved(skyvern, identifier, second)
    until(lambda: daemon_is_idle(daemon), "the outbox to be empty")
    assert [row["code"] for row in rows(skyvern, identifier)] == [second, first]


def test_a_lost_answer_makes_no_second_row(skyvern: Skyvern, gated: tuple[Daemon, Gate]) -> None:
    """Skyvern took a code and its answer got lost; a newer code came in meanwhile. Each is there once, the newer one last."""
    daemon, gate = gated
    identifier, older, newer = fresh_identifier(), fresh_code(), fresh_code()
    gate.position = "one-way"
    post_sample(daemon, mails.plain_code(older, account=identifier))
    until(lambda: bool(rows(skyvern, identifier)), "the code whose answer is lost")
    gate.position = "shut"
    post_sample(daemon, mails.plain_code(newer, account=identifier, shop="Heron Mail", host="heron.example"))
    before = attempts(daemon, "pending")
    until(lambda: attempts(daemon, "pending") > before, "an attempt while it is shut")
    gate.position = "open"
    until_resolved(skyvern, identifier, newer)
    until(lambda: daemon_is_idle(daemon), "the outbox to be empty")
    assert [row["code"] for row in rows(skyvern, identifier)] == [newer, older]


def daemon_is_idle(daemon: Daemon) -> bool:
    """Whether nothing is on its way and nothing waits but for its time."""
    with urllib.request.urlopen(f"http://{daemon.http}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    waiting = re.findall(r'(?m)^mailbridge_outbox\{state="(pending|in_flight)"\} (\S+)$', text)
    assert waiting
    return all(float(count) == 0 for _, count in waiting)


def test_a_wrong_key_is_told_and_the_code_waits_for_the_right_one(skyvern: Skyvern, tmp_path: Path) -> None:
    """The alarm is in the log and in /readyz, mail is still taken, and a restart with the right key delivers it."""
    identifier, code = fresh_identifier(), fresh_code()
    with bridge_to(skyvern.base_url, "not-the-key", tmp_path) as daemon:
        post_sample(daemon, mails.plain_code(code, account=identifier))
        alarm = daemon.until("alarm")
        assert "API key" in alarm["message"]
        health = httpx.get(f"http://{daemon.http}/readyz", trust_env=False)
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert "API key" in health.text
        assert "not-the-key" not in health.text
        assert rows(skyvern, identifier) == []
    with bridge_to(skyvern.base_url, skyvern.api_key, tmp_path):
        until_resolved(skyvern, identifier, code)
    assert len(rows(skyvern, identifier)) == 1


def test_identifiers_are_pushed_as_skyverns_credentials_spell_them(skyvern: Skyvern, tmp_path: Path) -> None:
    """A mail to another spelling of a mailbox that a credential names, however many credentials there are."""
    tag = secrets.token_hex(4)
    names = [f"Ann.{tag}+Shop@Example.com", *(f"user{number}.{tag}@example.com" for number in range(12))]
    for name in names:
        credential = {"username": name, "password": "none", "totp_identifier": name}
        body = {"name": name, "credential_type": "password", "credential": credential}
        headers = {"x-api-key": skyvern.api_key}
        made = httpx.post(f"{skyvern.base_url}/v1/credentials", json=body, headers=headers, trust_env=False, timeout=30)
        assert made.status_code == 201, made.text
    code = fresh_code()
    with bridge_to(skyvern.base_url, skyvern.api_key, tmp_path) as daemon:
        learned = daemon.until("identifiers learned")
        assert learned["count"] >= len(names)
        post_sample(daemon, mails.plain_code(code, account=f"ann.{tag}@example.com"))
        until_resolved(skyvern, names[0], code)
        assert skyvern.resolve(f"ann.{tag}@example.com").value is None


@pytest.fixture
def whole_bodies(skyvern: Skyvern, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that pushes the whole text of a mail in which it finds no code."""
    with bridge_to(skyvern.base_url, skyvern.api_key, tmp_path, '[rules]\nfallback = "push-body"\n') as running:
        yield running
    skyvern.language_model("reads")


def test_a_whole_body_is_read_by_skyverns_model(skyvern: Skyvern, whole_bodies: Daemon) -> None:
    """Two equally good candidates: the text is pushed, put off while the model is down, and the model's choice is found."""
    identifier, first, second = fresh_identifier(), fresh_code(), fresh_code()
    headers = (
        f"X-Forwarded-For: {identifier} {BRIDGE}\nDelivered-To: {identifier}\n\nYour code is {first}\nYour code is {second}\n"
    )
    skyvern.language_model("is down")
    post(whole_bodies, forwarded(headers, first))
    whole_bodies.until("delivery.settled pending")
    assert rows(skyvern, identifier) == []
    skyvern.language_model("reads")
    until_resolved(skyvern, identifier, first)


def test_a_body_without_a_code_is_a_dead_letter(skyvern: Skyvern, whole_bodies: Daemon) -> None:
    """200 with raw_pending is not taken for a success: the delivery ends as dead, with the reason."""
    identifier = fresh_identifier()
    headers = f"X-Forwarded-For: {identifier} {BRIDGE}\nDelivered-To: {identifier}\n\nThe harbour is open again.\n"
    skyvern.language_model("finds nothing")
    post(whole_bodies, forwarded(headers, ""))
    assert "raw_pending" in whole_bodies.until("delivery.settled dead")["reason"]
    assert skyvern.resolve(identifier).value is None
