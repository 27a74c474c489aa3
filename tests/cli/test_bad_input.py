"""A set-up that cannot work: one clear line a mistake, all of them at once, exit 78 or 77, and no traceback."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailbridge.cli.exits import Exit
from tests.cli.running import Done, Run, command, serving, without_privilege


def _pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bridge.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(secret)
    return paths


def _rules(folder: Path) -> str:
    (folder / "rules.toml").write_text(
        "[[rule]]\nname = 'a'\npattern = '(?P<code>\\d{4}'\naccepts = [{ text = '1234', value = '1234' }]\n"
        "[[rule]]\nname = 'b'\npattern = 'pass (?P<code>\\d{4})'\naccepts = [{ text = 'pass 1234', value = '1234' }]\n"
        "rejects = ['pass 4321']\n"
    )
    return '[rules]\npaths = ["rules.toml"]\n'


def _missing_rules(folder: Path) -> str:
    return '[rules]\npaths = ["nowhere.toml"]\n'


def _missing_certificate(folder: Path) -> str:
    return '[smtp]\ntls_cert = "no.pem"\ntls_key = "no.key"\n'


def _text_as_certificate(folder: Path) -> str:
    (folder / "c.pem").write_text("hello")
    (folder / "c.key").write_text("hello")
    return '[smtp]\ntls_cert = "c.pem"\ntls_key = "c.key"\n'


def _another_key(folder: Path) -> str:
    _pair(folder, "a")
    _pair(folder, "b")
    return '[smtp]\ntls_cert = "a.pem"\ntls_key = "b.key"\n'


def _bad_url(folder: Path) -> str:
    return '[skyvern]\nbase_url = "https://user:secret@skyvern.example/?a=b"\n'


def _no_key_in_credentials(folder: Path) -> str:
    (folder / "credentials.toml").write_text("[general]\nname = 'x'\n")
    return '[skyvern]\ncredentials_file = "credentials.toml"\n'


def _folder_is_a_file(folder: Path) -> str:
    (folder / "taken").write_text("")
    return f'[store]\nurl = "sqlite:///{folder}/taken/mailbridge.db"\n'


def _key_of_another_length(folder: Path) -> str:
    (folder / "k").write_bytes(b"short")
    (folder / "k").chmod(0o600)
    return f'[store]\nkey_file = "k"\nurl = "sqlite:///{folder}/a.db"\n'


def _open_database_key(folder: Path) -> str:
    (folder / "k").write_bytes(b"k" * 32)
    (folder / "k").chmod(0o644)
    return f'[store]\nkey_file = "k"\nurl = "sqlite:///{folder}/a.db"\n'


def _several(folder: Path) -> str:
    return _rules(folder) + _missing_certificate(folder) + _no_key_in_credentials(folder) + _folder_is_a_file(folder)


CASES: dict[str, tuple[Callable[[Path], str], list[str]]] = {
    "broken rules": (_rules, ["rule 'a'", "rule 'b': rejects[0]"]),
    "missing rules": (_missing_rules, ["nowhere.toml: cannot be read: No such file"]),
    "missing certificate": (_missing_certificate, ["no.pem"]),
    "a certificate that is text": (_text_as_certificate, ["c.pem: not a PEM certificate"]),
    "the key of another certificate": (_another_key, ["a certificate and its own key"]),
    "a base URL with a user": (_bad_url, ["must hold no user"]),
    "credentials without a key": (_no_key_in_credentials, ["credentials.toml: no `cred` in [general]"]),
    "a folder that is a file": (_folder_is_a_file, ["taken is no folder"]),
    "a database key of another length": (_key_of_another_length, ["must hold 32 octets, not 5"]),
    "a database key for everybody": (_open_database_key, ["can be read by others: chmod 600"]),
    "several at once": (_several, ["rule 'a'", "rule 'b'", "no.pem", "credentials.toml", "taken is no folder"]),
}


@pytest.mark.parametrize("case", CASES)
def test_check_config_names_each_mistake(case: str, run: Run, here: Path) -> None:
    """A line for every mistake and no more, exit 78."""
    make, wanted = CASES[case]
    (here / "mailbridge.toml").write_text(make(here))
    done = run("check-config", "--config", "mailbridge.toml")
    _holds(done, Exit.CONFIG, wanted)
    as_rows = run("check-config", "--config", "mailbridge.toml", "--json")
    assert as_rows.code == Exit.CONFIG
    assert [f"mailbridge: {problem}" for problem in as_rows.rows[0]["problems"]] == done.err.splitlines()


def test_serve_names_them_too_and_starts_nothing(tmp_path: Path) -> None:
    """What check-config finds, and the ports that are taken, before anything is made on disk."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [taken.getsockname()[1] for taken in (one, other)]
        text = f'[smtp]\nlisten = ["127.0.0.1:{ports[0]}"]\n[http]\nlisten = "127.0.0.1:{ports[1]}"\n[practice]\nlisten = "127.0.0.1:0"\n{_rules(tmp_path)}'
        (tmp_path / "mailbridge.toml").write_text(text)
        done = command("serve", "--config", "mailbridge.toml", cwd=tmp_path)
    wanted = ["rule 'a'", "rule 'b'", *(f"cannot listen on 127.0.0.1:{port}: another program listens there" for port in ports)]
    _holds(done, Exit.CONFIG, wanted)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", ["folder", "config", "secret", "credentials", "certificate"])
