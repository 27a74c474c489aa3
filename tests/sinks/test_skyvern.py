"""A push against servers that answer everything there is, octet for octet, on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mailbridge.core.delivery import Accepted, Claim, Deferred, Delivery, Doubtful, Draft, Outcome, Refused, State
from mailbridge.core.secret import Secret
from mailbridge.sinks.asking import MAX_ANSWER, Answer, decoded
from mailbridge.sinks.skyvern import Reach, SkyvernSink, api_key_from_credentials_file, endpoint
from mailbridge.sinks.skyvern_pages import Login
from tests.loop import PATIENCE
from tests.peers.scripted import Play, Scripted, answer, drip, flood, reset, scripted, silence

CODE = "482913"
KEY = "eyJhbGciOi-key-in-these-tests"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
QUICK = timedelta(milliseconds=400)
TAKEN: dict[str, object] = {"totp_code_id": "totp_1", "code": CODE, "content": CODE, "otp_type": "totp"}


T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run in a loop of the kind that the daemon has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def claim(
    content: str = CODE,
    *,
    run: str | None = None,
    without_run: bool = False,
    kind: Literal["code", "link", "body"] = "code",
    identifier: str = "Ann+acme@example.com",
    expires_at: datetime = NOW + timedelta(minutes=10),
) -> Claim:
    """A delivery that came in at NOW and lives for ten minutes."""
    draft = Draft(
        target="skyvern",
        identifier=identifier,
        kind=kind,
        content=Secret(content),
        sender="no-reply@larch.example",
        lifetime=timedelta(minutes=10),
        workflow_run_id=run,
    )
    delivery = Delivery(
        id=1,
        draft=draft,
        state=State.IN_FLIGHT,
        received_at=NOW,
        deadline=NOW + timedelta(minutes=10),
        due_at=NOW,
        without_run=without_run,
    )
    return Claim(delivery=delivery, fencing_token=1, lease_until=NOW + timedelta(minutes=1), expires_at=expires_at)


def sink_at(base_url: str, **more: Any) -> SkyvernSink:
    """A sink whose wall clock stands at NOW."""
    reach = {"timeout": timedelta(seconds=5), **{key: more.pop(key) for key in ("timeout", "use_env_proxy") if key in more}}
    return SkyvernSink(base_url=base_url, api_key=Secret(KEY), reach=Reach(**reach), **{"wall": lambda: NOW, **more})


def asked(scene: bytes | Play, question: Callable[[SkyvernSink], Awaitable[Any]], **more: Any) -> tuple[Any, Scripted]:
    """What a sink says of a server that plays one scene, and what that server heard."""

    async def main() -> tuple[Any, Scripted]:
        async with scripted(scene) as server:
            sink = sink_at(server.base_url, **more)
            try:
                return await question(sink), server
            finally:
                await sink.aclose()

    return run(main())


def pushed(scene: bytes | Play, one: Claim | None = None, **more: Any) -> tuple[Outcome, Scripted]:
    """What a push comes to. Whatever it is, its words hold neither the code nor the key."""
    outcome, server = asked(scene, lambda sink: sink.push(one or claim()), **more)
    assert CODE not in repr(outcome)
    assert KEY not in repr(outcome)
    return outcome, server


def test_the_request_is_what_skyvern_documents() -> None:
    """One POST with the key, the code, the identifier as configured, the source, and the end of its life in UTC."""
    outcome, server = pushed(answer(200, TAKEN), claim(run="wr_1"))
    assert outcome == Accepted(ref="totp_1")
    (heard,) = server.heard
    assert (heard.method, heard.target) == ("POST", "/v1/credentials/totp")
    assert heard.json() == {
        "totp_identifier": "Ann+acme@example.com",
        "content": CODE,
        "source": "email",
        "expired_at": "2026-05-01T12:10:00Z",
        "workflow_run_id": "wr_1",
    }
    assert heard.headers["x-api-key"] == [KEY]
    assert heard.headers["host"] == [server.address]
    assert heard.headers["content-type"] == ["application/json"]
    assert heard.headers["content-length"] == [str(len(heard.body))]
    assert heard.headers["accept-encoding"] == ["identity"]


def test_a_push_without_its_run_carries_none() -> None:
    """Once Skyvern called the run stale, the code goes without it."""
    _, server = pushed(answer(200, TAKEN), claim(run="wr_1", without_run=True))
    assert "workflow_run_id" not in server.heard[0].json()


def test_an_expiry_in_another_zone_is_sent_in_utc() -> None:
    """Skyvern releases that drop the offset must not see one."""
    zone = timedelta(hours=5, minutes=30)
    local = (NOW + timedelta(minutes=3) + zone).replace(tzinfo=None)
    expires_at = datetime.fromisoformat(f"{local.isoformat()}+05:30")
    _, server = pushed(answer(200, TAKEN), claim(expires_at=expires_at))
    assert server.heard[0].json()["expired_at"] == "2026-05-01T12:03:00Z"


def test_text_that_is_no_utf8_is_sent_nevertheless() -> None:
    """A lone surrogate, which JSON cannot carry, does not break the push."""
    outcome, server = pushed(answer(200, TAKEN), claim("k\ud800ey", kind="body"))
    assert isinstance(outcome, Accepted)
    assert server.heard[0].json()["content"] == "k?ey"


DEFERRED = (408, 409, 429, 500, 502, 503, 504)
ALARMS = (401, 403)
REFUSED = (201, 202, 204, 206, 400, 402, 406, 410, 413, 418, 422, 451, 501, 505, 599)
REDIRECTS = (300, 301, 302, 303, 304, 307, 308)
ADDRESS = (404, 405)


@pytest.mark.parametrize("status", DEFERRED)
def test_what_may_pass_is_tried_again(status: int) -> None:
    """Statuses of a server in trouble put the code off, without an alarm."""
    outcome, _ = pushed(answer(status, {"detail": f"{CODE} {KEY}"}))
    assert outcome == Deferred(reason=f"Skyvern answered {status}")


@pytest.mark.parametrize("status", ALARMS)
def test_a_refused_key_is_an_alarm_and_keeps_the_code(status: int) -> None:
    """The code waits for the key to be repaired, until its time is over."""
    outcome, _ = pushed(answer(status, {"detail": "Could not validate credentials"}))
    assert isinstance(outcome, Deferred)
    assert outcome.is_alarm


@pytest.mark.parametrize("status", REFUSED)
def test_what_will_not_pass_is_refused(status: int) -> None:
    """Statuses that say no for good make a dead letter, without an alarm."""
    outcome, _ = pushed(answer(status, b"" if status == 204 else b'{"detail": "no"}'))
    assert outcome == Refused(reason=f"Skyvern answered {status}")


@pytest.mark.parametrize("status", ADDRESS)
def test_a_wrong_address_is_an_alarm(status: int) -> None:
    """No such route: the base URL is wrong, and nobody else will tell."""
    outcome, _ = pushed(answer(status))
    assert isinstance(outcome, Refused)
    assert outcome.is_alarm
    assert "base_url" in outcome.reason


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_is_never_followed(status: int) -> None:
    """Neither code nor key goes anywhere but to the configured address; the alarm says what to check."""

    async def main() -> tuple[Outcome, Scripted, Scripted]:
        async with scripted(answer(200, TAKEN)) as elsewhere:
            there = f"{elsewhere.base_url}/v1/credentials/totp"
            async with scripted(answer(status, Location=there)) as server:
                sink = sink_at(server.base_url)
                outcome = await sink.push(claim())
                await sink.aclose()
                return outcome, server, elsewhere

    outcome, server, elsewhere = run(main())
    assert isinstance(outcome, Refused)
    assert outcome.is_alarm
    assert len(server.heard) == 1
    assert elsewhere.connections == 0


def test_every_status_has_an_outcome() -> None:
    """Only 200 can be success; all that are deferred are in the table above."""
    sink = sink_at("http://skyvern.invalid")
    for status in range(200, 600):
        outcome = sink.judge(claim(), Answer(status=status, headers=httpx.Headers(), body=b""))
        assert isinstance(outcome, Accepted) is False
        assert isinstance(outcome, Deferred) is (status in (*DEFERRED, *ALARMS))
        assert isinstance(outcome, Doubtful) is (status == 200)


@pytest.mark.parametrize("what", ["workflow run", "workflow", "task"])
def test_a_stale_run_is_told_from_other_mistakes(what: str) -> None:
    """400 for an unknown id is a refusal of the id alone, as long as one was sent."""
    stale = answer(400, {"detail": f"Invalid {what} id: wr_1"})
    outcome, _ = pushed(stale, claim(run="wr_1"))
    assert isinstance(outcome, Refused)
    assert outcome.is_stale_run
    again, _ = pushed(stale, claim(run="wr_1", without_run=True))
    assert isinstance(again, Refused)
    assert not again.is_stale_run
    other, _ = pushed(answer(400, {"detail": "Failed to parse otp login"}), claim(run="wr_1"))
    assert isinstance(other, Refused)
    assert not other.is_stale_run


@pytest.mark.parametrize("status", ["raw_pending", None])
@pytest.mark.parametrize("code", ["", None])
def test_a_text_without_a_code_is_a_refusal(status: str | None, code: str | None) -> None:
    """200 with raw_pending or an empty code is no success: it was taken, and nobody will ever get it."""
    if (status, code) == (None, None):
        return
    outcome, _ = pushed(answer(200, {"totp_code_id": "totp_1", "code": code, "status": status}), claim("Hello Ann, hello"))
    assert isinstance(outcome, Refused)
    assert "raw_pending" in outcome.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html>482913</html>",
        b"{",
        b"[]",
        b"[1, 2]",
        b'"482913"',
        b"null",
        b"482913",
        b"{}",
        b'{"code": 482913}',
        b'{"code": null}',
        b'{"code": ["482913"]}',
        b'{"totp_code_id": "totp_1"}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_a_200_without_a_code_is_no_success(body: bytes) -> None:
    """It may have been taken in by something that is not Skyvern: in doubt, and an alarm, since the address may be wrong."""
    outcome, _ = pushed(answer(200, body))
    assert isinstance(outcome, Doubtful)
    assert outcome.is_alarm


def test_an_answer_that_repeats_a_whole_body_is_read() -> None:
    """Where whole texts are pushed, Skyvern's answer holds them: 65,536 characters of four octets each."""
    text = "𝄞" * 65_536
    outcome, _ = pushed(answer(200, {**TAKEN, "content": text}), claim("x", kind="body"))
    assert outcome == Accepted(ref="totp_1")


