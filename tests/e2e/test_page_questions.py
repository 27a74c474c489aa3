"""Twelve questions of a person, each answered by what can be seen without scrolling on the first page, or one click from it."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.window import Scene, watched
from tests.peers import dovecot
from tests.peers.dovecot import PASSWORD, running_dovecot
from tests.web.daemon import Daemon

pytestmark = pytest.mark.e2e

BOX = "box@corp.example"
SEEN = """
    const words = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const range = document.createRange(); range.selectNodeContents(node);
      const box = range.getBoundingClientRect();
      if (box.width > 1 && box.height > 1 && box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth)
        words.push(node.data.trim());
    }
    return words.filter(Boolean).join(" ");"""
"""The text that stands wholly in the window, in the order of the page."""

QUESTIONS: dict[str, tuple[str, str]] = {
    "Did Ann's code come, and does Skyvern have it?": ("", r"ann@corp\.com .*?Delivered in \d"),
    "How long did it take?": ("", r"Median time \d+ m?s"),
    "Is anything waiting for me, and what must I do?": (
        "",
        r"A code for bob@corp\.com is held .*? Release Release and allow sender",
    ),
    "Why is Bob's code held?": ("", r"From login@evil\.example.*? (?:dkim|proof|proves|proven|signed)"),
    "Why does Ivy's run get no code?": ("", r"Somebody waits for ivy@corp\.com, and no code has come .*? Why\?"),
    "Is every mailbox alive?": ("", r"Watches 1 of 2 mailboxes\."),
    "Which one is not, and why?": ("a:text('Mailboxes')", r"lost@corp\.example Not watched .*?(?:refused|port)"),
    "Does the other one still answer?": ("a:text('Mailboxes')", r"box@corp\.example Watched .*? Last answer \d+ s ago"),
    "When did the last mail come, and how many today?": (
        "",
        r"Last mail \d+ (?:s|min).*? ago.*? Mails \d+.*? Codes \d+.*? Held 1 ",
    ),
    "Does Skyvern take what is pushed?": ("a:text('Deliveries')", r"Targets skyvern Works"),
    "Who sent Ann's code, and how is it known for whom it was?": (
        "#feed tr:has-text('ann@corp.com') a",
        r"no-reply@github\.com .*? For ann@corp\.com (?:To|X-|envelope|the)",
    ),
    "Is what I see now, or from before?": ("", r"Mail, as it comes Live"),
}
"""Each with what is clicked on the first page ("": nothing), and what has to be seen then."""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A bridge with something of everything: a code that came, one that is held, a run that waits, a mailbox that works and one that
    does not."""
    if not dovecot.is_installed():
        pytest.skip(dovecot.MEND)
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-questions-"))
    folder.chmod(0o755)  # Dovecot's own user has to reach it
    with running_dovecot(folder / "dovecot", users=(BOX,)) as server:
        usual = f'host = "localhost"\ntls_ca = "{server.ca}"\npassword = "{PASSWORD}"\n'
        tables = f'[[imap]]\nname = "works"\nusername = "{BOX}"\nport = {server.imaps}\n{usual}'
        tables += f'[[imap]]\nname = "does-not"\nusername = "lost@corp.example"\nport = 1\n{usual}'
        with watched(folder, tables=tables) as one:
            one.held("Your verification code", "Your verification code is 903315")
            one.mail("[GitHub] Please verify your device", "Verification code: 482913", sender="no-reply@github.com")
            thread = threading.Thread(target=wait, args=(one.daemon,), daemon=True)
            thread.start()
            one.log_in()
            one.at("/", "await page.locator('article.need:has-text(\"ivy@corp.com\")').waitFor({timeout: 90000});")
            one.at(
                "/mailboxes", 'await page.locator(\'article:has-text("lost@corp.example"):has-text("Not watched")\').waitFor();'
            )
            yield one
            one.mail("Your Ivy code", "Your Ivy code is 616263", to="ivy@corp.com")
            thread.join(90)
    shutil.rmtree(folder, ignore_errors=True)


def wait(daemon: Daemon) -> None:
    """Wait for Ivy's code, as an agent does, for as long as these tests may take."""
    with httpx.Client(base_url=f"http://{daemon.http}", headers=daemon.headers, timeout=90, trust_env=False) as client:
        for _ in range(5):
            answer = client.get("/api/v1/codes/wait", params={"identifier": "ivy@corp.com", "timeout": "60"})
            if answer.status_code == 200 and answer.json().get("code"):
                return


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_by_what_is_seen(scene: Scene, question: str) -> None:
    """In a window of 1280 by 1000, without scrolling, before or after one click."""
    click, wanted = QUESTIONS[question]
    script = f"""await page.setViewportSize({{ width: 1280, height: 1000 }});
        await page.waitForSelector("#live:text('Live')");
        if (given.click) {{ await page.locator(given.click).first().click(); await page.waitForURL((url) => url.pathname !== "/"); }}
        await page.waitForSelector("h1"); return await page.evaluate(() => {{ {SEEN} }});"""
    text = str(scene.at("/", script, click=click))
    assert re.search(wanted, re.sub(r"\s+", " ", text)), text


def test_there_are_twelve_and_the_docs_name_each() -> None:
    """docs/page.md says where each is answered."""
    text = (Path(__file__).parents[2] / "docs" / "page.md").read_text(encoding="utf-8")
    assert len(QUESTIONS) == 12
    assert [one for one in QUESTIONS if one not in text] == []
