"""A code of an authenticator lives long enough to be typed in, and is of a later period where one was used up."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.operator.fresh import current, fresh
from mailbridge.store.reading import StoredTotp


def stored(period: int) -> StoredTotp:
    """An authenticator with a short period."""
    one = Authenticator(secret=Secret("GEZDGNBVGY3TQOJQ"), period=period)
    return StoredTotp(name="acme", identifier=None, authenticator=one, created_at=datetime.now(UTC))


def test_a_code_that_is_nearly_over_is_not_given() -> None:
    """Whenever it is asked for, half of a period of two seconds is left."""

    async def work() -> None:
        one = stored(2)
        for _ in range(4):
            asked = time.time()
            made = await fresh(one, patience=60)
            assert made is not None
            assert made.expires_at.timestamp() - asked >= 0.999
            await asyncio.sleep(0.4)

    asyncio.run(work())


def test_a_period_that_was_used_up_is_waited_out_or_given_up() -> None:
    """After the counter of now comes that of the next period; where the patience is shorter, nothing."""

    async def work() -> None:
        one = stored(1)
        used = current(one).counter
        made = await fresh(one, after=used, patience=60)
        assert made is not None
        assert made.counter > used
        assert made.what == f"totp acme {made.counter}"
        assert await fresh(one, after=made.counter + 100, patience=0.05) is None

    asyncio.run(work())
