"""How a verb fails: a value with a kind, and one table that says what a kind is over HTTP and to a shell."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from mailbridge.core.dataclass import dataclass


class Kind(StrEnum):
    """What can be foreseen. The word stands in problem+json as ``kind``."""

    BAD_REQUEST = "bad-request"
    NO_TOKEN = "no-token"  # noqa: S105  (a word, no token)
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    EXISTS = "exists"
    TOO_MANY = "too-many"
    REFUSED = "refused"
    KEY_REUSED = "key-reused"
    BAD_CONFIG = "bad-config"
    TRY_AGAIN = "try-again"
    NO_DAEMON = "no-daemon"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """``status`` of HTTP (RFC 9110), and the exit code of a command (sysexits.h, and our own below 64)."""

    status: int
    exit_code: int


FAULTS: Mapping[Kind, Meaning] = MappingProxyType(
    {
        Kind.BAD_REQUEST: Meaning(status=400, exit_code=2),
        Kind.NO_TOKEN: Meaning(status=401, exit_code=77),
        Kind.FORBIDDEN: Meaning(status=403, exit_code=77),
        Kind.NOT_FOUND: Meaning(status=404, exit_code=4),
        Kind.EXISTS: Meaning(status=409, exit_code=1),
        Kind.TOO_MANY: Meaning(status=409, exit_code=75),
        Kind.REFUSED: Meaning(status=409, exit_code=4),
        Kind.KEY_REUSED: Meaning(status=409, exit_code=2),
        Kind.BAD_CONFIG: Meaning(status=409, exit_code=78),
        Kind.TRY_AGAIN: Meaning(status=503, exit_code=75),
        Kind.NO_DAEMON: Meaning(status=503, exit_code=69),
        Kind.UPSTREAM: Meaning(status=502, exit_code=69),
    }
)
"""Every kind of fault, over HTTP and to a shell. There is no other table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a verb did nothing, in one sentence without a secret; ``problems`` are several mistakes, one a line."""

    kind: Kind
    title: str
    problems: tuple[str, ...] = ()

    @property
    def meaning(self) -> Meaning:
        """Its line of the table."""
        return FAULTS[self.kind]

    def as_problem(self) -> dict[str, object]:
        """The members of problem+json (RFC 9457)."""
        row: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.meaning.status,
            "kind": str(self.kind),
        }
        return {**row, "problems": list(self.problems)} if self.problems else row


def fault_of(status: int, problem: object) -> Fault:
    """A fault out of an answer: the other end of `Fault.as_problem`. What is no problem of ours is told by its status."""
    members = problem if isinstance(problem, dict) else {}
    title = str(members.get("title") or f"the answer was {status}")
    problems = members.get("problems")
    lines = tuple(str(one) for one in problems) if isinstance(problems, list) else ()
    named = str(members.get("kind", ""))
    if named in set(Kind):
        return Fault(kind=Kind(named), title=title, problems=lines)
    return Fault(kind=_BY_STATUS.get(status, Kind.UPSTREAM), title=title, problems=lines)


_BY_STATUS: Mapping[int, Kind] = MappingProxyType(
    {
        400: Kind.BAD_REQUEST,
        401: Kind.NO_TOKEN,
        403: Kind.FORBIDDEN,
        404: Kind.NOT_FOUND,
        408: Kind.TRY_AGAIN,
        413: Kind.BAD_REQUEST,
        429: Kind.TRY_AGAIN,
        503: Kind.TRY_AGAIN,
    }
)
"""What an answer without a kind (of another route, or of a proxy in between) is to a command."""
