"""The certificate for STARTTLS: made once, read anew when it changes, and never a reason to lose a mail."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailbridge.ingress.tls import Certificate, Pair, TlsError, self_signed
from mailbridge.metrics import Metrics
from mailbridge.net.listening import ListenError
from tests.ingress.listener_context import LOOPS, Peer, house, insecure, run


def issue(folder: Path, name: str, *, days: int = 30, password: bytes | None = None) -> Pair:
    """A pair for a name, valid for so many days from yesterday on (negative: over)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = datetime.now(UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(datetime.now(UTC), end) - timedelta(days=1))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pair = Pair(cert=folder / "cert.pem", key=folder / "key.pem")
    pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
    pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return pair


async def shown(peer: Peer) -> str:
    """The name in the certificate that the server shows after STARTTLS."""
    await peer.ready()
    assert (await peer.ask("STARTTLS")).startswith("220 ")
    await peer.start_tls(insecure())
    octets = peer.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    subject = x509.load_der_x509_certificate(octets).subject
    assert (await peer.ask("EHLO client.example")).startswith("250 ")
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_self_signed_pair_is_made_once(loop: str, tmp_path: Path) -> None:
    """The first start makes it, readable by us alone and good for years; the next start finds it."""
    state = tmp_path / "state"

    async def main() -> None:
        for _ in range(2):
            async with house(state, tls=True) as running:
                assert await shown(await running.connect()) == "mx.bridge.example"
                assert running.listeners.tls_not_after is not None
                assert running.listeners.tls_not_after > datetime.now(UTC) + timedelta(days=3000)

    run(main(), loop=loop)
    first = self_signed(state, "mx.bridge.example")
    before = first.cert.read_bytes()
    assert self_signed(state, "another.example").cert.read_bytes() == before
    assert [stat.S_IMODE(path.stat().st_mode) for path in (first.cert, first.key)] == [0o600, 0o600]
    assert sorted(path.name for path in state.iterdir()) == ["tls-cert.pem", "tls-key.pem"]


def test_a_changed_pair_is_served_to_the_next_client(tmp_path: Path) -> None:
    """Also where the new files keep the old ones' times, as a copy may."""

    async def main() -> None:
        pair = issue(tmp_path, "old.example")
        times = (pair.cert.stat().st_atime_ns, pair.cert.stat().st_mtime_ns)
        async with house(tmp_path, tls=True, tls_cert=pair.cert, tls_key=pair.key) as running:
            assert await shown(await running.connect()) == "old.example"
            (tmp_path / "new").mkdir()
            fresh = issue(tmp_path / "new", "new.example")
            for new, old in ((fresh.cert, pair.cert), (fresh.key, pair.key)):
                os.utime(new, ns=times)
                new.replace(old)
            assert await shown(await running.connect()) == "new.example"

    run(main())


def test_a_broken_pair_keeps_the_old_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate without its key yet, garbage, nothing at all: reported, the old one served; then the new one."""

    async def main() -> None:
        pair = issue(tmp_path, "old.example")
        async with house(tmp_path, tls=True, tls_cert=pair.cert, tls_key=pair.key) as running:
            (tmp_path / "new").mkdir()
            fresh = issue(tmp_path / "new", "new.example")
            pair.cert.write_bytes(fresh.cert.read_bytes())
            assert await shown(await running.connect()) == "old.example"
            pair.cert.write_text("garbage")
            assert await shown(await running.connect()) == "old.example"
            pair.cert.unlink()
            running.listeners.reload_tls()
            assert await shown(await running.connect()) == "old.example"
            pair.cert.write_bytes(fresh.cert.read_bytes())
            pair.key.write_bytes(fresh.key.read_bytes())
            assert await shown(await running.connect()) == "new.example"

    with caplog.at_level(logging.INFO):
        run(main())
    assert caplog.text.count("certificate not reloaded, the old one stays") == 3
    assert "PRIVATE" not in caplog.text


def test_an_expired_certificate_is_served_and_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Gmail does not look at the date, so the mail comes in; the log says it and the metric is below zero."""

    async def main() -> None:
        pair = issue(tmp_path, "late.example", days=-3)
        async with house(tmp_path, tls=True, tls_cert=pair.cert, tls_key=pair.key) as running:
            assert await shown(await running.connect()) == "late.example"
            end = running.listeners.tls_not_after
            assert end is not None
            metrics = Metrics()
            metrics.tls_expiry(end)
            (shown_end,) = re.findall(r"^mailbridge_tls_expiry_timestamp_seconds (.+)$", metrics.render().decode(), re.MULTILINE)
            assert float(shown_end) == end.timestamp()

    run(main())
    assert "certificate has expired" in caplog.text


@pytest.mark.parametrize("wrong", ["missing", "garbage", "foreign-key", "locked-key"])
def test_a_pair_that_cannot_be_used_is_one_clear_error(wrong: str, tmp_path: Path) -> None:
    """At the start it names the file, asks nothing on the terminal, and exits with 78."""
    pair = issue(tmp_path, "mx.example", password=b"open sesame" if wrong == "locked-key" else None)
    if wrong == "missing":
        pair.cert.unlink()
    elif wrong == "garbage":
        pair.cert.write_text("garbage")
    elif wrong == "foreign-key":
        kept = pair.cert.read_bytes()
        issue(tmp_path, "other.example")
        pair.cert.write_bytes(kept)
    with pytest.raises(TlsError, match=str(pair.cert)):
        Certificate(pair)

    async def main() -> None:
        async with house(tmp_path, tls=True, tls_cert=pair.cert, tls_key=pair.key):
            pass

    with pytest.raises(ListenError) as caught:
        run(main())
    assert caught.value.exit_code == 78


def test_old_tls_is_not_spoken(tmp_path: Path) -> None:
    """Nothing below TLS 1.2, and no renegotiation."""
    context = Certificate(issue(tmp_path, "mx.example")).context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", ["garbage", "silence", "close", "reset"])
def test_a_handshake_that_fails_ends_its_session_alone(way: str, loop: str, tmp_path: Path) -> None:
    """Garbage, silence, a client that leaves: the session is over, nothing is logged as a crash, the next client is served."""
    faults: list[dict[str, object]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        patience = timedelta(seconds=1.5 if way == "silence" else 30)
        async with house(tmp_path, tls=True, idle_timeout=patience) as running:
            peer = await running.connect()
            await peer.ready()
            assert (await peer.ask("STARTTLS")).startswith("220 ")
            if way == "garbage":
                await peer.send(b"MAIL FROM:<a@b.example>\r\n" * 10)
            elif way == "close":
                peer.close()
            elif way == "reset":
                one = peer.writer.get_extra_info("socket")
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                peer.writer.transport.abort()
            await running.settles(lambda: running.open == 0)
            assert await shown(await running.connect()) == "mx.bridge.example"

    run(main(), loop=loop)
    assert faults == []


def test_mail_comes_in_without_tls_where_it_is_switched_off(tmp_path: Path) -> None:
    """No STARTTLS is offered, none is made, and no certificate is on disk."""

    async def main() -> None:
        async with house(tmp_path, tls=False) as running:
            peer = await running.connect()
            await peer.ready()
            assert (await peer.ask("STARTTLS")).startswith("454 ")
            assert running.listeners.tls_not_after is None
        assert list(tmp_path.iterdir()) == []

    run(main())
