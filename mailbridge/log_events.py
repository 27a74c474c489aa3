"""The names of the log's events: each line has one of them in its field ``event``, so that lines can be grouped and counted.

A name is ``noun.participle``. What varies (which mail, which outcome) is in the other fields, never in the name.
"""

from __future__ import annotations

DAEMON_READY = "daemon.ready"
DAEMON_STOPPING = "daemon.stopping"
DAEMON_STOPPED = "daemon.stopped"
RELOAD_DONE = "reload.done"
RELOAD_REFUSED = "reload.refused"
RELOAD_PARTIAL = "reload.partial"
CONFIG_WARNING = "config.warning"
FILES_LIMITED = "daemon.files_limited"
SOCKET_PATH_TOO_LONG = "socket.path_too_long"
PRACTICE_STARTED = "practice.started"
ADDITIONS_APPLIED = "entries.applied"
ADDITIONS_REFUSED = "entries.refused"
IDENTIFIERS_LEARNED = "identifiers.learned"
IDENTIFIERS_NOT_LEARNED = "identifiers.not_learned"
FAULT_UNHANDLED = "fault.unhandled"

MAIL_STORED = "mail.stored"
"""``outcome``: one of `mailbridge.metrics.MESSAGE_OUTCOMES`."""
MAIL_HELD = "mail.held"
MAIL_DEFERRED = "mail.deferred"
MAIL_UNREADABLE = "mail.unreadable"
MAIL_SKIPPED = "mail.skipped"
MAIL_FAILED = "mail.failed"

DELIVERY_SETTLED = "delivery.settled"
"""``outcome``: the state of the delivery behind it (`mailbridge.core.delivery.State`), or the kind of the attempt's end."""
CLAIMS_KEPT = "claims.kept"
CODE_POLLED = "code.polled"

ALARM_RAISED = "alarm.raised"
ALARM_CLEARED = "alarm.cleared"
"""Both have ``kind``, one of `mailbridge.metrics.ALARM_KINDS`, and ``alarm``, the name of what the alarm is about."""

STORE_FAILED = "store.failed"
STORE_UNAVAILABLE = "store.unavailable"
AUTHENTICATOR_UNREADABLE = "authenticator.unreadable"
WORKER_FAILED = "worker.failed"

CONFIRMATION_REQUESTED = "confirmation.requested"
CONFIRMATION_DONE = "confirmation.done"
CONFIRMATION_FAILED = "confirmation.failed"

SESSION_FAILED = "session.failed"
PROXY_REFUSED = "proxy.refused"
TLS_HANDSHAKE_FAILED = "tls.handshake_failed"
CERTIFICATE_RELOADED = "certificate.reloaded"
CERTIFICATE_NOT_RELOADED = "certificate.not_reloaded"
CERTIFICATE_EXPIRED = "certificate.expired"

MAILBOX_STATE = "mailbox.state"
"""``mode``: what the watcher does from now on."""
MAILBOX_POLLING = "mailbox.polling"
MAILBOX_REBUILT = "mailbox.rebuilt"
MAILBOX_MAIL_MISSED = "mailbox.mail_missed"
MAILBOX_SESSION_KEPT = "mailbox.session_kept"
MAILBOX_ACTION_FAILED = "mailbox.action_failed"
MAILBOX_FAILED = "mailbox.failed"
MAILBOX_THREADS_LEFT = "mailbox.threads_left"
CANARY_ARRIVED = "canary.arrived"
CANARY_UNDECIDED = "canary.undecided"
CANARY_NOT_SENT = "canary.not_sent"
CANARY_NOT_REMOVED = "canary.not_removed"
CANARY_FOLDER_SKIPPED = "canary.folder_skipped"
CANARY_FAILED = "canary.failed"

LIBRARY_WARNED = "library.warned"
"""A line of a library or of Python: the formatter gives this name to whatever has none."""
