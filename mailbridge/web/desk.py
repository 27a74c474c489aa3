"""What a page or a route may use: who asks, the store, and whoever waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from mailbridge.core.dataclass import dataclass
from mailbridge.store import Store
from mailbridge.waiting import Waiting
from mailbridge.web.auth import TokenAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """``auth`` tells callers by their token; a route asks it first. StoreUnavailable and HTTPException become problem+json."""

    auth: TokenAuth
    store: Store
    waiting: Waiting
    now: Callable[[], datetime]
