"""What is shown of things, as JSON: one home for the API, ``--json`` of the commands, and the page.

No code is in any of it but in `ClearCode`, `Revealed`, `Raw`, `AuthenticatorCode`, `AuthenticatorSecret`,
`NewToken`, `LoginLink`, `RuleTrial` and `MailText`, which are asked for by name.
Moments are RFC 3339 in UTC with a ``Z``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mailbridge.core.totp import Algorithm
from mailbridge.store.entries import Role


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that is answered."""


class InboxShape(Shape, frozen=True, kw_only=True):
    """A throw-away inbox. ``from`` are the domains and addresses whose mail it takes, empty: those of whoever proves himself. ``push``:
    its codes go to the targets too."""

    id: int
    identifier: str
    address: str
    from_: list[str] = msgspec.field(name="from")
    created_at: str
    expires_at: str
    push: bool


class InboxPage(Shape, frozen=True, kw_only=True):
    """Throw-away inboxes, oldest first."""

    inboxes: list[InboxShape]


class Rejected(Shape, frozen=True, kw_only=True):
    """A candidate that was passed over; its value is masked unless asked for."""

    value: str
    why: str


class DeliveryShape(Shape, frozen=True, kw_only=True):
    """One delivery. ``mail`` is the mail that it is of; ``final_at`` is when it came to its end; ``is_practice``: nothing left this
    machine."""

    id: int
    mail: int
    state: str
    target: str
    is_practice: bool
    identifier: str
    kind: str
    sender: str
    attempts: int
    rule: str | None
    received_at: str
    deadline: str
    due_at: str | None
    final_at: str | None
    reason: str
    ref: str


class MailShape(Shape, frozen=True, kw_only=True):
    """One mail. ``origin`` is the mail that an operator handed in again as this one."""

    id: int
    received_at: str
    ingress: str
    from_: str = msgspec.field(name="from")
    subject: str
    rcpt_to: list[str]
    mail_from: str
    verdict: str
    identifiers: list[str]
    identifier_from: str | None
    rule: str | None
    reason: str
    trust: str
    held: list[str]
    rejected: list[Rejected]
    clues: list[str]
    defects: list[str]
    size: int
    origin: int | None
    confirm_link: str | None


class Line(Shape, frozen=True, kw_only=True):
    """One thing that happened."""

    id: int
    at: str
    event: str
    mail: int
    delivery: int | None
    detail: str
    identifiers: list[str]


class MailDetail(MailShape, frozen=True, kw_only=True):
    """One mail with what became of it: its deliveries, and everything that happened to it, oldest first."""

    deliveries: list[DeliveryShape]
    history: list[Line]


class CauseShape(Shape, frozen=True, kw_only=True):
    """One cause: ``kind`` for scripts, ``text`` and ``hint`` for people; the mail and the delivery that it is about."""

    kind: str
    certainty: Literal["certain", "possible", "not known"]
    text: str
    hint: str
    mail: int | None
    delivery: int | None
    facts: dict[str, str]


class Why(Shape, frozen=True, kw_only=True):
    """Why no code came for an identifier since a moment: causes in order of likelihood, never none."""

    identifier: str
    since: str
    is_waited_for: bool
    causes: list[CauseShape]


class FindingShape(Shape, frozen=True, kw_only=True):
    """One line of the doctor: ``check`` for scripts, ``text`` for people, ``hint`` what fixes it ("" where it is well)."""

    check: str
    level: Literal["ok", "warning", "failure", "unknown"]
    text: str
    hint: str


class FindingGroup(Shape, frozen=True, kw_only=True):
    """The findings about one side of the bridge."""

    name: str
    findings: list[FindingShape]


class Examined(Shape, frozen=True, kw_only=True):
    """Everything that was looked at; ``failures`` is how many of the findings do not work."""

    failures: int
    warnings: int
    groups: list[FindingGroup]


