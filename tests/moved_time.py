"""Time that a test moves: a wall clock and a kernel's count since boot, each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbridge.clock import SteadyClock, from_micros

START = 1_764_000_000_000_000
MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class MovedTime:
    """Microseconds of both clocks. `pass_by` is time as it passes, `jump` somebody setting the clock, `reboot` a restart."""

    wall: int = START
    since_boot: int = 100_000_000
    boot: str = "boot-1"

    def pass_by(self, duration: timedelta) -> None:
        """Let time pass on both clocks."""
        self.wall += duration // MICROSECOND
        self.since_boot += duration // MICROSECOND

    def jump(self, duration: timedelta) -> None:
        """Set the wall clock forward, or back."""
        self.wall += duration // MICROSECOND

    def reboot(self, name: str, after: timedelta) -> None:
        """Start the machine anew, so much later."""
        self.wall += after // MICROSECOND
        self.since_boot = 1_000_000
        self.boot = name

    def clock(self) -> SteadyClock:
        """A clock as a process makes it when it starts now."""
        return SteadyClock(wall=lambda: self.wall, since_boot=lambda: self.since_boot, boot=self.boot)

    def now(self) -> datetime:
        """What the wall clock shows."""
        return from_micros(self.wall)
