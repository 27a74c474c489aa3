"""The certificate for STARTTLS: the operator's pair, or a self-signed one made at the first start. It is read again when it
changes."""

from __future__ import annotations

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass

log = logging.getLogger("mailbridge.tls")

SELF_SIGNED_DAYS = 3650
"""Gmail uses STARTTLS opportunistically and does not check the certificate, so a self-signed one is enough for privacy."""


class TlsError(Exception):
    """A pair that cannot be used. The message names the file and what fixes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The files of the certificate (chain) and the key, as PEM."""

    cert: Path
    key: Path


class Certificate:
    """Gives the TLS context of the pair that is on disk now. If a pair breaks, that is reported, and the old one is kept."""

    def __init__(self, pair: Pair) -> None:
        """Raises TlsError if the pair cannot be used."""
        self._pair = pair
        self._stamp = _stamp(pair)
        self._context, self.not_after = _load(pair)
        if self.not_after < datetime.now(UTC):
            # Senders that use TLS opportunistically do not check it, so an expired certificate is still better than none.
            log.error(
                "certificate has expired; it is still used",
                extra={"event": log_events.CERTIFICATE_EXPIRED, "not_after": self.not_after.isoformat()},
            )

    def context(self) -> ssl.SSLContext:
        """The context for the next handshake. It costs two stat calls if nothing has changed."""
        stamp = _stamp(self._pair)
        if stamp != self._stamp:
            self.reload()
        return self._context

    def reload(self) -> None:
        """Read the pair again now."""
        self._stamp = _stamp(self._pair)
        try:
            self._context, self.not_after = _load(self._pair)
        except TlsError as fault:
            log.error(
                "certificate not reloaded, the old one stays: %s", fault, extra={"event": log_events.CERTIFICATE_NOT_RELOADED}
            )
        else:
            log.info(
                "certificate reloaded", extra={"event": log_events.CERTIFICATE_RELOADED, "not_after": self.not_after.isoformat()}
            )


def self_signed(folder: Path, hostname: str) -> Pair:
    """The self-signed pair in ``folder``. It is made (EC P-256, files 0600) if it does not exist yet."""
    pair = Pair(cert=folder / "tls-cert.pem", key=folder / "tls-key.pem")
    if pair.cert.exists() and pair.key.exists():
        return pair
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(pair.key, secret)
    _write(pair.cert, certificate.public_bytes(serialization.Encoding.PEM))
    return pair


def _write(path: Path, content: bytes) -> None:
    """Write a file that only we can read, completely or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def _stamp(pair: Pair) -> tuple[int, ...]:
    """A value that changes when one of the files does, even if a copy keeps the time of its original. Empty while a file is
    missing."""
    try:
        seen = pair.cert.stat(), pair.key.stat()
    except OSError:
        return ()
    return tuple(value for one in seen for value in (one.st_mtime_ns, one.st_size, one.st_ino))


def _no_password() -> bytes:
    """An encrypted key is an error to report, not a question to ask on the daemon's terminal."""
    return b""


def _load(pair: Pair) -> tuple[ssl.SSLContext, datetime]:
    from cryptography.x509 import load_pem_x509_certificate  # 2 MB, which a listener without TLS does not need

    try:
        certificate = load_pem_x509_certificate(pair.cert.read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.load_cert_chain(pair.cert, pair.key, password=_no_password)
    except OSError as fault:
        what = fault.strerror or type(fault).__name__
        raise TlsError(f"{pair.cert} and {pair.key}: {what}; they must be a certificate and its own key, as PEM") from None
    except ValueError:
        raise TlsError(f"{pair.cert}: not a PEM certificate") from None
    return context, certificate.not_valid_after_utc