def test_an_endless_answer_is_cut() -> None:
    """More than is ever read makes a doubt, at once and not when the time is over."""
    outcome, _ = pushed(flood(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b"x" * 65_536))
    assert isinstance(outcome, Doubtful)


def test_a_compressed_answer_is_read() -> None:
    """A proxy that compresses without being asked does no harm."""
    plain = json.dumps(TAKEN).encode()
    assert pushed(answer(200, gzip.compress(plain), Content_Encoding="gzip"))[0] == Accepted(ref="totp_1")
    assert pushed(answer(200, zlib.compress(plain), Content_Encoding="deflate"))[0] == Accepted(ref="totp_1")


def test_a_compressed_bomb_is_not_unpacked() -> None:
    """What becomes sixteen times as much as is ever read is read no further."""
    bomb = gzip.compress(b"0" * (16 * MAX_ANSWER))
    assert len(decoded(bomb, httpx.Headers({"Content-Encoding": "gzip"}))) == MAX_ANSWER
    outcome, _ = pushed(answer(200, bomb, Content_Encoding="gzip"))
    assert isinstance(outcome, Doubtful)
    assert isinstance(pushed(answer(200, b"no gzip at all", Content_Encoding="gzip"))[0], Doubtful)


@pytest.mark.parametrize(
    "scene",
    [
        reset(),
        reset(after=b"HTTP/1.1 200 OK\r\nContent-Le"),
        reset(after=b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
        b"HTTP/1.1 2oo OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_breaks_off_leaves_a_doubt(scene: bytes | Play) -> None:
    """The request was sent, so it may have been taken in, whatever came back."""
    outcome, _ = pushed(scene, timeout=QUICK)
    assert isinstance(outcome, Doubtful)
    assert not outcome.is_alarm


@pytest.mark.parametrize(
    "scene",
    [
        silence(),
        silence(after=b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{"),
        drip(answer(200, TAKEN), every=0.02),
        silence(after=b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_a_slow_answer_is_given_up_in_time(scene: Play) -> None:
    """The time is for the whole of a push: an octet now and then does not stretch it."""

    async def main() -> Outcome:
        async with scripted(scene) as server, asyncio.timeout(PATIENCE):
            sink = sink_at(server.base_url, timeout=QUICK)
            try:
                return await sink.push(claim())
            finally:
                await sink.aclose()

    assert isinstance(run(main()), Doubtful)


def test_nobody_there_is_no_doubt() -> None:
    """Where no connection came about, nothing was sent: the code may go again at once."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome = run(_push_to(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert isinstance(outcome, Deferred)
    assert outcome.reason == "not reachable: no connection (ConnectError)"


def test_a_name_that_does_not_exist_is_no_doubt() -> None:
    """A host that has no address: nothing was sent."""
    outcome = run(_push_to("http://skyvern.invalid"))
    assert isinstance(outcome, Deferred)


def test_a_connection_that_does_not_come_about_in_time_is_no_doubt() -> None:
    """A full queue of connections: the wait for one ends before the whole time is over, so it is known that nothing was sent."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        outcome = run(_push_to(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=timedelta(seconds=2)))
    assert isinstance(outcome, Deferred)
    assert outcome.reason == "not reachable: no connection in time (ConnectTimeout)"


def test_tls_that_is_none_is_no_doubt() -> None:
    """https to a port that speaks plain text fails before the request leaves."""

    async def main() -> Outcome:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with server:
            return await _push_to(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    assert isinstance(run(main()), Deferred)


@pytest.mark.parametrize(
    ("name", "is_believed", "expected"),
    [("127.0.0.1", True, Accepted), ("127.0.0.1", False, Deferred), ("skyvern.example", True, Deferred)],
)
def test_a_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_believed: bool, expected: type[Outcome]
) -> None:
    """An authority of one's own is believed where $SSL_CERT_FILE names it; without it, or for another name, nothing is sent."""
    certificate, key = self_signed(tmp_path, name)
    if is_believed:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    else:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def main() -> tuple[Outcome, list[bytes]]:
        read: list[bytes] = []

        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            read.append(await reader.read(65_536))
            writer.write(answer(200, TAKEN))
            writer.close()

        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_side.load_cert_chain(certificate, key)
        server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=server_side)
        async with server:
            return await _push_to(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"), read

    outcome, read = run(main())
    assert type(outcome) is expected
    assert any(KEY.encode() in octets for octets in read) is (expected is Accepted)


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a name, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternative = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(secret, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


async def _push_to(base_url: str, **more: Any) -> Outcome:
    sink = sink_at(base_url, **more)
    try:
        return await sink.push(claim())
    finally:
        await sink.aclose()


def test_a_connection_is_used_again_and_a_closed_one_is_replaced() -> None:
    """Two pushes share a connection; one that the server closed in between costs nothing and leaves no doubt."""

    async def main() -> None:
        async def once(writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, TAKEN))
            await writer.drain()
            writer.close()

        async with scripted(answer(200, TAKEN), once, answer(200, TAKEN)) as server:
            sink = sink_at(server.base_url)
            for expected in (1, 1, 2):
                assert await sink.push(claim()) == Accepted(ref="totp_1")
                assert server.connections == expected
                await asyncio.sleep(0.05)
            await sink.aclose()

    run(main())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", timedelta()),
        ("7", timedelta(seconds=7)),
        (" 120 ", timedelta(seconds=120)),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), timedelta(seconds=30)),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), timedelta()),
        ("Fri, 01 May 2026 14:00:40 +0200", timedelta(seconds=40)),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("99999999999999999999", None),
        ("", None),
    ],
)
def test_a_wish_to_wait_is_read(value: str, expected: timedelta | None) -> None:
    """Seconds or a date (RFC 9110 10.2.3), never less than nothing; what is neither is as if it were not there."""
    outcome, _ = pushed(answer(503, Retry_After=value))
    assert outcome == Deferred(reason="Skyvern answered 503", retry_after=expected)


@pytest.mark.parametrize(
    ("base_url", "target"),
    [
        ("{}", "/v1/credentials/totp"),
        ("{}/", "/v1/credentials/totp"),
        ("{}/v1", "/v1/credentials/totp"),
        ("{}/v1/", "/v1/credentials/totp"),
        (" {}//v1// ", "/v1/credentials/totp"),
        ("{}/v1/credentials/totp", "/v1/credentials/totp"),
        ("{}/skyvern/", "/skyvern/v1/credentials/totp"),
        ("{}/skyvern/v1", "/skyvern/v1/credentials/totp"),
    ],
)
def test_the_base_url_may_be_written_in_many_ways(base_url: str, target: str) -> None:
    """With and without /v1, slashes, and a path of a proxy before it: the same route."""

    async def main() -> str:
        async with scripted(answer(200, TAKEN)) as server:
            assert await _push_to(base_url.format(server.base_url)) == Accepted(ref="totp_1")
            return server.heard[0].target

    assert run(main()) == target


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.skyvern.com",
        "ftp://x.example",
        "http://",
        "http://u:p@x.example",
        "http://x.example/?a=1",
        "http://[::1",
        "http://x.example/#a",
    ],
)
def test_a_base_url_that_is_none_is_refused(base_url: str) -> None:
    """At the start, with a message that shows no password."""
    with pytest.raises(ValueError, match=r"URL|must") as refusal:
        endpoint(base_url)
    assert "u:p" not in str(refusal.value)


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "schlüssel", "a\x00b"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """At the start, not at the first push, and without showing it."""
    with pytest.raises(ValueError, match="characters") as refusal:
        SkyvernSink(base_url="http://x.example", api_key=Secret(key))
    assert key not in str(refusal.value)


