"""Mutated octets through everything that reads what strangers write, and through the configuration: no exception, no hang.

``python -m tests.fuzz.fuzz --count 100000 --kind dkim`` runs one kind; without ``--kind`` each of them gets the count. An input
that fails is written to ``tests/fuzz/corpus``, where `make test` reads it ever after.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from mailbridge.config import settings as s
from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.demo.mails import digit_cells, magic_link, plain_code
from mailbridge.ingress.smtp import Listeners, serve
from mailbridge.intake.guide import guide_of
from mailbridge.intake.understand import Understander
from mailbridge.intake.wire import Request
from mailbridge.trust import arc, authres, dkim, raw, spf
from mailbridge.trust.dns import DnsUnavailable
from mailbridge.trust.hosts import is_authors
from mailbridge.trust.seal import Sealer
from tests.conftest import ROOT
from tests.ingress.post import KNOWN, Desk
from tests.peers import signer
from tests.trust.mails import RCPT, mail

CORPUS = Path(__file__).parent / "corpus"
SLOWEST = 2.0
"""Seconds that one input may take."""

SENDER = "no-reply@acme.example"
PASS = "mx.google.com; dkim=pass header.i=@acme.example; dmarc=pass header.from=acme.example"
SPICE = (
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n ", b";", b"=", b":", b"(", b")", b'"', b"\\", b"@", b"%", b"\xff", b"\xc3\xa9", b"i=2;", b"l=1;",
    b"h=from", b"p=", b"v=DKIM1", b"a=rsa-sha256;", b"t=99999999999999999999", b"x=-1", b"DKIM-Signature: ", b"ARC-Seal: i=1; ", b"From: ",
    b"=?utf-8?q?=00?=", b"v=spf1 ", b"include:", b"/999", b"%{i}", b"[", b"]", b"{", b"}", b"'''", b"1e999", b"true", b"\xf0\x9f\x98\x80",
)  # fmt: skip
NOW = datetime.now(UTC)
Work = Callable[[bytes], Awaitable[None]]


class Zone:
    """A resolver without a network: one answer to every question, which the input may be part of."""

    def __init__(self, *records: str) -> None:
        self._records = records

    async def txt(self, name: str) -> tuple[str, ...]:
        """The same for every name; for some, silence."""
        if "silent" in name:
            raise DnsUnavailable(name)
        return self._records

    async def addresses(self, name: str) -> tuple[str, ...]:
        """One of each kind."""
        return ("192.0.2.1", "2001:db8::1") if name else ()

    async def exchangers(self, name: str) -> tuple[str, ...]:
        """One."""
        return (f"mx.{name}",)


GOOD = Zone(signer.record(signer.key()))
SEALER = Sealer(b"k" * 32)


async def fuzz_dkim(octets: bytes) -> None:
    """A signed mail."""
    found = raw.read(octets)
    if found.doubt:  # so that what is behind the first refusal is reached too
        found = raw.RawMail(content=octets, headers=found.headers)
    await dkim.check(found, sender=SENDER, signers={}, dns=GOOD, now=NOW)


async def fuzz_arc(octets: bytes) -> None:
    """A mail that was sealed twice."""
    found = raw.read(octets)
    if found.doubt:
        found = raw.RawMail(content=octets, headers=found.headers)
    await arc.check(found, sender=SENDER, rcpt=RCPT, forwarders={"google.com"}, dns=GOOD, now=NOW)


async def fuzz_key(octets: bytes) -> None:
    """A key record."""
    zone = Zone(octets.decode("utf-8", "replace"))
    await dkim.check(raw.read(SIGNED), sender=SENDER, signers={}, dns=zone, now=NOW)


async def fuzz_spf(octets: bytes) -> None:
    """A sender policy."""
    await spf.evaluate("a.example", ip_address("192.0.2.1"), Zone(octets.decode("utf-8", "replace")))


async def fuzz_words(octets: bytes) -> None:
    """Results of a server, an operator's seal, and where a link leads."""
    authres.check(raw.read(octets), sender=SENDER, servers={"mx.google.com"})
    SEALER.read(octets, rcpt=RCPT, now=NOW)
    is_authors(octets.decode("utf-8", "replace")[:2_000], SENDER, ("*.acme.example",))


def fuzz_config_in(folder: Path) -> Work:
    """A configuration file: settings, or a ConfigError and nothing else."""
    file = folder / "mailbridge.toml"

    async def fuzz_config(octets: bytes) -> None:
        file.write_bytes(octets)
        try:
            load(file, environ={}, cwd=folder)
        except ConfigError as fault:
            assert fault.problems

    return fuzz_config


UNDERSTANDER = Understander(guide_of(s.Settings(domains=s.DomainSettings(accept=("bridge.example",)))))


async def fuzz_mail(octets: bytes) -> None:
    """A mail, as the worker process reads it."""
    UNDERSTANDER(Request(content=octets, rcpt_to=(RCPT,), mail_from="b@acme.example", now=NOW))


class Talk:
    """A listener of our own, and a client that says whatever it is given and leaves."""

    def __init__(self, desk: Desk, listeners: Listeners) -> None:
        self._desk = desk
        host, _, port = listeners.addresses[0].rpartition(":")
        self._at = (host, int(port))

    async def __call__(self, octets: bytes) -> None:
        """A whole dialogue at once: the listener answers, closes, and takes the next one."""
        reader, writer = await asyncio.open_connection(*self._at)
        with contextlib.suppress(ConnectionError):
            writer.write(octets)
            writer.write_eof()
            async with asyncio.timeout(SLOWEST):
                assert (await reader.read()).startswith(b"220 ")
        writer.close()
        assert all(one.rcpt_to for one in self._desk.taken)
        self._desk.taken.clear()


