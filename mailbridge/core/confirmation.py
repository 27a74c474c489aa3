"""Gmail's question whether it may forward here: recognised, never pushed, its link kept for a person."""

from __future__ import annotations

import re
from dataclasses import field
from urllib.parse import unquote

from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Message
from mailbridge.core.url import ambiguity, read

SENDER = "forwarding-noreply@google.com"
HEADER = "X-Google-Address-Confirmation"
HOSTS = frozenset({"mail-settings.google.com", "mail.google.com", "isolated.mail.google.com"})
"""Where the link has been seen to lead, 2017 to 2026."""

CONFIRM_PATH = "/mail/vf-"
"""Confirming; ``/mail/uf-`` beside it cancels, and is never shown."""

DOTS = frozenset({".", ".."})
URL = re.compile(r"https://[^\s<>\"']{1,2000}")
SENTENCE_END = ".,;:!?)]}*_"
BEFORE_ADDRESS = '<(["“„«‘（「『【《'
AFTER_ADDRESS = '>)]"”“»’.,;:!?）」』】》。，、；：！？'
"""What a text puts around an address. None of the first may begin a mailbox, as an apostrophe or a brace may, and none of the second
may end one."""

NUMBER = re.compile(r"(?<!\d)\d{8,9}(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """``link`` is the genuine link to open, ``code`` the older form's number, ``requester`` the account that asks."""

    link: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    requester: str | None = None


def gmail_confirmation(message: Message, mail_from: str) -> Confirmation | None:
    """What the mail confirms; None where it is none.

    The sender or Google's own header makes it one, never the subject, which has many languages and brands. Whoever sent it
    really: a mail that looks like one is not pushed, and only a link to Google's own hosts is kept.
    """
    is_from_google = message.sender.casefold() == SENDER or mail_from.casefold() == SENDER
    if not is_from_google and message.header(HEADER) is None:
        return None
    page = message.plain or message.html
    text = page.text if page is not None else ""
    urls = [*URL.findall(text), *(link.url for link in (page.links if page is not None else ()))]
    link = next((url for url in (one.rstrip(SENTENCE_END) for one in urls) if is_genuine(url)), None)
    number = NUMBER.search(message.subject) or NUMBER.search(text)
    return Confirmation(link=link, code=number.group() if number else None, requester=_requester(message, text))


def _requester(message: Message, text: str) -> str | None:
    """The one mailbox that subject and text name beside ours and Google's own; None where they name another, or half of one.

    Google puts words of the asker's choice into both (the name of a Workspace: "Thanks for using ..."), which may look like a mailbox
    that is listed. So the asker is not the first that is found, but the only one.
    """
    ours = {one.lower() for one in (*message.to, SENDER)}
    named: dict[str, str] = {}
    for word in f"{message.subject} {text}".split():
        if "@" in word and not word.startswith(("http://", "https://")):
            mailbox = parse_mailbox(word.lstrip(BEFORE_ADDRESS).rstrip(AFTER_ADDRESS))
            if mailbox is None:
                return None
            if mailbox.lower() not in ours:
                named.setdefault(mailbox.lower(), mailbox)
    return next(iter(named.values())) if len(named) == 1 else None


def is_genuine(url: str) -> bool:
    """Whether a link is Google's own way to confirm: exact host, https, no port, no user, the confirming path, plain ASCII.

    It must be written just as a browser sends it. A path with steps upwards (``/mail/vf-/../uf-``), which clients and servers
    resolve, is none.
    """
    found = read(url)
    return (
        found is not None
        and url == found.href
        and not ambiguity(found)
        and found.scheme == "https"
        and found.host in HOSTS
        and found.path.startswith(CONFIRM_PATH)
        and not DOTS.intersection(unquote(found.path).split("/"))
    )
