"""Mails: listed, shown, handed in again by an operator, and removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from email.utils import make_msgid
from typing import Annotated, Literal, assert_never

import httpx
import msgspec

from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.delivery import State
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.intake.answer import Deferred, Full, Stored
from mailbridge.intake.vouching import Word
from mailbridge.operator.addresses import own_recipient
from mailbridge.operator.asks import Ask, Before, Identifier, MaybeText, Moment, Number, PageSize
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration, Door
from mailbridge.operator.shapes import Done, Handed, MailDetail, MailPage, Raw, Removed
from mailbridge.operator.shown import delivery_shape, mail_detail, mail_shape
from mailbridge.store import Filter, MailRow, Store
from mailbridge.trust import gmail

HISTORY = 1_000
"""Lines of the journal of one mail that are shown."""

LARGEST = 26_214_400
"""Octets of a mail that is imported, as `[smtp] max_size` is by default."""

StateName = Literal["pending", "in_flight", "delivered", "superseded", "expired", "dead"]


class MailList(Ask, frozen=True, kw_only=True):
    """Which mails; what is left out narrows nothing. ``state``: any of its deliveries stands in one of them."""

    identifier: MaybeText = ""
    sender: MaybeText = ""
    state: tuple[StateName, ...] = ()
    since: Moment | None = None
    until: Moment | None = None
    held: bool | None = None
    words: MaybeText = ""
    before: Before | None = None
    limit: PageSize = 20


class OneMail(Ask, frozen=True, kw_only=True):
    """One mail by its number."""

    id: Number


class Import(Ask, frozen=True, kw_only=True):
    """A mail to take in. ``rcpt`` defaults to the first address of ours, ``mail_from`` to the null sender; ``content`` is Base64."""

    content: Annotated[bytes, msgspec.Meta(min_length=1, max_length=LARGEST)]
    rcpt: MaybeText = ""
    mail_from: MaybeText = ""


class RemoveMails(Ask, frozen=True, kw_only=True):
    """Whose mails are erased."""

    identifier: Identifier


class Mails:
    """The verbs of mails."""

    def __init__(
        self,
        *,
        store: Store,
        door: Door,
        configuration: Configuration,
        now: Callable[[], datetime],
        browser: Callable[[], httpx.AsyncClient] = gmail.browser,
    ) -> None:
        self._store = store
        self._door = door
        self._configuration = configuration
        self._now = now
        self._browser = browser

    async def find(self, ask: MailList) -> MailPage | Fault:
        """Mails, newest first; with ``words`` those whose subject contains the words."""
        wanted = Filter(
            identifier=ask.identifier.strip(),
            sender=ask.sender.strip(),
            states=tuple(State(one) for one in ask.state),
            since=ask.since,
            until=ask.until,
            is_held=ask.held,
        )
        if ask.words.strip():
            page = await self._store.mails.search(ask.words, wanted, before=ask.before, limit=ask.limit)
        else:
            page = await self._store.mails.page(wanted, before=ask.before, limit=ask.limit)
        return MailPage(mails=[mail_shape(row) for row in page], next=page.next)

    async def show(self, ask: OneMail) -> MailDetail | Fault:
        """One mail, what became of its codes, and when; values that may be codes are masked."""
        return await self._detail(ask.id, is_clear=False)

    async def reveal(self, ask: OneMail) -> MailDetail | Fault:
        """The same in clear."""
        return await self._detail(ask.id, is_clear=True)

    async def raw(self, ask: OneMail) -> Raw | Fault:
        """The mail itself, octet for octet."""
        found = await self._kept(ask.id)
        if isinstance(found, Fault):
            return found
        envelope = found[1]
        return Raw(id=ask.id, mail_from=envelope.mail_from, rcpt_to=list(envelope.rcpt_to), content=envelope.content)

    async def release(self, ask: OneMail, by: str) -> Handed | Fault:
        """Push the code or link of a held mail, on the operator's word. The life of its code began when the mail came. A second
        call changes nothing."""
        found = await self._kept(ask.id)
        if isinstance(found, Fault):
            return found
        row, envelope = found
        if not row.held:
            return Fault(
                kind=Kind.REFUSED,
                title=f"mail {ask.id} is not held, so there is nothing to release; `mailbridge mail show {ask.id}` says what became of it",
            )
        return await self._handed(envelope, Word(verb="released", by=by, origin=ask.id))

    async def replay(self, ask: OneMail, by: str, key: str = "") -> Handed | Fault:
        """Process a mail again as a new one. A mail that passed needs no proof again; a held one needs its proof. ``key`` is
        the idempotency key of the request, if it has one: the same key gives the same new mail."""
        found = await self._kept(ask.id)
        if isinstance(found, Fault):
            return found
        row, envelope = found
        fresh = replace(envelope, content=as_new(envelope.content, key), received_at=self._now(), is_fetched=False, can_wait=True)
        return await self._handed(fresh, Word(verb="replayed", by=by, origin=ask.id, vouches=not row.held))

    async def confirm(self, ask: OneMail) -> Done | Fault:
        """Allow the forwarding that a confirmation asks for. Only one that Google has signed has a link here."""
        row = await self._store.mails.one(ask.id)
        if row is None:
            return _no_mail(ask.id)
        if row.confirm_link is None:
            why = f": {row.held[0]}" if row.held else ""
            return Fault(kind=Kind.REFUSED, title=f"mail {ask.id} has no link that confirms a forwarding{why}")
        async with self._browser() as client:
            answer = await gmail.confirm(Secret(row.confirm_link), client)
        if isinstance(answer, gmail.NotConfirmed):
            return Fault(kind=Kind.UPSTREAM, title=f"not confirmed: {answer.why}")
        await self._store.confirmed(ask.id)
        return Done()

    async def take_in(self, ask: Import, by: str) -> Handed | Fault:
        """Take a mail in as if it came now; the operator vouches for it."""
        rcpt = ask.rcpt.strip() or own_recipient(self._configuration.now)
        if isinstance(rcpt, Fault):
            return rcpt
        if parse_mailbox(rcpt) is None or not self._door.is_ours(rcpt):
            return Fault(kind=Kind.REFUSED, title=f"{rcpt} is not one of our recipients; `mailbridge address list` shows them")
        envelope = Envelope(
            mail_from=ask.mail_from.strip(),
            rcpt_to=(rcpt,),
            content=with_crlf(ask.content),
            received_at=self._now(),
            ingress="http",
        )
        return await self._handed(envelope, Word(verb="imported", by=by))

    async def remove(self, ask: RemoveMails) -> Removed | Fault:
        """Erase what is kept of an identifier (mails, codes, deliveries, its name in the journal), and say what still names it."""
        identifier = ask.identifier.strip()
        found = await self._store.forget(identifier)
        return Removed(
            identifier=identifier,
            mails=found.mails,
            deliveries=found.deliveries,
            lines=found.lines,
            still_named_by=await self._named_by(identifier),
        )

    async def _named_by(self, identifier: str) -> list[str]:
        """What people have configured that names an identifier."""
        folded = identifier.casefold()
        settings = self._configuration.now
        named = [f"address {one.rcpt}" for one in settings.address if (one.identifier or "").casefold() == folded]
        named += [
            f"imap {one.label}" for one in settings.imap if folded in ((one.identifier or "").casefold(), one.mailbox.casefold())
        ]
        named += ["[identity] known"] if folded in {one.casefold() for one in settings.identity.known} else []
        for one in await self._store.entries.tokens():
            named += [f"token {one.id}"] if folded in {pattern.casefold() for pattern in (one.name, *one.identifiers)} else []
        bound = await self._store.vault.bound(identifier)
        return [*named, f"totp {bound.name}"] if bound is not None else named

    async def _detail(self, number: int, *, is_clear: bool) -> MailDetail | Fault:
        row = await self._store.mails.one(number)
        if row is None:
            return _no_mail(number)
        deliveries = await self._store.outbox.deliveries(mail_id=number, limit=HISTORY)
        history = await self._store.journal.after(mail_id=number, limit=HISTORY)
        return mail_detail(row, tuple(reversed(deliveries)), history, is_clear=is_clear)

    async def _kept(self, number: int) -> tuple[MailRow, Envelope] | Fault:
        row = await self._store.mails.one(number)
        if row is None:
            return _no_mail(number)
        envelope = await self._store.mails.raw(number)
        if envelope is None:
            return Fault(kind=Kind.NOT_FOUND, title=f"mail {number} is no longer kept ([retention] mail)")
        return row, envelope

    async def _handed(self, envelope: Envelope, word: Word) -> Handed | Fault:
        answer = await self._door.hand_in(envelope, word)
        match answer:
            case Stored(receipt=receipt):
                deliveries = await self._store.outbox.deliveries(mail_id=receipt.mail_id, limit=HISTORY)
                return Handed(
                    mail=receipt.mail_id,
                    is_duplicate=receipt.is_duplicate,
                    deliveries=[delivery_shape(one) for one in reversed(deliveries)],
                )
            case Deferred():
                return Fault(kind=Kind.TRY_AGAIN, title=f"nothing was kept: {answer.detail or answer.why}; try again")
            case Full():
                return Fault(kind=Kind.TRY_AGAIN, title="nothing was kept: there is no room, on disk or in memory")
            case _:
                assert_never(answer)


def _no_mail(number: int) -> Fault:
    return Fault(kind=Kind.NOT_FOUND, title=f"there is no mail {number}; `mailbridge mail list` lists them")


def with_crlf(content: bytes) -> bytes:
    """Files have the line ends of their system; a mail has one kind (RFC 5321 2.3.8)."""
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def as_new(content: bytes, key: str = "") -> bytes:
    """The mail under a Message-ID of its own, so that it is not taken for the one that it repeats.

    With a ``key`` (that of the request) always the same one: the same request makes one mail, however often it is sent.
    """
    name = f"<replay.{key}@mailbridge.localhost>" if key else make_msgid("replay", domain="mailbridge.localhost")
    head, separator, body = content.partition(b"\r\n\r\n")
    lines: list[bytes] = []
    is_dropped = False
    for line in head.split(b"\r\n"):
        is_dropped = is_dropped if line[:1] in (b" ", b"\t") else line.lower().startswith(b"message-id:")
        if not is_dropped:
            lines.append(line)
    return f"Message-ID: {name}\r\n".encode() + b"\r\n".join(lines) + separator + body
