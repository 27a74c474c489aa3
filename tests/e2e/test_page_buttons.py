"""What a person presses on the page, in a real Chromium: each button does what it says, and what it did is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import apsw
import httpx
import pytest

from tests.e2e.window import Scene, watched

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A bridge with a code that was delivered (mail 1) and one that is held (mail 2)."""
    with watched(tmp_path_factory.mktemp("buttons")) as one:
        one.mail("Your Maple code", "Your Maple code is 224466")
        one.held("Your verification code", "Your verification code is 903315")
        one.log_in()
        yield one


def test_a_held_mail_is_released_and_its_sender_allowed(scene: Scene) -> None:
    """The sender is known from then on, and is taken back where senders are."""
    script = """const card = page.locator('article.need:has-text("bob@corp.com")'); await card.waitFor();
        await card.locator("button:text('Release and allow sender')").click();
        await page.waitForURL(/said=said.released/); return await page.innerText('main');"""
    assert "Released" in str(scene.at("/", script))
    taken_back = """const row = page.locator('li:has-text("evil.example")'); await row.waitFor();
        await row.locator("button:text('Remove')").click(); await page.waitForURL(/said=said.removed/);
        return await page.innerText('main');"""
    assert "evil.example" not in str(scene.at("/senders", taken_back))
    assert scene.browser.complaints() == []


def test_a_mail_is_revealed_resent_and_downloaded(scene: Scene) -> None:
    """Its code is shown where it was masked, it is handed in again as a new mail, and its source is a file."""
    revealed = """if ((await page.content()).includes("224466")) return "not masked";
        await page.click("#found button:text('Reveal')"); await page.waitForSelector('#found .code:text("224466")'); return "shown";"""
    assert scene.at("/mail/1", revealed) == "shown"
    loaded = """const [file] = await Promise.all([page.waitForEvent("download"), page.click("button:text('Download')")]);
        const chunks = []; for await (const one of await file.createReadStream()) chunks.push(one);
        return [file.suggestedFilename(), Buffer.concat(chunks).toString()];"""
    found = scene.at("/mail/1", loaded)
    assert isinstance(found, list)
    assert found[0] == "mail-1.eml"
    assert "224466" in found[1]
    resent = "await page.click(\"button:text('Resend')\"); await page.waitForURL(/said=said.replayed/); return page.url();"
    assert "/mail/1?" not in str(scene.at("/mail/1", resent))
    made = (
        "await page.click(\"a:text('Make a rule')\"); await page.waitForURL(/rules\\?mail=1/); return await page.innerText('h1');"
    )
    assert scene.at("/mail/1", made) == "Rules"
    assert scene.browser.complaints() == []


def test_deliveries_are_narrowed_and_a_target_is_tested(scene: Scene) -> None:
    """The filter leaves what it names, the target takes its key, and where nothing was chosen nothing is tried."""
    narrowed = """await page.fill('[name=identifier]', 'ann@corp.com'); await page.selectOption('[name=state]', 'delivered');
        await page.click("button:text('Apply')"); await page.waitForURL(/state=delivered/);
        return await page.$$eval('.list tbody .who', (all) => all.map((one) => one.innerText));"""
    rows = scene.at("/deliveries", narrowed)
    assert isinstance(rows, list)
    assert set(rows) == {"ann@corp.com"}
    tested = "await page.click(\"button:text('Test now')\"); await page.waitForSelector('#tested .state.good');"
    scene.at("/deliveries", tested)
    chosen = "await page.click(\"button:text('Try the chosen')\"); await page.waitForURL(/said.none_chosen/); return true;"
    assert scene.at("/deliveries", chosen) is True
    assert scene.browser.complaints() == []


def test_senders_are_allowed_forbidden_and_taken_back(scene: Scene) -> None:
    """Each by the form, which keeps what was typed where it is wrong."""
    script = """await page.fill('[name=sender]', 'not a sender'); await page.selectOption('[name=allow]', 'no');
        await page.click("button:text('Save')"); await page.waitForSelector('.wrong');
        const kept = [await page.inputValue('[name=sender]'), await page.inputValue('[name=allow]')];
        await page.fill('[name=sender]', 'oak.example'); await page.click("button:text('Save')");
        await page.waitForURL(/said=said.sender_added/); const text = await page.innerText('main');
        await page.click('li:has-text("oak.example") button:text("Remove")'); await page.waitForURL(/said=said.removed/);
        return [...kept, text, await page.innerText('main')];"""
    found = scene.at("/senders", script)
    assert isinstance(found, list)
    assert found[:2] == ["not a sender", "no"]
    assert "Forbidden" in found[2]
    assert "oak.example" not in found[3]
    assert [one for one in scene.browser.complaints() if "409" not in one] == []


def test_another_login_is_ended_and_one_signs_out(scene: Scene) -> None:
    """Its next click leads to the login, as does one's own after *Sign out*."""
    scene.log_in("other")
    ended = """const row = page.locator('tr:not(:has-text("This one")):has(button)').last(); await row.waitFor();
        await row.locator("button:text('End')").click(); await page.waitForURL(/said=said.session_ended/);"""
    scene.log_in("third")
    scene.at("/sessions", ended, name="third")
    scene.at("", "await page.click(\"button:text('Sign out')\"); await page.waitForURL(/login/);", name="third")
    assert str(scene.at("/codes", "return page.url()", name="third")).endswith("/login")
    urls = [str(scene.at("/codes", "return page.url()", name=name)) for name in ("main", "other")]
    assert sum(one.endswith("/login") for one in urls) == 1
    scene.log_in()
    scene.browser.complaints()


