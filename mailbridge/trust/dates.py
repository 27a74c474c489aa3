"""The time in a Date header, read strictly (RFC 5322 3.3): an ambiguous value, or one without a zone, gives None."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ZONES = {
    **dict.fromkeys(("gmt", "ut", "utc"), 0),
    "est": -5,
    "edt": -4,
    "cst": -6,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,
}
"""Zones by name, in hours: those of RFC 5322 4.3, and UTC, which mailers also write. Other names are not read."""

DATE = re.compile(
    r"(?i)(?:(?:mon|tue|wed|thu|fri|sat|sun)\s*,\s*)?(\d{1,2})\s+([a-z]{3})\s+(\d{4})\s+(\d{2}):(\d{2})(?::(\d{2}))?\s+"
    r"(?:([+-])(\d{2})(\d{2})|([a-z]{2,3}))(?:\s*\([^()\\]{0,80}\))?"
)


@lru_cache(maxsize=256)
def moment(value: str) -> datetime | None:
    """The time, aware, in UTC. None if the value is not a date-time of RFC 5322 with a zone. Never raises."""
    found = DATE.fullmatch(value.strip()) if len(value) <= 200 and value.isascii() else None
    if found is None:
        return None
    if found[10]:
        hours = ZONES.get(found[10].lower())
        zone = None if hours is None else timezone(timedelta(hours=hours))
    else:
        ahead = timedelta(hours=int(found[8]), minutes=int(found[9]))
        zone = timezone(-ahead if found[7] == "-" else ahead) if ahead < timedelta(hours=24) and int(found[9]) < 60 else None
    if zone is None:
        return None
    second = 59 if found[6] == "60" else int(found[6] or 0)
    try:
        month = MONTHS.index(found[2].lower()) + 1
        return datetime(int(found[3]), month, int(found[1]), int(found[4]), int(found[5]), second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def stamped(received: Sequence[str]) -> datetime | None:
    """When the server of the topmost Received line says it took the mail in (RFC 5321 4.4). None if it does not say."""
    return moment(received[0].rpartition(";")[2]) if received and ";" in received[0] else None
