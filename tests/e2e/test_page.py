"""The page in a real Chromium, beside a real daemon: live, by keyboard, masked, inert, and accessible."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.window import PICTURES, Scene, watched
from tests.peers.browser import running_browser
from tests.web.daemon import running_daemon

pytestmark = pytest.mark.e2e

PATHS = {
    "now": "/",
    "mail": "/mail",
    "one-mail": "/mail/1",
    "codes": "/codes",
    "waiting": "/waiting",
    "deliveries": "/deliveries",
    "delivery": "/deliveries/1",
    "why": "/why?identifier=ann@corp.com",
    "doctor": "/doctor",
    "mailboxes": "/mailboxes",
    "setup": "/setup",
    "senders": "/senders",
    "rules": "/rules",
    "authenticators": "/authenticators",
    "search": "/search?q=code",
    "sessions": "/sessions",
}
HOSTILE = "<script>alert(1)</script><style>*{display:none!important}</style><img src=http://evil.example/x onerror=alert(1)>"
FIRST = (
    ("no-reply@github.com", "ann@corp.com", "[GitHub] Please verify your device", "Verification code: 482913"),
    ("feedback@slack.com", "bob@corp.com", "Slack confirmation code: QXR-7PL", "Your code is QXR-7PL"),
    ("hello@acme-travel.example", "carla@corp.com", "Your trip to Lisbon", "See you in Lisbon on 12 May."),
    ("bank@example-bank.example", "ann@corp.com", "Ihr Einmal-Passwort", "Ihr Einmal-Passwort lautet 771204."),
    ("no-reply@shop.example", "dora@corp.com", "Your sign-in code", "Your sign-in code: 660871"),
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The scene with a first set of mails, one of them held."""
    with watched(tmp_path_factory.mktemp("page")) as one:
        for sender, to, subject, body in FIRST:
            one.mail(subject, body, to=to, sender=sender)
        one.held("Your verification code", "Your verification code is 903315")
        one.log_in()
        one.browser.complaints()
        yield one


def test_a_new_mail_is_there_within_a_second(scene: Scene) -> None:
    """Its line is on top, live, in two tabs, masked; a third tab without a login sees nothing."""
    scene.browser.run("await open('second', {context: 'main'})")
    scene.at("/", "await page.waitForSelector(\"#live:text('Live')\")", name="second")
    scene.at("/", "await page.waitForSelector(\"#live:text('Live')\")")
    scene.mail("Your Maple code", "Your Maple code is 224466", to="eve@corp.com")
    took = scene.at(
        "",
        "const began = Date.now(); await page.waitForSelector('#feed tr:first-child:has-text(\"eve@corp.com\")'); return Date.now() - began;",
    )
    assert isinstance(took, int)
    for name in ("main", "second"):
        row = scene.at(
            "",
            "await page.waitForSelector('#feed tr:first-child .state.good'); return await page.locator('#feed tr').first().innerText();",
            name=name,
        )
        assert "eve@corp.com" in str(row)
        assert "Delivered" in str(row)
        assert "224466" not in str(scene.at("", "return await page.content()", name=name))
    assert scene.browser.complaints() == []


def test_the_feed_is_capped(scene: Scene) -> None:
    """However much comes, the document holds fifty lines, and each mail once."""
    scene.at("/", "await page.waitForSelector(\"#live:text('Live')\")")
    for number in range(60):
        scene.mail(f"Note {number}", "Nothing of interest.", to="carla@corp.com")
    rows = scene.at(
        "",
        "await page.waitForSelector('#feed tr:first-child:has-text(\"Note 59\")'); return await page.$$eval('#feed tr', (all) => all.map((one) => one.id));",
    )
    assert isinstance(rows, list)
    assert len(rows) == len(set(rows)) == 50
    assert scene.browser.complaints() == []


def test_a_code_is_masked_until_it_is_asked_for_and_hides_itself(scene: Scene) -> None:
    """One click shows it; ten seconds later the document holds it no longer."""
    scene.mail("Your Birch code", "Your Birch code is 515253", to="finn@corp.com")
    script = """
        await page.waitForSelector('tr:has-text("finn@corp.com")');
        if ((await page.content()).includes("515253")) return "not masked";
        await page.click('tr:has-text("finn@corp.com") button:text("Reveal")');
        await page.waitForSelector('.revealed:text("515253")');
        await page.waitForFunction(() => !document.documentElement.outerHTML.includes("515253"), null, {timeout: 14000});
        return "hidden";"""
    assert scene.at("/codes", script) == "hidden"
    assert scene.browser.complaints() == []


