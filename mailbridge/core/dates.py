"""When a mail was written, by its Date header (RFC 5322, 3.3 and 4.3).

mail-parser reads it, more carefully than the standard library does. A date that is written as nearly all programs write it needs neither:
it is read here in a quarter of the time, as mail-parser reads it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mailparser.dates import parse_mail_date

LONGEST = 200
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
PLAIN = re.compile(
    rf"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?([0-9]{{1,2}}) ({'|'.join(MONTHS)}) ((?:19|20)[0-9]{{2}})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-5][0-9])(?: \([A-Z]{1,5}\))?"
)
"""A date without anything optional, obsolete or odd, perhaps with the name of its zone."""


def read_date(value: str, defects: dict[str, None]) -> datetime | None:
    """The moment that a Date header names, aware, UTC; None where it names none, which is a defect unless the header is empty. Total."""
    if not value:
        return None
    try:
        moment: datetime | None = _plain_moment(value) or parse_mail_date(value[:LONGEST]).value
    except (ValueError, OverflowError, TypeError, AttributeError, IndexError):
        moment = None
    if moment is None or moment.tzinfo is None:
        defects["bad-date"] = None
        return None
    return moment


def _plain_moment(value: str) -> datetime | None:
    """The moment of a date that is plain; None for any other.

    Raises:
        ValueError: there is no such day or time; mail-parser finds none either, but in a leap second.
    """
    found = PLAIN.fullmatch(value)
    if found is None or found[6] == "60":
        return None
    day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
    written = datetime(int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    ahead = timedelta(hours=int(hours), minutes=int(minutes))
    return written - ahead if sign == "+" else written + ahead
