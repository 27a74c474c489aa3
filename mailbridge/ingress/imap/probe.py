"""A test of an account: connect, log in, look around, fetch one mail, and use IDLE. It stops at the first step that fails and
says what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from imapclient.exceptions import IMAPClientError

from mailbridge.config.settings import ImapSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.faults import IdleRefused, Kind, MailboxFault, Refusal, shown, words_of
from mailbridge.ingress.imap.folders import named
from mailbridge.ingress.imap.login import log_in
from mailbridge.ingress.imap.presets import Account, Contexts, account_of
from mailbridge.ingress.imap.responses import Fetched
from mailbridge.ingress.imap.service import tokens_of
from mailbridge.ingress.imap.vault import OneToken, Tokens
from mailbridge.ingress.imap.wire import Wire

LINES = 8
"""The largest number of folders that get their own line."""
SCREEN, LONGEST = 400, 60
"""Characters of the list of folders, and of one name."""
TRIES = 3
"""The number of newest mails that are tried, because one mail that the server cannot give may be an exception."""
TLS = {"tls": "with TLS", "starttls": "with STARTTLS", "none": "without TLS"}
USEFUL = ("IDLE", "MOVE", "UIDPLUS", "NOTIFY", "CONDSTORE", "ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One step and its result."""

    step: str
    is_good: bool
    text: str


More = Callable[[ImapSettings, Tokens | None], Iterator[Finding]]


def probe(settings: ImapSettings, vault: Tokens | None, *, idle_for: float, then: More | None = None) -> Iterator[Finding]:
    """The steps of one account, until one fails, and the steps of ``then`` if none has failed. ``idle_for`` is in seconds."""
    account = account_of(settings)
    step = "connect"
    try:
        wire = Wire(account.endpoint(Contexts().of(settings)))
        with closing(wire):
            yield Finding(step=step, is_good=True, text=f"{account.host} port {account.port}, {TLS[account.tls]}")
            step = "login"
            log_in(wire, account, tokens_of(account, vault))
            has = ", ".join(name for name in USEFUL if name in wire.abilities)
            yield Finding(step=step, is_good=True, text=f"the server offers {has or 'nothing of use beyond IMAP itself'}")
            step = "folders"
            yield Finding(step=step, is_good=True, text=_folders(wire, account.folders))
            step = "after"
            yield from _after(wire, account)
            counts: dict[str, int] = {}
            for folder in account.folders:
                step = f"open {folder}"
                _open(wire, account, folder)
                counts[folder] = wire.exists
                if len(counts) <= LINES:
                    yield Finding(step=step, is_good=True, text=f"{wire.exists} mail{'' if wire.exists == 1 else 's'}")
            if len(counts) > LINES:
                yield Finding(step="open", is_good=True, text=f"{len(counts) - LINES} more folders")
            step = "fetch"
            yield _fetch(wire, account, counts)
            step = "idle"
            yield _idle(wire, account, idle_for)
        if then is not None:
            yield from then(settings, vault)
    except MailboxFault as fault:
        yield Finding(step=step, is_good=False, text=f"account {account.name!r}: {fault}")


def _open(wire: Wire, account: Account, folder: str) -> None:
    wire.open_folder(named(wire, folder), is_read_only=account.after == "nothing")


def _after(wire: Wire, account: Account) -> Iterator[Finding]:
    """Whether the folder exists to which mails are moved."""
    effect, _, name = account.after.partition(":")
    if effect != "move":
        return
    try:
        wire.open_folder(name, is_read_only=True)
    except MailboxFault as fault:
        raise MailboxFault(fault.kind, f"after = {account.after!r}: {fault}") from None
    yield Finding(step="after", is_good=True, text=f"mails can be moved to {shown(name.encode())}")


