"""All that a way in is given: the door, who and what may come in, whom to tell, and the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Envelope
from mailbridge.intake.admission import Admission
from mailbridge.intake.answer import Accept, Answer, Full
from mailbridge.intake.events import Events


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorway:
    """``accept`` is the door, and safe to call from many tasks; ``now`` gives `Envelope.received_at`.

    A way in acknowledges a mail after `Stored` and never before; after `Deferred` and `Full` nothing was kept, and the mail must
    come again. It holds memory of ``admission`` for each mail while it reads it, and asks ``admission.is_ours`` for each recipient.
    """

    accept: Accept
    admission: Admission
    events: Events
    now: Callable[[], datetime]

    async def bring(self, envelope: Envelope) -> Answer:
        """`accept` for a way in that has the whole mail already: its memory counts as that of the others does."""
        with self.admission.hold() as hold:
            return await self.accept(envelope) if hold.take(len(envelope.content)) else Full()
