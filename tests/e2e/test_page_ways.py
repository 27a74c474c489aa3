"""The page from nothing to the first code, in a real Chromium: the setup, a mailbox of a real Dovecot, Gmail's question."""

from __future__ import annotations

import json
import os
import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.drive import ways
from tests.e2e.window import Scene
from tests.peers.browser import running_browser
from tests.peers.dovecot import PASSWORD, Dovecot, running_dovecot
from tests.peers.practice import running_practice
from tests.web.daemon import Daemon

pytestmark = pytest.mark.e2e

BOX = "ann@corp.example"
WRONG = "not-the-password"
GO = "await page.keyboard.press('Enter');"
OPENED = "await page.waitForSelector('#setup .question');"


@contextmanager
def looking(folder: Path, **more: str) -> Iterator[tuple[Scene, ways.Scene]]:
    """A daemon for which DNS and Google's pages are played, and a window at its page."""
    config = folder / "mailbridge.toml"
    config.write_text(
        f'[store]\nurl = "sqlite:///{folder}/state/mailbridge.db"\n[smtp]\nlisten = ["127.0.0.1:0"]\ntls = false\n'
        '[http]\nlisten = "127.0.0.1:0"\n[practice]\nlisten = "127.0.0.1:0"\n[identity]\nlearn_from_skyvern = false\n'
        '[domains]\naccept = ["bridge.example"]\n',
        encoding="utf-8",
    )
    with ways.scene(folder) as here, here.daemon(MAILBRIDGE_CONFIG=str(config), **more) as running:
        assert running.bridge is not None
        http = running.bridge.http_address
        daemon = Daemon(smtp=running.bridge.smtp_addresses[0], http=http, folder=folder, pid=os.getpid())
        with running_browser(folder / "browser", f"http://{http}") as browser:
            window = Scene(daemon, browser)
            window.log_in()
            yield window, here


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dovecot]:
    """A Dovecot whose certificate this machine trusts."""
    with running_dovecot(folder / "dovecot", users=(BOX,)) as one:
        monkeypatch.setenv("SSL_CERT_FILE", str(one.ca))
        yield one


def faults(window: Scene) -> list[str]:
    """What went wrong in the browser, but for the answers that say that something was typed wrong."""
    return [
        one for one in window.browser.complaints() if not one.startswith("error: Failed to load resource: the server responded")
    ]


def test_the_setup_from_nothing_to_the_first_code_by_keyboard(folder: Path, server: Dovecot) -> None:
    """The first page leads there; a wrong key and a wrong password are told beside their fields and are in no page; each step turns
    green by itself, and the code of the first mail is where Skyvern looks."""
    with running_practice() as skyvern, looking(folder) as (window, here):
        begun = """await page.waitForSelector('article.need:has-text("Nothing is set up yet")');
            await page.focus('article.need a.first'); await page.keyboard.press("Enter"); await page.waitForURL(/setup$/);"""
        window.at("/", begun)

        def answer(text: str, wanted: str) -> str:
            """Type into the field that has the focus, press Enter, and wait for what comes of it. Returns the page."""
            script = """await page.waitForFunction(() => document.activeElement?.name === "value");
                await page.keyboard.type(given.text); await page.keyboard.press("Enter");
                await page.waitForSelector(given.wanted); return await page.content();"""
            return str(window.at("", script, text=text, wanted=wanted))

        answer(skyvern.base_url, f"#step-skyvern:has-text('{skyvern.base_url}') .question")
        refused = answer("not-the-key", ".wrong:has-text('refuses the API key')")
        assert "not-the-key" not in refused
        answer(skyvern.api_key, "#step-skyvern.good")
        chosen = """await page.focus('[name=value][value=gmail]'); await page.keyboard.press("ArrowUp");
            await page.keyboard.press("Enter"); await page.waitForSelector('#step-way.good');"""
        window.at("", chosen)
        answer("nobody", ".wrong:has-text('not a mail address')")
        window.at(
            "", "await page.locator('.question [name=value]').fill(''); await page.locator('.question [name=value]').focus();"
        )
        window.picture("setup-question")
        answer(BOX, "#step-mailbox .question [placeholder='imap.corp.example']")
        answer(f"localhost:{server.imaps}", "#step-mailbox .question [type=password]")
        refused = answer(WRONG, ".wrong:has-text('login')")
        assert WRONG not in refused
        watched = answer(PASSWORD, "#step-mailbox.good")
        assert f'"{PASSWORD}"' not in watched
        window.at("", "await page.waitForSelector('#step-mail.wait[aria-current]');")
        window.picture("setup")
        assert window.serious() == []
        server.deliver(here.sign(ways.code_mail(BOX, to=BOX), "github.com"))
        done = "await page.waitForSelector('#step-run.good'); return await page.innerText('main');"
        text = str(window.at("", done))
        assert f'totp_identifier "{BOX}"' in text
        assert "Everything is set up" in text
        assert ways.CODE not in str(window.at("", "return await page.content()"))
        assert skyvern.resolve(BOX).value == ways.CODE
        state = json.loads(window.daemon.run("setup", "--show", "--json").stdout)
        assert state["current"] is None
        assert faults(window) == []


