"""The client for asyncio."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from types import TracebackType
from typing import TypeVar

import httpx

from mailbridge_client.answers import Code, Expectation, InboxInfo, Why
from mailbridge_client.calls import Answer, Call, Wish
from mailbridge_client.errors import MailbridgeError
from mailbridge_client.settings import UNLIMITED, settings
from mailbridge_client.steps import Failure, Got, Pause, Plan, Planner

T = TypeVar("T")


class AsyncMailbridge:
    """Asks one mailbridge, from one event loop; many waits at once are fine.

    ``url`` and ``token`` come from MAILBRIDGE_URL and MAILBRIDGE_TOKEN where they are left out. ``patience``: seconds for which a
    request that fails for now (no connection, 429, 502, 503, 504) is sent again; a wait has its own timeout. ``transport`` is for
    tests and proxies. Close it, or use it as a context manager.

    Raises:
        ValueError: there is no token, or the URL or the token is not what it must be.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        patience: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings(url, token)
        self._http = httpx.AsyncClient(transport=transport, limits=UNLIMITED, trust_env=not self._settings.is_loopback)
        self._planner = Planner(patience=patience, clock=time.monotonic, dice=random.random)

    def __repr__(self) -> str:
        return f"AsyncMailbridge({self._settings.url!r})"

    async def __aenter__(self) -> AsyncMailbridge:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def wait_for_code(
        self,
        identifier: str,
        timeout: float = 60.0,
        since: datetime | float | None = None,
        *,
        sender: str | None = None,
        run: str | None = None,
        consume: bool = False,
    ) -> Code:
        """The newest code for an identifier, at once or when it comes within ``timeout`` seconds.

        ``since``: the oldest receipt that will do (aware datetime, or seconds since 1970). Left out: since `expect_code` for this
        identifier, where that was called before, else since now. So a code that was given is never given again. ``sender``: only of
        this one (an address, a domain, a pattern with ``*``). ``run``: Skyvern's id that the code may be bound to. ``consume``:
        nobody else may have it afterwards; if the answer is lost on its way, the code is lost too.

        Raises:
            CodeTimeout: nothing came; says why, as far as mailbridge knows.
            NotAllowed: the token is no good, or not for this identifier.
            UnknownIdentifier: no code can ever come for it.
            Unreachable: mailbridge did not answer in that time.
        """
        return await self._run(
            self._planner.wait(
                Wish(
                    identifier=identifier, kind="code", timeout=timeout, since=since, sender=sender, run=run, is_consumed=consume
                )
            )
        )

    async def wait_for_link(
        self,
        identifier: str,
        timeout: float = 60.0,
        since: datetime | float | None = None,
        *,
        sender: str | None = None,
        run: str | None = None,
        consume: bool = False,
    ) -> Code:
        """The same for a magic link."""
        return await self._run(
            self._planner.wait(
                Wish(
                    identifier=identifier, kind="link", timeout=timeout, since=since, sender=sender, run=run, is_consumed=consume
                )
            )
        )

    async def latest_code(self, identifier: str, *, sender: str | None = None) -> Code | None:
        """The newest code that is still good, however old; None where there is none. Raises as `wait_for_code`, but CodeTimeout."""
        return await self._run(self._planner.latest(Wish(identifier=identifier, kind="code", timeout=0, sender=sender)))

    async def expect_code(self, identifier: str, seconds: float = 120.0, *, sender: str | None = None) -> Expectation:
        """Say that a code will be wanted within so many seconds (at most 600): call it before the site sends the mail.

        Watched mailboxes are asked often meanwhile, and the next wait for this identifier counts from here: a mail that comes before
        the wait begins is not missed. ``sender`` counts as known for this token meanwhile.
        """
        return await self._run(self._planner.expect(identifier, seconds=seconds, sender=sender))

    async def why(self, identifier: str, since: datetime | float | None = None) -> Why:
        """Why nothing came, in order of likelihood. A token for codes is not told what is about others. Raises as `latest_code`."""
        return await self._run(self._planner.why(identifier, since))

    async def create_inbox(
        self, senders: Sequence[str] | None = None, lifetime: str | float | None = None, *, push: bool = False
    ) -> AsyncInbox:
        """A throw-away inbox with an address that nobody can guess. Release it, or let its lifetime end it.

        ``senders``: the domains and addresses whose mails it takes; left out, those of any sender that proves itself. ``lifetime``:
        a duration such as "1h", or seconds. ``push``: its codes go to Skyvern too. The token must be for inboxes (``inbox-*``).
        """
        return AsyncInbox(self, await self._run(self._planner.create_inbox(senders, lifetime, is_pushed=push)))

    @asynccontextmanager
    async def inbox(
        self, senders: Sequence[str] | None = None, lifetime: str | float | None = None, *, push: bool = False
    ) -> AsyncIterator[AsyncInbox]:
        """The same for the length of a block. It is released at its end; if that fails, its lifetime ends it."""
        made = await self.create_inbox(senders, lifetime, push=push)
        try:
            yield made
        finally:
            with suppress(MailbridgeError):
                await made.release()

    async def inboxes(self) -> tuple[InboxInfo, ...]:
        """The inboxes of this token that live."""
        return await self._run(self._planner.inboxes())

    async def release_inbox(self, inbox: int, identifier: str = "") -> None:
        """Erase an inbox by its id. Raises UnknownIdentifier where it is gone."""
        await self._run(self._planner.release_inbox(inbox, identifier))

    async def _run(self, plan: Plan[T]) -> T:
        got: Got = None
        while True:
            try:
                step = plan.send(got)
            except StopIteration as end:
                done: T = end.value
                return done
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                got = None
            else:
                got = await self._answer(step)

    async def _answer(self, call: Call) -> Answer | Failure:
        try:
            answer = await self._http.send(self._settings.request(call, self._http))
        except httpx.RequestError as error:
            return Failure(text=f"{self._settings.url}: {error or type(error).__name__}")
        return Answer(status=answer.status_code, content=answer.content, retry_after=answer.headers.get("Retry-After", ""))


class AsyncInbox:
    """A throw-away inbox. ``address`` is what to type into a site's form."""

    def __init__(self, client: AsyncMailbridge, info: InboxInfo) -> None:
        self._client = client
        self.info = info

    def __repr__(self) -> str:
        return f"AsyncInbox({self.info.address!r})"

    @property
    def address(self) -> str:
        """Where its mails go."""
        return self.info.address

    @property
    def identifier(self) -> str:
        """Under which its codes are."""
        return self.info.identifier

    async def wait_for_code(self, timeout: float = 60.0, *, sender: str | None = None, consume: bool = False) -> Code:
        """The newest code since the inbox was made, or since the one that was given last. Raises as `AsyncMailbridge.wait_for_code`."""
        return await self._client.wait_for_code(self.identifier, timeout, sender=sender, consume=consume)

    async def wait_for_link(self, timeout: float = 60.0, *, sender: str | None = None, consume: bool = False) -> Code:
        """The same for a magic link."""
        return await self._client.wait_for_link(self.identifier, timeout, sender=sender, consume=consume)

    async def release(self) -> None:
        """Erase it with all that came. Raises UnknownIdentifier where it is gone."""
        await self._client.release_inbox(self.info.id, self.info.identifier)
