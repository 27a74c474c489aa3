"""The listeners of events in the settings: targets that want more than codes, and notices. Like targets, they change in one
step."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial

from mailbridge.app.receivers import notice_of
from mailbridge.app.targets import Made
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import NotifySettings, Settings, TargetSettings
from mailbridge.core.happening import RECEIVED, TYPES, Wish
from mailbridge.dispatch.dispatcher import Dispatcher
from mailbridge.dispatch.telling import Listener, Teller
from mailbridge.sinks import Told

Prepared = tuple[tuple[object, Listener], ...]
"""Listeners, each with the settings that it was made of."""


class Listeners:
    """Makes listeners, and keeps those that have not changed."""

    def __init__(self, teller: Teller, dispatcher: Dispatcher) -> None:
        self.teller = teller
        self._dispatcher = dispatcher
        self._made: Prepared = ()

    def prepare(self, settings: Settings, made: Sequence[Made]) -> Prepared:
        """The listeners of these settings; asks nobody.

        Raises:
            ConfigError: one cannot be made.
        """
        sinks = {one.settings.name: one.target.sink for one in made}
        prepared = []
        for target in settings.target:
            sink = sinks[target.name]
            if isinstance(sink, Told) and wants_events(target):
                origin: object = (target, id(sink))
                prepared.append((origin, self._known(origin) or self._of_target(target, sink)))
        for notice in settings.notify:
            origin = (notice, settings.http.public_url)
            prepared.append((origin, self._known(origin) or _of_notice(notice, settings.http.public_url)))
        return tuple(prepared)

    def swap(self, prepared: Prepared) -> None:
        """Use these listeners from now on. Cannot fail."""
        self._made = prepared
        self.teller.serve([listener for _, listener in prepared])

    def _known(self, origin: object) -> Listener | None:
        """The listener with exactly these settings; settings with a template cannot be hashed."""
        return next((listener for made_of, listener in self._made if made_of == origin), None)

    def _of_target(self, target: TargetSettings, sink: Told) -> Listener:
        return Listener(
            name=f"target {target.name}",
            sink=sink,
            wish=Wish(types=target.wanted, identifiers=target.identifiers),
            is_off=partial(self._is_gone, target.name),
            on_gone=partial(self._dispatcher.disable, target.name),
        )

    def _is_gone(self, name: str) -> bool:
        return name in self._dispatcher.gone


def wants_events(target: TargetSettings) -> bool:
    """Whether a target gets events other than codes."""
    return any(fnmatchcase(kind, one) for one in target.wanted for kind in TYPES if kind != RECEIVED)


def _of_notice(notice: NotifySettings, page: str) -> Listener:
    try:
        sink = notice_of(notice, page=page)
    except ValueError as fault:
        raise ConfigError((Problem(where=f"[[notify]] {notice.name}", what=str(fault)),)) from None
    return Listener(
        name=f"notify {notice.name}",
        sink=sink,
        wish=Wish(types=notice.events, identifiers=notice.identifiers),
        is_person=True,
        close=sink.aclose,
    )
