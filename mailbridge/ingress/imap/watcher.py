"""The thread of one mailbox: a session, a new one when it breaks, and in between a pause that depends on the fault."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from mailbridge import log_events
from mailbridge.ingress.imap.backoff import Backoff
from mailbridge.ingress.imap.bell import Bell, Stopped
from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.ingress.imap.heat import Heat, Heating
from mailbridge.ingress.imap.login import LoggedIn
from mailbridge.ingress.imap.mailbox import Mailbox, NotAccepted
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.modes import Event
from mailbridge.ingress.imap.presets import Account
from mailbridge.ingress.imap.session import Session, Watch
from mailbridge.ingress.imap.wire import Wire

__all__ = ["Stopped", "Watcher"]

log = logging.getLogger("mailbridge.imap")

STACK = 262_144
"""Octets of a thread's stack. With the system's 8 MiB, 500 mailboxes would map 4 GiB."""
NO_THREAD = "no thread is to be had for it: raise TasksMax= (systemd) or pids_limit (Docker), and restart"
NEW_TRY = 60.0
WAKE_AFTER = 1.0


class Watcher:
    """Watches one folder. `start`, `wake` and `stop` may be called from any thread.

    ``connect`` returns a logged-in connection, and blocks while too many others log in to that host. ``heating`` says whether
    somebody waits for a code that may come by this folder. ``is_consented`` says whether a withdrawn permission was given again.
    """

    def __init__(
        self,
        *,
        account: Account,
        folder: str,
        mailbox: Mailbox,
        status: MailboxStatus,
        connect: Callable[[Callable[[], bool]], tuple[Wire, LoggedIn]],
        heating: Heating,
        is_consented: Callable[[], bool],
        dice: Callable[[], float],
    ) -> None:
        self._mailbox = mailbox
        self.status = status
        self._connect = connect
        self._is_consented = is_consented
        self._backoff = Backoff(dice)
        self._bell = Bell()
        self._is_stopping = self._is_hurried = False
        self._watch_over = Watch(
            account=account,
            folder=folder,
            mailbox=mailbox,
            status=status,
            heating=heating,
            dice=dice,
            bell=self._bell,
            is_stopping=self._stopping,
        )
        self._heating = heating
        self._wire: Wire | None = None
        self._thread = threading.Thread(target=self._run, name=f"imap {status.mailbox}", daemon=True)

    def start(self) -> None:
        """Begin to watch. If no thread can be started, the mailbox is parked, and the others are watched."""
        before = threading.stack_size(STACK)
        try:
            self._thread.start()
        except RuntimeError:
            self.status.reason = NO_THREAD
            self.status.happened(Event.PERSON)
            log.error(
                "mailbox not watched: %s",
                NO_THREAD,
                extra={"event": log_events.MAILBOX_STATE, "mailbox": self.status.mailbox, "mode": self.status.mode},
            )
        finally:
            threading.stack_size(before)

    def wake(self) -> None:
        """Somebody waits for a code: look at once, and also connect at once if only the network was the problem."""
        if self._is_stopping or self._heating.of(self.status.mailbox) is not Heat.COLD:
            self._bell.ring()

    def retry_now(self) -> None:
        """A person may have fixed something: end the pause after a fault."""
        self._is_hurried = True
        self._bell.ring()

    def stop(self) -> None:
        """Tell the thread to end. Mails that it has fetched and the store does not have are fetched again at the next start."""
        self._is_stopping = True
        self.wake()

    def join(self, until: float) -> bool:
        """Wait for the thread until ``until`` (monotonic). After half of the time its connection is closed."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, (until - time.monotonic()) / 2))
            wire = self._wire
            if self._thread.is_alive() and wire is not None:
                wire.close()
            self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            return False
        self._bell.close()
        return True

    def _run(self) -> None:
        while not self._is_stopping:
            began, mails, was_watching = time.monotonic(), self.status.mails, False
            try:
                was_watching, fault = self._watch()
            except Stopped:
                break
            except Exception as surprise:  # the supervisor: whatever happens, the mailbox stays watched
                log.exception(
                    "mailbox watcher failed", extra={"event": log_events.MAILBOX_FAILED, "mailbox": self.status.mailbox}
                )
                fault = MailboxFault(Kind.SETTING, f"a fault of our own: {type(surprise).__name__}")
            if self._is_stopping:
                break
            if self.status.mails > mails:
                self._backoff.gave()
            if was_watching:
                self._backoff.lasted(timedelta(seconds=time.monotonic() - began))
            pause = self._backoff.after(fault, was_watching=was_watching).total_seconds()
            self._pause(fault, pause, can_be_woken=fault.kind is Kind.NETWORK and not was_watching)
        self._mailbox.save(is_whole=True)
        self.status.happened(Event.STOP)

    def _watch(self) -> tuple[bool, MailboxFault]:
        """Run one session after another without a gap, until one fails. Returns whether the folder had been opened, and why
        the session ended."""
        session: Session | None = None
        try:
            session = self._open()
            while True:
                self._watch_over.stay(session)
                session = self._replaced(session)
        except MailboxFault as fault:
            return session is not None, fault
        finally:
            if session is not None:
                session.wire.leave() if self._is_stopping else session.wire.close()
            self._wire = None

    def _open(self) -> Session:
        """Connect, log in, open the folder, and take what it contains."""
        if self._wire is None:
            self.status.happened(Event.CONNECT)
        with contextlib.suppress(NotAccepted):  # it is read again after the login
            self._mailbox.load()
        wire, logged_in = self._connect(self._stopping)
        self._wire = wire
        try:
            self._watch_over.enter(wire)
            return Session(wire=wire, replace_at=logged_in.replace_at, began=time.monotonic())
        except BaseException:
            wire.close()
            raise

    def _replaced(self, old: Session) -> Session:
        """A new session in place of one whose token is about to expire; the old one, to be tried again later, if no new one
        can be opened."""
        try:
            new = self._open()
        except MailboxFault as fault:
            log.warning(
                "session not renewed, the old one stays: %s",
                fault,
                extra={"event": log_events.MAILBOX_SESSION_KEPT, "mailbox": self.status.mailbox},
            )
            self._wire = old.wire
            old.replace_at = time.monotonic() + NEW_TRY
            return old
        old.wire.leave()
        return new

    def _pause(self, fault: MailboxFault, seconds: float, *, can_be_woken: bool) -> None:
        is_parked = fault.kind in (Kind.REFUSED, Kind.SETTING, Kind.CONSENT)
        before, self.status.reason = self.status.reason, str(fault)
        self.status.happened(Event.PERSON if is_parked else Event.FAULT)  # after its reason, for threads that read meanwhile
        if str(fault) != before:
            log.log(
                logging.ERROR if is_parked else logging.WARNING,
                "mailbox not watched: %s",
                fault,
                extra={
                    "event": log_events.MAILBOX_STATE,
                    "mailbox": self.status.mailbox,
                    "mode": self.status.mode,
                    "kind": str(fault.kind),
                },
            )
        self.status.reconnects += 1
        self._is_hurried = False
        began = time.monotonic()
        until = began + seconds
        while not self._is_stopping and not self._is_hurried and (left := until - time.monotonic()) > 0:
            if self._bell.wait(min(left, 5.0)) and can_be_woken:
                until = min(until, max(time.monotonic(), began + WAKE_AFTER))
            if fault.kind is Kind.CONSENT:
                until = time.monotonic() if self._is_consented() else time.monotonic() + 5.0

    def _stopping(self) -> bool:
        return self._is_stopping
