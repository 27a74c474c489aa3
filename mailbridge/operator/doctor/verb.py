"""The verb of the doctor: a patient made of the running parts, examined, and shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from mailbridge.operator.doctor.finding import Level, Patient, Probes
from mailbridge.operator.doctor.run import examine
from mailbridge.operator.faults import Fault
from mailbridge.operator.parts import Configuration, Daemon
from mailbridge.operator.shapes import Examined, FindingGroup, FindingShape
from mailbridge.operator.targets import skyvern_account
from mailbridge.store import Store
from mailbridge.trust.dns import Resolver


class Clock:
    """Our clock: aware UTC, and how far the machine's was set since the daemon started."""

    def __init__(self, now: Callable[[], datetime], drift: Callable[[], timedelta]) -> None:
        self.now = now
        self.drift = drift


class Doctor:
    """The verb. ``places`` gives the database and its key; ``drift`` how far the clock was set since the start."""

    def __init__(
        self,
        *,
        store: Store,
        configuration: Configuration,
        daemon: Daemon,
        probes: Probes,
        dns: Callable[[], Resolver],
        clock: Clock,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._daemon = daemon
        self._probes = probes
        self._dns = dns
        self._clock = clock

    async def patient(self) -> Patient:
        """The state of the daemon for a check."""
        database, key = self._probes.places()
        return Patient(
            settings=self._configuration.now,
            store=self._store,
            status=await self._daemon.status(),
            probes=self._probes,
            dns=self._dns(),
            skyvern=lambda: skyvern_account(self._configuration.now),
            database=database,
            key=key,
            now=self._clock.now,
            drift=self._clock.drift(),
        )

    async def examine(self) -> Examined | Fault:
        """Everything that can be wrong, with what fixes it."""
        groups = await examine(await self.patient())
        levels = [one.level for found in groups.values() for one in found]
        return Examined(
            failures=levels.count(Level.FAILURE),
            warnings=levels.count(Level.WARNING),
            groups=[
                FindingGroup(
                    name=name,
                    findings=[
                        FindingShape(check=one.check, level=one.level.value, text=one.text, hint=one.hint) for one in found
                    ],
                )
                for name, found in groups.items()
            ],
        )
