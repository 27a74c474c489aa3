"""Who is looked at while somebody waits: the mailboxes of that identifier alone, the others gently, and no provider too often."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.heat import MOST, Heating, mark_of, with_newest
from mailbridge.ingress.imap.presets import account_of, tolerance_of
from tests.ingress.imap.watched import account, code_mail, has, house, in_mode, until, watching
from tests.loop import looped
from tests.peers.scripted_imap import ScriptedImap

BOUND = {"a/INBOX": ("ann@corp.example",), "b/INBOX": ("bob@corp.example",), "hub/INBOX": ("hub@corp.example",)}


@pytest.mark.parametrize(
    ("wanted", "delivered", "expected"),
    [
        ((), {}, ("cold", "cold", "cold")),
        (("ann@corp.example",), {}, ("hot", "cold", "cold")),
        (("ann@corp.example", "bob@corp.example"), {}, ("hot", "hot", "cold")),
        (("eve@corp.example",), {}, ("warm", "warm", "warm")),
        (("eve@corp.example",), {"hub/INBOX": "Eve@Corp.example"}, ("cold", "cold", "hot")),
        (("ann@corp.example",), {"hub/INBOX": "ann@corp.example"}, ("hot", "cold", "hot")),
        (("ann@corp.example", "eve@corp.example"), {}, ("hot", "warm", "warm")),
    ],
)
def test_heat_goes_by_identifier(wanted: tuple[str, ...], delivered: dict[str, str], expected: tuple[str, str, str]) -> None:
    """Bound or brought before: hot. Known of another mailbox: cold. Known of none: all are warm."""
    heating = Heating(lambda: wanted, BOUND)
    for mailbox, identifier in delivered.items():
        heating.note(mailbox, (mark_of(identifier),))
    assert tuple(str(heating.of(one)) for one in BOUND) == expected


def test_what_a_mailbox_brings_while_somebody_waits_counts_at_once() -> None:
    """It is decided once for everybody who waits, and anew with each delivery."""
    heating = Heating(lambda: ("eve@corp.example",), BOUND)
    assert [str(heating.of(one)) for one in BOUND] == ["warm"] * 3
    heating.note("hub/INBOX", (mark_of("eve@corp.example"),))
    assert [str(heating.of(one)) for one in BOUND] == ["cold", "cold", "hot"]


def test_whom_a_wait_wakes() -> None:
    """The mailboxes of its identifier; every one where none is known, once, while all are warm by that."""
    wanted: list[str] = []
    heating = Heating(lambda: tuple(wanted), BOUND)
    heating.note("hub/INBOX", (mark_of("ann@corp.example"),))
    assert heating.to_wake(" Ann@corp.example") == frozenset({"a/INBOX", "hub/INBOX"})
    wanted.append("eve@corp.example")
    assert heating.to_wake("eve@corp.example") is None
    assert heating.of("b/INBOX") == "warm"
    assert heating.to_wake("eve@corp.example") == heating.to_wake("zoe@corp.example") == frozenset()
    wanted.clear()
    assert heating.of("b/INBOX") == "cold"
    assert heating.to_wake("zoe@corp.example") is None


@pytest.mark.parametrize(("mailboxes", "looks"), [(1, 0.25), (20, 5), (200, 15), (1_000, 15)])
def test_all_warm_mailboxes_together_cost_so_much(mailboxes: int, looks: float) -> None:
    """Each is looked at every four seconds, and all of them fifteen times a second at most."""
    heating = Heating(tuple, {f"{number}/INBOX": (f"{number}@corp.example",) for number in range(mailboxes)})
    assert mailboxes / heating.warm_every == pytest.approx(looks)


def test_only_so_many_identifiers_are_remembered() -> None:
    """The newest ones; what is known already changes nothing."""
    known = with_newest((), [str(number) for number in range(MOST + 5)])
    assert (len(known), known[-1]) == (MOST, str(MOST + 4))
    assert with_newest(known, [known[0]]) is known


@pytest.mark.parametrize(
    ("host", "greeting", "abilities", "expected"),
    [
        ("imap.gmail.com", b"", (), 2.0),
        ("IMAP.Gmail.com.", b"", (), 2.0),
        ("imap.163.com", b"", (), 5.0),
        ("imap.gmx.net", b"", (), 2.0),
        ("tunnel.example", b"* OK Gimap ready for requests from 192.0.2.1", (), 2.0),
        ("tunnel.example", b"* OK The Microsoft Exchange IMAP4 service is ready.", (), 2.0),
        ("tunnel.example", b"", ("IMAP4REV1", "X-GM-EXT-1"), 2.0),
        ("tunnel.example", b"* OK Coremail System IMap Server Ready", (), 5.0),
        ("mail.corp.example", b"* OK Dovecot ready.", ("IDLE", "MOVE"), None),
        ("imap.gmail.com.evil.example", b"", (), None),
    ],
)
def test_a_provider_is_known_by_its_server(
    host: str, greeting: bytes, abilities: tuple[str, ...], expected: float | None
) -> None:
    """By host, greeting and capability; a server of one's own has no limit."""
    found = tolerance_of(host, greeting, abilities)
    assert (found.total_seconds() if found is not None else None) == expected


