"""Targets: whether one is there and takes its key. Adding and removing them is a matter of entries."""

from __future__ import annotations

import asyncio

from mailbridge.config.settings import Settings, TargetSettings
from mailbridge.core.secret import Secret
from mailbridge.dispatch.routing import SKYVERN
from mailbridge.operator.asks import Ask, Text
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration
from mailbridge.operator.shapes import TargetTest
from mailbridge.sinks.skyvern import api_key_from_credentials_file
from mailbridge.sinks.skyvern_account import SkyvernAccount, SkyvernError


class OneTarget(Ask, frozen=True, kw_only=True):
    """A target by its name."""

    name: Text


class TargetVerbs:
    """The verbs of targets."""

    def __init__(self, *, configuration: Configuration) -> None:
        self._configuration = configuration

    async def test(self, ask: OneTarget) -> TargetTest | Fault:
        """Ask a target whether it is there and takes the key; nothing is pushed."""
        target = next((one for one in self._configuration.now.target if one.name == ask.name), None)
        if target is None and ask.name == SKYVERN:
            return await asyncio.to_thread(_main, self._configuration.now)
        if target is None:
            return Fault(kind=Kind.NOT_FOUND, title=f"no target {ask.name}; `mailbridge target list` shows what there is")
        why = await asyncio.to_thread(_why_not, target)
        return TargetTest(name=target.name, url=target.base_url, ok=why is None, text=why or "")


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
    return Fault(kind=Kind.BAD_CONFIG, title="no Skyvern key is configured: [skyvern] api_key_file, or $SKYVERN_API_KEY")


def _main(settings: Settings) -> TargetTest | Fault:
    """Whether the main target is there and takes its key. Blocking."""
    account = skyvern_account(settings)
    if isinstance(account, Fault):
        return account
    try:
        account.look()
    except SkyvernError as fault:
        return TargetTest(name=SKYVERN, url=settings.skyvern.base_url, ok=False, text=str(fault))
    return TargetTest(name=SKYVERN, url=settings.skyvern.base_url, ok=True, text="")


def _why_not(target: TargetSettings) -> str | None:
    """What stands in the way of a push; None where nothing does. A line for each kind."""
    match target.kind:
        case "skyvern":
            try:
                SkyvernAccount(base_url=target.base_url, api_key=target.api_key or Secret("")).look()
            except (SkyvernError, ValueError) as fault:
                return str(fault).replace("[skyvern]", f"[[target]] {target.name}:")
            return None
