"""Signs a new user up with Skyvern: a run with a fresh address, to which mailbridge pushes the code that comes.

Needs the packages `skyvern` and `mailbridge-2fa-client`. mailbridge's `[skyvern]` must push to the Skyvern that is used here.
MAILBRIDGE_URL and MAILBRIDGE_TOKEN name mailbridge and a token for inboxes (`mailbridge token add --identifier 'inbox-*'`),
SKYVERN_BASE_URL and SKYVERN_API_KEY Skyvern, SITE the page to sign up at.
"""

from __future__ import annotations

import asyncio
import os

from skyvern import Skyvern

from mailbridge_client import AsyncMailbridge


async def main() -> None:
    """One sign-up: with ``push`` the codes of the inbox go to Skyvern, which finds them by the run's identifier."""
    skyvern = Skyvern(base_url=os.environ["SKYVERN_BASE_URL"], api_key=os.environ["SKYVERN_API_KEY"])
    async with AsyncMailbridge() as mailbridge, mailbridge.inbox(push=True) as inbox:
        run = await skyvern.run_task(
            f"Sign up with the e-mail address {inbox.address}. Enter the code that is sent to it. Done when it says Welcome.",
            url=os.environ["SITE"],
            totp_identifier=inbox.identifier,
            wait_for_completion=True,
        )
        print(run.status)


if __name__ == "__main__":
    asyncio.run(main())
