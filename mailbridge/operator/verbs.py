"""The table of verbs: what each is asked with and answers, who may use it, and where it lies in the API.

HTTP routes, the description in OpenAPI and the command line are made from this table, so that none of them knows a verb that another
does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

from mailbridge.core.dataclass import dataclass
from mailbridge.operator import shapes
from mailbridge.operator.addresses import Addresses, OwnAddress, Rcpt
from mailbridge.operator.asks import Ask, Nothing
from mailbridge.operator.authenticators import AddAuthenticator, Added, Authenticators, Bind, OneAuthenticator
from mailbridge.operator.codes import CodeList, GivenList, LatestCode, LiveCodes, OfIdentifier
from mailbridge.operator.day import DayVerb
from mailbridge.operator.deliveries import Deliveries, DeliveryList, OneDelivery, Retry
from mailbridge.operator.doctor.verb import Doctor
from mailbridge.operator.entries import AddEntry, EntryList, EntryVerbs, OneEntry
from mailbridge.operator.faults import Fault
from mailbridge.operator.gmail import FilterAsk, FilterFile, GmailVerbs
from mailbridge.operator.inboxes import InboxVerbs
from mailbridge.operator.journal import JournalVerbs, TailAsk
from mailbridge.operator.mailboxes import AddMailbox, Mailboxes, OfMailbox, OneMailbox, TryMailbox
from mailbridge.operator.mails import Import, MailList, Mails, OneMail, RemoveMails
from mailbridge.operator.parts import Daemon
from mailbridge.operator.rules import AddRule, OneRule, RuleVerbs, TryRule
from mailbridge.operator.senders import SenderVerbs
from mailbridge.operator.sessions import Invite, NewPassword, OneSession, SessionVerbs
from mailbridge.operator.setup.verb import SetupAnswer, SetupState, SetupVerbs
from mailbridge.operator.shapes import Shape
from mailbridge.operator.targets import OneTarget, TargetVerbs
from mailbridge.operator.tokens import AddToken, OneToken, Tokens
from mailbridge.operator.why import WhyAsk, WhyVerb, told_to_agents

A = TypeVar("A", bound=Ask)
G = TypeVar("G", bound=Shape)

LARGE = 40_000_000
"""Octets of a request that carries a mail: 25 MiB in Base64, and some more."""

MAILBOX_PATIENCE = 300.0
"""Seconds: a slow server may take several times the usual for each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The verbs by their nouns."""

    mails: Mails
    deliveries: Deliveries
    codes: LiveCodes
    inboxes: InboxVerbs
    addresses: Addresses
    entries: EntryVerbs
    senders: SenderVerbs
    targets: TargetVerbs
    mailboxes: Mailboxes
    tokens: Tokens
    authenticators: Authenticators
    journal: JournalVerbs
    day: DayVerb
    rules: RuleVerbs
    why: WhyVerb
    doctor: Doctor
    sessions: SessionVerbs
    gmail: GmailVerbs
    setup: SetupVerbs
    daemon: Daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who uses a verb: a name for records, and a name of the request that is the same when it is sent again ("" for none)."""

    name: str
    request: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb(Generic[A, G]):
    """One verb. ``role`` is the least that may use it. ``is_change``: it changes something, is a POST and takes an Idempotency-Key.

    A verb that reveals a secret is a POST too, so that nothing of it stands in a URL, a history or a cache. ``needs_daemon``: it cannot
    be done by a command alone. ``is_local``: only who is at the machine may use it, over the unix socket. ``most_body``: octets of its body.
    ``patience``: seconds that a caller should wait for the answer. ``for_agents``: where it is set, an agent may ask it too, about an
    identifier of its own, and is answered what this leaves of the answer.
    """

    name: str
    path: str
    asks: type[A]
    gives: type[G]
    run: Callable[[Operator, A, By], Awaitable[G | Fault]]
    about: str
    role: Literal["viewer", "operator"] = "operator"
    method: Literal["GET", "POST"] = "POST"
    is_change: bool = True
    needs_daemon: bool = False
    is_local: bool = False
    most_body: int = 262_144
    patience: float = 30.0
    for_agents: Callable[[G], G] | None = None


