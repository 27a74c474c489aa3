"""What the pages show and what they never show: codes masked, hostile mails inert, forms that keep what was typed."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec import to_builtins

from mailbridge.config.added import MAIN
from mailbridge.core.delivery import Draft
from mailbridge.core.extraction import Extraction, Rejected, Verdict
from mailbridge.core.identity import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.operator.asks import Nothing
from mailbridge.operator.entries import AddEntry
from mailbridge.operator.faults import Fault
from mailbridge.operator.shapes import Day
from mailbridge.store import Arrival
from mailbridge.web.pages.entrance import PATHS
from mailbridge.web.pages.words import TEXTS
from tests.web.desk import Desk, at_desk, until
from tests.web.pages.visitor import Visitor

SECRET = "482913"
SCRIPT = "<script>alert(1)</script>"
STYLE = "<style>*{display:none}</style>"
HOSTILE = f"{SCRIPT}{STYLE}\u202e<img src=x onerror=alert(1)>\x00\x1b[2J\u2066'\"}}{{7*7}}"


class Tags(HTMLParser):
    """Every tag with its attributes, as a browser takes them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One tag."""
        self.tags.append((tag, dict(attrs)))


async def hostile(desk: Desk, *, held: bool = True, rejected: int = 3, subject: str = HOSTILE) -> int:
    """Store a mail whose every text is hostile."""
    content = b"From: a@b\r\n\r\n" + HOSTILE.encode("utf-8", "surrogatepass")
    sender = f'{SCRIPT}"@evil.example'
    envelope = Envelope(
        mail_from=sender, rcpt_to=(f"{STYLE}@x.example",), content=content, received_at=desk.clock.now(), ingress="smtp"
    )
    draft = Draft(
        target="skyvern", identifier=HOSTILE, kind="code", content=Secret(SECRET), sender=sender, lifetime=timedelta(minutes=10)
    )
    arrival = Arrival(
        envelope=envelope,
        fingerprint=f"hostile {time.monotonic_ns()}",
        subject=subject,
        sender=sender,
        message_id="<h@x>",
        extraction=Extraction(
            verdict=Verdict.CODE,
            value=Secret(SECRET),
            reason=HOSTILE,
            rejected=tuple(Rejected(value=Secret(f"passed-{number}-over"), why=SCRIPT) for number in range(rejected)),
        ),
        identification=Identification(identifiers=(HOSTILE,), source="To"),
        defects=(SCRIPT,),
        drafts=() if held else (draft,),
        trust=SCRIPT,
        held=(SCRIPT,) if held else (),
    )
    receipt = await desk.store.put(arrival)
    desk.waiting.wake((HOSTILE,))
    return receipt.mail_id


def looks() -> list[str]:
    """Every path that is looked at."""
    skipped = ("static", "login", "feed", "logout", "again")
    paths = [path.replace("{id:int}", "1") for name, method, path in PATHS if method == "GET" and name not in skipped]
    return [*paths, "/?part=needs", "/search?q=code", "/why?identifier=ann@corp.com", "/mail?held=true", "/deliveries?state=dead"]


def test_no_code_is_anywhere_before_it_is_asked_for(tmp_path: Path) -> None:
    """Not in a page, not in a piece of one, not in the feed."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        await desk.mail(f"https://x.example/{SECRET}", kind="link")
        await hostile(desk, subject=f"Your code is {SECRET}")
        visitor = Visitor(desk)
        await visitor.log_in()
        for path in looks():
            page = await visitor.get(path)
            assert page.status_code == 200, (path, page.text[:500])
            assert SECRET not in page.text, path
            assert "passed-0-over" not in page.text, path
        async with visitor.client.stream("GET", "/feed?after=0") as stream:
            async for line in stream.aiter_lines():
                assert SECRET not in line
                if "mail-3" in line:
                    break

    at_desk(tmp_path, scene)


def test_a_code_is_shown_when_it_is_asked_for_and_that_is_on_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The page and the piece of it; the log says who, and not what."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        visitor = Visitor(desk)
        await visitor.log_in()
        for path in ("/codes/reveal", "/mail/1/reveal"):
            for part in (False, True):
                answer = await visitor.post(path, identifier="ann@corp.com", mail="1", part=part)
                assert SECRET in answer.text
                assert ('http-equiv="refresh" content="10;' in answer.text) is not part
                assert ("data-hide" in answer.text) or not part

    with caplog.at_level("INFO", logger="mailbridge.page"):
        at_desk(tmp_path, scene)
    told = [record for record in caplog.records if getattr(record, "verb", "") in ("code.reveal", "mail.reveal")]
    assert len(told) >= 4
    assert {getattr(record, "by", "") for record in told} == {"ann"}
    assert SECRET not in caplog.text


