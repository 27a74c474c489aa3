"""A daemon, and a browser that looks at its page: mails come in, links log in, pieces of script are run in windows."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

from tests.peers.browser import Browser, running_browser
from tests.peers.practice import running_practice
from tests.web.daemon import Daemon, running_daemon

PICTURES = os.environ.get("MAILBRIDGE_PICTURES", "")
"""Where pictures of every page are left, for docs/pictures (`make pictures`); "" for none."""

SHOT = """
    for (const [kind, colorScheme, width, height] of [["light", "light", 1280, 800], ["dark", "dark", 1280, 800], ["phone", "light", 390, 844]]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" }); await page.setViewportSize({ width, height });
      await page.waitForTimeout(150);
      await page.screenshot({ path: `${given.folder}/${given.shot}-${kind}.png` });
    }
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
    await page.setViewportSize({ width: 1280, height: 860 });"""

SERIOUS = """
    const found = [];
    for (const [scheme, width] of [["light", 1280], ["dark", 1280], ["light", 320], ["dark", 640]]) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height: 800 });
      for (const one of await axe(page)) found.push(`${scheme} ${width}: ${one}`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (over > 0) found.push(`${scheme} ${width}: ${over} px too wide`);
    }
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
    await page.setViewportSize({ width: 1280, height: 860 });
    return found;"""
"""What axe finds serious, and what is wider than the window: light, dark, at 320 px, and at the width that 200 % zoom leaves."""


class Scene:
    """A daemon whose codes go to a receiver that takes them, and a browser that looks at its page."""

    def __init__(self, daemon: Daemon, browser: Browser) -> None:
        self.daemon = daemon
        self.browser = browser
        self.base = f"http://{daemon.http}"
        self._number = 0

    def mail(
        self, subject: str, body: str, *, to: str = "ann@corp.com", sender: str = "a@shop.example", rcpt: str = "codes"
    ) -> None:
        """A mail over SMTP; ``rcpt`` *strict* wants a signature, which it has not."""
        self._number += 1
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, to, subject
        message["Message-ID"] = f"<{self._number}.{os.getpid()}@shop.example>"
        message.set_content(body)
        host, _, port = self.daemon.smtp.rpartition(":")
        with smtplib.SMTP(host, int(port), timeout=30) as one:
            one.send_message(message, from_addr=sender, to_addrs=[f"{rcpt}@bridge.example"])

    def held(self, subject: str, body: str, *, to: str = "bob@corp.com") -> None:
        """A mail that is held, since it proves nothing."""
        self.mail(subject, body, to=to, sender="login@evil.example", rcpt="strict")

    def link(self, role: str = "operator") -> str:
        """A login link, as the command prints it."""
        done = self.daemon.run("login", "--role", role)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def log_in(self, name: str = "main", role: str = "operator", **options: object) -> None:
        """A browser window that is logged in, at *Now*."""
        script = """const page = await open(given.name, given.options);
            await page.goto(given.link); await page.waitForURL(given.base + "/");
            await page.waitForSelector("#live:text('Live')");"""
        self.browser.run(script, name=name, link=self.link(role), base=self.base, options=options)

    def at(self, path: str, script: str, *, name: str = "main", **given: object) -> object:
        """Open a path in a window, and run a piece of script with ``page``."""
        goto = "const page = pages[given.name]; await page.goto(given.url);" if path else "const page = pages[given.name];"
        return self.browser.run(goto + script, name=name, url=self.base + path, **given)

    def serious(self, path: str = "") -> list[str]:
        """What keeps people from using a page (the one that is open), by `SERIOUS`."""
        found = self.at(path, SERIOUS)
        assert isinstance(found, list)
        return found

    def picture(self, shot: str, path: str = "", first: str = "") -> None:
        """Leave pictures of a page (of the one that is open), after a piece of script; nothing where none are wanted."""
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.at(path, first + SHOT, folder=PICTURES, shot=shot)


@contextmanager
def watched(folder: Path, *, key: str = "", url: str = "", tables: str = "") -> Iterator[Scene]:
    """A daemon whose codes go to a receiver that takes its key (not another ``key``), or to what is at ``url``, and a browser; nobody is
    logged in. ``tables`` are more of its configuration."""
    with running_practice() as target:
        (folder / "key").write_text(key or target.api_key, encoding="utf-8")
        (folder / "key").chmod(0o600)
        more = f'[skyvern]\nbase_url = "{url or target.base_url}"\napi_key_file = "{folder}/key"\n'
        more += '[identity]\nlearn_from_skyvern = false\n[[address]]\nrcpt = "strict@bridge.example"\ntrust = "dkim"\n'
        more += tables
        with running_daemon(folder, more) as daemon, running_browser(folder / "browser", f"http://{daemon.http}") as browser:
            yield Scene(daemon, browser)
