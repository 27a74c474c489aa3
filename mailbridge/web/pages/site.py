"""Answers every request for the page: the door first, then a view, then its template."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from mailbridge import log_events
from mailbridge.operator.faults import Fault
from mailbridge.operator.sessions import LogIn, csrf_of
from mailbridge.store import StoreUnavailable
from mailbridge.store.sessions import Session
from mailbridge.web.limits import client_of
from mailbridge.web.pages import door
from mailbridge.web.pages.asking import VIEWER, Answer, Asked, File, Go, Page, Refused, Same, Stale
from mailbridge.web.pages.door import CSRF, Door, Visit
from mailbridge.web.pages.entrance import PageParts
from mailbridge.web.pages.feed import Feed
from mailbridge.web.pages.forms import form_of, one_of
from mailbridge.web.pages.keeping import KEPT_FOR, SHOWS, Keeping, Kept
from mailbridge.web.pages.rendering import Rendering, Scene
from mailbridge.web.pages.views import VIEWS

log = logging.getLogger("mailbridge.page")

MOST_DEEDS = 4_096
"""Forms that are remembered, so that one that is sent twice is done once."""

SECONDS = 7 * 86_400
"""How long a browser keeps the cookie; its session may end sooner."""

BY_ITSELF = frozenset({"setup.look"})
"""Forms that an open page sends without a person; they keep no session alive."""

TYPES: Mapping[str, str] = MappingProxyType({"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"})


class Site:
    """The page. Built at the first request, in a thread."""

    def __init__(self, parts: PageParts) -> None:
        self._operator = parts.operator
        self._now = parts.now
        self._door = Door(parts.public_url)
        self._rendering = Rendering()
        self._feed = Feed(operator=parts.operator, rendering=self._rendering, now=parts.now)
        self._static = {
            one.name: one.read_bytes()
            for one in (resources.files("mailbridge.web.pages") / "static").iterdir()
            if one.name.rpartition(".")[2] in TYPES
        }
        self._deeds: OrderedDict[str, asyncio.Task[Answer]] = OrderedDict()
        self._keeping = Keeping()

    async def answer(self, name: str, request: Request) -> Response:
        """The answer to one request, with everything that keeps a browser from doing more than it shows."""
        visit = self._door.visit(request)
        if visit is None:
            text = "The page answers to localhost, and to the host of [http] public_url.\n"
            return PlainTextResponse(text, status_code=421, headers={"Cache-Control": "no-store"})
        if name == "static":
            return self._file(str(request.path_params["name"]))
        try:
            response = await self._answered(name, request, visit)
        except StoreUnavailable as fault:
            response = self._page(Page(template="fault.html", values={"title": f"the store is {fault.kind}"}, status=503), visit)
        except HTTPException as fault:
            response = self._page(Page(template="fault.html", values={"title": fault.detail}, status=fault.status_code), visit)
        for header, value in door.headers(visit).items():
            response.headers[header] = value
        return response

    async def _answered(self, name: str, request: Request, visit: Visit) -> Response:
        cookie = request.cookies.get(visit.cookie, "")
        # A page that was left open asks by itself, and keeps no session alive by that.
        is_part = "hx-request" in request.headers
        is_use = not (is_part and name in BY_ITSELF) and (request.method == "POST" or not (is_part or name == "feed"))
        session = await self._operator.sessions.of(cookie, is_use=is_use)
        if name in ("login", "login.enter"):
            return await self._login(name, request, visit, session)
        if session is None:
            return self._to_login(request, visit)
        if name == "feed":
            return await self._feed.answer(request, lambda: self._operator.sessions.of(cookie, is_use=False))
        form: dict[str, list[str]] = {}
        files: dict[str, bytes] = {}
        if request.method == "POST":
            form, files = await form_of(request, name)
            if not door.is_own(request, visit, cookie, one_of(form, CSRF)):
                log.warning(
                    "a form that the page did not send was refused",
                    extra={"event": log_events.PAGE_FORM_REFUSED, "why": "not its own", "client": client_of(request)},
                )
                return self._page(
                    Page(template="fault.html", values={"key": "fault.foreign"}, status=403), visit, session, cookie
                )
        if name == "logout":
            return await self._logout(visit, session)
        asked = Asked(
            operator=self._operator,
            session=session,
            is_fresh=self._operator.sessions.is_fresh,
            now=self._now(),
            name=name,
            query=_query(request),
            form=form,
            files=files,
            number=int(request.path_params.get("id", 0)),
            is_part="hx-request" in request.headers,
            request=one_of(form, "once")[:100],
            kept=self._keeping.of(session.id, self._now()),
        )
        if name.startswith("again.") and asked.is_operator:
            asked = self._again(asked)
        scene = Scene(
            visit=visit,
            session=session,
            csrf=csrf_of(cookie),
            name=asked.name,
            query=asked.query,
            is_part=asked.is_part,
            is_fresh=asked.is_fresh(session),
        )
        return self._made(await self._seen(asked.name, asked), scene)

    def _again(self, asked: Asked) -> Asked:
        """The form that was kept, in place of the one that sends it; with nothing kept, and where it is given up, a look at the first page."""
        kept = asked.kept
        self._keeping.drop(asked.session.id)
        if kept is None or asked.name == "again.forget":
            return dataclasses.replace(asked, name="again", form={}, kept=None, request="")
        return dataclasses.replace(
            asked, name=kept.name, number=kept.number, form=kept.form, files=kept.files, request=kept.request, kept=None
        )

    async def _seen(self, name: str, asked: Asked) -> Answer:
        """What the view says. A form that was sent twice, as by a double click, is done once and answered twice."""
        if not asked.request:
            return await self._viewed(name, asked)
        key = f"{asked.session.id} {name} {asked.request}"
        deed = self._deeds.get(key)
        if deed is None:
            # Shielded below: a browser that goes away in the middle does not undo half of it.
            deed = self._deeds[key] = asyncio.create_task(self._viewed(name, asked), name=f"page-{name}")
            deed.add_done_callback(lambda done: self._forget_unless_done(key, done))
            while len(self._deeds) > MOST_DEEDS:
                self._deeds.popitem(last=False)
        return await asyncio.shield(deed)

    def _forget_unless_done(self, key: str, deed: asyncio.Task[Answer]) -> None:
        """Only that something was done is remembered: a page may hold a code, and a fault may be over by the next try."""
        if deed.cancelled() or deed.exception() is not None or not isinstance(deed.result(), Go):
            self._deeds.pop(key, None)

    async def _viewed(self, name: str, asked: Asked) -> Answer:
        if asked.form and not asked.is_operator:
            return _faulty(VIEWER)
        try:
            return await VIEWS[name](asked)
        except Stale:
            is_kept = asked.name not in SHOWS
            if is_kept:
                until = self._now() + KEPT_FOR
                kept = Kept(
                    name=name, number=asked.number, form=asked.form, files=asked.files, request=asked.request, until=until
                )
                self._keeping.keep(asked.session.id, kept)
            has_password = await self._operator.sessions.has_password()
            return Page(template="stale.html", values={"has_password": has_password, "is_kept": is_kept}, status=403)
        except Refused as refused:
            return _faulty(refused.fault)

    def _made(self, answer: Answer, scene: Scene) -> Response:
        match answer:
            case Page():
                return self._rendering.response(answer, scene)
            case Go():
                said = f"{'&' if '?' in answer.path else '?'}{urlencode({'said': answer.said})}" if answer.said else ""
                return _going(f"{scene.visit.prefix}{answer.path}{said}", is_part=scene.is_part)
            case File():
                named = f'attachment; filename="{answer.name}"'
                return Response(answer.content, media_type="application/octet-stream", headers={"Content-Disposition": named})
            case Same():
                return Response(status_code=204)

    def _page(self, page: Page, visit: Visit, session: Session | None = None, cookie: str = "") -> Response:
        scene = Scene(visit=visit, session=session, csrf=csrf_of(cookie) if cookie else "", name="")
        return self._rendering.response(page, scene)

    def _to_login(self, request: Request, visit: Visit) -> Response:
        if (
            request.method == "POST"
            or "hx-request" in request.headers
            or "text/event-stream" in request.headers.get("accept", "")
        ):
            response = PlainTextResponse("log in first\n", status_code=401)
            response.headers["HX-Redirect"] = f"{visit.prefix}/login"
            return response
        return RedirectResponse(f"{visit.prefix}/login", status_code=303)

    async def _login(self, name: str, request: Request, visit: Visit, session: Session | None) -> Response:
        """The form, and what it sends: the token of a link, or the password."""
        has_password = await self._operator.sessions.has_password()
        values = {"has_password": has_password, "takes_logins": visit.takes_logins, "is_in": session is not None}
        if name == "login":
            return self._page(Page(template="login.html", values=values), visit)
        form, _ = await form_of(request, name)
        if not visit.takes_logins or not door.is_own_origin(request, visit):
            return self._page(Page(template="login.html", values={**values, "wrong": "login.foreign"}, status=403), visit)
        seconds = self._door.login_wait(client_of(request))
        if seconds:
            page = Page(template="login.html", values={**values, "wrong": "login.wait"}, status=429)
            response = self._page(page, visit)
            response.headers["Retry-After"] = str(int(seconds) + 1)
            return response
        ask = LogIn(token=one_of(form, "token")[:200], password=one_of(form, "password")[:1000])
        found = await self._operator.sessions.log_in(ask)
        if isinstance(found, Fault):
            log.warning(
                "a login was refused",
                extra={
                    "event": log_events.PAGE_LOGIN_REFUSED,
                    "client": client_of(request),
                    "way": "link" if ask.token else "password",
                },
            )
            return self._page(Page(template="login.html", values={**values, "wrong": "login.refused"}, status=403), visit)
        text, fresh = found
        kept = None
        if session is not None:
            await self._operator.sessions.log_out(session)
            self._keeping.move(session.id, fresh.id)
            kept = self._keeping.of(fresh.id, self._now())
        log.info(
            "logged in to the page",
            extra={
                "event": log_events.PAGE_LOGIN,
                "by": fresh.name,
                "session": fresh.id,
                "role": fresh.role,
                "client": client_of(request),
            },
        )
        response = RedirectResponse(f"{visit.prefix}/" if kept is None else f"{visit.prefix}/again", status_code=303)
        door.set_cookie(response, visit, text, SECONDS)
        return response

    async def _logout(self, visit: Visit, session: Session) -> Response:
        await self._operator.sessions.log_out(session)
        self._keeping.drop(session.id)
        log.info("logged out of the page", extra={"event": log_events.PAGE_LOGOUT, "by": session.name, "session": session.id})
        response = RedirectResponse(f"{visit.prefix}/login", status_code=303)
        door.set_cookie(response, visit, "", 0)
        return response

    def _file(self, name: str) -> Response:
        content = self._static.get(name)
        if content is None:
            raise HTTPException(404, "Not Found")
        digest = hashlib.sha256(content).hexdigest()[:16]
        headers = {"Cache-Control": "public, max-age=86400", "ETag": f'"{digest}"', "X-Content-Type-Options": "nosniff"}
        return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=headers)


def _faulty(fault: Fault) -> Page:
    values = {"title": fault.title, "problems": fault.problems}
    return Page(template="fault.html", values=values, status=fault.meaning.status)


def _going(path: str, *, is_part: bool) -> Response:
    if is_part:
        return Response(status_code=204, headers={"HX-Redirect": path})
    return RedirectResponse(path, status_code=303)


def _query(request: Request) -> dict[str, str]:
    """The query: the first value of each name, without empty ones."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if value.strip():
            found.setdefault(name, value[:1000])
    return found