def test_only_try_takes_two_answers_and_a_click(folder: Path) -> None:
    """Without a Skyvern and without a mail: practice, a test mail by a button, and a code that is delivered."""
    script = """await page.click("button:text('Only practise')"); await page.waitForSelector('#step-skyvern.good');
        await page.check('[name=value][value=try]'); await page.click('.question button.first');
        await page.waitForSelector('#step-way.good'); await page.click("button:text('Send a test mail')");
        await page.waitForSelector('#step-run.good'); return await page.innerText('main');"""
    with looking(folder) as (window, _):
        text = str(window.at("/setup", script))
        assert "Everything is set up" in text
        assert faults(window) == []


def test_mail_over_http_from_nothing_to_the_first_code(folder: Path) -> None:
    """A phone's texts: each question by its field, the token hidden until one asks, and with the lines that are shown then the first
    code comes; the page turns green by itself, and shows the token no more."""
    answered = """await page.click("button:text('Only practise')"); await page.waitForSelector('#step-skyvern.good');
        await page.check('[name=value][value=http]'); await page.click('.question button.first');
        await page.check('[name=value][value=text]'); await page.click('.question button.first');
        for (const [text, wanted] of given.answers) {
          await page.waitForSelector(wanted); await page.locator('.question [name=value]').fill(text);
          await page.click('.question button.first');
        }
        await page.waitForSelector('#step-proof code'); const hidden = await page.content();
        await page.click("button:text('Show the lines with their secrets')");
        await page.waitForSelector("#step-proof code:has-text('mbt_')");
        return [hidden, await page.innerText('#step-proof')];"""
    answers = [
        [ways.ANN, ".question:has-text('Whose codes?')"],
        ["", ".question:has-text('From which sites?')"],
        ["not an address", "#step-url .question"],
        ["https://bridge.example.com", "#step-url .question .wrong"],
    ]
    with looking(folder) as (window, _):
        found = window.at("/setup", answered, answers=answers)
        assert isinstance(found, list)
        assert "mbt_" not in found[0]
        (token,) = set(re.findall(r"mbt_[\w-]+", found[1]))
        assert "/ingest/text" in found[1]
        window.picture("setup-http", "/setup")
        assert window.serious("/setup") == []
        window.at("/setup", "await page.waitForSelector('#step-mail.wait');")
        told = {"identifier": ways.ANN, "text": f"Your code is {ways.CODE}"}
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"http://{window.daemon.http}/ingest/text", json=told, headers=headers, trust_env=False)
        assert answer.is_success, answer.text
        done = "await page.waitForSelector('#step-run.good'); return [await page.innerText('main'), await page.content()];"
        shown = window.at("", done)
        assert isinstance(shown, list)
        text, source = shown
        assert f'totp_identifier "{ways.ANN}"' in text
        assert token not in source
        assert ways.CODE not in source
        assert faults(window) == []


def test_two_windows_and_a_command_see_the_same_setup(folder: Path) -> None:
    """What is answered in one is in the other without a reload, and the command goes on where the page was."""
    with looking(folder) as (window, _):
        window.browser.run("await open('second', {context: 'main'})")
        window.at("/setup", OPENED, name="second")
        window.at(
            "/setup", "await page.click(\"button:text('Only practise')\"); await page.waitForSelector('#step-skyvern.good');"
        )
        window.at("", "await page.waitForSelector('#step-skyvern.good');", name="second")
        done = window.daemon.run(
            "setup", "--way", "lmtp", "--for", "ann@corp.com", "--yes", "--practice", "--domain", "bridge.example"
        )
        assert done.returncode != 2, done.stderr
        for name in ("main", "second"):
            window.at("", "await page.waitForSelector('#step-for:has-text(\"ann@corp.com\")');", name=name)
        assert faults(window) == []


def test_a_mailbox_is_added_tried_and_removed(folder: Path, server: Dovecot) -> None:
    """Its server is asked for where nobody knows it; a wrong password is told beside its field and what was typed stays; *Test now*
    shows each step; removed, it is gone."""
    with looking(folder) as (window, _):
        script = """await page.fill('[name=address]', given.box); await page.click("button:text('Go on')");
            await page.fill('[name=server]', given.server); await page.click("button:text('Go on')");
            await page.fill('[name=identifier]', 'codes'); await page.fill('[name=password]', given.wrong);
            await page.click("button:text('Try it')"); await page.waitForSelector('label:has([name=password]) .wrong');
            return [await page.inputValue('[name=server]'), await page.inputValue('[name=identifier]'),
              await page.inputValue('[name=password]'), await page.innerText('label:has([name=password]) .wrong'),
              (await page.content()).includes(given.wrong)];"""
        place = f"localhost:{server.imaps}"
        found = window.at("/mailboxes", script, box=BOX, server=place, wrong=WRONG)
        assert isinstance(found, list)
        assert found[:3] == [place, "codes", ""]
        assert "login" in found[3]
        assert found[4] is False
        added = """await page.fill('[name=password]', given.password); await page.keyboard.press('Enter');
            await page.waitForSelector('h2:has-text("is watched now")'); return await page.innerText('main');"""
        assert "Fetch a mail" in str(window.at("", added, password=PASSWORD))
        tried = """await page.waitForSelector('#box-1'); await page.click("button:text('Test now')");
            await page.waitForSelector('.tried .state.good'); return await page.innerText('.tried');"""
        assert "It works" in str(window.at("/mailboxes", tried))
        assert window.serious() == []
        window.picture("mailboxes")
        server.stop()
        assert "does not work" in str(window.at("/mailboxes", tried.replace(".state.good", ".state.bad")))
        window.at("", "await page.click(\"button:text('Remove')\"); await page.waitForURL(/said=said.removed/);")
        assert BOX not in str(window.at("/mailboxes", "return await page.innerText('main')"))
        assert faults(window) == []


