"""SMTP (RFC 5321) and LMTP (RFC 2033) listeners: bound, served, and closed without losing a mail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from mailbridge.config.settings import SmtpSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.content import give_large_buffers_back
from mailbridge.ingress.guard import Guard
from mailbridge.ingress.limits import Limits
from mailbridge.ingress.reply import GOING_DOWN
from mailbridge.ingress.session import ListenerContext
from mailbridge.ingress.tls import Certificate, Pair, TlsError, self_signed
from mailbridge.intake.admission import Admission
from mailbridge.intake.answer import Accept
from mailbridge.intake.events import Events, NoEvents
from mailbridge.net.listening import BACKLOG, ListenError, bind, name_of

log = logging.getLogger("mailbridge.smtp")

Kind = Literal["smtp", "lmtp"]

KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""From Python 3.13 on the loop would remove the path of any unix socket that it served, even if systemd owns it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One address that is served. ``wanted`` is the configured address, "" for a socket that was handed over. ``name`` has the
    real port."""

    kind: Kind
    wanted: str
    name: str
    server: asyncio.Server

    def close(self) -> None:
        """Accept no new connections; open ones continue. The path of a unix socket of our own is removed."""
        self.server.close()
        _forget_path(self.wanted)


Open = tuple[Kind, str, socket.socket]
"""A listening socket that is not served yet, its protocol, and its address as configured ("": it was handed over)."""


@dataclass(slots=True, kw_only=True)
class Change:
    """A new set of addresses to listen on: all wanted ones, and those of them that are bound but not served yet."""

    wanted: list[tuple[Kind, str]]
    fresh: list[Open]
    hostname: str

    def abandon(self) -> None:
        """Close what was bound for this change and is not served."""
        for _, wanted, one in self.fresh:
            one.close()
            _forget_path(wanted)


