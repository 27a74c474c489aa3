"""What becomes of a mail in its mailbox once its code is safely stored: nothing, or what the operator chose."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mailbridge import log_events
from mailbridge.ingress.imap.faults import Refusal
from mailbridge.ingress.imap.wire import Wire, folder_argument, uid_set

log = logging.getLogger("mailbridge.imap")


def apply(wire: Wire, after: str, uids: Sequence[int], *, mailbox: str) -> None:
    """Mark, move or delete; once more does no harm. A refusal is told and left at that: the code is stored, and a mail too many
    hurts nobody.

    Raises:
        MailboxFault: the connection is gone.
    """
    if not uids or after == "nothing":
        return
    try:
        for command in _commands(wire.abilities, after, uid_set(uids)):
            wire.run(command, what=f"after = {after!r}")
    except Refusal as fault:
        log.warning("after-effect not done: %s", fault, extra={"event": log_events.MAILBOX_ACTION_FAILED, "mailbox": mailbox})


def _commands(abilities: frozenset[str], after: str, uids: bytes) -> list[bytes]:
    """Deleting needs UIDPLUS: a plain EXPUNGE would take along what another client has marked."""
    effect, _, name = after.partition(":")
    marked = [b"UID STORE " + uids + rb" +FLAGS.SILENT (\Deleted)"]
    gone = [*marked, b"UID EXPUNGE " + uids] if "UIDPLUS" in abilities else marked
    match effect:
        case "seen":
            return [b"UID STORE " + uids + rb" +FLAGS.SILENT (\Seen)"]
        case "keyword":
            return [b"UID STORE " + uids + b" +FLAGS.SILENT (" + name.encode("ascii") + b")"]
        case "move" if "MOVE" in abilities:
            return [b"UID MOVE " + uids + b" " + folder_argument(name)]
        case "move":
            return [b"UID COPY " + uids + b" " + folder_argument(name), *gone]
        case _:
            return gone