class MailPage(Shape, frozen=True, kw_only=True):
    """Mails, newest first; ``next`` is the ``before`` of the next page, null where nothing follows."""

    mails: list[MailShape]
    next: int | None


class Raw(Shape, frozen=True, kw_only=True):
    """A mail as it was received; ``content`` is Base64."""

    id: int
    mail_from: str
    rcpt_to: list[str]
    content: bytes


class Handed(Shape, frozen=True, kw_only=True):
    """A mail that was handed in by an operator, and what came of it so far."""

    mail: int
    is_duplicate: bool
    deliveries: list[DeliveryShape]


class Removed(Shape, frozen=True, kw_only=True):
    """What was erased of an identifier, and what people have configured that still names it."""

    identifier: str
    mails: int
    deliveries: int
    lines: int
    still_named_by: list[str]


class DeliveryDetail(DeliveryShape, frozen=True, kw_only=True):
    """One delivery with its mail (null where that is no longer kept) and its own history."""

    of: MailShape | None
    history: list[Line]


class DeliveryPage(Shape, frozen=True, kw_only=True):
    """Deliveries, newest first; ``next`` as in `MailPage`."""

    deliveries: list[DeliveryShape]
    next: int | None


class NotRetried(Shape, frozen=True, kw_only=True):
    """A delivery that is not tried again, and why."""

    id: int
    why: str


class Retried(Shape, frozen=True, kw_only=True):
    """Which deliveries are tried again."""

    retried: list[int]
    refused: list[NotRetried]


class LiveCode(Shape, frozen=True, kw_only=True):
    """A live code; ``code`` is a mask."""

    identifier: str
    code: str
    kind: str
    from_: str | None = msgspec.field(name="from")
    rule: str | None
    received_at: str | None
    expires_at: str
    run: str | None
    mail: int | None
    is_consumed: bool


class ClearCode(LiveCode, frozen=True, kw_only=True):
    """A live code in clear."""


class CodePage(Shape, frozen=True, kw_only=True):
    """Live codes, masked, newest first."""

    codes: list[LiveCode]


class ClearCodePage(Shape, frozen=True, kw_only=True):
    """Live codes in clear, newest first."""

    codes: list[ClearCode]


class GivenShape(Shape, frozen=True, kw_only=True):
    """What somebody was given."""

    identifier: str
    way: str
    who: str
    what: str
    first_at: str
    last_at: str
    times: int
    is_consumed: bool


class GivenPage(Shape, frozen=True, kw_only=True):
    """Records of what was given, newest first."""

    given: list[GivenShape]


class EntryShape(Shape, frozen=True, kw_only=True):
    """A table of the configuration: from the file and environment (``by`` and ``at`` null), or added by somebody."""

    kind: str
    name: str
    settings: dict[str, Any]
    secrets: list[str]
    by: str | None
    at: str | None


class EntryPage(Shape, frozen=True, kw_only=True):
    """Tables in their order: those of the file first, then what was added, oldest first."""

    entries: list[EntryShape]


class LearnedSites(Shape, frozen=True, kw_only=True):
    """The sites that Skyvern's credentials name for an identifier: their mails are those of known senders."""

    identifier: str
    sites: list[str]


class KnownSenders(Shape, frozen=True, kw_only=True):
    """Which senders are known without a word of a person. ``senders`` is `[trust] senders`, ``strangers`` what becomes of the mails of
    unknown senders; ``is_practice``: there is no Skyvern key, and the practice receiver takes the codes."""

    learned: list[LearnedSites]
    senders: list[str]
    strangers: Literal["codes", "hold", "all"]
    is_practice: bool


class TokenShape(Shape, frozen=True, kw_only=True):
    """A bearer token without its text; ``expires_at`` null: never."""

    id: int
    name: str
    role: Role
    identifiers: list[str]
    created_at: str
    expires_at: str | None
    is_expired: bool


