"""The folders of an account, and the purpose of each (RFC 6154)."""

from __future__ import annotations

from typing import Any, Literal

from imapclient.exceptions import IMAPClientError

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.faults import Kind, MailboxFault, refusal, words_of
from mailbridge.ingress.imap.stream import Stream
from mailbridge.ingress.imap.wire import Wire

Use = Literal["", "junk", "trash", "sent", "drafts", "all"]
SPECIAL: dict[str, Use] = {
    r"\junk": "junk",
    r"\spam": "junk",
    r"\trash": "trash",
    r"\sent": "sent",
    r"\drafts": "drafts",
    r"\all": "all",
}
NAMED: dict[str, Use] = {
    "junk": "junk",
    "spam": "junk",
    "junk email": "junk",
    "junk e-mail": "junk",
    "bulk": "junk",
    "bulk mail": "junk",
    "trash": "trash",
    "bin": "trash",
    "deleted items": "trash",
    "deleted messages": "trash",
    "sent": "sent",
    "sent items": "sent",
    "sent messages": "sent",
    "sent mail": "sent",
    "drafts": "drafts",
    "all mail": "all",
}
"""The purpose of a folder by its name, if the server does not say it (RFC 6154)."""
MOST_FOLDERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder that can be opened, and its purpose."""

    name: str
    use: Use


def folders_of(wire: Wire) -> tuple[Folder, ...]:
    """Every folder that can be opened, as the server lists them.

    Raises:
        MailboxFault: the server lists nothing.
    """
    try:
        listed: list[Any] = wire.list_folders()
    except (IMAPClientError, Stream.error) as fault:
        raise refusal("LIST", words_of(fault)) from None
    found = []
    for flags, delimiter, name in listed[:MOST_FOLDERS]:
        words = {flag.decode("ascii", "replace").lower() for flag in flags}
        if not words & {r"\noselect", r"\nonexistent"}:
            separator = delimiter.decode("ascii", "replace") if isinstance(delimiter, bytes) else ""
            last = str(name).rsplit(separator, 1)[-1] if separator else str(name)
            told = next((SPECIAL[word] for word in sorted(words) if word in SPECIAL), NAMED.get(last.casefold(), ""))
            found.append(Folder(name=str(name), use=told))
    return tuple(found)


def named(wire: Wire, folder: str) -> str:
    """The name of a folder that is configured by its purpose, ``\\Junk`` (RFC 6154). Any other name is returned unchanged.

    Raises:
        MailboxFault: the server has no such folder.
    """
    if not folder.startswith("\\"):
        return folder
    use = SPECIAL.get(folder.lower())
    found = next((one.name for one in folders_of(wire) if use is not None and one.use == use), None)
    if found is None:
        text = f"no folder is known as {folder}: name it as `mailbridge imap test` lists it"
        raise MailboxFault(Kind.SETTING, text)
    return found
