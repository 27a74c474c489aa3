"""A real Skyvern on loopback, with SQLite and a language model that is a regular expression.

`tests/e2e/install` puts it into a virtual environment of its own, outside the checkout; here it is started on a free port with an
empty database, asked, and ended. One process holds its server and the questions to its own lookup (`skyvern_server`); it ends when
this one does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.peers.receiver import Found, Kind, Mood

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailbridge"
ENVIRONMENT = CACHE / "skyvern"
MEND = "no Skyvern is installed: run tests/e2e/install (or `make e2e`)"

PATIENCE = 180.0
"""Seconds that its start may take; 12 on an idle machine (measured)."""

SERVER = Path(__file__).with_name("skyvern_server.py")
KEPT = ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE")
WORKFLOW = {
    "title": "wait",
    "workflow_definition": {"parameters": [], "blocks": [{"block_type": "wait", "label": "wait", "wait_sec": 1}]},
}


def is_installed() -> bool:
    """Whether there is one to start."""
    return (ENVIRONMENT / ".complete").exists()


class Skyvern:
    """A running Skyvern. Implements `tests.peers.receiver.Receiver`."""

    def __init__(self, base_url: str, folder: Path, model: LanguageModel) -> None:
        self.base_url = base_url
        self.api_key = ""
        self._folder = folder
        self._model = model
        self._client = httpx.Client(base_url=base_url, trust_env=False, timeout=30)

    def resolve(
        self, identifier: str, *, workflow_run_id: str | None = None, kind: Kind | None = None, task_id: str | None = None
    ) -> Found:
        """What Skyvern's own lookup gives for an identifier, to a run where one is named."""
        found = self.ask("resolve", identifier=identifier, workflow_run_id=workflow_run_id, kind=kind, task_id=task_id)
        return Found(value=found["value"], kind=found["kind"])

    def poll(self, url: str, *, kind: Kind | None = "totp", **ids: str) -> dict[str, Any]:
        """One tick of Skyvern's poll of a ``totp_url``: ``value``, ``kind``, ``statuses``, ``is_conforming``."""
        return self.ask("poll", url=url, kind=kind, **ids)

    def make_run(self, *, is_started: bool = False) -> str:
        """The id of a new workflow run. A started one does not see codes that are older than its start."""
        answer = self._client.post("/v1/workflows", json={"json_definition": WORKFLOW}, headers={"x-api-key": self.api_key})
        made = answer.raise_for_status().json()
        ids = {name: made[name] for name in ("workflow_id", "workflow_permanent_id")}
        return str(self.ask("run", **ids, is_started="yes" if is_started else None)["workflow_run_id"])

    def age(self, identifier: str, by: timedelta) -> None:
        """Set back the clock of every row of an identifier, in Skyvern's own database."""
        with contextlib.closing(sqlite3.connect(self._folder / "skyvern.db", timeout=30)) as database, database:
            database.execute(
                "UPDATE totp_codes SET created_at = strftime('%Y-%m-%d %H:%M:%f', created_at, ?) || '000' WHERE totp_identifier = ?",
                (f"-{by.total_seconds()} seconds", identifier),
            )

    def language_model(self, mood: Mood) -> None:
        """How the model behaves from now on."""
        self._model.mood = mood

    def ask(self, question: str, **asked: str | None) -> dict[str, Any]:
        """One of the questions of `skyvern_server`."""
        answer = self._client.post(f"/peer/{question}", json=asked).raise_for_status().json()
        if not isinstance(answer, dict):
            raise TypeError(f"{question}: not an object")
        return answer


class LanguageModel(ThreadingHTTPServer):
    """Stands in for a language model behind the API that many offer, so that Skyvern's way through one can be walked."""

    daemon_threads = True
    mood: Mood = "reads"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Completion)

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Completion(BaseHTTPRequestHandler):
    """One completion: the first six digits of the quoted content, nothing, or 503."""

    def do_POST(self) -> None:
        """Answer as the mood is."""
        prompt = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("utf-8", "replace")
        mood = self.server.mood if isinstance(self.server, LanguageModel) else "is down"
        if mood == "is down":
            self.send_error(503)
            return
        digits = re.search(r"(?<!\d)\d{6}(?!\d)", prompt.rpartition("containing OTP")[2])
        is_wanted = mood == "reads" and digits is not None and 'expect a \\"magic_link' not in prompt
        value = digits.group() if digits is not None and is_wanted else None
        reply = {"reasoning": "a pattern", "otp_type": "totp", "otp_value_found": value is not None, "otp_value": value}
        message = {"role": "assistant", "content": json.dumps(reply)}
        body = json.dumps(
            {
                "id": "completion",
                "object": "chat.completion",
                "created": 0,
                "model": "pattern",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Nothing."""


@contextmanager
def running_skyvern(folder: Path, *, port: int = 0) -> Iterator[Skyvern]:
    """A Skyvern that keeps everything in ``folder``, on a free port unless one is named, for the length of the block.

    Raises:
        RuntimeError: it did not start; the message holds the end of its log.
    """
    model = LanguageModel()
    threading.Thread(target=model.serve_forever, daemon=True).start()
    listening = socket.socket()
    listening.bind(("127.0.0.1", port))
    listening.listen(512)
    log = folder / "skyvern.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [ENVIRONMENT / "bin" / "python", "-P", SERVER, str(listening.fileno())],
            cwd=folder,
            env=_environment(folder, model),
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            pass_fds=(listening.fileno(),),
        )
    peer = Skyvern(f"http://127.0.0.1:{listening.getsockname()[1]}", folder, model)
    listening.close()
    try:
        peer.api_key = _key_when_ready(peer, process, log)
        yield peer
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        model.shutdown()
        model.server_close()


def _environment(folder: Path, model: LanguageModel) -> dict[str, str]:
    """Nothing of the caller's leaks in: no proxies, no keys, no settings of another Skyvern."""
    settings = {
        "SECRET_KEY": secrets.token_urlsafe(32),
        "DATABASE_STRING": f"sqlite+aiosqlite:///{folder}/skyvern.db",
        "LOCAL_CREDENTIAL_VAULT_PATH": str(folder / "vault"),
        "SKYVERN_TELEMETRY": "false",
        "ENABLE_URL_VALIDATION": "false",
        "ENABLE_OPENAI_COMPATIBLE": "true",
        "OPENAI_COMPATIBLE_MODEL_NAME": "pattern",
        "OPENAI_COMPATIBLE_API_KEY": "none",
        "OPENAI_COMPATIBLE_API_BASE": model.base_url,
        "LLM_KEY": "OPENAI_COMPATIBLE",
        "SECONDARY_LLM_KEY": "OPENAI_COMPATIBLE",
    }
    env_file = folder / ".env"
    env_file.touch(mode=0o600)
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()), encoding="utf-8")
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "HOME": str(folder), "SKYVERN_ENV_FILE": str(env_file), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def _key_when_ready(peer: Skyvern, process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            key = str(peer.ask("key")["key"])
            if key:
                return key
        time.sleep(0.1)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    state = "did not get ready" if process.poll() is None else f"exited with status {process.returncode}"
    raise RuntimeError(f"Skyvern {state}:\n{tail}")