def test_gmails_question_is_a_card_with_one_button(folder: Path) -> None:
    """One that Google has signed is allowed by a click, and asked about no longer; one that only says it is Google's has no button,
    and its link is never opened."""
    rcpt = "codes@bridge.example"

    def ask(mail: bytes) -> None:
        host, _, port = window.daemon.smtp.rpartition(":")
        with smtplib.SMTP(host, int(port), local_hostname="mail-sor-f41.google.com", timeout=20) as client:
            client.sendmail("forwarding-noreply@google.com", [rcpt], mail)

    with running_practice() as skyvern:
        key = {"MAILBRIDGE_SKYVERN__BASE_URL": skyvern.base_url, "MAILBRIDGE_SKYVERN__API_KEY": skyvern.api_key}
        with looking(folder, **key) as (window, here):
            question = ways.question(rcpt)
            forged = question.replace(b"<question@", b"<forged@").replace(b"ann@gmail.com", b"eve@gmail.com")
            ask(here.sign(forged, "evil.example"))
            ask(forged.replace(b"<forged@", b"<unsigned@"))
            window.at("/mail", "await page.waitForFunction(() => document.querySelectorAll('.list tbody tr').length === 2);")
            page = str(window.at("/", "return await page.content()"))
            assert "Allow the forwarding" not in page
            assert "Gmail asks to forward here" not in page
            assert "does not prove it" in page
            for number in (1, 2):
                assert "Allow the forwarding" not in str(window.at(f"/mail/{number}", "return await page.content()"))
            ask(here.sign(question, "google.com"))
            script = """const card = page.locator('article.need:has-text("Gmail asks to forward here")'); await card.waitFor();
                const text = await card.innerText(); await card.locator("button:text('Allow the forwarding')").dblclick();
                await page.waitForURL(/said=said.confirmed/); return [text, await page.innerText('main')];"""
            found = window.at("/", script)
            assert isinstance(found, list)
            assert ways.ANN in found[0]
            assert "Confirmed" in found[1]
            assert "Allow the forwarding" not in found[1]
            assert [one.split()[0] for one in here.google.asked] == ["GET", "GET", "POST"]
            text = str(window.at("/", "await page.waitForSelector('h1'); return await page.innerText('main')"))
            assert "Gmail asks to forward here" not in text
            assert faults(window) == []


def test_an_authenticator_is_added_by_the_picture_of_its_code(folder: Path) -> None:
    """A screenshot is chosen, its code is shown with its ring for ten seconds, and one that holds no code is told beside its field."""
    zxingcpp = pytest.importorskip("zxingcpp", reason='reading QR codes needs the extra: pip install ".[qr]"')
    from PIL import Image

    text = "otpauth://totp/Acme:ann?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Acme"
    barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode)
    Image.fromarray(zxingcpp.write_barcode_to_image(barcode, scale=6)).convert("L").save(folder / "qr.png")
    Image.new("L", (200, 200), 255).save(folder / "blank.png")
    script = """await page.fill('form.form [name=name]', 'acme'); await page.fill('form.form [name=identifier]', 'ann@corp.com');
        await page.setInputFiles('[name=picture]', given.blank); await page.click("button:text('Add')");
        await page.waitForSelector('label:has([name=picture]) .wrong');
        const kept = await page.inputValue('form.form [name=name]');
        await page.setInputFiles('[name=picture]', given.picture); await page.click("button:text('Add')");
        await page.waitForURL(/said=said.authenticator_added/); await page.click("button:text('Reveal')");
        await page.waitForSelector('.totp .revealed'); return [kept, await page.innerText('.totp .revealed')];"""
    with looking(folder) as (window, _):
        files = {"blank": str(folder / "blank.png"), "picture": str(folder / "qr.png")}
        found = window.at("/authenticators", script, **files)
        assert isinstance(found, list)
        assert found[0] == "acme"
        assert found[1].isdigit()
        window.picture("authenticators")
        hidden = "await page.waitForFunction((code) => !document.documentElement.outerHTML.includes(code), given.code, {timeout: 20000}); return true;"
        assert window.at("", hidden, code=found[1]) is True
        assert window.serious("/authenticators") == []
        assert faults(window) == []
