"""The page of mailboxes: added by the steps of `imap add`, tried on demand, removed; what is wrong stands beside its field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mailbridge.app.mailboxes import shown_here
from mailbridge.config.settings import ImapSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.operator.doctor.finding import Step
from mailbridge.operator.mailboxes import Tried
from tests.web.desk import Desk, at_desk
from tests.web.pages.visitor import Visitor

PASSWORD = "hunter-2-hunter"
GOOD = (
    ("connect", "imap.corp.example port 993"),
    ("login", "the server offers IDLE"),
    ("open INBOX", "3 mails"),
    ("fetch", "UID 3"),
)


@dataclass
class Boxes:
    """Probes of mailboxes: every step works, or the last one fails with ``why``. ``seen`` are the accounts that were tried."""

    last: str = ""
    why: str = ""
    seen: list[ImapSettings] = field(default_factory=list)

    def tried(self, settings: ImapSettings, token: Secret | None, *, idle_for: float, with_canary: bool) -> Tried:
        """See `MailboxProbes.tried`."""
        self.seen.append(settings)
        steps: list[Step] = []
        for name, text in GOOD:
            if name == self.last:
                return Tried(steps=[*steps, Step(name=name, is_good=False, text=self.why)])
            steps.append(Step(name=name, is_good=True, text=text))
        return Tried(steps=steps)

    def keep(self, label: str, token: Secret) -> None:
        """See `MailboxProbes.keep`."""
        raise AssertionError(label)

    def forget(self, label: str) -> None:
        """See `MailboxProbes.forget`."""

    def hint(self, preset: str | None) -> str:
        """See `MailboxProbes.hint`."""
        return f"an app password: https://{preset or 'corp'}.example/apps"


def beside(text: str, name: str) -> str:
    """What is said to be wrong beside a field; "" where nothing is."""
    found = re.search(rf'name="{name}"[^>]*>(?:<span class="hint">(?:(?!<label).)*?</span>)?<span class="wrong">([^<]*)', text)
    return found[1] if found is not None else ""


def test_a_mailbox_is_added_step_by_step(tmp_path: Path) -> None:
    """Its address finds the provider, its password is tried before it is kept, and what came of each step is shown."""
    boxes = Boxes()

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        first = await visitor.post("/mailboxes/add", address="ann@gmail.com")
        assert first.status_code == 200
        assert 'name="password"' in first.text
        assert 'href="https://gmail.example/apps"' in first.text
        assert boxes.seen == []
        second = await visitor.post("/mailboxes/add", address="ann@gmail.com", password=PASSWORD, identifier="codes", username="")
        assert second.status_code == 200
        assert "ann@gmail.com is watched now" in second.text
        assert "3 mails" in second.text
        assert [(one.preset, one.username, one.identifier) for one in boxes.seen] == [("gmail", "ann@gmail.com", "codes")]
        page = (await visitor.get("/mailboxes")).text
        assert "ann@gmail.com" in page
        assert PASSWORD not in second.text + page
        assert (await visitor.post("/mailboxes/remove", name="gmail-1")).status_code == 303
        assert "ann@gmail.com" not in (await visitor.get("/mailboxes")).text

    at_desk(tmp_path, scene, mailboxes=boxes)


def test_each_mailbox_is_shown_as_it_is_wherever_it_is_watched(tmp_path: Path) -> None:
    """Here with what its server said last, at another replica with its name, and nowhere with that."""
    status = MailboxStatus("gmail-1/INBOX", renew=55)
    status.reason = "wrong password for ann@corp.example"
    here = shown_here(status.read(), lambda text: text.replace("ann@", "***@"))
    there = {**here, "mailbox": "gmail-2/INBOX", "reason": "", "is_well": True, "watched_by": "mx2"}
    nowhere = {**here, "mailbox": "gmail-3/INBOX", "reason": "no replica watches it", "watched_by": ""}

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for name in ("ann", "ben", "cat"):
            await visitor.post("/mailboxes/add", address=f"{name}@gmail.com", password=PASSWORD, identifier="", username="")
        page = (await visitor.get("/mailboxes")).text
        assert "wrong password for ***@corp.example" in page
        assert "mx2" in page
        assert "no replica watches it" in page

    at_desk(tmp_path, scene, mailboxes=Boxes(), rows=(here, there, nowhere))


@pytest.mark.parametrize(("mode", "word"), [("connecting", "Being connected"), ("parked", "Not watched")])
def test_a_mailbox_that_is_being_connected_is_not_called_broken(tmp_path: Path, mode: str, word: str) -> None:
    """Until its server has answered once; one that needs a person is not watched."""
    begins = shown_here(MailboxStatus("gmail-1/INBOX", renew=55).read(), str)

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        await visitor.post("/mailboxes/add", address="ann@gmail.com", password=PASSWORD, identifier="", username="")
        header = re.search(r"<header><h2><bdi>ann@gmail\.com.*?</header>", (await visitor.get("/mailboxes")).text, re.DOTALL)
        assert header is not None
        assert word in header[0]

    at_desk(tmp_path, scene, mailboxes=Boxes(), rows=({**begins, "mode": mode},))


def test_a_server_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    """It is named with its port, and is never asked without TLS."""
    boxes = Boxes()

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        first = await visitor.post("/mailboxes/add", address="ann@corp.example")
        assert first.status_code == 404
        assert 'value="ann@corp.example"' in first.text
        assert beside(first.text, "server")
        bad = await visitor.post("/mailboxes/add", address="ann@corp.example", server="imap corp")
        assert bad.status_code == 400
        assert "not a server" in beside(bad.text, "server")
        assert 'value="imap corp"' in bad.text
        await visitor.post("/mailboxes/add", address="ann@corp.example", server="imap.corp.example:143", password=PASSWORD)
        assert [(one.host, one.port, one.tls) for one in boxes.seen] == [("imap.corp.example", 143, "starttls")]

    at_desk(tmp_path, scene, mailboxes=boxes)


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(tmp_path: Path) -> None:
    """An address that is none, no password, a password that is refused, a server that is not there; the password is never sent back."""
    boxes = Boxes()
    typed = {"address": "ann@corp.example", "server": "imap.corp.example", "identifier": "codes", "username": "ann"}

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for address in ("", "ann", "ann@"):
            answer = await visitor.post("/mailboxes/add", address=address)
            assert answer.status_code in (400, 409)
            assert beside(answer.text, "address")
        empty = await visitor.post("/mailboxes/add", part=False, **typed, password="")
        assert empty.status_code == 400
        assert beside(empty.text, "password")
        assert boxes.seen == []
        for step, name in (("login", "password"), ("connect", "server")):
            boxes.last, boxes.why = step, f"no {step} today"
            answer = await visitor.post("/mailboxes/add", part=False, **typed, password=PASSWORD)
            assert answer.status_code == 502
            assert f"no {step} today" in beside(answer.text, name), step
            for value in typed.values():
                assert f'value="{value}"' in answer.text
            assert PASSWORD not in answer.text
        boxes.last, boxes.why = "fetch", "no mail can be had"
        answer = await visitor.post("/mailboxes/add", part=False, **typed, password=PASSWORD)
        assert "no mail can be had" in answer.text

    at_desk(tmp_path, scene, mailboxes=boxes)


def test_a_provider_without_passwords_names_the_command(tmp_path: Path) -> None:
    """No password is asked for where none is taken."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        answer = await visitor.post("/mailboxes/add", address="ann@outlook.com")
        assert "mailbridge imap add ann@outlook.com --oauth" in answer.text
        assert 'name="password"' not in answer.text

    at_desk(tmp_path, scene, mailboxes=Boxes())


