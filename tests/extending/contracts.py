"""What the example package of docs/extending.md passes, installed and outside of this tree; `test_extending` runs it there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from mailbridge_example.bell import Bell, bell
from mailbridge_example.drop import drop
from mailbridge_example.held import held

from mailbridge.app.daemon import bridge
from mailbridge.app.parts import PARTS, SINKS, Parts
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import HttpSettings, Settings, TargetSettings, TrustSettings
from mailbridge.core.delivery import Claim, State
from mailbridge.core.secret import Secret
from mailbridge.intake.doorway import Doorway
from tests.ingress.contract import RCPT, IngressContract
from tests.loop import looped, until
from tests.peers.scripted import Heard, answer, scripted
from tests.sinks.contract import SinkContract
from tests.test_app import settings_in

TOKEN = "a-token-for-the-whole-api"
KEY = "a-token-of-the-bell"


@dataclass(frozen=True, slots=True)
class DropPlace:
    """A folder; what lies there is not taken. Implements `tests.ingress.contract.Place`."""

    folder: Path
    says: Mapping[str, str] = field(default_factory=dict)
    asks: bool = False

    @asynccontextmanager
    async def serve(self, doorway: Doorway) -> AsyncIterator[str]:
        """See `Place.serve`."""
        async with drop(self.folder, rcpt=RCPT)(Settings(), doorway):
            yield ""

    def source(self, where: str) -> Folder:
        """See `Place.source`."""
        return Folder(self.folder)

    async def say(self, where: str, mail: bytes) -> str:
        """NoEvents hears anything."""
        raise NotImplementedError


@dataclass(slots=True)
class Folder:
    """Implements `tests.ingress.contract.Source`."""

    path: Path
    count: int = 0

    async def post(self, mail: bytes, *, rcpt: str = RCPT) -> None:
        """Write it beside, then rename it."""
        self.count += 1
        part = self.path / f"{self.count:04d}.part"
        part.write_bytes(mail)
        part.rename(part.with_suffix(".eml"))

    def held(self) -> int:
        """The files that are there."""
        return len(list(self.path.glob("*.eml")))

    async def close(self) -> None:
        """They stay there."""


class TestDrop(IngressContract):
    """The way in."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> DropPlace:
        """A folder of its own."""
        (tmp_path / "drop").mkdir()
        return DropPlace(tmp_path / "drop")


@dataclass(frozen=True, slots=True)
class BellPlace:
    """Implements `tests.sinks.contract.Place`."""

    secret: str = KEY

    def sink(self, base_url: str, *, timeout: timedelta, wall: Callable[[], datetime]) -> Bell:
        """See `Place.sink`."""
        return Bell(f"{base_url}/codes", Secret(self.secret), timeout=timeout, wall=wall)

    def taken(self, one: Claim) -> bytes:
        """See `Place.taken`."""
        return answer(200, {"ok": True})

    def expiry(self, heard: Heard) -> datetime | None:
        """See `Place.expiry`."""
        return datetime.fromisoformat(str(heard.json()["expires_at"]))

    def sameness(self, heard: Heard) -> object:
        """The number of the delivery."""
        return heard.json()["id"]


class TestBell(SinkContract):
    """The sink."""

    @pytest.fixture
    def place(self) -> BellPlace:
        """Over a scripted server."""
        return BellPlace()


def parts(folder: Path) -> Parts:
    """What three lines in `app.parts` would say."""
    return Parts(
        sinks={**SINKS, "bell": bell},
        ingresses=(drop(folder, rcpt="codes@mailbridge.localhost"),),
        routes=(held,),
    )


def configured(folder: Path, base_url: str) -> Settings:
    """A daemon whose codes go to a bell."""
    target = TargetSettings(name="bell", kind="bell", base_url=base_url, api_key=Secret(KEY))  # type: ignore[arg-type]
    return msgspec.structs.replace(
        settings_in(folder),
        target=(target,),
        trust=TrustSettings(default="none"),
        http=HttpSettings(listen="127.0.0.1:0", token=Secret(TOKEN)),
    )


@looped
async def test_a_daemon_with_all_three(tmp_path: Path) -> None:
    """A mail that is dropped into the folder rings the bell; the page counts for whoever has the token, and nobody else."""
    inbox = tmp_path / "drop"
    inbox.mkdir()
    async with (
        scripted(answer(200, {"ok": True})) as server,
        bridge(configured(tmp_path, server.base_url), state_dir=tmp_path, parts=parts(inbox)) as running,
    ):
        content = (
            b"From: Acme <no-reply@acme.example>\r\nTo: ann@corp.example\r\nSubject: Your code\r\nMessage-ID: <1@acme.example>\r\n"
            b"\r\nYour verification code is 482913\r\n"
        )
        await Folder(inbox).post(content)
        await until(lambda: server.heard)
        assert server.heard[0].json()["content"] == "482913"
        assert server.heard[0].headers["authorization"] == [f"Bearer {KEY}"]
        await until(lambda: not list(inbox.iterdir()))
        async with asyncio.timeout(10):
            while [one.state for one in await running.engine.store.outbox.deliveries()] != [State.DELIVERED]:
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=f"http://{running.http_address}", trust_env=False) as client:
            assert (await client.get("/example/held")).status_code == 401
            mine = {"Authorization": f"Bearer {TOKEN}"}
            assert "Held mails: 0" in (await client.get("/example/held", headers=mine)).text
            assert json.loads((await client.get("/example/held.json", headers=mine)).text) == {"held": 0}


@looped
async def test_an_installed_package_takes_part_in_nothing_by_itself(tmp_path: Path) -> None:
    """Without its line the kind is unknown, and the message says which there are; nothing was registered by an import."""
    assert (PARTS.ingresses, PARTS.routes) == ((), ())
    assert set(PARTS.sinks) == {"skyvern", "webhook", "http"}
    with pytest.raises(ConfigError, match="'bell' is none of skyvern, webhook, http"):
        async with bridge(configured(tmp_path, "http://127.0.0.1:9"), state_dir=tmp_path):
            pass
