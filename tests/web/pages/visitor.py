"""A browser without a screen: it logs in to the page, keeps its cookie, and sends the forms that it was shown."""

from __future__ import annotations

import re
from typing import Literal

import httpx

from mailbridge.core.token import token_digest
from mailbridge.operator.faults import Fault
from mailbridge.operator.sessions import Invite
from tests.web.desk import Desk


class Visitor:
    """Asks the page at a desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.client = httpx.AsyncClient(base_url=desk.client.base_url, trust_env=False, timeout=30)
        self.origin = str(desk.client.base_url).rstrip("/")

    async def token(self, role: Literal["viewer", "operator"] = "operator") -> str:
        """The token of a new login link."""
        made = await self.desk.operator.sessions.invite(Invite(role=role), "ann")
        assert not isinstance(made, Fault)
        return made.url.partition("#")[2]

    async def log_in(self, role: Literal["viewer", "operator"] = "operator") -> httpx.Response:
        """Use a new link."""
        return await self.enter(await self.token(role))

    async def enter(self, token: str, **headers: str) -> httpx.Response:
        """Send a token as the login page does."""
        headers = {"Origin": self.origin, **headers}
        return await self.client.post("/login", data={"token": token}, headers=headers)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Look at a path."""
        return await self.client.get(path, headers=headers)

    async def csrf(self) -> str:
        """What the forms of this session bring back."""
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', (await self.get("/codes")).text)
        assert found is not None
        return found[1]

    async def post(self, path: str, *, part: bool = False, **fields: str) -> httpx.Response:
        """Send a form as the page does; ``part`` as htmx does."""
        data = {"csrf": await self.csrf(), **fields}
        headers = {"Origin": self.origin, **({"HX-Request": "true"} if part else {})}
        return await self.client.post(path, data=data, headers=headers)

    async def upload(self, path: str, files: dict[str, tuple[str, bytes]], **fields: str) -> httpx.Response:
        """Send a form with files, as a browser does (RFC 7578)."""
        data = {"csrf": await self.csrf(), **fields}
        return await self.client.post(path, data=data, files=files, headers={"Origin": self.origin})

    async def age(self, minutes: float) -> None:
        """Let every login be so old."""
        micros = int(minutes * 60_000_000)
        await self.desk.store.writer.do(
            lambda connection: connection.execute("UPDATE session SET created_at = created_at - ?", (micros,))
        )

    @property
    def cookie(self) -> str:
        """The text of its cookie."""
        return next(iter(self.client.cookies.values()), "")

    @property
    def digest(self) -> bytes:
        """What is kept of the cookie."""
        return token_digest(self.cookie)
