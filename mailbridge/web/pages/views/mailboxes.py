"""Mailboxes: each as it is now, tried on demand, added by the steps of `imap add`, and removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailbridge.core.dataclass import dataclass
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.entries import EntryList
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mailboxes import AddMailbox, OfMailbox, OneMailbox, TryMailbox
from mailbridge.operator.setup.answers import Mistake
from mailbridge.operator.setup.answers import host as parse_host
from mailbridge.operator.shapes import EntryShape, MailboxAdded, MailboxTest, ProviderShape
from mailbridge.web.pages.asking import Answer, Asked, Go, Page, filled, said

STARTTLS = "143"
"""The port at which a connection begins without TLS."""

FIELDS = ("address", "server", "identifier", "username")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A mailbox that is watched: its table, and how each of its folders is (none: the daemon has not begun with it)."""

    entry: EntryShape
    folders: Sequence[Mapping[str, Any]]

    @property
    def address(self) -> str:
        """Whose it is."""
        values = self.entry.settings
        return str(values.get("address") or values.get("username") or self.entry.name)

    @property
    def is_well(self) -> bool:
        """Whether a new mail in any of its folders is noticed."""
        return bool(self.folders) and all(one["is_well"] for one in self.folders)

    @property
    def is_beginning(self) -> bool:
        """Whether its first connection is still being made: it is not watched yet, and nothing is wrong so far."""
        return all(one["mode"] == "connecting" and one.get("last_roundtrip") is None for one in self.folders)

    @property
    def canary(self) -> Mapping[str, Any] | None:
        """The state of its canary; the same in each folder."""
        return next((one["canary"] for one in self.folders if one.get("canary")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adding:
    """How far the adding of one is: ``found`` once its provider is known, ``added`` once it is watched."""

    found: ProviderShape | None = None
    asks_server: bool = False
    added: MailboxAdded | None = None


async def find(asked: Asked) -> Answer:
    """Every mailbox, and the form for another one."""
    return await _page(asked)


async def test(asked: Asked) -> Answer:
    """Log in, open the folders, fetch one mail, idle: what came of each step."""
    ask = filled(TryMailbox, {"name": asked.sent("name")})
    if isinstance(ask, dict):
        return await _page(asked, status=400)
    found = await asked.do(verbs.MAILBOX_TEST, ask)
    if asked.is_part:
        return Page(template="_tried.html", values={"tried": found})
    return await _page(asked, tried=found)


async def add(asked: Asked) -> Answer:
    """First ask for the address, which gives the provider; then for the password, which is tried before it is stored."""
    address = filled(OfMailbox, {"address": asked.sent("address").strip()})
    if isinstance(address, dict):
        return await _page(asked, wrong=address, adding=Adding(asks_server="server" in asked.form), status=400)
    try:
        settings = _settings(asked)
    except Mistake as fault:
        return await _page(asked, wrong={"server": str(fault)}, adding=Adding(asks_server=True), status=400)
    if "host" in settings:
        found: ProviderShape | Fault = _own(settings["host"])
    else:
        found = await asked.attempt(verbs.MAILBOX_PROVIDER, address)
    if isinstance(found, Fault):
        is_unknown = found.kind is Kind.NOT_FOUND
        wrong = {"server": "mailbox.server.needed"} if is_unknown else {"address": said(found)}
        return await _page(asked, wrong=wrong, adding=Adding(asks_server=is_unknown), status=found.meaning.status)
    adding = Adding(found=found, asks_server="server" in asked.form)
    if not found.takes_password or "password" not in asked.form:
        return await _page(asked, adding=adding)
    if not asked.sent("password"):
        return await _page(asked, adding=adding, wrong={"password": "needed"}, status=400)
    if "host" not in settings:
        settings |= {"preset": found.preset} if found.preset else {"host": found.host}
    ask = filled(AddMailbox, {"address": address.address, "settings": settings, "secrets": {"password": asked.sent("password")}})
    if isinstance(ask, dict):
        return await _page(asked, adding=adding, wrong={"password": next(iter(ask.values()))}, status=400)
    made = await asked.attempt(verbs.MAILBOX_ADD, ask)
    if isinstance(made, Fault):
        return await _page(asked, adding=adding, wrong={_field(made): said(made)}, status=made.meaning.status)
    return await _page(asked, adding=Adding(added=made))


async def remove(asked: Asked) -> Answer:
    """Watch one no longer, and erase its password."""
    ask = filled(OneMailbox, {"name": asked.sent("name")})
    if isinstance(ask, dict):
        return await _page(asked, status=400)
    await asked.do(verbs.MAILBOX_REMOVE, ask)
    return Go(path="/mailboxes", said="said.removed")


async def _page(
    asked: Asked,
    *,
    adding: Adding | None = None,
    wrong: Mapping[str, str] | None = None,
    tried: MailboxTest | None = None,
    status: int = 200,
) -> Page:
    found = await asked.attempt(verbs.STATUS, Nothing())
    rows: Sequence[Mapping[str, Any]] = () if isinstance(found, Fault) else found.mailboxes
    entries = (await asked.do(verbs.ENTRY_LIST, EntryList(kind="imap"))).entries
    accounts = [
        Account(entry=entry, folders=[one for one in rows if str(one["mailbox"]).partition("/")[0] == entry.name])
        for entry in entries
    ]
    values = {
        "accounts": accounts,
        "adding": adding or Adding(),
        "wrong": wrong or {},
        "tried": tried,
        "typed": {name: asked.sent(name) for name in FIELDS},
    }
    return Page(template="mailboxes.html", values=values, status=status)


def _settings(asked: Asked) -> dict[str, Any]:
    """What the form's further fields say, as keys of `[[imap]]`. Raises Mistake."""
    found: dict[str, Any] = {}
    server = asked.sent("server").strip()
    if server:
        host, _, port = parse_host(server).partition(":")
        found |= {"host": host, **({"port": int(port)} if port else {})}
        found |= {"tls": "starttls"} if port == STARTTLS else {}
    found |= {name: text for name in ("identifier", "username") if (text := asked.sent(name).strip())}
    return found


def _own(host: str) -> ProviderShape:
    """A server that a person named: it needs a password, and nothing else is known of it."""
    return ProviderShape(name=host, preset="", host=host, oauth="", takes_password=True, hint="", by="name")


def _field(fault: Fault) -> str:
    """The field that shows the result of a try: the failed step says what was wrong."""
    step = fault.title.partition(" is not added; ")[2].partition(":")[0]
    return {"login": "password", "connect": "server"}.get(step, "form")
