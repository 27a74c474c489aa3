"""Notices: the services that reach a person, each as a template on the HTTP target. What is said is short, and never a code.

Facts about each service are from its own documentation: ntfy (publish as JSON), Slack (incoming webhooks), Discord (execute webhook),
Telegram (sendMessage), Gotify (create message).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, assert_never

from mailbridge.config.settings import NotifySettings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.sinks.http import Shape, escaped_for_slack, header_of

NTFY = "https://ntfy.sh"
TELEGRAM = "https://api.telegram.org"
PLAIN = {"type": "{type}", "title": "{title}", "message": "{message}", "page": "{page}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Where a notice goes, and what is sent there."""

    url: Secret
    shape: Shape = field(repr=False)


def notice_of(settings: NotifySettings, *, page: str) -> Notice:
    """The notice of a ``[[notify]]``; ``page`` is the address of the page, "" where it has none. Not for ``apprise``.

    Raises:
        ValueError: something is missing; the message names it, and holds no secret.
    """
    url = settings.url.reveal().rstrip("/") if settings.url is not None else ""
    token = settings.token.reveal() if settings.token is not None else ""
    headers = [header_of(one.reveal()) for one in settings.headers]

    def shape(json: Any, *more: tuple[str, str], escape: Callable[[str], str] = str) -> Shape:
        return Shape(headers=(*headers, *more), json=json, escape=escape, page=page)

    match settings.kind:
        case "ntfy":
            topic = settings.topic.reveal() if settings.topic is not None else ""
            body: dict[str, Any] = {"topic": _literal(topic), "title": "{title}", "message": "{message}", "click": "{page}"}
            more = [("Authorization", f"Bearer {_literal(token)}")] if token else []
            return Notice(url=Secret(f"{url or NTFY}/"), shape=shape(body | _priority(settings), *more))
        case "slack":
            return Notice(url=Secret(url), shape=shape({"text": "*{title}*\n{message}"}, escape=escaped_for_slack))
        case "discord":
            body = {"content": "**{title}**\n{message}", "allowed_mentions": {"parse": []}}
            return Notice(url=Secret(url), shape=shape(body, escape=escaped_for_discord))
        case "telegram":
            address = f"{url or TELEGRAM}/bot{token}/sendMessage"
            return Notice(url=Secret(address), shape=shape({"chat_id": _literal(settings.chat), "text": "{title}\n{message}"}))
        case "gotify":
            body = {"title": "{title}", "message": "{message}"} | _priority(settings)
            return Notice(url=Secret(f"{url}/message"), shape=shape(body, ("X-Gotify-Key", _literal(token))))
        case "http":
            own = Shape(headers=headers, json=settings.json, form=settings.form, raw=settings.raw, page=page)
            return Notice(
                url=Secret(settings.url.reveal() if settings.url else ""), shape=own if _has_body(settings) else shape(PLAIN)
            )
        case "apprise":
            raise ValueError("apprise is a process of its own")
        case _:
            assert_never(settings.kind)


def escaped_for_discord(value: str) -> str:
    """Text that is no markup of Discord's, and opens no mention."""
    return "".join(f"\\{one}" if one in MARKUP else one for one in value).replace("@", "@\u200b")


MARKUP: Sequence[str] = tuple("\\*_~`|<>#[]")


def _has_body(settings: NotifySettings) -> bool:
    return (
        settings.json is not None or settings.form is not None or settings.raw is not None or settings.method in ("GET", "DELETE")
    )


def _priority(settings: NotifySettings) -> dict[str, Any]:
    return {} if settings.priority is None else {"priority": settings.priority}


def _literal(text: str) -> str:
    """A text in which braces name nothing."""
    return text.replace("{", "{{").replace("}", "}}")