def test_the_proxy_of_the_environment_is_ignored_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """NoEvents's environment gets the key: a proxy is used only where the configuration says so."""

    async def main() -> tuple[Scripted, Scripted]:
        async with scripted(answer(200, TAKEN)) as proxy, scripted(answer(200, TAKEN)) as server:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.base_url)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            assert await _push_to(server.base_url) == Accepted(ref="totp_1")
            assert (len(server.heard), proxy.connections) == (1, 0)
            assert await _push_to(server.base_url, use_env_proxy=True) == Accepted(ref="totp_1")
            return proxy, server

    proxy, server = run(main())
    assert (len(server.heard), len(proxy.heard)) == (1, 1)
    assert proxy.heard[0].target == f"{server.base_url}/v1/credentials/totp"


def test_every_answer_is_counted() -> None:
    """The status of each answer goes to the metric; where none came, none is counted."""
    seen: list[int] = []
    pushed(answer(503), on_response=seen.append)
    pushed(answer(200, TAKEN), on_response=seen.append)
    pushed(reset(), on_response=seen.append)
    assert seen == [503, 200]


def row(code: str = CODE, *, created_at: datetime | None = NOW, **more: object) -> list[object]:
    """A list of one row, created at a moment that is told in naive UTC."""
    text = created_at.replace(tzinfo=None).isoformat() if created_at else None
    return [{"totp_code_id": "totp_1", "code": code, "content": code, "created_at": text, **more}]


