"""Google's question answered for accounts that are listed: what was allowed is written down, and what was not is not."""

from __future__ import annotations

import asyncio

import httpx

from mailbridge.core.secret import Secret
from mailbridge.intake.confirming import Confirming, ConfirmingPolicy
from mailbridge.intake.events import ConfirmationRequest
from mailbridge.store import StoreUnavailable
from tests.loop import looped, until
from tests.trust.test_gmail import DONE, FORM, LINK, Google, ToUs, served

ANN = "ann@gmail.com"
POLICY = ConfirmingPolicy(accounts=(ANN,), is_on=True)


def request(number: int, requester: str = ANN) -> ConfirmationRequest:
    """A question of Google's, in a mail of this number."""
    return ConfirmationRequest(mail_id=number, requester=requester, link=Secret(LINK))


@looped
async def test_only_what_was_allowed_is_kept() -> None:
    """Not an account that is not listed, and not a form that is still there after it was sent; a store that is away stops nothing."""
    google, kept = Google(answer=FORM), []

    async def keep(number: int) -> None:
        kept.append(number)
        if number == 3:
            raise StoreUnavailable("locked", "by a test")

    async with served(google) as address:
        one = Confirming(lambda: POLICY, lambda: httpx.AsyncClient(transport=ToUs(address), timeout=5), keep)
        task = asyncio.create_task(one.run())
        one.take(request(1, "eve@gmail.com"))
        one.take(request(2))
        await until(lambda: len(google.asked) == 3)
        google.answer = DONE
        one.take(request(3))
        one.take(request(4))
        await until(lambda: 4 in kept)
        task.cancel()
    assert kept == [3, 4]
