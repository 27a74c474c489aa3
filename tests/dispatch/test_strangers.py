"""Known senders and strangers at a receiver that is really asked over HTTP: whose row is the newest there, and how soon it is there."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mailbridge.core.delivery import UNFINISHED, Standing
from mailbridge.core.secret import Secret
from mailbridge.sinks.skyvern import Reach, SkyvernSink
from mailbridge.web.server import serve_app
from tests.dispatch.scripted import Post, post
from tests.loop import looped
from tests.store.mails import draft

PARTS = 10
INTERLEAVINGS = 100
"""A thousand in all, in parts that each end soon."""

AT_ONCE = 40
TIMEOUT = timedelta(milliseconds=600)
GRACE = timedelta(seconds=3)
LATEST = 1.3
"""Seconds after the request at which a late one is handled: well within its timeout and the grace after that, also where the machine
is slow."""

STRANGERS = 300
SLOW = 0.2


@dataclass
class Receiver:
    """Skyvern's two routes with rows in memory. ``dice`` None: every request is answered, after ``latency``; else only what comes again
    is for sure."""

    dice: random.Random | None = None
    latency: float = 0.0
    rows: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    asked: set[str] = field(default_factory=set)
    came: dict[str, float] = field(default_factory=dict)

    def app(self) -> Starlette:
        """The routes."""
        path = "/v1/credentials/totp"
        return Starlette(routes=[Route(path, self.take, methods=["POST"]), Route(path, self.show)])

    async def take(self, request: Request) -> Response:
        """Take a row in: at once, slowly, not at all, or when whoever sent it has long given up."""
        body = await request.json()
        is_again = body["content"] in self.asked
        self.asked.add(body["content"])
        mood = "well" if self.dice is None or is_again else self.dice.choice(("well", "well", "slow", "busy", "late"))
        if mood == "busy":
            return JSONResponse({"detail": "busy"}, status_code=503)
        if mood == "slow" and self.dice is not None:
            await asyncio.sleep(self.dice.uniform(0, 0.2))
        if mood == "late" and self.dice is not None:
            await asyncio.sleep(self.dice.uniform(TIMEOUT.total_seconds(), LATEST))
        await asyncio.sleep(self.latency)
        self.rows[body["totp_identifier"]].append(body["content"])
        self.came[body["content"]] = time.monotonic()
        return JSONResponse({"totp_code_id": "totp_1", "code": body["content"]})

    async def show(self, request: Request) -> Response:
        """The newest row."""
        rows = self.rows[request.query_params["totp_identifier"]]
        now = datetime.now(UTC).replace(tzinfo=None).isoformat()
        return JSONResponse([{"code": code, "content": code, "created_at": now} for code in rows[-1:]])


@asynccontextmanager
async def at_work(folder: Path, receiver: Receiver, *, timeout: timedelta, senders: int = 8) -> AsyncIterator[Post]:
    """A store and a dispatcher before a receiver that listens."""
    async with serve_app(receiver.app(), listen="127.0.0.1:0") as served:

        def sink(_: object) -> SkyvernSink:
            return SkyvernSink(
                base_url=f"http://{served.address}", api_key=Secret("key"), reach=Reach(timeout=timeout, connections=senders)
            )

        async with post(folder, sink, senders=senders, jitter=0.1, grace=GRACE) as one:
            yield one


@pytest.mark.parametrize("part", range(PARTS))
@looped
async def test_a_stranger_is_never_the_newest_while_a_known_code_lives(tmp_path: Path, part: int) -> None:
    """Of 1,000 random interleavings with a receiver that is slow, busy or late: behind a known sender's row none of a stranger's ever
    comes, and where a known sender's came in at all, his is the last."""
    receiver = Receiver(dice=random.Random(part))
    dice = random.Random(2026 + part)
    gate = asyncio.Semaphore(AT_ONCE)
    async with at_work(tmp_path, receiver, timeout=TIMEOUT, senders=32) as one:

        async def interleave(number: int) -> None:
            identifier = f"user{number}@corp.example"
            senders = [("site.example", Standing.KNOWN), *((f"x{nth}.example", Standing.FIRST_SEEN) for nth in range(3))]
            pauses = [(*dice.choice(senders), dice.choice((0.0, 0.0, 0.02, 0.3))) for _ in range(dice.randint(2, 7))]
            async with gate:
                for nth, (domain, standing, pause) in enumerate(pauses):
                    code = f"{'k' if standing is Standing.KNOWN else 's'}{number}n{nth}"
                    await one.take(draft(code, identifier=identifier, sender=f"a@{domain}", domain=domain, standing=standing))
                    await asyncio.sleep(pause)
            is_known = any(standing is Standing.KNOWN for _, standing, _ in pauses)
            expected[identifier] = is_known

        expected: dict[str, bool] = {}
        await asyncio.gather(*(interleave(number) for number in range(INTERLEAVINGS)))
        async with asyncio.timeout(20):
            while any(count for state, count in (await one.store.outbox.counts()).items() if state in UNFINISHED):
                await asyncio.sleep(0.1)
        await asyncio.sleep(LATEST)  # what was given up on may still be handled
    wrong = []
    for identifier, is_known in expected.items():
        kinds = "".join(code[0] for code in receiver.rows[identifier])
        if "ks" in kinds or (is_known and not kinds.endswith("k")):
            wrong.append((identifier, kinds))
    assert wrong == []
    assert sum(expected.values()) > INTERLEAVINGS / 2
    assert sum("s" in "".join(rows) for rows in receiver.rows.values()) > INTERLEAVINGS / 10