def test_a_held_mail_is_a_card_and_is_released_by_its_button(scene: Scene) -> None:
    """A double click releases it once; the code is then at the target."""
    script = """
        const card = page.locator('article.need:has-text("bob@corp.com")');
        await card.waitFor();
        await card.locator('button.first').dblclick();
        await page.waitForURL(/mail\\/\\d+\\?said=said.released/);
        return await page.innerText("main");"""
    text = str(scene.at("/", script))
    assert "Released" in text
    assert "903315" not in text
    assert scene.at("/", "return await page.locator('article.need:has-text(\"bob@corp.com\")').count()") == 0
    releases = [line for line in scene.daemon.run("mail", "show", "6").stdout.splitlines() if "released" in line]
    assert len(releases) <= 2
    assert scene.browser.complaints() == []


def test_a_hostile_mail_does_nothing(scene: Scene) -> None:
    """No script of it runs, no style of it counts, nothing is asked elsewhere, and the reading direction stays."""
    scene.mail(f"{HOSTILE} \u202e123", f"{HOSTILE} your code is 313233", to="gus@corp.com", sender="gus@evil.example")
    for path in ("/", "/mail", "/codes", "/deliveries"):
        script = """await page.waitForSelector('h1'); const html = await page.content();
            return {visible: await page.isVisible('h1'), bidi: html.includes("\\u202e"), shown: (await page.innerText('main')).includes('evil.example')};"""
        found = scene.at(path, script)
        assert found == {"visible": True, "bidi": False, "shown": True}, path
    scene.at("/mail", "await page.click('tr:has-text(\"evil.example\") a'); await page.waitForSelector('#found');")
    assert scene.browser.complaints() == []


def test_every_page_is_accessible(scene: Scene) -> None:
    """axe finds nothing serious, light, dark and at 320 px; no page scrolls sideways; zoomed to 200 % it still reads."""
    found = {name: scene.serious(path) for name, path in PATHS.items()}
    assert {name: what for name, what in found.items() if what} == {}
    assert scene.browser.complaints() == []


def test_the_keyboard_alone(scene: Scene) -> None:
    """``g m`` goes to the mails, ``j`` and ``k`` choose one, Enter opens it, ``/`` searches; every button can be reached by Tab."""
    script = """
        await page.keyboard.press("g"); await page.keyboard.press("m"); await page.waitForURL(/\\/mail$/);
        await page.keyboard.press("j"); await page.keyboard.press("j"); await page.keyboard.press("k");
        const chosen = await page.locator("tr.selected").getAttribute("id");
        await page.keyboard.press("Enter"); await page.waitForURL(/mail\\/\\d+$/);
        const opened = page.url().split("/").pop();
        await page.keyboard.press("/"); await page.waitForURL(/search$/);
        await page.keyboard.press("/"); await page.keyboard.type("Birch"); await page.keyboard.press("Enter");
        await page.waitForURL(/q=Birch/); await page.waitForSelector("#subjects tr, #subjects p.soft");
        return [chosen, opened, await page.innerText("main")];"""
    found = scene.at("/", script)
    assert isinstance(found, list)
    assert found[0] == f"mail-{found[1]}"
    assert "finn@corp.com" in found[2]
    buttons = """
        const wanted = await page.$$eval("main button, main a, main input:not([type=hidden]), nav a", (all) => all.filter((one) => one.offsetParent).length);
        const seen = new Set(); await page.focus("body");
        for (let i = 0; i < wanted + 10; i++) { await page.keyboard.press("Tab");
          seen.add(await page.evaluate(() => [...document.querySelectorAll("*")].indexOf(document.activeElement))); }
        return seen.size >= wanted;"""
    assert scene.at("/codes", buttons) is True
    assert scene.browser.complaints() == []


def test_without_script_the_pages_still_read(scene: Scene) -> None:
    """Lists, a mail and a revealed code are there as plain pages."""
    cookies = scene.browser.run("return await contexts.main.cookies()")
    scene.browser.run(
        "await open('plain', given.options); await contexts.plain.addCookies(given.cookies);",
        options={"javaScriptEnabled": False},
        cookies=cookies,
    )
    for path in PATHS.values():
        assert len(str(scene.at(path, "return await page.innerText('main')", name="plain"))) > 20
    scene.mail("Your Cedar code", "Your Cedar code is 717273", to="hal@corp.com")
    script = """await page.click('tr:has-text("hal@corp.com") button'); await page.waitForSelector('.revealed');
        return await page.innerText("main");"""
    assert "717273" in str(scene.at("/codes", script, name="plain"))


def test_a_session_that_is_ended_ends_in_the_browser(scene: Scene) -> None:
    """Ended by a command, the next click of that browser leads to the login."""
    scene.log_in("guest", "viewer")
    text = str(scene.at("/codes", "return await page.innerText('main')", name="guest"))
    assert "Reveal" not in text
    number = re.search(r"^ *(\d+) .* viewer", scene.daemon.run("session", "list").stdout, re.MULTILINE)
    assert number is not None
    assert scene.daemon.run("session", "remove", number[1]).returncode == 0
    assert str(scene.at("/codes", "return page.url()", name="guest")).endswith("/login")


