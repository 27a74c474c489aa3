"""The commands beside a running daemon: each does what it says, for people and as JSON, with its exit code."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from mailbridge.cli.exits import Exit
from tests.cli.running import PATIENCE, PLAIN, PROGRAM, Daemon, Done, Run, environment

COLUMNS = {"id", "received_at", "verdict", "identifiers", "identifier_from", "rule", "reason", "rejected", "subject", "from"}
CONFIRMATION = """\
From: Gmail Team <forwarding-noreply@google.com>\r
To: codes@mailbridge.localhost\r
Subject: (Gmail Forwarding Confirmation - Receive Mail from gus@gmail.com\r
Message-ID: <c1@google.com>\r
X-Google-Address-Confirmation: abcdefghijklmnopqrstuvwxyz1\r
\r
gus@gmail.com has requested to automatically forward mail to your email address.\r
\r
https://mail-settings.google.com/mail/vf-%5BABC%5D-def\r
"""


class Beside:
    """Commands in the folder of a running daemon, told where it listens."""

    def __init__(self, daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self._daemon = daemon
        self._run = run
        self._monkeypatch = monkeypatch

    def __call__(self, *args: str, stdin: str = "") -> Done:
        """Run one."""
        self._monkeypatch.chdir(self._daemon.folder)
        self._monkeypatch.setenv("HOME", str(self._daemon.folder))
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        return self._run("--set", f"smtp.listen={self._daemon.smtp}", "--set", f"http.listen={self._daemon.http}", *args)

    def misbehave(self, **how: object) -> None:
        """Make the daemon's practice receiver answer badly, or well again."""
        answer = httpx.post(f"http://{self._daemon.ready['practice']}/practice/fault", json=how, timeout=5, trust_env=False)
        assert answer.status_code == 200


@pytest.fixture
def do(daemon: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> Beside:
    """Commands beside the module's daemon."""
    return Beside(daemon, run, monkeypatch)


def _mail(folder: Path, name: str, code: str) -> Path:
    path = folder / f"{name}.eml"
    path.write_text(PLAIN % (name, code), newline="")
    return path


def test_send_test_has_a_verdict_for_each_hop(do: Beside) -> None:
    """Taken in, understood, delivered: three lines with ticks, the code, whose it is, the rule and the time it took."""
    done = do("send-test", "--for", "ann@corp.example")
    assert done.code == 0, done.out + done.err
    lines = done.out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["✓", "listener"], ["✓", "understood"], ["✓", "delivered"]]
    assert "ann@corp.example" in lines[1]
    assert "rule generic" in lines[1]
    assert re.search(r"code \d{6} → .* as ann@corp\.example: delivered, 1 attempt, \d+ ms", lines[2])
    assert "a real mail needs one of these proofs" in lines[3]


def test_send_test_is_json_for_scripts(do: Beside) -> None:
    """One object a hop."""
    done = do("send-test", "--json")
    assert [(row["hop"], row["ok"]) for row in done.rows] == [("listener", True), ("understood", True), ("delivered", True)]


def test_send_test_is_for_a_phone_number_and_a_name_too(do: Beside) -> None:
    """Identifiers without an @ get their code; what cannot be released or tried again says why, and what to look at."""
    for identifier in ("+4915112345678", "Ann"):
        done = do("send-test", "--for", identifier, "--yes", "--json")
        assert [(row["hop"], row["ok"]) for row in done.rows] == [(one, True) for one in ("listener", "understood", "delivered")]
        assert identifier in done.rows[1]["text"]
    number = str(do("mail", "list", "--json", "--limit", "1").rows[0]["id"])
    assert (
        f"mail {number} is not held, so there is nothing to release; `mailbridge mail show {number}`"
        in do("mail", "release", number).err
    )
    delivery = str(do("delivery", "list", "--json", "--limit", "1").rows[0]["id"])
    assert "it is delivered; only a dead or an expired one can be tried again" in do("delivery", "retry", delivery).err
    assert "`mailbridge delivery list` lists them" in do("delivery", "retry", "987654").err


def test_send_test_says_which_hop_failed(do: Beside) -> None:
    """A recipient that is not ours is refused by the listener; nobody listening is exit 69."""
    refused = do("send-test", "--rcpt", "ann@elsewhere.example", "--json")
    assert refused.code == Exit.GENERAL
    assert [(row["hop"], row["ok"]) for row in refused.rows] == [("listener", False)]
    assert "550 5.1.1" in refused.rows[0]["text"]
    nobody = do("send-test", "--smtp", "127.0.0.1:1", "--json")
    assert nobody.code == Exit.UNAVAILABLE
    assert "is `mailbridge serve` running?" in nobody.rows[0]["text"]


def test_mails_are_imported_listed_and_shown(do: Beside, tmp_path: Path) -> None:
    """From a file, a folder, an mbox and standard input; the list is newest first; the code is in none of it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    one, _, _ = (_mail(tmp_path, "one", "510001"), _mail(folder, "two", "510002"), _mail(folder, "three", "510003"))
    (tmp_path / "box").write_text("From a Mon Nov 23 13:00:00 2026\n" + (PLAIN % ("four", "510004")).replace("\r\n", "\n"))
    done = do("mail", "import", "--json", str(one), str(folder), str(tmp_path / "box"), "-", stdin=PLAIN % ("five", "510005"))
    assert done.code == 0, done.err
    assert [row["is_duplicate"] for row in done.rows] == [False] * 5
    assert [Path(row["file"]).name for row in done.rows] == ["one.eml", "three.eml", "two.eml", "box#1", "-"]
    listed = do("mail", "list", "--json", "--limit", "5")
    assert [row["id"] for row in listed.rows] == sorted((row["mail"] for row in done.rows), reverse=True)
    assert all(set(row) >= COLUMNS for row in listed.rows)
    assert {row["verdict"] for row in listed.rows} == {"code"}
    shown = do("mail", "show", str(done.rows[0]["mail"]))
    assert "ann@example.com" in shown.out
    for text in (listed.out, shown.out, do("mail", "list").out, do("delivery", "list", "--json").out):
        assert "51000" not in text


def test_a_stored_mail_comes_out_as_it_came_in(do: Beside, tmp_path: Path) -> None:
    """`mail show --raw` is the mail itself."""
    path = _mail(tmp_path, "raw", "520001")
    number = do("mail", "import", "--json", str(path)).rows[0]["mail"]
    assert do("mail", "show", str(number), "--raw").out == path.read_bytes().decode()


def test_what_is_read_by_people_is_no_json(do: Beside) -> None:
    """Lists are joined by commas; a code whose mail names no sender says so."""
    nameless = "To: ann@example.com\r\nSubject: Your code\r\n\r\nYour code is 540001\r\n"
    number = do("mail", "import", "--json", "-", stdin=nameless).rows[0]["mail"]
    shown = do("mail", "show", str(number)).out
    assert re.search(r"^identifiers +ann@example\.com$", shown, re.MULTILINE), shown
    assert f"Mail {number}, which names no sender." in do("code", "list").out


def test_a_replayed_mail_is_a_new_mail(do: Beside, tmp_path: Path) -> None:
    """It gets a number of its own, where the same file again is the same mail."""
    path = _mail(tmp_path, "again", "530001")
    first = do("mail", "import", "--json", str(path)).rows[0]["mail"]
    assert do("mail", "import", "--json", str(path)).rows[0]["mail"] == first
    replayed = do("mail", "replay", str(first), "--json")
    assert replayed.rows[0]["mail"] > first
    again = do("mail", "show", str(replayed.rows[0]["mail"]), "--raw").out
    assert again.count("Message-ID:") == 1
    assert again.endswith(path.read_bytes().decode().partition("\r\n\r\n")[2])


def test_gmails_question_is_shown_with_its_link(do: Beside) -> None:
    """The confirmation is held, and the list says which link to open."""
    done = do("mail", "import", "-", stdin=CONFIRMATION)
    assert done.code == 0, done.err
    listed = do("mail", "list", "--limit", "1").out
    assert "confirmation" in listed
    assert "open this link to confirm: https://mail-settings.google.com/mail/vf-%5BABC%5D-def" in listed


def test_a_hostile_mail_cannot_reach_the_terminal(do: Beside) -> None:
    """Escape sequences, turned text and line ends in what a mail says are written out, for people and in JSON."""
    subject = "=?utf-8?b?" + base64.b64encode("a\x1b[2Jb\u202ec\x9bd\x07".encode()).decode() + "?="
    content = f"From: x@y.example\r\nTo: ann@example.com\r\nSubject: {subject}\r\nMessage-ID: <h@y>\r\n\r\nhello\r\n"
    number = do("mail", "import", "--json", "-", stdin=content).rows[0]["mail"]
    printed = [
        do("mail", "list"),
        do("mail", "list", "--json"),
        do("mail", "show", str(number)),
        do("mail", "show", str(number), "--json"),
    ]
    for done in printed:
        assert done.code == 0
        assert not {"\x1b", "\u202e", "\x9b", "\x07"} & set(done.out)
    assert printed[3].rows[0]["subject"].startswith("a")


def test_what_is_not_there_is_exit_4(do: Beside) -> None:
    """A mail, a file or a delivery that does not exist."""
    for args in (
        ("mail", "show", "99999"),
        ("mail", "replay", "99999"),
        ("mail", "import", "nowhere.eml"),
        ("delivery", "retry", "99999"),
    ):
        done = do(*args)
        assert done.code == Exit.NOT_FOUND, args
        assert done.err
        assert "Traceback" not in done.err


def test_a_dead_letter_is_listed_and_tried_again(do: Beside) -> None:
    """What Skyvern refuses for good is in `delivery list --state dead` with the reason; `delivery retry` delivers it."""
    do.misbehave(status=422)
    sent = do("send-test", "--json", "--for", "dora@corp.example")
    assert sent.code == Exit.GENERAL
    assert [row["ok"] for row in sent.rows] == [True, True, False]
    dead = do("delivery", "list", "--state", "dead", "--json").rows
    assert [(row["identifier"], row["reason"]) for row in dead] == [("dora@corp.example", "Skyvern answered 422")]
    assert "dora@corp.example" in do("delivery", "list", "--state", "dead").out
    do.misbehave()
    retried = do("delivery", "retry", str(dead[0]["id"]))
    assert retried.code == 0
    until = time.monotonic() + PATIENCE
    while (rows := do("delivery", "list", "--state", "delivered", "--json", "--limit", "1").rows)[0]["id"] != dead[0]["id"]:
        assert time.monotonic() < until, rows
        time.sleep(0.05)
    assert do("delivery", "list", "--state", "dead", "--json").rows == []
    assert do("delivery", "retry", str(dead[0]["id"])).code == Exit.NOT_FOUND


def test_the_health_check_asks_the_daemon(do: Beside) -> None:
    """0 while it takes mail, as JSON too; 69 where nobody answers."""
    assert do("healthcheck").code == do("healthcheck", "--wait").code == 0
    assert do("healthcheck", "--json").rows[0]["status"] == "degraded"
    away = do("--set", "http.listen=127.0.0.1:1", "healthcheck", "--json")
    assert away.code == Exit.UNAVAILABLE
    assert away.rows[0]["status"] == "no answer"
    assert do("--set", "http.listen=127.0.0.1:1", "healthcheck", "--wait", "0.1").code == Exit.UNAVAILABLE


def test_without_a_daemon_commands_say_so(run: Run, here: Path) -> None:
    """No database yet, nobody on the port: one line, exit 69, and nothing made."""
    for args in (("mail", "list"), ("mail", "show", "1"), ("delivery", "list"), ("delivery", "retry", "1"), ("healthcheck",)):
        done = run("--set", "http.listen=127.0.0.1:1", *args)
        assert done.code == Exit.UNAVAILABLE, args
        assert len(done.err.splitlines()) == 1
        assert not (here / "state").exists()


def test_mails_are_followed_as_they_come(do: Beside, daemon: Daemon, tmp_path: Path) -> None:
    """`mail list --follow` shows what is there, and each mail that fits when it comes in, until it is ended."""
    words = ["mail", "list", "--follow", "--json", "--limit", "1", "--for", "fay@example.com"]
    process = subprocess.Popen(
        [*PROGRAM, *words], cwd=daemon.folder, env=environment(daemon.folder), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        content = PLAIN.replace("ann@example.com", "fay@example.com")
        until = time.monotonic() + PATIENCE
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.append(process.stdout.readline() if process.stdout else ""), daemon=True)
        reader.start()
        number = 0
        while reader.is_alive():  # how soon it begins to follow cannot be seen from outside
            number += 1
            do("mail", "import", "-", stdin=PLAIN % (f"other{number}", "540001"))
            do("mail", "import", "-", stdin=content % (f"fay{number}", "540002"))
            assert time.monotonic() < until
            reader.join(0.5)
        assert json.loads(found[0])["identifiers"] == ["fay@example.com"]
    finally:
        process.kill()
        process.wait()
