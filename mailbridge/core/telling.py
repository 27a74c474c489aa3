"""Whether a mail itself speaks of the code that stands in it, or only a sentence in it that somebody else may have chosen.

A site's mails show what its users have written: the name of whoever invites, of a project, of a shop, a comment, a note to a payment. Where
such words are ``Your code is 123456`` they are all that the mail says of a code; the site's own words speak of something else. A mail
that sends a code says so beside the sentence that holds it, too: in its subject, by how long it lives, or what it opens; or it says
nothing else at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailbridge.core import lifetime
from mailbridge.core.candidates import ascii_digits
from mailbridge.core.dataclass import dataclass
from mailbridge.core.notice import has_shape
from mailbridge.core.parts import Parts, plain_name
from mailbridge.core.reading import Reader
from mailbridge.core.script import folded

QUOTED = "the words that call it a code stand in quotation marks: they may be a name that somebody chose"
NOTICE = "the mail says what somebody did, and only those words in it speak of a code"
EMBEDDED = "the mail speaks of something else, and only a few words in it call that a code"
FIELD = "only a field of the mail holds words that call it a code: whoever filled it in may have chosen them"
GREETED = "only the words by which the mail greets somebody call it a code: they are a name that somebody chose"

SEPARATORS = re.compile(r"[\s\-–.‐‑]")
BOUND = re.compile(r"[\w/=.]")
"""What stands before a longer value, or one of an address."""

WORD = re.compile(r"[^\W\d_]{2,}")
SPACELESS = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
BEFORE = re.compile(r"[.!?;](?=\s)|[。！？]")
AFTER = re.compile(r"[.!?;。！？\n]")
QUOTES = re.compile(r"[\"“„«‚‘「『]([^\"“”„«»‚‘’「」『』]{3,160})[\"”“»’‘」』]")
LABEL = re.compile(r"\s*((?:[^\W\d_]++[ \-]?){1,3})\s?[:：]\s")
LONG_END = 5
"""Words from which the end of a sentence alone does: "is your code at Acme" has none behind its label."""

HEADER = re.compile(r"[> ]{0,4}[^\W\d_]{1,12}\s?[:：].{0,200}@\S")
"""A line with addresses of the head of a mail that a person has forwarded by hand: it says nothing of what the mail is about."""

GREETING = (",", "!", "，", "！", ":", "：")
"""How a line ends that greets somebody by name."""

MOST_GREETING = 2
"""Words before the name: "Hello", "Good morning"; in "Hi Ann, your" the name is over."""

SAYS = 4
"""Words from which a line says something: a greeting and a name have fewer."""

LONG_REST = 6
"""Words from which the rest of a sentence says something: "Hello Ann, your" and "for your account" stand around codes."""

SOURCES = ("subject", "html", "plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """The lines of a mail that hold a value, and those that do not, each with where it stands."""

    every: tuple[tuple[str, str], ...]
    own: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...]

    def of(self, source: str) -> Iterator[str]:
        """The lines of one part, in order."""
        return (text for place, text in self.every if place == source)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """Of the sentence that holds a value: what stands before and behind the words that call it a code, and outside of the
    sentence; whether it is a greeting, and of a word or two; and the name of the field that its line is, if it is one."""

    before: str
    behind: str
    outside: str
    label: str
    is_greeting: bool
    is_short: bool


def doubt(parts: Parts, reader: Reader, value: str) -> str:
    """Why the words that call a value a code may be a stranger's; "" where the mail speaks of it itself. Total."""
    subject = next((line.text.strip() for line in parts.lines.get("subject", ())), "")
    if not subject or has_shape(subject[:300]):
        # A short message by a gateway has none: what a site shows of its users comes by mails. By the other the gate knows a notice, and
        # whether its sender is listed.
        return ""
    lines = _parted(parts, value)
    if not any(_is_of_codes(text, reader) for _, text in lines.own):
        return ""  # its place says that it is the code, and no words
    if any(_is_quoted_name(text, value, reader) for _, text in lines.own):
        return QUOTED
    texts = [text for _, text in lines.others]
    around = [one for _, text in lines.own if (one := _around(text, value, reader)) is not None]
    if texts and around and all(one.is_greeting and one.is_short for one in around):
        return GREETED
    if _is_told(texts, reader):
        return ""
    if any(_is_notice(text, reader) for text in (*texts, *(text for _, text in lines.own))):
        return NOTICE
    is_opened = any(
        reader.wording.act.any(folded(text))
        for text in (*(text for source, text in lines.others if source == "subject"), *(one.outside for one in around))
    )
    if texts and any(_is_field(one.label, parts, reader) for one in around):
        return FIELD
    if is_opened:
        return ""
    rests = [one for one in around if _words(one.before) + _words(one.behind) >= LONG_REST or _words(one.behind) >= LONG_END]
    if any(not _is_of_codes(f"{one.before} {one.behind}", reader) for one in rests):
        return EMBEDDED
    is_alone = not any(source != "subject" and _words(text) >= SAYS for source, text in lines.others)
    is_said_first = _begins_with_it(lines) and not any(one.is_greeting for one in around)
    return (
        ""
        if is_alone or is_said_first or any(_is_of_codes(text, reader) for text in (*texts, *(one.before for one in rests)))
        else EMBEDDED
    )


def _begins_with_it(lines: _Lines) -> bool:
    """Whether nothing but a greeting stands before the value in a part that holds it: so a site says what its mail is for."""
    bodies = {source for source, _ in lines.own} - {"subject"}
    others = set(lines.others)
    first = {
        source: next((text for text in lines.of(source) if _words(text) >= SAYS or (source, text) not in others), "")
        for source in bodies
    }
    return any((source, text) not in others for source, text in first.items())


