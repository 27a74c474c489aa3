"""Mutated octets through everything that reads what strangers write, and through the configuration: no exception, no hang.

``python -m tests.fuzz.fuzz --count 100000 --kind dkim`` runs one kind; without ``--kind`` each of them gets the count. Seeds are
those of the kinds and the inputs of ``tests/fuzz/corpus/<kind>``, which `make test` reads too. An input that fails is written there
as ``fault-…``; the others were grown by ``python -m tests.fuzz.grow``: each takes steps through mailbridge that no seed takes.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from tests.fuzz import kinds
from tests.fuzz.imap_talk import SEEDS as IMAP_SEEDS
from tests.fuzz.imap_talk import imap_talk
from tests.fuzz.kinds import Work
from tests.fuzz.talk import HTTP_SEEDS, SLOWEST, SMTP_SEEDS, Unnoticed, http_talk, smtp_talk

CORPUS = Path(__file__).parent / "corpus"
FAULT = "fault-"
LANES = {"http": 8}
"""Inputs of a kind at once, where most of the time is the other side's silence."""

SPICE = (
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n ", b";", b"=", b":", b"(", b")", b'"', b"\\", b"@", b"%", b"\xff", b"\xc3\xa9", b"i=2;", b"l=1;",
    b"h=from", b"p=", b"v=DKIM1", b"a=rsa-sha256;", b"t=99999999999999999999", b"x=-1", b"DKIM-Signature: ", b"ARC-Seal: i=1; ", b"From: ",
    b"=?utf-8?q?=00?=", b"v=spf1 ", b"include:", b"/999", b"%{i}", b"[", b"]", b"{", b"}", b"'''", b"1e999", b"true", b"\xf0\x9f\x98\x80",
)  # fmt: skip
HTTP_SPICE = (
    b"%00", b"%ff", b"%2f", b"%0d%0a", b"/../", b"?", b"&", b"#", b"+", b" HTTP/1.0\r\n", b" HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r\n",
    b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999999\r\n", b"0\r\n\r\n",
    b"ffffffffffffffff\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n",
    b"HEAD ", b"POST ", b"OPTIONS ", b"X-Forwarded-For: ", b"identifier=", b"consume=true&", b"timeout=60&", b"limit=-1&", b"\xed\xa0\x80",
)  # fmt: skip
SEEDS: dict[str, tuple[bytes, ...]] = {**kinds.SEEDS, "smtp": SMTP_SEEDS, "http": HTTP_SEEDS, "imap": IMAP_SEEDS}


def mutated(seed: bytes, dice: random.Random, spice: Sequence[bytes] = SPICE) -> bytes:
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
                octets[at:at] = dice.choice(spice)
            case 4:
                octets[at:end] = dice.choice(spice)
            case _:
                moved = octets[at:end]
                del octets[at:end]
                spot = dice.randrange(len(octets) + 1)
                octets[spot:spot] = moved
    return bytes(octets[:200_000])


def corpus(kind: str) -> list[bytes]:
    """The kept inputs of a kind, shortest first."""
    return sorted((path.read_bytes() for path in (CORPUS / kind).glob("*")), key=lambda octets: (len(octets), octets))


def mutations(kind: str, kept: Sequence[bytes], dice: random.Random) -> Iterator[bytes]:
    """Inputs of a kind without end: as many from its seeds, which are whole, as from what is kept, which is mostly short."""
    spice = (*SPICE, *HTTP_SPICE) if kind == "http" else SPICE
    while True:
        yield mutated(dice.choice(dice.choice((SEEDS[kind], kept)) or SEEDS[kind]), dice, spice)


def run(kind: str, count: int, *, seed: int = 0) -> float:
    """So many inputs of a kind, and what the corpus has. Returns the seconds that the slowest took.

    Raises:
        AssertionError: one was too slow, or answered as it must not be.
        Exception: one raised; the input is in the corpus now.
    """
    kept = corpus(kind)
    fresh = mutations(kind, kept, random.Random(seed))
    inputs = _first(kept, fresh, count)

    async def go() -> float:
        async with worker(kind) as work:
            return await _run(work, kind, inputs)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(go())


def _first(kept: Sequence[bytes], fresh: Iterator[bytes], count: int) -> Iterator[bytes]:
    yield from kept
    for _ in range(count):
        yield next(fresh)


@asynccontextmanager
async def worker(kind: str) -> AsyncIterator[Work]:
    """What reads inputs of a kind, ready."""
    match kind:
        case "config":
            with tempfile.TemporaryDirectory() as folder:
                yield kinds.fuzz_config_in(Path(folder))
        case "smtp":
            async with smtp_talk() as smtp:
                yield smtp
        case "http":
            async with http_talk() as http:
                yield http
        case "imap":
            async with imap_talk() as imap:
                yield imap
        case _:
            yield kinds.PLAIN[kind]


async def _run(work: Work, kind: str, inputs: Iterator[bytes]) -> float:
    slowest = 0.0
    in_hand: set[bytes] = set()

    async def lane() -> None:
        nonlocal slowest
        for octets in inputs:
            in_hand.add(octets)
            began = time.perf_counter()
            try:
                await work(octets)
                taken = time.perf_counter() - began
                assert taken < SLOWEST, f"{taken:.1f} s"
            except asyncio.CancelledError:
                raise
            except Unnoticed:
                for one in in_hand:  # which of them it was is not known
                    keep(path_of(kind, one, is_fault=True), one)
                raise
            except BaseException:
                keep(path_of(kind, octets, is_fault=True), octets)
                raise
            in_hand.discard(octets)
            slowest = max(slowest, taken)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(LANES.get(kind, 1)):
                group.create_task(lane())
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None
    return slowest


def path_of(kind: str, octets: bytes, *, is_fault: bool = False) -> Path:
    """Where the corpus has an input, or would have it."""
    return CORPUS / kind / f"{FAULT if is_fault else ''}{hashlib.sha256(octets).hexdigest()[:12]}"


def is_fault(path: Path) -> bool:
    """Whether an input is in the corpus for a fault that it found."""
    return path.name.startswith(FAULT)


def keep(path: Path, octets: bytes) -> None:
    """Write an input to the corpus."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(octets)


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
