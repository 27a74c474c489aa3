"""Mails: the list, one mail with its way, and what an operator does with it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mailbridge.core.dataclass import dataclass
from mailbridge.operator import verbs
from mailbridge.operator.asks import asked as as_asked
from mailbridge.operator.codes import CodeList
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mails import MailList, OneMail
from mailbridge.operator.shapes import Line, MailDetail, MailShape
from mailbridge.trust.suffixes import registrable
from mailbridge.web.pages.asking import Answer, Asked, File, Go, Page, Refused
from mailbridge.web.pages.look import Row, delivery_state, is_proven, mail_state
from mailbridge.web.pages.views.now import rows
from mailbridge.web.pages.views.people import sender_entry
from mailbridge.web.pages.words import text

ROWS = 50
NARROWING = ("identifier", "sender", "state", "since", "until", "held", "words", "before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A step on a mail's way: when, what (a key of the words), its tone, and the program's own words about it."""

    at: str
    what: str
    tone: str = ""
    detail: str = ""


async def find(asked: Asked) -> Answer:
    """Mails, newest first, narrowed by the form above them."""
    wanted = {name: asked.query[name] for name in NARROWING if name in asked.query}
    try:
        ask = as_asked(MailList, {**_lists(wanted), "limit": str(ROWS)}, is_text=True)
    except (ValueError, msgspec.ValidationError) as fault:
        values: dict[str, object] = {"rows": [], "next": None, "wrong": str(fault).partition(" - at")[0]}
        return Page(template="mails.html", values=values, status=400)
    page = await asked.do(verbs.MAIL_LIST, ask)
    found = await rows(asked, page.mails)
    return Page(template="mails.html", values={"rows": found, "next": page.next, "wrong": ""})


async def search(asked: Asked) -> Answer:
    """Mails of an identifier, an address or a domain at once; those whose subject holds the words as a part, which is asked for behind it:
    subjects are encrypted, and one look at them ends after 50 hits or 100 ms."""
    words = asked.query.get("q", "").strip()
    before = asked.query.get("before", "")
    start = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    values: dict[str, object] = {"words": words, "rows": [], "subjects": [], "next": None, "is_first": start is None}
    values["are_subjects"] = bool(words) and (start is not None or asked.query.get("in") == "subject")
    if values["are_subjects"]:
        page = await asked.do(verbs.MAIL_LIST, MailList(words=words, before=start, limit=ROWS))
        values |= {"subjects": await rows(asked, page.mails), "next": page.next}
    if asked.is_part:
        return Page(template="_subjects.html", values=values)
    if words and start is None:
        values["rows"] = await rows(asked, await _indexed(asked, words))
    return Page(template="search.html", values=values)


async def _indexed(asked: Asked, words: str) -> list[MailShape]:
    """The newest mails of an identifier and of a sender: an address, or a domain."""
    asks = [MailList(identifier=words, limit=ROWS)]
    if "." in words and " " not in words:
        asks.append(MailList(sender=words, limit=ROWS))
    known = {one.id: one for ask in asks for one in (await asked.do(verbs.MAIL_LIST, ask)).mails}
    return [known[number] for number in sorted(known, reverse=True)[:ROWS]]


async def show(asked: Asked) -> Answer:
    """One mail. Its HTML is never rendered."""
    detail = await asked.do(verbs.MAIL_SHOW, OneMail(id=asked.number))
    return Page(template="mail.html", values=_shown(detail))


async def reveal(asked: Asked) -> Answer:
    """The same mail with the values that may be codes in clear, for ten seconds."""
    detail = await asked.do(verbs.MAIL_REVEAL, OneMail(id=asked.number))
    codes: list[str] = []
    for identifier in dict.fromkeys(one.identifier for one in detail.deliveries):
        page = await asked.do(verbs.CODE_REVEAL, CodeList(identifier=identifier, limit=100))
        codes += [one.code for one in page.codes if one.mail == detail.id]
    found = await asked.attempt(verbs.MAIL_TEXT, OneMail(id=asked.number))
    pieces = [] if isinstance(found, Fault) else found.pieces
    values = {**_shown(detail), "is_clear": True, "codes": list(dict.fromkeys(codes)), "pieces": pieces}
    return Page(template="_found.html" if asked.is_part else "mail.html", values=values)


