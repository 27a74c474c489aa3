"""A store's contract: every method of every part, while the store is locked, full, gone, unwritable, closed, or newly started."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from mailbridge.core.delivery import Accepted, Claim, Refused
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.store import Mailboxes, Outbox, Store, StoreUnavailable
from mailbridge.store.answers import Answers
from mailbridge.store.entries import Entries
from mailbridge.store.events import Events
from mailbridge.store.lists import Journal, Mails
from mailbridge.store.reading import Codes, Poll, Vault, Wanted
from mailbridge.store.sessions import Sessions
from tests.loop import looped
from tests.store.contract import GRACE, SECOND, Contract, Place
from tests.store.mails import arrival, draft

Call = Callable[[Store, Claim], Awaitable[object]]

TOTP = Authenticator(secret=Secret("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"))
BIG = 300_000
"""Octets of the mail that finds no room, wherever some is left."""

SECRETS = {"password": Secret("of a mailbox" * 1_000)}

WRITES: dict[str, Call] = {
    "put": lambda store, claim: store.put(
        arrival(draft(identifier="eve@example.com"), at=claim.delivery.received_at, size=BIG, fingerprint="another")
    ),
    "confirmed": lambda store, claim: store.confirmed(1),
    "sweep": lambda store, claim: store.sweep(),
    "outbox.settle": lambda store, claim: store.outbox.settle(claim, Accepted(), jitter=1.0, grace=GRACE),
    "outbox.release": lambda store, claim: store.outbox.release([claim]),
    "outbox.claim": lambda store, claim: store.outbox.claim(limit=10),
    "outbox.retry": lambda store, claim: store.outbox.retry(2),
    "mailboxes.advance": lambda store, claim: store.mailboxes.advance("box/1/9"),
    "mailboxes.rewind": lambda store, claim: store.mailboxes.rewind("box/1/0"),
    "mailboxes.note": lambda store, claim: store.mailboxes.note("box", '{"is_deaf": true}'),
    "mailboxes.actions_done": lambda store, claim: store.mailboxes.actions_done(["box/1/1"]),
    "codes.pull": lambda store, claim: store.codes.pull(
        Poll(identifier="ann@example.com", run="tsk_1", grace=timedelta(minutes=1))
    ),
    "codes.consume": lambda store, claim: store.codes.consume(Wanted(identifier="ann@example.com"), reader="ci"),
    "codes.note": lambda store, claim: store.codes.note(
        "ann@example.com", way="api", reader="ci", what="mail 1", is_consumed=False
    ),
    "vault.add_totp": lambda store, claim: store.vault.add_totp("new", TOTP, identifier=None),
    "vault.bind_totp": lambda store, claim: store.vault.bind_totp("shop", "bob@example.com"),
    "vault.remove_totp": lambda store, claim: store.vault.remove_totp("shop"),
    "entries.put": lambda store, claim: store.entries.put("imap", "new", {"host": "h"}, by="ann", secrets=SECRETS),
    "entries.remove": lambda store, claim: store.entries.remove("imap", "box"),
    "entries.add_token": lambda store, claim: store.entries.add_token(b"2" * 32, name="new", identifiers=("*",), expires_at=None),
    "entries.remove_token": lambda store, claim: store.entries.remove_token(1),
    "answers.keep": lambda store, claim: store.answers.keep(b"2" * 32, request=b"3" * 32, answer=b"done" * 75_000),
    "events.note": lambda store, claim: store.events.note("code.missing", identifier="ann@example.com", detail="x" * BIG),
    "events.raise_alarm": lambda store, claim: store.events.raise_alarm("other", "x" * BIG, event="alarm.raised"),
    "events.clear_alarm": lambda store, claim: store.events.clear_alarm("one", event="alarm.cleared"),
    "events.listen": lambda store, claim: store.events.listen(["phone" * BIG]),
    "events.told": lambda store, claim: store.events.told("crm", 1_000),
    "sessions.invite": lambda store, claim: store.sessions.invite(
        b"4" * 32, name="ann" * 100_000, role="viewer", until=claim.delivery.deadline
    ),
    "sessions.redeem": lambda store, claim: store.sessions.redeem(b"5" * 32),
    "sessions.begin": lambda store, claim: store.sessions.begin(
        b"2" * 32, name="ann" * 100_000, role="viewer", way="link", until=claim.delivery.deadline
    ),
    "sessions.extend": lambda store, claim: store.sessions.extend(1, claim.delivery.deadline),
    "sessions.end": lambda store, claim: store.sessions.end(1),
    "sessions.set_password": lambda store, claim: store.sessions.set_password("$argon2id$" + "x" * 300_000),
    "forget": lambda store, claim: store.forget("ann@example.com"),
}
READS: dict[str, Call] = {
    "probe": lambda store, claim: store.probe(),
    "outbox.deliveries": lambda store, claim: store.outbox.deliveries(),
    "outbox.one": lambda store, claim: store.outbox.one(2),
    "answers.find": lambda store, claim: store.answers.find(b"2" * 32),
    "outbox.counts": lambda store, claim: store.outbox.counts(),
    "mails.page": lambda store, claim: store.mails.page(),
    "mails.search": lambda store, claim: store.mails.search("code"),
    "mails.one": lambda store, claim: store.mails.one(1),
    "mails.raw": lambda store, claim: store.mails.raw(1),
    "journal.newest": lambda store, claim: store.journal.newest(),
    "journal.after": lambda store, claim: store.journal.after(),
    "journal.happened": lambda store, claim: store.journal.happened(),
    "journal.line_before": lambda store, claim: store.journal.line_before(claim.delivery.received_at),
    "events.alarms": lambda store, claim: store.events.alarms(),
    "events.place": lambda store, claim: store.events.place("crm"),
    "sessions.find": lambda store, claim: store.sessions.find(b"1" * 32),
    "sessions.sessions": lambda store, claim: store.sessions.sessions(),
    "sessions.password": lambda store, claim: store.sessions.password(),
    "mailboxes.cursor": lambda store, claim: store.mailboxes.cursor("box"),
    "mailboxes.notes": lambda store, claim: store.mailboxes.notes("box"),
    "mailboxes.pending_actions": lambda store, claim: store.mailboxes.pending_actions("box"),
    "codes.newest": lambda store, claim: store.codes.newest(Wanted(identifier="ann@example.com")),
    "codes.live": lambda store, claim: store.codes.live(identifiers=("*",)),
    "codes.given": lambda store, claim: store.codes.given(),
    "vault.totps": lambda store, claim: store.vault.totps(),
    "vault.totp": lambda store, claim: store.vault.totp("shop"),
    "vault.bound": lambda store, claim: store.vault.bound("ann@example.com"),
    "entries.entries": lambda store, claim: store.entries.entries(),
    "entries.secrets": lambda store, claim: store.entries.secrets("imap", "box"),
    "entries.revision": lambda store, claim: store.entries.revision(),
    "entries.tokens": lambda store, claim: store.entries.tokens(),
    "entries.token": lambda store, claim: store.entries.token(b"1" * 32),
}
PARTS: dict[str, type] = {
    "answers.": Answers,
    "": Store,
    "outbox.": Outbox,
    "mails.": Mails,
    "journal.": Journal,
    "codes.": Codes,
    "vault.": Vault,
    "mailboxes.": Mailboxes,
    "entries.": Entries,
    "sessions.": Sessions,
    "events.": Events,
}
UNSEEN = ("sweep", "codes.note", "sessions.invite", "sessions.redeem")
"""What leaves nothing that a method could read."""

KINDS = {"locked": "locked", "full": "full", "gone": "gone", "unwritable": "gone"}
"""Each trouble, and how the store calls it."""


async def everything(store: Store, claim: Claim) -> dict[str, Any]:
    """What all methods that read say. Secrets are compared as such, and shown as nothing."""
    return {name: await read(store, claim) for name, read in READS.items()}


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The methods that say something else."""
    return {name for name, said in one.items() if other[name] != said}


