"""`imap test`: connect, log in, look around and idle, step by step, and say at the first step that fails what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from imapclient.exceptions import IMAPClientError

from mailbridge.config.settings import ImapSettings
from mailbridge.ingress.imap.faults import IdleRefused, Kind, MailboxFault, words_of
from mailbridge.ingress.imap.login import log_in
from mailbridge.ingress.imap.presets import Account, Contexts, account_of
from mailbridge.ingress.imap.service import tokens_of
from mailbridge.ingress.imap.vault import TokenVault
from mailbridge.ingress.imap.whereabouts import named
from mailbridge.ingress.imap.wire import Wire

USEFUL = ("IDLE", "MOVE", "UIDPLUS", "NOTIFY", "CONDSTORE", "ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One step and what came of it."""

    step: str
    is_good: bool
    text: str


More = Callable[[ImapSettings, TokenVault | None], Iterator[Finding]]


def probe(settings: ImapSettings, vault: TokenVault | None, *, idle_for: float, then: More | None = None) -> Iterator[Finding]:
    """The steps of one account, until one fails, and ``then`` more where none has. ``idle_for`` in seconds."""
    account = account_of(settings)
    step = "connect"
    try:
        wire = Wire(account.endpoint(Contexts().of(settings)))
        with closing(wire):
            yield Finding(step=step, is_good=True, text=f"{account.host} port {account.port}, tls = {account.tls}")
            step = "login"
            log_in(wire, account, tokens_of(account, vault))
            has = ", ".join(name for name in USEFUL if name in wire.abilities)
            yield Finding(step=step, is_good=True, text=f"the server offers {has or 'nothing of use beyond IMAP itself'}")
            step = "folders"
            yield Finding(step=step, is_good=True, text=", ".join(_folders(wire)))
            for folder in account.folders:
                step = f"open {folder}"
                wire.open_folder(named(wire, folder), is_read_only=account.after == "nothing")
                yield Finding(step=step, is_good=True, text=f"{wire.exists} mails")
            step = "idle"
            yield _idle(wire, account, idle_for)
        if then is not None:
            yield from then(settings, vault)
    except MailboxFault as fault:
        yield Finding(step=step, is_good=False, text=f"account {account.name!r}: {fault}")


def leave(settings: ImapSettings, vault: TokenVault | None, content: bytes) -> str:
    """Put a mail into the first watched folder of an account, as if it had come there. Returns the folder's name.

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


def _folders(wire: Wire) -> list[str]:
    """Every folder that can be opened, with what it is for where the server says it."""
    try:
        listed: list[Any] = wire.list_folders()
    except IMAPClientError as fault:
        return [f"not listed: {words_of(fault)}"]
    found = []
    for flags, _, name in listed:
        words = {flag.decode("ascii", "replace") for flag in flags}
        if r"\Noselect" not in words:
            special = sorted(words & {r"\All", r"\Junk", r"\Sent", r"\Trash", r"\Drafts", r"\Archive"})
            found.append(f"{name} ({special[0][1:].lower()})" if special else str(name))
    return found


def _idle(wire: Wire, account: Account, seconds: float) -> Finding:
    quiet = f"the server is asked every few seconds ({account.name} works, with some seconds of delay)"
    if "IDLE" not in wire.abilities:
        return Finding(step="idle", is_good=True, text=f"not offered: {quiet}")
    bell, ring = os.pipe()
    try:
        wire.start_idle()
        wire.wait(seconds, bell)
        wire.noop()
    except IdleRefused:
        return Finding(step="idle", is_good=True, text=f"refused: {quiet}")
    finally:
        os.close(bell)
        os.close(ring)
    return Finding(step="idle", is_good=True, text=f"held for {seconds:g} s, and the server answered after it")
