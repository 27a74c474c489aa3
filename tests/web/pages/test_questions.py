"""Questions on the page that wait for a person's yes: Gmail's, one that only claims to be Gmail's, and that of a posting service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identity import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.store import Arrival
from mailbridge.web.pages.words import TEXTS
from tests.web.desk import Desk, at_desk
from tests.web.pages.visitor import Visitor

Way = Literal["smtp", "imap", "http"]
GOOGLE = "https://mail-settings.google.com/mail/vf-x"


async def asked(
    desk: Desk,
    *,
    link: str = "",
    trust: str = "",
    reason: str = "",
    rcpt: str = "",
    held: tuple[str, ...] = (),
    way: Way = "smtp",
) -> int:
    """Store a mail that asks something; by ``way`` http without ``rcpt`` where a service has posted it. Returns its number."""
    envelope = Envelope(
        mail_from="x@google.com",
        rcpt_to=(rcpt,) if rcpt else (),
        content=b"mail",
        received_at=desk.clock.now(),
        ingress=way,
    )
    arrival = Arrival(
        envelope=envelope,
        fingerprint=f"{link} {trust} {reason}",
        subject="A question",
        sender="x@google.com",
        message_id="<q@x>",
        extraction=Extraction(verdict=Verdict.CONFIRMATION, value=Secret(link) if link else None, reason=reason),
        identification=Identification(),
        trust=trust,
        held=held,
    )
    return (await desk.store.put(arrival)).mail_id


def test_gmails_question_has_a_button_until_somebody_has_said_yes(tmp_path: Path) -> None:
    """The card and the button are there once for an account, and gone when it was allowed by whichever way."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        trust = "dkim: signed by google.com; ann@gmail.com asks"
        older = await asked(desk, link=f"{GOOGLE}1", trust=trust, rcpt="codes@bridge.example")
        newer = await asked(desk, link=f"{GOOGLE}2", trust=trust, rcpt="codes@bridge.example")
        page = (await visitor.get("/?part=needs")).text
        assert page.count(TEXTS["need.confirmation"]) == 1
        assert f"/mail/{newer}/confirm" in page
        assert f"/mail/{older}/confirm" not in page
        await desk.store.confirmed(newer)
        assert TEXTS["need.confirmation"] not in (await visitor.get("/?part=needs")).text
        shown = (await visitor.get(f"/mail/{newer}")).text
        assert "/confirm" not in shown
        assert TEXTS["event.confirmed"] in shown
        causes = (await visitor.get("/why?identifier=ann@gmail.com")).text
        assert "nobody has confirmed it" not in causes
        await asked(desk, link=f"{GOOGLE}3", trust=trust, rcpt="codes@bridge.example")
        assert TEXTS["need.confirmation"] in (await visitor.get("/?part=needs")).text
        assert "nobody has confirmed it" in (await visitor.get("/why?identifier=ann@gmail.com")).text

    at_desk(tmp_path, scene)


def test_a_question_that_was_read_in_a_mailbox_is_gmails_too(tmp_path: Path) -> None:
    """There is no recipient of the envelope; it has its button, and no link that is opened by hand."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        number = await asked(desk, link=GOOGLE, trust="dkim: signed by google.com; ann@gmail.com asks", way="imap")
        assert f"/mail/{number}/confirm" in (await visitor.get("/?part=needs")).text
        assert GOOGLE not in (await visitor.get(f"/mail/{number}")).text

    at_desk(tmp_path, scene)


def test_a_question_that_proves_nothing_is_not_called_gmails(tmp_path: Path) -> None:
    """The card says so, and there is nothing to press but to look at it."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        number = await asked(desk, reason="looks like Gmail's, not signed", rcpt="codes@bridge.example", held=("not signed",))
        page = (await visitor.get("/?part=needs")).text
        assert TEXTS["need.confirmation"] not in page
        assert TEXTS["need.confirmation.unproven"].replace("'", "&#39;") in page
        assert "/confirm" not in page
        assert "/confirm" not in (await visitor.get(f"/mail/{number}")).text
        answer = await visitor.post(f"/mail/{number}/confirm")
        assert answer.status_code == 409

    at_desk(tmp_path, scene)


def test_the_question_of_a_service_is_answered_by_its_link(tmp_path: Path) -> None:
    """It is not Gmail's, so the page opens its link in the browser of the person; a viewer has none."""
    link = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"

    async def scene(desk: Desk) -> None:
        visitor, viewer = Visitor(desk), Visitor(desk)
        await visitor.log_in()
        await viewer.log_in("viewer")
        number = await asked(desk, link=link, reason="Amazon SNS asks whether it may post here", way="http")
        page = (await visitor.get("/?part=needs")).text
        assert TEXTS["need.question"] in page
        assert TEXTS["need.confirmation"] not in page
        assert "/confirm" not in page
        shown = (await visitor.get(f"/mail/{number}")).text
        assert f'href="{link}" target="_blank" rel="noopener noreferrer"' in shown
        assert link not in (await viewer.get(f"/mail/{number}")).text

    at_desk(tmp_path, scene)
