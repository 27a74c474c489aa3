"""Logs in with browser-use: a tool of the agent enters the code, and the model never sees it.

Needs the packages `browser-use` and `mailbridge-2fa-client`. MAILBRIDGE_URL and MAILBRIDGE_TOKEN name mailbridge and a token for the
identifier (`mailbridge token add --identifier ann@corp.com`), SITE the page to log in at, CHROMIUM a browser other than its own.
"""

# No `from __future__ import annotations` here: browser-use looks at the types of a tool's arguments, and takes no texts for them.
import asyncio
import os

from browser_use import ActionResult, Agent, BrowserProfile, BrowserSession, ChatOpenAI, Tools
from browser_use.browser.events import SendKeysEvent, TypeTextEvent

from mailbridge_client import AsyncMailbridge, MailbridgeError


def tools_for(mailbridge: AsyncMailbridge, identifier: str) -> Tools:
    """The agent's tools, with one that types the code of a mail. It sends the form too: what stands in a field, the model is shown."""
    tools = Tools()

    @tools.action(
        "Wait for the one-time code that was sent by mail, and type it into the field with this index, and send the form."
    )
    async def enter_code(index: int, browser_session: BrowserSession) -> ActionResult:
        node = await browser_session.get_element_by_index(index)
        if node is None:
            return ActionResult(error=f"There is no field {index}.")
        try:
            code = await mailbridge.wait_for_code(identifier, timeout=90)
        except MailbridgeError as fault:
            return ActionResult(error=str(fault))
        for step in (TypeTextEvent(node=node, text=code.value, is_sensitive=True), SendKeysEvent(keys="Enter")):
            done = browser_session.event_bus.dispatch(step)
            await done.event_result(raise_if_any=True, raise_if_none=False)
        return ActionResult(extracted_content="The code was entered and the form sent.")

    return tools


async def main() -> None:
    """One login. What is expected before the agent begins is not missed, however fast the mail is."""
    identifier, site = "ann@corp.com", os.environ["SITE"]
    async with AsyncMailbridge() as mailbridge:
        await mailbridge.expect_code(identifier, 600)
        agent = Agent(
            task=f"Log in at {site} as {identifier}. When a code is asked for, use enter_code. Done when it says Welcome.",
            llm=ChatOpenAI(model="gpt-5-mini"),
            tools=tools_for(mailbridge, identifier),
            browser_profile=BrowserProfile(executable_path=os.environ.get("CHROMIUM"), headless=True),
            use_vision=False,
        )
        history = await agent.run(max_steps=15)
        print("logged in" if history.is_successful() else history.errors())


if __name__ == "__main__":
    asyncio.run(main())