async def masked(asked: Asked) -> Answer:
    """Its text, masked, with each candidate marked. It takes a worker some tenths of a second, so the page loads it afterwards."""
    detail = await asked.do(verbs.MAIL_SHOW, OneMail(id=asked.number))
    found = await asked.attempt(verbs.MAIL_MARKED, OneMail(id=asked.number))
    values = {**_shown(detail), "masked": [] if isinstance(found, Fault) else found.pieces}
    values["hops"] = [] if isinstance(found, Fault) else found.hops
    values["no_text"] = found.title if isinstance(found, Fault) else ""
    return Page(template="_text.html" if asked.is_part else "mail.html", values=values)


async def release(asked: Asked) -> Answer:
    """Push the code of a held mail, on the operator's word; with ``allow`` its sender's domain becomes known for its
    identifiers."""
    if asked.sent("allow"):
        mail = await asked.do(verbs.MAIL_SHOW, OneMail(id=asked.number))
        known = registrable(mail.from_.rpartition("@")[2])
        if known is None or not mail.identifiers:
            raise Refused(Fault(kind=Kind.REFUSED, title=text("fault.nobody")))
        added = await asked.attempt(verbs.ENTRY_ADD, sender_entry(known, mail.identifiers, is_allowed=True))
        if isinstance(added, Fault) and added.kind is not Kind.EXISTS:
            raise Refused(added)
    made = await asked.do(verbs.MAIL_RELEASE, OneMail(id=asked.number))
    return Go(path=f"/mail/{made.mail}", said="said.released")


async def replay(asked: Asked) -> Answer:
    """Hand it in again as a new one."""
    made = await asked.do(verbs.MAIL_REPLAY, OneMail(id=asked.number))
    return Go(path=f"/mail/{made.mail}", said="said.replayed")


async def confirm(asked: Asked) -> Answer:
    """Confirm the forwarding."""
    await asked.do(verbs.MAIL_CONFIRM, OneMail(id=asked.number))
    return Go(path=f"/mail/{asked.number}", said="said.confirmed")


async def raw(asked: Asked) -> Answer:
    """The mail itself, as a file."""
    found = await asked.do(verbs.MAIL_RAW, OneMail(id=asked.number))
    if not found.content:
        raise Refused(Fault(kind=Kind.NOT_FOUND, title=text("fault.empty")))
    return File(name=f"mail-{found.id}.eml", content=found.content)


def _shown(detail: MailDetail) -> dict[str, object]:
    is_released = any(line.event == "released" for line in detail.history)
    return {
        "row": Row(mail=detail, state=mail_state(detail, detail.deliveries, is_released=is_released)),
        "deliveries": [(one, delivery_state(one)) for one in detail.deliveries],
        "way": way(detail),
        "is_released": is_released,
        "is_confirmed": any(line.event == "confirmed" for line in detail.history),
        "is_clear": False,
        "codes": [],
        "pieces": [],
        "masked": [],
        "hops": [],
        "no_text": "",
    }


def way(mail: MailDetail) -> Sequence[Station]:
    """What happened to it, from its receipt on."""
    begun = Station(at=mail.received_at, what="way.received", detail=f"{mail.ingress}, {mail.mail_from or '<>'}")
    understood = Station(
        at=mail.received_at,
        what=f"way.verdict.{mail.verdict}",
        tone={"code": "", "link": "", "none": "none"}.get(mail.verdict, "wait"),
        detail=mail.rule or mail.reason,
    )
    named = Station(
        at=mail.received_at,
        what="way.named" if mail.identifiers else "way.nobody",
        tone="" if mail.identifiers else "wait",
        detail=", ".join(mail.identifiers) + (f" ({mail.identifier_from})" if mail.identifier_from else ""),
    )
    proven = [Station(at=mail.received_at, what="way.held", tone="wait", detail="; ".join(mail.held))] if mail.held else []
    if mail.trust and not mail.held:
        proven = [
            Station(
                at=mail.received_at,
                what="way.proven" if is_proven(mail) else "way.let_through",
                tone="" if is_proven(mail) else "none",
                detail=mail.trust,
            )
        ]
    return [begun, understood, named, *proven, *(_station(line) for line in mail.history)]


TONES = {"dead": "bad", "expired": "bad", "superseded": "none", "duplicate": "none", "pending": "wait", "retry": "wait"}


def _station(line: Line) -> Station:
    return Station(at=line.at, what=f"event.{line.event}", tone=TONES.get(line.event, ""), detail=line.detail)


def _lists(wanted: dict[str, str]) -> dict[str, object]:
    """A query's words as a verb wants them: states are a list."""
    found: dict[str, object] = dict(wanted)
    if "state" in found:
        found["state"] = [wanted["state"]]
    return found