def test_the_forms_of_people(scene: Scene) -> None:
    """An authenticator is added, shown and removed; a mistake stands beside its field and what was typed stays."""
    script = """
        await page.fill("[name=name]", "shop"); await page.click("button:text('Add')");
        await page.waitForSelector(".wrong");
        if (await page.inputValue("form.form [name=name]") !== "shop") return "forgotten";
        await page.fill("[name=secret]", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"); await page.click("button:text('Add')");
        await page.waitForURL(/said=/); await page.click("button:text('Reveal')");
        await page.waitForSelector(".totp .revealed");
        const code = await page.innerText(".totp .revealed");
        await page.click("button:text('Remove')"); await page.waitForURL(/said=said.removed/);
        return code;"""
    assert re.fullmatch(r"\d{6}", str(scene.at("/authenticators", script)))
    complaints = [one for one in scene.browser.complaints() if "400" not in one]
    assert complaints == []


def test_a_rule_is_tried_while_it_is_typed(scene: Scene) -> None:
    """The match is marked in the text; examples that do not hold, and patterns that are refused, are said beside it."""
    rule = """[[rule]]
name = "maple"
pattern = "Maple code is (?P<code>[0-9]{6})"
accepts = [{ text = "Your Maple code is 123456", value = "123456" }]
rejects = ["Order number 12"]
"""
    script = """await page.fill("[name=rule]", given.rule); await page.fill("[name=mail]", given.mail);
        await page.waitForSelector(given.wanted); return await page.innerText("#trial");"""
    found = scene.at("/rules", script, rule=rule, mail="Your Maple code is 224466", wanted="mark.chosen")
    assert "224466" in str(found)
    for broken in (
        rule.replace('123456"', '999999"', 1),
        rule.replace("[0-9]{6}", "[0-9]{6"),
        rule.replace("(?P<code>", "(?=x)(?P<code>"),
        "nonsense [",
    ):
        assert str(scene.at("/rules", script, rule=broken, mail="x", wanted="#trial .state.bad"))
    assert scene.browser.complaints() == []


def test_the_doctor_and_why_answer(scene: Scene) -> None:
    """One click examines everything; a question has its causes, the likeliest first."""
    examined = scene.at(
        "/doctor",
        "await page.click('button:text(\"Examine now\")'); await page.waitForSelector('.finding'); return await page.innerText('#examined');",
    )
    assert "Works" in str(examined)
    causes = scene.at(
        "/why",
        "await page.fill('[name=identifier]', 'ann@corp.com'); await page.keyboard.press('Enter'); await page.waitForSelector('article.need'); return await page.innerText('main');",
    )
    assert "Certain" in str(causes) or "Possible" in str(causes) or "Not known" in str(causes)
    assert scene.browser.complaints() == []


def test_pictures_of_every_page(scene: Scene) -> None:
    """They are left where MAILBRIDGE_PICTURES says, light, dark and on a phone."""
    if not PICTURES:
        pytest.skip("no MAILBRIDGE_PICTURES: a folder for pictures of every page")
    for sender, to, subject, body in FIRST:
        scene.mail(subject, body, to=to, sender=sender)
    scene.held("Your security code", "Your security code is 881177")
    examine = "await page.click('button:text(\"Examine now\")'); await page.waitForSelector('.finding');"
    for shot, path in PATHS.items():
        scene.picture(shot, path, examine if shot == "doctor" else "")


def test_a_restart_is_caught_up_with(tmp_path: Path) -> None:
    """The bridge stops and starts again while the page is open: what came meanwhile is there, once, without a reload or a new login."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        listen = f"127.0.0.1:{one.getsockname()[1]}"
    variables = {"MAILBRIDGE_HTTP__LISTEN": listen}
    with running_browser(tmp_path / "browser", f"http://{listen}") as browser:
        with running_daemon(tmp_path, **variables) as first:
            scene = Scene(first, browser)
            scene.log_in()
            scene.mail("Before", "Your code is 111213", to="ann@corp.com")
            scene.at("", "await page.waitForSelector('#feed tr:has-text(\"ann@corp.com\")')")
        with running_daemon(tmp_path, **variables) as second:
            scene.daemon = second
            scene.mail("After", "Your code is 141516", to="bob@corp.com")
            script = """await page.waitForSelector('#feed tr:has-text("bob@corp.com")');
                return await page.$$eval('#feed tr', (all) => all.map((one) => one.id));"""
            assert scene.at("", script) == ["mail-2", "mail-1"]