SIGNED = signer.dkim(mail(above="Authentication-Results: " + PASS), "acme.example")
SEALED = signer.arc(
    b"Delivered-To: ann@corp.example\r\n" + signer.arc(SIGNED, "google.com", results=PASS, instance=1),
    "google.com",
    results=PASS,
    instance=2,
    darn="bridge.example",
)
SEEDS: dict[str, list[bytes]] = {
    "dkim": [SIGNED],
    "arc": [SEALED],
    "key": [signer.record(signer.key()).encode(), signer.record(signer.edwards_key()).encode()],
    "spf": [b"v=spf1 ip4:192.0.2.0/24 a:x.example/24//64 mx include:b.example exists:c.example redirect=d.example ~all"],
    "words": [SIGNED, SEALER.make(SIGNED, rcpt=RCPT, mail_id=1, received_at=NOW, now=NOW), b"https://app.acme.example:443/x?y#z"],
    "mail": [
        SIGNED,
        plain_code("482913").build(NOW),
        digit_cells("482913").build(NOW),
        magic_link("https://tern.example/magic?token=hZ4tqPw81LxV0rBn").build(NOW),
    ],
    "smtp": [
        b"EHLO a.example\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<codes@bridge.example>\r\nDATA\r\n"
        + SIGNED
        + b".\r\nNOOP\r\nRSET\r\nQUIT\r\n"
    ],
    "config": [(ROOT / "config" / "mailbridge.toml").read_bytes()],
}


def mutated(seed: bytes, dice: random.Random) -> bytes:
    """A few changes: octets turned, cut, doubled, moved or spiced."""
    octets = bytearray(seed)
    for _ in range(dice.choice((1, 1, 2, 4, 12))):
        at = dice.randrange(len(octets) + 1)
        end = min(at + dice.choice((1, 2, 8, 60)), len(octets))
        match dice.randrange(6):
            case 0 if octets:
                octets[min(at, len(octets) - 1)] = dice.randrange(256)
            case 1:
                del octets[at:end]
            case 2:
                octets[at:at] = octets[at:end] * dice.choice((1, 2, 30))
            case 3:
                octets[at:at] = dice.choice(SPICE)
            case 4:
                octets[at:end] = dice.choice(SPICE)
            case _:
                moved = octets[at:end]
                del octets[at:end]
                spot = dice.randrange(len(octets) + 1)
                octets[spot:spot] = moved
    return bytes(octets[:200_000])


def run(kind: str, count: int, *, seed: int = 0) -> float:
    """So many inputs of a kind, and what the corpus has. Returns the seconds that the slowest took.

    Raises:
        AssertionError: one was too slow.
        Exception: one raised; the input is in the corpus now.
    """
    kept = [path.read_bytes() for path in sorted(CORPUS.glob(f"{kind}-*"))]

    async def go() -> float:
        async with _worker(kind) as work:
            return await _run(work, kind, kept, count, random.Random(seed))

    return asyncio.run(go())


@asynccontextmanager
async def _worker(kind: str) -> AsyncIterator[Work]:
    """What reads inputs of a kind, ready."""
    plain: dict[str, Work] = {
        "dkim": fuzz_dkim,
        "arc": fuzz_arc,
        "key": fuzz_key,
        "spf": fuzz_spf,
        "words": fuzz_words,
        "mail": fuzz_mail,
    }
    with tempfile.TemporaryDirectory() as folder:
        if kind == "config":
            yield fuzz_config_in(Path(folder))
        elif kind == "smtp":
            desk = Desk()
            settings = s.SmtpSettings(
                listen=("127.0.0.1:0",), tls=False, max_per_ip=1_000, rate_recipient=0, rate_sender=0, rate_client=0
            )
            listeners = await serve(settings, desk.accept, KNOWN.__contains__, now=lambda: NOW, state_dir=Path(folder))
            yield Talk(desk, listeners)
            await listeners.close(timedelta(seconds=5))
        else:
            yield plain[kind]


async def _run(work: Work, kind: str, kept: list[bytes], count: int, dice: random.Random) -> float:
    slowest = 0.0
    for number in range(len(kept) + count):
        octets = kept[number] if number < len(kept) else mutated(dice.choice(SEEDS[kind]), dice)
        began = time.perf_counter()
        try:
            await work(octets)
            taken = time.perf_counter() - began
            assert taken < SLOWEST, f"{taken:.1f} s"
        except BaseException:
            (CORPUS / f"{kind}-{hashlib.sha256(octets).hexdigest()[:12]}").write_bytes(octets)
            raise
        slowest = max(slowest, taken)
    return slowest


def main() -> None:
    """The command."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--count", type=int, default=100_000)
    reader.add_argument("--kind", choices=sorted(SEEDS), action="append")
    reader.add_argument("--seed", type=int, default=0)
    chosen = reader.parse_args()
    for kind in chosen.kind or sorted(SEEDS):
        began = time.perf_counter()
        slowest = run(kind, chosen.count, seed=chosen.seed)
        seconds = time.perf_counter() - began
        sys.stdout.write(f"{kind}: {chosen.count} inputs in {seconds:.0f} s, slowest {slowest * 1000:.0f} ms, no fault\n")


if __name__ == "__main__":
    main()
