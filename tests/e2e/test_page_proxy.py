"""The page behind a reverse proxy under a path, in a real Chromium: every link, file, form and stream stays under it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.e2e.window import Scene
from tests.peers.browser import running_browser
from tests.peers.proxy import running_proxy
from tests.web.daemon import running_daemon

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("is_stripped", [True, False], ids=["path taken off", "path left"])
def test_the_page_lies_under_a_path(tmp_path: Path, is_stripped: bool) -> None:
    """Log in by the link, look at every page, see a mail come in live, reveal its code, send a form: nothing is asked for outside."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        listen = f"127.0.0.1:{one.getsockname()[1]}"
    base = f"http://{listen}/bridge"
    with (
        running_daemon(tmp_path, MAILBRIDGE_HTTP__PUBLIC_URL=base) as daemon,
        running_proxy(listen, lambda: daemon.http, path="/bridge", is_stripped=is_stripped) as proxy,
        running_browser(tmp_path / "browser", f"http://{listen}") as browser,
    ):
        scene = Scene(daemon, browser)
        scene.base = base
        assert scene.link().startswith(f"{base}/login#")
        scene.log_in()
        paths = scene.at("", "return await page.$$eval('nav.nav a', (all) => all.map((one) => one.pathname));")
        assert isinstance(paths, list)
        assert len(paths) > 12
        for path in paths:
            assert path.startswith("/bridge/"), path
            heading = (
                "await page.waitForSelector('h1'); return await page.evaluate(() => getComputedStyle(document.body).display);"
            )
            assert scene.at(path.removeprefix("/bridge"), heading) == "grid", path
        scene.at("/", "await page.waitForSelector(\"#live:text('Live')\");")
        scene.mail("Your Maple code", "Your Maple code is 224466", to="eve@corp.com")
        scene.at("", "await page.waitForSelector('#feed tr:has-text(\"eve@corp.com\") .state.good');")
        revealed = """await page.click('tr:has-text("eve@corp.com") button:text("Reveal")');
            await page.waitForSelector('.revealed:text("224466")'); return page.url();"""
        assert scene.at("/codes", revealed) == f"{base}/codes"
        sent = """await page.fill('[name=sender]', 'shop.example'); await page.click("button:text('Save')");
            await page.waitForURL(/said=said.sender_added/); return page.url();"""
        assert str(scene.at("/senders", sent)).startswith(f"{base}/senders?")
        keys = "await page.keyboard.press('g'); await page.keyboard.press('m'); await page.waitForURL(/bridge\\/mail$/);"
        scene.at("/", keys)
        out = "await page.click(\"button:text('Sign out')\"); await page.waitForURL(/login/); return page.url();"
        assert scene.at("", out) == f"{base}/login"
        assert proxy.outside == []
        assert browser.complaints() == []
