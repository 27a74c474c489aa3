"""What a mail that may be pushed is worth for each of its identifiers: a known sender's, a stranger's, or one that is held.

Only a sender whose From is proven can be known. Pure but for what it asks of `Contacts`, which is kept in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Literal, Protocol

from mailbridge.config.settings import Strangers
from mailbridge.core.bound import Bound
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Standing
from mailbridge.intake.meaning import Understanding
from mailbridge.trust import Proven
from mailbridge.trust.known import Acquaintance, Question, domain_of, site_of
from mailbridge.trust.platforms import platforms

UNASKED = frozenset({"none"})
"""How a mail passes of which the operator has asked nothing at all."""

ATTACHED = "it stands in a mail or a text that is attached, and {domain} does not answer for who wrote that"
NOTICE = "a platform's notice of what a user wrote is no code mail"
COPY = "{domain} wrote it to somebody else, and anybody may have sent it on; list the mailbox in [trust] accounts if it is yours"
BEFORE = "{domain} has proven itself for {identifier} before, and this mail does not"


class Contacts(Protocol):
    """Whom an identifier has to do with, beside the settings; asked for every mail, so it answers from memory."""

    def learned(self, identifier: str) -> frozenset[str]:
        """The sites of Skyvern's credentials for it, as registrable domains."""
        ...

    def polling(self, identifier: str) -> frozenset[str]:
        """The sites of the runs that poll for it now."""
        ...

    def has_proven(self, identifier: str, domain: str) -> bool:
        """Whether a mail of this domain was ever proven for it."""
        ...

    def is_awaited(self, identifier: str, sender: str) -> bool:
        """Whether somebody waits for a code of this sender by name."""
        ...

    def note_proven(self, identifier: str, domain: str) -> None:
        """A mail of this domain is proven for it."""
        ...

    async def run_for_link(self, identifier: str) -> tuple[str | None, str | None] | None:
        """Workflow run and task under which a link of it is pushed; None where nobody can be told."""
        ...


class NoContacts:
    """NoEvents is known but by the settings."""

    def learned(self, identifier: str) -> frozenset[str]:  # noqa: ARG002
        """See `Contacts.learned`."""
        return frozenset()

    def polling(self, identifier: str) -> frozenset[str]:  # noqa: ARG002
        """See `Contacts.polling`."""
        return frozenset()

    def has_proven(self, identifier: str, domain: str) -> bool:  # noqa: ARG002
        """See `Contacts.has_proven`."""
        return False

    def is_awaited(self, identifier: str, sender: str) -> bool:  # noqa: ARG002
        """See `Contacts.is_awaited`."""
        return False

    def note_proven(self, identifier: str, domain: str) -> None:
        """See `Contacts.note_proven`."""

    async def run_for_link(self, identifier: str) -> tuple[str | None, str | None] | None:  # noqa: ARG002
        """See `Contacts.run_for_link`."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What is known of the sender of one mail through one address.

    ``domain`` is that of the proven From (`domain_of`), "" of one that is not proven. ``standings`` are by identifier; one that
    is missing gets nothing. ``untagged`` are the identifiers for which the address's run does not count. ``failures`` are checks that
    failed, each with why; ``note`` is for the list. ``bound`` is the code that the mail binds to its sender's site.
    """

    domain: str = ""
    standings: Mapping[str, Standing] = field(default_factory=dict)
    untagged: frozenset[str] = frozenset()
    failures: tuple[tuple[Literal["stranger", "platform"], str], ...] = ()
    written_at: datetime | None = None
    bound: Bound | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """One mail at one address, behind the gate. ``by`` is how it passed, ``proof`` what proves its From, if anything does. ``is_copy``:
    its From is genuine, and wrote it to somebody else."""

    understood: Understanding
    kind: Literal["code", "link", "body"]
    identifiers: Sequence[str]
    by: str
    proof: Proven | None
    accept_from: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    is_copy: bool = False

    def is_any_said(self, identifier: str, acquaintance: Acquaintance, contacts: Contacts) -> bool:
        """Whether anybody has said anything by which its sender could be known."""
        return bool(
            acquaintance.senders
            or acquaintance.named
            or self.accept_from
            or self.sites
            or self.understood.ruled
            or contacts.learned(identifier)
            or contacts.polling(identifier)
        )

    def question(self, identifier: str, contacts: Contacts) -> Question:
        """What `Acquaintance` is asked about it."""
        return Question(
            sender=self.understood.sender,
            identifier=identifier,
            accept_from=self.accept_from,
            sites=self.sites,
            ruled=self.understood.ruled,
            learned=contacts.learned(identifier),
            polling=contacts.polling(identifier),
        )


def introduced_by_hand(identifiers: Sequence[str], understood: Understanding) -> Introduction:
    """Of a mail on the operator's own word, or in practice, where nothing leaves the machine: it counts as known."""
    return Introduction(standings=dict.fromkeys(identifiers, Standing.KNOWN), written_at=understood.written_at)


def is_worth_a_proof(meeting: Meeting, acquaintance: Acquaintance, contacts: Contacts) -> bool:
    """Whether a proof of its From would change anything for a mail that has passed without one."""
    sender = meeting.understood.sender
    domain = domain_of(sender)
    return domain != "" and any(
        (meeting.is_any_said(one, acquaintance, contacts) and acquaintance.by(meeting.question(one, contacts)))
        or contacts.has_proven(one, domain)
        or contacts.is_awaited(one, sender)
        for one in meeting.identifiers
    )


