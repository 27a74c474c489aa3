"""Where in an account a canary is, and its removal: the work of a short second connection, besides the one that watches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.arguments import day
from mailbridge.ingress.imap.canary.tokens import SUBJECT, token_of
from mailbridge.ingress.imap.faults import Kind, MailboxFault, Refusal
from mailbridge.ingress.imap.folders import Folder
from mailbridge.ingress.imap.wire import Wire, folder_argument, uid_set

log = logging.getLogger("mailbridge.imap")

MOST_FOUND = 50
LARGEST = 65_536
"""Octets of a mail that may be a canary. A larger one is not looked at."""
SINCE = timedelta(days=8)
"""How far back a mailbox is searched. This includes the restarts of a week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailLocation:
    """Where one mail is."""

    folder: str
    validity: int
    uid: int


def find(wire: Wire, token: str, folders: Iterable[Folder], watched: Sequence[str]) -> MailLocation | None:
    """The folder that contains the mail with this token. The watched folders are searched first, then junk, then the others.
    None: nowhere.

    A copy among the sent mails or the drafts is not an arrival. A folder with all mail is searched last: a mail that is only
    there was put into no other folder.

    Raises:
        MailboxFault: the connection failed.
    """
    order: dict[str, int] = dict.fromkeys(watched, 0)
    for one in folders:
        if one.use not in ("sent", "drafts"):
            order.setdefault(one.name, {"junk": 1, "all": 3}.get(one.use, 2))
    for name in sorted(order, key=lambda name: order[name]):
        for uid in _found(wire, name, token, lambda claimed: claimed == token):
            return MailLocation(folder=name, validity=wire.validity, uid=uid)
    return None


def remove(wire: Wire, locations: Iterable[MailLocation], folders: Sequence[Folder]) -> None:
    """Remove mails by their UIDs. A mail whose folder was rebuilt meanwhile is left to `tidy`.

    Raises:
        MailboxFault: the server does not allow it.
    """
    trash = next((one.name for one in folders if one.use == "trash"), "")
    for location in locations:
        wire.open_folder(location.folder, is_read_only=False)
        if wire.validity == location.validity:
            _expunge(wire, location.folder, [location.uid], trash)


def tidy(wire: Wire, names: Iterable[str], is_ours: Callable[[str], bool]) -> int:
    """Remove all our canaries from these folders, also those of earlier daemons. Returns their number. Mails of others that only
    look alike stay.

    Raises:
        MailboxFault: the connection failed, or the server does not allow it.
    """
    removed = 0
    for name in dict.fromkeys(names):
        uids = _found(wire, name, SUBJECT, is_ours)
        if uids:
            wire.open_folder(name, is_read_only=False)
            _expunge(wire, name, uids, "")
            removed += len(uids)
    return removed


def _found(wire: Wire, folder: str, words: str, is_ours: Callable[[str], bool]) -> list[int]:
    """UIDs of the mails in a folder with ``words`` in the subject and a token of ours. Empty if the folder cannot be opened."""
    try:
        wire.open_folder(folder, is_read_only=True)
        since = datetime.now(UTC) - SINCE
        criteria = b"SINCE " + day(since) + f' SUBJECT "{words}"'.encode("ascii")
        uids = wire.search(criteria)[-MOST_FOUND:]
        small = [one.uid for one in wire.fetch_dates(uids) if one.size <= LARGEST]
        claimed = [(mail.uid, token_of(mail.content or b"")) for mail in wire.fetch_mails(small)]
    except MailboxFault as fault:
        if isinstance(fault, Refusal) or fault.kind is Kind.SETTING:
            log.info("folder not searched: %s", fault, extra={"event": log_events.CANARY_FOLDER_SKIPPED})
            return []
        raise
    return [uid for uid, token in claimed if token is not None and is_ours(token)]


def _expunge(wire: Wire, folder: str, uids: Sequence[int], trash: str) -> None:
    """Delete mails. Gmail understands a deletion as "out of this folder, and into the archive", so there the mail goes to the
    trash. A server without UIDPLUS could only delete them together with mails that another client has marked."""
    marked = uid_set(uids)
    is_movable = bool(trash) and trash != folder and "MOVE" in wire.abilities
    if is_movable and ("X-GM-EXT-1" in wire.abilities or "UIDPLUS" not in wire.abilities):
        wire.run(b"UID MOVE " + marked + b" " + folder_argument(trash), what="moving the canary into the trash")
        return
    wire.run(b"UID STORE " + marked + rb" +FLAGS.SILENT (\Deleted)", what="removing the canary")
    if "UIDPLUS" in wire.abilities:
        wire.run(b"UID EXPUNGE " + marked, what="removing the canary")
