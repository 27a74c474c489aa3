"""Gmail's question whether it may forward here: recognised, never pushed, its link kept for a person."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from mailbridge.core.addresses import find_mailboxes
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
    own = set(message.to)
    asking = next((one for one in find_mailboxes(f"{message.subject}\n{text}") if one not in own and one != SENDER), None)
    number = NUMBER.search(message.subject) or NUMBER.search(text)
    return Confirmation(link=link, code=number.group() if number else None, requester=asking)


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
