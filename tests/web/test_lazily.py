"""An app that is made when it is first asked for, and what a daemon has loaded before."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from mailbridge.web.health import Health, Level, health_app
from mailbridge.web.lazily import Lazily
from tests.loop import looped

PROGRAM = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
import httpx
from mailbridge.app.daemon import bridge
from tests.test_app import settings_in

WEB = ("mailbridge.operator.verbs", "mailbridge.app.routes", "mailbridge.web.pull", "mailbridge.web.openapi")

async def main(folder):
    async with bridge(settings_in(folder), state_dir=folder) as running:
        async with httpx.AsyncClient(base_url=f"http://{running.http_address}", trust_env=False, timeout=60) as client:
            found = [(await client.get("/readyz")).status_code, (await client.get("/metrics")).status_code]
            print(*found, *(name for name in WEB if name in sys.modules))
            print((await client.get("/openapi.json")).status_code, (await client.get("/api/v1/codes")).status_code)
            print((await client.get("/nothing")).status_code, (await client.post("/healthz")).status_code)

asyncio.run(main(Path(sys.argv[1])))
"""


async def _ready() -> Health:
    return Health(level=Level.READY)


async def _metrics() -> bytes:
    return b""


def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


@looped
async def test_it_is_made_once_and_again_where_that_failed() -> None:
    """Nothing is made for health; many first requests have it made once; a failure is a 500, after which the next one tries again."""
    made: list[str] = []

    async def make() -> ASGIApp:
        made.append("begun")
        await asyncio.sleep(0)
        if len(made) == 1:
            raise OSError("not this time")
        return Router(routes=[Route("/hello", _hello)])

    app = health_app(ready=_ready, metrics=_metrics, rest=Lazily(make))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert made == []
        assert (await client.get("/hello")).status_code == 500
        answers = await asyncio.gather(*(client.get("/hello") for _ in range(5)))
        assert [one.text for one in answers] == ["hello"] * 5
        assert made == ["begun"] * 2
        missing = await client.get("/nothing")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


def test_a_daemon_loads_what_people_ask_when_they_ask(tmp_path: Path) -> None:
    """After its start, health and metrics it has loaded none of the API; then it answers as ever, also what has no route."""
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split("\n")[:3] == ["200 200", "200 401", "404 405"]
