"""`codes`, `totp`, `token` and `skyvern` as people and scripts use them, beside a running daemon."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mailbridge.core.otpauth import read_secrets
from tests.peers.practice import running_practice
from tests.web.daemon import ADMIN, Daemon, Sender, running_daemon

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all of these."""
    with running_daemon(tmp_path_factory.mktemp("daemon")) as one:
        yield one


def send(daemon: Daemon, identifier: str, code: str) -> None:
    """A mail through the listener."""

    async def work() -> None:
        sender = await Sender.connect(daemon.smtp)
        await sender.send(identifier, code)
        await sender.close()

    asyncio.run(work())


def get(daemon: Daemon, path: str, token: str) -> httpx.Response:
    """What the API says to a token."""
    return httpx.get(f"http://{daemon.http}{path}", headers={"Authorization": f"Bearer {token}"}, trust_env=False)


def url_of(daemon: Daemon) -> str:
    """Where the commands find it: its port is not the configured one."""
    return f"http://{daemon.http}"


def test_wait_prints_the_bare_code_when_the_mail_comes(daemon: Daemon) -> None:
    """Nothing but the code and a line end on standard output, exit 0; `waiting` shows the waiter meanwhile."""
    command = [
        sys.executable,
        "-m",
        "mailbridge",
        "codes",
        "wait",
        "--for",
        "ann@corp.com",
        "--timeout",
        "30",
        "--url",
        url_of(daemon),
    ]
    environment = {"MAILBRIDGE_CONFIG": str(daemon.folder / "mailbridge.toml"), "MAILBRIDGE_TOKEN": ADMIN}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as waiting:
        until = time.monotonic() + 20
        while not get(daemon, "/api/v1/waiting", ADMIN).json()["waiting"]:
            assert time.monotonic() < until
            time.sleep(0.02)
        shown = daemon.run("codes", "waiting", "--url", url_of(daemon), MAILBRIDGE_TOKEN=ADMIN).stdout
        assert shown.split("\n")[1].endswith("ann@corp.com")
        send(daemon, "ann@corp.com", "482913")
        assert waiting.communicate(timeout=20)[0] == "482913\n"
    assert waiting.returncode == 0


def test_wait_exits_4_when_nothing_comes(daemon: Daemon) -> None:
    """Standard output is empty, and the reason stands on standard error."""
    done = daemon.run(
        "codes", "wait", "--for", "nobody@corp.com", "--timeout", "0.1", "--url", url_of(daemon), MAILBRIDGE_TOKEN=ADMIN
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "no code for nobody@corp.com" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "code"),
    [
        (("--url", "http://127.0.0.1:9"), {"MAILBRIDGE_TOKEN": "x"}, 69),
        (("--url", "{url}"), {"MAILBRIDGE_TOKEN": "mbt_unknown"}, 77),
        (("--url", "{url}", "--since", "yesterday"), {"MAILBRIDGE_TOKEN": ADMIN}, 2),
        (("--url", "{url}", "--timeout", "-1"), {"MAILBRIDGE_TOKEN": ADMIN}, 2),
    ],
)
def test_wait_says_what_is_wrong(daemon: Daemon, arguments: tuple[str, ...], variables: dict[str, str], code: int) -> None:
    """No daemon is 69, a bad token 77, a bad option 2: a line on standard error, nothing on standard output, no traceback."""
    given = [one.format(url=url_of(daemon)) for one in arguments]
    done = daemon.run("codes", "wait", "--for", "x@corp.com", *given, **variables)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_codes_are_listed_masked_and_the_newest_is_taken(daemon: Daemon) -> None:
    """`list` shows no code unless asked to, `latest` prints it, `given` records that it was read."""
    send(daemon, "lis@corp.com", "571930")
    assert "571930" not in daemon.run("codes", "list", "--for", "lis@corp.com").stdout
    (row,) = map(json.loads, daemon.run("codes", "list", "--for", "lis@corp.com", "--reveal", "--json").stdout.splitlines())
    assert (row["code"], row["identifier"]) == ("571930", "lis@corp.com")
    assert daemon.run("codes", "latest", "--for", "LIS@corp.com").stdout == "571930\n"
    assert daemon.run("codes", "latest", "--for", "no@corp.com").returncode == 4
    given = daemon.run("codes", "given").stdout
    assert "lis@corp.com" in given
    assert "571930" not in given


