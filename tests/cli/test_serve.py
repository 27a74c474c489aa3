"""The daemon as systemd and people run it: start, banner, signals, reload."""

from __future__ import annotations

import json
import re
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mailbridge.cli.exits import Exit
from tests.cli.running import PATIENCE, Daemon, command, environment, serving

TOKEN = "a-token-of-the-tests"
DRAINING = '[http]\ntoken = "' + TOKEN + '"\ndrain = "{drain}"\n[trust]\ndefault = "none"\n'
WAIT = "/api/v1/codes/wait?identifier=ann@corp.example&timeout=60"
MAIL = "From: Larch <a@larch.example>\r\nTo: ann@corp.example\r\nSubject: Your code\r\n\r\nYour verification code is 482913\r\n"
RULE = "[[rule]]\nname = 'gate'\npattern = 'gate (?P<code>\\d{4})'\naccepts = [{ text = 'gate 1234', value = '1234' }]\n"


def _configured(folder: Path, text: str) -> Path:
    path = folder / "mailbridge.toml"
    path.write_text(text)
    return path


def _answer(daemon: Daemon, rcpt: str) -> int:
    """What RCPT TO is answered now."""
    host, _, port = daemon.smtp.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=10) as client:
        client.ehlo("test")
        client.mail("")
        return client.rcpt(rcpt)[0]


@contextmanager
def _unfinished_mail(daemon: Daemon) -> Iterator[socket.socket]:
    """A client in the middle of DATA, for which a stop would wait."""
    host, _, port = daemon.smtp.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client, client.makefile("rb") as answers:
        answers.readline()
        for line in ("HELO test", "MAIL FROM:<>", "RCPT TO:<a@mailbridge.localhost>", "DATA"):
            client.sendall(line.encode() + b"\r\n")
            assert answers.readline()[:1] in (b"2", b"3")
        client.sendall(b"Subject: half\r\n")
        yield client