def test_what_was_typed_outlives_a_login_that_is_too_old(scene: Scene) -> None:
    """A seed typed eleven minutes after the login is not lost: a new link in the same browser leads to what was to be done, and a click
    does it. The seed is in no page and no address on the way."""
    seed = "KRSXG5CTMVRXEZLUKN2XAZLS"
    connection = apsw.Connection(str(scene.daemon.folder / "mailbridge.db"))
    connection.set_busy_timeout(20_000)
    typed = """await page.fill('form.form [name=name]', 'late'); await page.fill('form.form [name=secret]', given.seed);
        await page.click("button:text('Add')"); await page.waitForSelector("main:has-text('kept for ten minutes')");
        const seen = [await page.content(), page.url()];
        await page.goto(given.link); await page.waitForURL(/again$/); await page.waitForSelector("button:text('Do it now')");
        return [...seen, await page.content(), page.url()];"""
    done = """await page.click("button:text('Do it now')"); await page.waitForURL(/said=said.authenticator_added/);
        return [await page.innerText('main'), await page.content(), page.url()];"""
    scene.at("/authenticators", "await page.waitForSelector('form.form [name=secret]');")
    connection.execute("UPDATE session SET created_at = created_at - 11 * 60 * 1000000")
    connection.close()
    before = scene.at("", typed, seed=seed, link=scene.link())
    scene.picture("again")
    assert scene.serious() == []
    after = scene.at("", done)
    assert isinstance(before, list)
    assert isinstance(after, list)
    assert [one for one in [*before, *after] if seed in one] == []
    assert "late" in after[0]
    assert [one for one in scene.browser.complaints() if "403" not in one] == []


def test_who_waits_without_a_mail_is_a_card_that_says_why(scene: Scene) -> None:
    """After fifteen seconds, without a reload; its button leads to the causes, and a code takes the card away."""
    gone = threading.Event()

    def wait() -> None:
        url = f"{scene.base}/api/v1/codes/wait"
        params = {"identifier": "ivy@corp.com", "timeout": "60"}
        httpx.get(url, params=params, headers=scene.daemon.headers, timeout=90, trust_env=False)
        gone.set()

    scene.at("/", "await page.waitForSelector(\"#live:text('Live')\");")
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    script = """const card = page.locator('article.need:has-text("ivy@corp.com")'); await card.waitFor();
        const text = await card.innerText(); await card.locator("a:text('Why?')").click(); await page.waitForURL(/why\\?identifier=ivy/);
        return [text, await page.innerText('main')];"""
    found = scene.at("", script)
    assert isinstance(found, list)
    assert "waits for ivy@corp.com" in found[0]
    assert "Somebody waits for it now" in found[1]
    scene.at("/", "await page.locator('article.need:has-text(\"ivy@corp.com\")').waitFor();")
    scene.mail("Your Ivy code", "Your Ivy code is 616263", to="ivy@corp.com")
    scene.at("", "await page.locator('article.need:has-text(\"ivy@corp.com\")').waitFor({state: 'detached'});")
    assert gone.wait(30)
    thread.join(30)
    assert scene.browser.complaints() == []


def test_a_key_that_is_refused_is_a_card(tmp_path: Path) -> None:
    """The first page says that the target does not work, and leads to the doctor; the button of the target says why."""
    with watched(tmp_path, key="not-the-key") as scene:
        scene.mail("Your Oak code", "Your Oak code is 515253")
        scene.log_in()
        script = """const card = page.locator('article.need.bad'); await card.first().waitFor();
            const text = await card.first().innerText(); await card.first().locator('a.button').click();
            await page.waitForURL(/doctor$/); return text;"""
        assert "skyvern" in str(scene.at("/", script)).casefold()
        tested = """await page.click("button:text('Test now')"); await page.waitForSelector('#tested .state.bad');
            return await page.innerText('#tested');"""
        assert "key" in str(scene.at("/deliveries", tested))
        assert scene.browser.complaints() == []


class Refusing(BaseHTTPRequestHandler):
    """Takes no code: 422 for each, which is final."""

    def do_POST(self) -> None:
        """See `BaseHTTPRequestHandler`."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(422)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


def test_what_was_not_delivered_is_chosen_and_tried_again(tmp_path: Path) -> None:
    """A line of the journal says who did; the delivery's own page shows both attempts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with watched(tmp_path, url=f"http://127.0.0.1:{server.server_port}") as scene:
        scene.mail("Your Oak code", "Your Oak code is 515253")
        scene.log_in()
        scene.at("/", "await page.waitForSelector('#feed tr .state.bad');")
        script = """await page.check('tr:has-text("Not delivered") [name=id]'); await page.click("button:text('Try the chosen')");
            await page.waitForURL(/said=said.retried/);"""
        scene.at("/deliveries", script)
        text = str(scene.at("/deliveries/1", "return await page.innerText('main')"))
        assert "An operator tried it again" in text
        assert scene.browser.complaints() == []
    server.shutdown()
    server.server_close()
