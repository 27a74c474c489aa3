"""What a poll of Skyvern's is made of, apart from what answers it: the rest of the daemon needs to know this much, and no HTTP for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.operator.fresh import LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class PullKey:
    """A key that Skyvern signs with, and whether it may ask for an identifier."""

    secret: Secret
    serves: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """The ids of a poll, as far as they are there. Which of them come depends on what in Skyvern polls."""

    task_id: str | None = None
    workflow_run_id: str | None = None
    workflow_permanent_id: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """Those that are there."""
        return tuple(one for one in (self.workflow_run_id, self.task_id, self.workflow_permanent_id) if one)

    @property
    def run(self) -> str:
        """What tells this login from others: a run may log in several times, each in a task of its own. ``""``: nothing does."""
        return " ".join(one for one in (self.workflow_run_id, self.task_id) if one) or self.workflow_permanent_id or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPolicy:
    """What a reload may change: the keys that polls are signed with, for how long a consumed code is given again, and how long a code
    of an authenticator must still live."""

    keys: Sequence[PullKey]
    grace: timedelta
    totp_left: timedelta = timedelta(seconds=LEAST)
