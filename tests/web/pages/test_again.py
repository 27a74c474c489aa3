"""A form that needs a younger login is kept, and sent after it: nothing has to be typed twice, and nothing secret is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault
from mailbridge.web.pages.keeping import KEPT_FOR, MOST_KEPT, Keeping, Kept
from tests.web.desk import Desk, at_desk
from tests.web.pages.visitor import Visitor

SEED = "JBSWY3DPEHPK3PXP"


async def names(desk: Desk) -> list[str]:
    """The authenticators that there are."""
    found = await desk.operator.authenticators.find(Nothing())
    assert not isinstance(found, Fault)
    return [one.name for one in found.authenticators]


def test_what_was_typed_is_sent_after_the_login(tmp_path: Path) -> None:
    """Told on the refusal, shown after the login without its secret, done by one click, and gone then."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        await visitor.age(11)
        stale = await visitor.post("/authenticators/add", name="corp", secret=SEED, identifier="ann@corp.com")
        assert stale.status_code == 403
        assert "kept for ten minutes" in stale.text
        entered = await visitor.log_in()
        assert entered.headers["Location"] == "/again"
        shown = await visitor.get("/again")
        assert "Add an authenticator" in shown.text
        assert "corp" in shown.text
        assert "ann@corp.com" in shown.text
        for told in (stale, entered, shown):
            assert SEED not in told.text + str(told.headers)
        assert await names(desk) == []
        done = await visitor.post("/again", once="a-first-time")
        assert (done.status_code, done.headers["Location"]) == (303, "/authenticators?said=said.authenticator_added")
        assert await names(desk) == ["corp"]
        twice = await visitor.post("/again", once="a-second-time")
        assert twice.headers["Location"] == "/"
        assert (await visitor.get("/again")).headers["Location"] == "/"

    at_desk(tmp_path, scene)


def test_a_mistake_in_it_comes_back_beside_its_field(tmp_path: Path) -> None:
    """What was sent again is judged as at any time: the form is there with what was typed, and says what is wrong."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        await visitor.age(11)
        await visitor.post("/authenticators/add", name="corp", secret="no seed at all!")
        await visitor.log_in()
        answer = await visitor.post("/again")
        assert answer.status_code == 409
        assert 'value="corp"' in answer.text
        assert 'class="wrong"' in answer.text

    at_desk(tmp_path, scene)


def test_it_is_given_up(tmp_path: Path) -> None:
    """By its button, and by signing out."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        for path in ("/again/forget", "/logout"):
            await visitor.log_in()
            await visitor.age(11)
            await visitor.post("/authenticators/add", name="corp", secret=SEED)
            await visitor.post(path)
            await visitor.log_in()
            assert (await visitor.get("/again")).headers["Location"] == "/"
        assert await names(desk) == []

    at_desk(tmp_path, scene)


def test_it_belongs_to_its_browser_and_to_an_operator(tmp_path: Path) -> None:
    """Another browser's login gets nothing of it; a viewer who logs in after an operator cannot send it."""

    async def scene(desk: Desk) -> None:
        visitor, other = Visitor(desk), Visitor(desk)
        await visitor.log_in()
        await visitor.age(11)
        await visitor.post("/authenticators/add", name="corp", secret=SEED)
        assert (await other.log_in()).headers["Location"] == "/"
        assert (await other.get("/again")).headers["Location"] == "/"
        assert (await visitor.log_in("viewer")).headers["Location"] == "/again"
        assert (await visitor.post("/again")).status_code == 403
        assert await names(desk) == []

    at_desk(tmp_path, scene)


def test_a_click_that_shows_a_code_is_not_kept(tmp_path: Path) -> None:
    """Nobody has typed anything: after the login one is on the first page."""

    async def scene(desk: Desk) -> None:
        await desk.mail("482913")
        visitor = Visitor(desk)
        await visitor.log_in()
        await visitor.age(11)
        stale = await visitor.post("/codes/reveal", identifier="ann@corp.com", mail="1")
        assert "kept for ten minutes" not in stale.text
        assert (await visitor.log_in()).headers["Location"] == "/"

    at_desk(tmp_path, scene)


def test_a_picture_is_kept_too(tmp_path: Path) -> None:
    """Octets that were uploaded come back as they were; this one is no picture, which is said after the login."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        await visitor.age(11)
        stale = await visitor.upload("/authenticators/add", {"picture": ("code.png", b"no picture")}, name="corp")
        assert stale.status_code == 403
        await visitor.log_in()
        assert (await visitor.post("/again")).status_code in (400, 409)

    at_desk(tmp_path, scene)


def _kept(now: datetime, *, octets: int = 1) -> Kept:
    return Kept(
        name="mailbox.add",
        number=0,
        form={"csrf": ["x"], "once": ["y"], "password": ["p" * octets]},
        files={},
        request="",
        until=now + KEPT_FOR,
    )


def test_it_is_dropped_in_time_and_bounded() -> None:
    """Nothing is kept beyond its ten minutes, nor more octets than fit: the oldest make room. What proves a form is not kept."""
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    keeping = Keeping()
    keeping.keep(1, _kept(now))
    found = keeping.of(1, now)
    assert found is not None
    assert set(found.form) == {"password"}
    assert keeping.of(1, now + KEPT_FOR - timedelta(seconds=1)) is not None
    assert keeping.of(2, now + KEPT_FOR) is None
    assert keeping.of(1, now) is None
    for number in range(4):
        keeping.keep(number, _kept(now, octets=MOST_KEPT // 3))
    assert [number for number in range(4) if keeping.of(number, now) is not None] == [1, 2, 3]