def test_a_hostile_mail_is_text_and_nothing_else(tmp_path: Path) -> None:
    """Whatever stands in subject, sender, identifier, reason or recipients makes no tag, no attribute, and turns no direction."""

    async def scene(desk: Desk) -> None:
        number = await hostile(desk)
        visitor = Visitor(desk)
        await visitor.log_in()
        for path in (*looks(), f"/mail/{number}"):
            text = (await visitor.get(path)).text
            for tag, attributes in Tags(text).tags:
                assert tag not in ("img", "style", "iframe", "object", "base"), (path, tag)
                assert tag != "script" or "/static/" in (attributes.get("src") or ""), path
                assert not any(name.startswith("on") for name in attributes), (path, attributes)
            for bad in ("\u202e", "\u2066", "\x00", "\x1b"):
                assert bad not in text, (path, bad)

    at_desk(tmp_path, scene)


def test_a_large_mail_makes_no_large_page(tmp_path: Path) -> None:
    """A subject of 1 MB and 10,000 candidates: every page stays below 150 KB."""

    async def scene(desk: Desk) -> None:
        for _ in range(30):
            await hostile(desk, subject="x" * 1_000_000 if _ == 0 else "\u202e" * 50_000, rejected=10_000 if _ == 0 else 100)
        visitor = Visitor(desk)
        await visitor.log_in()
        for path in looks():
            assert len((await visitor.get(path)).content) < 150_000, path

    at_desk(tmp_path, scene)


def test_the_feed_says_what_came_and_goes_on_where_one_was(tmp_path: Path) -> None:
    """A mail is told at once; who comes back with the last event's id gets what came since, and nothing twice."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        last = ""

        async def told(after: str, wanted: str) -> str:
            """The id of the event that holds a text."""
            number = ""
            async with (
                asyncio.timeout(20),
                visitor.client.stream("GET", "/feed?after=0", headers={"Last-Event-ID": after}) as stream,
            ):
                async for line in stream.aiter_lines():
                    number = line.removeprefix("id: ") if line.startswith("id: ") else number
                    assert f'mail-{int(wanted) - 1}"' not in line or not after, line
                    if f'id="mail-{wanted}"' in line:
                        return number
            raise AssertionError

        task = asyncio.create_task(told("", "1"))
        await asyncio.sleep(0)
        await desk.mail(SECRET)
        last = await task
        await desk.mail("771204", to="bob@corp.com")
        assert int(await told(last, "2")) > int(last)

    at_desk(tmp_path, scene)


def test_the_feed_ends_with_its_session(tmp_path: Path) -> None:
    """Whoever is logged out elsewhere is told nothing more."""

    async def scene(desk: Desk) -> None:
        visitor, other = Visitor(desk), Visitor(desk)
        await visitor.log_in()
        await other.log_in()
        lines: list[str] = []

        async def read() -> None:
            async with visitor.client.stream("GET", "/feed?after=0") as stream:
                async for line in stream.aiter_lines():
                    lines.append(line)

        task = asyncio.create_task(read())
        await until(lambda: bool(lines))
        found = await desk.operator.sessions.find(Nothing())
        assert not isinstance(found, Fault)
        await other.post("/sessions/remove", id=str(min(one.id for one in found.sessions)))
        await desk.mail(SECRET)
        await asyncio.wait_for(task, 20)
        assert "mail-1" not in "".join(lines)

    at_desk(tmp_path, scene)


def test_a_form_that_is_sent_twice_is_done_once(tmp_path: Path) -> None:
    """A double click hands a mail in again once, and both see the new one."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        visitor = Visitor(desk)
        await visitor.log_in()
        csrf = await visitor.csrf()
        data, headers = {"csrf": csrf, "once": "one-click"}, {"Origin": visitor.origin}
        first, second = await asyncio.gather(
            *(visitor.client.post("/mail/1/replay", data=data, headers=headers) for _ in range(2))
        )
        assert first.status_code == second.status_code == 303
        assert first.headers["location"] == second.headers["location"]
        assert len(await desk.store.mails.page()) == 2

    at_desk(tmp_path, scene)