@pytest.mark.parametrize(
    ("scene", "content", "expected"),
    [
        (answer(200, row()), CODE, True),
        (answer(200, []), CODE, False),
        (answer(200, row("111111")), CODE, False),
        (answer(200, row(created_at=NOW - timedelta(minutes=5))), CODE, False),
        (answer(200, row(created_at=NOW - timedelta(seconds=30))), CODE, True),
        (answer(200, row(created_at=None)), CODE, True),
        (answer(200, row("https://a.example/?x=1&y=2")), "https://a.example/?x=1&amp;y=2.", True),
        (answer(200, row("482913", content="Your code is 482913")), "Your code is 482913", True),
        (answer(200, [None]), CODE, False),
        (answer(200, {}), CODE, None),
        (answer(200, b"<html>"), CODE, None),
        (answer(403), CODE, None),
        (answer(500), CODE, None),
        (answer(307, Location="http://127.0.0.1:1/"), CODE, None),
        (reset(), CODE, None),
        (silence(), CODE, None),
    ],
)
def test_whether_it_holds_a_code(scene: bytes | Play, content: str, expected: bool | None) -> None:
    """The newest row, if it is this code and was made since the mail came in; None where it cannot tell."""
    patience = QUICK if expected is None else timedelta(seconds=5)
    held, server = asked(scene, lambda sink: sink.holds(claim(content)), timeout=patience)
    assert held is expected
    assert server.heard[0].method == "GET"
    assert server.heard[0].target == "/v1/credentials/totp?totp_identifier=Ann%2Bacme%40example.com&limit=1"
    assert content not in server.heard[0].target


