"""Steady UTC time: deadlines hold although the wall clock jumps, in a run and over restarts on one boot.

Steady time is the wall clock of one moment (the anchor) plus what the kernel counted since boot, suspend included
(CLOCK_BOOTTIME). The store keeps the anchor, so a restart on the same boot goes on as if nothing had happened. It is
put back on the wall only while no code lives, since nothing can then expire too early or live too long by it.
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

    def resume(self, anchor: Anchor | None, *, newest: int | None, is_idle: bool) -> Anchor:
        """Take up what an earlier run kept. Returns the anchor to keep from now on.

        Same boot and not idle: steady time goes on from the old anchor, whatever the wall says. Same boot and idle
        (no live code): the wall. New boot: the wall, but never before ``newest``, the newest receive time stored.
        """
        is_same_boot = anchor is not None and self._boot != "" and anchor.boot == self._boot
        if anchor is not None and is_same_boot and not is_idle:
            self._offset = anchor.offset
            return self.anchor
        at = self._wall()
        if newest is not None and not is_same_boot and not is_idle:
            at = max(at, newest)
        self._offset = at - self._since_boot()
        return self.anchor

    def follow(self, micros: int) -> None:
        """Show the time of another machine, which shows ``micros`` at this moment; the wall clock of this one counts no more.

        To be told again now and then, since two clocks never tick alike.
        """
        self._offset = micros - self._since_boot()
        self._wall = self.micros

    def realign(self) -> Anchor:
        """Back onto the wall clock; to be called only while no code lives. Returns the anchor to keep."""
        self._offset = self._wall() - self._since_boot()
        return self.anchor
