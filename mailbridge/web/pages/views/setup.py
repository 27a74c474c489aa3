"""*Setup*: the steps of `operator.setup` on a page: questions as forms, lines to copy, and what it waits for."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Sequence
from email.message import EmailMessage

import msgspec

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import MASK
from mailbridge.net.listening import reachable
from mailbridge.net.smtp_client import send
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.codes import OfIdentifier
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.gmail import FilterAsk
from mailbridge.operator.setup.answers import WAYS
from mailbridge.operator.setup.verb import QuestionShape, SetupAnswer, SetupState
from mailbridge.web.pages.asking import Answer, Asked, File, Go, Page, Refused, Same, filled, said
from mailbridge.web.pages.words import text

PATIENCE = 10.0
"""Seconds in which a test mail has to be delivered."""

GLANCE = 0.1
CHANGEABLE = {"way": "way", "for": "for", "domain": "domain", "mailbox": "username"}
"""Steps whose first question may be answered once more, and the name of that question."""

LABELLED = (re.compile(r"^(.* .*?)(?::| =) ([^\s\"'{}\]]+)$"), re.compile(r"^([\w-]+): ([^\s\"'{}\]]+)$"))
FIELDS = re.compile(r" {3,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """Something to be copied: ``label`` says what it is ("": it speaks for itself)."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows that belong together below a heading ("": none). A row of several fields goes into as many fields of a panel."""

    heading: str
    rows: Sequence[Sequence[Copied]]


async def setup(asked: Asked) -> Answer:
    """The progress. This asks nobody; the page does that itself after it is loaded."""
    change = asked.query.get("change", "")
    return _page(await asked.do(verbs.SETUP_SHOW, Nothing()), change=change if change in CHANGEABLE else "")


async def look(asked: Asked) -> Answer:
    """Do what can be done now, and check what setup waits for. If nothing changed, the page stays."""
    state = await _looked(asked)
    if asked.is_part and asked.sent("seen") == digest(state):
        return Same()
    return _page(state, template="_setup.html" if asked.is_part else "setup.html")


async def answer(asked: Asked) -> Answer:
    """Take an answer. One that is wrong stays, with the reason, but for a secret."""
    name, value = asked.sent("name"), asked.sent("value")
    change = asked.sent("change")
    ask = filled(SetupAnswer, {"name": name, "value": value})
    if isinstance(ask, dict):
        if "name" in ask:
            raise Refused(Fault(kind=Kind.BAD_REQUEST, title=text("fault.question")))
        return _page(await _looked(asked), wrong=ask["value"], typed=value, change=change, status=400)
    found = await asked.attempt(verbs.SETUP_ANSWER, ask)
    if isinstance(found, Fault):
        state = await _looked(asked)
        is_secret = state.question is None or state.question.is_secret
        typed = "" if is_secret and not change else value
        return _page(state, wrong=said(found), typed=typed, change=change, status=found.meaning.status)
    return Go(path="/setup")


async def test(asked: Asked) -> Answer:
    """Send a mail with a made-up code through the listener of this very bridge, and see it delivered."""
    state = await asked.do(verbs.SETUP_SHOW, Nothing())
    if not any(one.wants == "test" for one in state.steps):
        return Go(path="/setup")
    why = await _sent(asked, state.identifier)
    until = asyncio.get_running_loop().time() + PATIENCE
    while not why:
        state = await _looked(asked)
        if not any(one.wants == "test" for one in state.steps):
            return Go(path="/setup")
        if asyncio.get_running_loop().time() > until:
            why = "setup.test.late"
        await asyncio.sleep(GLANCE)
    return _page(state, wrong=why, status=502)


async def filter_file(asked: Asked) -> Answer:
    """The filter for Gmail, as a file to import there."""
    state = await asked.do(verbs.SETUP_SHOW, Nothing())
    found = await asked.do(verbs.GMAIL_FILTER, FilterAsk(identifier=state.identifier))
    name = f"mailFilters-{re.sub(r'[^a-z0-9.-]+', '-', state.identifier.casefold())[:60]}.xml"
    if any(one.wants == "filter" for one in state.steps):
        await asked.do(verbs.SETUP_ANSWER, SetupAnswer(name="filter", value=name))
    return File(name=name, content=found.xml.encode())


async def reveal(asked: Asked) -> Answer:
    """The lines with their secrets, to set at a service."""
    asked.need_fresh()
    asked.tell("setup.reveal", "done")
    return _page(await asked.do(verbs.SETUP_GO, Nothing()), is_clear=True)


async def forget(asked: Asked) -> Answer:
    """Start again; what was added stays."""
    await asked.do(verbs.SETUP_FORGET, Nothing())
    return Go(path="/setup")


