"""Mailboxes, senders, authenticators and sessions: what people add and remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailbridge.config.settings import SenderSettings
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.authenticators import AddAuthenticator, Bind, OneAuthenticator
from mailbridge.operator.entries import AddEntry, EntryList, OneEntry
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.sessions import OneSession
from mailbridge.web.pages.asking import Answer, Asked, Go, Page, Refused
from mailbridge.web.pages.words import text

PRESETS = ("gmail", "outlook", "yahoo", "icloud", "fastmail", "zoho", "proton", "163", "yandex")


async def mailboxes(asked: Asked) -> Answer:
    """Every watched mailbox as it is now, and the form for another one."""
    return await _mailboxes(asked)


async def _mailboxes(asked: Asked, *, wrong: Mapping[str, str] | None = None, status: int = 200) -> Page:
    found = await asked.attempt(verbs.STATUS, Nothing())
    entries = await asked.do(verbs.ENTRY_LIST, EntryList(kind="imap"))
    values = {
        "mailboxes": [] if isinstance(found, Fault) else found.mailboxes,
        "entries": entries.entries,
        "presets": PRESETS,
        "wrong": wrong or {},
        "typed": {name: asked.sent(name) for name in ("name", "username", "preset", "host")},
    }
    return Page(template="mailboxes.html", values=values, status=status)


async def add_mailbox(asked: Asked) -> Answer:
    """Watch one more. What is wrong stands beside its field, and what was typed stays, but for the password."""
    username, host, preset = asked.sent("username").strip(), asked.sent("host").strip(), asked.sent("preset").strip()
    name = asked.sent("name").strip() or username
    wrong = {}
    if not username:
        wrong["username"] = "needed"
    if not asked.sent("password"):
        wrong["password"] = "needed"  # noqa: S105  (a key of the words)
    if not preset and not host:
        wrong["host"] = "mailbox.host.needed"
    if wrong:
        return await _mailboxes(asked, wrong=wrong, status=400)
    settings = {"username": username, "name": name, **({"preset": preset} if preset else {}), **({"host": host} if host else {})}
    ask = AddEntry(kind="imap", name=name, settings=settings, secrets={"password": asked.sent("password")})
    made = await asked.attempt(verbs.ENTRY_ADD, ask)
    if isinstance(made, Fault):
        problems = "; ".join(made.problems) or made.title
        return await _mailboxes(asked, wrong={"form": problems}, status=made.meaning.status)
    return Go(path="/mailboxes", said="said.mailbox_added")


async def remove_mailbox(asked: Asked) -> Answer:
    """Watch one no longer."""
    await asked.do(verbs.ENTRY_REMOVE, OneEntry(kind="imap", name=asked.sent("name")))
    return Go(path="/mailboxes", said="said.removed")


async def senders(asked: Asked) -> Answer:
    """Senders that are allowed or forbidden, and what each address asks of its senders."""
    return await _senders(asked)


async def _senders(asked: Asked, *, wrong: Mapping[str, str] | None = None, status: int = 200) -> Page:
    entries = (await asked.do(verbs.ENTRY_LIST, EntryList())).entries
    values = {
        "senders": [one for one in entries if one.kind == "sender"],
        "addresses": [one for one in entries if one.kind == "address"],
        "wrong": wrong or {},
        "typed": {name: asked.sent(name) for name in ("sender", "identifier", "allow")},
    }
    return Page(template="senders.html", values=values, status=status)


async def add_sender(asked: Asked) -> Answer:
    """Allow or forbid one, for one identifier or for all."""
    sender, identifier = asked.sent("sender").strip().casefold().removeprefix("@"), asked.sent("identifier").strip()
    if not sender:
        return await _senders(asked, wrong={"sender": "needed"}, status=400)
    made = await asked.attempt(
        verbs.ENTRY_ADD, sender_entry(sender, (identifier,) if identifier else (), is_allowed=asked.sent("allow") != "no")
    )
    if isinstance(made, Fault):
        return await _senders(asked, wrong={"sender": "; ".join(made.problems) or made.title}, status=made.meaning.status)
    return Go(path="/senders", said="said.sender_added")


def sender_entry(sender: str, identifiers: Sequence[str], *, is_allowed: bool) -> AddEntry:
    """What makes a sender known, or forbids it, for these identifiers (none: for all)."""
    table = SenderSettings(sender=sender, identifiers=tuple(identifiers) or ("*",), allow=is_allowed)
    settings: dict[str, object] = {"sender": sender, **({"identifiers": list(identifiers)} if identifiers else {})}
    return AddEntry(kind="sender", name=table.label, settings={**settings, **({} if is_allowed else {"allow": False})})


async def remove_sender(asked: Asked) -> Answer:
    """Take back what was said of one."""
    await asked.do(verbs.ENTRY_REMOVE, OneEntry(kind="sender", name=asked.sent("name")))
    return Go(path="/senders", said="said.removed")


async def authenticators(asked: Asked) -> Answer:
    """Every authenticator, and the form for another one."""
    return await _authenticators(asked)


async def _authenticators(asked: Asked, *, wrong: Mapping[str, str] | None = None, status: int = 200) -> Page:
    page = await asked.do(verbs.TOTP_LIST, Nothing())
    typed = {name: asked.sent(name) for name in ("name", "identifier")}
    values = {"authenticators": page.authenticators, "wrong": wrong or {}, "typed": typed, "code": None, "shown_of": ""}
    return Page(template="authenticators.html", values=values, status=status)


async def add_authenticator(asked: Asked) -> Answer:
    """Store a secret. What was typed stays, but for the secret."""
    name, secret = asked.sent("name").strip(), asked.sent("secret").strip()
    wrong = {field: "needed" for field, value in (("name", name), ("secret", secret)) if not value}
    if wrong:
        return await _authenticators(asked, wrong=wrong, status=400)
    made = await asked.attempt(
        verbs.TOTP_ADD, AddAuthenticator(name=name, secret=secret, identifier=asked.sent("identifier").strip())
    )
    if isinstance(made, Fault):
        field = {Kind.EXISTS: "name", Kind.REFUSED: "secret"}.get(made.kind, "form")
        return await _authenticators(asked, wrong={field: made.title}, status=made.meaning.status)
    return Go(path="/authenticators", said="said.authenticator_added")


async def authenticator_code(asked: Asked) -> Answer:
    """The code of this moment, for ten seconds."""
    name = asked.sent("name")
    code = await asked.do(verbs.TOTP_CODE, OneAuthenticator(name=name))
    if asked.is_part:
        return Page(template="_totp.html", values={"code": code})
    page = await asked.do(verbs.TOTP_LIST, Nothing())
    values = {"authenticators": page.authenticators, "wrong": {}, "typed": {"name": "", "identifier": ""}}
    return Page(template="authenticators.html", values={**values, "code": code, "shown_of": name})


async def bind_authenticator(asked: Asked) -> Answer:
    """Let one answer for an identifier, or for nobody."""
    await asked.do(verbs.TOTP_BIND, Bind(name=asked.sent("name"), identifier=asked.sent("identifier").strip()))
    return Go(path="/authenticators", said="said.bound")


async def remove_authenticator(asked: Asked) -> Answer:
    """Erase one."""
    await asked.do(verbs.TOTP_REMOVE, OneAuthenticator(name=asked.sent("name")))
    return Go(path="/authenticators", said="said.removed")


async def sessions(asked: Asked) -> Answer:
    """Who is logged in."""
    page = await asked.do(verbs.SESSION_LIST, Nothing())
    return Page(template="sessions.html", values={"sessions": page.sessions})


async def end_session(asked: Asked) -> Answer:
    """End a session at once."""
    number = asked.sent("id")
    if not (number.isascii() and number.isdigit() and 0 < len(number) < 19 and int(number)):
        raise Refused(Fault(kind=Kind.BAD_REQUEST, title=text("fault.session")))
    await asked.do(verbs.SESSION_REMOVE, OneSession(id=int(number)))
    return Go(path="/sessions", said="said.session_ended")
