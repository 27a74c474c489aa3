"""What one mail means, as the worker answers it; the daemon that takes the answer loads nothing that reads mails."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime

from mailbridge.core.bound import Bound
from mailbridge.core.dataclass import dataclass
from mailbridge.core.extraction import Extraction
from mailbridge.core.identification import Identification
from mailbridge.core.inbox import Inbox
from mailbridge.core.recipients import Recipient
from mailbridge.core.secret import Secret


class ReaderUnavailable(Exception):  # noqa: N818  (it is no mistake: nobody reads now)
    """Nobody can read a mail now: no worker starts, or the daemon stops. The mail is not to blame, and must come again."""

    def __init__(self) -> None:
        super().__init__("no parser worker is running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """One recipient of the envelope, and for whom the mail was through it.

    ``unstamped`` is the answer that believes no forwarder's stamp, where it is another one; ``is_held`` is the gate's to set.
    ``inbox`` is the throw-away inbox that it came to, if it came to one.
    """

    recipient: Recipient
    identification: Identification
    unstamped: Identification | None = None
    is_held: bool = False
    inbox: Inbox | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a person sees of a mail: the name of its author, the first address of its To header as typed, and its text."""

    sender_name: str = ""
    raw_to: str = ""
    text: Secret = field(default_factory=lambda: Secret(""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """What a mail means. ``body`` is its visible text, only where the configuration has bodies pushed.

    ``link_objection`` is why the link must not be pushed, "" where it may: it leads where its rule says, or to the author's own
    domain, and every reader reads it alike. ``is_certain``: read by any other description that its body fits, the mail holds the
    same. ``bound`` are the codes that it binds to a site itself; ``notice`` is why it is a platform's notice of what a user wrote, ""
    where it is none; ``ruled`` are the senders of the operator's rule that found its code; ``written_at`` is its Date. ``requester`` is the account that a forwarding confirmation asks for. ``timings`` are the seconds that parsing, extracting
    and resolving took. ``letter`` is there only where it was asked for.
    """

    extraction: Extraction
    addressed: tuple[Addressed, ...] = ()
    subject: str = field(default="", repr=False)
    sender: str = ""
    message_id: str = ""
    defects: tuple[str, ...] = ()
    body: Secret | None = None
    link_objection: str = ""
    is_certain: bool = True
    bound: tuple[Bound, ...] = ()
    notice: str = ""
    ruled: tuple[str, ...] = ()
    written_at: datetime | None = None
    requester: str | None = None
    letter: Letter | None = None
    timings: tuple[float, float, float] = (0.0, 0.0, 0.0)
