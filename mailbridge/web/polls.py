"""The parts of a poll of Skyvern. The rest of the daemon needs only these, and no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.operator.fresh import LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class PullKey:
    """A key that Skyvern signs with, and the identifiers that it may ask for."""

    secret: Secret
    serves: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """The ids of a poll, each None if absent. Which of them are sent depends on what polls in Skyvern."""

    task_id: str | None = None
    workflow_run_id: str | None = None
    workflow_permanent_id: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """The ids that are present."""
        return tuple(one for one in (self.workflow_run_id, self.task_id, self.workflow_permanent_id) if one)

    @property
    def run(self) -> str:
        """Identifies this login: a run may log in several times, each time in its own task. ``""``: there is no id."""
        return " ".join(one for one in (self.workflow_run_id, self.task_id) if one) or self.workflow_permanent_id or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPolicy:
    """What a reload may change: the keys for signed polls, how long a consumed code is given again, and how long a code of an
    authenticator must still be valid."""

    keys: Sequence[PullKey]
    grace: timedelta
    totp_left: timedelta = timedelta(seconds=LEAST)