def test_a_token_is_shown_once_and_opens_its_identifiers_until_it_is_removed(daemon: Daemon) -> None:
    """Standard output holds only the token; the list does not; removed it is worthless."""
    made = daemon.run("token", "new", "--identifier", "tok@corp.com", "--expires", "1h", "--name", "ci")
    text = made.stdout.strip()
    assert text.startswith("mbt_")
    listed = daemon.run("token", "list").stdout
    assert "ci" in listed
    assert text not in listed
    assert get(daemon, "/api/v1/codes?identifier=tok@corp.com", text).status_code == 200
    assert get(daemon, "/api/v1/codes?identifier=ann@corp.com", text).status_code == 403
    (number,) = (
        row["id"] for row in map(json.loads, daemon.run("token", "list", "--json").stdout.splitlines()) if row["name"] == "ci"
    )
    assert daemon.run("token", "remove", str(number)).returncode == 0
    assert daemon.run("token", "remove", str(number)).returncode == 4
    assert get(daemon, "/api/v1/codes?identifier=tok@corp.com", text).status_code == 401


@pytest.mark.parametrize("expires", ["0s", "2001-01-01T00:00:00Z", "soon", "-1d"])
def test_a_token_that_would_be_over_is_not_made(daemon: Daemon, expires: str) -> None:
    """A time that is over, or none, is exit 2."""
    done = daemon.run("token", "new", "--identifier", "a@corp.com", "--expires", expires)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_secret_goes_in_and_only_codes_come_out(daemon: Daemon) -> None:
    """From standard input it is stored, listed without itself, makes the code of now, answers for its identifier, and is erased."""
    added = daemon.run("totp", "add", "acme", "--for", "tot@corp.com", stdin=f"{SECRET.lower()}\n")
    assert added.returncode == 0, added.stderr
    (one,) = read_secrets(SECRET)
    before = one.counter(time.time())
    made = json.loads(daemon.run("totp", "code", "acme", "--json").stdout)
    assert made["code"] in {one.code(counter).reveal() for counter in (before, before + 1)}
    assert 0 <= made["seconds_remaining"] <= 30
    assert "tot@corp.com" in daemon.run("totp", "list").stdout
    waited = daemon.run("codes", "latest", "--for", "tot@corp.com", "--json")
    assert json.loads(waited.stdout)["kind"] == "totp"
    assert daemon.run("totp", "add", "acme", SECRET).returncode == 1
    assert daemon.run("totp", "add", "other", SECRET, "--for", "TOT@corp.com").returncode == 1
    assert daemon.run("totp", "bind", "acme").returncode == 0
    assert daemon.run("codes", "latest", "--for", "tot@corp.com").returncode == 4
    every = added.stdout + added.stderr + daemon.run("totp", "list", "--json").stdout + daemon.log
    assert SECRET not in every.upper()
    assert daemon.run("totp", "remove", "acme").returncode == 0
    assert daemon.run("totp", "code", "acme").returncode == 4


def test_a_bad_secret_is_refused_unseen(daemon: Daemon) -> None:
    """Exit 2 and what is wrong, not the secret."""
    done = daemon.run("totp", "add", "bad", "GEZDGNBV1")
    assert done.returncode == 2
    assert "not Base32" in done.stderr
    assert "GEZDGNBV1" not in done.stderr


def test_a_short_secret_is_stored_with_a_warning(daemon: Daemon) -> None:
    """80 bits, as sites still hand out, make codes."""
    done = daemon.run("totp", "add", "short", "JBSWY3DPEHPK3PXP")
    assert done.returncode == 0
    assert "80 bits" in done.stderr
    assert len(daemon.run("totp", "code", "short").stdout.strip()) == 6