def credential(identifier: object, page: object = None) -> dict[str, object]:
    """A credential as it is listed."""
    return {"credential_id": "cred_1", "credential": {"username": "ann", "totp_identifier": identifier}, "tested_url": page}


def test_every_page_of_logins_is_learned() -> None:
    """More credentials than fit on a page are all asked for, with their login pages; those without an identifier and repetitions are
    left out."""

    async def main() -> tuple[tuple[Login, ...] | None, list[str]]:
        first: list[object] = [credential(f"user{number}@example.com") for number in range(100)]
        second: list[object] = [
            credential("Ann@Example.com", "https://acme.example/login"),
            credential("user1@example.com"),
            credential("odd@example.com", 12),
            credential(None),
            credential(""),
            {},
        ]
        async with scripted(answer(200, first), answer(200, second)) as server:
            sink = sink_at(server.base_url)
            found = await sink.logins()
            await sink.aclose()
            return found, [heard.target for heard in server.heard]

    found, targets = run(main())
    assert found is not None
    assert [one.identifier for one in found] == [
        *(f"user{number}@example.com" for number in range(100)),
        "Ann@Example.com",
        "odd@example.com",
    ]
    assert {one.identifier: one.page for one in found if one.page} == {"Ann@Example.com": "https://acme.example/login"}
    assert targets == ["/v1/credentials?page=1&page_size=100", "/v1/credentials?page=2&page_size=100"]


