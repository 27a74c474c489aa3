"""What the page withstands in a real Chromium: pages of strangers, names of strangers, viewers, hostile mails of every size."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest

from mailbridge.web.pages.entrance import PATHS
from tests.e2e.window import Scene, watched

pytestmark = pytest.mark.e2e

CODE = "903315"
LOOKED_AT = ("/", "/mail", "/mail/1", "/codes", "/deliveries", "/senders", "/mailboxes", "/authenticators", "/setup", "/sessions")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A bridge with a mail that is held, and an operator who is logged in."""
    with watched(tmp_path_factory.mktemp("safety")) as one:
        one.held("Your verification code", f"Your verification code is {CODE}")
        one.log_in()
        yield one


def test_a_strangers_page_can_send_no_form(scene: Scene) -> None:
    """It sends one with everything that can be known, in a window that is logged in: nothing is released, and the page is not framed."""
    script = """await page.route("http://evil.example/**", (route) => route.fulfill({ contentType: "text/html", body:
          `<form method="post" action="${given.base}/mail/1/release"><input name="csrf" value="${"0".repeat(64)}"></form>` +
          `<iframe src="${given.base}/"></iframe>` }));
        await page.goto("http://evil.example/"); const frame = page.frames()[1];
        const framed = frame ? await frame.content().catch(() => "") : "";
        await page.evaluate(() => document.forms[0].submit()); await page.waitForURL((url) => url.host !== "evil.example");
        return [await page.innerText("body"), framed];"""
    found = scene.at("", script, base=scene.base)
    assert isinstance(found, list)
    assert "Released" not in found[0]
    assert "bob@corp.com" not in found[1]
    scene.browser.complaints()
    assert "bob@corp.com" in str(scene.at("/", "return await page.innerText('#needs')"))
    assert scene.browser.complaints() == []


def test_a_name_of_a_strangers_that_leads_here_gets_nothing(scene: Scene) -> None:
    """After DNS rebinding a browser asks this machine under that name: it gets a line of text, no page and no login."""
    port = scene.daemon.http.rpartition(":")[2]
    script = """const answer = await page.goto(given.target); return [answer.status(), await page.innerText("body")];"""
    for path in ("/", "/login", "/mail/1"):
        found = scene.at("", script, target=f"http://rebound.example:{port}{path}")
        assert isinstance(found, list)
        assert found[0] == 421
        assert "bob@corp.com" not in found[1]
    scene.browser.complaints()


def test_a_viewer_sees_the_pages_and_no_code_and_can_do_nothing(scene: Scene) -> None:
    """No page has a form for it but search and filters, and what it sends all the same is refused."""
    scene.log_in("guest", "viewer")
    for path in LOOKED_AT:
        script = """return [await page.$$eval("main form[method=post] button", (all) => all.length), (await page.content()).includes(given.code)];"""
        assert scene.at(path, script, name="guest", code=CODE) == [0, False], path
    scene.browser.complaints()
    for name, method, path in PATHS:
        if method == "POST" and name not in ("login.enter", "logout"):
            sent = """const csrf = document.querySelector("[name=csrf]").value;
                const answer = await fetch(given.to, { method: "POST", body: new URLSearchParams({ csrf, name: "x", identifier: "bob@corp.com" }) });
                return [answer.status, (await answer.text()).includes(given.code)];"""
            script = f"return await page.evaluate(async (given) => {{ {sent} }}, given);"
            found = scene.at("", script, name="guest", to=path.replace("{id:int}", "1"), code=CODE)
            assert found == [403, False], name
    scene.browser.complaints()


def test_no_script_can_read_the_session(scene: Scene) -> None:
    """The cookie is for HTTP alone, and nothing of it is kept elsewhere."""
    kept = "return [await page.evaluate(() => document.cookie), await page.evaluate(() => localStorage.length + sessionStorage.length)];"
    assert scene.at("/", kept) == ["", 0]


def test_mails_of_any_size_and_kind_do_nothing(scene: Scene) -> None:
    """A subject of a megabyte, ten thousand candidates, script and style and turned text in every header: the pages stay small,
    nothing runs, nothing is asked elsewhere, and no code is in them."""
    hostile = "<script>alert(1)</script><style>*{display:none}</style><img src=http://evil.example/x onerror=alert(1)>"
    numbers = " ".join(f"{number:06d}" for number in range(100_000, 110_000))
    mails = (
        "\r\n ".join(["Subject: code", *["x" * 900] * 1_100]) + "\r\n\r\nyour code is 313233",
        f"Subject: code\r\n\r\nyour code is one of {numbers}".replace(" 1", "\r\n1"),
        f"Subject: {hostile} \u202e123\r\nX-Mailer: {hostile}\r\nReply-To: {hostile}\r\n\r\n{hostile} your code is 343536",
    )
    for number, rest in enumerate(mails):
        host, _, port = scene.daemon.smtp.rpartition(":")
        head = f'From: "{hostile}" <gus@evil.example>\r\nTo: gus@corp.com\r\nMessage-ID: <{number}@evil.example>\r\n'
        with smtplib.SMTP(host, int(port), timeout=60) as client:
            client.sendmail("gus@evil.example", ["codes@bridge.example"], (head + rest + "\r\n").encode())
    scene.at("/mail", "await page.waitForFunction(() => document.querySelectorAll('.list tbody tr').length >= 4);")
    for path in (
        "/",
        "/mail",
        "/mail/2",
        "/mail/3",
        "/mail/4",
        "/codes",
        "/deliveries",
        "/search?q=code",
        "/why?identifier=gus@corp.com",
    ):
        script = """const html = await page.content(); await page.waitForSelector("h1");
            return [html.length < 150000, await page.isVisible("h1"), ["313233", "343536", "\\u202e"].filter((one) => html.includes(one))];"""
        assert scene.at(path, script) == [True, True, []], path
    assert scene.browser.complaints() == []
