"""Logging in: a password (PLAIN, RFC 4616) or an access token (OAUTHBEARER, RFC 7628; XOAUTH2), and what a refusal means."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from imapclient.exceptions import IMAPClientError

from mailbridge.ingress.imap.faults import Kind, MailboxFault, goodbye, hint_of, is_busy, legible, shown, words_of
from mailbridge.ingress.imap.oauth import Token, TokenSource
from mailbridge.ingress.imap.presets import Account
from mailbridge.ingress.imap.stream import Stream
from mailbridge.ingress.imap.wire import Wire

LIFE = 0.85
"""Part of a token's life after which a session is replaced: Gmail ends a session with its token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """When (monotonic seconds) the session should be replaced by another; None: it lasts."""

    replace_at: float | None = None


def log_in(wire: Wire, account: Account, tokens: TokenSource | None) -> LoggedIn:
    """Log in, learn what the server can now, and say who we are.

    Raises:
        MailboxFault: the text names what fixes it.
    """
    with legible(), wire.slow():
        offered = frozenset(word.upper() for word in wire.capabilities())
        if tokens is None:
            _with_password(wire, account, offered)
            told = LoggedIn()
        else:
            token = _with_token(wire, account, tokens, offered)
            told = LoggedIn(replace_at=time.monotonic() + (token.ends - time.monotonic()) * LIFE)
    wire.learn_abilities()
    wire.introduce()
    return told


def _with_password(wire: Wire, account: Account, offered: frozenset[bytes]) -> None:
    secret = account.password.reveal() if account.password is not None else ""
    is_ascii = account.username.isascii() and secret.isascii()
    if b"LOGINDISABLED" in offered and b"AUTH=PLAIN" not in offered:
        raise MailboxFault(Kind.SETTING, 'the server takes no password without TLS: tls = "starttls" or "tls"')

    def attempt() -> None:
        if b"AUTH=PLAIN" in offered or not is_ascii:
            wire.plain_login(account.username, secret)
        else:
            wire.login(account.username, secret)

    text = _refused(attempt)
    if text is not None:
        raise _refusal(text, f"check username and password; {account.host} wants {account.hint}")


def _with_token(wire: Wire, account: Account, tokens: TokenSource, offered: frozenset[bytes]) -> Token:
    """Log in with a token, and once more with a new one if that is refused."""
    text, challenge = "", b""
    for _ in range(2):
        token = tokens.token()
        challenges: list[bytes] = []
        mechanism, answer = bearer(account, token, offered, challenges)
        refused = _refused(lambda mechanism=mechanism, answer=answer: wire.sasl_login(mechanism, answer))  # type: ignore[misc]
        if refused is None:
            return token
        text, challenge = refused, challenges[-1] if challenges else b""
        if is_busy(text) or hint_of(text):
            break
        tokens.refuse(token)
    raise _refusal(text + _told(challenge), "does the token's owner have IMAP access to this mailbox?")


def bearer(
    account: Account, token: Token, offered: frozenset[bytes], challenges: list[bytes]
) -> tuple[str, Callable[[bytes], bytes]]:
    """Mechanism and answers, for IMAP and SMTP alike. The first answer is the token; a challenge after it is an error that wants an empty reply."""
    secret = token.value.reveal()
    if b"AUTH=OAUTHBEARER" in offered:
        first = f"n,a={account.username},\x01host={account.host}\x01port={account.port}\x01auth=Bearer {secret}\x01\x01"
        mechanism, after = "OAUTHBEARER", b"\x01"
    else:
        first = f"user={account.username}\x01auth=Bearer {secret}\x01\x01"
        mechanism, after = "XOAUTH2", b""

    def answer(challenge: bytes) -> bytes:
        if challenge:
            challenges.append(challenge)
            return after
        return first.encode()

    return mechanism, answer


def _refused(attempt: Callable[[], object]) -> str | None:
    """The server's words if it refuses, None if it does not. A connection that ends is a MailboxFault of its own."""
    try:
        attempt()
    except (IMAPClientError, Stream.error) as fault:
        text = words_of(fault)
        if isinstance(fault, Stream.abort) or isinstance(fault.__context__, Stream.abort):
            raise goodbye(text) from None
        return text
    return None


def _refusal(text: str, hint: str) -> MailboxFault:
    if is_busy(text) or hint_of(text):
        return MailboxFault(Kind.BUSY, f"the server puts the login off: {text}", pause=hint_of(text))
    return MailboxFault(Kind.REFUSED, f"the server refuses the login: {text}; {hint}")


def _told(challenge: bytes) -> str:
    """Status and scope of a refused token, as the challenge's JSON has them."""
    with suppress(ValueError):
        answer = json.loads(challenge)
        if isinstance(answer, dict):
            words = [f"{key} {answer[key]}" for key in ("status", "scope") if isinstance(answer.get(key), str)]
            return shown(f" ({', '.join(words)})".encode()) if words else ""
    return ""