def introduce(meeting: Meeting, acquaintance: Acquaintance, contacts: Contacts, *, strangers: Strangers) -> Introduction:
    """Who the sender is for each identifier, and what becomes of the mail by that."""
    understood = meeting.understood
    claimed = domain_of(understood.sender)
    domain = claimed if meeting.proof is not None else ""
    standings: dict[str, Standing] = {}
    untagged: set[str] = set()
    failures: list[tuple[Literal["stranger", "platform"], str]] = []
    notes: dict[str, None] = {}
    for identifier in meeting.identifiers:
        if understood.notice and _is_notice(meeting, meeting.question(identifier, contacts), acquaintance):
            failures.append(("platform", f"{NOTICE}: {understood.notice}; only an exactly listed sender's is pushed"))
            continue
        if understood.extraction.is_attached and _hands_on(meeting, meeting.question(identifier, contacts), acquaintance):
            failures.append(("platform", f"{ATTACHED.format(domain=claimed)}; only an exactly listed sender's is pushed"))
            continue
        if domain and acquaintance.by(meeting.question(identifier, contacts)):
            standings[identifier] = Standing.KNOWN
            continue
        has_proven = domain == "" and contacts.has_proven(identifier, claimed)
        is_unasked = meeting.by in UNASKED and not has_proven
        if not is_unasked:
            untagged.add(identifier)
        why = COPY.format(domain=claimed) if meeting.is_copy else _why(domain, claimed, identifier, has_proven=has_proven)
        if strangers == "all" or (strangers == "codes" and (meeting.kind == "code" or is_unasked)):
            standings[identifier] = Standing.FIRST_SEEN
            notes[f"first seen: {why}"] = None
        else:
            standings[identifier] = Standing.ASIDE
            failures.append(("stranger", f"a stranger's {WORDS[meeting.kind]} is held: {why}"))
    return Introduction(
        domain=domain,
        standings=standings,
        untagged=frozenset(untagged),
        failures=tuple(failures),
        written_at=meeting.proof.dated_at if meeting.proof is not None else understood.written_at,
        bound=_bound(meeting, domain),
        note="; ".join(notes),
    )


def invited(meeting: Meeting, acquaintance: Acquaintance, contacts: Contacts) -> Introduction:
    """Of a mail that has passed for a throw-away inbox. Whoever has proven himself is known to it: nobody else knows its address."""
    (identifier,) = meeting.identifiers
    domain = domain_of(meeting.understood.sender) if meeting.proof is not None else ""
    notice = meeting.understood.notice
    if notice and _is_notice(meeting, meeting.question(identifier, contacts), acquaintance):
        return Introduction(
            failures=(("platform", f"{NOTICE}: {notice}; only a sender that an inbox names by its address brings it"),)
        )
    if meeting.understood.extraction.is_attached and _hands_on(meeting, meeting.question(identifier, contacts), acquaintance):
        return Introduction(
            failures=(
                ("platform", f"{ATTACHED.format(domain=domain)}; only a sender that an inbox names by its address brings it"),
            )
        )
    return Introduction(
        domain=domain,
        standings={identifier: Standing.KNOWN},
        written_at=meeting.proof.dated_at if meeting.proof is not None else meeting.understood.written_at,
        bound=_bound(meeting, domain),
    )


WORDS = {"code": "code", "link": "link", "body": "text"}


def _why(domain: str, claimed: str, identifier: str, *, has_proven: bool) -> str:
    """Why a sender is a stranger for an identifier, and the one command that changes that, where one does."""
    if has_proven:
        return BEFORE.format(domain=claimed, identifier=identifier)
    if not domain:
        return f"nothing proves that it is of {claimed or 'anybody'}"
    return f"{domain} is not known for {identifier}; `mailbridge sender allow {domain} --for {identifier}` makes it known"


def _is_notice(meeting: Meeting, question: Question, acquaintance: Acquaintance) -> bool:
    """Whether it is a platform's notice that nobody has listed. The identifier's own organization is no platform to it."""
    return (
        meeting.kind != "body"
        and meeting.by not in UNASKED
        and domain_of(question.sender) != domain_of(question.identifier)
        and not acquaintance.lists_exactly(question)
    )


def _hands_on(meeting: Meeting, question: Question, acquaintance: Acquaintance) -> bool:
    """Whether somebody proven, who is neither of the identifier's own organization nor a person at a mailbox provider, attaches a mail: a
    help desk attaches whatever anybody has written to it."""
    host = question.sender.rpartition("@")[2].lower()
    return (
        meeting.proof is not None
        and domain_of(question.sender) != domain_of(question.identifier)
        and host not in platforms().mailboxes
        and not acquaintance.lists_exactly(question)
    )


def _bound(meeting: Meeting, domain: str) -> Bound | None:
    """The code that the mail binds to its proven sender's own site, in a place that the proof covers."""
    signed = meeting.proof.signed if meeting.proof is not None else frozenset()
    return next(
        (
            one
            for one in meeting.understood.bound
            if domain and site_of(one.host) == domain and (one.place == "body" or one.place in signed)
        ),
        None,
    )
