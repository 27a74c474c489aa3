"""Mail over HTTP beside SMTP, in turn against one daemon: ``python -m tests.bench.ingest [--rounds 5] [--memory]``.

Prints the time from the end of a POST (of DATA) to the push, and mails a second with 20 connections, each with the ratio; the median
round counts, and for p99 the mails of all rounds together: of a hundred mails p99 is nothing but the slowest one. ``--memory``: how far the peak of the daemon's resident memory rises with one mail of 25 MB, by each way in.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvloop

from tests.bench.load import RCPT, Client, Figures, Opener, Poster, Sink, all_at_once, one_by_one
from tests.ingress.http import posts
from tests.peers.daemon import Daemon, House, wait_for

CONNECTIONS = 20
LATENCIES, MAILS = 100, 1_000
LARGE = 25_000_000
SECRETS = {
    "mailgun_key": "mailgun",
    "postmark_password": "postmark",
    "cloudmailin_password": "cloudmailin",
    "forwardemail_key": "forwardemail",
}


async def speeds(folder: Path, rounds: int) -> None:
    """Measure and print both ways."""
    sink = Sink()
    server = await sink.listen()
    more = "[ingest]\n"
    house = House(folder, f"http://127.0.0.1:{sink.port}", form="json", level="warning", more=more)
    daemon = house.start()
    try:
        await asyncio.to_thread(daemon.until_ready)
        token = await asyncio.to_thread(house.token)

        def poster(port: int) -> Poster:
            return Poster(port, token)

        ways: tuple[tuple[str, int, Opener], ...] = (("smtp", house.smtp, Client), ("http", house.http, poster))
        found: dict[str, list[tuple[Figures, Figures]]] = {"smtp": [], "http": []}
        first = 0
        for number in range(rounds + 1):
            for name, port, opener in ways if number % 2 else ways[::-1]:
                slow = await one_by_one(port, sink, count=LATENCIES, gap=0.02, first=first, opener=opener)
                fast = await all_at_once(
                    port, sink, count=MAILS, connections=CONNECTIONS, is_reused=True, first=first + LATENCIES, opener=opener
                )
                first += LATENCIES + MAILS
                if number:  # the first round only warms up
                    found[name].append((slow, fast))
        for title, ours in (
            ("push p50, ms", lambda one: one[0].push_at(0.5)),
            ("mails/s, 20 connections", lambda one: one[1].per_second),
        ):
            smtp, http = (statistics.median(map(ours, found[name])) for name in ("smtp", "http"))
            print(f"{title:28} smtp {smtp:9.2f}   http {http:9.2f}   {http / smtp:.2f} ×")
        for share in (0.9, 0.99):
            smtp, http = (_at(share, [push for slow, _ in found[name] for push in slow.push]) for name in ("smtp", "http"))
            print(f"{f'push p{share * 100:.0f} of all rounds, ms':28} smtp {smtp:9.2f}   http {http:9.2f}   {http / smtp:.2f} ×")
    finally:
        daemon.kill()
        server.close()


def _at(share: float, found: list[float]) -> float:
    """A quantile."""
    return sorted(found)[min(len(found) - 1, int(share * len(found)))]


def large() -> bytes:
    """A mail of 25 MB in 7-bit octets, as attachments are sent."""
    line = base64.b64encode(bytes(54)) + b"\r\n"
    head = posts.MAIL.replace(
        b"\r\n\r\n",
        b"\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        1,
    )
    return head + line * ((LARGE - len(head)) // len(line))


def peak_of(daemon: Daemon) -> int:
    """The most that the daemon's process has had resident since it was last forgotten, in octets (proc(5), VmHWM)."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1_024


def rises(folder: Path, way: str) -> float:
    """How far the peak rises with one large mail by a way in, in MiB, above what the daemon took before it."""
    for key in SECRETS:
        file = folder / key
        file.write_text(posts.KEY.reveal() + "\n")
        file.chmod(0o600)
    sendgrid = f'sendgrid_key = "{posts.public_key()}"\nses_topics = ["{posts.TOPIC}"]'
    more = "\n".join(["[ingest]", *(f'{key}_file = "{folder / key}"' for key in SECRETS), sendgrid])
    more = f'[domains]\naccept = ["bridge.example", "mailbridge.localhost"]\n{more}'
    house = House(folder, "http://127.0.0.1:9", level="warning", more=more)
    with house.running() as daemon:
        token = house.token()
        house.send("48291300", identifier="ann@example.com")
        url = f"http://127.0.0.1:{house.http}/ingest"
        provider = next((one for one in posts.PROVIDERS if one.name == way), None)
        posted = provider.post(large() if provider else posts.MAIL, datetime.now(UTC)) if provider else None
        if provider is not None and way != "ses":  # what is loaded at the first post is no part of it
            small = provider.post(posts.MAIL, datetime.now(UTC))
            httpx.post(f"{url}/{way}", content=small.body, headers=dict(small.headers), trust_env=False, timeout=60)
            if way == "mailgun":
                posted = posts.mailgun(large(), datetime.now(UTC), token="u" * 50)
        elif way == "mime":
            house.post("48291301", identifier="ann@example.com", sender="a@larch.example", token=token)
        Path(f"/proc/{daemon.process.pid}/clear_refs").write_text("5")
        before = peak_of(daemon)
        if posted is not None:
            answer = httpx.post(f"{url}/{way}", content=posted.body, headers=dict(posted.headers), trust_env=False, timeout=60)
            # SNS takes no message of that size: it is refused before its signature is looked at.
            assert answer.status_code == (413 if way == "ses" else 200), answer.text
        elif way == "mime":
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
            answer = httpx.post(
                f"{url}/mime", params={"rcpt": RCPT}, content=large(), headers=headers, trust_env=False, timeout=60
            )
            assert answer.status_code == 204, answer.text
        else:
            import smtplib

            with smtplib.SMTP("127.0.0.1", house.smtp, timeout=60) as client:
                client.sendmail("a@larch.example", [RCPT], large())
        wait_for(lambda: daemon.get("/healthz").status_code == 200, "it is alive")
        return (peak_of(daemon) - before) / (1 << 20)


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--memory", action="store_true")
    chosen = options.parse_args()
    if not chosen.memory:
        with tempfile.TemporaryDirectory() as folder:
            uvloop.run(speeds(Path(folder), chosen.rounds))
        return
    for way in ("smtp", "mime", "mailgun", "postmark", "cloudmailin", "forwardemail", "sendgrid", "ses"):
        with tempfile.TemporaryDirectory() as folder:
            print(f"25 MB by {way:14} adds {rises(Path(folder), way):6.1f} MiB", flush=True)


if __name__ == "__main__":
    main()
