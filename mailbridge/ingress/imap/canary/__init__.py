"""The canary: a mail that an account sends to itself, to see whether mail arrives. It is the only mail that mailbridge sends.

The names here are all that other code may use: a watcher asks `Canary.run_of` about each mail and reports to `Canary.saw` where
it is. The service makes a canary and its schedule.
"""

from __future__ import annotations

from mailbridge.ingress.imap.canary.canary import Canary, CanaryRun, Connect
from mailbridge.ingress.imap.canary.locations import MailLocation
from mailbridge.ingress.imap.canary.schedule import CanaryHealth, CanarySchedule, missing
from mailbridge.ingress.imap.canary.submission import Handed, Hold, submit
from mailbridge.ingress.imap.canary.tokens import CanaryTokens

__all__ = [
    "Canary",
    "CanaryHealth",
    "CanaryRun",
    "CanarySchedule",
    "CanaryTokens",
    "Connect",
    "Handed",
    "Hold",
    "MailLocation",
    "missing",
    "submit",
]
