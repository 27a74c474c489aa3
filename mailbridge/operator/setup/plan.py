"""What a setup's plan is made of: questions, steps, and what is seen of the bridge and of the world. Pure."""

from __future__ import annotations

from enum import StrEnum

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.operator.setup.progress import Progress
from mailbridge.operator.shapes import ProviderShape

CLOUD = "https://api.skyvern.com"

TRIED = "ann@example.com"
"""Whose code is tried where no real mail is meant."""


class Level(StrEnum):
    """How a step stands."""

    DONE = "done"
    ASK = "ask"
    WAIT = "wait"
    FAILED = "failed"
    LATER = "later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked. ``default`` is what an empty answer means; None: there has to be one. ``choices``: word and meaning."""

    name: str
    text: str
    is_secret: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. ``hint`` is what fixes it or brings it about; ``lines`` are to be copied. ``act`` is what the bridge itself has to do
    now, ``wants`` what the client has: write a file, or send a test mail."""

    name: str
    title: str
    level: Level
    text: str = ""
    hint: str = ""
    lines: tuple[str, ...] = ()
    question: Question | None = None
    act: str = ""
    wants: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a check found: None where nothing was looked at yet."""

    is_good: bool
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What is seen of a service that posts mail here. ``url`` is `[http] public_url`; ``is_proven``: its proof is configured; ``secret`` is what has
    to be set at the service (None: unknown, or it is not to be shown now)."""

    url: str = ""
    is_proven: bool = False
    secret: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What is seen of the way in. ``rcpt`` is the address that is bound to the identifier, ``asks`` the mail in which Gmail asks for
    an account's forwarding."""

    rcpt: str = ""
    listeners: tuple[str, ...] = ()
    lmtp: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    apex: str = ""
    mailbox: Seen | None = None
    records: Seen | None = None
    port: Seen | None = None
    asks: tuple[int, str] | None = None
    posting: Posting = Posting()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is seen of the bridge and of the world now. ``has_key``: a key is in force for the Skyvern at ``url``; ``skyvern`` is what it said;
    ``found`` where a Skyvern answers for which there is no key. ``domains`` are those whose mail is taken. ``provider`` is where the
    mail of the mailbox that was named is; None: no server was found. ``mail`` is the first mail for the identifier since the setup began."""

    has_key: bool = False
    url: str = CLOUD
    skyvern: Seen | None = None
    found: str = ""
    domains: tuple[str, ...] = ()
    way: Way = Way()
    provider: ProviderShape | None = None
    mail: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every step in its order. ``current`` is the first that is not done; None: everything is."""

    steps: tuple[Step, ...]

    @property
    def current(self) -> Step | None:
        """The step that something has to be done about."""
        return next((one for one in self.steps if one.level is not Level.DONE), None)


def identifier_of(progress: Progress) -> str:
    """For whom codes are to come: as answered, else the mailbox's own address, else the made-up one of a trial; "" while unknown."""
    answers = progress.answers
    own = answers.get("username", "") if answers.get("way") == "mailbox" else ""
    return answers.get("for") or own or (TRIED if answers.get("way") == "try" else "")


def domain_of(progress: Progress, facts: Facts) -> str:
    """The domain of the address: as answered, else the only one whose mail is taken; "" while unknown."""
    return progress.answers.get("domain") or (facts.domains[0] if len(facts.domains) == 1 else "")
