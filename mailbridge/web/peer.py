"""The user at the other end of the unix socket, as the kernel reports it; a client cannot fake it."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
from typing import Any

from mailbridge.web.auth import PEER
from mailbridge.web.connection import Connection

CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)."""


class PeerConnection(Connection):
    """A connection over TCP, or over the unix socket. There only this user and root get an answer, and a request sees in its state who
    asks; strangers who use up the connections do not shut an operator out."""

    _is_stranger = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected. The mode of the socket already keeps others out; this check holds if the mode was changed."""
        one = transport.get_extra_info("socket")
        if getattr(one, "family", None) != socket.AF_UNIX:
            super().connection_made(transport)
            return
        self.is_operator = True
        super().connection_made(transport)
        uid = uid_of(one)
        if uid not in (None, 0, os.geteuid()):
            self._is_stranger = True
            return
        state: dict[str, Any] = {**self.app_state, PEER: name_of(os.geteuid() if uid is None else uid)}
        self.app_state = state

    def data_received(self, data: bytes) -> None:
        """Refuse another user after the request was read: closing a connection with unread octets can lose the answer."""
        if self._is_stranger:
            self._refuse(403, "only the user that runs mailbridge, and root, may use this socket")
        else:
            super().data_received(data)


def uid_of(one: Any) -> int | None:
    """The user at the other end of a unix socket; None if the system does not report it, and only the socket's mode protects."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    uid: int = CREDENTIALS.unpack(one.getsockopt(socket.SOL_SOCKET, option, CREDENTIALS.size))[1]
    return uid


def name_of(uid: int) -> str:
    """A user's name, or the number if there is no name (in a container)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
