"""Tests of targets and notices. Adding and removing them is done by the verbs of entries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from mailbridge.config.settings import BESIDE, Settings, TargetSettings
from mailbridge.core.delivery import Accepted
from mailbridge.core.secret import Secret
from mailbridge.dispatch.routing import SKYVERN
from mailbridge.operator.asks import Ask, Text
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration
from mailbridge.operator.shapes import TargetTest
from mailbridge.sinks.skyvern import api_key_from_credentials_file
from mailbridge.sinks.skyvern_account import SkyvernAccount, SkyvernError

if TYPE_CHECKING:
    from mailbridge.sinks.posting import Sent


class OneTarget(Ask, frozen=True, kw_only=True):
    """A target by its name."""

    name: Text


class Receivers(Protocol):
    """Sends a test to the configured receivers; app makes it."""

    async def test_target(self, name: str) -> Sent:
        """Send a test to a webhook or an HTTP target. Raises KeyError if there is none of that name."""
        ...

    async def test_notice(self, name: str) -> Sent:
        """Send a test notice. Raises KeyError if there is none of that name."""
        ...


class TargetVerbs:
    """The verbs of targets and notices."""

    def __init__(self, *, configuration: Configuration, receivers: Receivers) -> None:
        self._configuration = configuration
        self._receivers = receivers

    async def test(self, ask: OneTarget) -> TargetTest | Fault:
        """Ask a target whether it is there and takes the key; a webhook or an HTTP target is told of a test. No code is pushed.

        A target that was disabled is enabled again where it takes the test."""
        target = next((one for one in self._configuration.now.target if one.name == ask.name), None)
        if target is None and ask.name == SKYVERN:
            return await asyncio.to_thread(_main, self._configuration.now)
        if target is None:
            return Fault(kind=Kind.NOT_FOUND, title=f"no target {ask.name}; `mailbridge target list` lists them")
        match target.kind:
            case "skyvern":
                why = await asyncio.to_thread(_why_not, target)
                return TargetTest(name=target.name, url=target.base_url, ok=why is None, text=why or "")
            case "webhook" | "http":
                return _tested(target.name, shown_url(target), await self._receivers.test_target(target.name))

    async def test_notice(self, ask: OneTarget) -> TargetTest | Fault:
        """Send a notice that says it is a test, and tell what the service answered."""
        notice = next((one for one in self._configuration.now.notify if one.name == ask.name), None)
        if notice is None:
            return Fault(kind=Kind.NOT_FOUND, title=f"no notice {ask.name}; `mailbridge notify list` lists them")
        return _tested(notice.name, notice.kind, await self._receivers.test_notice(notice.name))


def shown_url(target: TargetSettings) -> str:
    """Where a target is, without what may be a secret in its address."""
    if target.kind not in BESIDE:
        return target.base_url
    from mailbridge.sinks.posting import shown_address

    return shown_address(target.url or Secret(""))


def _tested(name: str, url: str, sent: Sent) -> TargetTest:
    why = "" if isinstance(sent.outcome, Accepted) else sent.outcome.reason
    return TargetTest(name=name, url=url, ok=not why, text=why, status=sent.status, answer=sent.text)


def skyvern_account(settings: Settings) -> SkyvernAccount | Fault:
    """The main target as an account of its own; a fault without a key for it, or with a file of keys that cannot be read."""
    main = settings.skyvern
    key = main.api_key
    try:
        if key is None and main.credentials_file is not None:
            key = api_key_from_credentials_file(main.credentials_file)
        if key is not None:
            return SkyvernAccount(base_url=main.base_url, api_key=key)
    except (ValueError, OSError) as fault:
        return Fault(kind=Kind.BAD_CONFIG, title=f"[skyvern]: {fault}")
    return Fault(kind=Kind.BAD_CONFIG, title="no Skyvern key is configured: set [skyvern] api_key_file or $SKYVERN_API_KEY")


def _main(settings: Settings) -> TargetTest | Fault:
    """Test whether the main target answers and accepts its key. Blocking."""
    account = skyvern_account(settings)
    if isinstance(account, Fault):
        return account
    try:
        account.look()
    except SkyvernError as fault:
        return TargetTest(name=SKYVERN, url=settings.skyvern.base_url, ok=False, text=str(fault))
    return TargetTest(name=SKYVERN, url=settings.skyvern.base_url, ok=True, text="")


def _why_not(target: TargetSettings) -> str | None:
    """Why nothing can be pushed to Skyvern; None if it can."""
    try:
        SkyvernAccount(base_url=target.base_url, api_key=target.api_key or Secret("")).look()
    except (SkyvernError, ValueError) as fault:
        return str(fault).replace("[skyvern]", f"[[target]] {target.name}:")
    return None