class Listeners:
    """The listeners of a daemon, which serve. ``addresses`` are the bound ones, with real ports. ``not_after`` is the
    certificate's end."""

    def __init__(self, post: ListenerContext, bound: Sequence[Bound]) -> None:
        self._context = post
        self._bound = list(bound)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where mail is accepted now, as ``host:port`` with the real port."""
        return tuple(one.name for one in self._bound)

    def prepare(self, new: SmtpSettings) -> Change:
        """Bind what ``new`` wants and is not bound yet. It is not served before `take`. Sockets that were handed over stay as
        they are.

        Raises:
            ListenError: an address cannot be bound; nothing has changed.
        """
        handed = {one.kind for one in self._bound if not one.wanted}
        wanted = [(kind, address) for kind, address in _wanted(new) if kind not in handed]
        served = {(one.kind, one.wanted) for one in self._bound}
        fresh = _bind([one for one in wanted if one not in served])
        return Change(wanted=wanted, fresh=fresh, hostname=new.hostname or socket.gethostname())

    async def take(self, change: Change) -> None:
        """Serve what was prepared, and close what is no longer wanted. Open connections continue."""
        fresh, change.fresh = change.fresh, []
        self._bound += await _serve(self._context, fresh)
        gone = [one for one in self._bound if one.wanted and (one.kind, one.wanted) not in change.wanted]
        self._bound = [one for one in self._bound if one not in gone]
        for one in gone:
            one.close()
        self._context.hostname = change.hostname

    @property
    def tls_not_after(self) -> datetime | None:
        """When the certificate for STARTTLS expires; None without one."""
        return self._context.certificate.not_after if self._context.certificate else None

    @property
    def limits(self) -> Limits:
        """The limits that count the connections."""
        return self._context.limits

    def reload_tls(self) -> None:
        """Read the certificate again. A broken one is reported, and the old one is kept."""
        if self._context.certificate is not None:
            self._context.certificate.reload()

    async def close(self, drain: timedelta) -> None:
        """Stop accepting, answer 421 to idle clients, let clients that are sending finish for up to ``drain``, then cut."""
        self._context.is_closing = True
        for one in self._bound:
            one.server.close()
        for session in list(self._context.sessions):
            session.shut(GOING_DOWN)
        loop = asyncio.get_running_loop()
        until = loop.time() + drain.total_seconds()
        while (self._context.sessions or self._context.storing) and loop.time() < until:
            await asyncio.sleep(0.01)
        for session in list(self._context.sessions):
            session.cut()
        for one in self._bound:
            one.close()


async def serve(
    settings: SmtpSettings,
    accept: Accept,
    admission: Admission,
    *,
    now: Callable[[], datetime],
    state_dir: Path,
    sockets: Mapping[str, Sequence[socket.socket]] | None = None,
    events: Events | None = None,
) -> Listeners:
    """Start every listener of ``settings``, or serve the sockets that were handed over under the names smtp and lmtp.

    ``accept`` stores mails. ``admission`` is shared with every other ingress.

    Raises:
        ListenError: addresses that cannot be bound or a certificate that cannot be used, all of them in one message.
    """
    hostname = settings.hostname or socket.gethostname()
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    give_large_buffers_back()
    post = ListenerContext(
        settings=settings,
        hostname=hostname,
        accept=accept,
        admission=admission,
        now=now,
        limits=Limits(connections=settings.max_connections, per_ip=settings.max_per_ip),
        certificate=_certificate(settings, state_dir, hostname),
        proxies=tuple(ip_network(proxy, strict=False) for proxy in settings.proxy_from),
        events=events or NoEvents(),
    )
    handed = sockets or {}
    given = [(_kind(kind), "", one) for kind in ("smtp", "lmtp") for one in handed.get(kind, ())]
    bound = _bind([(kind, address) for kind, address in _wanted(settings) if not handed.get(kind)])
    return Listeners(post, await _serve(post, [*given, *bound]))


def _wanted(settings: SmtpSettings) -> list[tuple[Kind, str]]:
    """Every address of the settings, with its protocol."""
    return [*((_kind("smtp"), one) for one in settings.listen), *((_kind("lmtp"), one) for one in settings.lmtp)]


def _forget_path(address: str) -> None:
    """Remove the path of a unix socket of our own."""
    if address.startswith("unix:"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.removeprefix("unix:"))  # noqa: PTH108  (one call, which does not block)


def _bind(wanted: Sequence[tuple[Kind, str]]) -> list[Open]:
    """Bind all addresses, or none. Raises ListenError with every address that cannot be bound."""
    bound: list[Open] = []
    faults: list[ListenError] = []
    for kind, address in wanted:
        try:
            bound.append((kind, address, bind(address)))
        except ListenError as fault:
            faults.append(fault)
    if faults:
        for _, address, one in bound:
            one.close()
            _forget_path(address)
        raise ListenError("\n".join(str(fault) for fault in faults), max(fault.exit_code for fault in faults))
    return bound


async def _serve(post: ListenerContext, opened: Sequence[Open]) -> list[Bound]:
    loop = asyncio.get_running_loop()
    templates = {kind: Guard(post, kind, loop) for kind in {kind for kind, _, _ in opened}}
    served = []
    for kind, wanted, one in opened:
        one.setblocking(False)
        name = name_of(one)
        if one.family == socket.AF_UNIX:
            server = await loop.create_unix_server(templates[kind].spawn, sock=one, backlog=BACKLOG, **KEEP_PATH)
        else:
            server = await loop.create_server(templates[kind].spawn, sock=one, backlog=BACKLOG)
        served.append(Bound(kind=kind, wanted=wanted, name=name, server=server))
    return served


def _kind(name: str) -> Kind:
    return "lmtp" if name == "lmtp" else "smtp"


def _certificate(settings: SmtpSettings, state_dir: Path, hostname: str) -> Certificate | None:
    if not settings.tls:
        return None
    try:
        if settings.tls_cert is not None and settings.tls_key is not None:
            return Certificate(Pair(cert=settings.tls_cert, key=settings.tls_key))
        return Certificate(self_signed(state_dir, hostname))
    except TlsError as fault:
        raise ListenError(str(fault), 78) from None
    except PermissionError as fault:
        raise ListenError(f"{fault.filename}: no permission to write the self-signed certificate there", 77) from None
