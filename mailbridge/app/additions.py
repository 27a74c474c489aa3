"""What people added by command, read from the store as the settings want it."""

from __future__ import annotations

from mailbridge.config.added import KINDS, Added
from mailbridge.store.entries import Entries


async def additions(entries: Entries) -> tuple[Added, ...]:
    """Everything that was added, oldest first.

    Raises:
        StoreUnavailable: it cannot be read now.
    """
    found = []
    for one in await entries.entries():
        if one.kind in KINDS:
            secrets = await entries.secrets(one.kind, one.name) if one.secrets else {}
            found.append(
                Added(kind=one.kind, name=one.name, values=one.settings, secrets=secrets, at=one.added_at, by=one.added_by)
            )
    return tuple(found)
