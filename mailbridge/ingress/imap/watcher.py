"""The thread of one mailbox: connect, catch up, wait in IDLE, look again at every renewal, and start over whatever happens.

The renewal is poll and liveness probe in one: whatever a server forgets to push is found by it, and a connection that died
silently does not answer it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from mailbridge.ingress.imap import effects
from mailbridge.ingress.imap.backoff import Backoff
from mailbridge.ingress.imap.faults import IdleRefused, Kind, MailboxFault
from mailbridge.ingress.imap.login import LoggedIn
from mailbridge.ingress.imap.mailbox import Held, Mailbox
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.presets import Account
from mailbridge.ingress.imap.wire import Wire

log = logging.getLogger("mailbridge.imap")

STACK = 262_144
"""Octets of a thread's stack: with the system's 8 MiB, 500 mailboxes would map 4 GiB."""
NO_THREAD = "no thread is to be had for it: raise TasksMax= (systemd) or pids_limit (Docker), and restart"
POLL = 5.0
"""Seconds between two looks where the server does not push."""
LAGS = (0.1, 0.5, 2.0)
"""Seconds after which a mail that was announced and is not there yet is looked for again (a replica lags behind)."""
DEAF = 2
"""So often a renewal may find what IDLE did not tell; then the server is polled."""
HOT = ((30.0, 0.05), (120.0, 0.1), (float("inf"), 0.25))
"""While somebody waits: up to so many seconds, a look every so many."""
HELD = (0.5, 30.0)
ANEW = 10
"""Every so many renewals the folder is opened anew: a rebuilt mailbox shows its new UIDVALIDITY to nobody before that."""
IDLE_AGAIN = 1800.0
"""Seconds after which a server that seemed deaf is given another chance."""
NEW_TRY = 60.0
WAKE_AFTER = 1.0


@dataclass(slots=True)
class Session:
    """A connection that has come as far as its folder. ``replace_at``: monotonic seconds, None for never."""

    wire: Wire
    replace_at: float | None
    began: float


class Stopped(Exception):  # noqa: N818  (a way out)
    """The watcher was told to stop."""


class Watcher:
    """Watches one folder. `start`, `wake` and `stop` may be called from any thread.

    ``connect`` gives a connection that is logged in, and blocks while too many others log in to that host;
    ``hot`` says whether somebody waits for a code now; ``is_consented`` whether a withdrawn permission was given anew.
    """

    def __init__(
        self,
        *,
        account: Account,
        folder: str,
        mailbox: Mailbox,
        status: MailboxStatus,
        connect: Callable[[Callable[[], bool]], tuple[Wire, LoggedIn]],
        hot: Callable[[], bool],
        is_consented: Callable[[], bool],
        dice: Callable[[], float],
    ) -> None:
        self._account = account
        self._folder = folder
        self._mailbox = mailbox
        self.status = status
        self._connect = connect
        self._hot = hot
        self._is_consented = is_consented
        self._dice = dice
        self._backoff = Backoff(dice)
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        self._is_stopping = self._is_closed = False
        self._is_idle_useless = False
        self._idle_again_at = float("inf")
        self._wire: Wire | None = None
        self._thread = threading.Thread(target=self._run, name=f"imap {status.mailbox}", daemon=True)

    def start(self) -> None:
        """Begin to watch. Where no thread is to be had, the mailbox is parked, and the others are watched."""
        before = threading.stack_size(STACK)
        try:
            self._thread.start()
        except RuntimeError:
            self.status.mode, self.status.reason = "parked", NO_THREAD
            log.error("mailbox not watched: %s", NO_THREAD, extra={"mailbox": self.status.mailbox})
        finally:
            threading.stack_size(before)

    def wake(self) -> None:
        """Somebody waits for a code: look at once, and connect at once where only the network was in the way."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._ring, b"w")

    def stop(self) -> None:
        """Tell the thread to end. Whatever it has fetched and the store does not have is fetched again at the next start."""
        self._is_stopping = True
        self.wake()

    def join(self, until: float) -> bool:
        """Wait for the thread up to ``until`` (monotonic), hanging up on it when half of the time is over."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, (until - time.monotonic()) / 2))
            wire = self._wire
            if self._thread.is_alive() and wire is not None:
                wire.close()
            self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            return False
        if self._is_closed:
            return True
        self._is_closed = True
        os.close(self._bell)
        os.close(self._ring)
        return True

    def _run(self) -> None:
        while not self._is_stopping:
            began, was_watching = time.monotonic(), False
            try:
                was_watching, fault = self._watch()
            except Stopped:
                break
            except Exception as surprise:  # the supervisor: whatever it is, the mailbox stays watched
                log.exception("mailbox watcher failed", extra={"mailbox": self.status.mailbox})
                fault = MailboxFault(Kind.SETTING, f"a fault of our own: {type(surprise).__name__}")
            if self._is_stopping:
                break
            if was_watching:
                self._backoff.lasted(timedelta(seconds=time.monotonic() - began))
            pause = self._backoff.after(fault, was_watching=was_watching).total_seconds()
            self._pause(fault, pause, can_be_woken=fault.kind is Kind.NETWORK and not was_watching)
        self.status.mode = "stopped"

    def _watch(self) -> tuple[bool, MailboxFault]:
        """One session after another without a gap, until one fails: whether it had come to its folder, and why it ended."""
        session: Session | None = None
        try:
            session = self._open()
            while True:
                self._stay(session)
                session = self._replaced(session)
        except MailboxFault as fault:
            return session is not None, fault
        finally:
            if session is not None:
                session.wire.leave() if self._is_stopping else session.wire.close()
            self._wire = None

    def _open(self) -> Session:
        """Connect, log in, open the folder, and take what it holds."""
        self.status.mode = "connecting"
        wire, logged_in = self._connect(self._stopping)
        self._wire = wire
        try:
            wire.open_folder(self._folder, is_read_only=self._account.after == "nothing")
            self.status.round_trip()
            self._holding(lambda: self._mailbox.meet(wire), wire)
            self._after_effects(wire)
            wire.ask_for_pushes()
            return Session(wire=wire, replace_at=logged_in.replace_at, began=time.monotonic())
        except BaseException:
            wire.close()
            raise

    def _replaced(self, old: Session) -> Session:
        """A new session in place of one whose token is about to end; the old one until the new one is there."""
        try:
            new = self._open()
        except MailboxFault as fault:
            log.warning("session not renewed, the old one stays: %s", fault, extra={"mailbox": self.status.mailbox})
            self._wire = old.wire
            old.replace_at = time.monotonic() + NEW_TRY
            return old
        old.wire.leave()
        return new

    def _stay(self, session: Session) -> None:
        """Watch through one session; returns when it is time to replace it."""
        wire = session.wire
        self._is_idle_useless = "IDLE" not in wire.abilities
        self._idle_again_at = float("inf")
        self._look(wire)
        self._well(session)
        renewals = 0
        while session.replace_at is None or time.monotonic() < session.replace_at:
            if self._stopping():
                raise Stopped
            if self._hot():
                self._stay_hot(session)
                self._look(wire)
            if self._is_idle_useless and time.monotonic() >= self._idle_again_at:
                self._is_idle_useless, self._idle_again_at = False, float("inf")
                self._look(wire)
            renewals += 1
            if wire.is_idling and renewals % ANEW == 0:
                self._look_anew(wire)
                self._look(wire)
            seconds = self._interval(session)
            if wire.is_idling or seconds <= 0:
                self._idle(wire, seconds)
            else:
                self._poll(wire, seconds)
            self._heed(wire)
            self.status.round_trip()

    def _interval(self, session: Session) -> float:
        seconds = self._account.renew.total_seconds() + (self._dice() - 0.5) * min(10.0, self._account.renew.total_seconds() / 5)
        left = float("inf") if session.replace_at is None else session.replace_at - time.monotonic()
        return max(0.0, min(seconds if session.wire.is_idling else POLL, left))

    def _idle(self, wire: Wire, seconds: float) -> None:
        """Wait in IDLE, and look when something is told or the renewal is due."""
        until = time.monotonic() + seconds
        while True:
            told = wire.wait(until - time.monotonic(), self._bell)
            self._hush()
            if told != "woken":
                break
            if self._hot() or self._stopping():
                return
        found = self._take_pushed(wire) or self._look(wire)
        if told == "quiet" and found and self._mailbox.was_late:
            self.status.deaf += 1
            if self.status.deaf >= DEAF:
                log.warning("IDLE tells nothing here: polling", extra={"mailbox": self.status.mailbox})
                self._is_idle_useless, self._idle_again_at = True, time.monotonic() + IDLE_AGAIN
        elif told == "news" and found:
            self.status.deaf = 0
        elif told == "news":
            self._look_again(wire)

    def _take_pushed(self, wire: Wire) -> int:
        """Mails that came whole with their announcement, taken without a further round trip; then back in IDLE."""
        if not wire.pushed:
            return 0
        try:
            taken = self._mailbox.take_pushed(wire) or 0
        except Held:
            wire.has_news = True
            return 0
        self._after_effects(wire)
        if not wire.is_idling and taken:
            wire.start_idle()
        return taken

    def _look_again(self, wire: Wire) -> None:
        """A mail was announced and is not there: it lags behind, or another client was quicker."""
        for lag in LAGS:
            if wire.wait(lag, self._bell) == "woken":
                self._hush()
            if self._stopping():
                raise Stopped
            if self._look(wire):
                return

    def _poll(self, wire: Wire, seconds: float) -> None:
        """Open the folder anew: there are servers that tell nothing new until then."""
        wire.wait(seconds, self._bell)
        self._hush()
        self._look_anew(wire)

    def _look_anew(self, wire: Wire) -> None:
        wire.open_folder(self._folder, is_read_only=self._account.after == "nothing")
        self._holding(lambda: self._mailbox.meet(wire), wire)
        self._after_effects(wire)
        self.status.round_trip()

    def _stay_hot(self, session: Session) -> None:
        """Somebody waits: do not wait for the server to push."""
        wire, began = session.wire, time.monotonic()
        self.status.mode = "hot"
        while self._hot() and (session.replace_at is None or time.monotonic() < session.replace_at):
            if self._stopping():
                raise Stopped
            pause = self._account.hot_poll
            if self._is_idle_useless:
                self._look_anew(wire)
                seconds = 1.0 if pause is None else pause.total_seconds()
            elif pause is not None:
                self._look(wire)
                seconds = pause.total_seconds()
            else:
                wire.noop()
                self.status.round_trip()
                if wire.has_news:
                    self._look(wire, is_staying=False)
                seconds = next(every for limit, every in HOT if time.monotonic() - began < limit)
            if wire.wait(seconds, self._bell) == "woken":
                self._hush()

    def _look(self, wire: Wire, *, is_staying: bool = True) -> int:
        """Fetch and take what is new, as often as more is announced meanwhile; how many mails that were."""
        found = 0
        for _ in range(20):
            with_idle = is_staying and not self._is_idle_useless
            found += self._holding(lambda with_idle=with_idle: self._round(wire, with_idle=with_idle), wire) or 0  # type: ignore[misc]
            self.status.round_trip()
            if self._mailbox.done:
                self._after_effects(wire)
                if with_idle and not self._is_idle_useless:
                    wire.start_idle()
            if not wire.has_news:
                break
        self.status.mode = ("notify" if wire.is_notifying else "idle") if wire.is_idling else "poll"
        return found

    def _round(self, wire: Wire, *, with_idle: bool) -> int:
        try:
            return self._mailbox.round(wire, with_idle=with_idle)
        except IdleRefused as refused:
            log.info("IDLE is refused here: polling", extra={"mailbox": self.status.mailbox})
            self._is_idle_useless = True
            return self._mailbox.take_fetched(wire, refused.args[0])

    def _holding(self, look: Callable[[], int | None], wire: Wire) -> int | None:
        """Do it, again and again while the store does not take mail; the connection is kept."""
        pause, ceiling = HELD
        before = self.status.mode
        while True:
            try:
                found = look()
            except Held as held:
                self.status.mode, self.status.reason = "held", f"the store does not take mail: {held}"
                log.warning("mail put off: the store is %s", held, extra={"mailbox": self.status.mailbox})
            else:
                if self.status.mode == "held":  # until now: an attempt that fails again is no recovery in between
                    self.status.mode, self.status.reason = before, ""
                return found
            wire.wait(pause * (0.5 + self._dice() / 2), self._bell)
            self._hush()
            if self._stopping():
                raise Stopped
            wire.noop()
            pause = min(pause * 2, ceiling)

    def _after_effects(self, wire: Wire) -> None:
        if self._mailbox.done:
            effects.apply(wire, self._account.after, self._mailbox.done, mailbox=self.status.mailbox)
            self._mailbox.actions_done(wire.validity)

    def _well(self, session: Session) -> None:
        again = " again" if self.status.reason else ""
        log.info("mailbox is watched%s", again, extra={"mailbox": self.status.mailbox, "mode": self.status.mode})
        self.status.reason = ""
        self._heed(session.wire)

    def _heed(self, wire: Wire) -> None:
        """Show what the server wants a person to read, and log it once."""
        text = wire.alert and f"the server says: {wire.alert}"
        if text and text != self.status.reason:
            self.status.reason = text
            log.warning("mailbox is watched, but %s", text, extra={"mailbox": self.status.mailbox})

    def _pause(self, fault: MailboxFault, seconds: float, *, can_be_woken: bool) -> None:
        is_parked = fault.kind in (Kind.REFUSED, Kind.SETTING, Kind.CONSENT)
        before, self.status.reason = self.status.reason, str(fault)
        self.status.mode = "parked" if is_parked else "waiting"  # after its reason, for those who read meanwhile
        if str(fault) != before:
            log.log(
                logging.ERROR if is_parked else logging.WARNING,
                "mailbox not watched: %s",
                fault,
                extra={"mailbox": self.status.mailbox, "kind": str(fault.kind)},
            )
        self.status.reconnects += 1
        began = time.monotonic()
        until = began + seconds
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        while not self._is_stopping and (left := until - time.monotonic()) > 0:
            if poll.poll(min(left, 5.0) * 1000):
                self._hush()
                if can_be_woken:
                    until = min(until, max(time.monotonic(), began + WAKE_AFTER))
            if fault.kind is Kind.CONSENT:
                until = time.monotonic() if self._is_consented() else time.monotonic() + 5.0

    def _stopping(self) -> bool:
        return self._is_stopping

    def _hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._bell, 4096):
                pass