def of_stranger(number: int, *, to: str = "ann@corp.example", domain: str = "") -> tuple[str, str, str]:
    """Code, identifier and domain of the mail of that number."""
    return f"s{number}", to, domain or f"x{number}.example"


async def delay(folder: Path, *, standing: Standing, domains: int, targets: int) -> float:
    """How long a site's code took to a receiver of SLOW, put while STRANGERS mails of strangers wait."""
    receiver = Receiver(latency=SLOW)
    async with at_work(folder, receiver, timeout=timedelta(seconds=10)) as one:
        for number in range(STRANGERS):
            to = f"user{number % targets}@corp.example"
            code, identifier, domain = of_stranger(number, to=to, domain=f"x{number % domains}.example")
            sender = f"a{number}@{domain}"
            await one.take(draft(code, identifier=identifier, sender=sender, domain=domain, standing=Standing.FIRST_SEEN))
        began = time.monotonic()
        await one.take(
            draft("site", identifier="user0@corp.example", sender="a@site.example", domain="site.example", standing=standing)
        )
        async with asyncio.timeout(60):
            while "site" not in receiver.came:
                await asyncio.sleep(0.005)
        return receiver.came["site"] - began


@looped
async def test_strangers_mails_do_not_delay_a_known_site(tmp_path: Path) -> None:
    """With 300 of them waiting, of many domains, for its identifier or for others, a known site's code is there within 1 s."""
    for name, domains, targets in (("one", STRANGERS, 1), ("few", 3, 1), ("all", STRANGERS, STRANGERS)):
        (tmp_path / name).mkdir()
        assert await delay(tmp_path / name, standing=Standing.KNOWN, domains=domains, targets=targets) <= 1.0, name


@looped
async def test_strangers_mails_hardly_delay_a_site_that_is_not_known(tmp_path: Path) -> None:
    """An unknown site alone among 300 others' mails is there within 5 s: only so many wait, of one domain and of all."""
    for name, domains in (("many", STRANGERS), ("one", 1)):
        (tmp_path / name).mkdir()
        assert await delay(tmp_path / name, standing=Standing.FIRST_SEEN, domains=domains, targets=1) <= 5.0, name
