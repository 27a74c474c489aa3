"""When a store is tried after a write has failed, how much is written then, and how often."""

from __future__ import annotations

import asyncio

import pytest

from mailbridge.store import Kind, StoreUnavailable
from mailbridge.store.probing import PAUSE, ROOM, Probe
from tests.loop import looped


class Disk:
    """What a store writes to. ``trouble`` is what became of the last write; ``mended``: the next ones work."""

    def __init__(self, trouble: Kind | None) -> None:
        self.trouble = trouble
        self.mended = False
        self.written: list[int] = []
        self.at: list[float] = []

    async def write(self, octets: int) -> None:
        """Write so many octets, where that works."""
        self.written.append(octets)
        self.at.append(asyncio.get_running_loop().time())
        if not self.mended:
            raise StoreUnavailable(self.trouble or "gone", "still")
        self.trouble = None

    def probe(self) -> Probe:
        """What asks it."""
        return Probe(lambda: self.trouble, self.write)


@looped
async def test_a_store_that_is_well_is_not_written_to() -> None:
    """Nothing has failed, so nothing is tried."""
    disk = Disk(None)
    await disk.probe().ask()
    assert disk.written == []


@pytest.mark.parametrize(("kind", "octets"), [("locked", [1]), ("gone", [1]), ("full", [ROOM, 1])])
@looped
async def test_a_write_that_works_ends_the_trouble(kind: Kind, octets: list[int]) -> None:
    """A small one; after a full disk as much as tells that there is room, and then the row is small again."""
    disk = Disk(kind)
    disk.mended = True
    await disk.probe().ask()
    assert disk.written == octets


@looped
async def test_those_who_ask_at_once_share_a_try_and_the_next_one_waits() -> None:
    """However often somebody asks, the store is tried every quarter of a second at the most."""
    disk = Disk("locked")
    probe = disk.probe()
    answers = await asyncio.gather(*(probe.ask() for _ in range(10)), return_exceptions=True)
    assert {type(one) for one in answers} == {StoreUnavailable}
    assert len(disk.written) == 1
    with pytest.raises(StoreUnavailable) as fault:
        await probe.ask()
    assert fault.value.kind == "locked"
    assert disk.at[1] - disk.at[0] >= PAUSE * 0.9
    disk.mended = True
    await probe.ask()
    assert len(disk.written) == 3
