"""The canary of one account: a mail to oneself that is sent, known again by the watcher, looked for, and removed.

The watcher asks `flight_of` about each mail before it goes to the door: what is ours is stored nowhere and pushed nowhere. Only
a token that was sent a moment ago counts; whoever writes the header into a mail of his own has written an ordinary mail.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from imapclient.exceptions import IMAPClientError

from mailbridge import log_events
from mailbridge.ingress.imap import whereabouts
from mailbridge.ingress.imap.canary_mail import Mint, canary_mail, token_of
from mailbridge.ingress.imap.faults import MailboxFault, refusal, words_of
from mailbridge.ingress.imap.login import LoggedIn
from mailbridge.ingress.imap.presets import Account
from mailbridge.ingress.imap.stream import Stream
from mailbridge.ingress.imap.submission import Handed, Hold
from mailbridge.ingress.imap.whereabouts import Folder, Spot
from mailbridge.ingress.imap.wire import Wire

log = logging.getLogger("mailbridge.imap")

KNOWN = 32
"""So many of the last canaries are known again, however late they come."""
LABELS = 600.0
"""Seconds after its arrival in which a canary may turn up in another watched folder too (a label of Gmail's)."""

Connect = Callable[[Callable[[], bool]], tuple[Wire, LoggedIn]]
Submit = Callable[[bytes, Hold], Handed]


@dataclass(slots=True, eq=False)
class Flight:
    """One canary. ``handed`` None: not sent (yet); ``seen_at``: monotonic seconds, None while no watcher has seen it."""

    token: str = field(repr=False)
    handed: Handed | None = None
    seen_at: float | None = None
    spots: list[Spot] = field(default_factory=list)

    @property
    def latency(self) -> float | None:
        """Seconds from the server's readiness for the mail to the watcher's sight of it."""
        if self.handed is None or self.seen_at is None:
            return None
        return max(0.0, self.seen_at - self.handed.ready)


class Canary:
    """Sends, recognises, finds and removes. `flight_of` and `saw` are called by watchers, the rest by one thread of its own,
    `stop` by any. ``submit`` None: the mail is put into the first watched folder instead of being sent."""

    def __init__(self, *, account: Account, mint: Mint, connect: Connect, submit: Submit | None) -> None:
        self.account = account
        self._mint = mint
        self._connect = connect
        self._submit = submit
        self._flights: deque[Flight] = deque(maxlen=KNOWN)
        self._news: deque[Flight] = deque()
        self._bell = threading.Condition()
        self._hang_up: Callable[[], None] | None = None
        self.is_stopping = False

    @property
    def by(self) -> str:
        """How it is sent, in words."""
        server = self.account.submission
        return f"{server.host} port {server.port}" if self._submit is not None and server is not None else "APPEND"

    # the watcher's side

    def flight_of(self, content: bytes) -> Flight | None:
        """The canary that a mail is; None for an ordinary mail, whatever it claims."""
        claimed = token_of(content)
        if claimed is None:
            return None
        found = None
        for flight in tuple(self._flights):
            if hmac.compare_digest(flight.token, claimed):
                found = flight
        if found is not None and found.seen_at is not None and time.monotonic() - found.seen_at > LABELS:
            return None
        return found

    def saw(self, flight: Flight, spot: Spot) -> None:
        """A watcher has it before its eyes."""
        with self._bell:
            flight.seen_at = time.monotonic() if flight.seen_at is None else flight.seen_at
            if spot not in flight.spots:
                flight.spots.append(spot)
                self._news.append(flight)
            self._bell.notify_all()

    # the keeper's side

    def send(self) -> Flight:
        """A new canary, on its way. It is known again even where the server's yes to it was lost.

        Raises:
            MailboxFault: it was not taken.
        """
        flight = Flight(token=self._mint.token())
        self._flights.append(flight)
        mail = canary_mail(flight.token, address=self.account.mailbox, at=datetime.now(UTC))
        flight.handed = self._submit(mail, self._hold) if self._submit is not None else self._appended(mail)
        return flight

    def wait(self, flight: Flight, until: float) -> bool:
        """Wait for a watcher to see it, up to ``until`` (monotonic); whether one has."""
        with self._bell:
            self._bell.wait_for(lambda: flight.seen_at is not None or self.is_stopping, max(0.0, until - time.monotonic()))
            return flight.seen_at is not None and flight.seen_at <= until

    def news(self, seconds: float) -> Flight | None:
        """The next canary that was seen and not asked for yet, within ``seconds``; None: none, or `wake` or `stop` was called."""
        with self._bell:
            if not self._news and not self.is_stopping:
                self._bell.wait(max(0.0, seconds))
            return self._news.popleft() if self._news else None

    def wake(self) -> None:
        """Let whoever waits look up."""
        with self._bell:
            self._bell.notify_all()

    def find(self, flight: Flight) -> Spot | None:
        """Where in the account it lies; None: nowhere.

        Raises:
            MailboxFault: nobody can tell.
        """
        with self._second_connection() as wire:
            spot = whereabouts.find(wire, flight.token, _listed(wire), self.account.folders)
        if spot is not None and spot not in flight.spots:
            flight.spots.append(spot)
        return spot

    def clear(self, flight: Flight) -> bool:
        """Remove it, its copy among the sent mails, and what earlier lives have left; a failure is a warning. Whether it went well."""
        spots = tuple(flight.spots)
        try:
            with self._second_connection() as wire:
                folders = _listed(wire)
                whereabouts.remove(wire, spots, folders)
                whereabouts.tidy(wire, [one.name for one in folders if one.use in ("sent", "trash")], self._mint.is_genuine)
                whereabouts.tidy(wire, self.account.folders, self._is_done)
        except MailboxFault as fault:
            if not self.is_stopping:
                log.warning(
                    "canary not removed: %s", fault, extra={"event": log_events.CANARY_NOT_REMOVED, "mailbox": self.account.name}
                )
            return False
        with self._bell:
            flight.spots = [spot for spot in flight.spots if spot not in spots]
        return True

    def stop(self) -> None:
        """End whatever is going on."""
        with self._bell:
            self.is_stopping = True
            self._bell.notify_all()
        hang_up = self._hang_up
        if hang_up is not None:
            hang_up()

    def _is_done(self, token: str) -> bool:
        """Whether a canary is ours, and no watcher has to see it any more."""
        return self._mint.is_genuine(token) and all(one.token != token or one.seen_at is not None for one in self._flights)

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
    """The folders; where a server does not list them, those that are watched have to do."""
    try:
        return whereabouts.folders_of(wire)
    except MailboxFault as fault:
        log.info("folders not listed: %s", fault, extra={"event": log_events.CANARY_FOLDER_SKIPPED})
        return ()
