"""Sends a mail by an account's own submission server (RFC 6409): always over TLS, with the account's password or access token."""

from __future__ import annotations

import base64
import contextlib
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.faults import Kind, MailboxFault, shown
from mailbridge.ingress.imap.login import bearer
from mailbridge.ingress.imap.oauth import Token, TokenSource
from mailbridge.ingress.imap.presets import Account
from mailbridge.ingress.imap.stream import Endpoint, connect, handshake

LIMIT = 60.0
"""Seconds that a whole dialogue may take, however slowly its answers arrive."""
TOKEN_LIKE = re.compile(r"[a-z]{32,}", re.IGNORECASE)
NAME = "[127.0.0.1]"
"""The name by which we introduce ourselves: an address literal (RFC 5321 4.1.3), because the name of this machine is private."""

MICROSOFT = (
    "Microsoft wants the permission SMTP.Send beside that for IMAP (mailbridge oauth login {account}; SMTP.SendAsApp for an"
    " application), and authenticated SMTP switched on for the mailbox"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """When the server was ready for the mail, and when it had accepted it (monotonic seconds)."""

    ready: float
    taken: float


Hold = Callable[[Callable[[], None]], None]
"""Gets a function that closes the connection at once. Any thread may call that function while the dialogue lasts."""


def submit(mail: bytes, account: Account, context: ssl.SSLContext, tokens: TokenSource | None, *, hold: Hold) -> Handed:
    """Send ``mail`` from the account's address to itself.

    Raises:
        MailboxFault: it was not accepted; the text names what fixes it, and no secret.
    """
    server = account.submission
    if server is None:
        raise MailboxFault(Kind.SETTING, "no submission server is known: canary = { smtp = … }")
    endpoint = server.endpoint(context)
    refused = ""
    for _ in range(2):
        with _dialogue(endpoint, hold) as client:
            if tokens is None:
                refused = _with_password(client, account)
            else:
                token = tokens.token()
                refused = _with_token(client, account, token)
                if refused:
                    tokens.refuse(token)
            if not refused:
                return _hand(client, mail, account.mailbox)
        if tokens is None:
            break
    raise MailboxFault(Kind.REFUSED, f"{endpoint.host} refuses the login: {refused}; {_hint(account)}")


class _Client(smtplib.SMTP):
    """smtplib's dialogue over our own way to connect. Its faults name what fixes them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        super().__init__(local_hostname=NAME, timeout=endpoint.read_timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        plain = connect(self._endpoint)
        return handshake(plain, self._endpoint) if self._endpoint.is_tls else plain

    @property
    def host(self) -> str:
        """The server's name as configured."""
        return self._endpoint.host

    def begin(self) -> None:
        """Connect, greet, and start TLS."""
        endpoint = self._endpoint
        _need(self.connect(endpoint.host, endpoint.port), 220, f"{endpoint.host} refuses the connection")
        _need(self.ehlo(), 250, f"{endpoint.host} refuses EHLO")
        if not endpoint.is_starttls:
            return
        if not self.has_extn("starttls"):
            text = f"{endpoint.host} port {endpoint.port} offers no STARTTLS; try its TLS port ({endpoint.tls_port})"
            raise MailboxFault(Kind.SETTING, text)
        _need(self.docmd("STARTTLS"), 220, f"{endpoint.host} refuses STARTTLS")
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected
        self.sock = handshake(self.sock, endpoint)
        self.file = None
        self.esmtp_features = {}
        _need(self.ehlo(), 250, f"{endpoint.host} refuses EHLO")

    def mechanisms(self) -> frozenset[str]:
        """The login mechanisms that the server offers."""
        return frozenset(self.esmtp_features.get("auth", "").upper().split())

    def hang_up(self) -> None:
        """Close at once."""
        sock = getattr(self, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@contextmanager
def _dialogue(endpoint: Endpoint, hold: Hold) -> Iterator[_Client]:
    """A connected client, for at most `LIMIT` seconds. smtplib's own errors become faults."""
    client = _Client(endpoint)
    hold(client.hang_up)
    watchdog = threading.Timer(LIMIT, client.hang_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        client.begin()
        yield client
        with contextlib.suppress(OSError, smtplib.SMTPException):
            client.quit()
    except (smtplib.SMTPException, OSError, ValueError) as fault:
        what = shown((getattr(fault, "strerror", None) or type(fault).__name__).encode()).lower()
        raise MailboxFault(Kind.NETWORK, f"the connection to {endpoint.host} broke: {what}") from None
    finally:
        watchdog.cancel()
        client.hang_up()


def _with_password(client: _Client, account: Account) -> str:
    """Log in by PLAIN or LOGIN. Returns "" or the server's words."""
    username, secret = account.username, account.password.reveal() if account.password is not None else ""
    offered = client.mechanisms()
    if "PLAIN" in offered:
        return _answered(client, "PLAIN", [f"\0{username}\0{secret}".encode()], first_at_once=True)
    if "LOGIN" in offered:
        return _answered(client, "LOGIN", [username.encode(), secret.encode()], first_at_once=False)
    raise MailboxFault(Kind.SETTING, f"{client.host} takes no password (it offers {', '.join(sorted(offered)) or 'no login'})")


def _with_token(client: _Client, account: Account, token: Token) -> str:
    """Log in by OAUTHBEARER (RFC 7628) or XOAUTH2. Returns "" or the server's words."""
    offered = client.mechanisms()
    if not offered & {"OAUTHBEARER", "XOAUTH2"}:
        raise MailboxFault(Kind.SETTING, f"{client.host} takes no access token (it offers {', '.join(sorted(offered))})")
    challenges: list[bytes] = []
    mechanism, answer = bearer(account, token, frozenset(f"AUTH={one}".encode() for one in offered), challenges)
    return _answered(client, mechanism, [answer(b""), answer(b"refused")], first_at_once=True)


def _answered(client: _Client, mechanism: str, answers: list[bytes], *, first_at_once: bool) -> str:
    """A SASL dialogue (RFC 4954). Returns "" if it succeeded, else the server's words, without what we said."""
    said = [base64.b64encode(one).decode("ascii") for one in answers]
    waiting = list(said)
    code, text = client.docmd("AUTH", f"{mechanism} {waiting.pop(0)}" if first_at_once else mechanism)
    while code == 334 and waiting:
        code, text = client.docmd(waiting.pop(0))
    if code == 235:
        return ""
    told = f"{code} {shown(text)}"
    for one in said:
        told = told.replace(one, "…") if one else told
    if 400 <= code < 500:
        raise MailboxFault(Kind.BUSY, f"{client.host} defers the login: {told}")
    return told


def _hand(client: _Client, mail: bytes, address: str) -> Handed:
    _need(client.mail(address), 250, f"{client.host} does not let this account send", hidden=address)
    _need(client.rcpt(address), 250, f"{client.host} takes no mail for this mailbox", hidden=address)
    ready = time.monotonic()
    try:
        answer = client.data(mail)
    except smtplib.SMTPDataError as fault:
        text = fault.smtp_error
        answer = (fault.smtp_code, text if isinstance(text, bytes) else text.encode())
    _need(answer, 250, f"{client.host} does not take the canary", hidden=address)
    return Handed(ready=ready, taken=time.monotonic())


def _need(answer: tuple[int, bytes], wanted: int, what: str, *, hidden: str = "") -> None:
    """Do nothing if the answer is the wanted one. Else raise a MailboxFault with the server's words, without the address and
    any token."""
    code, text = answer
    if code == wanted:
        return
    told = TOKEN_LIKE.sub("…", shown(text))
    told = told.replace(hidden, "…") if hidden else told
    kind = Kind.BUSY if 400 <= code < 500 else Kind.REFUSED
    raise MailboxFault(kind, f"{what}: {code} {told}".rstrip())


def _hint(account: Account) -> str:
    if account.oauth is None:
        return f'does the account\'s password ({account.hint}) hold for sending too? `by = "append"` needs no submission'
    if account.oauth.provider == "microsoft":
        return MICROSOFT.format(account=account.name)
    return "does the permission hold for sending too?"
