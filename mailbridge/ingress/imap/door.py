"""What a mailbox needs of the intake and the store, as a thread may call it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Answer


class NotAccepted(Exception):  # noqa: N818  (an answer rather than an error)
    """The store does not take mail just now; nothing was lost, and the same mail is to be brought again."""


class NotTaken(Exception):  # noqa: N818  (the door's other answer)
    """The door failed over this mail in a way that it should not; the store may be well."""


class Door(Protocol):
    """The intake and the store; every method blocks, and those of the store raise StoreUnavailable."""

    def accept(self, envelope: Envelope) -> Answer:
        """Where it answers `Stored` the mail is on disk. Raises NotTaken."""
        ...

    def cursor(self, mailbox: str) -> str | None:
        """See `Mailboxes.cursor`."""
        ...

    def advance(self, cursor: str) -> None:
        """See `Mailboxes.advance`."""
        ...

    def rewind(self, cursor: str) -> None:
        """See `Mailboxes.rewind`."""
        ...

    def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        """See `Mailboxes.pending_actions`."""
        ...

    def actions_done(self, cursors: Sequence[str]) -> None:
        """See `Mailboxes.actions_done`."""
        ...

    def notes(self, mailbox: str) -> str:
        """See `Mailboxes.notes`."""
        ...

    def note(self, mailbox: str, notes: str) -> None:
        """See `Mailboxes.note`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Up to which UID everything is on disk, or remembered as missing."""

    validity: int
    uid: int
