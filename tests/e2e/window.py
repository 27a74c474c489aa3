"""A daemon, and a browser that looks at its page: mails come in, links log in, pieces of script are run in windows."""

from __future__ import annotations

import os
import smtplib
from email.message import EmailMessage

from tests.peers.browser import Browser
from tests.web.daemon import Daemon


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
