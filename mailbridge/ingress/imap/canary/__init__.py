"""The canary: a mail that an account sends to itself, to see whether mail arrives. It is the one mail that mailbridge sends.

What stands here is all that the rest of the house knows of it: a watcher asks `Canary.run_of` about each mail and tells `Canary.saw`
where it lies; the service makes a canary and its schedule.
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
