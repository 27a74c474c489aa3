"""Where codes go: every target of the configuration as one shape, and the practice receiver while there is no key for a real one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from mailbridge.config.secrets import secrets_of
from mailbridge.config.settings import Settings, TargetSettings
from mailbridge.core.secret import Secret
from mailbridge.dispatch.dispatcher import Target
from mailbridge.dispatch.routing import PRACTICE, SKYVERN, Routing
from mailbridge.masks import Masks
from mailbridge.metrics import Metrics
from mailbridge.sinks.skyvern import SkyvernSink, api_key_from_credentials_file
from mailbridge.web.practice import Practice, practice_app
from mailbridge.web.pull import PullKey
from mailbridge.web.server import serve_app


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """The practice receiver, listening on ``address`` (``host:port``)."""

    practice: Practice
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where codes go, settled once at the start: every target as one shape, the main one first.

    ``is_practice``: the main target is the practice receiver.
    """

    targets: Sequence[TargetSettings]
    is_practice: bool

    @property
    def main(self) -> str:
        """The name of the main target."""
        return self.targets[0].name

    @property
    def is_only_practice(self) -> bool:
        """Whether nothing leaves this machine."""
        return self.is_practice and len(self.targets) == 1


async def receiver_of(stack: AsyncExitStack, settings: Settings) -> Receiver | None:
    """The practice receiver, while there is no key for a real one; it ends with the stack.

    Raises:
        ListenError: its address cannot be bound.
    """
    if settings.skyvern.api_key is not None or settings.skyvern.credentials_file is not None:
        return None
    practice = Practice()
    bound = await stack.enter_async_context(serve_app(practice_app(practice), listen=settings.practice.listen))
    return Receiver(practice=practice, address=bound.address)


def targets_of(settings: Settings, receiver: Receiver | None) -> Served:
    """Every target as one shape: the main one first, or the practice receiver in its place."""
    main = settings.skyvern
    key = Secret(receiver.practice.api_key) if receiver is not None else main.api_key
    if key is None and main.credentials_file is not None:
        key = api_key_from_credentials_file(main.credentials_file)
    first = TargetSettings(
        name=SKYVERN if receiver is None else PRACTICE,
        base_url=main.base_url if receiver is None else f"http://{receiver.address}",
        api_key=key,
        source=main.source,
        timeout=main.timeout,
        grace=main.grace,
        senders=main.senders,
        use_env_proxy=main.use_env_proxy,
    )
    return Served(targets=(first, *settings.target), is_practice=receiver is not None)


def served_alone(settings: Settings) -> Served:
    """Where codes will go once a daemon runs; no key is read."""
    is_practice = settings.skyvern.api_key is None and settings.skyvern.credentials_file is None
    first = TargetSettings(name=PRACTICE if is_practice else SKYVERN, base_url=settings.skyvern.base_url)
    return Served(targets=(first, *settings.target), is_practice=is_practice)


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


def guard(masks: Masks, settings: Settings, targets: Sequence[TargetSettings] = ()) -> None:
    """Have every secret of the settings masked, and the keys of the targets, which may come from elsewhere."""
    masks.guard(*(secret for _, secret in secrets_of(settings)), *(one.api_key for one in targets))


def pull_keys(settings: Settings, targets: Sequence[TargetSettings]) -> tuple[PullKey, ...]:
    """The keys that polls may be signed with: those of ``[pull]``, else the API key of each Skyvern for the identifiers it serves."""
    if settings.pull.keys:
        return tuple(PullKey(secret=key, serves=lambda _: True) for key in settings.pull.keys)
    routing = Routing(settings.target, main=targets[0].name)
    keys = ((signing_key(one), routing.serves(one.name)) for one in targets)
    return tuple(PullKey(secret=key, serves=serves) for key, serves in keys if key)


def signing_key(target: TargetSettings) -> Secret | None:
    """What a target's own polls are signed with; None for one that does not poll.

    Only Skyvern polls, and signs with its API key. A target of another kind has secrets for other ends: they must not open this door,
    so each kind has its line here, and the type checker asks for it.
    """
    match target.kind:
        case "skyvern":
            return target.api_key
