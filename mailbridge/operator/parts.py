"""What the verbs need of the running bridge, as small protocols: `app` hands the parts in, for the daemon and for a command alone."""

from __future__ import annotations

from typing import Protocol

from mailbridge.config.settings import Settings
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Answer
from mailbridge.intake.vouching import Word
from mailbridge.operator.faults import Fault
from mailbridge.operator.shapes import Reloaded, Status, TestAddress


class Door(Protocol):
    """Where mail is handed in by hand."""

    def is_ours(self, rcpt: str) -> bool:
        """Whether mail for an address is taken."""
        ...

    async def hand_in(self, envelope: Envelope, word: Word) -> Answer:
        """As `Intake.accept`, with an operator's word."""
        ...


class Configuration(Protocol):
    """The settings, as they are in force and as the file says."""

    @property
    def now(self) -> Settings:
        """What is in force: file, environment, and what was added."""
        ...

    @property
    def base(self) -> Settings:
        """File and environment alone."""
        ...

    async def take_additions(self) -> None:
        """Bring into force what was added or removed since.

        Raises:
            ConfigError: it contradicts the file; what was in force stays.
            StoreUnavailable: it cannot be read now.
        """
        ...


class Daemon(Protocol):
    """The daemon as a whole. Where none runs, each of these is a fault."""

    async def status(self) -> Status | Fault:
        """How it is."""
        ...

    async def reload(self, by: str) -> Reloaded | Fault:
        """Read the configuration again and use it completely; the mistakes if it cannot be used."""
        ...

    async def test_address(self, identifier: str, by: str) -> TestAddress | Fault:
        """An address for one test mail."""
        ...