def test_what_this_user_may_not_do_is_exit_77(name: str, tmp_path: Path) -> None:
    """A folder not to be written, a file not to be read: the path, the reason, and 77, where nothing else is wrong."""
    target = tmp_path / "locked"
    text = {
        "folder": f'[store]\nurl = "sqlite:///{target}/mailbridge.db"\n',
        "config": "",
        "secret": '[skyvern]\napi_key_file = "locked"\n',
        "credentials": '[skyvern]\ncredentials_file = "locked"\n',
        "certificate": '[smtp]\ntls_cert = "a.pem"\ntls_key = "locked"\n',
    }[name]
    (tmp_path / "mailbridge.toml").write_text(text)
    if name == "folder":
        target.mkdir(mode=0o500)
    else:
        target.touch()
        target.chmod(0)
    if name == "certificate":
        _pair(tmp_path, "a")
    path = "locked" if name == "config" else "mailbridge.toml"
    done = command("check-config", "--config", path, cwd=tmp_path, preexec_fn=without_privilege)
    _holds(done, Exit.PERMISSION, ["locked"])


def test_a_key_that_systemd_hands_over_need_not_be_readable_in_its_place(tmp_path: Path) -> None:
    """The file names the key's file, which is root's alone, and the unit loads it as a credential: that one is used. Without it, 77."""
    (tmp_path / "locked").touch()
    (tmp_path / "locked").chmod(0)
    (tmp_path / "mailbridge.toml").write_text('[skyvern]\napi_key_file = "locked"\n[trust]\nsenders = ["github.com"]\n')
    (tmp_path / "credentials").mkdir()
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    words = ("check-config", "--config", "mailbridge.toml")
    _holds(command(*words, cwd=tmp_path, env=environ, preexec_fn=without_privilege), Exit.PERMISSION, ["locked"])
    (tmp_path / "credentials" / "skyvern_api_key").write_text("a-key\n")
    done = command(*words, cwd=tmp_path, env=environ, preexec_fn=without_privilege)
    assert (done.code, done.err) == (0, "")


def test_permission_and_a_mistake_together_are_exit_78(tmp_path: Path) -> None:
    """Permission alone would not fix it."""
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "mailbridge.toml").write_text(f'[store]\nurl = "sqlite:///{tmp_path}/locked/a.db"\n{_missing_rules(tmp_path)}')
    done = command("check-config", "--config", "mailbridge.toml", cwd=tmp_path, preexec_fn=without_privilege)
    _holds(done, Exit.CONFIG, ["nowhere.toml", "locked"])


@pytest.mark.parametrize(("name", "wanted"), [("nowhere.toml", "no such file"), (".", "is a folder"), ("bad.toml", "not TOML")])
def test_a_configuration_that_cannot_be_read_stops_every_command(name: str, wanted: str, run: Run, here: Path) -> None:
    """The same line from whatever command."""
    (here / "bad.toml").write_text("[smtp")
    for args in (("check-config",), ("serve",), ("mail", "list"), ("healthcheck",), ("config", "show"), ("send-test",)):
        _holds(run(*args, "--config", name), Exit.CONFIG, [wanted])


def test_a_second_daemon_on_one_database_is_refused(tmp_path: Path) -> None:
    """Its listeners are free, the database is not: one line, exit 78."""
    with serving(tmp_path) as first:
        ports = [f"--set={key}.listen=127.0.0.1:0" for key in ("smtp", "http", "practice")]
        done = command(*ports, "serve", cwd=first.folder)
    _holds(done, Exit.CONFIG, ["another mailbridge uses this database"])


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A damaged or foreign file is named, and what to do with it."""
    (tmp_path / "mailbridge.db").write_bytes(b"hello" * 1000)
    (tmp_path / "mailbridge.key").write_bytes(b"k" * 32)
    (tmp_path / "mailbridge.key").chmod(0o600)
    ports = [f"--set={key}.listen=127.0.0.1:0" for key in ("smtp", "http", "practice")]
    done = command(*ports, "--set", f"store.url=sqlite:///{tmp_path}/mailbridge.db", "serve", cwd=tmp_path)
    _holds(done, Exit.CONFIG, ["not a database; move it away (or restore a backup)"])


def _holds(done: Done, code: int, wanted: list[str]) -> None:
    lines = done.err.splitlines()
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert len(lines) == len(wanted), done.err
    for line, part in zip(lines, wanted, strict=True):
        assert line.startswith("mailbridge: ")
        assert part in line
