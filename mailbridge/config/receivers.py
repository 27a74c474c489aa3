"""What is wrong with the `[[target]]` and `[[notify]]` tables: keys of another kind, unknown events and values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase

import msgspec

from mailbridge.config.settings import HeartbeatSettings, NotifySettings, Settings, TargetSettings
from mailbridge.config.values import shortened
from mailbridge.core.happening import TYPES
from mailbridge.core.template import SECRET, names_in, unknown

COMMON = ("name", "kind", "identifiers", "timeout")
SENT = ("method", "headers", "json", "form", "raw")
PUSHED = (*COMMON, "grace", "senders")
SIGNED = ("url", "events", "secret", "old_secret", "allow_private")

TARGET_KEYS: Mapping[str, tuple[str, ...]] = {
    "skyvern": (*PUSHED, "base_url", "api_key", "source", "use_env_proxy"),
    "webhook": (*PUSHED, *SIGNED, "include_code", "headers"),
    "http": (*PUSHED, *SIGNED, *SENT),
}
NOTIFY_KEYS: Mapping[str, tuple[str, ...]] = {
    "ntfy": (*COMMON, "events", "url", "allow_private", "headers", "topic", "token", "priority"),
    "slack": (*COMMON, "events", "url", "allow_private", "headers"),
    "discord": (*COMMON, "events", "url", "allow_private", "headers"),
    "telegram": (*COMMON, "events", "url", "allow_private", "headers", "token", "chat"),
    "gotify": (*COMMON, "events", "url", "allow_private", "headers", "token", "priority"),
    "apprise": (*COMMON, "events", "urls"),
    "http": (*COMMON, "events", "url", "allow_private", *SENT),
}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "ntfy": ("topic",),
    "slack": ("url",),
    "discord": ("url",),
    "telegram": ("token", "chat"),
    "gotify": ("url", "token"),
    "apprise": ("urls",),
    "http": ("url",),
}
SHORTEST, LONGEST = timedelta(milliseconds=100), timedelta(minutes=1)
EVERY = (timedelta(seconds=5), timedelta(days=1))


def receiver_mistakes(settings: Settings) -> Iterator[tuple[str, int, str, str]]:
    """Section, number of the table, key and what is wrong, for every mistake of a target or a notice."""
    for number, target in enumerate(settings.target):
        for key, what in (*_foreign(target, TARGET_KEYS[target.kind]), *_target(target)):
            yield "target", number, key, what
    for number, notice in enumerate(settings.notify):
        for key, what in (*_foreign(notice, NOTIFY_KEYS[notice.kind]), *_notice(notice)):
            yield "notify", number, key, what


def heartbeat_mistakes(heartbeat: HeartbeatSettings) -> Iterator[tuple[str, str, str]]:
    """Section, key and what is wrong."""
    if not EVERY[0] <= heartbeat.every <= EVERY[1]:
        yield "heartbeat", "every", "must be between 5s and 1d"
    if not SHORTEST <= heartbeat.timeout <= LONGEST:
        yield "heartbeat", "timeout", "must be between 100ms and 1m"


def _foreign(table: TargetSettings | NotifySettings, known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Keys that are set but belong to another kind."""
    for one in msgspec.structs.fields(type(table)):
        if one.name not in known and getattr(table, one.name) != one.default:
            yield one.name, f"has no meaning with kind = {table.kind!r}"


def _target(target: TargetSettings) -> Iterator[tuple[str, str]]:
    if target.kind == "skyvern":
        return
    if target.url is None:
        yield "url", f"target {target.name!r} needs url or url_file"
    if target.kind == "webhook" and target.secret is None:
        yield "secret", f"target {target.name!r} needs secret or secret_file: whsec_ and 24 to 64 random octets in Base64"
    if target.old_secret is not None and target.secret is None:
        yield "old_secret", "has no meaning without secret"
    yield from _events(target)
    if target.kind == "http":
        yield from _body(target)


def _notice(notice: NotifySettings) -> Iterator[tuple[str, str]]:
    for key in NEEDED[notice.kind]:
        if getattr(notice, key) in (None, "", ()):
            yield key, f"notice {notice.name!r} needs {key}"
    if notice.priority is not None and not 0 <= notice.priority <= 10:
        yield "priority", "must be between 0 and 10"
    if not SHORTEST <= notice.timeout <= LONGEST:
        yield "timeout", "must be between 100ms and 1m"
    yield from _events(notice)
    if notice.kind == "http":
        yield from _body(notice)
        for key, value in _templates(notice):
            if not SECRET.isdisjoint(names_in(value)):
                yield key, "names a value that may show a code; a notice holds none"


def _events(table: TargetSettings | NotifySettings) -> Iterator[tuple[str, str]]:
    listed = table.wanted if isinstance(table, TargetSettings) else table.events
    if not listed:
        yield "events", 'is empty, so nothing would ever be told; name events, or "*" for all'
    for one in listed:
        if not any(fnmatchcase(kind, one) for kind in TYPES):
            yield "events", f"{shortened(one)} is not an event; the events are {', '.join(TYPES)}, and patterns such as mail.*"
    if not table.identifiers:
        yield "identifiers", 'must name an identifier, or "*" for all'


def _templates(table: TargetSettings | NotifySettings) -> Iterator[tuple[str, object]]:
    yield from ((key, getattr(table, key)) for key in ("json", "form", "raw") if getattr(table, key) is not None)
    yield from (("headers", one.reveal()) for one in table.headers)


def _body(table: TargetSettings | NotifySettings) -> Iterator[tuple[str, str]]:
    """What is wrong with the text that is sent."""
    bodies = [key for key in ("json", "form", "raw") if getattr(table, key) is not None]
    if len(bodies) > 1:
        yield bodies[1], f"{bodies[0]} is there too; keep one"
    if bodies and table.method == "GET":
        yield bodies[0], "has no meaning with GET"
    if not bodies and isinstance(table, TargetSettings) and table.method not in ("GET", "DELETE"):
        yield "json", f"target {table.name!r} needs what is sent: json, form or raw"
    for key, value in _templates(table):
        for name in unknown(value):
            what = f"{{{name}}} is no value" if name not in ("{", "}") else f"{name!r} alone means nothing; write it twice"
            yield key, f"{what}; docs/targets.md lists them"
    try:
        json.dumps(table.json)
    except (TypeError, ValueError):
        yield "json", "holds a date or another value that JSON does not have; write it as text"
