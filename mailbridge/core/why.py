"""Why an agent got no code: what is known since a moment becomes causes, the most likely first, each with what fixes it.

Nothing is guessed. A cause is *certain* where a record shows it for this identifier, *possible* where something is wrong that would
have this effect. Where there is neither, the answer is that it is not known, with what was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import State

Certainty = Literal["certain", "possible", "not known"]

LEAD = timedelta(minutes=2)
"""How long before a wait begins its mail may have come: sites send it before the page asks for it."""

FRESH = timedelta(minutes=15)
"""How long a delivered code may still be the answer, where nobody says since when he waits."""


class Kind(StrEnum):
    """What can be the cause. Names are stable: scripts read them."""

    NO_DAEMON = "no_daemon"
    STORE = "store"
    PARSER = "parser"
    HELD = "held"
    AMBIGUOUS = "ambiguous"
    NO_CODE = "no_code"
    TOO_OLD = "too_old"
    UNREADABLE = "unreadable"
    NO_TARGET = "no_target"
    DEAD = "dead"
    EXPIRED = "expired"
    DEFERRED = "deferred"
    SUPERSEDED = "superseded"
    ON_ITS_WAY = "on_its_way"
    PRACTICE = "practice"
    DELIVERED = "delivered"
    GIVEN = "given"
    ELSEWHERE = "elsewhere"
    UNKNOWN_IDENTIFIER = "unknown_identifier"
    CONFIRMATION = "confirmation"
    REFUSED_RECIPIENT = "refused_recipient"
    MAILBOX = "mailbox"
    TARGET = "target"
    NO_WAY_IN = "no_way_in"
    NOTHING_CAME = "nothing_came"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """One delivery of a mail: its state, what the target said last, and how often it was tried. ``only_for`` is the run, workflow or
    task that alone sees it ("": any). ``is_old``: by its Date the mail was on its way for longer than its code lives."""

    number: int
    target: str
    state: State
    reason: str = ""
    attempts: int = 0
    at: datetime | None = None
    only_for: str = ""
    is_old: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """A mail that came. ``verdict`` as `extract` names it; ``held`` the checks that failed, as they are shown.

    ``names_it``: the identifier stands in it (a header, the envelope), whoever it was taken for. ``bound_by`` is the address whose
    binding decided for whom it was ("": none did).
    """

    number: int
    at: datetime
    sender: str
    verdict: str
    reason: str = ""
    identifiers: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    deliveries: tuple[Attempted, ...] = ()
    names_it: bool = False
    bound_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known. Times are aware UTC.

    ``since``: from when on it is asked; ``waits_since`` when the oldest live wait began (None: nobody waits). ``is_known``: whether a
    code could ever be pushed under the identifier. ``mails`` are those since ``since`` that were taken for it or name it, newest
    first. ``given``: when a code of it was last given to a poll or an agent. ``ways``: each way in that is open, with the moment of its
    last mail (None: none yet). ``mailboxes``, ``targets``: those that are not well, with the reason. ``refused``: recipients that were
    refused since, with their number. ``confirmations``: accounts whose forwarding waits for a yes, with the mail's number.
    ``questions``: what services that would post mails here ask a person first, with the mail's number.
    ``trouble``: the part of the daemon that does not work (``daemon``: none runs), with the reason.
    """

    identifier: str
    now: datetime
    since: datetime
    waits_since: datetime | None = None
    is_known: bool = True
    is_practice: bool = False
    mails: tuple[Came, ...] = ()
    given: datetime | None = None
    ways: tuple[tuple[str, datetime | None], ...] = ()
    mailboxes: tuple[tuple[str, str], ...] = ()
    targets: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, int], ...] = ()
    confirmations: tuple[tuple[str, int], ...] = ()
    questions: tuple[tuple[str, int], ...] = ()
    trouble: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause: a sentence for people, what fixes it ("" where there is nothing to do), and the numbers that it is about."""

    kind: Kind
    certainty: Certainty
    text: str
    hint: str = ""
    mail: int | None = None
    delivery: int | None = None
    facts: dict[str, str] = field(default_factory=dict)


def causes(known: Evidence) -> tuple[Cause, ...]:
    """The causes in order of likelihood; never empty.

    A fault of the whole daemon comes first; then what became of the mails for the identifier that held something, newest first; then
    mails that name it and went elsewhere; then what keeps mails from coming; then mails for it that held nothing, which are seldom the one
    that is waited for. What came before anybody waited is told last.
    """
    found = [*_of_the_daemon(known)]
    own = [(mail, _of_a_mail(known, mail)) for mail in known.mails if _is_for(known, mail)]
    timely = [cause for mail, cause in own if not _is_early(known, mail)]
    says_much = [cause for cause in timely if cause.kind not in EMPTY]
    found += says_much
    found += _elsewhere(known)
    if not says_much:
        found += _nothing_comes(known)
    found += [cause for cause in timely if cause.kind in EMPTY]
    if not any(cause.certainty == "certain" for cause in found):
        found.append(_nothing_came(known))
    found += [cause for mail, cause in own if _is_early(known, mail)]
    return tuple(found)


EMPTY = frozenset({Kind.NO_CODE, Kind.TOO_OLD})
"""What says little: a newsletter that came meanwhile is seldom the mail that is waited for."""


def _is_early(known: Evidence, mail: Came) -> bool:
    """Whether a mail came before anybody waited, so that it explains nothing of this wait."""
    return known.waits_since is not None and mail.at < known.waits_since - LEAD


def _is_for(known: Evidence, mail: Came) -> bool:
    folded = known.identifier.casefold()
    return any(one.casefold() == folded for one in mail.identifiers)


def _of_the_daemon(known: Evidence) -> Iterator[Cause]:
    if known.trouble is None:
        return
    part, reason = known.trouble
    if part == "store":
        hint = "free some space" if reason == "full" else "the log names the fault of the database; fix it"
        yield Cause(kind=Kind.STORE, certainty="certain", text=f"No mail can be accepted: the store is {reason}.", hint=hint)
    elif part == "daemon":
        yield Cause(
            kind=Kind.NO_DAEMON,
            certainty="certain",
            text="No daemon is running with this configuration: no mail is taken and no code is pushed.",
            hint="mailbridge serve",
        )
    else:
        yield Cause(
            kind=Kind.PARSER,
            certainty="certain",
            text=f"No mail can be read: {reason}.",
            hint="the log says why the parser stops; restart the daemon",
        )


def _of_a_mail(known: Evidence, mail: Came) -> Cause:
    """What became of one mail that was taken for the identifier."""
    who = f"Mail {mail.number} from {mail.sender or 'an unknown sender'}"
    if mail.deliveries:
        return _of_deliveries(known, mail, who)
    if mail.held:
        checks = "; ".join(mail.held)
        return Cause(
            kind=Kind.HELD,
            certainty="certain",
            text=f"{who} holds a {_what(mail)} and is held: {checks}.",
            hint=f"mailbridge mail release {mail.number}",
            mail=mail.number,
        )
    kind, text, hint = {
        "ambiguous": (
            Kind.AMBIGUOUS,
            "holds several values that could be the code, and none is pushed",
            f"mailbridge mail show {mail.number}; a rule for this sender decides the next time",
        ),
        "expired": (
            Kind.TOO_OLD,
            "arrived after its code had expired",
            "find out why it came late: mail show lists the servers that it passed",
        ),
        "unreadable": (Kind.UNREADABLE, "could not be read", f"mailbridge mail show {mail.number}"),
    }.get(
        mail.verdict,
        (
            Kind.NO_CODE,
            "holds no code",
            f"if it holds one, make a rule: mailbridge mail show {mail.number} --raw > mail.eml, then mailbridge rule new --from mail.eml",
        ),
    )
    if mail.verdict in ("code", "link"):
        kind, text = Kind.NO_TARGET, f"holds a {mail.verdict}, and no target serves {known.identifier}"
        hint = "add the identifier to [[target]] identifiers"
    return Cause(kind=kind, certainty="certain", text=f"{who} {text}{_because(mail.reason)}.", hint=hint, mail=mail.number)


def _of_deliveries(known: Evidence, mail: Came, who: str) -> Cause:
    """The delivery that says most: one that failed before one that arrived elsewhere."""
    one = min(mail.deliveries, key=lambda delivery: SAYS_MOST.index(delivery.state))
    where = f"{one.target} (delivery {one.number})"
    why = f": {one.reason}" if one.reason else ""
    match one.state:
        case State.DEAD:
            kind, text = Kind.DEAD, f"was refused by {where}{why}"
            hint = f"fix the cause that the target names, then mailbridge delivery retry {one.number}"
        case State.EXPIRED:
            kind, text = Kind.EXPIRED, f"could not be delivered to {where} before its code expired{why}"
            hint = f"check the target: mailbridge target test {one.target}"
        case State.PENDING | State.IN_FLIGHT if one.attempts and (one.reason or one.state is State.PENDING):
            kind, text = Kind.DEFERRED, f"waits for {where}, which was tried {_times(one.attempts)}{why}"
            hint = f"it is tried again until its code expires; check the target: mailbridge target test {one.target}"
        case State.PENDING | State.IN_FLIGHT:
            kind, text, hint = Kind.ON_ITS_WAY, f"is on its way to {where}", ""
        case State.SUPERSEDED:
            kind, text, hint = (
                Kind.SUPERSEDED,
                "was replaced by a newer code of the same sender; the newer code counts",
                "",
            )
        case State.DELIVERED if known.is_practice:
            kind, text = Kind.PRACTICE, "was pushed to the practice receiver, because there is no Skyvern key"
            hint = "set [skyvern] api_key_file or $SKYVERN_API_KEY, then restart the daemon; or run mailbridge setup"
        case State.DELIVERED if one.is_old:
            text = f"{who} was accepted by {where}{_at(one.at)}, but by its Date the mail was under way for longer than its code is valid: the code had expired."
            hint = f"mailbridge mail show {mail.number}; ask the site for a new code"
            return Cause(kind=Kind.TOO_OLD, certainty="possible", text=text, hint=hint, mail=mail.number, delivery=one.number)
        case State.DELIVERED if one.only_for:
            kind, text = Kind.DELIVERED, f"was accepted by {where}{_at(one.at)} only for {one.only_for}"
            hint = "no other run gets it, because the part after the plus of its address names this one; the address without that part serves every run"
        case State.DELIVERED:
            kind, text = Kind.DELIVERED, f"was accepted by {where}{_at(one.at)}"
            hint = f"the agent must ask for totp_identifier {known.identifier!r}, with a key of the same Skyvern organization"
    return Cause(kind=kind, certainty="certain", text=f"{who} {text}.", hint=hint, mail=mail.number, delivery=one.number)


SAYS_MOST = (State.DEAD, State.EXPIRED, State.PENDING, State.IN_FLIGHT, State.DELIVERED, State.SUPERSEDED)


def _elsewhere(known: Evidence) -> Iterator[Cause]:
    """Mails that name the identifier and were taken for somebody else, or for nobody."""
    for mail in known.mails:
        if _is_for(known, mail) or not mail.names_it:
            continue
        whom = ", ".join(mail.identifiers)
        text = f"Mail {mail.number} from {mail.sender or 'an unknown sender'} names {known.identifier}, but was taken as a mail for {whom or 'nobody'}"
        if not known.is_known:
            yield Cause(
                kind=Kind.UNKNOWN_IDENTIFIER,
                certainty="certain",
                text=f"{text}: {known.identifier} is not an allowed identifier.",
                hint="[identity] known",
                mail=mail.number,
            )
        else:
            yield Cause(
                kind=Kind.ELSEWHERE,
                certainty="certain",
                text=f"{text}{_because(mail.reason if not whom else '')}.",
                hint=f"mailbridge address list: {mail.bound_by} is bound to {whom}"
                if mail.bound_by
                else f"give it an address of its own: mailbridge address add --for {known.identifier}",
                mail=mail.number,
            )


def _nothing_comes(known: Evidence) -> Iterator[Cause]:
    """What is wrong now and would keep a mail, or its code, from arriving."""
    if not known.is_known and not any(mail.names_it for mail in known.mails):
        yield Cause(
            kind=Kind.UNKNOWN_IDENTIFIER,
            certainty="certain",
            text=f"{known.identifier} is not an allowed identifier: nothing can be pushed under it.",
            hint="[identity] known, or mailbridge address add --for it",
        )
    if not known.ways:
        yield Cause(
            kind=Kind.NO_WAY_IN,
            certainty="certain",
            text="There is no way in: no listener, no mailbox and no address is configured.",
            hint="mailbridge setup",
        )
    for account, number in known.confirmations:
        is_it = account.casefold() == known.identifier.casefold()
        yield Cause(
            kind=Kind.CONFIRMATION,
            certainty="certain" if is_it else "possible",
            text=f"Gmail asks whether {account} may forward here, and nobody has confirmed it. Until then Gmail forwards nothing.",
            hint=f"mailbridge gmail confirm {number}",
            mail=number,
        )
    for question, number in known.questions:
        yield Cause(
            kind=Kind.CONFIRMATION,
            certainty="possible",
            text=f"{question}, and nobody has confirmed it. Until then it posts nothing.",
            hint=f"mailbridge mail show {number}, and open its link",
            mail=number,
        )
    for name, reason in known.mailboxes:
        yield Cause(
            kind=Kind.MAILBOX,
            certainty="possible",
            text=f"The mailbox {name} is not watched: {reason}.",
            hint=f"mailbridge imap test {name}",
        )
    for rcpt, times in known.refused:
        yield Cause(
            kind=Kind.REFUSED_RECIPIENT,
            certainty="possible",
            text=f"Mail to {rcpt} was refused {_times(times)}: mail is not taken for this address.",
            hint=f"compare it with mailbridge address list; if mail should be taken for it: mailbridge address add --rcpt {rcpt}",
        )
    for name, reason in known.targets:
        yield Cause(
            kind=Kind.TARGET,
            certainty="possible",
            text=f"The target {name} does not take codes now: {reason}.",
            hint=f"mailbridge target test {name}",
        )


def _nothing_came(known: Evidence) -> Cause:
    """No record explains it: what was looked at."""
    asked_from = max(known.since, known.waits_since) if known.waits_since is not None else known.since
    given = known.given is not None and known.given >= asked_from - FRESH
    if given and known.given is not None:
        return Cause(
            kind=Kind.GIVEN,
            certainty="certain",
            text=f"A code was given to a reader that asked for it{_at(known.given)}.",
            hint="mailbridge code given",
        )
    ways = [f"{name}: {_when(known, at)}" for name, at in known.ways]
    looked = f" The last mail by each way: {', '.join(ways)}." if ways else ""
    return Cause(
        kind=Kind.NOTHING_CAME,
        certainty="not known",
        text=f"No mail for {known.identifier} has come since {known.since:%H:%M:%S} UTC. The cause is not known here: the mail was not sent, or not forwarded.{looked}",
        hint="check whether the mail is in the original mailbox, also in spam; then check the forwarding rule",
        facts=dict(zip((name for name, _ in known.ways), (_when(known, at) for _, at in known.ways), strict=True)),
    )


def _what(mail: Came) -> str:
    return mail.verdict if mail.verdict in ("code", "link") else "text"


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _at(moment: datetime | None) -> str:
    return f" at {moment:%H:%M:%S} UTC" if moment is not None else ""


def _when(known: Evidence, at: datetime | None) -> str:
    if at is None:
        return "none yet"
    ago = max(known.now - at, timedelta())
    minutes = int(ago.total_seconds() // 60)
    if minutes < 1:
        return "under a minute ago"
    return (
        f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago" if minutes < 2880 else f"{minutes // 1440} days ago"
    )


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