@pytest.mark.parametrize("scene", [answer(500), answer(403), answer(200, {}), answer(200, b"no"), reset(), silence()])
def test_logins_that_cannot_be_asked_for_are_unknown(scene: bytes | Play) -> None:
    """None, so that what was learned before is kept."""
    found, _ = asked(scene, lambda sink: sink.logins(), timeout=QUICK)
    assert found is None


@pytest.mark.parametrize(
    "text",
    [
        '[general]\ncred = "the-key"\n',
        '[general]\ncred = "the-key"\n\n[skyvern]\nconfigs = []\n',
        '[skyvern]\nconfigs = [\n    {env = "local", host = "http://127.0.0.1:8000/api/v1", orgs = [], cred = "the-key"}\n]\n',
        '[general]\ncred = ""\n[skyvern]\nconfigs = [{cred = ""}, {cred = "the-key"}]\n',
    ],
)
def test_skyverns_own_file_gives_the_key(tmp_path: Path, text: str) -> None:
    """Both forms that Skyvern has written: the general section, and the list of environments."""
    file = tmp_path / "credentials.toml"
    file.write_text(text)
    assert api_key_from_credentials_file(file) == Secret("the-key")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[general]\n",
        '[general]\ncred = ""\n',
        "[general]\ncred = 5\n",
        "cred = [the-key",
        'general = "the-key"',
        "skyvern = 1",
    ],
)
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    """The message names the file and shows nothing of it."""
    file = tmp_path / "credentials.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"credentials\.toml") as refusal:
        api_key_from_credentials_file(file)
    assert "the-key" not in str(refusal.value)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """The operating system's own words."""
    with pytest.raises(FileNotFoundError):
        api_key_from_credentials_file(tmp_path / "credentials.toml")


RUN: dict[str, object] = {"run_id": "tsk_v2_1", "run_request": {"prompt": "log in", "url": "https://www.acme.example/login"}}
TIMELINE: list[object] = [
    {"type": "thought", "thought": {}},
    {"type": "block", "block": {"task_id": "tsk_8", "url": "https://elsewhere.example"}, "children": []},
    {"type": "block", "block": {"task_id": "tsk_9", "url": "https://acme.example/signin"}, "children": []},
]


@pytest.mark.parametrize(
    ("run_id", "task", "scenes", "page", "asked_for"),
    [
        ("wr_1", "tsk_9", [answer(200, TIMELINE)], "https://acme.example/signin", ["/v1/runs/wr_1/timeline"]),
        (
            "wr_1",
            "tsk_7",
            [answer(200, TIMELINE), answer(200, RUN)],
            "https://www.acme.example/login",
            ["/v1/runs/wr_1/timeline", "/v1/runs/wr_1"],
        ),
        ("wr_1", "tsk_7", [answer(404), answer(500)], "", ["/v1/runs/wr_1/timeline", "/v1/runs/wr_1"]),
        ("wr_1", None, [answer(200, {"run_request": {"url": None}})], "", ["/v1/runs/wr_1"]),
        (None, "tsk_9", [answer(200, RUN)], "https://www.acme.example/login", ["/v1/runs/tsk_9"]),
        (None, "../keys", [], "", []),
    ],
)
def test_the_page_of_a_run(run_id: str | None, task: str | None, scenes: list[bytes], page: str, asked_for: list[str]) -> None:
    """The block of the task that polls says it, else the run; two requests at the most, and none for an id that is none."""

    async def main() -> tuple[str, list[str]]:
        async with scripted(*scenes) as server:
            sink = sink_at(server.base_url)
            found = await sink.page_of(run=run_id, task=task)
            await sink.aclose()
            return found, [heard.target for heard in server.heard]

    assert run(main()) == (page, asked_for)
