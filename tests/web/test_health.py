"""What machines are told: alive, ready, degraded or not, and the metrics; errors without internals."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from mailbridge.web.health import Health, Level, health_app


async def _metrics() -> bytes:
    return b"mailbridge_messages_total 1.0\n"


def asked(path: str, *, health: Health | Exception = Health(level=Level.READY), method: str = "GET") -> httpx.Response:  # noqa: B008
    """One answer of the routes."""

    async def ready() -> Health:
        if isinstance(health, Exception):
            raise health
        return health

    async def main() -> httpx.Response:
        routes = httpx.ASGITransport(health_app(ready=ready, metrics=_metrics), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=routes, base_url="http://mailbridge.localhost") as client:
            return await client.request(method, path)

    return asyncio.run(main())


@pytest.mark.parametrize(("level", "status"), [(Level.READY, 200), (Level.DEGRADED, 200), (Level.UNREADY, 503)])
def test_only_what_keeps_mail_out_is_unready(level: Level, status: int) -> None:
    """A target that is down is degraded, which is still 200; each part that is not well has a line."""
    answer = asked("/readyz", health=Health(level=level, checks={"target skyvern": "Skyvern refuses the API key (403)"}))
    assert answer.status_code == status
    assert answer.json() == {"status": str(level), "checks": {"target skyvern": "Skyvern refuses the API key (403)"}}


def test_alive_asks_nobody() -> None:
    """Whoever answers is alive, whatever else is wrong."""
    answer = asked("/healthz", health=RuntimeError("482913"))
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_metrics_are_prometheus_text() -> None:
    """The text of the exposition format 0.0.4."""
    answer = asked("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.content == asyncio.run(_metrics())


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nowhere"])
def test_nothing_is_kept_or_guessed_on_the_way(path: str) -> None:
    """No cache keeps an answer, and no browser guesses its type."""
    headers = asked(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/readyz", 405), ("GET", "/", 404)])
def test_errors_are_problem_json(method: str, path: str, status: int) -> None:
    """RFC 9457, with the status in it."""
    answer = asked(path, method=method)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_fault_of_ours_shows_no_internals() -> None:
    """500 with a plain title: neither words nor places of the fault."""
    answer = asked("/readyz", health=RuntimeError("482913 in /srv/secret"))
    assert answer.status_code == 500
    assert answer.json() == {"type": "about:blank", "title": "internal error", "status": 500}
