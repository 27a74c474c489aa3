"""When an account's canary is sent, when a missing one is an alarm, and what the alarm says."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable

from mailbridge import log_events
from mailbridge.config.settings import CanarySettings
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.canary.canary import Canary, CanaryRun
from mailbridge.ingress.imap.faults import MailboxFault, shown

log = logging.getLogger("mailbridge.imap")

STACK = 262_144
FIRST = 60.0
"""Seconds for which the account is watched before the first canary, and again after each interruption."""
TICK = 10.0
"""Seconds between two checks whether the account is watched."""
UNSENT = 2
"""This many canaries in a row that could not be sent are an alarm. A single one may be a short problem of the provider."""
NO_THREAD = "no thread is to be had for the canary: raise TasksMax= (systemd) or pids_limit (Docker), and restart"
SLACK = 900.0
"""Seconds after its time. A canary without a result by then is an alarm of its own: the thread hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryHealth:
    """The present state of an account's canary. ``seen`` is the age of the last one that arrived, ``latency`` how long it was
    on its way, both in seconds; None: none has arrived. ``reason`` is "" while all is well."""

    is_well: bool
    reason: str
    seen: float | None
    latency: float | None


class CanarySchedule:
    """Sends canaries, one at a time, in a thread of its own. ``is_watched`` says whether any of the account's folders is
    watched at the moment. While none is, the mailbox itself is red, and no canary is sent."""

    def __init__(
        self, *, canary: Canary, settings: CanarySettings, is_watched: Callable[[], bool], dice: Callable[[], float]
    ) -> None:
        self._canary = canary
        self._settings = settings
        self._is_watched = is_watched
        self._dice = dice
        self._name = canary.account.name
        self._first = min(FIRST, settings.every.total_seconds())
        self._is_hurried = False
        self._alarm = ""
        self._reason = ""
        self._unsent = 0
        self._seen_at: float | None = None
        self._latency: float | None = None
        self._expected_at = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"canary {self._name}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        before = threading.stack_size(STACK)
        try:
            self._thread.start()
        except RuntimeError:
            self._raise("no thread", NO_THREAD)
        finally:
            threading.stack_size(before)

    def retry_now(self) -> None:
        """Somebody may have fixed something: if there is an alarm, send the next canary now."""
        if self._alarm:
            self._is_hurried = True
            self._canary.wake()

    def stop(self) -> None:
        """Tell the thread to end. The next daemon removes a canary that is on its way."""
        self._canary.stop()

    def join(self, until: float) -> bool:
        """Wait for the thread until ``until`` (monotonic). Returns whether it has ended."""
        if self._thread.ident is None:
            return True
        self._thread.join(max(0.0, until - time.monotonic()))
        return not self._thread.is_alive()

    def health(self) -> CanaryHealth:
        """The present state, for any thread."""
        now = time.monotonic()
        late = now - self._expected_at
        reason = f"no canary for {late:.0f} s past its time; restart mailbridge" if late > SLACK else self._reason
        return CanaryHealth(
            is_well=not self._alarm and late <= SLACK,
            reason=reason,
            seen=None if self._seen_at is None else round(now - self._seen_at, 3),
            latency=None if self._latency is None else round(self._latency, 3),
        )

    def _run(self) -> None:
        pause = self._settle()
        while self._turn(pause):
            try:
                self._one_run()
            except Exception:  # the supervisor: whatever happens, there is a next canary
                if not self._canary.is_stopping:
                    log.exception("canary failed", extra={"event": log_events.CANARY_FAILED, "mailbox": self._name})
            pause = self._settings.every.total_seconds() * (0.75 + self._dice() / 2)

    def _settle(self) -> float:
        return self._first * (1.0 + self._dice())

    def _turn(self, pause: float) -> bool:
        """Wait until the next canary is due, and the account has been watched for a while. False: it is time to stop."""
        due = time.monotonic() + pause
        while not self._canary.is_stopping:
            now = time.monotonic()
            is_watched = self._is_watched()
            if not is_watched:
                due = max(due, now + self._settle())
            self._expected_at = due + self._settings.deadline.total_seconds()
            if is_watched and (self._is_hurried or now >= due):
                self._is_hurried = False
                return True
            late = self._canary.news(min(TICK, max(0.02, due - now), self._first))
            if late is not None and late.locations:
                self._came_late(late)
        return False

    def _one_run(self) -> None:
        """One canary, from sending to removal."""
        try:
            run = self._canary.send()
        except MailboxFault as fault:
            if not self._canary.is_stopping:
                self._not_sent(fault)
            return
        self._unsent = 0
        began = run.handed.ready if run.handed is not None else time.monotonic()
        is_in_time = self._canary.wait(run, began + self._settings.deadline.total_seconds())
        if self._canary.is_stopping:
            return
        if is_in_time:
            self._arrived(run)
        elif self._is_watched():
            self._missed(run)
        else:
            log.info(
                "canary without a verdict: the mailbox is not watched",
                extra={"event": log_events.CANARY_UNDECIDED, "mailbox": self._name},
            )
        self._canary.clear(run)

    def _arrived(self, run: CanaryRun) -> None:
        self._seen_at, self._latency = run.seen_at, run.latency
        if self._alarm:
            log.warning(
                "canary arrives again",
                extra={"event": log_events.CANARY_ARRIVED, "mailbox": self._name, "seconds": round(run.latency or 0.0, 3)},
            )
        else:
            log.info(
                "canary arrived",
                extra={"event": log_events.CANARY_ARRIVED, "mailbox": self._name, "seconds": round(run.latency or 0.0, 3)},
            )
        self._alarm = self._reason = ""

    def _came_late(self, run: CanaryRun) -> None:
        """Note that a canary which was given up has arrived. The alarm stays until one is in time, but its text says what is
        wrong."""
        deadline = self._settings.deadline.total_seconds()
        if self._alarm.startswith("missing") and run.latency is not None and run.latency > deadline:
            self._seen_at, self._latency = run.seen_at, run.latency
            self._raise("late", f"the canary arrives too late: it took {run.latency:.0f} s, and may take {deadline:g} s")
        self._canary.clear(run)

    def _not_sent(self, fault: MailboxFault) -> None:
        self._unsent += 1
        text = f"the canary could not be sent: {fault}"
        if self._unsent >= UNSENT:
            self._raise("unsent", text)
        else:
            log.warning("%s", text, extra={"event": log_events.CANARY_NOT_SENT, "mailbox": self._name})
            self._reason = self._reason or text

    def _missed(self, run: CanaryRun) -> None:
        self._raise(*missing(self._canary, run, within=self._settings.deadline.total_seconds()))

    def _raise(self, alarm: str, reason: str) -> None:
        """Write one log line when an alarm begins or becomes another one, and none while it lasts."""
        if alarm != self._alarm:
            log.error("%s", reason, extra={"event": log_events.ALARM_RAISED, "kind": "canary", "alarm": self._name})
        self._reason = reason
        self._alarm = alarm


def missing(canary: Canary, run: CanaryRun, *, within: float) -> tuple[str, str]:
    """What is wrong with a canary that no watcher saw within so many seconds: the kind of alarm, and the text for a person."""
    late = f"the canary did not arrive within {within:g} s"
    try:
        location = canary.find(run)
    except MailboxFault as fault:
        return "missing", f"{late}, and it could not be searched for: {fault}"
    if location is None:
        return "missing", f"{late}; it is in no folder that can be searched: it is delivered late, or not at all"
    name = shown(location.folder.encode())
    if location.folder in canary.account.folders:
        return f"missing {name}", f"{late}; it lies in {name}, and the watcher has not been told of it"
    folders = json.dumps([*canary.account.folders, name], ensure_ascii=False)
    hint = f"change the filter that puts it there, or folders = {folders}"
    return f"missing {name}", f"the canary went to {name}, which is not watched: {hint}"