class NewToken(TokenShape, frozen=True, kw_only=True):
    """A new token with its text, which is shown this once."""

    token: str


class TokenPage(Shape, frozen=True, kw_only=True):
    """Every token, oldest first."""

    tokens: list[TokenShape]


class AuthenticatorShape(Shape, frozen=True, kw_only=True):
    """An authenticator without its secret."""

    name: str
    identifier: str | None
    issuer: str
    account: str
    algorithm: Algorithm
    digits: int
    period: int
    is_steam: bool
    bits: int


class AuthenticatorPage(Shape, frozen=True, kw_only=True):
    """Every authenticator, by name."""

    authenticators: list[AuthenticatorShape]


class AuthenticatorCode(Shape, frozen=True, kw_only=True):
    """The current code of an authenticator."""

    code: str
    seconds_remaining: int


class AuthenticatorSecret(AuthenticatorShape, frozen=True, kw_only=True):
    """An authenticator with its secret in Base32."""

    secret: str


class Name(Shape, frozen=True, kw_only=True):
    """A name for an identifier that nobody can guess or read."""

    name: str


class TestAddress(Shape, frozen=True, kw_only=True):
    """An address for one test mail. ``proofs`` says what a real mail for the identifier would have to bring, a line an address."""

    __test__ = False

    rcpt: str
    identifier: str
    expires_at: str
    is_practice: bool
    proofs: list[str]


class TargetShape(Shape, frozen=True, kw_only=True):
    """Where codes go. ``url`` is without what may be secret in it; ``reason`` says what is wrong with it, "" where nothing is."""

    name: str
    kind: str = "skyvern"
    url: str
    is_practice: bool
    reason: str


class TargetTest(Shape, frozen=True, kw_only=True):
    """Whether a target is there and takes its key, or a notice arrives; ``text`` says why not. ``status`` and ``answer`` are what a
    receiver said to a test (0: none came)."""

    name: str
    url: str
    ok: bool
    text: str
    status: int = 0
    answer: str = ""


class ProviderShape(Shape, frozen=True, kw_only=True):
    """Where the mail of an address is: a ``preset``, or the ``host`` of an IMAP server. ``oauth`` is "google", "microsoft" or "";
    ``hint`` says what its password is; ``by`` how it was found: its domain, MX records, the server's usual name, or SPF."""

    name: str
    preset: str
    host: str
    oauth: str
    takes_password: bool
    hint: str
    by: Literal["domain", "mx", "name", "spf"]


class StepShape(Shape, frozen=True, kw_only=True):
    """One step of a try of a mailbox, and what came of it."""

    step: str
    ok: bool
    text: str


class MailboxTest(Shape, frozen=True, kw_only=True):
    """Whether a mailbox works; the last step is the one that failed."""

    name: str
    ok: bool
    steps: list[StepShape]


class MailboxAdded(Shape, frozen=True, kw_only=True):
    """A mailbox that is watched now. ``name`` is what it is called in status and metrics."""

    name: str
    address: str
    steps: list[StepShape]


class ReplicaShape(Shape, frozen=True, kw_only=True):
    """A daemon on the same database that is alive. ``differs``: sections of the configuration that are not as this one's."""

    name: str
    started_at: str
    is_this: bool
    mailboxes: int
    differs: list[str]


class Status(Shape, frozen=True, kw_only=True):
    """How the daemon is. ``replicas`` is empty where it has its database alone."""

    version: str
    level: Literal["ready", "degraded", "unready"]
    checks: dict[str, str]
    smtp: list[str]
    http: str
    targets: list[TargetShape]
    mailboxes: list[dict[str, Any]]
    outbox: dict[str, int]
    is_practice: bool
    replicas: list[ReplicaShape] = []


class Reloaded(Shape, frozen=True, kw_only=True):
    """The configuration was read again and is in force; ``after_restart`` are the sections that wait for a restart."""

    after_restart: list[str]


