"""Senders, authenticators and sessions: what people add and remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from mailbridge.config.settings import SenderSettings
from mailbridge.operator import qr, verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.asks import asked as as_asked
from mailbridge.operator.authenticators import AddAuthenticator, Bind, OneAuthenticator
from mailbridge.operator.entries import AddEntry, EntryList, OneEntry
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.sessions import OneSession
from mailbridge.operator.shapes import AuthenticatorCode
from mailbridge.web.pages.asking import Answer, Asked, Go, Page, Refused, filled, said
from mailbridge.web.pages.words import text


async def senders(asked: Asked) -> Answer:
    """Known and forbidden senders, and which senders and proofs each address accepts."""
    return await _senders(asked)


async def _senders(asked: Asked, *, wrong: Mapping[str, str] | None = None, status: int = 200) -> Page:
    entries = (await asked.do(verbs.ENTRY_LIST, EntryList())).entries
    values = {
        "known": await asked.do(verbs.SENDER_KNOWN, Nothing()),
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
    try:
        ask = sender_entry(sender, (identifier,) if identifier else (), is_allowed=asked.sent("allow") != "no")
        ask = as_asked(AddEntry, msgspec.to_builtins(ask), is_text=False)
    except (ValueError, msgspec.ValidationError):
        return await _senders(asked, wrong={"sender": "unusable"}, status=400)
    made = await asked.attempt(verbs.ENTRY_ADD, ask)
    if isinstance(made, Fault):
        field = "identifier" if "identifiers" in said(made) else "sender"
        return await _senders(asked, wrong={field: said(made)}, status=made.meaning.status)
    return Go(path="/senders", said="said.sender_added")


def sender_entry(sender: str, identifiers: Sequence[str], *, is_allowed: bool) -> AddEntry:
    """What makes a sender known, or forbids it, for these identifiers (none: for all)."""
    table = SenderSettings(sender=sender, identifiers=tuple(identifiers) or ("*",), allow=is_allowed)
    settings: dict[str, object] = {"sender": sender, **({"identifiers": list(identifiers)} if identifiers else {})}
    return AddEntry(kind="sender", name=table.label, settings={**settings, **({} if is_allowed else {"allow": False})})


async def remove_sender(asked: Asked) -> Answer:
    """Remove the entry of a sender."""
    await asked.do(verbs.ENTRY_REMOVE, OneEntry(kind="sender", name=asked.sent("name")))
    return Go(path="/senders", said="said.removed")


async def authenticators(asked: Asked) -> Answer:
    """Every authenticator, and the form for another one."""
    return await _authenticators(asked)


async def _authenticators(
    asked: Asked, *, wrong: Mapping[str, str] | None = None, code: AuthenticatorCode | None = None, status: int = 200
) -> Page:
    page = await asked.do(verbs.TOTP_LIST, Nothing())
    name = asked.sent("name")
    is_bound = asked.name == "totp.bind"
    values = {
        "authenticators": page.authenticators,
        "wrong": {} if is_bound else wrong or {},
        "wrong_of": {name: "; ".join((wrong or {}).values())} if is_bound else {},
        "typed": {"name": "", "identifier": ""} if is_bound or code else {"name": name, "identifier": asked.sent("identifier")},
        "typed_of": {name: asked.sent("identifier")} if is_bound else {},
        "code": code,
        "shown_of": name,
        "takes_pictures": qr.is_installed(),
    }
    return Page(template="authenticators.html", values=values, status=status)


async def add_authenticator(asked: Asked) -> Answer:
    """Store a typed secret, or one from the picture of a QR code. Typed fields stay, except the secret."""
    name, secret = asked.sent("name").strip(), asked.sent("secret").strip()
    picture = asked.files.get("picture", b"")
    wrong = {} if name else {"name": "needed"}
    if not secret and not picture:
        wrong["secret"] = "totp.needed"  # noqa: S105  (a key of the words)
    if secret and picture:
        wrong["picture"] = "totp.both"
    if not wrong and picture:
        asked.need_fresh()
        found = await qr.in_worker(picture)
        wrong = {"picture": said(found)} if isinstance(found, Fault) else {}
        secret = "" if isinstance(found, Fault) else found
    if wrong:
        return await _authenticators(asked, wrong=wrong, status=400)
    ask = filled(AddAuthenticator, {"name": name, "secret": secret, "identifier": asked.sent("identifier").strip()})
    if isinstance(ask, dict):
        return await _authenticators(asked, wrong=ask, status=400)
    made = await asked.attempt(verbs.TOTP_ADD, ask)
    if isinstance(made, Fault):
        field = {Kind.EXISTS: "name", Kind.REFUSED: "picture" if picture else "secret"}.get(made.kind, "form")
        field = "identifier" if made.title.startswith("identifier:") else field
        return await _authenticators(asked, wrong={field: said(made)}, status=made.meaning.status)
    return Go(path="/authenticators", said="said.authenticator_added")


async def authenticator_code(asked: Asked) -> Answer:
    """The code of this moment, for ten seconds."""
    code = await asked.do(verbs.TOTP_CODE, OneAuthenticator(name=asked.sent("name")))
    if asked.is_part:
        return Page(template="_totp.html", values={"code": code})
    return await _authenticators(asked, code=code)


async def bind_authenticator(asked: Asked) -> Answer:
    """Bind an authenticator to an identifier, or to none."""
    ask = filled(Bind, {"name": asked.sent("name"), "identifier": asked.sent("identifier").strip()})
    if isinstance(ask, dict):
        return await _authenticators(asked, wrong=ask, status=400)
    done = await asked.attempt(verbs.TOTP_BIND, ask)
    if isinstance(done, Fault):
        return await _authenticators(asked, wrong={"identifier": said(done)}, status=done.meaning.status)
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
