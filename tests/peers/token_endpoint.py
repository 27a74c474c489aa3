"""An identity provider on loopback: tokens, device codes, and introspection (RFC 7662) for a mail server."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit


class TokenEndpoint:
    """Access tokens live ``life`` seconds; a refresh token is good once and rotates. ``failing`` is a status to answer with,
    ``moved_to`` where a redirect leads."""

    def __init__(self, *, user: str = "ann@corp.example", life: int = 3600) -> None:
        self.user = user
        self.life = life
        self.failing = 0
        self.moved_to = ""
        self.pending = 0
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.access: dict[str, float] = {}
        self.refresh: set[str] = set()
        self._codes: dict[str, str] = {}
        self._lock = threading.Lock()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fields = dict(parse_qsl(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()))
                status, answer = peer.answer(urlsplit(self.path).path, fields)
                body = json.dumps(answer).encode()
                self.send_response(status)
                if peer.moved_to:
                    self.send_header("Location", peer.moved_to)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", peer.consent(self.path))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def new_refresh_token(self) -> str:
        """A refresh token that is good."""
        token = secrets.token_urlsafe(12)
        self.refresh.add(token)
        return token

    def tokens_asked(self) -> int:
        """How often the token endpoint was asked."""
        return sum(path == "/token" for path, _ in self.requests)

    def consent(self, path: str) -> str:
        """What a browser is sent to when the person says yes."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        code = secrets.token_urlsafe(8)
        self._codes[code] = query["code_challenge"]
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def answer(self, path: str, fields: dict[str, str]) -> tuple[int, dict[str, object]]:
        """Status and JSON for a form."""
        with self._lock:
            self.requests.append((path, fields))
            if self.failing:
                return self.failing, {"error": "temporarily_unavailable"}
            if path == "/introspect":
                is_active = self.access.get(fields.get("token", ""), 0) > time.time()
                return 200, {"active": is_active, **({"username": self.user} if is_active else {})}
            if path == "/device":
                return 200, {"device_code": "dev", "user_code": "ABCD-EFGH", "verification_uri": self.url, "interval": 0.01}
            return self._token(fields)

    def _token(self, fields: dict[str, str]) -> tuple[int, dict[str, object]]:
        match fields.get("grant_type"):
            case "refresh_token":
                is_good = fields.get("refresh_token", "") in self.refresh
                self.refresh.discard(fields.get("refresh_token", ""))
            case "authorization_code":
                digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
                is_good = self._codes.pop(fields.get("code", ""), "") == challenge
            case "client_credentials":
                is_good = fields.get("client_secret") == "app-secret"
            case "urn:ietf:params:oauth:grant-type:device_code":
                if self.pending:
                    self.pending -= 1
                    return 400, {"error": "authorization_pending"}
                is_good = True
            case _:
                is_good = "assertion" in fields
        if not is_good:
            return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        access = secrets.token_urlsafe(24)
        self.access[access] = time.time() + self.life
        return 200, {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.life,
            "refresh_token": self.new_refresh_token(),
        }

    def serve(self) -> None:
        """Answer until closed."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_token_endpoint(*, life: int = 3600) -> Iterator[TokenEndpoint]:
    """A provider for the length of the block."""
    peer = TokenEndpoint(life=life)
    threading.Thread(target=peer.serve, daemon=True).start()
    try:
        yield peer
    finally:
        peer.close()