class Tail(Shape, frozen=True, kw_only=True):
    """What happened after a line of the journal, oldest first; ``next`` is the ``after`` to go on with."""

    lines: list[Line]
    next: int


class LoginLink(Shape, frozen=True, kw_only=True):
    """A link to log in to the page with; its token stands in the fragment. Whoever has it first, uses it."""

    url: str
    role: str
    expires_at: str


class SessionShape(Shape, frozen=True, kw_only=True):
    """A login to the page. ``way``: by link or password; ``seen_at``: about when it was last used."""

    id: int
    name: str
    role: str
    way: str
    created_at: str
    seen_at: str
    expires_at: str


class SessionPage(Shape, frozen=True, kw_only=True):
    """Every session, newest login first."""

    sessions: list[SessionShape]


class WaitShape(Shape, frozen=True, kw_only=True):
    """Somebody who waits for a code now: a polling run, or a request that is held open."""

    identifier: str
    who: str
    way: str
    since: str
    until: str
    asked: int


class WaitPage(Shape, frozen=True, kw_only=True):
    """Who waits, longest first."""

    waiting: list[WaitShape]


class Hour(Shape, frozen=True, kw_only=True):
    """Figures of one hour."""

    at: str
    mails: int
    codes: int
    held: int


class Day(Shape, frozen=True, kw_only=True):
    """Figures of the last 24 hours, by hour, oldest first. ``failed`` counts deliveries that are dead or expired; ``median_ms`` and
    ``p99_ms`` are the milliseconds from receipt to acceptance by the target, to five percent, null where nothing was delivered. ``confirmations``: mails in which Gmail asks to forward, newest first. ``rules``: how many mails each rule found something in, by name. Not ``is_complete``: the next look counts on."""

    hours: list[Hour]
    mails: int
    codes: int
    held: int
    failed: int
    median_ms: float | None
    p99_ms: float | None
    confirmations: list[int]
    rules: dict[str, int]
    is_complete: bool


class RuleShape(Shape, frozen=True, kw_only=True):
    """A rule. ``finds``: a code or a link; ``senders`` empty: of anyone; ``adds``: what it adds to the extractor behind the rules.
    ``by`` and ``at`` tell who added it and when; null where it stands in a file."""

    name: str
    file: str
    finds: Literal["code", "link"]
    senders: list[str]
    pattern: str
    adds: str
    examples: int
    by: str | None = None
    at: str | None = None


class RuleText(Shape, frozen=True, kw_only=True):
    """A rule as TOML."""

    rule: str


class RuleAdded(Shape, frozen=True, kw_only=True):
    """The name of a rule that is in force now."""

    name: str


class RulePage(Shape, frozen=True, kw_only=True):
    """Every rule in order of precedence."""

    rules: list[RuleShape]


class RuleTrial(Shape, frozen=True, kw_only=True):
    """What a rule makes of a mail: ``found`` in clear, with the text around it, or ``reason``. With ``problems`` it cannot be used."""

    name: str
    problems: list[str]
    before: str
    found: str
    after: str
    reason: str


class Done(Shape, frozen=True, kw_only=True):
    """It is done."""

    done: bool = True


class Mark(Shape, frozen=True, kw_only=True):
    """A piece of a mail's text. ``kind``: ``chosen`` or ``passed`` for a candidate, "" for the rest; ``number`` counts those that were passed
    over, as `MailDetail.rejected` lists them, from 1."""

    text: str
    kind: str
    number: int | None


class HopShape(Shape, frozen=True, kw_only=True):
    """A server handed the mail to the next, as its Received headers say, which nothing proves; what is not written is "" or null."""

    sender: str
    receiver: str
    at: str | None


class MailText(Shape, frozen=True, kw_only=True):
    """What a person sees of a mail, as text, and the same in pieces with what was found in it marked; and how it says that it came here."""

    id: int
    text: str
    pieces: list[Mark]
    hops: list[HopShape]
