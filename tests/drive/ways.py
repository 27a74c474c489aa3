"""Each way to set mailbridge up, walked from nothing to the first code: the terminal by typing, DNS and Google played on loopback."""

from __future__ import annotations

import asyncio
import os
import re
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from mailbridge.web.server import serve_app
from tests.drive.daemon import Running, environment
from tests.drive.terminal import Terminal
from tests.peers import signer
from tests.peers.dovecot import PASSWORD, Dovecot, running_dovecot
from tests.peers.practice import PracticePeer, running_practice
from tests.peers.skyvern import Skyvern, running_skyvern
from tests.peers.zone import Zone
from tests.trust.test_gmail import Google, ToUs

ANN = "ann@gmail.com"
DOMAIN = "bridge.example.com"
HERE = "5.5.5.5"
"""The public address of this machine: one of loopback's, in a network namespace of its own."""

CODE = "482913"


@dataclass
class Scene:
    """What a way is walked in. ``zone`` is the world's DNS; ``google`` its pages."""

    folder: Path
    env: dict[str, str]
    zone: Zone = field(default_factory=Zone)
    google: Google = field(default_factory=Google)
    pages: str = ""
    is_real: bool = False

    @contextmanager
    def skyvern(self) -> Iterator[PracticePeer | Skyvern]:
        """A Skyvern on its own port of this machine: a real one where that is asked for, else the practice receiver."""
        if not self.is_real:
            with running_practice("127.0.0.1:8000") as peer:
                yield peer
            return
        home = self.folder / "skyvern"
        home.mkdir()
        with running_skyvern(home, port=8000) as real:
            yield real

    def daemon(self, **more: str) -> Running:
        """A daemon as this environment has it, with these variables of its own."""
        return Running(
            self.folder,
            {**self.env, **more},
            zone=self.zone,
            browser=lambda: httpx.AsyncClient(transport=ToUs(self.pages), timeout=10),
        )

    def sign(self, mail: bytes, domain: str) -> bytes:
        """The mail with a signature that DNS vouches for."""
        self.zone.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key(domain)),)
        return signer.dkim(mail, domain, private=signer.key(domain))


@contextmanager
def scene(folder: Path, *, is_real: bool = False) -> Iterator[Scene]:
    """A folder, a shell's environment, and Google's pages on loopback."""
    made = Scene(folder=folder, env=environment(folder), is_real=is_real)
    ready, loop, ending = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        app = Starlette(routes=[Route("/{path:path}", made.google.reply, methods=["GET", "POST"])])
        async with serve_app(app, listen="127.0.0.1:0") as bound:
            made.pages = bound.address
            ready.set()
            await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(30)


def only_try(here: Scene, terminal: Terminal) -> None:
    """Nothing but practice: two answers and a code."""
    with here.daemon():
        terminal.run(["setup"])
        terminal.answer("key", r"API key .*only practise\)", "")
        terminal.answer("way", "How will the mails come", "5")
        terminal.until(r"✓ delivered +code \d+ → the practice receiver")
        terminal.until("✓ Skyvern's run +give the run totp_identifier")
        assert terminal.ended() == 0


def gmail(here: Scene, terminal: Terminal) -> None:
    """On a server with a Skyvern of its own on port 8000: one command with what is known, the key, a record, and Google's pages."""
    with here.skyvern() as skyvern, here.daemon():
        terminal.run(["setup", "--way", "gmail", "--for", ANN, "--site", "github.com", "--domain", DOMAIN])
        terminal.answer("key", r"API key \(http://localhost:8000", skyvern.api_key, shown="KEY")
        terminal.until("✓ Skyvern +http://localhost:8000, the key is good")
        written = Path(terminal.until(r"✓ listener +0.0.0.0:25, by (\S+)\n"))
        assert written.stat().st_mode & 0o777 == 0o600
        _published(here, terminal)
        _confirmed(here, terminal)
        terminal.said("✓ filter +from github.com, by the link below")
        _filtered(terminal)
        _first_code(here, terminal, skyvern.resolve)


def _filtered(terminal: Terminal) -> None:
    """Gmail's form for a filter, by the link that is shown."""
    terminal.did("Google", "form", terminal.until(r"→ (https://mail\.google\.com/\S+#create-filter/from=github\.com) , "))
    for click in ("continue", "tick", "choose", "create"):
        terminal.did("Google", click)