def _fetch(wire: Wire, account: Account, counts: Mapping[str, int]) -> Finding:
    """Fetch mail with the commands of the daemon: everything after a position, and one mail by its UID.

    Raises:
        MailboxFault: none of the newest mails can be fetched.
    """
    folder = next((name for name, count in counts.items() if count), account.folders[0])
    _open(wire, account, folder)
    new = wire.fetch_after(wire.uid_next - 1, with_idle=False)
    newest = new[-1:] or _newest(wire)
    if not newest:
        return Finding(step="fetch", is_good=True, text=f"{_name(folder)} is empty; a look for new mail was answered")
    why: MailboxFault | None = None
    for one in reversed(newest):
        try:
            mails = wire.fetch_mails([one.uid])
        except Refusal as fault:
            why = fault
            continue
        if mails and (mails[0].content or not mails[0].size):
            octets = len(mails[0].content or b"")
            return Finding(step="fetch", is_good=True, text=f"{_name(folder)}: the mail with UID {one.uid}, {octets:,} octets")
    tried = ", ".join(str(one.uid) for one in reversed(newest))
    text = f"{_name(folder)}: none of the newest mails can be fetched (UID {tried}): {why or 'the server gives nothing for it'}"
    raise MailboxFault(Kind.NETWORK, text)


def _newest(wire: Wire) -> list[Fetched]:
    """The newest mails by UID; by a SEARCH if the server does not date them."""
    try:
        return wire.newest(TRIES)
    except Refusal:
        return [Fetched(uid=uid) for uid in wire.search(b"ALL")[-TRIES:]]


def opened_by(settings: ImapSettings, token: Secret) -> Secret:
    """Log in once with a refresh token. Returns the token as the provider left it.

    Raises:
        MailboxFault: it does not open the account; the text names what fixes it.
    """
    account, vault = account_of(settings), OneToken(token)
    with closing(Wire(account.endpoint(Contexts().of(settings)))) as wire:
        log_in(wire, account, tokens_of(account, vault))
    return vault.token


def leave(settings: ImapSettings, vault: Tokens | None, content: bytes) -> str:
    """Put a mail into the first watched folder of an account, as if it had arrived there. Returns the folder's name.

    Raises:
        MailboxFault: it cannot be put there; the text names what fixes it.
    """
    account = account_of(settings)
    with closing(Wire(account.endpoint(Contexts().of(settings)))) as wire:
        log_in(wire, account, tokens_of(account, vault))
        folder = account.folders[0]
        try:
            wire.append(folder, content)
        except IMAPClientError as fault:
            raise MailboxFault(Kind.SETTING, f"{folder} takes no mail from us: {words_of(fault)}") from None
    return folder


def _folders(wire: Wire, watched: Sequence[str]) -> str:
    """The folders that can be opened, as many as fit into a few lines: first the watched ones, then those with a purpose, then
    the others."""
    try:
        listed: list[Any] = wire.list_folders()
    except IMAPClientError as fault:
        return f"not listed: {words_of(fault)}"
    found: list[tuple[int, str]] = []
    for flags, _, name in listed:
        words = {flag.decode("ascii", "replace") for flag in flags}
        if r"\Noselect" not in words:
            special = sorted(words & {r"\All", r"\Junk", r"\Sent", r"\Trash", r"\Drafts", r"\Archive"})
            text = f"{_name(str(name))} ({special[0][1:].lower()})" if special else _name(str(name))
            found.append((0 if str(name) in watched else 1 if special else 2, text))
    texts = [text for _, text in sorted(found, key=lambda one: one[0])]
    told: list[str] = []
    while texts and len(", ".join([*told, texts[0]])) <= SCREEN:
        told.append(texts.pop(0))
    return ", ".join(told) + (f" … and {len(texts):,} more" if texts else "")


def _name(folder: str) -> str:
    """A folder's name, made suitable for a line."""
    text = shown(folder.encode())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _idle(wire: Wire, account: Account, seconds: float) -> Finding:
    quiet = f"the server is asked every few seconds ({account.name} works, with some seconds of delay)"
    if "IDLE" not in wire.abilities:
        return Finding(step="idle", is_good=True, text=f"not offered: {quiet}")
    bell, ring = os.pipe()
    try:
        wire.start_idle()
        told = wire.wait(seconds, bell)
        wire.noop()
    except IdleRefused:
        return Finding(step="idle", is_good=True, text=f"refused: {quiet}")
    finally:
        os.close(bell)
        os.close(ring)
    if told == "ended":
        return Finding(step="idle", is_good=True, text=f"ended by the server at once: {quiet}")
    return Finding(step="idle", is_good=True, text=f"held for {seconds:g} s, and the server answered after it")
