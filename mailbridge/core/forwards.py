"""A mail that somebody forwarded by hand: the block of headers that their program wrote into the body.

The PyPI library email-forward-parser knows the blocks of 14 mail programs in up to 22 languages; what it is given is bounded,
since its patterns are not linear. Programs that it misses are read by the names of headers in the wording files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from emailforwardparser.forward_parser import MailboxResult, get_forwarded_metadata
from emailforwardparser.regexs import ORIGINAL_TO, ORIGINAL_TO_LAX

from mailbridge.core.address_list import read_author, read_recipients
from mailbridge.core.addresses import canonical, parse_sole_mailbox
from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Message
from mailbridge.core.script import folded
from mailbridge.core.wording import ForwardWords

MAX_BODY = 16_384
MAX_LINE = 1_000
MAX_MARK = 80
MAX_LINES = 50
"""Lines with the block's recipient in them that are looked at; there is one, and those of the body."""

CUT = "…"
"""Stands behind what was cut off: no half of an address is one."""

INDENT = " \t>|*_"
LABELS = (*ORIGINAL_TO, *ORIGINAL_TO_LAX)
COLON = re.compile(r"[:：](?:[*_]{1,2}(?=[ \t]))?")

RULES = ("-" * 4, "_" * 10)
"""What is drawn above a forwarded mail has at least so many of these."""

HEAD = re.compile(r"[*_ ]*([^:：*_]{1,40}?)[*_ ]*[:：](.{0,1001})$")
"""A line that could be a header: its name, and what follows."""

TITLE = re.compile(r"\s*([^:：\[(]{1,24}?)\s*(?:[\[(]\d{1,2}[\])])?\s*[:：]")
"""What a mail program puts before a subject, also with a count: ``Re[2]:``."""
DOUBLED = re.compile(r"(?i)<([^<>\s]{1,254})<mailto:([^<>\s]{1,254})>>")
LINKED = re.compile(r"(?i)[<\[](?:mailto:)?([^<>\[\]@\s]{1,64}@[^<>\[\]@\s]{1,253})[>\]]")
"""How mail programs show an address that they have made a link of: ``<a@b<mailto:a@b>>``, ``[mailto:a@b]``, ``a@b<mailto:a@b>``."""


