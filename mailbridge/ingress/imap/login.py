"""Login with a password (PLAIN, RFC 4616) or an access token (OAUTHBEARER, RFC 7628; XOAUTH2), and the meaning of a refusal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

from imapclient.exceptions import IMAPClientError

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.dialogue import alert_of
from mailbridge.ingress.imap.faults import Kind, MailboxFault, goodbye, hint_of, is_busy, legible, shown, words_of
from mailbridge.ingress.imap.oauth import Token, TokenSource
from mailbridge.ingress.imap.presets import Account
from mailbridge.ingress.imap.responses import Response
from mailbridge.ingress.imap.stream import Stream
from mailbridge.ingress.imap.wire import Wire

LIFE = 0.85
"""The part of a token's lifetime after which a session is replaced: Gmail ends a session together with its token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """When (monotonic seconds) another session should replace this one; None: never."""

    replace_at: float | None = None


def log_in(wire: Wire, account: Account, tokens: TokenSource | None) -> LoggedIn:
    """Log in, learn what the server offers then, and introduce ourselves (ID).

    Raises:
        MailboxFault: the text names what fixes it.
    """
    with legible(), wire.patient("login"):
        offered = frozenset(word.upper() for word in wire.capabilities())
        if wire.is_logged_in:
            told = LoggedIn()
        elif tokens is None:
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

    is_plain = b"AUTH=PLAIN" in offered and not wire.habits.refuses_plain
    text = _refused(lambda: _give(wire, account.username, secret, is_plain=is_plain or not is_ascii))
    if text is not None and is_plain and is_ascii and b"LOGINDISABLED" not in offered and is_about_mechanism(text):
        text = _refused(lambda: _give(wire, account.username, secret, is_plain=False))
        wire.habits.refuses_plain = text is None
    if text is not None:
        raise _refusal(text + _told_beside(wire), f"check username and password; {account.host} wants {account.hint}")


def _give(wire: Wire, username: str, secret: str, *, is_plain: bool) -> None:
    if is_plain:
        wire.plain_login(username, secret)
    else:
        wire.login(username, secret)


def is_about_mechanism(text: str) -> bool:
    """Whether LOGIN may still work after a refused AUTHENTICATE: the refusal says nothing about the credentials, or about a
    pause."""
    about_us = (
        "[AUTHENTICATIONFAILED]",
        "[AUTHORIZATIONFAILED]",
        "[EXPIRED]",
        "[PRIVACYREQUIRED]",
        "[CONTACTADMIN]",
        "[ALERT]",
        "[WEBALERT",
    )
    words = ("invalid credentials", "authentication failed", "login failed", "password")
    is_about_us = any(code in text.upper() for code in about_us) or any(word in text.casefold() for word in words)
    return not is_about_us and not is_busy(text) and hint_of(text) is None


def _told_beside(wire: Wire) -> str:
    """The text that the server wants a person to read together with the refusal: an ALERT, or Google's address of a login
    page."""
    told: dict[str, list[bytes]] = wire._imap.untagged_responses  # noqa: SLF001  (imaplib keeps it nowhere else)
    found = []
    for text in (*told.get("NO", ()), *told.get("OK", ()), *told.get("BAD", ())):
        alert = alert_of(Response(tag=b"*", text=b"NO " + text)) if isinstance(text, bytes) else ""
        if alert and alert not in found:
            found.append(alert)
    return f" ({'; '.join(found)})" if found else ""


def _with_token(wire: Wire, account: Account, tokens: TokenSource, offered: frozenset[bytes]) -> Token:
    """Log in with a token, and once more with a new token if that one is refused."""
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
    raise _refusal(text + _told(challenge) + _told_beside(wire), "does the token's owner have IMAP access to this mailbox?")


def bearer(
    account: Account, token: Token, offered: frozenset[bytes], challenges: list[bytes]
) -> tuple[str, Callable[[bytes], bytes]]:
    """Mechanism and answers, the same for IMAP and SMTP. The first answer is the token. A challenge after it is an error and
    needs an empty reply."""
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
    """The server's words if it refuses, None if it does not. The end of the connection raises a MailboxFault of its own."""
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
        return MailboxFault(Kind.BUSY, f"the server defers the login: {text}", pause=hint_of(text))
    return MailboxFault(Kind.REFUSED, f"the server refuses the login: {text}; {hint}")


def _told(challenge: bytes) -> str:
    """Status and scope of a refused token, from the challenge's JSON."""
    with suppress(ValueError):
        answer = json.loads(challenge)
        if isinstance(answer, dict):
            words = [f"{key} {answer[key]}" for key in ("status", "scope") if isinstance(answer.get(key), str)]
            return shown(f" ({', '.join(words)})".encode()) if words else ""
    return ""
