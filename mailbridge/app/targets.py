"""Where codes go: every target of the settings as one shape, made into sinks and handed to the dispatcher, now and at each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from mailbridge.app.parts import SinkMaker
from mailbridge.config.added import has_main
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.secrets import secrets_of
from mailbridge.config.settings import Settings, TargetSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.dispatch.dispatcher import Dispatcher, Target
from mailbridge.dispatch.routing import PRACTICE, SKYVERN, Routing
from mailbridge.masks import Masks
from mailbridge.metrics import Metrics
from mailbridge.sinks import NoRecords, ReadsRecords, Records
from mailbridge.sinks.skyvern import api_key_from_credentials_file
from mailbridge.web.polls import PullKey

if TYPE_CHECKING:
    from mailbridge.practice.receiver import Practice


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """The practice receiver, listening on ``address`` (``host:port``)."""

    practice: Practice
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where codes go by some settings: every target as one shape, the main one first.

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
        """Whether all codes stay on this machine."""
        return self.is_practice and len(self.targets) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A target, and what it was made of."""

    settings: TargetSettings
    target: Target


class Targets:
    """The targets that are served. The others may change while the daemon runs, and the practice receiver may give way to a key.

    Any other change of the main one waits for a restart.
    """

    def __init__(
        self, main: TargetSettings, receiver: Receiver | None, *, sinks: Mapping[str, SinkMaker], metrics: Metrics
    ) -> None:
        self.receiver = receiver
        self._main = main
        self._sinks = sinks
        self._metrics = metrics
        self._records: Records = NoRecords()
        self.made: tuple[Made, ...] = ()

    def served(self, settings: Settings) -> Served:
        """Where codes go by these settings. A key that was added since takes the practice receiver's place at once."""
        if self.receiver is not None and has_main(settings):
            return Served(targets=(main_target(settings, None), *settings.target), is_practice=False)
        return Served(targets=(self._main, *settings.target), is_practice=self.receiver is not None)

    def prepare(self, settings: Settings) -> tuple[Made, ...]:
        """The targets of these settings: those that are served as they are, and new ones. Asks nobody; up to 20 ms for each new one.

        Raises:
            ConfigError: one cannot be made.
        """
        known = {one.settings.name: one for one in self.made}
        made = []
        for one in self.served(settings).targets:
            wanted = msgspec.structs.replace(one, identifiers=())  # whom it serves is the routing's matter
            before = known.get(one.name)
            made.append(before if before is not None and before.settings == wanted else self._make(wanted))
        return tuple(made)

    def read_from(self, records: Records) -> None:
        """Where the targets read what they tell beside codes."""
        self._records = records
        for one in self.made:
            if isinstance(one.target.sink, ReadsRecords):
                one.target.sink.read_from(records)

    def swap(self, made: tuple[Made, ...], dispatcher: Dispatcher) -> None:
        """Use these targets from now on. Cannot fail."""
        self.made = made
        dispatcher.serve([one.target for one in made])

    async def aclose(self) -> None:
        """Close the connections of all targets in use."""
        for one in self.made:
            await one.target.sink.aclose()

    def _make(self, settings: TargetSettings) -> Made:
        where = f"[[target]] {settings.name}" if settings.name not in (SKYVERN, PRACTICE) else "[skyvern]"
        make = self._sinks.get(settings.kind)
        if make is None:
            raise ConfigError((Problem(where=where, what=f"kind: {settings.kind!r} is none of {', '.join(self._sinks)}"),))
        try:
            sink = make(settings, self._metrics.response)
        except (ValueError, OSError) as fault:
            raise ConfigError((Problem(where=where, what=str(fault)),)) from None
        if isinstance(sink, ReadsRecords):
            sink.read_from(self._records)
        return Made(
            settings=settings, target=Target(name=settings.name, sink=sink, senders=settings.senders, grace=settings.grace)
        )


async def receiver_of(stack: AsyncExitStack, settings: Settings) -> Receiver | None:
    """The practice receiver, while there is no key for a real one; it ends with the stack.

    Raises:
        ListenError: its address cannot be bound.
    """
    if has_main(settings):
        return None
    from mailbridge.practice.receiver import Practice, practice_app
    from mailbridge.web.server import serve_app

    practice = Practice()
    bound = await stack.enter_async_context(serve_app(practice_app(practice), listen=settings.practice.listen))
    return Receiver(practice=practice, address=bound.address)


def main_target(settings: Settings, receiver: Receiver | None) -> TargetSettings:
    """The main target in the shape of the others, or the practice receiver in its place."""
    main = settings.skyvern
    key = Secret(receiver.practice.api_key) if receiver is not None else main.api_key
    if key is None and main.credentials_file is not None:
        key = api_key_from_credentials_file(main.credentials_file)
    return TargetSettings(
        name=SKYVERN if receiver is None else PRACTICE,
        base_url=main.base_url if receiver is None else f"http://{receiver.address}",
        api_key=key,
        source=main.source,
        timeout=main.timeout,
        grace=main.grace,
        senders=main.senders,
        use_env_proxy=main.use_env_proxy,
    )


def served_alone(settings: Settings) -> Served:
    """Where codes will go once a daemon runs; no key is read."""
    is_practice = not has_main(settings)
    first = TargetSettings(name=PRACTICE if is_practice else SKYVERN, base_url=settings.skyvern.base_url)
    return Served(targets=(first, *settings.target), is_practice=is_practice)


def longest_grace(settings: Settings) -> timedelta:
    """How long what a killed process had begun may still arrive, at whichever target, one that was added by command included."""
    return max(settings.skyvern.grace, *(one.grace for one in settings.target), TargetSettings(name="").grace)


def guard(masks: Masks, settings: Settings, targets: Sequence[TargetSettings] = ()) -> None:
    """Have every secret of the settings masked, and the keys of the targets, which may come from elsewhere."""
    masks.guard(*(_inner(name, secret) for name, secret in secrets_of(settings)), *(one.api_key for one in targets))


def _inner(name: str, secret: Secret) -> Secret:
    """What of a secret is to be masked: of an address its path and query, since the rest stands in many a line and is known; of a
    header its value."""
    keys = name.split(".")
    text = secret.reveal()
    if "headers" in keys:
        return Secret(text.partition(":")[2].strip())
    if keys[-1] == "url" or "urls" in keys:
        return Secret(text.partition("://")[2].partition("/")[2])
    return secret


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
        case "webhook" | "http":
            return None
