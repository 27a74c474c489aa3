"""Mailboxes are watched under leases: what is held is watched, what is lost is hung up on, and the others are shown as they were told."""

from __future__ import annotations

import json
from datetime import timedelta

from mailbridge.app.mailboxes import NOBODY, Mailboxes
from mailbridge.config.settings import ImapSettings
from mailbridge.core.mail import Lease
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.modes import Event
from mailbridge.ingress.imap.watchers import Watchers
from mailbridge.store.leases import Elsewhere
from tests.loop import looped


class Thread:
    """A watcher without a thread."""

    def __init__(self, mailbox: str) -> None:
        self.status = MailboxStatus(mailbox, renew=55.0)
        self.did: list[str] = []

    def start(self) -> None:
        """See `Watcher.start`."""
        self.did.append("start")

    def stop(self) -> None:
        """See `Watcher.stop`."""
        self.did.append("stop")

    def wake(self) -> None:
        """See `Watcher.wake`."""
        self.did.append("wake")

    def join(self, until: float) -> bool:
        """See `Watcher.join`."""
        return True


ACCOUNTS = tuple(ImapSettings(name=name, host="h", username=f"{name}@corp.example") for name in ("a", "b", "c"))


class Made:
    """What was made, by account and epoch."""

    def __init__(self) -> None:
        self.threads: dict[tuple[str, int], Thread] = {}

    def __call__(self, account: ImapSettings, lease: Lease) -> Watchers:
        thread = Thread(f"{account.label}/INBOX")
        self.threads[account.label, lease.epoch] = thread
        return Watchers([thread])  # type: ignore[list-item]


def leases(**epochs: int) -> dict[str, Lease]:
    """Leases by the names of accounts."""
    return {name: Lease(account=name, epoch=epoch) for name, epoch in epochs.items()}


@looped
async def test_what_is_held_is_watched() -> None:
    """Those that are new begin, those that are lost stop, and one with another epoch has another watcher."""
    made = Made()
    mailboxes = Mailboxes(ACCOUNTS, made)
    assert mailboxes.hold(leases(b=1, a=2, unknown=3)) == (2, 0)
    mailboxes.start()
    assert [one.mailbox for one in mailboxes.health()] == ["a/INBOX", "b/INBOX"], "in the order of the configuration"
    assert mailboxes.hold(leases(a=2, b=5, c=4)) == (2, 1)
    assert [made.threads[key].did for key in (("a", 2), ("b", 5), ("c", 4))] == [["start"]] * 3
    mailboxes.wake(("ann@corp.example",))
    await mailboxes.close(timedelta(seconds=1))
    assert made.threads["b", 1].did == ["start", "stop"]
    assert made.threads["a", 2].did == ["start", "wake", "stop"]
    assert mailboxes.health() == ()


@looped
async def test_who_waits_wakes_the_mailboxes_of_that_identifier() -> None:
    """No other mailbox is touched, however many there are; every one where it is not known which."""
    made, known = Made(), {"ann@corp.example": ("a/INBOX", "elsewhere/INBOX"), "ben@corp.example": ()}
    mailboxes = Mailboxes(ACCOUNTS, made, to_wake=known.get)
    mailboxes.hold(leases(a=1, b=1, c=1))

    def woken() -> str:
        threads = made.threads.items()
        return "".join(name for (name, _), thread in threads for one in thread.did if one == "wake")

    mailboxes.wake(("ann@corp.example",))
    assert woken() == "a"
    mailboxes.wake(("ben@corp.example",))
    assert woken() == "a"
    mailboxes.wake(("eve@corp.example",))
    assert woken() == "aabc"
    await mailboxes.close(timedelta(seconds=1))


@looped
async def test_connections_are_kept_while_nothing_is_known() -> None:
    """The database is away for a moment: what is watched stays watched; for long: it is hung up on."""
    made = Made()
    mailboxes = Mailboxes(ACCOUNTS, made)
    assert mailboxes.shared(leases(a=1)) == (1, 0)
    assert mailboxes.shared(None) == (0, 0)
    assert mailboxes.shared({}) == (0, 1)
    assert mailboxes.shared(leases(a=1)) == (1, 0)
    hasty = Mailboxes(ACCOUNTS, made, unsure=-1.0)
    assert hasty.shared(leases(a=1)) == (1, 0)
    assert hasty.shared(None) == (0, 1)
    for one in (mailboxes, hasty):
        await one.close(timedelta(seconds=1))


@looped
async def test_what_others_watch_is_shown() -> None:
    """As its watcher has told, with who that is, without secrets; what nobody watches is not well."""
    made = Made()
    here, there = Mailboxes(ACCOUNTS, made), Mailboxes(ACCOUNTS, made)
    there.hold(leases(b=1))
    made.threads["b", 1].status.reason = "login refused for hunter2"
    made.threads["b", 1].status.happened(Event.PERSON)
    states = there.states(lambda text: text.replace("hunter2", "***"))
    here.hold(leases(a=2))
    rows = here.others([Elsewhere(account="b", by="two:7", state=states["b"]), Elsewhere(account="gone", by="two:7")])
    assert [(row["mailbox"], row["is_well"], row["reason"], row["watched_by"]) for row in rows] == [
        ("b/INBOX", False, "login refused for ***", "two:7"),
        ("c/INBOX", False, NOBODY, ""),
    ]
    assert rows[0]["mode"] == "parked" and rows[0].keys() == rows[1].keys()
    assert json.loads(json.dumps(rows)) == rows
    for one in (here, there):
        await one.close(timedelta(seconds=1))