def by_file(here: Scene, terminal: Terminal) -> None:
    """The same by typed answers and for any sender: the filter is a file, and a daemon that may not listen on port 25 is restarted."""
    with here.skyvern() as skyvern:
        with here.daemon(), _taken(25):
            terminal.run(["setup"])
            terminal.answer("key", r"API key \(http://localhost:8000", skyvern.api_key, shown="KEY")
            terminal.answer("way", "How will the mails come", "2")
            terminal.answer("for", "Whose codes", ANN)
            terminal.answer("sites", "From which sites", "")
            terminal.answer("domain", "The domain whose mail", DOMAIN)
            terminal.until("has the lines for it\n +→ restart the daemon")
        terminal.did("server", "restart", "Ctrl-C, mailbridge serve")
        with here.daemon():
            _published(here, terminal)
            rcpt = _confirmed(here, terminal)
            name = terminal.until(r"✓ filter +(\S+\.xml)")
            assert rcpt in Path(name).read_text(encoding="utf-8")
            terminal.did("shell", "copy", f"scp bridge:{name} .")
            terminal.did(
                "Google", "filter page", terminal.until(rf"→ (\S+#settings/filters) , Import filters, {re.escape(name)}, ")
            )
            for click in ("import", "choose", "open", "create"):
                terminal.did("Google", click)
            _first_code(here, terminal, skyvern.resolve)


@contextmanager
def _taken(port: int) -> Iterator[None]:
    """Another program listens there."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", port))
        other.listen()
        yield


def _published(here: Scene, terminal: Terminal) -> None:
    """Both records, in both forms, are shown; the address is published as it is shown, and the MX is none that has to be."""
    terminal.until("✓ address +otp-")
    address = terminal.until(rf"{re.escape(DOMAIN)}\. 3600 IN A (\S+)\n")
    terminal.until(rf"{re.escape(DOMAIN)}\. 3600 IN MX 10 {re.escape(DOMAIN)}\.\n")
    terminal.until(rf"host bridge   type A   value {re.escape(address)}\n")
    terminal.until(rf"host bridge   type MX   value {re.escape(DOMAIN)}\.   priority 10\n")
    assert address == HERE
    here.zone.hosts[DOMAIN] = (address,)
    terminal.did("panel", "A", f"bridge A {address}")


def _confirmed(here: Scene, terminal: Terminal) -> str:
    """DNS and port 25 turn green, Google is told the address, and its question is answered. Returns the address."""
    terminal.until("✓ DNS ")
    terminal.until(r"✓ port 25 +\S+: 5\.5\.5\.5 port 25 answers")
    rcpt = terminal.until(r"the address to add: (\S+)\n")
    terminal.did("Google", "forwarding page", terminal.until(r"→ (\S+#settings/fwdandpop) , "))
    for click, typed in (("add", ""), ("address", rcpt), ("proceed", "")):
        terminal.did("Google", click, typed)
    _deliver(here.sign(question(rcpt), "google.com"), "forwarding-noreply@google.com", rcpt)
    terminal.until(f"✓ Gmail's yes +{re.escape(ANN)} may forward to")
    assert here.google.asked[-1].startswith("POST mail.google.com/mail/vf-")
    return rcpt


def _first_code(here: Scene, terminal: Terminal, resolve: Callable[[str], object]) -> None:
    """A mail with a code is forwarded, and Skyvern has the code."""
    rcpt = terminal.said(r"address +(otp-\S+)\n")
    sender = f"ann+caf_={rcpt.replace('@', '=')}@gmail.com"
    _deliver(here.sign(code_mail(rcpt), "github.com"), sender, rcpt)
    terminal.until(f"✓ first mail .*code for {re.escape(ANN)}, delivered")
    terminal.until(f'totp_identifier "{re.escape(ANN)}"')
    assert terminal.ended() == 0
    assert getattr(resolve(ANN), "value", None) == CODE


@contextmanager
def _container(here: Scene, terminal: Terminal, skyvern: PracticePeer | Skyvern, **more: str) -> Iterator[None]:
    """As Docker Compose starts it beside a Skyvern, whose key is found there."""
    for name, typed in (("env", ".env"), ("acl", "sudo setfacl …"), ("up", "docker compose up -d --wait")):
        terminal.did("shell", name, typed)
    credentials = here.folder / "credentials.toml"
    credentials.write_text(f'[general]\ncred = "{skyvern.api_key}"\n', encoding="utf-8")
    credentials.chmod(0o600)
    container = {
        "MAILBRIDGE_DOMAINS__ACCEPT": DOMAIN,
        "MAILBRIDGE_SMTP__HOSTNAME": DOMAIN,
        "MAILBRIDGE_SMTP__LISTEN": "0.0.0.0:25",
        "MAILBRIDGE_SKYVERN__BASE_URL": skyvern.base_url,
        "MAILBRIDGE_SKYVERN__API_KEY_FILE": "",
        "MAILBRIDGE_SKYVERN__CREDENTIALS_FILE": str(credentials),
    }
    here.env.update(container)
    terminal.env = here.env
    with here.daemon():
        terminal.run(["setup"])
        terminal.until("✓ Skyvern +http://127.0.0.1:8000, the key is good")
        yield


def beside(here: Scene, terminal: Terminal) -> None:
    """Compose beside a Skyvern, with Gmail's forwarding: domain, port and key are there already."""
    here.zone.hosts[DOMAIN], here.zone.mail[DOMAIN] = (HERE,), (DOMAIN,)
    with here.skyvern() as skyvern, _container(here, terminal, skyvern):
        terminal.answer("way", "How will the mails come", "gmail")
        terminal.answer("for", "Whose codes", ANN)
        terminal.answer("sites", "From which sites", "github.com")
        _confirmed(here, terminal)
        _filtered(terminal)
        _first_code(here, terminal, skyvern.resolve)


