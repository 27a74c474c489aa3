"""Steady UTC time: deadlines hold although the wall clock jumps, in a run and over restarts on one boot.

Steady time is the wall clock of one moment (the anchor) plus what the kernel counted since boot, suspend included
(CLOCK_BOOTTIME). The store keeps the anchor, so a restart on the same boot goes on as if nothing had happened. It is
put back on the wall only while nothing waits to be pushed. The times of what can still be read are moved with it, so
nothing expires too early or lives too long by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbridge.core.dataclass import dataclass

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MICROSECOND = timedelta(microseconds=1)


REMEMBERED = 600_000_000
"""Microseconds for which moments that were told before steady time was put right are understood: as long as a code lives."""

LOOK_BACK = 60_000_000
"""Microseconds that whoever asks usually looks back."""


def to_micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware datetime."""
    return (at - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970."""
    return EPOCH + micros * MICROSECOND


def boot_id() -> str:
    """The kernel's name for this boot, or ``""`` where it gives none (macOS): then each start counts as a new boot."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def since_boot() -> int:
    """Microseconds that the kernel counted, suspend included where it can say so (else its monotonic clock)."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000


def wall() -> int:
    """Microseconds since 1970 of the wall clock."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What ties steady time to a boot: steady microseconds = counted since boot + ``offset``."""

    boot: str
    offset: int


class SteadyClock:
    """Tells steady time. Safe to read from any thread; only the store moves its anchor.

    The arguments are the three sources of the machine, to be replaced where a test moves time.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], int] = wall,
        since_boot: Callable[[], int] = since_boot,
        boot: str | None = None,
    ) -> None:
        self._wall = self._own_wall = wall
        self._since_boot = since_boot
        self._boot = boot_id() if boot is None else boot
        self._offset = wall() - since_boot()
        self._put_right: tuple[int, int] | None = None

    @property
    def anchor(self) -> Anchor:
        """What a store has to keep so that a later run can `resume`."""
        return Anchor(boot=self._boot, offset=self._offset)

    @property
    def base(self) -> int:
        """What steady time counts from. Another one than before: it was put right meanwhile, and what was read before is off by as much."""
        return self._offset

    @property
    def drift(self) -> timedelta:
        """How far the wall clock is ahead of steady time."""
        return timedelta(microseconds=self._wall() - self.micros())

    @property
    def skew(self) -> timedelta:
        """How far this machine's wall clock is ahead of that of the machine whose time is followed; none where none is."""
        is_following = self._wall is not self._own_wall
        return timedelta(microseconds=self._own_wall() - self.micros()) if is_following else timedelta()

    def now(self) -> datetime:
        """Steady time, aware, UTC."""
        return from_micros(self.micros())

    def micros(self) -> int:
        """Steady time in microseconds since 1970."""
        return self._since_boot() + self._offset

    def on_wall(self, steady: int) -> datetime:
        """What the wall clock will show at that steady time (microseconds), as far as it shows the truth now."""
        return from_micros(self._wall() + steady - self.micros())

    def resume(self, anchor: Anchor | None, *, newest: int | None) -> Anchor:
        """Take up what an earlier run kept. Returns the anchor to keep from now on.

        Same boot: steady time goes on from the old anchor, whatever the wall says. New boot: the wall, but never before
        ``newest``, the newest receive time stored.
        """
        if anchor is not None and self._boot != "" and anchor.boot == self._boot:
            self._offset = anchor.offset
            return self.anchor
        at = self._wall() if newest is None else max(self._wall(), newest)
        self._offset = at - self._since_boot()
        return self.anchor

    def follow(self, micros: int) -> None:
        """Show the time of another machine, which shows ``micros`` at this moment; the wall clock of this one counts no more.

        To be told again now and then, since two clocks never tick alike.
        """
        self._offset = micros - self._since_boot()
        self._wall = self.micros

    def realign(self) -> int:
        """Back onto the wall clock; to be called only while nothing waits to be pushed. Returns by how many microseconds steady
        time is ahead of what it was: the times of whatever lives are to be moved by as much."""
        at, before = self.micros(), self._offset
        self._offset = self._wall() - self._since_boot()
        self._put_right = at, self._offset - before
        return self._offset - before

    def take_back(self) -> None:
        """Undo `realign`: the times of what lives could not be moved."""
        if self._put_right is not None:
            self._offset -= self._put_right[1]
            self._put_right = None

    def as_now(self, micros: int) -> int:
        """A moment as steady time calls it now, if it was told before steady time was last put right.

        What lies in the future was. After steady time was set ahead, so was what lies shortly before that: whoever was told it
        wants nothing older. In doubt the later moment holds, so nobody gets an older code than he wants.
        """
        at, by = self._put_right or (0, 0)
        now = self.micros()
        if not by or now - (at + by) > REMEMBERED:
            return micros
        is_earlier = micros > now if by < 0 else by > LOOK_BACK and at - REMEMBERED < micros <= at
        return micros + by if is_earlier else micros
