"""Rules, the text of a mail and the search in a real Chromium: a rule is made on the page, and the next mail is read by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.window import Scene, watched

pytestmark = pytest.mark.e2e

RULE = """[[rule]]
name = "gate"
from = ["*@gate.example"]
pattern = "gate word (?P<code>[a-z]{5})"
accepts = [{ text = "gate word plumb", value = "plumb" }]
rejects = ["dock word plumb"]
"""
BODY = "Hello, order 20417 is ready. Your verification code is 771 204, for ten minutes."


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A daemon with one mail, and a window that is logged in."""
    with watched(tmp_path_factory.mktemp("rules")) as one:
        one.mail("Your code", BODY, to="ann@corp.com", sender="a@shop.example")
        one.log_in()
        one.browser.complaints()
        yield one


def test_the_text_of_a_mail_is_masked_and_marked(scene: Scene) -> None:
    """It is there a moment after the page; nothing of the code is in the document until it is asked for, and again ten seconds later."""
    script = """
        await page.waitForSelector("#text mark.chosen");
        const hidden = await page.content(), digits = (await page.innerText("main")).replace(/[^0-9a-z]+/gi, "");
        await page.click("#found button:text('Reveal')"); await page.waitForSelector("#found .mail-text mark.chosen");
        const shown = await page.innerText("#found .mail-text mark.chosen");
        await page.waitForFunction(() => !document.documentElement.outerHTML.includes("771 204"), null, {timeout: 14000});
        return [/771[^0-9a-z]{0,8}204/i.test(hidden) || digits.includes("771204"), hidden.includes("verification"), shown];"""
    assert scene.at("/mail/1", script) == [False, True, "771 204"]
    assert scene.browser.complaints() == []


def test_a_rule_is_saved_and_the_next_mail_is_read_by_it(scene: Scene) -> None:
    """A double click saves it once; what it finds is delivered without a restart, and counted; removed, it finds nothing any more."""
    script = """
        await page.fill("[name=rule]", given.rule); await page.fill("[name=mail]", "gate word crisp");
        await page.waitForSelector("#trial mark.chosen:text('crisp')");
        await page.dblclick("button:text('Save')"); await page.waitForURL(/said=said.rule_added/);
        return await page.locator("tbody tr:has-text('gate')").count();"""
    assert scene.at("/rules", script, rule=RULE) == 1
    scene.mail("Entry", "Today's gate word crisp opens it.", to="gus@corp.com", sender="door@gate.example")
    live = "await page.waitForSelector('#feed tr:has-text(\"gus@corp.com\") .state.good'); return await page.content();"
    assert "crisp" not in str(scene.at("/", live))
    hits = """await page.waitForSelector("tbody tr:has-text('gate') td.num:text-is('1')");
        await page.click("tbody tr:has-text('gate') a:text('Edit')"); await page.waitForSelector("h2:text('Edit gate')");
        await page.fill("[name=rule]", given.rule); await page.click("button:text('Save')");
        await page.waitForURL(/said=said.rule_added/);
        const edited = await page.locator("tbody tr:has-text('gate')").innerText();
        await page.click("tbody tr:has-text('gate') button:text('Remove')"); await page.waitForURL(/said=said.removed/);
        return [edited.includes("{5,6}"), await page.locator("tbody tr:has-text('gate')").count()];"""
    assert scene.at("/rules", hits, rule=RULE.replace("{5}", "{5,6}")) == [True, 0]
    assert scene.browser.complaints() == []


def test_a_refused_rule_stays_typed_beside_what_is_wrong(scene: Scene) -> None:
    """A pattern that re2 refuses, and an example that does not hold, are said in the tester; the text is as it was."""
    script = """
        await page.fill("[name=rule]", given.rule); await page.click("button:text('Save')");
        await page.waitForSelector("#trial .state.bad");
        return [await page.innerText("#trial"), await page.inputValue("[name=rule]")];"""
    for wrong, said in (
        (RULE.replace("(?P<code>", "(?=x)(?P<code>"), "re2 refuses it"),
        (RULE.replace("dock", "gate"), "rejects[0]"),
    ):
        found = scene.at("/rules", script, rule=wrong)
        assert isinstance(found, list)
        assert said in found[0]
        assert found[1] == wrong
    scene.browser.complaints()


def test_a_rule_is_made_of_a_mail(scene: Scene) -> None:
    """One click at the mail: the tester holds a proposal, which finds the code of that mail."""
    script = """
        await page.click("a:text('Make a rule')"); await page.waitForSelector("#tester");
        await page.click("button:text('Try')"); await page.waitForSelector("#trial mark.chosen");
        return [await page.inputValue("[name=rule]"), await page.innerText("#trial mark.chosen")];"""
    found = scene.at("/mail/1", script)
    assert isinstance(found, list)
    assert "shop.example" in found[0]
    assert "771 204" not in found[0]
    assert found[1] == "771 204"
    assert scene.browser.complaints() == []


def test_the_search_looks_into_subjects_behind_the_page(scene: Scene) -> None:
    """Who is typed as an identifier is found at once; words of a subject come in after it, and without script by a link."""
    script = "await page.waitForSelector('#subjects tr, #subjects p.soft'); return await page.innerText('main');"
    assert "ann@corp.com" in str(scene.at("/search?q=ann@corp.com", script))
    assert "Your code" in str(
        scene.at("/search?q=your+code", "await page.waitForSelector('#subjects tr'); return await page.innerText('#subjects');")
    )
    assert "No subject says this" in str(scene.at("/search?q=nothing-like-it", script))
    assert scene.browser.complaints() == []


@pytest.mark.parametrize("path", ["/rules?rule=steam-guard", "/mail/1/text", "/search?q=code&in=subject"])
def test_these_pages_are_accessible(scene: Scene, path: str) -> None:
    """axe finds nothing serious, light, dark and at 320 px; nothing scrolls sideways."""
    assert scene.serious(path) == []
    assert scene.browser.complaints() == []
