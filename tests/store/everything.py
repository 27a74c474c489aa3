"""A store with something in each of its tables, and what can be asked of all of it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted, Ending, Refused, Standing
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.store import Filter, Store
from mailbridge.store.reading import Poll
from mailbridge.store.sqlite import open_sqlite
from tests.store.mails import arrival, draft

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
ANN, BEN = "ann@example.com", "Ben@Example.com"
PHC = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"


def digest(word: str) -> bytes:
    """A hash as tokens and sessions have them."""
    return hashlib.sha256(word.encode()).digest()


async def fill(store: Store, clock: SteadyClock) -> None:
    """Mails of every kind, a large one too, deliveries in several states, and a row of whatever else there is."""
    await fill_mails(store, clock)
    await fill_the_rest(store, clock)


def filled(settings: StoreSettings) -> StoreSettings:
    """These settings, with something of everything in their SQLite database, left as by kill -9."""

    async def make() -> None:
        store = open_sqlite(settings, RetentionSettings(), clock=SteadyClock(), grace=SECOND)
        await fill(store, store.clock)
        await store.close()

    asyncio.run(make())
    return settings


async def fill_mails(store: Store, clock: SteadyClock) -> None:
    """Delivered, dead, expired, superseded, held, large, and one that is in flight."""
    now = clock.now()
    endings: tuple[Ending, ...] = (Accepted(ref="row-1"), Refused(reason="400"), Accepted())
    for number, ending in enumerate(endings):
        receipt = await store.put(
            arrival(
                draft(f"11111{number}", identifier=f"u{number}@example.com", domain="larch.example"),
                at=now,
                cursor=f"box/7/{number + 1}",
            )
        )
        for claim in receipt.claims:
            await store.outbox.settle(claim, ending, jitter=1.0, grace=SECOND)
    await store.put(arrival(draft("222222", identifier=ANN), at=now - 2 * HOUR, fingerprint="too late"))
    await store.put(replace(arrival(draft("333333", identifier=BEN), at=now, size=1_500_000), domain="larch.example"))
    for code in ("444444", "555555", "666666"):  # in flight, superseded, pending
        await store.put(arrival(draft(code, identifier="dan@example.com"), at=now, has_action=True, cursor=f"box/7/{code}"))
    await store.put(arrival(draft("777777"), at=now, is_held=True))
    await store.put(
        arrival(draft("888888", identifier="eve@example.com", standing=Standing.FIRST_SEEN), at=now, fingerprint="known")
    )


async def fill_the_rest(store: Store, clock: SteadyClock) -> None:
    """What people add, who waits, who was told."""
    now = clock.now()
    await store.codes.pull(Poll(identifier=BEN, run="wr_1"))
    await store.codes.note(BEN, way="api", reader="token 1", what="mail 5", is_consumed=True)
    secret = Authenticator(secret=Secret("GEZDGNBVGY3TQOJQ"), issuer="Shop")
    await store.vault.add_totp("shop", secret, identifier=ANN)
    await store.entries.put("address", "otp@bridge.example", {"rcpt": "otp@bridge.example"}, by="ann")
    await store.entries.put("target", "hook", {"url": "https://hook.example"}, by="ann", secrets={"key": Secret("whsec_1")})
    for name in ("first", "second"):
        made = await store.entries.add_token(digest(name), name=name, identifiers=("*",), expires_at=None)
    await store.entries.remove_token(made.id)
    await store.inboxes.add("inbox-1@bridge.example", owner="token 1", lifetime=HOUR, senders=("acme.com",), most=9)
    await store.events.listen(["hook"])
    await store.events.told("hook", 3)
    await store.events.raise_alarm("imap box", "does not answer", event="mailbox_down")
    await store.events.note("nobody_came", identifier=ANN, detail="60 s")
    await store.sites.learn({ANN: frozenset({"larch.example"})})
    await store.answers.keep(digest("key"), request=digest("request"), answer=b"answered")
    await store.sessions.begin(digest("cookie"), name="ann", role="operator", way="link", until=now + HOUR)
    await store.sessions.invite(digest("link"), name="ben", role="viewer", until=now + HOUR)
    await store.sessions.set_password(PHC)
    await store.mailboxes.note("box", '{"seen": 1}')


async def told(store: Store) -> dict[str, Any]:
    """Everything that can be asked of it, with codes, secrets and octets in clear."""
    mails = await store.mails.page(limit=100)
    envelopes = [await store.mails.raw(one.id) for one in mails]
    return {
        "mails": [*mails],
        "raw": [None if one is None else one.content for one in envelopes],
        "deliveries": [(one, one.draft.content.reveal()) for one in await store.outbox.deliveries(limit=100)],
        "of ben": [*await store.mails.page(Filter(identifier=BEN), limit=100)],
        "journal": await store.journal.after(limit=1_000),
        "given": await store.codes.given(),
        "totp": [(one, one.authenticator.secret.reveal()) for one in await store.vault.totps()],
        "entries": await store.entries.entries(),
        "secrets": {name: one.reveal() for name, one in (await store.entries.secrets("target", "hook")).items()},
        "tokens": await store.entries.tokens(),
        "inboxes": await store.inboxes.live(),
        "alarms": await store.events.alarms(),
        "place": await store.events.place("hook"),
        "learned": await store.sites.learned(),
        "proven": await store.sites.proven(),
        "answered": await store.answers.find(digest("key")),
        "sessions": await store.sessions.sessions(),
        "password": await store.sessions.password(),
        "cursor": await store.mailboxes.cursor("box"),
        "notes": await store.mailboxes.notes("box"),
        "actions": await store.mailboxes.pending_actions("box"),
        "name": store.names.name(ANN),
    }
