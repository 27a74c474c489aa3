"""What a page or a route may use: the caller, the store, and who waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from mailbridge.core.dataclass import dataclass
from mailbridge.store import Store
from mailbridge.waiting import Waiting
from mailbridge.web.auth import TokenAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """``auth`` identifies callers by their token; a route calls it first. StoreUnavailable and HTTPException become
    problem+json."""

    auth: TokenAuth
    store: Store
    waiting: Waiting
    now: Callable[[], datetime]