async def is_content(store: Store) -> bool:
    """Whether `probe` says that it can be written."""
    try:
        await store.probe()
    except StoreUnavailable:
        return False
    return True


class TroubleContract(Contract):
    """StoreUnavailable and nothing else, nothing half done, and well again after it."""

    def test_every_method_is_tried(self) -> None:
        """No method of the contract is missing here, so that none is added without its troubles."""
        found = {
            f"{prefix}{name}"
            for prefix, part in PARTS.items()
            for name, method in inspect.getmembers(part, inspect.iscoroutinefunction)
            if not name.startswith("_")
        }
        assert found - {"close"} == set(WRITES) | set(READS)

    async def _prepared(self, place: Place) -> tuple[Store, Claim]:
        """A store in which every method has something to do, and the claim of a delivery in flight."""
        store = await place.open()
        (claim,) = (await self._put(store, place, "111111")).claims
        (dead,) = (await self._put(store, place, identifier="bob@example.com")).claims
        await self._settled(store, dead, Refused(reason="no"), place)
        waiting = await self._put(store, place, identifier="cid@example.com")
        owed = arrival(draft(identifier="eve@example.com"), at=place.time.now(), cursor="box/1/1", has_action=True)
        await store.outbox.release([*waiting.claims, *(await store.put(owed)).claims])
        over = await self._put(store, place, identifier="dan@example.com", lifetime=SECOND)
        await store.outbox.release(over.claims)
        await store.events.raise_alarm("one", "refused", event="alarm.raised")
        await store.events.listen(["crm"])
        await store.vault.add_totp("shop", TOTP, identifier="ann@example.com")
        until = place.time.now() + timedelta(minutes=9)
        await store.sessions.begin(b"1" * 32, name="ann", role="viewer", way="link", until=until)
        await store.sessions.invite(b"5" * 32, name="ann", role="viewer", until=until)
        await store.entries.put("imap", "box", {"host": "imap.example"}, by="ann", secrets={"password": Secret("of box")})
        await store.entries.add_token(b"1" * 32, name="ci", identifiers=("*",), expires_at=None)
        await store.codes.note("bob@example.com", way="api", reader="ci", what="mail 2", is_consumed=True)
        place.time.pass_by(2 * SECOND)
        return store, claim

    @pytest.mark.parametrize("trouble", KINDS)
    @pytest.mark.parametrize("name", WRITES)
    @looped
    async def test_what_cannot_be_written_raises(self, place: Place, name: str, trouble: str) -> None:
        """Every method that writes raises StoreUnavailable of that kind, leaves nothing behind, and works again after it.

        What needs no room may be done although there is none; then it is done.
        """
        store, claim = await self._prepared(place)
        before = await everything(store, claim)
        is_done = False
        with place.in_trouble(trouble):
            try:
                await WRITES[name](store, claim)
                is_done = True
            except StoreUnavailable as fault:
                assert (fault.kind, store.trouble) == (KINDS[trouble], KINDS[trouble])
        assert not is_done or trouble == "full"
        assert name != "put" or not is_done
        if not is_done:
            changed = differing(await everything(store, claim), before)
            assert not changed, changed
            await WRITES[name](store, claim)
        assert name in UNSEEN or await everything(store, claim) != before
        await self._put(store, place, identifier="fay@example.com")
        assert store.trouble is None
        await store.close()

    @pytest.mark.parametrize("trouble", KINDS)
    @pytest.mark.parametrize("name", READS)
    @looped
    async def test_what_cannot_be_read_raises(self, place: Place, name: str, trouble: str) -> None:
        """Every method that reads tells the truth or raises StoreUnavailable, and tells it again after that."""
        store, claim = await self._prepared(place)
        truth = await READS[name](store, claim)
        with place.in_trouble(trouble):
            for _ in range(2):
                try:
                    assert await READS[name](store, claim) == truth
                except StoreUnavailable as fault:
                    assert fault.kind == KINDS[trouble]
                with pytest.raises(StoreUnavailable):
                    await store.put(arrival(at=place.time.now(), size=BIG))
        assert await READS[name](store, claim) == truth
        await store.close()

    @pytest.mark.parametrize("name", [*WRITES, *READS])
    @looped
    async def test_what_is_closed_raises(self, place: Place, name: str) -> None:
        """After `close` every method raises StoreUnavailable, and closing twice does nothing."""
        store, claim = await self._prepared(place)
        await store.close()
        with pytest.raises(StoreUnavailable) as caught:
            await (WRITES | READS)[name](store, claim)
        assert caught.value.kind == "closed"
        await store.close()

    @pytest.mark.parametrize("ending", ["closed", "killed"])
    @looped
    async def test_a_restart_changes_nothing(self, place: Place, ending: str) -> None:
        """Every method that reads says the same to the next process, but that what was in flight is in doubt."""
        store, claim = await self._prepared(place)
        before = await everything(store, claim)
        if ending == "killed":
            await place.kill(store)
        else:
            await store.close()
        store = await place.open()
        after = await everything(store, claim)
        expected = {"outbox.deliveries", "outbox.counts", "journal.newest", "journal.after", "journal.happened"}
        changed = differing(after, before)
        assert changed == expected, changed ^ expected
        assert after["journal.after"][:-1] == before["journal.after"]
        assert [one.is_doubtful for one in after["outbox.deliveries"]][-1]
        assert [one.id for one in after["outbox.deliveries"]] == [one.id for one in before["outbox.deliveries"]]
        await store.close()

    @pytest.mark.parametrize("name", WRITES)
    @looped
    async def test_every_method_works_after_a_restart(self, place: Place, name: str) -> None:
        """What was prepared by a process that is killed is what the next one works with."""
        store, claim = await self._prepared(place)
        await place.kill(store)
        store = await place.open()
        place.time.pass_by(GRACE)
        before = await everything(store, claim)
        await WRITES[name](store, claim)
        is_of_the_dead = name in ("outbox.settle", "outbox.release")  # whose claims hold no longer
        assert name in UNSEEN or (await everything(store, claim) == before) is is_of_the_dead
        await store.close()

    @looped
    async def test_a_sweep_finds_out_that_trouble_is_over(self, place: Place) -> None:
        """`trouble` does not wait for the next mail: a sweep with nothing to do writes something to know."""
        store = await place.open()
        with place.in_trouble("gone"):
            with pytest.raises(StoreUnavailable):
                await self._put(store, place)
            assert store.trouble == "gone"
        await store.sweep()
        assert store.trouble is None
        await store.close()

    @pytest.mark.parametrize("trouble", KINDS)
    @looped
    async def test_whoever_asks_learns_whether_it_can_be_written(self, place: Place, trouble: str) -> None:
        """After a write has failed `probe` tries one: it says so as long as the trouble lasts, and is content at once when it is over."""
        store, _ = await self._prepared(place)
        await store.probe()
        with place.in_trouble(trouble):
            with pytest.raises(StoreUnavailable):
                await store.put(arrival(at=place.time.now(), size=BIG))
            for _ in range(2):
                with pytest.raises(StoreUnavailable) as caught:
                    await store.probe()
                assert caught.value.kind == store.trouble == KINDS[trouble]
        async with asyncio.timeout(60):
            while not await is_content(store):
                await asyncio.sleep(0.01)
        assert store.trouble is None
        await store.close()

    @looped
    async def test_after_a_trouble_nothing_is_lost_and_nothing_is_doubled(self, place: Place) -> None:
        """A mail that was refused in each of them and comes again is one mail, and is pushed once."""
        store = await place.open()
        for number, trouble in enumerate(KINDS):
            one = arrival(draft(identifier=f"u{number}@example.com"), at=place.time.now(), size=BIG)
            with place.in_trouble(trouble), pytest.raises(StoreUnavailable):
                await store.put(one)
            receipt = await store.put(one)
            assert (len(receipt.claims), receipt.is_duplicate) == (1, False)
            assert (await store.put(one)).is_duplicate
        assert len(await store.mails.page()) == len(await store.outbox.deliveries()) == len(KINDS)
        place.time.pass_by(timedelta(seconds=1))
        await store.close()
