"""The page of the setup: the questions and steps of `mailbridge setup`, by the operator's own verbs."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.core.delivery import Accepted
from mailbridge.core.secret import MASK
from mailbridge.operator.faults import Fault
from mailbridge.operator.setup.answers import WAYS
from mailbridge.operator.setup.verb import SetupState, StepShape
from mailbridge.web.pages.rendering import linked, prose, sentence
from mailbridge.web.pages.views.setup import MARKS, blocks, digest, masked
from mailbridge.web.pages.words import TEXTS
from tests.web.desk import Desk, at_desk
from tests.web.pages.visitor import Visitor

PASSWORD = "hunter-2-hunter"


async def shown(desk: Desk) -> SetupState:
    """The state as the verb says it."""
    found = await desk.operator.setup.show()
    assert not isinstance(found, Fault)
    return found


def test_the_first_page_leads_to_the_setup_until_something_is_there(tmp_path: Path) -> None:
    """Where nothing is set up, the first page says so, and nothing beside it says that all is well."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        page = (await visitor.get("/")).text
        assert TEXTS["need.begin"] in page
        assert TEXTS["now.calm"] not in page
        assert re.search(r'class="button first" href="/setup"', page)
        await desk.mail("482913")
        page = (await visitor.get("/")).text
        assert TEXTS["need.begin"] not in page
        assert TEXTS["need.practice"] in page

    at_desk(tmp_path, scene, is_practice=True)


def test_looking_at_it_does_nothing(tmp_path: Path) -> None:
    """The page itself only shows: not even that a setup has begun is kept."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        before = await desk.store.entries.revision()
        for _ in range(3):
            assert (await visitor.get("/setup")).status_code == 200
        assert await desk.store.entries.revision() == before

    at_desk(tmp_path, scene)


def test_the_questions_are_answered_one_by_one(tmp_path: Path) -> None:
    """Each answer is the verb's; what is to be copied stands there; the address is added once, and begun anew it stays."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        assert 'type="password"' in (await visitor.get("/setup")).text
        for name, value, wanted in (
            ("key", "", "way"),
            ("way", "lmtp", "for"),
            ("for", "ann@corp.com", "for"),
            ("sites", "github.com slack.com", "listener"),
        ):
            answer = await visitor.post("/setup/answer", name=name, value=value)
            assert answer.status_code == 303, answer.text
            assert answer.headers["location"] == "/setup"
            assert (await shown(desk)).current == wanted
        page = (await visitor.get("/setup")).text
        assert 'aria-current="step"' in page
        assert "lmtp = [&#34;127.0.0.1:2424&#34;]" in page
        assert 'data-copy="[smtp]\nlmtp = [&#34;127.0.0.1:2424&#34;]"' in page
        assert "ann@corp.com" in page
        assert (await visitor.post("/setup/forget")).status_code == 303
        assert (await shown(desk)).current == "skyvern"

    at_desk(tmp_path, scene)


@pytest.mark.parametrize(
    ("answers", "name", "value"),
    [
        ([("key", "")], "way", "pigeon"),
        ([("key", ""), ("way", "gmail")], "for", "ann@"),
        ([("key", ""), ("way", "gmail"), ("for", "ann@corp.com")], "sites", "not a site!"),
        ([("key", ""), ("way", "mailbox")], "username", "nobody"),
        ([("key", ""), ("way", "mailbox"), ("username", "ann@corp.example")], "host", "no host"),
        ([("key", ""), ("way", "mailbox")], "username", "x" * 5_000),
        ([("key", ""), ("way", "gmail")], "for", "<script>alert(1)</script>@"),
    ],
)
def test_a_wrong_answer_stays_with_its_reason(tmp_path: Path, answers: list[tuple[str, str]], name: str, value: str) -> None:
    """Nothing changes; the reason stands beside the field, and the field holds what was typed, as text."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for one, text in answers:
            await visitor.post("/setup/answer", name=one, value=text)
        before = await shown(desk)
        answer = await visitor.post("/setup/answer", name=name, value=value)
        assert answer.status_code in (400, 409)
        assert 'class="wrong"' in answer.text
        assert "<script>alert" not in answer.text
        if name != "way":
            assert re.search(r'name="value" type="text" value="[^"]+"', answer.text)
        assert await shown(desk) == before

    at_desk(tmp_path, scene)


def test_a_secret_is_never_sent_back(tmp_path: Path) -> None:
    """Neither a password that does not work, nor a key that is none; what stands in the log is who answered."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        bad = await visitor.post("/setup/answer", name="key", value=f"x-api-key: {PASSWORD}")
        assert bad.status_code == 409
        assert PASSWORD not in bad.text
        for name, value in (("key", ""), ("way", "mailbox"), ("username", "ann@corp.example"), ("host", "127.0.0.1:1")):
            assert (await visitor.post("/setup/answer", name=name, value=value)).status_code == 303
        refused = await visitor.post("/setup/answer", name="password", value=PASSWORD)
        assert refused.status_code == 409
        assert "connect" in refused.text
        assert PASSWORD not in refused.text + (await visitor.get("/setup")).text

    at_desk(tmp_path, scene)