def _is_quoted_name(text: str, value: str, reader: Reader) -> bool:
    return any(_holds(one[1], _plain(value)) and _is_of_codes(one[1], reader) for one in QUOTES.finditer(text))


def _is_of_codes(text: str, reader: Reader) -> bool:
    """Whether a piece of a sentence belongs to the words about a code: it names one, its use, or its end."""
    plain = folded(text)
    return _speaks(text, reader) or reader.wording.act.any(plain) or reader.wording.expiry.any(plain)


def _is_field(label: str, parts: Parts, reader: Reader) -> bool:
    """Whether a line is a field of a form: a name that is neither a code's nor the site's, a colon, and what was filled in."""
    known = {plain_name(word) for word in WORD.findall(label)}
    return bool(label) and not known & parts.names and not _is_of_codes(label, reader)


def _parted(parts: Parts, value: str) -> _Lines:
    wanted = _plain(value)
    every = [(source, line.text.strip()) for source in SOURCES for line in parts.lines.get(source, ())]
    told = [(source, text) for source, text in dict.fromkeys(every) if text and not ("@" in text and HEADER.match(text))]
    own: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for one in told:
        (own if _holds(one[1], wanted) else others).append(one)
    return _Lines(every=tuple(told), own=tuple(own), others=tuple(others))


def _holds(text: str, wanted: str) -> bool:
    """Whether a text has a value, whatever parts the characters of it."""
    text = ascii_digits(text)
    return wanted in text or (wanted[:1] in text and wanted in SEPARATORS.sub("", text))


def _plain(value: str) -> str:
    return SEPARATORS.sub("", ascii_digits(value))


def _place(plain: str, wanted: str) -> tuple[int, int] | None:
    """Where a text has a value first, whose characters may be apart by one separator each. No pattern: it would be another for each
    mail, and compiling it costs more than all else here."""
    at = plain.find(wanted[0]) if wanted else -1
    while at >= 0:
        end = _end(plain, wanted, at)
        if end >= 0 and (not at or BOUND.match(plain, at - 1) is None):
            return at, end
        at = plain.find(wanted[0], at + 1)
    return None


def _end(plain: str, wanted: str, at: int) -> int:
    """Where a value ends that begins there in a text; -1 where none does."""
    if plain.startswith(wanted, at):
        return at + len(wanted)
    end = at
    for char in wanted:
        if end > at and SEPARATORS.match(plain, end):
            end += 1
        if not plain.startswith(char, end):
            return -1
        end += 1
    return end


def _words(text: str) -> int:
    """How many words a text has; two characters of a script without blanks count as one."""
    return len(WORD.findall(text)) + (0 if text.isascii() else len(SPACELESS.findall(text)) // 2)


def _around(text: str, value: str, reader: Reader) -> _Around | None:
    """What stands around the words of a line that call a value a code; None where the line has it only within a longer value."""
    plain = ascii_digits(text)
    place = _place(plain, _plain(value))
    if place is None:
        return None
    begins, ends = place
    start = max((mark.end() for mark in BEFORE.finditer(plain, 0, begins)), default=0)
    stop = AFTER.search(plain, ends)
    end = stop.start() if stop is not None else len(plain)
    labels = [(one.start, one.end) for one in reader.labels(plain) if one.is_code and start <= one.start < end]
    calling = labels or [one for one in _told_to(plain, reader) if start <= one[0] < end]
    before = plain[start : min([begins, *(one[0] for one in calling)])] if calling else ""
    label = LABEL.match(plain)
    is_filled = label is not None and label.end() <= begins
    words = _words(before)
    return _Around(
        before=before,
        behind=plain[max([ends, *(one[1] for one in labels)]) : end] if labels else "",
        outside=f"{plain[:start]} {plain[end:]}",
        label=label[1] if label is not None and is_filled and any(one[0] >= label.end() for one in calling) else "",
        is_greeting=words > 0 and plain.rstrip().endswith(GREETING),
        is_short=words <= MOST_GREETING and "," not in before,
    )


def _told_to(plain: str, reader: Reader) -> list[tuple[int, int]]:
    """Where a line tells to enter something, or says what that opens."""
    text = folded(plain)
    if len(text) != len(plain):
        return []
    return [*reader.wording.enter.spans(text), *reader.wording.act.spans(text)]


def _speaks(text: str, reader: Reader) -> bool:
    """Whether a text is about a code: it calls something one, tells to enter it, or says that it is secret or good once."""
    wording, plain = reader.wording, folded(text)
    return (
        any(one.is_code for one in reader.labels(ascii_digits(text)))
        or wording.enter.any(plain)
        or wording.secret.any(plain)
        or wording.once.any(plain)
    )


def _is_told(texts: list[str], reader: Reader) -> bool:
    """Whether any of a mail's other lines is about a code, or says how long one lives."""
    if any(reader.wording.subject_ref.any(folded(text)) for text in texts):
        return True
    if any(_speaks(text, reader) and not reader.wording.notice.any(folded(text)) for text in texts):
        return True
    return (
        lifetime.stated_lifetime(texts, reader.wording) is not None or lifetime.stated_expiry(texts, reader.wording) is not None
    )


def _is_notice(text: str, reader: Reader) -> bool:
    plain = folded(text)
    return reader.wording.invited.any(plain) or has_shape(text)
