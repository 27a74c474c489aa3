"""A door in front of a real server: open, shut, or letting requests in and no answers out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

Position = Literal["open", "shut", "one-way"]


class Gate:
    """Stands on a port of its own, which refuses connections while it is shut. Moving it ends the connections that are there."""

    def __init__(self, behind: str) -> None:
        parts = urlsplit(behind)
        self._behind = (parts.hostname or "", parts.port or 80)
        self._through: set[socket.socket] = set()
        self._position: Position = "shut"
        self._door = _bound(0)
        self.base_url = "http://{}:{}".format(*self._door.getsockname())

    @property
    def position(self) -> Position:
        """How it stands now."""
        return self._position

    @position.setter
    def position(self, position: Position) -> None:
        was, self._position = self._position, position
        if position == "shut" and was != "shut":
            port = self._door.getsockname()[1]
            self._close_door()
            self._door = _bound(port)
        elif was == "shut" and position != "shut":
            self._door.listen(64)
            threading.Thread(target=self._let_in, args=(self._door,), daemon=True).start()
        for one in list(self._through):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Shut it for good."""
        self.position = "shut"
        self._door.close()

    def _close_door(self) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _let_in(self, door: socket.socket) -> None:
        while True:
            try:
                client, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client, self._position), daemon=True).start()

    def _pass(self, client: socket.socket, position: Position) -> None:
        with client, socket.create_connection(self._behind) as server:
            self._through |= {client, server}
            threading.Thread(target=_pipe, args=(client, server), daemon=True).start()
            if position == "open":
                _pipe(server, client)
            else:
                # The answer is there, so the request was handled: now the connection breaks.
                with suppress(OSError):
                    server.recv(65_536)
                    client.shutdown(socket.SHUT_RDWR)
            self._through -= {client, server}


def _bound(port: int) -> socket.socket:
    """A socket that holds a port of loopback and does not listen: connections to it are refused."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", port))
    return one


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while octets := source.recv(65_536):
            target.sendall(octets)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def gate_before(base_url: str) -> Iterator[Gate]:
    """A gate before a server, open at first, for the length of the block."""
    gate = Gate(base_url)
    gate.position = "open"
    try:
        yield gate
    finally:
        gate.close()