def test_a_qr_code_is_read_from_an_image(daemon: Daemon, tmp_path: Path) -> None:
    """PNG and JPEG, with a transparent ground too; an image without a code, and a file that is no image, are told as that."""
    zxingcpp = pytest.importorskip("zxingcpp", reason='reading QR codes needs the extra: pip install ".[qr]"')
    from PIL import Image

    barcode = zxingcpp.create_barcode(f"otpauth://totp/Acme:ann?secret={SECRET}&digits=8", zxingcpp.BarcodeFormat.QRCode)
    image = Image.fromarray(zxingcpp.write_barcode_to_image(barcode, scale=6))
    for name in ("qr.png", "qr.jpg"):
        image.convert("L").save(tmp_path / name)
        done = daemon.run("totp", "add", name, "--qr", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        assert "8 digits" in done.stdout
    Image.new("L", (100, 100), 255).save(tmp_path / "blank.png")
    (tmp_path / "no.png").write_bytes(b"not an image")
    for name, what in (("blank.png", "no QR code"), ("no.png", "not an image")):
        done = daemon.run("totp", "add", "x", "--qr", str(tmp_path / name))
        assert done.returncode == 2
        assert what in done.stderr


def test_the_totp_url_is_exact_and_a_refused_host_is_told(daemon: Daemon) -> None:
    """What is printed is what polls are answered at, hidden or not; standard error warns of loopback."""
    for options in ((), ("--hidden",)):
        done = daemon.run("skyvern", "url", "--for", "ann+x/y@corp.com", *options, MAILBRIDGE_HTTP__PUBLIC_URL=url_of(daemon))
        address = done.stdout.strip()
        assert httpx.post(address, content=b"{}", trust_env=False).status_code == 401
        assert ("corp.com" in address) == (options == ())
        assert "loopback" in done.stderr
    public = daemon.run("skyvern", "url", "--for", "a@b.c", "--json", MAILBRIDGE_HTTP__PUBLIC_URL="https://192.0.2.7/codes/")
    assert json.loads(public.stdout)["totp_url"] == "https://192.0.2.7/codes/skyvern/totp/a@b.c"


def test_what_needs_a_key_says_so(daemon: Daemon) -> None:
    """Without [skyvern] api_key there is nothing to check: exit 78, and where to put it."""
    done = daemon.run("skyvern", "check")
    assert done.returncode == 78
    assert "api_key" in done.stderr


def test_a_key_that_was_added_is_checked_like_one_of_the_file(tmp_path: Path) -> None:
    """`skyvern check` and `doctor` ask the Skyvern of `setup` with its key, beside the daemon and without one."""
    with running_practice() as skyvern:
        key = tmp_path / "key"
        key.write_text(skyvern.api_key, encoding="utf-8")
        key.chmod(0o600)
        with running_daemon(tmp_path) as daemon:
            words = ("setup", "--yes", "--skyvern", skyvern.base_url, "--key-file", str(key), "--way", "try")
            assert "the key is good" in daemon.run(*words).stdout
            _is_seen(daemon)
        _is_seen(daemon)


def _is_seen(daemon: Daemon) -> None:
    checked = daemon.run("skyvern", "check")
    assert checked.returncode == 0, checked.stderr
    assert "key       good" in checked.stdout
    assert " ✓ skyvern       the key is good" in daemon.run("doctor").stdout


def test_on_its_own_machine_a_wait_needs_no_token(tmp_path: Path) -> None:
    """A token for the one question is put into the database, and is gone afterwards, also when nothing came."""
    with running_daemon(tmp_path, token="") as daemon:
        listening = {"MAILBRIDGE_HTTP__LISTEN": daemon.http}
        send(daemon, "ann@corp.com", "482913")
        assert daemon.run("codes", "wait", "--for", "ann@corp.com", "--timeout", "5", **listening).stdout == "482913\n"
        assert daemon.run("codes", "wait", "--for", "ben@corp.com", "--timeout", "0", **listening).returncode == 4
        assert daemon.run("token", "list").stdout == ""
        remote = daemon.run("codes", "wait", "--for", "ann@corp.com", "--url", f"http://{daemon.http}")
        assert (remote.returncode, remote.stdout) == (2, "")
        assert "--token-file" in remote.stderr
        held = tmp_path / "token"
        held.write_text(daemon.run("token", "new", "--identifier", "ann@corp.com").stdout)
        given = ("--url", f"http://{daemon.http}", "--token-file", str(held))
        assert daemon.run("codes", "wait", "--for", "ann@corp.com", *given).stdout == "482913\n"