def test_adding_and_removing_want_a_young_login_and_an_operator(tmp_path: Path) -> None:
    """Whoever is logged in for longer is told before anything is typed; a viewer has no form."""

    async def scene(desk: Desk) -> None:
        visitor, viewer = Visitor(desk), Visitor(desk)
        await visitor.log_in()
        await viewer.log_in("viewer")
        page = (await viewer.get("/mailboxes")).text
        assert "<form" not in page.partition("<main")[2]
        assert (await viewer.post("/mailboxes/add", address="ann@gmail.com")).status_code == 403
        assert "older than ten minutes" not in (await visitor.get("/mailboxes")).text
        await visitor.age(11)
        assert "older than ten minutes" in (await visitor.get("/mailboxes")).text
        for path, fields in (("add", {"address": "ann@gmail.com", "password": PASSWORD}), ("remove", {"name": "x"})):
            answer = await visitor.post(f"/mailboxes/{path}", part=False, **fields)
            assert answer.status_code == 403
            assert "mailbridge login" in answer.text

    at_desk(tmp_path, scene, mailboxes=Boxes())


def test_a_name_that_is_no_mailbox_is_told(tmp_path: Path) -> None:
    """Tried or removed, it is not found."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for path in ("test", "remove"):
            assert (await visitor.post(f"/mailboxes/{path}", name="nobody")).status_code == 404
            assert (await visitor.post(f"/mailboxes/{path}", name="")).status_code == 400

    at_desk(tmp_path, scene, mailboxes=Boxes())
