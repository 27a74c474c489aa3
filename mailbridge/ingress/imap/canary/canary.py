"""The canary of one account: a mail to itself that is sent, recognised by the watcher, found, and removed.

The watcher asks `run_of` about each mail before the intake gets it. Our own canaries are not stored and not pushed. Only a
recently sent token counts. Anybody who writes the header into another mail has written an ordinary mail.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import UTC, datetime

from imapclient.exceptions import IMAPClientError

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.canary import locations as places
from mailbridge.ingress.imap.canary.locations import MailLocation
from mailbridge.ingress.imap.canary.submission import Handed, Hold
from mailbridge.ingress.imap.canary.tokens import CanaryTokens, canary_mail, token_of
from mailbridge.ingress.imap.faults import MailboxFault, refusal, words_of
from mailbridge.ingress.imap.folders import Folder, folders_of
from mailbridge.ingress.imap.login import LoggedIn
from mailbridge.ingress.imap.presets import Account
from mailbridge.ingress.imap.stream import Stream
from mailbridge.ingress.imap.wire import Wire

log = logging.getLogger("mailbridge.imap")

KNOWN = 32
"""This many of the last canaries are recognised, however late they come."""
LABELS = 600.0
"""Seconds after its arrival in which a canary may also appear in another watched folder (a label in Gmail)."""

Connect = Callable[[Callable[[], bool]], tuple[Wire, LoggedIn]]
Submit = Callable[[bytes, Hold], Handed]


@dataclass(slots=True, eq=False)
class CanaryRun:
    """One canary. ``handed`` None: not sent (yet). ``seen_at``: monotonic seconds, None until a watcher has seen it."""

    token: str = field(repr=False)
    handed: Handed | None = None
    seen_at: float | None = None
    locations: list[MailLocation] = field(default_factory=list)

    @property
    def latency(self) -> float | None:
        """Seconds from the moment at which the server was ready for the mail until the watcher saw it. None if one of them is
        unknown."""
        if self.handed is None or self.seen_at is None:
            return None
        return max(0.0, self.seen_at - self.handed.ready)


class Canary:
    """Sends, recognises, finds and removes canaries. Watchers call `run_of` and `saw`; one thread of its own calls the rest;
    any thread may call `stop`. ``submit`` None: the mail is put into the first watched folder instead of being sent."""

    def __init__(self, *, account: Account, canary_tokens: CanaryTokens, connect: Connect, submit: Submit | None) -> None:
        self.account = account
        self._canary_tokens = canary_tokens
        self._connect = connect
        self._submit = submit
        self._runs: deque[CanaryRun] = deque(maxlen=KNOWN)
        self._news: deque[CanaryRun] = deque()
        self._bell = threading.Condition()
        self._hang_up: Callable[[], None] | None = None
        self.is_stopping = False

    @property
    def by(self) -> str:
        """How it is sent, in words."""
        server = self.account.submission
        return f"{server.host} port {server.port}" if self._submit is not None and server is not None else "APPEND"

    # the watcher's side

    def run_of(self, content: bytes) -> CanaryRun | None:
        """The canary that a mail is. None for an ordinary mail, whatever it claims."""
        claimed = token_of(content)
        if claimed is None:
            return None
        found = None
        for run in tuple(self._runs):
            if hmac.compare_digest(run.token, claimed):
                found = run
        if found is not None and found.seen_at is not None and time.monotonic() - found.seen_at > LABELS:
            return None
        return found

    def saw(self, run: CanaryRun, location: MailLocation) -> None:
        """Note that a watcher has seen it."""
        with self._bell:
            run.seen_at = time.monotonic() if run.seen_at is None else run.seen_at
            if location not in run.locations:
                run.locations.append(location)
                self._news.append(run)
            self._bell.notify_all()

    # the sender's side

    def send(self) -> CanaryRun:
        """Send a new canary. It is recognised even if the server's positive answer was lost.

        Raises:
            MailboxFault: the server did not accept it.
        """
        run = CanaryRun(token=self._canary_tokens.token())
        self._runs.append(run)
        mail = canary_mail(run.token, address=self.account.mailbox, at=datetime.now(UTC))
        run.handed = self._submit(mail, self._hold) if self._submit is not None else self._appended(mail)
        return run

    def wait(self, run: CanaryRun, until: float) -> bool:
        """Wait for a watcher to see it, until ``until`` (monotonic). Returns whether one has."""
        with self._bell:
            self._bell.wait_for(lambda: run.seen_at is not None or self.is_stopping, max(0.0, until - time.monotonic()))
            return run.seen_at is not None and run.seen_at <= until

    def news(self, seconds: float) -> CanaryRun | None:
        """The next seen canary that was not returned before, within ``seconds``. None: there was none, or `wake` or `stop` was
        called."""
        with self._bell:
            if not self._news and not self.is_stopping:
                self._bell.wait(max(0.0, seconds))
            return self._news.popleft() if self._news else None

    def wake(self) -> None:
        """Wake the waiting thread."""
        with self._bell:
            self._bell.notify_all()

    def find(self, run: CanaryRun) -> MailLocation | None:
        """Where in the account it is; None: nowhere.

        Raises:
            MailboxFault: it cannot be found out.
        """
        with self._second_connection() as wire:
            location = places.find(wire, run.token, _listed(wire), self.account.folders)
        if location is not None and location not in run.locations:
            run.locations.append(location)
        return location

    def clear(self, run: CanaryRun) -> bool:
        """Remove it, its copy among the sent mails, and what earlier daemons have left. A failure is a warning. Returns
        whether it succeeded."""
        locations = tuple(run.locations)
        try:
            with self._second_connection() as wire:
                folders = _listed(wire)
                places.remove(wire, locations, folders)
                places.tidy(wire, [one.name for one in folders if one.use in ("sent", "trash")], self._canary_tokens.is_genuine)
                places.tidy(wire, self.account.folders, self._is_done)
        except MailboxFault as fault:
            if not self.is_stopping:
                log.warning(
                    "canary not removed: %s", fault, extra={"event": log_events.CANARY_NOT_REMOVED, "mailbox": self.account.name}
                )
            return False
        with self._bell:
            run.locations = [location for location in run.locations if location not in locations]
        return True

    def stop(self) -> None:
        """End everything that is in progress."""
        with self._bell:
            self.is_stopping = True
            self._bell.notify_all()
        hang_up = self._hang_up
        if hang_up is not None:
            hang_up()

    def _is_done(self, token: str) -> bool:
        """Whether a canary is ours, and no watcher needs to see it any more."""
        return self._canary_tokens.is_genuine(token) and all(one.token != token or one.seen_at is not None for one in self._runs)

    def _appended(self, mail: bytes) -> Handed:
        with self._second_connection() as wire:
            ready = time.monotonic()
            try:
                wire.append(self.account.folders[0], mail)
            except (IMAPClientError, Stream.error) as fault:
                raise refusal("APPEND", words_of(fault)) from None
            return Handed(ready=ready, taken=time.monotonic())

    def _hold(self, hang_up: Callable[[], None]) -> None:
        self._hang_up = hang_up
        if self.is_stopping:
            hang_up()

    @contextmanager
    def _second_connection(self) -> Iterator[Wire]:
        wire, _ = self._connect(lambda: self.is_stopping)
        self._hold(wire.close)
        try:
            yield wire
            wire.leave()
        finally:
            self._hang_up = None
            wire.close()


def _listed(wire: Wire) -> tuple[Folder, ...]:
    """The folders. If the server does not list them, the watched ones are used."""
    try:
        return folders_of(wire)
    except MailboxFault as fault:
        log.info("folders not listed: %s", fault, extra={"event": log_events.CANARY_FOLDER_SKIPPED})
        return ()