async def _text(on: Operator, ask: OneMail, *, is_clear: bool) -> shapes.MailText | Fault:
    """The mail of one noun with what was passed over in it, marked by the worker of another."""
    raw, detail = await on.mails.raw(ask), await on.mails.reveal(ask)
    if isinstance(raw, Fault):
        return raw
    if isinstance(detail, Fault):
        return detail
    return await on.rules.mark(ask.id, raw.content, [one.value for one in detail.rejected], is_clear=is_clear)


async def _proposed(on: Operator, ask: OneMail) -> shapes.RuleText | Fault:
    """The mail of one noun, a rule of another."""
    raw = await on.mails.raw(ask)
    return raw if isinstance(raw, Fault) else await on.rules.propose(raw.content)


def _read(
    name: str,
    path: str,
    asks: type[A],
    gives: type[G],
    run: Callable[[Operator, A, By], Awaitable[G | Fault]],
    about: str,
    **more: Any,
) -> Verb[A, G]:
    """A verb that a viewer may use."""
    return Verb(
        name=name, path=path, asks=asks, gives=gives, run=run, about=about, role="viewer", method="GET", is_change=False, **more
    )


MAIL_LIST = _read(
    "mail.list", "/api/v1/mail", MailList, shapes.MailPage, lambda on, ask, _: on.mails.find(ask), "Mails, newest first"
)
MAIL_SHOW = _read(
    "mail.show",
    "/api/v1/mail/{id}",
    OneMail,
    shapes.MailDetail,
    lambda on, ask, _: on.mails.show(ask),
    "One mail, what became of its codes, and when",
)
MAIL_REVEAL = Verb(
    name="mail.reveal",
    path="/api/v1/mail/{id}/reveal",
    asks=OneMail,
    gives=shapes.MailDetail,
    run=lambda on, ask, _: on.mails.reveal(ask),
    about="One mail, with the values that may be codes shown in clear",
    is_change=False,
)
MAIL_RAW = Verb(
    name="mail.raw",
    path="/api/v1/mail/{id}/raw",
    asks=OneMail,
    gives=shapes.Raw,
    run=lambda on, ask, _: on.mails.raw(ask),
    about="One mail, octet for octet",
    is_change=False,
)
MAIL_TEXT = Verb(
    name="mail.text",
    path="/api/v1/mail/{id}/text",
    asks=OneMail,
    gives=shapes.MailText,
    run=lambda on, ask, _: _text(on, ask, is_clear=True),
    about="The text of a mail in clear, as a person sees it, with the values marked that were found",
    is_change=False,
)
MAIL_MARKED = Verb(
    name="mail.marked",
    path="/api/v1/mail/{id}/marked",
    asks=OneMail,
    gives=shapes.MailText,
    run=lambda on, ask, _: _text(on, ask, is_clear=False),
    about="The same text masked: only words without a digit are in clear",
    method="GET",
    is_change=False,
)
MAIL_RELEASE = Verb(
    name="mail.release",
    path="/api/v1/mail/{id}/release",
    asks=OneMail,
    gives=shapes.Handed,
    run=lambda on, ask, by: on.mails.release(ask, by.name),
    about="Push the code or link of a held mail; you answer for it",
)
MAIL_REPLAY = Verb(
    name="mail.replay",
    path="/api/v1/mail/{id}/replay",
    asks=OneMail,
    gives=shapes.Handed,
    run=lambda on, ask, by: on.mails.replay(ask, by.name, by.request),
    about="Process a mail again as a new one",
)
MAIL_CONFIRM = Verb(
    name="mail.confirm",
    path="/api/v1/mail/{id}/confirm",
    asks=OneMail,
    gives=shapes.Done,
    run=lambda on, ask, _: on.mails.confirm(ask),
    about="Allow the forwarding that a confirmation of Gmail asks for",
)
MAIL_IMPORT = Verb(
    name="mail.import",
    path="/api/v1/mail/import",
    asks=Import,
    gives=shapes.Handed,
    run=lambda on, ask, by: on.mails.take_in(ask, by.name),
    about="Take a mail in as if it arrived now",
    most_body=LARGE,
)
MAIL_REMOVE = Verb(
    name="mail.remove",
    path="/api/v1/mail/remove",
    asks=RemoveMails,
    gives=shapes.Removed,
    run=lambda on, ask, _: on.mails.remove(ask),
    about="Erase everything that is kept of an identifier",
)
DELIVERY_LIST = _read(
    "delivery.list",
    "/api/v1/deliveries",
    DeliveryList,
    shapes.DeliveryPage,
    lambda on, ask, _: on.deliveries.find(ask),
    "Deliveries, newest first",
)
DELIVERY_SHOW = _read(
    "delivery.show",
    "/api/v1/deliveries/{id}",
    OneDelivery,
    shapes.DeliveryDetail,
    lambda on, ask, _: on.deliveries.show(ask),
    "One delivery with its mail and its history",
)
DELIVERY_RETRY = Verb(
    name="delivery.retry",
    path="/api/v1/deliveries/retry",
    asks=Retry,
    gives=shapes.Retried,
    run=lambda on, ask, _: on.deliveries.retry(ask),
    about="Try dead or expired deliveries again, one or many",
)
CODE_LIST = _read(
    "code.list",
    "/api/v1/codes/live",
    CodeList,
    shapes.CodePage,
    lambda on, ask, _: on.codes.find(ask),
    "Live codes, masked",
)
CODE_REVEAL = Verb(
    name="code.reveal",
    path="/api/v1/codes/reveal",
    asks=CodeList,
    gives=shapes.ClearCodePage,
    run=lambda on, ask, _: on.codes.reveal(ask),
    about="Live codes in clear",
    is_change=False,
)
CODE_LATEST = Verb(
    name="code.latest",
    path="/api/v1/codes/latest",
    asks=LatestCode,
    gives=shapes.ClearCode,
    run=lambda on, ask, by: on.codes.latest(ask, by.name),
    about="The newest live code of an identifier in clear; the journal records that it was given",
)
CODE_GIVEN = _read(
    "code.given",
    "/api/v1/codes/given",
    GivenList,
    shapes.GivenPage,
    lambda on, ask, _: on.codes.given(ask),
    "Who was given a code, and when; without the code",
)
CODE_NAME = Verb(
    name="code.name",
    path="/api/v1/names",
    asks=OfIdentifier,
    gives=shapes.Name,
    run=lambda on, ask, _: on.codes.name(ask),
    about="A name that nobody can guess, in place of an identifier in its totp_url",
    is_change=False,
)
ADDRESS_OWN = _read(
    "address.own",
    "/api/v1/addresses/own",
    OwnAddress,
    Rcpt,
    lambda on, ask, _: on.addresses.own(ask),
    "The address to which mail for an identifier should be sent",
)
ENTRY_LIST = _read(
    "entry.list",
    "/api/v1/entries",
    EntryList,
    shapes.EntryPage,
    lambda on, ask, _: on.entries.find(ask),
    "Tables of the configuration: those of the files, and those that were added",
)
SENDER_KNOWN = _read(
    "sender.known",
    "/api/v1/senders/known",
    Nothing,
    shapes.KnownSenders,
    lambda on, ask, _: on.senders.known(ask),
    "Senders that Skyvern's credentials make known, and what becomes of the mails of all others",
)
ENTRY_ADD = Verb(
    name="entry.add",
    path="/api/v1/entries/add",
    asks=AddEntry,
    gives=shapes.Done,
    run=lambda on, ask, by: on.entries.add(ask, by.name),
    about="Add a table; it is in force when this is answered",
)
ENTRY_REMOVE = Verb(
    name="entry.remove",
    path="/api/v1/entries/remove",
    asks=OneEntry,
    gives=shapes.Done,
    run=lambda on, ask, _: on.entries.remove(ask),
    about="Remove a table that was added",
)
TOKEN_LIST = _read(
    "token.list",
    "/api/v1/tokens",
    Nothing,
    shapes.TokenPage,
    lambda on, ask, _: on.tokens.find(ask),
    "Bearer tokens without their text",
)
TOKEN_ADD = Verb(
    name="token.add",
    path="/api/v1/tokens/add",
    asks=AddToken,
    gives=shapes.NewToken,
    run=lambda on, ask, _: on.tokens.add(ask),
    about="Make a bearer token; its text is shown only in this answer",
)
TOKEN_REMOVE = Verb(
    name="token.remove",
    path="/api/v1/tokens/remove",
    asks=OneToken,
    gives=shapes.Done,
    run=lambda on, ask, _: on.tokens.remove(ask),
    about="Revoke a token; it is invalid at once",
)
TOTP_LIST = _read(
    "totp.list",
    "/api/v1/authenticators",
    Nothing,
    shapes.AuthenticatorPage,
    lambda on, ask, _: on.authenticators.find(ask),
    "Authenticators without their secrets",
)
TOTP_ADD = Verb(
    name="totp.add",
    path="/api/v1/authenticators/add",
    asks=AddAuthenticator,
    gives=Added,
    run=lambda on, ask, _: on.authenticators.add(ask),
    about="Store an authenticator secret, or those of an export",
)
TOTP_CODE = Verb(
    name="totp.code",
    path="/api/v1/authenticators/code",
    asks=OneAuthenticator,
    gives=shapes.AuthenticatorCode,
    run=lambda on, ask, _: on.authenticators.code(ask),
    about="The current code of an authenticator",
    is_change=False,
)
TOTP_BIND = Verb(
    name="totp.bind",
    path="/api/v1/authenticators/bind",
    asks=Bind,
    gives=shapes.Done,
    run=lambda on, ask, _: on.authenticators.bind(ask),
    about="Bind an authenticator to an identifier, or to none",
)
TOTP_REMOVE = Verb(
    name="totp.remove",
    path="/api/v1/authenticators/remove",
    asks=OneAuthenticator,
    gives=shapes.Done,
    run=lambda on, ask, _: on.authenticators.remove(ask),
    about="Erase an authenticator secret",
)
TOTP_SECRET = Verb(
    name="totp.secret",
    path="/api/v1/authenticators/secret",
    asks=OneAuthenticator,
    gives=shapes.AuthenticatorSecret,
    run=lambda on, ask, _: on.authenticators.secret(ask),
    about="An authenticator's secret; only over the unix socket",
    is_change=False,
    is_local=True,
)
TARGET_TEST = Verb(
    name="target.test",
    path="/api/v1/targets/test",
    asks=OneTarget,
    gives=shapes.TargetTest,
    run=lambda on, ask, _: on.targets.test(ask),
    about="Test whether a target answers and accepts its key; no code is pushed",
    is_change=False,
)
NOTIFY_TEST = Verb(
    name="notify.test",
    path="/api/v1/notices/test",
    asks=OneTarget,
    gives=shapes.TargetTest,
    run=lambda on, ask, _: on.targets.test_notice(ask),
    about="Send a notice that says it is a test, and return the answer of the service",
    is_change=False,
)
MAILBOX_PROVIDER = Verb(
    name="imap.provider",
    path="/api/v1/mailboxes/provider",
    asks=OfMailbox,
    gives=shapes.ProviderShape,
    run=lambda on, ask, _: on.mailboxes.provider(ask),
    about="The IMAP server of an address, and the kind of secret that it needs; asks DNS",
    is_change=False,
)
MAILBOX_ADD = Verb(
    name="imap.add",
    path="/api/v1/mailboxes/add",
    asks=AddMailbox,
    gives=shapes.MailboxAdded,
    run=lambda on, ask, by: on.mailboxes.add(ask, by.name),
    about="Try a mailbox, and watch it if a mail could be fetched",
    patience=MAILBOX_PATIENCE,
)
MAILBOX_REMOVE = Verb(
    name="imap.remove",
    path="/api/v1/mailboxes/remove",
    asks=OneMailbox,
    gives=shapes.Done,
    run=lambda on, ask, _: on.mailboxes.remove(ask),
    about="Stop watching a mailbox that was added, and erase its secret",
)
MAILBOX_TEST = Verb(
    name="imap.test",
    path="/api/v1/mailboxes/test",
    asks=TryMailbox,
    gives=shapes.MailboxTest,
    run=lambda on, ask, _: on.mailboxes.test(ask),
    about="Test a mailbox with the daemon's own commands, and fetch one mail",
    is_change=False,
    patience=MAILBOX_PATIENCE,
)
JOURNAL_TAIL = _read(
    "journal.tail",
    "/api/v1/journal",
    TailAsk,
    shapes.Tail,
    lambda on, ask, _: on.journal.tail(ask),
    "The lines of the journal after a given one; waits for them",
)
RULE_LIST = _read(
    "rule.list",
    "/api/v1/rules",
    Nothing,
    shapes.RulePage,
    lambda on, ask, _: on.rules.find(ask),
    "Rules in order of precedence",
)
RULE_SHOW = Verb(
    name="rule.show",
    path="/api/v1/rules/show",
    asks=OneRule,
    gives=shapes.RuleText,
    run=lambda on, ask, _: on.rules.show(ask),
    about="One rule as TOML, with its examples",
    is_change=False,
)
RULE_TRY = Verb(
    name="rule.try",
    path="/api/v1/rules/try",
    asks=TryRule,
    gives=shapes.RuleTrial,
    run=lambda on, ask, _: on.rules.attempt(ask),
    about="Run a rule on its examples and on a mail; nothing is kept",
    is_change=False,
    most_body=2_200_000,
)
RULE_NEW = Verb(
    name="rule.new",
    path="/api/v1/rules/new",
    asks=OneMail,
    gives=shapes.RuleText,
    run=lambda on, ask, _: _proposed(on, ask),
    about="Propose a rule for mails like a stored one; the rule is not kept",
    is_change=False,
)
RULE_ADD = Verb(
    name="rule.add",
    path="/api/v1/rules/add",
    asks=AddRule,
    gives=shapes.RuleAdded,
    run=lambda on, ask, by: on.rules.add(ask, by.name),
    about="Add a rule whose examples pass, or replace one that was added; it is in force when this is answered",
)
DAY = _read(
    "day",
    "/api/v1/day",
    Nothing,
    shapes.Day,
    lambda on, ask, _: on.day.figures(),  # noqa: ARG005
    "The last 24 hours in figures: mails, codes, held, not delivered, times",
)
WHY = _read(
    "why",
    "/api/v1/why",
    WhyAsk,
    shapes.Why,
    lambda on, ask, _: on.why.why(ask),
    "Why no code came for an identifier: causes in order of likelihood",
    for_agents=told_to_agents,
)
LOGIN = Verb(
    name="login",
    path="/api/v1/login",
    asks=Invite,
    gives=shapes.LoginLink,
    run=lambda on, ask, by: on.sessions.invite(ask, by.name),
    about="A link that logs in to the page once; only over the unix socket",
    is_change=False,
    needs_daemon=True,
    is_local=True,
)
SESSION_LIST = _read(
    "session.list",
    "/api/v1/sessions",
    Nothing,
    shapes.SessionPage,
    lambda on, ask, _: on.sessions.find(ask),
    "Who is logged in to the page",
)
SESSION_REMOVE = Verb(
    name="session.remove",
    path="/api/v1/sessions/remove",
    asks=OneSession,
    gives=shapes.Done,
    run=lambda on, ask, _: on.sessions.remove(ask),
    about="End a session of the page at once",
)
SESSION_PASSWORD = Verb(
    name="session.password",
    path="/api/v1/sessions/password",
    asks=NewPassword,
    gives=shapes.Done,
    run=lambda on, ask, _: on.sessions.set_password(ask),
    about="Set or remove the password of the page; only over the unix socket",
    is_change=False,  # no fast hash of a password is kept with the answers
    needs_daemon=True,
    is_local=True,
)
DOCTOR = Verb(
    name="doctor",
    path="/api/v1/doctor",
    asks=Nothing,
    gives=shapes.Examined,
    run=lambda on, ask, by: on.doctor.examine(),  # noqa: ARG005
    about="Check everything that can be wrong, and name the fix; asks mailboxes, DNS and Skyvern",
    is_change=False,
)
GMAIL_FILTER = _read(
    "gmail.filter",
    "/api/v1/gmail/filter",
    FilterAsk,
    FilterFile,
    lambda on, ask, _: on.gmail.filter(ask),
    "A filter for Gmail that forwards to the address of an identifier",
)
SETUP_SHOW = _read(
    "setup.show",
    "/api/v1/setup",
    Nothing,
    SetupState,
    lambda on, ask, by: on.setup.show(),  # noqa: ARG005
    "The steps of the setup, and everything that it has done",
    needs_daemon=True,
)
SETUP_GO = Verb(
    name="setup.go",
    path="/api/v1/setup/go",
    asks=Nothing,
    gives=SetupState,
    run=lambda on, ask, by: on.setup.go(by.name),  # noqa: ARG005
    about="Do the next steps of the setup, and check what it waits for; nothing is done twice",
    is_change=False,
    needs_daemon=True,
)
SETUP_ANSWER = Verb(
    name="setup.answer",
    path="/api/v1/setup/answer",
    asks=SetupAnswer,
    gives=SetupState,
    run=lambda on, ask, by: on.setup.answer(ask, by.name),
    about="Answer a question of the setup; a wrong answer changes nothing",
    needs_daemon=True,
)
SETUP_FORGET = Verb(
    name="setup.forget",
    path="/api/v1/setup/forget",
    asks=Nothing,
    gives=SetupState,
    run=lambda on, ask, by: on.setup.forget(by.name),  # noqa: ARG005
    about="Begin the setup again; what it added stays",
    needs_daemon=True,
)
STATUS = _read(
    "status",
    "/api/v1/status",
    Nothing,
    shapes.Status,
    lambda on, ask, by: on.daemon.status(),  # noqa: ARG005
    "The state of the daemon: health, listeners, targets, mailboxes, outbox",
    needs_daemon=True,
)
RELOAD = Verb(
    name="reload",
    path="/api/v1/reload",
    asks=Nothing,
    gives=shapes.Reloaded,
    run=lambda on, ask, by: on.daemon.reload(by.name),  # noqa: ARG005
    about="Read the configuration again; if it has mistakes, return them",
    needs_daemon=True,
)
TEST_ADDRESS = Verb(
    name="test.address",
    path="/api/v1/test-addresses",
    asks=OfIdentifier,
    gives=shapes.TestAddress,
    run=lambda on, ask, by: on.daemon.test_address(ask.identifier.strip(), by.name),
    about="An address for one test mail, for 60 seconds",
    needs_daemon=True,
)

