"""What happens to a mail in its mailbox after its code is stored: nothing, or what the operator chose."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mailbridge import log_events
from mailbridge.ingress.imap.faults import Refusal
from mailbridge.ingress.imap.wire import Wire, folder_argument, uid_set

log = logging.getLogger("mailbridge.imap")


def apply(wire: Wire, after: str, uids: Sequence[int], *, mailbox: str) -> None:
    """Mark, move or delete mails. A second call does no harm. A refusal is only reported: the code is stored, and an extra mail
    in the mailbox does no harm.

    Raises:
        MailboxFault: the connection is gone.
    """
    if not uids or after == "nothing":
        return
    try:
        for command in _commands(wire.abilities, after, uid_set(uids)):
            wire.run(command, what=f"after = {after!r}")
        if _leaves_marked(wire.abilities, after):
            _expunge(wire, uids, mailbox)
    except Refusal as fault:
        log.warning("after-effect not done: %s", fault, extra={"event": log_events.MAILBOX_ACTION_FAILED, "mailbox": mailbox})


def _leaves_marked(abilities: frozenset[str], after: str) -> bool:
    """Whether mails are only marked as deleted so far, because the server cannot expunge only some of them (UIDPLUS, RFC
    4315)."""
    is_removal = after == "delete" or (after.startswith("move:") and "MOVE" not in abilities)
    return is_removal and "UIDPLUS" not in abilities


def _expunge(wire: Wire, uids: Sequence[int], mailbox: str) -> None:
    """Send a plain EXPUNGE. It removes everything that is marked, so it is only for a mailbox in which nobody else has marked
    anything."""
    others = set(wire.search(b"DELETED")) - set(uids)
    if others:
        text = "%d mails stay marked as deleted: the server has no UIDPLUS, and other mails are marked too; expunge them in your mail program"
        log.warning(text, len(uids), extra={"event": log_events.MAILBOX_ACTION_FAILED, "mailbox": mailbox})
        return
    wire.run(b"EXPUNGE", what="EXPUNGE")


def _commands(abilities: frozenset[str], after: str, uids: bytes) -> list[bytes]:
    """The commands. With UIDPLUS a deletion removes only these mails; without it they are only marked at first."""
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
