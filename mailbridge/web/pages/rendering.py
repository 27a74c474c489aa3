"""Renders templates. Everything that comes from a mail is escaped, cut to a length, and cannot change the reading direction."""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from mailbridge import __version__
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import MASK
from mailbridge.intake.judgement import KEYS
from mailbridge.logs import CONTROL
from mailbridge.store.sessions import Session
from mailbridge.web.pages.asking import Page
from mailbridge.web.pages.door import Visit
from mailbridge.web.pages.look import asks_by_link
from mailbridge.web.pages.words import TEXTS, counted, text

LONGEST = 200
"""Characters of a subject or an address that are shown; the rest is there when the mail is downloaded."""

NAV: Sequence[tuple[str, str, str]] = (
    ("now", "/", "i-now"),
    ("mail", "/mail", "i-mail"),
    ("code", "/codes", "i-code"),
    ("waiting", "/waiting", "i-waiting"),
    ("delivery", "/deliveries", "i-delivery"),
    ("mailbox", "/mailboxes", "i-mailbox"),
    ("sender", "/senders", "i-sender"),
    ("rule", "/rules", "i-rule"),
    ("totp", "/authenticators", "i-key"),
    ("setup", "/setup", "i-setup"),
    ("doctor", "/doctor", "i-doctor"),
    ("why", "/why", "i-why"),
    ("search", "/search", "i-search"),
    ("session", "/sessions", "i-sessions"),
)
SCRIPTS = ("htmx.min.js", "hx-csp.min.js", "hx-sse.min.js", "page.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The surroundings of a page: the visit, the session, the token of its forms, and whether the login is fresh enough for
    every form."""

    visit: Visit
    session: Session | None
    csrf: str
    name: str
    query: Mapping[str, str] = field(default_factory=dict)
    is_part: bool = False
    is_fresh: bool = True


class Rendering:
    """The templates of the package. No other template can be loaded, and all text is escaped."""

    def __init__(self) -> None:
        folder = resources.files("mailbridge.web.pages") / "templates"
        self._static = {one: _digest(one) for one in ("style.css", "icon.svg", *SCRIPTS)}
        self._templates = Environment(
            loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= {
            "shown": shown,
            "site": site,
            "clock": clock,
            "moment": moment,
            "ago": ago,
            "left": left,
            "took": took,
            "lines": lines,
            "prose": prose,
            "linked": linked,
            "sentence": sentence,
            "plain_reason": plain_reason,
            "span": span,
            "duration": duration,
        }
        icons = (folder / "icons.svg").read_text(encoding="utf-8")
        self._templates.globals |= {
            "t": text,
            "counted": counted,
            "known_words": TEXTS,
            "mask": MASK,
            "nav": NAV,
            "version": __version__,
            "icons": Markup(icons),  # noqa: S704  (a file of the package)
            "scripts": SCRIPTS,
            "asks_by_link": asks_by_link,
        }

    def response(self, page: Page, scene: Scene) -> Response:
        """A page as HTML."""
        return HTMLResponse(self.html(page, scene), status_code=page.status)

    def html(self, page: Page, scene: Scene) -> str:
        """A page as text."""
        prefix = scene.visit.prefix
        return self._templates.get_template(page.template).render(
            {
                "said": said if (said := scene.query.get("said", "")).startswith("said.") and said in TEXTS else "",
                **page.values,
                "prefix": prefix,
                "nonce": scene.visit.nonce,
                "session": scene.session,
                "is_operator": scene.session is not None and scene.session.role == "operator",
                "is_fresh": scene.is_fresh,
                "csrf": scene.csrf,
                "current": scene.name.partition(".")[0],
                "is_part": scene.is_part,
                "static": lambda name: f"{prefix}/static/{name}?{self._static[name]}",
                "query": scene.query,
                "once": lambda: secrets.token_urlsafe(12),
                "further_in": lambda place: urlencode({**scene.query, "in": place}),
                "further": lambda before: urlencode({**scene.query, "before": before}),
            }
        )

    def part(self, template: str, **values: Any) -> str:
        """A template without a page around it: a row of the feed."""
        return self._templates.get_template(template).render(values)


def _digest(name: str) -> str:
    """A hash of a file, so that a browser loads a new version."""
    content = (resources.files("mailbridge.web.pages") / "static" / name).read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]


def shown(value: object, most: int = LONGEST) -> str:
    """Text from outside: on one line, cut, without characters that control a terminal or change the reading direction."""
    words = "" if value is None else str(value)
    cut = words[:most] + ("…" if len(words) > most else "")
    return CONTROL.sub("\ufffd", cut.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))


def lines(text: object) -> str:
    """The same for text of several lines."""
    return "\n".join(shown(one, 2_000) for one in str(text).splitlines()) + ("\n" if str(text).endswith("\n") else "")


CODE = re.compile(r"`([^`]+)`()")
CODE_OR_LINK = re.compile(r"`([^`]+)`|(https://[^\s`<>\"]*[^\s`<>\".,;:)])")


def prose(value: object, most: int = LONGEST) -> Markup:
    """The same for a sentence of the program, which may repeat text from outside: text between backticks is shown as code."""
    return _set(CODE, value, most)


def linked(value: object, most: int = LONGEST) -> Markup:
    """The same for a hint, which contains no text from outside: a web address in it becomes a link."""
    return _set(CODE_OR_LINK, value, most)


def _set(pattern: re.Pattern[str], value: object, most: int) -> Markup:
    words, found, at = shown(value, most), Markup(""), 0
    for match in pattern.finditer(words):
        found += escape(words[at : match.start()])
        command, url = match.groups()
        found += (
            Markup("<code>{}</code>").format(command)
            if command
            else Markup('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>').format(url, url)
        )
        at = match.end()
    return found + escape(words[at:])


def sentence(value: object) -> str:
    """A message with a capital first letter, unless it begins with an address or a command."""
    words = str(value)
    first = words.partition(" ")[0]
    return words[:1].upper() + words[1:] if first.isalpha() and first != "mailbridge" else words


def plain_reason(value: object) -> str:
    """Why a mail is held, for a reader who does not know the settings: the check has its name in words, and the keys are left out."""
    words = str(value)
    for check, keys in KEYS.items():
        words = words.replace(f" ({keys})", "")
        if words.startswith(f"{check}: "):
            words = text(f"check.{check}") + words[len(check) :]
    return words


def site(address: object) -> str:
    """The domain of an address, which shows who sent the mail."""
    return shown(str(address or "").rpartition("@")[2], 80)


def _at(stamp: str | None) -> datetime | None:
    return datetime.fromisoformat(stamp) if stamp else None


def clock(stamp: str | None) -> Markup:
    """The time of day. The page's script converts it to the browser's time zone."""
    at = _at(stamp)
    if at is None:
        return Markup("")
    form = "%H:%M:%S" if abs(datetime.now(UTC) - at) < timedelta(hours=20) else "%d %b %H:%M"
    return Markup(f'<time datetime="{escape(stamp)}">{at.astimezone().strftime(form)}</time>')  # noqa: S704  (escaped)


def moment(stamp: str | None) -> Markup:
    """Day and time."""
    at = _at(stamp)
    return (
        Markup("")
        if at is None
        else Markup('<time datetime="{}" data-long>{}</time>').format(stamp, at.astimezone().strftime("%d %b %Y %H:%M:%S"))
    )


def ago(stamp: str | None) -> str:
    """How long since a moment."""
    at = _at(stamp)
    return "" if at is None else text("ago", span=span((datetime.now(UTC) - at).total_seconds()))


def left(stamp: str | None) -> Markup:
    """The time left; the page's script counts it down."""
    at = _at(stamp)
    if at is None:
        return Markup("")
    seconds = (at - datetime.now(UTC)).total_seconds()
    return Markup('<span class="num" data-until="{}">{}</span>').format(stamp, span(max(seconds, 0)))


def took(first: str | None, last: str | None) -> str:
    """The time between two moments, in a suitable unit."""
    begin, end = _at(first), _at(last)
    if begin is None or end is None:
        return ""
    return duration((end - begin).total_seconds() * 1000)


def duration(milliseconds: float) -> str:
    """Milliseconds in a suitable unit."""
    seconds = max(milliseconds, 0.0) / 1000
    if seconds < 1:
        return text("span.ms", count=round(seconds * 1000))
    return text("span.s", count=f"{seconds:.1f}") if seconds < 60 else span(seconds)


def span(seconds: float) -> str:
    """A duration in its two largest units."""
    if not math.isfinite(seconds):
        return ""
    whole = int(seconds)
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return text("span.d" if hours else "span.d.even", days=days, hours=hours)
    if hours:
        return text("span.h" if minutes else "span.h.even", hours=hours, minutes=minutes)
    return text("span.min", minutes=minutes, seconds=whole % 60) if minutes else text("span.s", count=whole % 60)
