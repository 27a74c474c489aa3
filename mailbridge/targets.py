"""Where codes go: every target of the configuration as one shape, and the practice receiver while there is no key for a real one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

from mailbridge.config.settings import Settings, TargetSettings
from mailbridge.core.secret import Secret
from mailbridge.dispatch.dispatcher import Target
from mailbridge.dispatch.routing import SKYVERN, Routing
from mailbridge.metrics import Metrics
from mailbridge.sinks.skyvern import SkyvernSink, api_key_from_credentials_file
from mailbridge.web.practice import Practice, practice_app
from mailbridge.web.pull import PullKey
from mailbridge.web.server import serve_app


async def practice_of(stack: AsyncExitStack, settings: Settings) -> tuple[Practice | None, str]:
    """The practice receiver, while there is no key for a real one."""
    if settings.skyvern.api_key is not None or settings.skyvern.credentials_file is not None:
        return None, ""
    practice = Practice()
    bound = await stack.enter_async_context(serve_app(practice_app(practice), listen=settings.practice.listen))
    return practice, bound.address


def targets_of(settings: Settings, practice: Practice | None, practice_address: str) -> Sequence[TargetSettings]:
    """Every target as one shape: the main one first, or the practice receiver in its place."""
    main = settings.skyvern
    key = Secret(practice.api_key) if practice is not None else main.api_key
    if key is None and main.credentials_file is not None:
        key = api_key_from_credentials_file(main.credentials_file)
    first = TargetSettings(
        name=SKYVERN,
        base_url=main.base_url if practice is None else f"http://{practice_address}",
        api_key=key,
        source=main.source,
        timeout=main.timeout,
        grace=main.grace,
        senders=main.senders,
        use_env_proxy=main.use_env_proxy,
    )
    return (first, *settings.target)


def longest_grace(settings: Settings) -> timedelta:
    """How long what a killed process had begun may still arrive, at whichever target."""
    return max(settings.skyvern.grace, *(one.grace for one in settings.target), timedelta())


def target_of(stack: AsyncExitStack, settings: TargetSettings, metrics: Metrics) -> Target:
    """A target with its sink, whose connections are closed with the stack."""
    sink = SkyvernSink(
        base_url=settings.base_url,
        api_key=settings.api_key or Secret(""),
        source=settings.source,
        timeout=settings.timeout,
        use_env_proxy=settings.use_env_proxy,
        connections=settings.senders,
        on_response=metrics.response,
    )
    stack.push_async_callback(sink.aclose)
    return Target(name=settings.name, sink=sink, senders=settings.senders, grace=settings.grace)


def pull_keys(settings: Settings, targets: Sequence[TargetSettings]) -> tuple[PullKey, ...]:
    """The keys that polls may be signed with: those configured, else each target's own for the identifiers it serves."""
    if settings.pull.keys:
        return tuple(PullKey(secret=key, serves=lambda _: True) for key in settings.pull.keys)
    routing = Routing(settings.target)
    return tuple(PullKey(secret=one.api_key, serves=routing.serves(one.name)) for one in targets if one.api_key)
