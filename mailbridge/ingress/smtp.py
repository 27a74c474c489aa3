"""SMTP (RFC 5321) and LMTP (RFC 2033) listeners: bound, served, and taken down without losing a mail."""

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
"""From Python 3.13 on the loop would remove the path of any unix socket that it served, also of one that systemd owns."""


class Listeners:
    """The listeners of a daemon, serving. ``addresses`` are as bound, with real ports; ``not_after`` the certificate's end."""

    def __init__(
        self, post: ListenerContext, servers: Sequence[asyncio.Server], addresses: Sequence[str], own_paths: Sequence[str]
    ) -> None:
        self._context = post
        self._servers = servers
        self._own_paths = own_paths
        self.addresses = tuple(addresses)

    @property
    def tls_not_after(self) -> datetime | None:
        """When the certificate for STARTTLS ends; None without one."""
        return self._context.certificate.not_after if self._context.certificate else None

    @property
    def limits(self) -> Limits:
        """The connections that are counted."""
        return self._context.limits

    def reload_tls(self) -> None:
        """Read the certificate again; a broken one is reported and the old one kept."""
        if self._context.certificate is not None:
            self._context.certificate.reload()

    async def close(self, drain: timedelta) -> None:
        """Stop accepting, say 421 to who is idle, let who is sending finish for up to ``drain``, then cut."""
        self._context.is_closing = True
        for server in self._servers:
            server.close()
        for session in list(self._context.sessions):
            session.shut(GOING_DOWN)
        loop = asyncio.get_running_loop()
        until = loop.time() + drain.total_seconds()
        while (self._context.sessions or self._context.storing) and loop.time() < until:
            await asyncio.sleep(0.01)
        for session in list(self._context.sessions):
            session.cut()
        for path in self._own_paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108  (one call, at the very end)


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

    ``accept`` is the door; ``admission`` is shared with every other way in.

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
    bound: list[tuple[Kind, socket.socket]] = []
    own_paths: list[str] = []
    faults: list[ListenError] = []
    for kind, addresses in (("smtp", settings.listen), ("lmtp", settings.lmtp)):
        if handed.get(kind):
            bound += [(_kind(kind), one) for one in handed[kind]]
            continue
        for address in addresses:
            try:
                bound.append((_kind(kind), bind(address)))
                own_paths += [address.removeprefix("unix:")] if address.startswith("unix:") else []
            except ListenError as fault:
                faults.append(fault)
    if faults:
        for _, one in bound:
            one.close()
        raise ListenError("\n".join(str(fault) for fault in faults), max(fault.exit_code for fault in faults))
    return await _start(post, bound, own_paths)


async def _start(post: ListenerContext, bound: Sequence[tuple[Kind, socket.socket]], own_paths: Sequence[str]) -> Listeners:
    loop = asyncio.get_running_loop()
    templates = {kind: Guard(post, kind, loop) for kind in {kind for kind, _ in bound}}
    servers, addresses = [], []
    for kind, one in bound:
        one.setblocking(False)
        addresses.append(name_of(one))
        if one.family == socket.AF_UNIX:
            servers.append(await loop.create_unix_server(templates[kind].spawn, sock=one, backlog=BACKLOG, **KEEP_PATH))
        else:
            servers.append(await loop.create_server(templates[kind].spawn, sock=one, backlog=BACKLOG))
    return Listeners(post, servers, addresses, own_paths)


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
