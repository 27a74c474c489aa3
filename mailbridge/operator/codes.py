"""Codes as an operator sees them: masked in lists, in clear only where they are asked for by name."""

from __future__ import annotations

from mailbridge.operator.asks import Ask, Identifier, MaybeText, Moment, Nothing, PageSize
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.fresh import fresh
from mailbridge.operator.shapes import ClearCode, ClearCodePage, CodePage, GivenPage, Name, WaitPage
from mailbridge.operator.shown import clear_code, clear_totp, given_shape, live_code, wait_shape
from mailbridge.store import Store
from mailbridge.store.reading import Code, Wanted
from mailbridge.waiting import Waiting


class CodeList(Ask, frozen=True, kw_only=True):
    """Whose live codes: a pattern, in which ``*`` stands for any text."""

    identifier: MaybeText = "*"
    since: Moment | None = None
    limit: PageSize = 20


class LatestCode(Ask, frozen=True, kw_only=True):
    """Whose newest code; ``sender`` is an address, a domain, or a pattern with ``*``."""

    identifier: Identifier
    sender: MaybeText = ""


class GivenList(Ask, frozen=True, kw_only=True):
    """How many records."""

    limit: PageSize = 50


class OfIdentifier(Ask, frozen=True, kw_only=True):
    """An identifier."""

    identifier: Identifier


class LiveCodes:
    """The verbs of codes. Waiting for one is the agents' route, ``/api/v1/codes/wait``."""

    def __init__(self, *, store: Store, waiting: Waiting) -> None:
        self._store = store
        self._waiting = waiting

    async def find(self, ask: CodeList) -> CodePage | Fault:
        """The live codes, newest first, masked."""
        return CodePage(codes=[live_code(one) for one in await self._live(ask)])

    async def reveal(self, ask: CodeList) -> ClearCodePage | Fault:
        """The live codes in clear."""
        return ClearCodePage(codes=[clear_code(one) for one in await self._live(ask)])

    async def latest(self, ask: LatestCode, by: str) -> ClearCode | Fault:
        """The newest live code of an identifier in clear, however long ago it came; that it was given is recorded."""
        identifier, sender = ask.identifier.strip(), ask.sender.strip()
        bound = await self._store.vault.bound(identifier) if not sender else None
        if bound is not None:
            made = await fresh(bound)
            if made is not None:
                await self._store.codes.note(identifier, way="api", reader=by, what=made.what, is_consumed=False)
                return clear_totp(identifier, made.code.reveal(), made.expires_at)
        else:
            code = await self._store.codes.newest(Wanted(identifier=identifier, sender=sender))
            if code is not None:
                await self._store.codes.note(code.identifier, way="api", reader=by, what=code.what, is_consumed=False)
                return clear_code(code)
        return Fault(kind=Kind.NOT_FOUND, title=f"no code for {identifier}")

    async def given(self, ask: GivenList) -> GivenPage | Fault:
        """What was given to which run or reader, newest first; never the code."""
        return GivenPage(given=[given_shape(one) for one in await self._store.codes.given(limit=ask.limit)])

    async def waiting(self, ask: Nothing) -> WaitPage | Fault:  # noqa: ARG002  (a verb's form)
        """Who waits for a code now, longest first."""
        return WaitPage(waiting=[wait_shape(one) for one in self._waiting.everybody()])

    async def name(self, ask: OfIdentifier) -> Name | Fault:
        """A name for an identifier that nobody can guess or read, for its totp_url."""
        return Name(name=self._store.names.name(ask.identifier.strip()))

    async def _live(self, ask: CodeList) -> tuple[Code, ...]:
        return await self._store.codes.live(identifiers=(ask.identifier.strip() or "*",), since=ask.since, limit=ask.limit)