async def _looked(asked: Asked) -> SetupState:
    """The state, without the secrets in its lines."""
    found = await asked.do(verbs.SETUP_GO, Nothing())
    return masked(found, await asked.do(verbs.SETUP_SHOW, Nothing()))


def masked(found: SetupState, plain: SetupState) -> SetupState:
    """A state in which the lines of a step are those of ``plain`` where these hide something."""
    hidden = {one.name: one.lines for one in plain.steps if any(MASK in line for line in one.lines)}
    steps = [msgspec.structs.replace(one, lines=hidden.get(one.name, one.lines)) for one in found.steps]
    return msgspec.structs.replace(found, steps=steps)


async def _sent(asked: Asked, identifier: str) -> str:
    """Send the test mail. Returns why that failed; "" if it worked."""
    status = await asked.do(verbs.STATUS, Nothing())
    listener = next((one for one in status.smtp if not one.startswith("unix:")), None)
    if listener is None:
        return "setup.test.nowhere"
    rcpt = (await asked.do(verbs.TEST_ADDRESS, OfIdentifier(identifier=identifier))).rcpt
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "mailbridge test <test@mailbridge.example>", identifier, "Your test code"
    mail["Message-ID"] = f"<{secrets.token_hex(12)}@mailbridge.example>"
    mail.set_content(f"Your verification code is {secrets.randbelow(900_000) + 100_000}\n")
    try:
        answer = await asyncio.to_thread(
            send, reachable(listener), mail_from="test@mailbridge.example", rcpt=rcpt, content=mail.as_bytes()
        )
    except OSError as fault:
        return f"the listener on {listener} does not answer: {type(fault).__name__}"
    return "" if answer.is_accepted else f"the listener on {listener} answered {answer.code} {answer.text}"


def _page(
    state: SetupState,
    *,
    template: str = "setup.html",
    wrong: str = "",
    typed: str = "",
    change: str = "",
    is_clear: bool = False,
    status: int = 200,
) -> Page:
    values = {
        "state": state,
        "seen": digest(state),
        "blocks": {one.name: blocks(one.lines) for one in state.steps},
        "has_secret": not is_clear and any(MASK in line for one in state.steps for line in one.lines),
        "changeable": CHANGEABLE,
        "question": _again(change) if change in CHANGEABLE else state.question,
        "asking": change or state.current or "",
        "change": change,
        "wrong": wrong,
        "typed": typed,
        "is_clear": is_clear,
        "marks": MARKS,
    }
    return Page(template=template, values=values, status=status)


MARKS = {
    "done": ("s-good", "good"),
    "ask": ("i-why", "ask"),
    "wait": ("s-move", "wait"),
    "failed": ("s-bad", "bad"),
    "later": ("s-none", ""),
}
"""The mark and the tone of a step's level."""


def _again(step: str) -> QuestionShape:
    """The question of a step that is answered already."""
    name = CHANGEABLE[step]
    choices = [list(one) for one in WAYS.items()] if name == "way" else []
    return QuestionShape(name=name, text="", is_secret=False, choices=choices, default=None)


def digest(state: SetupState) -> str:
    """What changes with anything that is shown."""
    return hashlib.sha256(msgspec.json.encode(state)).hexdigest()[:24]


def blocks(lines: Sequence[str]) -> list[Block]:
    """A step's lines as a person copies them: what stands below a heading, in fields where a panel has fields, lines of one text together."""
    found: list[tuple[str, list[list[Copied]]]] = []
    heading = ""
    for line in lines:
        if line.endswith(":") and not line.startswith(" "):
            heading = line.removesuffix(":")
            continue
        row = _row(line)
        last = found[-1] if found and found[-1][0] == heading else None
        if last is None:
            found.append((heading, [row]))
        elif _is_text(row) and _is_text(last[1][-1]):
            last[1][-1] = [Copied(label="", value=f"{last[1][-1][0].value}\n{row[0].value}")]
        else:
            last[1].append(row)
    return [Block(heading=name, rows=rows) for name, rows in found]


def _row(line: str) -> list[Copied]:
    plain = line.strip()
    fields = FIELDS.split(plain)
    if len(fields) > 1:
        return [Copied(label=label, value=value) for label, _, value in (one.partition(" ") for one in fields)]
    found = next((match for pattern in LABELLED if (match := pattern.match(plain))), None)
    return [Copied(label=found.group(1), value=found.group(2)) if found is not None else Copied(label="", value=plain)]


def _is_text(row: Sequence[Copied]) -> bool:
    return len(row) == 1 and not row[0].label
