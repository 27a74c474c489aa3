"""A site to sign up or log in at: it sends a code by mail to the address that is typed, and says Welcome to who types the code."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

PAGE = '<!doctype html><title>Acme</title><form method="post" action="{action}"><label>{label} <input name="value"></label><button>{name}</button></form>'
FIRST = PAGE.format(action="/code", label="Email", name="Sign up")
SECOND = PAGE.format(action="/done", label="Code", name="Confirm")


class Site(ThreadingHTTPServer):
    """``codes``: what was sent to whom; ``welcomed``: how many have come in. Each address gets a code of its own."""

    daemon_threads = True

    def __init__(self, mail: Callable[[str, str], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.mail = mail
        self.codes: dict[str, str] = {}
        self.welcomed = 0

    @property
    def url(self) -> str:
        """Its first page."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def page(self, path: str, value: str) -> str:
        """What a form leads to."""
        if path == "/code":
            self.codes[value] = f"{secrets.randbelow(900_000) + 100_000}"
            self.mail(value, self.codes[value])
            return SECOND
        if path == "/done" and value in self.codes.values():
            self.welcomed += 1
            return "<!doctype html><h1>Welcome</h1>"
        return "<!doctype html><h1>Wrong</h1>"


class _Asked(BaseHTTPRequestHandler):
    server: Site

    def _show(self, page: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def do_GET(self) -> None:
        """The first page."""
        self._show(FIRST)

    def do_POST(self) -> None:
        """What comes after a form."""
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        self._show(self.server.page(self.path, form.get("value", [""])[0]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """A server at work, for the length of the block."""
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
