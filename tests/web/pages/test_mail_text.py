"""A mail's text on its page, and the servers that it names: masked with what was found marked, in clear when it is asked for, and to an operator alone."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.core.delivery import Draft
from mailbridge.core.extraction import Extraction, Rejected, Verdict
from mailbridge.core.identity import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.operator.verbs import MAIL_MARKED
from mailbridge.store import Arrival
from tests.web.desk import Desk, at_desk
from tests.web.pages.visitor import Visitor

SHOP = (
    "771 204",
    "Your code",
    "Hello Ann, order 20417 is here.\r\n\r\nYour verification code is 771 204.\r\n\r\nIt is valid for 10 minutes.",
    (("20417", "order number"),),
)
LETTERS = ("QXR-PLM", "Slack confirmation code: QXR-PLM", "Your confirmation code is QXR-PLM\r\n", ())
LINK = (
    "https://x.example/login?token=aBcDeFgHiJkL",
    "Sign in",
    "Sign in with this link:\r\nhttps://x.example/login?token=aBcDeFgHiJkL\r\n",
    (),
)


async def stored(desk: Desk, code: str, subject: str, body: str, rejected: tuple[tuple[str, str], ...]) -> int:
    """Store a mail as the daemon does, with its code waiting for its target."""
    head = "Received: from out.shop.example (x [192.0.2.1]) by mx.corp.com with ESMTP id 7; Sun, 29 Nov 2026 12:00:00 +0000\r\n"
    head += f"From: no-reply@shop.example\r\nTo: ann@corp.com\r\nSubject: {subject}\r\n\r\n"
    received = desk.clock.now()
    envelope = Envelope(
        mail_from="no-reply@shop.example",
        rcpt_to=("x@bridge.example",),
        content=(head + body).encode(),
        received_at=received,
        ingress="smtp",
    )
    is_link = "://" in code
    draft = Draft(
        target="skyvern",
        identifier="ann@corp.com",
        kind="link" if is_link else "code",
        content=Secret(code.replace(" ", "")),
        sender="no-reply@shop.example",
        lifetime=timedelta(minutes=10),
    )
    arrival = Arrival(
        envelope=envelope,
        fingerprint=code,
        subject=subject,
        sender="no-reply@shop.example",
        message_id=f"<{len(body)}@shop.example>",
        extraction=Extraction(
            verdict=Verdict.LINK if is_link else Verdict.CODE,
            value=Secret(code.replace(" ", "")),
            displayed=Secret(code),
            rejected=tuple(Rejected(value=Secret(value), why=why) for value, why in rejected),
        ),
        identification=Identification(identifiers=("ann@corp.com",), source="To"),
        drafts=(draft,),
    )
    return (await desk.store.put(arrival)).mail_id


@pytest.mark.parametrize(("code", "subject", "body", "rejected"), [SHOP, LETTERS, LINK])
def test_the_text_is_masked_and_marked(
    tmp_path: Path, code: str, subject: str, body: str, rejected: tuple[tuple[str, str], ...]
) -> None:
    """The code is a mark, what was passed over is one with its number and reason, and neither is there in clear; its words are."""

    async def scene(desk: Desk) -> None:
        number = await stored(desk, code, subject, body, rejected)
        visitor = Visitor(desk)
        await visitor.log_in()
        for path in ("/", "/mail", f"/mail/{number}", f"/mail/{number}/text"):
            text = (await visitor.get(path)).text
            for hidden in (code, code.replace(" ", ""), *code.split(), "aBcDeFgHiJkL", *(value for value, _ in rejected)):
                assert hidden not in text, (path, hidden)
        assert re.search(r'<mark class="chosen">\*\*\*</mark>', text)
        if rejected:
            assert re.search(r'<mark class="passed" title="order number">\*\*\*<sup>1</sup></mark>', text)
            assert "Hello Ann, order" in text

    at_desk(tmp_path, scene)


def test_the_page_asks_for_the_text_behind_itself(tmp_path: Path) -> None:
    """The page of a mail is there at once, and its text as a piece; without script a link leads to it."""

    async def scene(desk: Desk) -> None:
        number = await stored(desk, *SHOP)
        visitor = Visitor(desk)
        await visitor.log_in()
        page = (await visitor.get(f"/mail/{number}")).text
        assert f'hx-get="/mail/{number}/text" hx-trigger="load"' in page
        assert f'<a href="/mail/{number}/text">' in page
        part = (await visitor.get(f"/mail/{number}/text", **{"HX-Request": "true"})).text
        assert "<html" not in part
        assert '<mark class="chosen">' in part
        assert re.search(r'datetime="2026-11-29T12:00:00[^"]*".*out\.shop\.example to mx\.corp\.com', part)

    at_desk(tmp_path, scene)


def test_what_is_asked_for_is_marked_in_clear(tmp_path: Path) -> None:
    """The code as it stands there, and what was passed over with the number of its reason."""

    async def scene(desk: Desk) -> None:
        number = await stored(desk, *SHOP)
        visitor = Visitor(desk)
        await visitor.log_in()
        text = (await visitor.post(f"/mail/{number}/reveal", part=True)).text
        assert '<mark class="chosen">771 204</mark>' in text
        assert '<mark class="passed" title="order number">20417<sup>1</sup></mark>' in text

    at_desk(tmp_path, scene)


def test_a_viewer_sees_no_text(tmp_path: Path) -> None:
    """Not on the page, and not by its address: a code that nobody recognised may stand in it."""

    async def scene(desk: Desk) -> None:
        number = await stored(desk, *SHOP)
        visitor = Visitor(desk)
        await visitor.log_in("viewer")
        assert "/text" not in (await visitor.get(f"/mail/{number}")).text
        assert "Hello Ann" not in (await visitor.get(f"/mail/{number}/text")).text
        token = await desk.token(role="viewer")
        answer = await desk.ask(MAIL_MARKED.path.format(id=number), headers=token)
        assert answer.status_code == 403

    at_desk(tmp_path, scene)


def test_a_mail_that_is_no_longer_kept_says_so(tmp_path: Path) -> None:
    """In the place of its text."""

    async def scene(desk: Desk) -> None:
        number = await stored(desk, *SHOP)
        await desk.store.writer.do(lambda connection: connection.execute("UPDATE mail SET raw = NULL"))
        visitor = Visitor(desk)
        await visitor.log_in()
        text = (await visitor.get(f"/mail/{number}/text", **{"HX-Request": "true"})).text
        assert "no longer kept" in text

    at_desk(tmp_path, scene)
