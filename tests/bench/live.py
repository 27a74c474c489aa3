"""The live page under looks: ``python -m tests.bench.live [ROUNDS]``.

Pushes with twenty streams of the feed open beside pushes without, in turns; what the streams take of memory; and in a Chromium, where there
is one, the time from the commit of a mail to its line in the document.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import pytest

from tests.bench.load import RCPT, Sink, one_by_one
from tests.bench.memory import memory_of
from tests.peers.browser import Browser, running_browser
from tests.web.daemon import Daemon, running_daemon

CLIENTS = 20
MAILS = 40
GAP = 0.05
SETTLED = 0.5
WATCH = """
    const page = await open("live", {}); await page.goto(given.link); await page.waitForURL(given.base + "/");
    await page.waitForSelector("#live:text('Live')");
    await page.evaluate(() => { window.seen = {}; const feed = document.getElementById("feed");
      new MutationObserver((all) => { const now = Date.now(); for (const one of all) for (const node of one.addedNodes)
        if (node.id && !(node.id in window.seen)) window.seen[node.id] = now; }).observe(feed, {childList: true}); });"""


def entered(daemon: Daemon) -> str:
    """The cookie of a new login, as a header."""
    link = daemon.run("login").stdout.strip()
    base = f"http://{daemon.http}"
    answer = httpx.post(f"{base}/login", data={"token": link.partition("#")[2]}, headers={"Origin": base}, trust_env=False)
    assert answer.status_code == 303, answer.text
    return "; ".join(f"{name}={value}" for name, value in answer.cookies.items())


def listen(address: str, cookie: str, is_open: Event, is_over: Event) -> None:
    """Read twenty streams until it is over, in a process of its own."""

    async def one() -> None:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /feed?after=0 HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n".encode())
        assert b" 200 " in await reader.readline()
        while await reader.read(65_536):
            pass

    async def everybody() -> None:
        tasks = [asyncio.create_task(one()) for _ in range(CLIENTS)]
        await asyncio.sleep(SETTLED)
        is_open.set()
        await asyncio.to_thread(is_over.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(everybody())


@contextmanager
def streams(daemon: Daemon, cookie: str) -> Iterator[None]:
    """Twenty streams, for the length of the block."""
    context = multiprocessing.get_context("spawn")
    is_open, is_over = context.Event(), context.Event()
    process = context.Process(target=listen, args=(daemon.http, cookie, is_open, is_over))
    process.start()
    try:
        assert is_open.wait(60)
        yield
    finally:
        is_over.set()
        process.join(30)


async def pushes(daemon: Daemon, sink: Sink, first: int) -> list[float]:
    """Milliseconds from the end of each mail to its code at the target."""
    figures = await one_by_one(int(daemon.smtp.rpartition(":")[2]), sink, count=MAILS, gap=GAP, first=first)
    return list(figures.push)


def watched(daemon: Daemon, browser: Browser) -> None:
    """Note when each line comes into the document."""
    browser.run(WATCH, link=daemon.run("login").stdout.strip(), base=f"http://{daemon.http}")


def delays(daemon: Daemon, browser: Browser) -> list[float]:
    """Milliseconds from a mail's commit, as the journal has it, to its line in the document."""
    seen: dict[str, int] = browser.run("return await pages.live.evaluate(() => window.seen)")
    stored: dict[str, str] = {}
    after, is_more = 0, True
    while is_more:  # a page has a thousand lines at the most, and the rounds before have made more
        url = f"http://{daemon.http}/api/v1/journal?after={after}&limit=1000"
        lines = httpx.get(url, headers=daemon.headers, trust_env=False).raise_for_status().json()["lines"]
        stored |= {f"mail-{one['mail']}": one["at"] for one in lines if one["event"] == "stored"}
        after, is_more = (lines[-1]["id"], True) if lines else (after, False)
    return [at - datetime.fromisoformat(stored[name]).timestamp() * 1000 for name, at in seen.items() if name in stored]


async def main(rounds: int) -> None:
    """Print the figures."""
    sink = Sink()
    server = await sink.listen()
    more = (
        f'[skyvern]\nbase_url = "http://127.0.0.1:{sink.port}"\napi_key = "a-key-of-the-bench"\n[identity]\nlearn_from_skyvern = false\n'
        f'[[address]]\nrcpt = "{RCPT}"\n'
    )
    with tempfile.TemporaryDirectory() as folder, running_daemon(Path(folder), more) as daemon:
        database = Path(folder) / "mailbridge.db"
        cookie = await asyncio.to_thread(entered, daemon)
        httpx.get(f"http://{daemon.http}/", headers={"Cookie": cookie}, trust_env=False).raise_for_status()
        alone: list[float] = []
        looked: list[float] = []
        await pushes(daemon, sink, 1_000)
        before, during = memory_of(daemon.pid, database, "without streams").pss, 0.0
        for number in range(rounds):
            alone += await pushes(daemon, sink, 2_000 + 200 * number)
            with streams(daemon, cookie):
                looked += await pushes(daemon, sink, 2_100 + 200 * number)
                during = max(during, memory_of(daemon.pid, database, "with streams").pss)
        less, more_ms = statistics.median(alone), statistics.median(looked)
        sys.stdout.write(f"push p50: {less:.2f} ms alone, {more_ms:.2f} ms with {CLIENTS} streams: {more_ms / less:.2f}\n")
        sys.stdout.write(f"memory: {before:.1f} MB, with {CLIENTS} streams {during:.1f} MB: {during - before:+.1f} MB\n")
        try:
            with running_browser(Path(folder) / "browser", f"http://{daemon.http}") as browser:
                await asyncio.to_thread(watched, daemon, browser)
                await pushes(daemon, sink, 9_000)
                await asyncio.sleep(SETTLED)
                found = sorted(delays(daemon, browser))
                at = statistics.quantiles(found, n=20)
                sys.stdout.write(f"commit to document: p50 {at[9]:.1f} ms, p95 {at[18]:.1f} ms of {len(found)}\n")
        except pytest.skip.Exception as why:
            sys.stdout.write(f"commit to document: not measured: {why}\n")
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