def test_an_answer_can_be_changed(tmp_path: Path) -> None:
    """A step that was answered has a link; the new answer counts, a wrong one keeps the old."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for name, value in (("key", ""), ("way", "gmail"), ("for", "ann@corp.com"), ("sites", "")):
            await visitor.post("/setup/answer", name=name, value=value)
        assert 'href="/setup?change=way"' in (await visitor.get("/setup")).text
        page = (await visitor.get("/setup?change=for")).text
        assert 'name="change" value="for"' in page
        assert 'hx-trigger="load' not in page
        wrong = await visitor.post("/setup/answer", name="for", value="ann@", change="for")
        assert 'value="ann@"' in wrong.text
        assert (await shown(desk)).identifier == "ann@corp.com"
        assert (await visitor.post("/setup/answer", name="for", value="bob@corp.com", change="for")).status_code == 303
        assert (await shown(desk)).identifier == "bob@corp.com"
        assert (await visitor.get("/setup?change=nonsense")).status_code == 200

    at_desk(tmp_path, scene)


def test_a_look_that_finds_nothing_new_leaves_the_page(tmp_path: Path) -> None:
    """What an open page asks every other second is answered with nothing, or with the steps as they are now; it is no use of the
    session and stands in no log."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        await visitor.post("/setup/answer", name="key", value="")
        page = (await visitor.get("/setup")).text
        seen = re.search(r'name="seen" value="([0-9a-f]+)"', page)
        assert seen is not None
        assert (await visitor.post("/setup/look", seen=seen[1], part=True)).status_code == 204
        await visitor.post("/setup/answer", name="way", value="try")
        news = await visitor.post("/setup/look", seen=seen[1], part=True)
        assert news.status_code == 200
        assert "<html" not in news.text
        assert TEXTS["setup.test"] in news.text

    at_desk(tmp_path, scene)


def test_answers_want_a_young_login_and_an_operator(tmp_path: Path) -> None:
    """An old login is told before anything is typed; a viewer sees the steps, and no form."""

    async def scene(desk: Desk) -> None:
        visitor, viewer = Visitor(desk), Visitor(desk)
        await visitor.log_in()
        await viewer.log_in("viewer")
        page = (await viewer.get("/setup")).text
        assert TEXTS["setup.viewer"] in page
        assert "<form" not in page.partition("<main")[2]
        assert (await viewer.post("/setup/answer", name="key", value="")).status_code == 403
        await visitor.age(11)
        assert TEXTS["stale.before"] in (await visitor.get("/setup")).text
        assert (await visitor.post("/setup/answer", name="key", value="")).status_code == 403
        assert (await visitor.post("/setup/look", seen="", part=True)).status_code == 200
        assert (await shown(desk)).current == "skyvern"

    at_desk(tmp_path, scene)


def test_a_test_mail_that_cannot_be_sent_says_why(tmp_path: Path) -> None:
    """Where no listener takes mail, the step waits with the reason beside its button."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for name, value in (("key", ""), ("way", "try")):
            await visitor.post("/setup/answer", name=name, value=value)
        answer = await visitor.post("/setup/test")
        assert answer.status_code == 502
        assert TEXTS["setup.test.nowhere"] in answer.text

    at_desk(tmp_path, scene)


def test_the_filter_is_a_file(tmp_path: Path) -> None:
    """Downloaded under a name without anything odd in it; that it was is part of the setup."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for name, value in (
            ("key", ""),
            ("way", "gmail"),
            ("for", "Ann+x/y@corp.com"),
            ("sites", ""),
            ("domain", "bridge.example"),
        ):
            assert (await visitor.post("/setup/answer", name=name, value=value)).status_code == 303
        answer = await visitor.post("/setup/filter")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == 'attachment; filename="mailFilters-ann-x-y-corp.com.xml"'
        assert "<feed" in answer.text

    at_desk(tmp_path, scene)


