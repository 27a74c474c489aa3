"""What a mailbox needs of the intake and the store, in a form that a thread may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Answer


class NotAccepted(Exception):  # noqa: N818  (an answer rather than an error)
    """The store accepts no mail now. Nothing was lost, and the same mail must be brought again."""


class NotTaken(Exception):  # noqa: N818  (the door's other answer)
    """The intake failed with this mail in an unexpected way. The store may be well."""


class Door(Protocol):
    """The intake and the store. Every method blocks, and those of the store raise StoreUnavailable."""

    def accept(self, envelope: Envelope) -> Answer:
        """Hand in a mail. If the answer is `Stored`, the mail is on disk. Raises NotTaken."""
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
    """The UID up to which everything is on disk, or remembered as missing."""

    validity: int
    uid: int
