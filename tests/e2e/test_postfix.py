"""A real Postfix in front, configured by the lines of the README: one reply a recipient, no backscatter, no smuggling."""

from __future__ import annotations

import os
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.running import PATIENCE, Daemon, command, serving

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = Path("/etc/postfix")
OURS = '[{rcpt = "one@bridge.example.com", identifier = "ann@corp.example"}, {rcpt = "two@bridge.example.com", identifier = "bob@corp.example"}]'
BASE = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /var/log/{name}.log
myhostname = mx.example.com
mydestination =
mynetworks = 192.0.2.0/24
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("postfix") is None, reason="no Postfix: apt-get install postfix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix is started by root only: run the e2e tests as root"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Postfix on a port of its own, and the mailbridge behind it."""

    port: int
    daemon: Daemon

    def send(self, *rcpts: str, name: str) -> tuple[list[int], int]:
        """The replies to RCPT TO, and to the end of DATA (0: it did not come to that)."""
        content = f"From: a@b.example\r\nSubject: hi\r\nMessage-ID: <{name}@b.example>\r\n\r\nYour code is 482913\r\n"
        with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE) as client:
            client.ehlo("test")
            client.mail("a@b.example")
            codes = [client.rcpt(rcpt)[0] for rcpt in rcpts]
            return codes, client.data(content.encode())[0] if 250 in codes else 0

    def mails(self) -> list[dict[str, object]]:
        """What mailbridge has taken in."""
        return command("mail", "list", "--json", cwd=self.daemon.folder).rows


def _readme_lines() -> str:
    """The block of the README that is meant for main.cf."""
    found = re.search(r"^```\n# /etc/postfix/main\.cf\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def _configured(folder: Path, port: int, lmtp: str) -> Path:
    """A configuration of Postfix that shares nothing with the machine's own."""
    conf = folder / "conf"
    shutil.copytree(SYSTEM, conf)
    (folder / "queue").mkdir()
    (folder / "data").mkdir()
    shutil.chown(folder / "data", "postfix")
    lines = _readme_lines()
    assert "127.0.0.1:2424" in lines
    (conf / "main.cf").write_text(BASE.format(folder=folder, name=folder.name) + lines.replace("127.0.0.1:2424", lmtp))
    services = (SYSTEM / "master.cf").read_text()
    services = re.sub(r"^smtp      inet", f"127.0.0.1:{port} inet", services, flags=re.MULTILINE)
    services = re.sub(r"^(\S+ +\S+ +\S+ +\S+ +)y ", r"\1n ", services, flags=re.MULTILINE)
    (conf / "master.cf").write_text(services)
    return conf


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Both, running. Postfix's folder is one that its own user may enter."""
    env = {"MAILBRIDGE_SMTP__LMTP": "127.0.0.1:0", "MAILBRIDGE_ADDRESS": OURS, "MAILBRIDGE_DOMAINS__ACCEPT": ""}
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-postfix-"))
    folder.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with serving(tmp_path_factory.mktemp("behind"), env=env) as daemon:
        conf = _configured(folder, port, daemon.smtp.partition(",")[2])
        subprocess.run(["postfix", "-c", str(conf), "start"], check=True, capture_output=True, timeout=PATIENCE)
        try:
            yield Front(port=port, daemon=daemon)
        finally:
            subprocess.run(["postfix", "-c", str(conf), "stop"], check=False, capture_output=True, timeout=PATIENCE)
            shutil.rmtree(folder, ignore_errors=True)
            Path(f"/var/log/{folder.name}.log").unlink(missing_ok=True)


def _arrived(front: Front, count: int) -> list[dict[str, object]]:
    until = time.monotonic() + PATIENCE
    while len(rows := front.mails()) < count:
        assert time.monotonic() < until, rows
        time.sleep(0.05)
    return rows


def test_two_recipients_are_one_mail_for_both(front: Front) -> None:
    """LMTP answers for each recipient: one mail is stored, with both identifiers, and Postfix sends nothing again."""
    assert front.send("one@bridge.example.com", "two@bridge.example.com", name="both") == ([250, 250], 250)
    newest = _arrived(front, 1)[0]
    assert sorted(newest["identifiers"]) == ["ann@corp.example", "bob@corp.example"]  # type: ignore[call-overload]
    assert newest["ingress"] == "lmtp"


def test_who_is_unknown_here_is_refused_by_postfix(front: Front) -> None:
    """It asked us, so there is nothing to bounce; and nothing is relayed elsewhere."""
    assert front.send("nobody@bridge.example.com", name="nobody") == ([550], 0)
    assert front.send("ann@elsewhere.example", name="relay") == ([554], 0)


def test_no_second_mail_is_smuggled_in(front: Front) -> None:
    """A bare line feed before the dot ends no mail: what follows stays its text."""
    before = len(front.mails())
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE) as client, client.makefile("rb") as answers:
        answers.readline()
        for line in ("HELO test", "MAIL FROM:<a@b.example>", "RCPT TO:<two@bridge.example.com>", "DATA"):
            client.sendall(line.encode() + b"\r\n")
            assert answers.readline()[:1] in (b"2", b"3")
        hidden = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<one@bridge.example.com>\r\nDATA\r\nSubject: two\r\n\r\nYour code is 111111\r\n"
        client.sendall(b"Message-ID: <outer@b.example>\r\nSubject: one\r\n\r\nhello\n.\r\n" + hidden + b".\r\nQUIT\r\n")
        answers.read()
    newest = _arrived(front, before + 1)[0]
    assert newest["mail_from"] == "a@b.example"
    assert newest["identifiers"] == ["bob@corp.example"]
    assert front.send("one@bridge.example.com", name="after") == ([250], 250)
    rows = _arrived(front, before + 2)
    assert len(rows) == before + 2
    assert all(row["mail_from"] != "evil@b.example" for row in rows)


def test_a_mail_with_letters_beyond_ascii_in_its_addresses_is_not_bounced(front: Front) -> None:
    """Postfix hands an SMTPUTF8 mail on, since LMTP offers it, and its octets come as they were sent."""
    before = len(front.mails())
    content = "From: Jörg <jörg@harbour.example>\r\nSubject: Grüße\r\nMessage-ID: <utf8@b.example>\r\n\r\nYour code is 482914\r\n"
    with smtplib.SMTP("127.0.0.1", front.port, timeout=PATIENCE) as client:
        client.ehlo("test")
        assert client.mail("jörg@harbour.example", ["SMTPUTF8", "BODY=8BITMIME"])[0] == 250
        assert client.rcpt("one@bridge.example.com")[0] == 250
        assert client.data(content.encode())[0] == 250
    newest = _arrived(front, before + 1)[0]
    assert newest["mail_from"] == "jörg@harbour.example"
    assert newest["identifiers"] == ["ann@corp.example"]