def compose(here: Scene, terminal: Terminal) -> None:
    """Compose beside a Skyvern, with a mailbox on a server of one's own."""
    with (
        running_dovecot(here.folder / "dovecot", users=("ann@corp.example",)) as server,
        here.skyvern() as skyvern,
    ):
        os.environ["SSL_CERT_FILE"] = str(server.ca)
        with _container(here, terminal, skyvern):
            _read(here, terminal, server, skyvern)


def mailbox(here: Scene, terminal: Terminal) -> None:
    """A mailbox on a server of one's own."""
    with (
        running_dovecot(here.folder / "dovecot", users=("ann@corp.example",)) as server,
        here.skyvern() as skyvern,
    ):
        os.environ["SSL_CERT_FILE"] = str(server.ca)
        with here.daemon():
            terminal.run(["setup"])
            terminal.answer("key", r"API key \(http://localhost:8000", skyvern.api_key, shown="KEY")
            _read(here, terminal, server, skyvern)


def _read(here: Scene, terminal: Terminal, server: Dovecot, skyvern: PracticePeer | Skyvern) -> None:
    """The mailbox is named and watched, and its first code is where Skyvern looks."""
    terminal.answer("way", "How will the mails come", "1")
    terminal.answer("username", "The mailbox's address", "ann@corp.example")
    terminal.answer("host", "IMAP server", f"localhost:{server.imaps}")
    terminal.answer("password", "Its password", PASSWORD, shown="PASSWORD")
    terminal.until("✓ mailbox +ann@corp.example is watched")
    terminal.until("waiting for a code for ann@corp.example")
    server.deliver(here.sign(code_mail("ann@corp.example", to="ann@corp.example"), "github.com"))
    terminal.until("✓ first mail .*delivered")
    assert terminal.ended() == 0
    assert skyvern.resolve("ann@corp.example").value == CODE


def interrupted(here: Scene, terminal: Terminal) -> None:
    """Wrong answers, Ctrl-C, a closed terminal, a daemon that is gone: it goes on where it was, and a run after the last does nothing."""
    with running_practice("127.0.0.1:8000") as skyvern:
        with here.daemon():
            terminal.run(["setup"])
            terminal.answer("key", r"API key \(http://localhost:8000", "not-the-key", shown="WRONG")
            terminal.until("✗ .*refuses the API key")
            terminal.answer("key", r"API key \(http://localhost:8000", skyvern.api_key, shown="KEY")
            terminal.answer("way", "How will the mails come", "9")
            terminal.until("✗ write a number from 1 to 5")
            terminal.answer("way", "How will the mails come", "3")
            terminal.answer("for", "Whose codes", "ann@")
            terminal.until("✗ 'ann@' is not a mail address")
            terminal.until("Whose codes")
            assert terminal.interrupt() == 130
            assert "again to continue here" in terminal.text
            assert "not-the-key" not in terminal.text
            assert skyvern.api_key not in terminal.text
        terminal.run(["setup"])
        terminal.until("no daemon is running; start it in another terminal: `mailbridge serve`")
        with here.daemon():
            terminal.until("✓ Skyvern +http://localhost:8000, the key is good")
            terminal.answer("for", "Whose codes", ANN)
            terminal.answer("sites", "From which sites", "")
            terminal.answer("domain", "The domain whose mail", "nobody")
            terminal.until("✗ 'nobody' is not a domain")
            terminal.answer("domain", "The domain whose mail", DOMAIN)
            name = terminal.until(r"✓ listener +LMTP on 127.0.0.1:2424, by (\S+)\n")
            assert Path(name).stat().st_mode & 0o777 == 0o600
            terminal.kill()
        with here.daemon():
            terminal.run(["setup"])
            terminal.until("✓ listener +LMTP on 127.0.0.1:2424")
            rcpt = terminal.until(r"✓ address +(\S+)")
            terminal.until(rf"transport_maps = inline:{{ {{ {re.escape(DOMAIN)} = lmtp:inet:127.0.0.1:2424")
            with smtplib.LMTP("127.0.0.1", 2424, local_hostname="mx.corp.example") as client:
                client.sendmail("noreply@github.com", [rcpt], code_mail(rcpt))
            terminal.until("✓ first mail .*delivered")
            assert terminal.ended() == 0
            before = _listed(here)
            terminal.run(["setup"])
            terminal.until("✓ Skyvern's run")
            assert terminal.ended() == 0
            assert _listed(here) == before


