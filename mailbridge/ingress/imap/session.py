"""One session of a watched folder: catch up, wait in IDLE, look again at every renewal, and poll if the server does not announce
mail.

A renewal is both a poll and a liveness check: it finds whatever a server forgot to announce, and a connection that died silently
does not answer it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap import effects
from mailbridge.ingress.imap.bell import Bell, Stopped
from mailbridge.ingress.imap.faults import IdleRefused, Refusal
from mailbridge.ingress.imap.folders import named
from mailbridge.ingress.imap.hearing import Hearing
from mailbridge.ingress.imap.heat import Heat, Heating
from mailbridge.ingress.imap.mailbox import Mailbox, NotAccepted
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.modes import BACK, Event, Mode
from mailbridge.ingress.imap.pace import SETTLED, SOON, Openings, asked_every, hot_every
from mailbridge.ingress.imap.presets import Account, forgets_uids, is_dovecot
from mailbridge.ingress.imap.wire import Wire

log = logging.getLogger("mailbridge.imap")

T = TypeVar("T")

LAGS = (0.1, 0.5, 2.0)
"""Seconds after which an announced mail that is not there yet is looked for again (a replica may lag behind)."""
NOT_ACCEPTED = (0.5, 30.0)
ANEW, ANEW_BLIND = 10, 2
"""After this many renewals the folder is opened again. Only then does a rebuilt mailbox show its new UIDVALIDITY, and some
servers show new mail. If STATUS is not answered, only the opening can show it, so it is done more often."""
DEAF = "the server does not tell of new mail here: the folder is opened again every 5 s"
LATE = "the server tells of new mail many seconds late: the folder is opened again every 5 s"
INOTIFY = (
    "; a Dovecot does so where its system user has used up the kernel's inotify instances:"
    " raise fs.inotify.max_user_instances on the server (docs/imap.md)"
)
MUTE = "the server does not answer IDLE: the folder is opened anew every 5 s, and IDLE tried again after {hours:g} h"
SINGLE = "the server does not take several commands at once: it gets one at a time"


@dataclass(slots=True)
class Session:
    """A connection that has opened its folder. ``replace_at``: monotonic seconds, None for never."""

    wire: Wire
    replace_at: float | None
    began: float

    @property
    def is_over(self) -> bool:
        """Whether it is time to replace it."""
        return self.replace_at is not None and time.monotonic() >= self.replace_at


class Watch:
    """Watches one folder through one session after another. Belongs to one thread."""

    def __init__(
        self,
        *,
        account: Account,
        folder: str,
        mailbox: Mailbox,
        status: MailboxStatus,
        heating: Heating,
        dice: Callable[[], float],
        bell: Bell,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._account = account
        self._folder = folder
        self._mailbox = mailbox
        self._status = status
        self._heating = heating
        self._dice = dice
        self._bell = bell
        self._is_stopping = is_stopping
        self._hearing = Hearing(mailbox.memory)
        self._openings = Openings()
        self._uid_next = 0
        self._renewals = 0
        self._name = folder
        self._was_mute = False

    def enter(self, wire: Wire) -> None:
        """Open the folder, and take what it contains.

        Raises:
            MailboxFault: the server or the connection failed.
            Stopped: the watcher was told to stop.
        """
        self._name = named(wire, self._folder)
        self._meet(wire)

    def stay(self, session: Session) -> None:
        """Watch through one session. Returns when it is time to replace it.

        Raises:
            MailboxFault, Stopped: as `enter`.
        """
        wire = session.wire
        self._was_mute = wire.habits.mute.is_given_up
        self._hearing.begin(is_offered="IDLE" in wire.abilities and not self._was_mute)
        self._look(wire)
        self._well(wire)
        while not session.is_over:
            if self._is_stopping():
                raise Stopped
            if self._heat() is not Heat.COLD:
                self._stay_hot(session)
                self._look(wire)
            if self._hearing.is_trial_to_change():
                self._look(wire)
            if self._is_idle_offered_again(wire):
                self._look(wire)
                self._show_habits(wire)
            seconds = self._interval(session)
            if not wire.is_idling and seconds > 0:
                self._poll(wire, seconds)
            else:
                self._idle(wire, seconds)
            self._report_alert(wire)
            self._status.round_trip()

    def _is_idle_offered_again(self, wire: Wire) -> bool:
        """Whether to try IDLE again after it was given up on this connection: after a long time, or because another folder's
        IDLE was answered."""
        if not self._was_mute:
            return self._hearing.is_offered_again()
        if "IDLE" not in wire.abilities or (wire.habits.mute.is_given_up and not wire.habits.mute.is_due()):
            return False
        self._was_mute = False
        self._hearing.begin(is_offered=True)
        return True

    def _meet(self, wire: Wire) -> None:
        """Open the folder, and take what is new in it."""
        if forgets_uids(wire.welcome):
            wire.habits.needs_select = True
        has_examine = not (wire.habits.needs_select or wire.habits.refuses_examine)
        is_read_only = self._account.after == "nothing" and has_examine
        began = time.monotonic()
        wire.open_folder(self._name, is_read_only=is_read_only)
        self._openings.took(time.monotonic() - began, wire.exists)
        self._hearing.slack = self._openings.slack
        self._status.round_trip()

        def meeting() -> None:
            self._mailbox.load()
            self._mailbox.meet(wire)

        self._holding(meeting, wire)
        self._uid_next = max(wire.uid_next, self._mailbox.uid + 1)
        self._after_effects(wire)
        self._status.round_trip()

    def _interval(self, session: Session) -> float:
        """Seconds to wait in IDLE, or until the next poll. Never longer than ``renew``, on which the health is based."""
        renew = self._account.renew.total_seconds()
        seconds = renew - self._dice() * min(10.0, renew / 5)
        if self._hearing.is_on_trial or not session.wire.is_idling:
            seconds = self._openings.poll
        elif session.wire.can_push:
            seconds = min(seconds, SETTLED)
        left = float("inf") if session.replace_at is None else session.replace_at - time.monotonic()
        return max(0.0, min(seconds, left))

    def _idle(self, wire: Wire, seconds: float) -> None:
        """Wait in IDLE, and look when something is announced or the renewal is due."""
        began = time.monotonic()
        until = began + seconds
        while True:
            soonest = time.monotonic() + max(self._mailbox.revisit_in(), SOON)
            told = wire.wait(min(until, soonest) - time.monotonic(), self._bell.descriptor)
            self._bell.drain()
            if told == "quiet" and soonest < until:
                self._look(wire)
                continue
            if told != "woken":
                break
            if self._heat() is not Heat.COLD or self._is_stopping():
                return
        if told == "ended":
            self._hearing.ended(time.monotonic() - began)
            self._look(wire)
            return
        unseen, began = self._mailbox.unseen, time.monotonic()
        if told == "quiet" and wire.can_push and not self._hearing.is_on_trial:
            wire.ask_for_pushes()
            self._look(wire)
            return
        found = self._take_pushed(wire) or self._look(wire)
        age = self._mailbox.age - (time.monotonic() - began)  # the time to fetch and store it does not make a server late
        if told == "quiet":
            self._renewed(wire, found, age)
        elif found:
            is_late = self._hearing.told(age=age, meanwhile=unseen)
            self._status.deaf = self._status.deaf + 1 if is_late else 0
            self._show_habits(wire)
            if is_late:
                self._look(wire)
        else:
            self._look_again(wire)

    def _renewed(self, wire: Wire, found: int, age: float) -> None:
        """IDLE has announced nothing: check whether there was something to announce. ``age``: seconds for which the newest
        mail had been there."""
        is_late = self._hearing.is_overdue(age)
        is_blind = False
        self._renewals += 1
        if not found and (self._hearing.is_on_trial or self._is_to_be_opened_anew(wire)):
            before, began = self._mailbox.uid, time.monotonic()
            self._meet(wire)
            is_blind = self._mailbox.uid > before
            is_late = self._hearing.is_overdue(self._mailbox.age - (time.monotonic() - began))
        if (found or is_blind) and (is_late or self._hearing.is_on_trial):
            self._status.deaf += 1
            self._hearing.missed(is_blind=is_blind)
            self._show_habits(wire)
        self._mailbox.save(is_whole=True)
        self._look(wire)

    def _is_to_be_opened_anew(self, wire: Wire) -> bool:
        """Whether STATUS shows mail that a session with the folder open does not show, or the folder has been open for long."""
        if self._renewals % (ANEW_BLIND if wire.habits.refuses_status else ANEW) == 0:
            return True
        if wire.habits.refuses_status:
            return False
        try:
            status = wire.status(self._name)
        except Refusal:
            wire.habits.refuses_status = True
            return False
        if status.uid_next is None:
            return status.messages is not None and status.messages > wire.exists
        before, self._uid_next = self._uid_next, max(self._uid_next, status.uid_next)
        return status.uid_next > max(before, self._mailbox.uid + 1)

    def _show_habits(self, wire: Wire) -> None:
        """Show what is unusual about the server in the health."""
        habits = wire.habits
        text = LATE if self._hearing.is_only_late else DEAF
        self._status.note("idle", text + (INOTIFY if is_dovecot(wire.welcome) else "") if self._hearing.is_bad else "")
        self._status.note("mute", MUTE.format(hours=round(habits.mute.wait / 3600, 1)) if habits.mute.is_given_up else "")
        self._status.note("single", "" if habits.is_pipelined or habits.pipelines is not None else SINGLE)
        slow = ", ".join(f"{kind} ({seconds:g} s)" for kind, seconds in sorted(habits.tempo.grown.items()))
        self._status.note("slow", f"the server is slow, and is waited for longer: {slow}" if slow else "")

    def _take_pushed(self, wire: Wire) -> int:
        """Take mails that came whole with their announcement, without another round trip. Then return to IDLE."""
        if not wire.pushed:
            return 0
        try:
            taken = self._mailbox.take_pushed(wire) or 0
        except NotAccepted:
            wire.has_news = True
            return 0
        self._after_effects(wire)
        if not wire.is_idling and taken:
            wire.start_idle()
        self._mailbox.save()  # only now: the mail must not wait for it
        return taken

    def _look_again(self, wire: Wire) -> None:
        """A mail was announced and is not there: it lags behind, another client was faster, or the server leaves it out."""
        for lag in LAGS:
            if wire.wait(lag, self._bell.descriptor) == "woken":
                self._bell.drain()
            if self._is_stopping():
                raise Stopped
            found = self._holding(lambda: self._mailbox.search_on(wire), wire) if lag != LAGS[0] else 0
            if self._look(wire) or found:
                return

    def _poll(self, wire: Wire, seconds: float) -> None:
        """Open the folder again: some servers show nothing new until then."""
        wire.wait(seconds, self._bell.descriptor)
        self._bell.drain()
        before, unseen = self._mailbox.uid, self._mailbox.unseen
        self._meet(wire)
        if self._mailbox.uid > before:
            self._hearing.polled(age=self._mailbox.age, meanwhile=unseen)
            self._show_habits(wire)
            if not wire.is_idling and not self._hearing.is_useless:
                self._look(wire)
        self._revisit(wire)

    def _revisit(self, wire: Wire) -> int:
        """Try again to fetch what was missing, if something was."""
        return self._holding(lambda: self._mailbox.revisit(wire), wire) or 0

    def _stay_hot(self, session: Session) -> None:
        """Somebody waits: do not wait for announcements of the server."""
        wire, began = session.wire, time.monotonic()
        self._status.happened(Event.AWAITED)
        while (heat := self._heat()) is not Heat.COLD and not session.is_over:
            if self._is_stopping():
                raise Stopped
            pause = asked_every(self._account, wire, heat, warm_every=self._heating.warm_every)
            if self._hearing.is_useless:
                self._meet(wire)
                seconds = 1.0 if pause is None else pause
            elif pause is not None:
                self._look(wire, is_hot=True)
                seconds = pause
            else:
                wire.noop()
                self._status.round_trip()
                if wire.has_news:
                    self._look(wire, is_staying=False, is_hot=True)
                seconds = hot_every(time.monotonic() - began)
            if self._mailbox.revisit_in() <= 0:
                self._revisit(wire)
            self._wait_hot(wire, seconds, heat)

    def _wait_hot(self, wire: Wire, seconds: float, heat: Heat) -> None:
        """Wait for the next look: until it is due, or the server announces something. Another request of a waiting client does
        not make it earlier."""
        until = time.monotonic() + seconds
        while wire.wait(until - time.monotonic(), self._bell.descriptor) == "woken":
            self._bell.drain()
            if self._is_stopping() or self._heat() is not heat:
                return

    def _heat(self) -> Heat:
        """Whether somebody waits for a code that may come by this folder. Also reports for whom codes came by it before."""
        self._heating.note(self._status.mailbox, self._mailbox.memory.delivered)
        return self._heating.of(self._status.mailbox)

    def _look(self, wire: Wire, *, is_staying: bool = True, is_hot: bool = False) -> int:
        """Fetch and take what is new, and repeat while more is announced. Returns the number of mails."""
        self._revisit(wire)
        found = 0
        for _ in range(20):
            with_idle = is_staying and not self._hearing.is_useless
            found += self._holding(lambda with_idle=with_idle: self._round(wire, with_idle=with_idle), wire) or 0  # type: ignore[misc]
            self._status.round_trip()
            if self._mailbox.done:
                self._after_effects(wire)
                if with_idle and not self._hearing.is_useless:
                    wire.start_idle()
            if not wire.has_news:
                break
        self._mailbox.save()
        if not is_hot:
            told = Event.NOTIFIES if wire.is_notifying else Event.IDLES
            self._status.happened(told if wire.is_idling else Event.POLLS)
        return found

    def _round(self, wire: Wire, *, with_idle: bool) -> int:
        try:
            return self._mailbox.round(wire, with_idle=with_idle)
        except IdleRefused as refused:
            log.info(
                "IDLE is refused here: polling", extra={"event": log_events.MAILBOX_POLLING, "mailbox": self._status.mailbox}
            )
            self._hearing.refused()
            return self._mailbox.take_fetched(wire, refused.args[0])

    def _holding(self, look: Callable[[], T], wire: Wire) -> T:
        """Do it, and repeat while the store accepts no mail. The connection is kept."""
        pause, ceiling = NOT_ACCEPTED
        before = self._status.mode
        while True:
            try:
                found = look()
            except NotAccepted as refused:
                self._status.reason = f"the store does not take mail: {refused}"
                self._status.happened(Event.REFUSED)
                log.warning(
                    "mail deferred: the store is %s",
                    refused,
                    extra={"event": log_events.MAIL_DEFERRED, "mailbox": self._status.mailbox},
                )
            else:
                if self._status.mode is Mode.DEFERRING:  # only now: an attempt that fails again is no recovery in between
                    self._status.happened(BACK[before])
                    self._status.reason = ""
                return found
            wire.wait(pause * (0.5 + self._dice() / 2), self._bell.descriptor)
            self._bell.drain()
            if self._is_stopping():
                raise Stopped
            wire.noop()
            pause = min(pause * 2, ceiling)

    def _after_effects(self, wire: Wire) -> None:
        if self._mailbox.done:
            effects.apply(wire, self._account.after, self._mailbox.done, mailbox=self._status.mailbox)
            self._mailbox.actions_done(wire.validity)

    def _well(self, wire: Wire) -> None:
        again = " again" if self._status.reason else ""
        log.info(
            "mailbox is watched%s",
            again,
            extra={"event": log_events.MAILBOX_STATE, "mailbox": self._status.mailbox, "mode": self._status.mode},
        )
        self._status.reason = ""
        self._show_habits(wire)
        self._report_alert(wire)

    def _report_alert(self, wire: Wire) -> None:
        """Show what the server wants a person to read, and log it once."""
        text = wire.alert and f"the server says: {wire.alert}"
        if text and text != self._status.reason:
            self._status.reason = text
            log.warning(
                "mailbox is watched, but %s",
                text,
                extra={"event": log_events.MAILBOX_STATE, "mailbox": self._status.mailbox, "mode": self._status.mode},
            )