@contextmanager
def _unfinished_post(daemon: Daemon, token: str) -> Iterator[socket.socket]:
    """A client in the middle of a mail by HTTP, whose last 6 octets are still to come."""
    head = (
        "POST /ingest/mime?rcpt=b@mailbridge.localhost&from=b@larch.example HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer"
        f" {token}\r\nContent-Type: message/rfc822\r\nContent-Length: 23\r\n\r\nSubject: post\r\n\r\n"
    )
    with socket.create_connection(_place(daemon.http), timeout=10) as client:
        client.sendall(head.encode())
        yield client


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _asked(daemon: Daemon, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.get(f"http://{daemon.http}{path}", headers=headers, trust_env=False, timeout=PATIENCE)


def test_the_worker_that_began_to_load_is_the_one_that_reads(tmp_path: Path) -> None:
    """`serve` starts it before it loads itself, and no second one."""
    with serving(tmp_path) as daemon:
        pid = daemon.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        assert len(children) == 1


def test_a_drain_is_red_first_and_takes_everything_meanwhile(tmp_path: Path) -> None:
    """After TERM /readyz says 503 and why, while a new mail is taken, and ends a wait; a second TERM does not wait for the rest."""
    path = _configured(tmp_path, DRAINING.format(drain="60s"))
    with serving(tmp_path, "--config", str(path)) as daemon:
        assert _asked(daemon, "/readyz").status_code == 200
        daemon.signal(signal.SIGTERM)
        daemon.until("no new mail after 60 s")
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(_asked, daemon, WAIT)
            ready = _asked(daemon, "/readyz")
            assert (ready.status_code, ready.json()["checks"]["stopping"]) == (503, "this daemon was told to stop")
            host, _, port = daemon.smtp.rpartition(":")
            with smtplib.SMTP(host, int(port), timeout=PATIENCE) as client:
                client.sendmail("a@larch.example", ["codes@mailbridge.localhost"], MAIL)
            assert waiting.result(PATIENCE).json()["code"] == "482913"
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 1


def test_what_is_in_hand_is_finished_and_waits_are_sent_elsewhere(tmp_path: Path) -> None:
    """Mails in the middle of DATA, or of a post, when the listeners close get their yes; a wait ends with a moment to go on from."""
    path = _configured(tmp_path, DRAINING.format(drain="100ms"))
    with serving(tmp_path, "--config", str(path)) as daemon, ThreadPoolExecutor() as threads:
        waiting = threads.submit(_asked, daemon, WAIT)
        daemon.until_waiting()
        made = command("token", "add", "--role", "ingest", "--json", "--config", str(path), cwd=tmp_path)
        token = json.loads(made.out)["token"]
        with _unfinished_mail(daemon) as client, _unfinished_post(daemon, token) as post:
            daemon.signal(signal.SIGTERM)
            host, _, port = daemon.smtp.rpartition(":")
            daemon.until_refused(host, int(port))
            assert _asked(daemon, "/readyz").status_code == 503
            client.sendall(b"\r\nhalf\r\n.\r\n")
            assert client.makefile("rb").readline().startswith(b"250")
            ended = waiting.result(PATIENCE)
            assert (ended.status_code, ended.json()["code"], ended.headers["Retry-After"]) == (200, None, "1")
            assert "Mailbridge-Since" in ended.headers
            daemon.until_refused(*_place(daemon.http))
            post.sendall(b"half\r\n")
            assert post.makefile("rb").readline().startswith(b"HTTP/1.1 204")
        assert daemon.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_ends_it_with_0(number: signal.Signals, tmp_path: Path) -> None:
    """TERM and INT: no new mail, what is in hand finished, exit 0."""
    with serving(tmp_path) as daemon:
        daemon.signal(number)
        assert daemon.ended() == 0
        daemon.until("stopping")
        daemon.until("stopped")


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """While a stop waits for a client in the middle of a mail, a second TERM does not."""
    with serving(tmp_path) as daemon, _unfinished_mail(daemon):
        daemon.signal(signal.SIGTERM)
        daemon.until("stopping")
        assert daemon.process.poll() is None
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 1
        assert all(event["event"] != "daemon.stopped" for event in daemon.events())


def test_hup_takes_the_new_configuration_as_one(tmp_path: Path) -> None:
    """Recipients, rules and targets are new after it; what needs a restart is named and stays."""
    path = _configured(tmp_path, '[domains]\naccept = ["old.example"]\n')
    with serving(tmp_path, "--config", str(path)) as daemon:
        assert (_answer(daemon, "a@old.example"), _answer(daemon, "a@new.example")) == (250, 550)
        _configured(
            tmp_path, '[domains]\naccept = ["new.example"]\n[smtp]\nmax_size = "1MiB"\n[[target]]\nname = "b"\napi_key = "k"\n'
        )
        daemon.signal(signal.SIGHUP)
        daemon.until("reloaded", 2)  # the certificate, and the configuration
        assert (_answer(daemon, "a@old.example"), _answer(daemon, "a@new.example")) == (550, 250)
        assert daemon.until("a restart is needed")["message"].endswith("in [smtp]")


MISTAKES = {
    "[smtp\n": "not TOML",
    '[domains]\nacept = ["new.example"]\n': "did you mean accept?",
    '[domains]\naccept = ["new.example"]\n[rules]\npaths = ["rules.toml"]\n': "rule 'gate'",
    '[domains]\naccept = ["new.example"]\n[smtp]\ntls_cert = "no.pem"\ntls_key = "no.key"\n': "no.pem",
}


def test_hup_with_a_mistake_keeps_the_old_and_says_why(tmp_path: Path) -> None:
    """A broken file, key, rule or certificate changes nothing: the daemon serves on as it was, and the log has the line."""
    path = _configured(tmp_path, '[domains]\naccept = ["old.example"]\n')
    (tmp_path / "rules.toml").write_text(RULE.replace("'gate 1234'", "'gate'"))
    with serving(tmp_path, "--config", str(path)) as daemon:
        for number, (text, wanted) in enumerate(MISTAKES.items(), 1):
            _configured(tmp_path, text)
            daemon.signal(signal.SIGHUP)
            event = daemon.until("reload refused, the old configuration stays", number)
            assert event["level"] == "error"
            assert wanted in event["message"]
            assert (_answer(daemon, "a@old.example"), _answer(daemon, "a@new.example")) == (250, 550)
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0


def test_systemd_is_told_of_each_turn(tmp_path: Path) -> None:
    """READY=1 once mail is taken, RELOADING=1 and READY=1 around a HUP, STOPPING=1 before the end, WATCHDOG=1 on time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes:
        notes.bind(str(tmp_path / "notify"))
        notes.settimeout(PATIENCE)
        with serving(tmp_path, env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}) as daemon:
            assert _told(notes, "READY=1") == {"READY": "1", "MAINPID": str(daemon.process.pid)}
            _told(notes, "WATCHDOG=1")
            daemon.signal(signal.SIGHUP)
            assert int(_told(notes, "RELOADING=1")["MONOTONIC_USEC"]) > 0
            _told(notes, "READY=1")
            daemon.signal(signal.SIGTERM)
            _told(notes, "STOPPING=1")
            assert daemon.ended() == 0


def _told(notes: socket.socket, wanted: str) -> dict[str, str]:
    """The next note that holds a line."""
    while True:
        lines = notes.recv(1000).decode().splitlines()
        if wanted in lines:
            return dict(line.split("=", 1) for line in lines)


def test_a_socket_that_systemd_opened_is_served(tmp_path: Path) -> None:
    """The listener called smtp comes from systemd: what [smtp] listen says, even a taken port, does not matter."""
    hand_over = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True); os.environ['LISTEN_PID'] = str(os.getpid());"
        " os.execv(sys.executable, [sys.executable, '-m', 'mailbridge', *sys.argv[2:]])"
    )
    with socket.create_server(("127.0.0.1", 0)) as handed, socket.create_server(("127.0.0.1", 0)) as taken:
        port = handed.getsockname()[1]
        arguments = ["--set", f"smtp.listen=127.0.0.1:{taken.getsockname()[1]}", "--set", "http.listen=127.0.0.1:0"]
        log = tmp_path / "serve.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    hand_over,
                    str(handed.fileno()),
                    *arguments,
                    "--set",
                    "practice.listen=127.0.0.1:0",
                    "serve",
                ],
                cwd=tmp_path,
                env=environment(tmp_path, LISTEN_FDS="1", LISTEN_FDNAMES="smtp"),
                stderr=stream,
                pass_fds=[handed.fileno()],
            )
        daemon = Daemon(process=process, log=log, folder=tmp_path)
        try:
            daemon.ready = daemon.until("ready")
            assert daemon.smtp == f"127.0.0.1:{port}"
            assert _answer(daemon, "a@mailbridge.localhost") == 250
        finally:
            process.kill()
            process.wait()


def test_the_banner_prints_what_can_be_typed(tmp_path: Path) -> None:
    """Where mail goes, where codes go, and a command and a curl line that name this very daemon."""
    with serving(tmp_path, env={"MAILBRIDGE_BANNER": "1"}) as daemon:
        text = daemon.text("-T -")
        assert f"mailbridge takes mail on smtp://{daemon.smtp}" in text
        assert f"http://{daemon.http}" in text
        assert "practice receiver on http://127.0.0.1:" in text
        assert re.search(r"^ {6}\S*python\S* -m mailbridge send-test$", text, re.MULTILINE)
        assert (
            f"curl -sv --crlf smtp://{daemon.smtp} --mail-from a@example.com --mail-rcpt codes@mailbridge.localhost -T -" in text
        )


def test_without_a_terminal_there_is_no_banner(tmp_path: Path) -> None:
    """A service's log holds events only, each a JSON object."""
    with serving(tmp_path) as daemon:
        daemon.until("ready")
        lines = daemon.log.read_text().splitlines()
        assert len(lines) == len(daemon.events())


def test_nothing_that_the_daemon_makes_is_for_others(tmp_path: Path) -> None:
    """Database, key, certificate and their folder: 0600 and 0700."""
    with serving(tmp_path) as daemon:
        made = sorted((daemon.folder / ".local/state/mailbridge").iterdir())
        assert {path.name for path in made} >= {"mailbridge.db", "mailbridge.key", "tls-cert.pem", "tls-key.pem"}
        assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
        assert (daemon.folder / ".local/state/mailbridge").stat().st_mode & 0o777 == 0o700


def test_the_log_holds_no_code_and_no_identifier(tmp_path: Path) -> None:
    """A mail's code, subject and identifier are in no line, at the most talkative level; the identifier is a hash."""
    with serving(tmp_path, env={"MAILBRIDGE_LOG__LEVEL": "debug"}) as daemon:
        done = command("send-test", "--smtp", daemon.smtp, "--json", "--for", "quentin@corp.example", cwd=tmp_path)
        assert done.code == 0, done.out
        code = re.search(r"code (\d{6})", done.rows[-1]["text"])
        assert code is not None
        daemon.until("delivery.settled delivered")
        text = daemon.log.read_text()
        assert "identifier" in text
        for secret in (code.group(1), "quentin", "sign-in code"):
            assert secret not in text


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limit of another process from /proc, which only Linux has")
def test_as_many_files_may_be_open_as_strangers_may_open(tmp_path: Path) -> None:
    """Started with the 256 of an old shell, it takes what its limits of connections add up to; where it cannot, it says so."""
    for hard, told in ((20_000, 0), (512, 1)):
        folder = tmp_path / str(hard)
        folder.mkdir()
        with serving(folder, env={"MAILBRIDGE_SMTP__MAX_CONNECTIONS": "1000"}, limits=(256, hard)) as daemon:
            row = next(
                line for line in Path(f"/proc/{daemon.process.pid}/limits").read_text().splitlines() if "open files" in line
            )
            assert int(row.split()[3]) == min(7_256, hard)
            assert daemon.log.read_text().count("can be open at once") == told


@pytest.mark.parametrize("after", range(6))
def test_ctrl_c_during_the_start_is_one_line(after: int, tmp_path: Path) -> None:
    """Wherever in its start it is: a line on standard error and exit 130, or a daemon that stops in order; never a traceback."""
    marks = ("mailbridge.cli", "click", "mailbridge.cli.serve", "mailbridge.app.daemon", "mailbridge.store.sqlite", "uvloop")
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {marks[after]!r}:\n"
        "            sys.meta_path.remove(self)\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from mailbridge.__main__ import main\n"
        "main()\n"
    )
    ports = [f"--set={key}.listen=127.0.0.1:0" for key in ("smtp", "http", "practice")]
    done = subprocess.run(
        [sys.executable, "-c", program, *ports, "serve"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == Exit.INTERRUPTED, done.stderr
    assert done.stderr.strip().count("\n") == 0  # a blank line may stand before it, after the ^C that a terminal shows
