"""What strangers wrote, made fit for a terminal: a mail's words can neither move the cursor nor end a line."""

from __future__ import annotations

import json
from datetime import datetime

from mailbridge.logs import CONTROL, escaped


def visible(text: str) -> str:
    """The text on one line, with everything that a terminal would obey or could not show written as an escape."""
    return escaped(text)


def dumped(row: object) -> str:
    """One JSON document on one line; what a terminal would obey is escaped as JSON escapes it."""
    return CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", json.dumps(row, ensure_ascii=False))


def local(stamp: str) -> str:
    """A moment of an answer (RFC 3339) as the clock on the wall shows it; "" for none."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%d %b %H:%M:%S") if stamp else ""