QUOTE = re.compile(r"(?m)^[>|] ?")
LONGEST_INTRODUCTION = 250
CLOCK = re.compile(r"(?<![\d.])(\d{1,2})[:.h](\d{2})(?![.\d]\d)(?:[:.](\d{2}))?(?:\s*([AaPp])\.?\s?[Mm]\b)?")
EASTERN = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]")
NUMBERS = re.compile(r"(?<!\d)(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedBlock:
    """What the block says. Empty where it does not; ``date`` is naive, for the block names no zone.

    ``is_to_unclear``: its To line holds an address that could not be read.
    """

    sender: str = ""
    to: tuple[str, ...] = ()
    is_to_unclear: bool = False
    subject: str = ""
    date: datetime | None = None
    body: str = field(default="", repr=False)


def is_forward(message: Message, words: ForwardWords) -> bool:
    """Whether a mail says of itself that a person forwarded it: by its subject, or by a mark in its body."""
    title = _title(message.subject)
    if title is not None and folded(title[1]) in words.prefixes:
        return True
    body = _body(message)
    return _is_marked(body, words)


def forwarded_block(message: Message, words: ForwardWords) -> ForwardedBlock | None:
    """The forwarded block of a mail; None where it has none."""
    if not is_forward(message, words):
        return None
    body = _body(message)
    return _by_library(body, message.subject, words) or _by_labels(QUOTE.sub("", body), words)


def is_header_line(text: str, subject: str, words: ForwardWords) -> bool:
    """Whether a line of a forwarding mail is the mark or a header, and so none of the mail's own text.

    A Subject line is one only where it repeats ``subject``, that of the mail: where a person wrote another, it says what theirs does not.
    """
    name, value = _header(text)
    if name in words.sender or name in words.to or (name in words.date and any(map(str.isdecimal, value))):
        return True
    if _is_marked(text[:MAX_MARK], words) and (
        len(text) < MAX_MARK or (text.count("@") > 1 and bare_subject(subject, words) in text)
    ):
        return True
    return name in words.subject and bare_subject(value.strip(" *_"), words) == bare_subject(subject, words)


def _is_marked(text: str, words: ForwardWords) -> bool:
    """Whether a text has a line drawn across it, or the words, with which mail programs head what they forward."""
    return RULES[0] in text or RULES[1] in text or words.mark.any(folded(text))


def bare_subject(subject: str, words: ForwardWords) -> str:
    """A subject without what mail programs put in front of it when they forward or answer."""
    for _ in range(4):
        title = _title(subject)
        if title is None or folded(title[1]) not in words.prefixes | words.replies:
            break
        subject = subject[title.end() :].lstrip()
    return subject


def _title(subject: str) -> re.Match[str] | None:
    """What a mail program may have put before a subject; most have no colon, and then nothing is looked for."""
    return TITLE.match(subject) if ":" in subject or "：" in subject else None


def introduces_quotation(text: str, words: ForwardWords) -> bool:
    """Whether a line says who wrote what is quoted below it: ``On 3 May 2026 Ann wrote:``."""
    if not text.endswith((":", "：")) or len(text) > LONGEST_INTRODUCTION or not any(map(str.isdecimal, text)):
        return False
    return words.wrote.any(folded(text))


def _header(line: str) -> tuple[str, str]:
    """The name of a header and what it says; two empty texts where a line is none."""
    match = HEAD.match(line)
    return (match[1].strip(), match[2]) if match is not None else ("", "")


def _body(message: Message) -> str:
    page = message.plain or message.html
    if page is None:
        return ""
    lines = [line.text for line in page.lines]
    if max(map(len, lines), default=0) > MAX_LINE:
        lines = [_cut(line, MAX_LINE) for line in lines]
    return _cut("\n".join(lines), MAX_BODY)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[:size] + CUT


def _by_library(body: str, subject: str, words: ForwardWords) -> ForwardedBlock | None:
    try:
        # It reads encoded words by any codec that they name; ours are read already, and what is left is none.
        found = get_forwarded_metadata(_unlinked(body).replace("=?", "= ?"), subject[:500].replace("=?", "= ?"))
    except (IndexError, ValueError, AttributeError, TypeError, RecursionError, re.error):
        return None
    if not found.forwarded:
        return None
    inner = found.email
    body = _unlinked(body)
    sender = parse_sole_mailbox(inner.from_.address) or ""
    to, is_unclear = _recipients(body, inner.to)
    if not sender and not to and not inner.body:
        return None
    date = None if _is_glued(body, inner.date) else _moment(inner.date, words)
    return ForwardedBlock(sender=sender, to=to, is_to_unclear=is_unclear, subject=inner.subject[:500], date=date, body=inner.body)


def _unlinked(text: str) -> str:
    """The text with ``<address>`` for what was made a link; one that shows another address than it leads to is no address."""
    text = DOUBLED.sub(
        lambda found: f"<{found[1]}>" if found[1].lower() == found[2].lower() else f"<{found[1]} {found[2]}>", text
    )
    return LINKED.sub(r"<\1>", text)


def _recipients(body: str, found: list[MailboxResult]) -> tuple[tuple[str, ...], bool]:
    """The mailboxes of the To line that the library has found, and whether there is an address in it that is none of them.

    The library looks for addresses, lets go of quotes, and takes the beginning of a word for all of it. So what it says counts
    where the line itself, read as a To header is, says the same.
    """
    mailboxes: dict[str, None] = {}
    for one in found:
        mailbox = parse_sole_mailbox(one.address or one.name)
        if mailbox is not None and ("@" not in one.name or canonical(one.name.strip("'\"")) == canonical(mailbox)):
            mailboxes[mailbox] = None
        elif "@" in one.address + one.name:
            return (), True
    lines = [line for line in body.split("\n") if any(mailbox in line for mailbox in mailboxes)][:MAX_LINES]
    labelled = [line for line in lines if any(pattern.match(line.lstrip(INDENT)) for pattern in LABELS)]
    if labelled:
        is_same = all(_line(text) == (tuple(mailboxes), False) for text in labelled)
    else:  # Yahoo runs its headers together: there is no line to read, but the address has angles of its own
        is_same = all(any(re.search(rf"<{re.escape(one)}>(?![@.<>])", line) for line in lines) for one in mailboxes)
    return (tuple(mailboxes), False) if is_same else ((), True)


def _line(text: str) -> tuple[tuple[str, ...], bool]:
    """The mailboxes of a To line behind its colon, and whether there is an address in it that could not be read.

    Outlook writes ``;`` between them. A label in bold has its marks apart from the address, which may begin with such a mark.
    """
    text = COLON.split(text, maxsplit=1)[-1]
    read = read_recipients(_unlinked(text).replace(";", ",").strip(" \t"))
    return read.addresses, "@" in text and len(read.entries) < max(read.count, 1)


def _is_glued(body: str, date: str) -> bool:
    """Whether a date stands in one line with sender and recipient, as Yahoo runs its headers together.

    Where such a date begins and ends is a guess, and a guess may not call a fresh code stale.
    """
    return bool(date) and any(date in line and line.count("@") > 1 for line in body.split("\n"))


def _by_labels(body: str, words: ForwardWords) -> ForwardedBlock | None:
    """A From line with a To or Subject line among the six around it."""
    lines = body.split("\n")
    for index, line in enumerate(lines):
        name, value = _header(line)
        if name not in words.sender or "@" not in value:
            continue
        around = [_header(one) for one in lines[max(0, index - 3) : index + 7]]
        if not any(name in words.subject for name, _ in around):
            continue
        to = next((said for name, said in around if name in words.to), "")
        date = next((said for name, said in around if name in words.date), None)
        addressed, is_unclear = _line(f":{to}") if to else ((), False)
        return ForwardedBlock(
            sender="".join(read_author(_unlinked(value.strip("*_ "))).addresses),
            to=addressed,
            is_to_unclear=is_unclear,
            date=_moment(date, words) if date else None,
            body="\n".join(lines[index + 1 :]),
        )
    return None


def _moment(text: str, words: ForwardWords) -> datetime | None:
    """A date as mail programs write it for people; None where it cannot be told for sure."""
    clock = CLOCK.search(text)
    day = _day(text[: clock.start()] + " " + text[clock.end() :] if clock else text, words.months)
    if day is None:
        return None
    hour, minute = (int(clock[1]), int(clock[2])) if clock else (23, 59)
    if clock and clock[4]:
        hour = hour % 12 + (12 if clock[4] in "Pp" else 0)
    elif hour < 12 and any(word in text for word in words.afternoon):
        hour += 12
    try:
        return datetime(*day, hour, minute)  # noqa: DTZ001  (a block's date has no zone)
    except ValueError:
        return None


def _day(text: str, months: Mapping[str, int]) -> tuple[int, int, int] | None:
    eastern = EASTERN.search(text)
    if eastern:
        return int(eastern[1]), int(eastern[2]), int(eastern[3])
    words = re.findall(r"[^\W\d_]+|\d+", folded(text))
    # The last one: before it may stand a day of the week that sounds like a month, such as "mar." for "mardi".
    month = next((months[word] for word in reversed(words) if word in months), None)
    numbers = [int(word) for word in words if word.isdecimal() and len(word) <= 4]
    year = next((number for number in numbers if 1990 <= number <= 2100), None)
    if month and year:
        day = next((number for number in numbers if 1 <= number <= 31), None)
        return (year, month, day) if day else None
    plain = NUMBERS.search(text)
    if plain is None:
        return None
    first, second, third = int(plain[1]), int(plain[2]), int(plain[3])
    if first > 31:
        return first, second, third
    # Day first or month first: take the later of the two readings, so that nothing fresh is called stale.
    year = third if third > 31 else 2000 + third
    readings = [(year, b, a) for a, b in ((first, second), (second, first)) if 1 <= b <= 12 and 1 <= a <= 31]
    return max(readings) if readings else None