VERBS: Sequence[Verb[Any, Any]] = (
    MAIL_LIST,
    MAIL_IMPORT,
    MAIL_REMOVE,
    MAIL_SHOW,
    MAIL_REVEAL,
    MAIL_RAW,
    MAIL_TEXT,
    MAIL_MARKED,
    MAIL_RELEASE,
    MAIL_REPLAY,
    MAIL_CONFIRM,
    DELIVERY_LIST,
    DELIVERY_RETRY,
    DELIVERY_SHOW,
    CODE_LIST,
    CODE_REVEAL,
    CODE_LATEST,
    CODE_GIVEN,
    CODE_NAME,
    ADDRESS_OWN,
    ENTRY_LIST,
    ENTRY_ADD,
    ENTRY_REMOVE,
    SENDER_KNOWN,
    TOKEN_LIST,
    TOKEN_ADD,
    TOKEN_REMOVE,
    TOTP_LIST,
    TOTP_ADD,
    TOTP_CODE,
    TOTP_BIND,
    TOTP_REMOVE,
    TOTP_SECRET,
    TARGET_TEST,
    NOTIFY_TEST,
    LOGIN,
    SESSION_LIST,
    SESSION_REMOVE,
    SESSION_PASSWORD,
    RULE_LIST,
    RULE_SHOW,
    RULE_TRY,
    RULE_NEW,
    RULE_ADD,
    MAILBOX_PROVIDER,
    MAILBOX_ADD,
    MAILBOX_REMOVE,
    MAILBOX_TEST,
    JOURNAL_TAIL,
    DAY,
    WHY,
    DOCTOR,
    GMAIL_FILTER,
    SETUP_SHOW,
    SETUP_GO,
    SETUP_ANSWER,
    SETUP_FORGET,
    STATUS,
    RELOAD,
    TEST_ADDRESS,
)
"""Every verb; a path that is written out stands before one with a number in its place."""