def test_a_provider_by_host_is_treated_as_by_preset() -> None:
    """Gmail and Outlook by `host` have the tolerance and the habits of the presets."""
    assert account_of(account(993, host="imap.gmail.com")).hot_poll == timedelta(seconds=2)
    outlook = account_of(account(993, host="outlook.office365.com", password=Secret("x")))
    assert (outlook.hot_poll, outlook.pipelines) == (timedelta(seconds=2), False)
    assert account_of(account(993)).hot_poll is None


@looped
async def test_one_who_waits_heats_one_mailbox(tmp_path: Path) -> None:
    """The mailbox that is bound to the identifier is asked often; the others are not asked at all, and stay in IDLE."""
    wanted: tuple[str, ...] = ()
    with ScriptedImap() as mine, ScriptedImap() as other:
        async with (
            house(tmp_path) as home,
            watching(
                home,
                account(mine.port, name="mine", identifier="eve@corp.example"),
                account(other.port, name="other"),
                wanted=lambda: wanted,
            ) as watchers,
        ):
            await until(lambda: [one.mode for one in watchers.health()] == ["idle", "idle"])
            before = len(other.log)
            wanted = ("eve@corp.example",)
            watchers.wake()
            await in_mode(watchers, "hot")
            count = len(mine.log)
            await until(lambda: len(mine.log) > count + 10)
            assert watchers.health()[1].mode == "idle" and len(other.log) == before


@looped
async def test_whoever_brought_a_code_is_heated_the_next_time(tmp_path: Path) -> None:
    """An identifier that no account names: after its first code its mailbox alone is hot, also after a restart."""
    wanted: tuple[str, ...] = ()
    with ScriptedImap() as hub, ScriptedImap() as other:
        accounts = (
            account(hub.port, name="hub", username="hub@corp.example"),
            account(other.port, name="other", username="o@x.example"),
        )

        async def is_known(*, first: bool) -> None:
            nonlocal wanted
            wanted = ()
            async with house(tmp_path) as home, watching(home, *accounts, wanted=lambda: wanted) as watchers:
                await until(lambda: [one.mode for one in watchers.health()] == ["idle", "idle"])
                if first:
                    hub.deliver(code_mail("482913", extra="X-Forwarded-For: ann@corp.example hub@corp.example\r\n"))
                    await has(home, "482913")
                row = (await home.store.outbox.deliveries(limit=1))[0]
                wanted = (row.draft.identifier.casefold(),)
                watchers.wake()
                await in_mode(watchers, "hot")
                await until(lambda: watchers.health()[1].mode == "idle", what="the other left alone")
                before, count = len(other.log), len(hub.log)
                await until(lambda: len(hub.log) > count + 10, what="ten questions")
                assert watchers.health()[1].mode == "idle" and len(other.log) == before

        await is_known(first=True)
        await is_known(first=False)


@looped
async def test_a_large_provider_is_not_asked_too_often(tmp_path: Path) -> None:
    """A server that greets as Google does is asked every two seconds at most, although the account names a host of its own."""
    with ScriptedImap() as server:
        server.greeting = b"* OK Gimap ready for requests\r\n"
        async with house(tmp_path) as home, watching(home, account(server.port), hot=lambda: True) as watchers:
            await in_mode(watchers, "hot")
            count, began = sum(" UID FETCH" in line for line in server.log), time.monotonic()

            def is_asked_twice() -> bool:
                watchers.wake()  # agents who ask again and again make it no more
                return sum(" UID FETCH" in line for line in server.log) >= count + 2

            await until(is_asked_twice)
            asked = sum(" UID FETCH" in line for line in server.log) - count
            assert asked <= (time.monotonic() - began) / 2 + 1


@looped
async def test_an_unknown_identifier_warms_all(tmp_path: Path) -> None:
    """Nobody knows whose code it is: every mailbox is looked at, with a command in two seconds at most, and stays in IDLE."""
    with ScriptedImap() as server:
        async with house(tmp_path) as home, watching(home, account(server.port), wanted=lambda: ("eve@x.example",)) as watchers:
            await in_mode(watchers, "hot")
            count, began = len([line for line in server.log if line != "DONE"]), time.monotonic()
            await until(lambda: sum(line != "DONE" for line in server.log) > count, within=10)
            commands = sum(line != "DONE" for line in server.log) - count
            assert commands <= (time.monotonic() - began) / 2 + 2
            assert server.idling == 1
            server.deliver(code_mail("482913"))
            await has(home, "482913", within=2)
