"""Skyvern as an operator asks it: what it says is taken as it is said, and what it refuses is told without the secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mailbridge.core.otpauth import read_secrets
from mailbridge.core.secret import Secret
from mailbridge.sinks.skyvern_account import SkyvernAccount, SkyvernError, why_refused

KEY = "a-key-of-skyvern"


class Scripted(ThreadingHTTPServer):
    """Answers as it is told to: path to status and JSON."""

    daemon_threads = True

    def __init__(self, answers: dict[str, tuple[int, Any]], ahead: timedelta) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.ahead = ahead
        self.asked: list[tuple[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, Scripted)
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.asked.append((self.path, json.loads(body) if body else None))
        status, answer = server.answers.get(f"{self.command} {parts.path}", (404, {}))
        if callable(answer):
            answer = answer(parse_qs(parts.query))
        octets = json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Date", format_datetime(datetime.now(UTC) + server.ahead, usegmt=True))
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    do_GET = do_POST = _answer  # noqa: N815  (the names that http.server looks for)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Nothing."""


@contextmanager
def account(answers: dict[str, tuple[int, Any]], ahead: timedelta = timedelta()) -> Iterator[tuple[SkyvernAccount, Scripted]]:
    """An account at a scripted server."""
    server = Scripted(answers, ahead)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield SkyvernAccount(base_url=f"http://127.0.0.1:{server.server_address[1]}", api_key=Secret(KEY)), server
    finally:
        server.shutdown()
        server.server_close()


def row(number: int) -> dict[str, Any]:
    """A credential as it is listed."""
    return {
        "credential_id": f"cred_{number}",
        "name": "x",
        "credential": {"username": "u", "totp_identifier": f"{number}@corp.com"},
    }


def page(query: dict[str, list[str]]) -> list[dict[str, Any]]:
    """A page of 250 credentials."""
    first, size = int(query["page"][0]), int(query["page_size"][0])
    return [row(number) for number in range(250)][(first - 1) * size : first * size]


@pytest.mark.parametrize("ahead", [-3600, 0, 40])
def test_version_credentials_and_clock_are_told(ahead: int) -> None:
    """Every page of credentials, and how far its clock is off, to the second that HTTP tells."""
    answers = {
        "GET /v1/credentials/totp": (200, []),
        "GET /v1/version": (200, {"version": "1.0.56"}),
        "GET /v1/credentials": (200, page),
    }
    with account(answers, timedelta(seconds=ahead)) as (asked, _):
        found = asked.look()
    assert found.version == "1.0.56"
    assert [one.totp_identifier for one in found.credentials] == [f"{number}@corp.com" for number in range(250)]
    assert found.clock_ahead is not None
    assert abs(found.clock_ahead.total_seconds() - ahead) < 3


@pytest.mark.parametrize(
    ("status", "answer", "what"),
    [
        (403, {"detail": "Could not validate credentials"}, "refuses the API key"),
        (302, {}, "base_url"),
        (404, {}, "base_url"),
        (500, {}, "answered 500"),
    ],
)
def test_what_it_refuses_is_told_without_the_key(status: int, answer: Any, what: str) -> None:
    """A bad key, a redirect (not followed), another server: one sentence, no key in it."""
    with account({"GET /v1/credentials/totp": (status, answer)}) as (asked, server):
        with pytest.raises(SkyvernError, match=what) as caught:
            asked.look()
        assert len(server.asked) == 1
    assert KEY not in str(caught.value)


def test_nobody_there_is_told() -> None:
    """A connection that is refused is no traceback."""
    with pytest.raises(SkyvernError, match="cannot be reached"):
        SkyvernAccount(base_url="http://127.0.0.1:9", api_key=Secret(KEY)).look()


def test_a_secret_goes_out_whole_and_a_refusal_does_not_repeat_it() -> None:
    """Algorithm, digits and period go along; what Skyvern will not take is explained without the secret."""
    (one,) = read_secrets("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA256&digits=8&period=60")
    with account({"POST /v1/credentials": (201, {"credential_id": "cred_1"})}) as (asked, server):
        assert asked.add(one, name="n", username="u", password=Secret("p"), identifier="ann@corp.com") == "cred_1"
        (_, sent) = server.asked[0]
        assert sent["credential"]["totp_type"] == "authenticator"
        assert sent["credential"]["totp_identifier"] == "ann@corp.com"
        assert all(part in sent["credential"]["totp"] for part in ("algorithm=SHA256", "digits=8", "period=60"))
    refusal = {"detail": {"error_code": "invalid_authenticator_key"}}
    with account({"POST /v1/credentials": (400, refusal)}) as (asked, _), pytest.raises(SkyvernError) as caught:
        asked.add(one, name="n", username="u", password=Secret("p"), identifier=None)
    assert "GEZDGNBV" not in str(caught.value)


@pytest.mark.parametrize("code", ["000000x", None, 7])
def test_another_code_is_not_ours(code: Any) -> None:
    """Only the code of this period, or of one beside it, counts as the same."""
    (one,) = read_secrets("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    with account({"GET /v1/credentials/c/totp-code": (200, {"code": code, "seconds_remaining": 1})}) as (asked, _):
        assert not asked.is_same_code("c", one)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("https://codes.example.com/skyvern/totp/ann@corp.com", None),
        ("http://8.8.8.8:8025/x", None),
        ("https://[2606:4700::1111]/x", None),
        ("http://127.0.0.1:8025/x", "loopback"),
        ("http://127.1/x", "loopback"),
        ("http://2130706433/x", "loopback"),
        ("http://0x7f.1/x", "loopback"),
        ("http://[::1]/x", "loopback"),
        ("http://[::ffff:127.0.0.1]/x", "loopback"),
        ("http://10.0.0.5/x", "private"),
        ("http://172.16.0.1/x", "private"),
        ("http://192.168.1.2/x", "private"),
        ("http://169.254.169.254/x", "private"),
        ("http://100.64.0.1/x", "private"),
        ("http://[fd00::1]/x", "private"),
        ("http://224.0.0.1/x", "no address of a host"),
        ("http://localhost/x", "inside"),
        ("http://LOCALHOST./x", "inside"),
        ("http://bridge.local/x", "inside"),
        ("http://bridge.corp.internal/x", "inside"),
        ("http://a.svc.cluster.local/x", "inside"),
        ("ftp://codes.example.com/x", "not an http"),
        ("https://codes.example.com/" + "x" * 2_100, "longer"),
    ],
)
def test_hosts_that_skyvern_refuses_are_known(url: str, what: str | None) -> None:
    """Its guard's rules, in every spelling of an address."""
    reason = why_refused(url)
    assert (reason is None) if what is None else (reason is not None and what in reason)
