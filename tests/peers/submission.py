"""A submission server on loopback: real SMTP with TLS and AUTH, which hands what it takes to whoever delivers here."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from mailbridge.ingress.tls import self_signed
from tests.peers.daemon import free_port


class SubmissionPeer:
    """Takes mail of who knows ``password`` (or a token of ``tokens``) and gives it to ``deliver``. ``refusal`` answers DATA instead."""

    def __init__(self, folder: Path, deliver: Callable[[bytes], object], *, is_starttls: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self_signed(folder, "localhost")
        self.ca = folder / "tls-cert.pem"
        self.password = "pw"
        self.tokens: set[str] = set()
        self.refusal = ""
        self.deliver = deliver
        self.is_starttls = is_starttls
        self.taken: list[bytes] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.logins = 0
        self.in_clear = 0
        self.port = 0

    @property
    def settings(self) -> dict[str, str]:
        """The keys of a canary that goes by this server."""
        return {"smtp": f"localhost:{self.port}", "tls": "starttls" if self.is_starttls else "tls"}

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """aiosmtpd's hook."""
        self.envelopes.append((envelope.mail_from or "", envelope.rcpt_tos))
        if self.refusal:
            return self.refusal
        content = envelope.content
        assert isinstance(content, bytes)
        self.taken.append(content)
        self.deliver(content)
        return "250 taken"

    async def auth_XOAUTH2(self, server: SMTP, words: list[str]) -> AuthResult:  # noqa: N802
        """The token in the first answer, or the challenge and a refusal."""
        self.logins += 1
        told = base64.b64decode(words[1]).decode()
        if any(f"auth=Bearer {token}\x01" in told for token in self.tokens):
            return AuthResult(success=True)
        await server.challenge_auth(b'{"status":"401"}')
        await server.push("535 5.7.3 Authentication unsuccessful")
        return AuthResult(success=False, handled=True)

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Check a password."""
        self.logins += 1
        self.in_clear += session.ssl is None and self.is_starttls
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password.decode() == self.password, handled=False)


@contextmanager
def running_submission(folder: Path, deliver: Callable[[bytes], object], *, is_starttls: bool = True) -> Iterator[SubmissionPeer]:
    """A server for the length of the block."""
    peer = SubmissionPeer(folder, deliver, is_starttls=is_starttls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls-cert.pem", folder / "tls-key.pem")
    controller = Controller(
        peer,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=peer.authenticate,
        auth_required=True,
        auth_require_tls=is_starttls,
        **({"tls_context": context, "require_starttls": True} if is_starttls else {"ssl_context": context}),
    )
    controller.start()
    try:
        peer.port = controller.port
        yield peer
    finally:
        controller.stop()
