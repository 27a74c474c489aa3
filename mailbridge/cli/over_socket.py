"""HTTP over the daemon's unix socket. Small, since the completion of a shell needs it within a blink."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

from mailbridge.net.listening import connect_private


class OverSocket(http.client.HTTPConnection):
    """HTTP over the daemon's unix socket."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        super().__init__("mailbridge", timeout=timeout)
        self._path = path
        self._patience = timeout

    def connect(self) -> None:
        """See `http.client.HTTPConnection.connect`."""
        self.sock: socket.socket = connect_private(self._path, timeout=self._patience)
