"""Mail that comes in late: a mailbox is caught up with after a pause, or in no order with another door."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Draft
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identity import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.store import Arrival, Receipt
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.loop import looped


def opened(folder: Path, clock: SteadyClock) -> SqliteStore:
    """A store in a folder."""
    settings = StoreSettings(url=f"sqlite:///{folder}/mailbridge.db")
    return open_sqlite(settings, RetentionSettings(), clock=clock, grace=timedelta(seconds=5))


async def put(
    store: SqliteStore, clock: SteadyClock, code: str, *, age: float, sender: str = "a@acme.example", cursor: str | None = None
) -> Receipt:
    """Store a code that was received so many seconds ago."""
    draft = Draft(
        target="skyvern",
        identifier="ann@corp.example",
        kind="code",
        content=Secret(code),
        sender=sender,
        lifetime=timedelta(minutes=10),
    )
    envelope = Envelope(
        mail_from="",
        rcpt_to=("ann@corp.example",),
        content=b"x",
        received_at=clock.now() - timedelta(seconds=age),
        ingress="imap",
        cursor=cursor,
    )
    return await store.put(
        Arrival(
            envelope=envelope,
            fingerprint=code,
            subject="",
            sender=sender,
            message_id=code,
            extraction=Extraction(verdict=Verdict.CODE, value=Secret(code), reason="told"),
            identification=Identification(identifiers=("ann@corp.example",)),
            drafts=(draft,),
        )
    )


@pytest.mark.parametrize(
    ("age", "sender", "state"),
    [
        (60.0, "a@acme.example", "superseded"),
        (60.0, "b@other.example", "pending"),
        (700.0, "a@acme.example", "expired"),
        (0.5, "a@acme.example", "pending"),
    ],
    ids=["older of the same sender", "older of another", "over", "as good as now"],
)
@looped
async def test_an_older_code_that_comes_late_does_not_become_the_newest(
    tmp_path: Path, age: float, sender: str, state: str
) -> None:
    """It is superseded on arrival, and the newer one in front of it is left alone."""
    clock = SteadyClock()
    store = opened(tmp_path, clock)
    try:
        newer = await put(store, clock, "111213", age=1.0)
        assert len(newer.claims) == 1
        late = await put(store, clock, "141516", age=age, sender=sender)
        assert (late.is_pushed, late.superseded) == (True, 0)
        last, first = await store.outbox.deliveries()
        assert (str(first.state), str(last.state)) == ("in_flight", state)
    finally:
        await store.close()


@looped
async def test_a_cursor_moves_without_a_mail(tmp_path: Path) -> None:
    """Forward within one UIDVALIDITY, never back; and it is there after a restart."""
    clock = SteadyClock()
    store = opened(tmp_path, clock)
    assert await store.mailboxes.cursor("imap/box") is None
    await put(store, clock, "111213", age=0, cursor="imap/box/7/5")
    await store.mailboxes.advance("imap/box/7/9")
    await store.mailboxes.advance("imap/box/7/6")
    assert await store.mailboxes.cursor("imap/box") == "imap/box/7/9"
    await store.mailboxes.advance("imap/box/8/2")
    await store.close()
    store = opened(tmp_path, clock)
    try:
        assert await store.mailboxes.cursor("imap/box") == "imap/box/8/2"
    finally:
        await store.close()
