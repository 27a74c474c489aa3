"""What release 0.1.0 left behind is taken over: database, key and configuration, with nothing lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mailbridge.config.load import load
from mailbridge.config.settings import StoreSettings
from mailbridge.core.delivery import State
from mailbridge.core.token import token_digest
from mailbridge.store import Filter
from mailbridge.store.places import key_path_of, path_of
from mailbridge.store.sqlite.rotation import rotate
from tests.loop import looped
from tests.upgrade.left import GRACE, Left
from tests.upgrade.make_0_1_0 import told_delivery, told_mail


@pytest.fixture
def left(tmp_path: Path) -> Left:
    """A copy of its own for each test."""
    return Left(tmp_path)


@looped
async def test_every_delivery_is_as_it_was(left: Left) -> None:
    """Each keeps its state, code, attempts and reason; one that was in flight is in doubt, as after any restart."""
    store = left.open()
    interrupted = {
        "state": "pending",
        "is_doubtful": True,
        "reason": "interrupted in the middle of an attempt",
        "blocked_until": (left.time.now() + GRACE).isoformat(),
    }
    expected = [one | (interrupted if one["state"] == "in_flight" else {}) for one in left.said["deliveries"]]
    assert [told_delivery(one) for one in await store.outbox.deliveries(limit=1_000)] == expected
    assert {one["state"] for one in left.said["deliveries"]} == {str(state) for state in State}
    await store.close()


@looped
async def test_every_mail_is_as_it_was(left: Left) -> None:
    """What was understood of each, its subject and its octets, as far as they were not erased."""
    store = left.open()
    mails = await store.mails.page(limit=1_000)
    assert [told_mail(one) for one in mails] == left.said["mails"]
    raw = {str(one.id): await store.mails.raw(one.id) for one in mails}
    assert {number: envelope.content.decode() for number, envelope in raw.items() if envelope is not None} == left.said["raw"]
    await store.close()


@looped
async def test_the_journal_goes_on_where_it_was(left: Left) -> None:
    """Every line under its number, and the next number is the next."""
    store = left.open()
    lines = await store.journal.after(limit=1_000)
    told = [[one.id, one.at.isoformat(), one.event, one.mail_id, one.delivery_id, one.detail] for one in lines]
    assert told[: len(left.said["journal"])] == left.said["journal"]
    assert [one.id for one in lines] == list(range(1, len(lines) + 1))
    await store.close()


@looped
async def test_mailboxes_go_on_where_they_were(left: Left) -> None:
    """Cursors, and what is still to be done with mails there."""
    store = left.open()
    assert {box: await store.mailboxes.cursor(box) for box in left.said["cursors"]} == left.said["cursors"]
    assert list(await store.mailboxes.pending_actions("imap/codes/INBOX")) == left.said["owed"]
    await store.close()


@looped
async def test_tokens_and_authenticators_still_open(left: Left) -> None:
    """Each token reads what it read, each authenticator makes the same code, and the address of an identifier is the same."""
    store = left.open()
    assert [[one.id, one.name, list(one.identifiers)] for one in await store.entries.tokens()] == left.said["tokens"]
    digest = token_digest("mbt_the-fixture's-ci")
    assert (found := await store.entries.token(digest)) is not None
    assert found.name == "ci"
    told = [
        [one.name, one.identifier, one.authenticator.code(1_000_000).reveal(), one.authenticator.issuer]
        for one in await store.vault.totps()
    ]
    assert told == left.said["totps"]
    assert store.names.name("ann@corp.example") == left.said["name"]
    await store.close()


@looped
async def test_codes_are_read_as_before(left: Left) -> None:
    """The live ones in their order, what was given to whom, and that a consumed one is nobody's."""
    store = left.open()
    live = [[one.identifier, one.kind, one.value.reveal(), one.is_consumed] for one in await store.codes.live(identifiers=("*",))]
    assert live == left.said["live"]
    given = [[one.identifier, one.way, one.reader, one.what, one.times, one.is_consumed] for one in await store.codes.given()]
    assert given == left.said["given"]
    await store.close()


@looped
async def test_what_waited_goes_out_in_order(left: Left) -> None:
    """After the grace every queue that waited goes on at its head, and nothing that is superseded or over is sent."""
    store = left.open()
    left.time.pass_by(GRACE)
    sent = {claim.delivery.draft.content.reveal() for claim in (await store.outbox.claim(limit=100)).claims}
    assert sent == {"200011", "200021", "200030", "https://larch.example/in?t=1", "a whole body", "200040"}
    left.time.pass_by(datetime.fromisoformat(left.said["deliveries"][13]["deadline"]) - left.time.now())
    await store.sweep()
    assert (await store.outbox.claim(limit=100)).claims == ()
    await store.close()


@looped
async def test_old_mails_are_found_like_new_ones(left: Left) -> None:
    """By identifier, sender, state and whether they are held, although release 0.1.0 wrote nothing for it."""
    store = left.open()
    told = {one["id"]: one for one in left.said["mails"]}
    for wanted, numbers in (
        (Filter(identifier="ANN@corp.example"), {n for n, one in told.items() if "ann@corp.example" in one["identifiers"]}),
        (Filter(sender="larch.example"), {n for n, one in told.items() if one["sender"].endswith("@larch.example")}),
        (Filter(is_held=True), {n for n, one in told.items() if one["held"]}),
        (Filter(states=(State.DEAD,)), {2, 6}),
    ):
        assert {row.id for row in await store.mails.page(wanted)} == numbers
        assert numbers
    assert [row.id for row in await store.mails.search("200040")] == [20]
    await store.close()


@looped
async def test_another_key_after_the_upgrade(left: Left) -> None:
    """What release 0.1.0 has sealed is sealed anew with the rest, and opens as before."""
    await left.open().close()
    settings = StoreSettings(url=f"sqlite:///{left.folder / 'mailbridge.db'}")
    rotate(settings, path=path_of(settings), key_path=key_path_of(settings))
    store = left.open()
    assert [one.draft.content.reveal() for one in await store.outbox.deliveries()] == [
        one["content"] for one in left.said["deliveries"]
    ]
    assert [one.subject for one in await store.mails.page()] == [one["subject"] for one in left.said["mails"]]
    assert [one.name for one in await store.vault.totps()] == ["game", "shop"]
    await store.close()


def test_its_configuration_is_read(left: Left) -> None:
    """Every key that release 0.1.0 took is still one, and means the same."""
    settings = load(left.folder / "mailbridge.toml", environ={}, cwd=left.folder).settings
    assert (settings.address[0].identifier, settings.imap[0].folders) == ("ann@corp.example", ("INBOX", "Codes"))
    assert (settings.skyvern.base_url, settings.target[0].name) == ("https://skyvern.corp.example", "other-org")
    assert (settings.rules.fallback, settings.retention.mail) == ("push-body", timedelta(hours=24))