def test_every_step_has_a_mark_and_every_level_a_word() -> None:
    """Whatever the plan says, the page can say it."""
    for level in MARKS:
        assert f"setup.level.{level}" in TEXTS
    assert set(WAYS) == {key.removeprefix("setup.choice.") for key in TEXTS if key.startswith("setup.choice.")}


def test_lines_become_what_a_person_copies() -> None:
    """What stands below a heading belongs to it; a panel's fields are fields; lines of one text are copied together."""
    zone = ["as lines of a zone file:", "  x. 3600 IN A 5.5.5.5", "or in the panel of x:", "  host bridge   type MX   value x."]
    found = blocks(zone)
    assert [one.heading for one in found] == ["as lines of a zone file", "or in the panel of x"]
    assert [(one.label, one.value) for one in found[0].rows[0]] == [("", "x. 3600 IN A 5.5.5.5")]
    assert [(one.label, one.value) for one in found[1].rows[0]] == [("host", "bridge"), ("type", "MX"), ("value", "x.")]
    assert [one.value for block in blocks(["[smtp]", 'lmtp = ["a"]']) for row in block.rows for one in row] == [
        '[smtp]\nlmtp = ["a"]'
    ]
    one = blocks(["the address to add: otp-1@bridge.example"])[0].rows[0][0]
    assert (one.label, one.value) == ("the address to add", "otp-1@bridge.example")
    assert blocks([]) == []


def state_of(*lines: str) -> SetupState:
    """A state of one step with these lines."""
    step = StepShape(name="proof", title="at the service", level="done", text="", hint="", lines=list(lines), wants="", file="")
    return SetupState(identifier="ann@corp.com", current=None, question=None, steps=[step], did=[])


def test_what_is_secret_in_a_line_is_masked_before_it_is_asked_for() -> None:
    """Where the state that is only shown hides a part of a line, so does the one that is looked for."""
    clear, plain = state_of("as a secret: BRIDGE = whsec_abc"), state_of(f"as a secret: BRIDGE = {MASK}")
    assert masked(clear, plain) == plain
    assert masked(clear, clear) == clear
    assert digest(clear) != digest(plain)


def test_a_command_and_a_web_address_in_a_sentence() -> None:
    """What stands between backticks is code; an https address is a link in a hint, which repeats nobody's words, and nowhere else."""
    text = "run `mailbridge why <b>`, see https://x.example/a?b=1. http://no.example <i>javascript:alert(1)</i>"
    hint = linked(text)
    assert "<code>mailbridge why &lt;b&gt;</code>" in hint
    assert '<a href="https://x.example/a?b=1" target="_blank" rel="noopener noreferrer">https://x.example/a?b=1</a>.' in hint
    assert hint.count("<a ") == 1
    assert "&lt;i&gt;" in hint
    assert "<code>mailbridge why &lt;b&gt;</code>" in prose(text)
    assert "<a " not in prose(text)


def test_what_a_mail_says_makes_no_link_in_a_step(tmp_path: Path) -> None:
    """A sender that looks like a web address stands in the step of the first mail as text."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for name, value in (("key", ""), ("way", "try")):
            await visitor.post("/setup/answer", name=name, value=value)
        await desk.mail("482913", to="ann@example.com", sender="https://evil.example/x@evil.example")
        await desk.store.outbox.settle(desk.claims[0], Accepted(), jitter=1.0, grace=timedelta(seconds=1))
        page = (await visitor.get("/setup")).text
        assert "https://evil.example/x@evil.example" in page
        assert 'href="https://evil' not in page

    at_desk(tmp_path, scene)


def test_a_sentence_begins_with_a_capital_letter() -> None:
    """An address, a path and a command stay as they are written."""
    changed = {"waiting for a code": "Waiting for a code", "a mailbox": "A mailbox", "": ""}
    kept = (
        "ann@corp.com asks",
        "http://localhost:8000, no key yet",
        "mailbridge doctor",
        "`mailbridge setup` goes on",
        "127.0.0.1",
    )
    assert {one: sentence(one) for one in changed} == changed
    assert [sentence(one) for one in kept] == list(kept)