def over_http(here: Scene, terminal: Terminal) -> None:
    """A phone's texts: the lines that are printed are all that the phone needs."""
    with here.daemon() as running:
        terminal.run(["setup"])
        terminal.answer("key", r"API key .*only practise\)", "")
        terminal.answer("way", "How will the mails come", "4")
        terminal.answer("service", "Which service", "text")
        terminal.answer("for", "Whose codes", ANN)
        terminal.answer("sites", "From which sites", "")
        terminal.answer("url", "The address at which the world", "https://bridge.example.com")
        path = terminal.until(r"POST https://bridge.example.com(/\S+)")
        token = terminal.until(r"Authorization: Bearer (\S+)")
        terminal.did("phone", "lines", "address and token")
        terminal.until("waiting for a code for")
        assert running.bridge is not None
        told = {"identifier": ANN, "text": f"Your code is {CODE}"}
        answer = httpx.post(
            f"http://{running.bridge.http_address}{path}",
            json=told,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
        assert answer.is_success, answer.text
        terminal.until(f"✓ first mail .*code for {re.escape(ANN)}, delivered")
        assert terminal.ended() == 0


def _listed(here: Scene) -> str:
    """Everything that was added, and all that setup did."""
    words = [["config", "export"], ["setup", "--show", "--json"]]
    texts = [
        subprocess.run(
            [sys.executable, "-m", "mailbridge", *one], cwd=here.folder, env=here.env, capture_output=True, text=True, check=True
        )
        for one in words
    ]
    return "".join(one.stdout for one in texts)


WAYS: dict[str, tuple[Callable[[Scene, Terminal], None], str, int]] = {
    "try": (only_try, "", 3),
    "interrupted": (interrupted, "", 99),
    "gmail": (gmail, "Gmail forwards to this machine", 12),
    "file": (by_file, "", 99),
    "beside": (beside, "", 99),
    "compose": (compose, "Docker Compose, beside Skyvern", 8),
    "http": (over_http, "Mail over HTTP", 8),
    "mailbox": (mailbox, "A mailbox", 6),
}
"""Each way, its table in docs/setup.md, and how many actions it may take."""


def _deliver(mail: bytes, sender: str, rcpt: str) -> None:
    """Over SMTP, to port 25 of the address that DNS leads to."""
    with smtplib.SMTP(HERE, 25, local_hostname="mail-sor-f41.google.com", timeout=20) as client:
        client.sendmail(sender, [rcpt], mail)


def question(rcpt: str) -> bytes:
    """Google's question whether Ann's account may forward to an address."""
    lines = [
        "From: Gmail Team <forwarding-noreply@google.com>",
        f"To: {rcpt}",
        f"Subject: (#123456789) Gmail Forwarding Confirmation - Receive Mail from {ANN}",
        "Date: Sun, 29 Nov 2026 02:00:00 +0000",
        "Message-ID: <question@google.com>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "",
        f"{ANN} has requested to automatically forward mail to your email",
        f"address {rcpt}.",
        "",
        "Confirmation code: 123456789",
        "",
        "https://mail-settings.google.com/mail/vf-%5BANGjdJ8-x%5D-abc",
        "",
    ]
    return "\r\n".join(lines).encode()


def code_mail(rcpt: str, *, to: str = ANN) -> bytes:
    """A sign-in mail of GitHub, as it arrives."""
    lines = [
        f"Delivered-To: {rcpt}",
        f"X-Forwarded-To: {rcpt}",
        "From: GitHub <noreply@github.com>",
        f"To: {to}",
        "Subject: Your GitHub verification code",
        "Message-ID: <code@github.com>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "",
        "Hello,",
        "",
        f"Your verification code is: {CODE}",
        "",
    ]
    return "\r\n".join(lines).encode()
