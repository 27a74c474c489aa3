"""The page of rules: each with what it found, edited, tried on a mail, kept in the store, and taken back."""

from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path

import pytest

from tests.web.desk import Desk, at_desk
from tests.web.pages.test_mail_text import SHOP, stored
from tests.web.pages.visitor import Visitor

RULE = """[[rule]]
name = "maple"
from = ["*@maple.example"]
pattern = "Maple code is (?P<code>[0-9]{6})"
accepts = [{ text = "Your Maple code is 123456", value = "123456" }]
rejects = ["Order number 12"]
"""
MAIL = "Hello,\nyour Maple code is 777123 today"


def typed(page: str) -> str:
    """What stands in the tester."""
    found = re.search(r'<textarea name="rule"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


async def kept(desk: Desk) -> list[tuple[str, str]]:
    """The names of the rules in the store, and their patterns."""
    return [(one.name, str(one.settings["pattern"])) for one in await desk.store.entries.entries() if one.kind == "rule"]


def test_a_rule_is_tried_saved_edited_and_removed(tmp_path: Path) -> None:
    """What is saved is in the list with who added it; edited, it takes the place of the old one; removed, it is gone."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        tried = await visitor.post("/rules", rule=RULE, mail=MAIL.replace("your Maple", "Your Maple"), number="", part=True)
        assert '<mark class="chosen">777123</mark>' in tried.text
        assert await kept(desk) == []
        assert (await visitor.post("/rules/add", rule=RULE, replaces="")).headers["location"] == "/rules?said=said.rule_added"
        assert await kept(desk) == [("maple", "Maple code is (?P<code>[0-9]{6})")]
        page = (await visitor.get("/rules")).text
        assert re.search(r'<div class="who">maple</div>.*?Added, by ann', page)
        edited = (await visitor.get("/rules?rule=maple")).text
        assert 'name="replaces" value="maple"' in edited
        changed = typed(edited).replace("{6}", "{6,8}").replace('"maple"', '"maple-2"')
        assert (await visitor.post("/rules/add", rule=changed, replaces="maple")).status_code == 303
        assert await kept(desk) == [("maple-2", "Maple code is (?P<code>[0-9]{6,8})")]
        assert (await visitor.post("/rules/remove", name="maple-2")).status_code == 303
        assert await kept(desk) == []
        assert (await visitor.post("/rules/remove", name="maple-2")).status_code == 404

    at_desk(tmp_path, scene)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (RULE.replace("123456", "12345"), "accepts[0]"),
        (RULE.replace("Order number 12", "Maple code is 482913"), "rejects[0]"),
        (RULE.replace("(?P<code>[0-9]{6})", "(?P<code>[0-9]+)(?=x)"), "pattern"),
        (RULE.replace("(?P<code>", "(?P<kode>"), "group"),
        (RULE.replace('name = "maple"\n', ""), "needs a name"),
        (RULE + 'more = "x"\n', "more: unknown key"),
        (RULE + "source = 1979-05-27\n", "source"),
        (RULE + RULE.replace("maple", "oak"), "more than one"),
        ("", "must be given"),
        ("[[rule]", "the rule:"),
        ("x = 1", "unknown"),
        ("[smtp]\nlisten = []", "unknown"),
        (RULE + "# " + "x" * 20_000, "20,000 characters"),
    ],
)
def test_what_is_no_rule_is_refused_and_stays_typed(tmp_path: Path, wrong: str, said: str) -> None:
    """Each mistake is said, and nothing is kept."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        answer = await visitor.post("/rules/add", rule=wrong, mail=MAIL, number="", replaces="")
        assert answer.status_code in (400, 409)
        assert said in html.unescape(answer.text)
        assert typed(answer.text).strip() == wrong.strip()
        assert "Maple code is 777123" in answer.text
        assert await kept(desk) == []

    at_desk(tmp_path, scene)


def test_a_name_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """Only the rule that one edits is replaced."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        assert (await visitor.post("/rules/add", rule=RULE, replaces="")).status_code == 303
        again = await visitor.post("/rules/add", rule=RULE.replace("{6}", "{6,7}"), replaces="")
        assert again.status_code == 409
        assert "is there already" in again.text
        assert await kept(desk) == [("maple", "Maple code is (?P<code>[0-9]{6})")]

    at_desk(tmp_path, scene)


def test_a_shipped_rule_is_edited_as_one_of_the_same_name(tmp_path: Path) -> None:
    """It comes before the shipped one, which stays in its file."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        page = (await visitor.get("/rules?rule=steam-guard")).text
        assert 'name="replaces" value=""' in page
        assert "takes its place" in page
        assert (await visitor.post("/rules/add", rule=typed(page), replaces="")).status_code == 303
        assert [name for name, _ in await kept(desk)] == ["steam-guard"]
        assert (await visitor.get("/rules?rule=nonsense")).status_code == 404

    at_desk(tmp_path, scene)


def test_a_rule_is_made_of_a_mail(tmp_path: Path) -> None:
    """The tester holds a proposal that finds the mail's code, and no value of the mail."""

    async def scene(desk: Desk) -> None:
        number = await stored(desk, *SHOP)
        visitor = Visitor(desk)
        await visitor.log_in()
        page = (await visitor.get(f"/rules?mail={number}")).text
        rule = typed(page)
        assert 'from = ["*@shop.example"]' in rule
        assert "771 204" not in rule
        assert f'name="number" inputmode="numeric" value="{number}"' in page
        tried = await visitor.post("/rules", rule=rule, mail="", number=str(number), part=True)
        assert '<mark class="chosen">771 204</mark>' in tried.text
        assert (await visitor.get("/rules?mail=999")).status_code == 404

    at_desk(tmp_path, scene)


def test_saving_needs_a_young_login_and_an_operator(tmp_path: Path) -> None:
    """A viewer sees the list without the tester; after ten minutes one logs in once more."""

    async def scene(desk: Desk) -> None:
        visitor, viewer = Visitor(desk), Visitor(desk)
        await visitor.log_in()
        await viewer.log_in("viewer")
        for path in ("/rules", "/rules?rule=steam-guard", "/rules?mail=1"):
            page = (await viewer.get(path)).text
            assert "steam-guard" in page
            assert "<textarea" not in page
        await visitor.age(10.1)
        answer = await visitor.post("/rules/add", rule=RULE, replaces="")
        assert answer.status_code == 403
        assert await kept(desk) == []

    at_desk(tmp_path, scene)


def test_hits_are_those_of_the_last_day(tmp_path: Path) -> None:
    """Each rule has the number of mails that it found something in."""

    async def scene(desk: Desk) -> None:
        await desk.mail("482913")
        await desk.store.writer.do(lambda connection: connection.execute("UPDATE mail SET rule = 'steam-guard'"))
        visitor = Visitor(desk)
        await visitor.log_in()
        async with asyncio.timeout(20):  # the day is counted behind the page
            while not re.search(
                r'<div class="who">steam-guard</div>.*?<td class="num">1</td>', (await visitor.get("/rules")).text
            ):
                await asyncio.sleep(0.05)

    at_desk(tmp_path, scene)