def test_a_page_that_was_left_open_keeps_no_session_alive(tmp_path: Path) -> None:
    """What it asks by itself is no use; a click is."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        await desk.store.writer.do(
            lambda connection: connection.execute(
                "UPDATE session SET seen_at = seen_at - 90000000, created_at = created_at - 90000000"
            )
        )

        async def seen() -> int:
            rows = await desk.store.readers.rows("SELECT seen_at FROM session")
            return int(rows[0][0])

        before = await seen()
        await visitor.get("/?part=needs", **{"HX-Request": "true"})
        assert await seen() == before
        await visitor.get("/codes")
        assert await seen() > before

    at_desk(tmp_path, scene)


def test_a_sender_is_allowed_with_the_release_of_its_mail(tmp_path: Path) -> None:
    """Its domain, for the identifiers of the mail; and it is taken back on the page of senders."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        assert (
            await visitor.post("/senders/add", sender="shop.example", identifier="ann@corp.com", allow="yes")
        ).status_code == 303
        assert (await visitor.post("/senders/add", sender="evil.example", identifier="", allow="no")).status_code == 303
        page = (await visitor.get("/senders")).text
        assert "shop.example" in page
        assert "Forbidden" in page
        wrong = await visitor.post("/senders/add", sender="not a sender", identifier="", allow="yes")
        assert wrong.status_code == 409
        assert 'value="not a sender"' in wrong.text
        assert (await visitor.post("/senders/remove", name="shop.example for ann@corp.com")).status_code == 303
        assert "shop.example" not in (await visitor.get("/senders")).text

    at_desk(tmp_path, scene)


def test_the_page_of_senders_says_who_may_send(tmp_path: Path) -> None:
    """The sites of Skyvern's credentials, and what becomes of the mails of all others; to a viewer too."""

    async def scene(desk: Desk) -> None:
        await desk.store.sites.learn({"ann@corp.com": frozenset({"larch.example"}), "bob@corp.com": frozenset()})
        visitor = Visitor(desk)
        await visitor.log_in("viewer")
        page = (await visitor.get("/senders")).text
        assert re.search(r"Known</span>.*larch\.example.*ann@corp\.com", page)
        assert "bob@corp.com" not in page
        assert "All other senders: a code is pushed and marked as first seen." in page
        assert TEXTS["sender.practice"] in page

    at_desk(tmp_path, scene)


def test_with_a_key_the_page_of_senders_does_not_speak_of_practice(tmp_path: Path) -> None:
    """A key that a person has added counts as one of the configuration."""

    async def scene(desk: Desk) -> None:
        await desk.operator.entries.add(AddEntry(kind=MAIN, name=MAIN, secrets={"api_key": "k"}), "ann")
        visitor = Visitor(desk)
        await visitor.log_in("viewer")
        assert TEXTS["sender.practice"] not in (await visitor.get("/senders")).text

    at_desk(tmp_path, scene)


def test_a_form_keeps_what_was_typed_and_says_what_is_wrong(tmp_path: Path) -> None:
    """Beside the field."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        answer = await visitor.get("/mail?since=nonsense&identifier=ann")
        assert answer.status_code == 400
        assert 'class="wrong"' in answer.text
        assert 'value="ann"' in answer.text

    at_desk(tmp_path, scene)


async def counted(desk: Desk) -> Day:
    """The figures, when all that has happened is counted."""
    async with asyncio.timeout(20):
        while True:
            day = await desk.operator.day.figures()
            assert not isinstance(day, Fault)
            if day.is_complete:
                return day


def test_a_day_of_many_mails_is_counted_behind_the_page(tmp_path: Path) -> None:
    """Figures are there while the count goes on, and each line counts once."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        line = "INSERT INTO journal (at, event, mail_id) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)"
        line += " SELECT received_at, 'stored', 1 FROM n, mail"
        await desk.store.writer.do(lambda connection: connection.execute(line))
        first = await desk.operator.day.figures()
        assert not isinstance(first, Fault)
        assert first.mails <= 30_001
        assert (await counted(desk)).mails == 30_001
        await desk.mail("771204")
        assert (await counted(desk)).mails == 30_002

    at_desk(tmp_path, scene)


def test_figures_of_the_day(tmp_path: Path) -> None:
    """Mails, codes and held ones are counted by the hour, and looking again counts nothing twice."""

    async def scene(desk: Desk) -> None:
        for number in range(5):
            await desk.mail(f"48291{number}")
        await hostile(desk)
        for _ in range(2):
            day = await counted(desk)
            assert (day.mails, day.codes, day.held) == (6, 6, 1)
            assert sum(hour.mails for hour in day.hours) == 6
            assert len(to_builtins(day)["hours"]) == 24

    at_desk(tmp_path, scene)
