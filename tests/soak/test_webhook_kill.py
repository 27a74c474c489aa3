"""kill -9 at random moments while webhooks are told: nothing acknowledged is lost, order holds, ids stay, and nobody waits for another.

``make soak`` kills 200 times (MAILBRIDGE_KILLS); every test run does so a few times.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import defaultdict
from pathlib import Path

import apsw
import pytest

from mailbridge.core.delivery import Delivery, State
from mailbridge.sinks.signing import new_secret
from tests.e2e.test_kill import KEPT_TO_THE_END, Client, deliveries_of, kill_at_random
from tests.peers.daemon import House, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty
from tests.peers.hooks import CALM, FAILING, TROUBLED, Got, Hook, Hooks, running_hooks

KILLS = int(os.environ.get("MAILBRIDGE_KILLS", "4"))
pytestmark = pytest.mark.timeout(1_200 + 30 * KILLS if KILLS > 10 else 300)
"""What is asked for by hand takes longer than any other test may; the last two waits of it are 20 minutes."""

SEED = int(os.environ.get("MAILBRIDGE_SEED", "0")) or time.time_ns() % 1_000_000
SECRET = new_secret().reveal()
CLIENTS = 3

TARGET = """
[[target]]
name = "{name}"
kind = "webhook"
url = "http://{address}/{name}"
secret = "{secret}"
timeout = "2s"
grace = "1s"
senders = 4
{more}
"""
CODES = 'events = ["code.received"]\ninclude_code = true\n'
STORIES = 'events = ["code.superseded", "delivery.dead"]\n'


def targets(hooks: Hooks, **more: str) -> str:
    """Tables of targets, each at its own path."""
    tables = (TARGET.format(name=name, address=hooks.address, secret=SECRET, more=keys) for name, keys in more.items())
    return "".join(tables)


def test_nothing_is_lost_and_ids_stay(tmp_path: Path) -> None:
    """Beside a Skyvern that is well: a webhook that fails in every way, one that always hangs, one that is gone, one that wants stories."""
    dice = random.Random(SEED)
    hooks = {"hook": Hook(FAILING), "stuck": Hook(always="hang"), "gone": Hook(always="410"), "tales": Hook(TROUBLED)}
    with running_faulty(Temper()) as skyvern, running_hooks(SECRET, **hooks) as here:
        everything = KEPT_TO_THE_END + targets(here, hook=CODES, stuck=CODES, gone=CODES, tales=STORIES)
        house = House(tmp_path, skyvern.base_url, more=everything)
        clients = [Client(house, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for number in range(KILLS):
            kill_at_random(house, dice, clients)
            if KILLS > 10 and not (number + 1) % 10:
                print(f"{number + 1} kills", flush=True)
        with house.running():
            for client in clients:
                client.stop()
        for hook in here.hooks.values():
            hook.fates = CALM
        house.more = KEPT_TO_THE_END + targets(here, hook=CODES, gone=CODES, tales=STORIES)
        house.configure()
        with house.running() as daemon:
            wait_for(lambda: daemon.waiting() == 0, "the outbox is empty", patience=300)
            wanted = ended(house)
            wait_for(lambda: wanted <= {of_delivery(one) for one in hooks["tales"].got}, "every story is told", patience=900)
            assert daemon.terminate() == 0
        judge(house, clients, skyvern, here)


def of_delivery(got: Got) -> int:
    """Of which delivery an event is."""
    return int(got.data["delivery"])


def ended(house: House) -> set[int]:
    """The deliveries of whose end somebody wants to hear, those apart that ended when their target was taken out."""
    rows = deliveries_of(house)
    return {row.id for row in rows if row.state in (State.SUPERSEDED, State.DEAD) and row.draft.target != "stuck"}


def judge(house: House, clients: list[Client], skyvern: FaultyReceiver, here: Hooks) -> None:
    """Compare what was acknowledged with what every receiver has."""
    acknowledged = {code: identifier for client in clients for identifier, _, code in client.acknowledged}
    outbox: dict[str, dict[str, Delivery]] = defaultdict(dict)
    for row in deliveries_of(house):
        outbox[row.draft.target][row.draft.content.reveal()] = row
    hook, tales = here.hooks["hook"], here.hooks["tales"]
    got = [one for one in hook.got if one.type == "code.received"]
    ids, codes = defaultdict(set), defaultdict(set)
    for one in got:
        ids[one.data["code"]].add(one.id)
        codes[one.id].add(one.data["code"])
    lost = [code for code in acknowledged if not is_settled(outbox["hook"].get(code), ids, code, hook)]
    waited = [code for code in acknowledged if not _is_at_skyvern(outbox["skyvern"].get(code), code, skyvern)]
    print(
        "seed",
        SEED,
        json.dumps(
            {
                "kills": KILLS,
                "acknowledged": len(acknowledged),
                "attempts": hook.attempts,
                "taken": len(got),
                "twice": len(got) - len(codes),
                "redirected": len(hook.refused),
                "stories": len(tales.got),
                "gone": here.hooks["gone"].attempts,
                "lost": lost,
                "waited": waited,
            }
        ),
    )
    assert [reply for client in clients for reply in client.refused] == []
    assert len(acknowledged) > KILLS
    assert (lost, waited, here.unsigned) == ([], [], [])
    assert all(len(found) == 1 for found in ids.values()), "one code, one id"
    assert all(len(found) == 1 for found in codes.values()), "one id, one code"
    assert inversions(got) == []
    assert all(len({of_delivery(one) for one in tales.got if one.id == event}) == 1 for event in {one.id for one in tales.got})
    assert here.hooks["gone"].attempts <= KILLS + 10, (
        "a target that is gone is asked no more, but for what was under way at a kill"
    )
    with apsw.Connection(str(house.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    log = house.log.read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert SECRET not in log


def is_settled(row: Delivery | None, ids: dict[str, set[str]], code: str, hook: Hook) -> bool:
    """Whether a code is at the webhook, was overtaken by a newer one, or was answered by a redirect."""
    if row is None:
        return False
    if code in ids or row.state is State.SUPERSEDED:
        return True
    return row.state is State.DEAD and "302" in row.reason and bool(hook.refused)


def _is_at_skyvern(row: Delivery | None, code: str, skyvern: FaultyReceiver) -> bool:
    taken = {one.code for one in skyvern.rows}
    return row is not None and (code in taken or row.state is State.SUPERSEDED)


def inversions(got: list[Got]) -> list[str]:
    """Codes that came for the first time after a newer one of their identifier."""
    found: list[str] = []
    newest: defaultdict[str, str] = defaultdict(str)
    seen: set[str] = set()
    for one in got:
        code, identifier = str(one.data["code"]), str(one.data["identifier"])
        if code not in seen and code < newest[identifier]:
            found.append(f"{identifier}: {code} after {newest[identifier]}")
        seen.add(code)
        newest[identifier] = max(newest[identifier], code)
    return found
