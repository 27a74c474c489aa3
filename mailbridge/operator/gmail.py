"""A filter for Gmail as a file to import, so that nobody has to type one.

The form is that of Gmail's own "Export": an Atom feed, an entry a filter, its conditions and actions as properties.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from mailbridge.operator.addresses import own_recipient
from mailbridge.operator.asks import Ask, MaybeText
from mailbridge.operator.faults import Fault
from mailbridge.operator.parts import Configuration
from mailbridge.operator.phrases import sign_in_phrases
from mailbridge.operator.shapes import Shape

FORM = "https://mail.google.com/mail/u/0/#create-filter/from="

LONGEST = 1_000
"""Characters of one condition: Gmail takes longer ones, and then they silently never match. Longer lists make more filters."""

WORDS = (
    '"verification code"', '"security code"', '"login code"', '"sign-in code"', '"one-time"', '"confirmation code"',
    '"access code"', "passcode", "OTP", '"two-factor"', '"2-step"', '"verify your"', '"magic link"',
)  # fmt: skip
"""What is asked for where no sender is named, before the phrases of all languages: wide, since a mail without a code is only held here."""


class FilterAsk(Ask, frozen=True, kw_only=True):
    """For whose address; ``senders`` are domains or addresses joined by blanks, "" for what sign-in mails of anybody say."""

    identifier: MaybeText = ""
    senders: MaybeText = ""


class FilterFile(Shape, frozen=True, kw_only=True):
    """``xml`` is the content of a mailFilters.xml that forwards to ``forward_to``."""

    forward_to: str
    xml: str


class GmailVerbs:
    """The verb of filters."""

    def __init__(self, *, configuration: Configuration) -> None:
        self._configuration = configuration

    async def filter(self, ask: FilterAsk) -> FilterFile | Fault:
        """A filter that forwards to the address of an identifier; where no sender is named, to the sites and senders of its address."""
        settings = self._configuration.now
        rcpt = own_recipient(settings, ask.identifier.strip())
        if isinstance(rcpt, Fault):
            return rcpt
        kept = next(((*(one.site or ()), *(one.accept_from or ())) for one in settings.address if one.rcpt == rcpt), ())
        named = ask.senders.split() or [one.removeprefix("*@") for one in kept]
        named = [one for one in named if one and "*" not in one]
        return FilterFile(forward_to=rcpt, xml=await asyncio.to_thread(feed, rcpt, senders=named))


def link(senders: Sequence[str]) -> str:
    """The address of Gmail's own form for a new filter with these senders filled in: the one that Gmail itself shows for "Filter
    messages like these". "" where no sender is named, or one condition does not hold them all: then the file is for them."""
    conditions = list(_joined([one.removeprefix("*@") for one in senders if one != "*"]))
    return f"{FORM}{quote(conditions[0], safe='')}" if len(conditions) == 1 else ""


def feed(
    target: str,
    *,
    senders: Sequence[str] = (),
    subjects: Sequence[str] = (),
    words: Sequence[str] = (),
    is_archived: bool = False,
) -> str:
    """The file: a filter for senders, one for subjects, one for words; where none is named, for what sign-in mails usually say, in
    every language."""
    if not (senders or subjects or words):
        words = (*WORDS, *(_quoted(one) for one in sign_in_phrases()))
    conditions = [("from", one) for one in _joined(senders)]
    conditions += [("subject", one) for one in _joined([_quoted(one) for one in subjects])]
    conditions += [("hasTheWord", one) for one in _joined([_quoted(one) for one in words])]
    return _written(conditions, target, is_archived=is_archived)


def _joined(terms: Sequence[str]) -> Iterator[str]:
    """Terms as Gmail's ``a OR b``, in as many conditions as their length asks for."""
    group: list[str] = []
    for term in dict.fromkeys(term.strip() for term in terms if term.strip()):
        if group and len(" OR ".join((*group, term))) > LONGEST:
            yield " OR ".join(group)
            group = []
        group.append(term)
    if group:
        yield " OR ".join(group)


def _quoted(words: str) -> str:
    """Several words are one phrase."""
    plain = words.strip()
    return f'"{plain}"' if " " in plain and not plain.startswith('"') else plain


def _written(conditions: Sequence[tuple[str, str]], target: str, *, is_archived: bool) -> str:
    lines = [
        "<?xml version='1.0' encoding='UTF-8'?>",
        "<feed xmlns='http://www.w3.org/2005/Atom' xmlns:apps='http://schemas.google.com/apps/2006'>",
        "  <title>Mail Filters</title>",
    ]
    for name, value in conditions:
        properties = [(name, value), ("forwardTo", target), ("shouldNeverSpam", "true")]
        properties += [("shouldArchive", "true")] if is_archived else []
        lines += ["  <entry>", "    <category term='filter'/>", "    <title>Mail Filter</title>", "    <content/>"]
        lines += [f"    <apps:property name={quoteattr(key)} value={quoteattr(text)}/>" for key, text in properties]
        lines.append("  </entry>")
    return "\n".join([*lines, "</feed>"])
