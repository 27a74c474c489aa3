"""The daemon as a whole: a mail by SMTP wakes who waits, the pull keys follow the configuration, and no secret is told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from pathlib import Path

import httpx

from mailbridge.app.daemon import Bridge, bridge
from mailbridge.config.load import load
from mailbridge.config.settings import Settings
from tests.web.daemon import Sender

TOML = """
[smtp]
listen = ["127.0.0.1:0"]
[domains]
accept = ["bridge.example"]
[identity]
known = ["*@corp.com", "Ops@other.example"]
[skyvern]
base_url = "http://127.0.0.1:9"
api_key = "the-main-key-of-skyvern"
[[target]]
name = "other"
identifiers = ["*@other.example"]
base_url = "http://127.0.0.1:9"
api_key = "the-key-of-the-other"
[http]
listen = "127.0.0.1:0"
token = "a-token-for-the-whole"
[practice]
listen = "127.0.0.1:0"
[trust]
default = "none"
"""


def settings(folder: Path, text: str = TOML) -> Settings:
    """Settings with everything in ``folder``."""
    path = folder / "mailbridge.toml"
    path.write_text(f'{text}\n[store]\nurl = "sqlite:///{folder}/mailbridge.db"\n', encoding="utf-8")
    return load(path, environ={}, cwd=folder).settings


async def poll(running: Bridge, identifier: str, key: str) -> httpx.Response:
    """One poll, signed with a key."""
    body = b'{"task_id":"tsk_1"}'
    headers = {"x-skyvern-signature": hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"http://{running.http_address}/skyvern/totp/{identifier}", content=body, headers=headers)


def test_a_mail_by_smtp_ends_a_long_poll_and_answers_a_poll(tmp_path: Path) -> None:
    """Whatever becomes of the push (here nobody listens), the code is there for who asks, and in no log and no metric."""

    async def work() -> None:
        async with (
            bridge(settings(tmp_path), state_dir=tmp_path) as running,
            httpx.AsyncClient(
                base_url=f"http://{running.http_address}",
                headers={"Authorization": "Bearer a-token-for-the-whole"},
                trust_env=False,
                timeout=30,
            ) as client,
        ):
            params = {"identifier": "ann@corp.com", "timeout": "20"}
            waiting = asyncio.create_task(client.get("/api/v1/codes/wait", params=params))
            async with asyncio.timeout(10):
                while not running.engine.waiting.waits_for("ann@corp.com"):
                    await asyncio.sleep(0.01)
            metrics = (await client.get("/metrics")).text
            assert 'mailbridge_waiting{way="api"} 1.0' in metrics
            sender = await Sender.connect(running.smtp_addresses[0])
            await sender.send("ann@corp.com", "482913")
            assert (await waiting).json()["code"] == "482913"
            answer = await poll(running, "ann@corp.com", "the-main-key-of-skyvern")
            assert answer.json() == {"task_id": "tsk_1", "verification_code": "482913"}
            metrics = (await client.get("/metrics")).text
            assert 'mailbridge_pulls_total{outcome="code"} 1.0' in metrics
            assert "482913" not in metrics
            assert "ann@corp.com" not in metrics
            await sender.close()

    asyncio.run(work())


def test_a_key_opens_what_its_target_serves_and_a_reload_takes_new_keys(tmp_path: Path) -> None:
    """The other organization's key is for its own identifiers; [pull] keys take the place of both at once."""

    async def work() -> None:
        async with bridge(settings(tmp_path), state_dir=tmp_path) as running:
            main, other = "the-main-key-of-skyvern", "the-key-of-the-other"
            statuses = [
                (await poll(running, identifier, key)).status_code
                for identifier in ("ann@corp.com", "ops@other.example")
                for key in (main, other)
            ]
            assert statuses == [200, 401, 401, 200]
            await running.reload(settings(tmp_path, f'{TOML}\n[pull]\nkeys = ["{main}", "the-newest-key"]\n'))
            assert (await poll(running, "ops@other.example", "the-newest-key")).status_code == 200
            assert (await poll(running, "ops@other.example", other)).status_code == 401
            assert running.live.now.is_known("OPS@other.example")
            assert running.live.now.is_known("ben@corp.com")
            assert not running.live.now.is_known("ben@other.example")

    asyncio.run(work())
