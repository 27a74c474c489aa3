"""Where settings come from, in which order, and what is said of every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.config.load import Loaded, load
from mailbridge.config.places import find
from mailbridge.config.problems import ConfigError
from mailbridge.core.secret import Secret


def _load(
    folder: Path, text: str | None = None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None
) -> Loaded:
    path = None
    if text is not None:
        path = folder / "mailbridge.toml"
        path.write_text(text, encoding="utf-8")
    return load(path, environ={"HOME": str(folder), **(environ or {})}, overrides=overrides, cwd=folder)


def _problems(
    folder: Path, text: str | None = None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(folder, text, environ, overrides)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def _secret(folder: Path, text: str = "key-from-file\n", mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_it_runs_without_a_file(tmp_path: Path) -> None:
    """No file and no variable: the defaults, listening on loopback only."""
    loaded = _load(tmp_path)
    assert loaded.path is None
    assert loaded.origins == {}
    assert loaded.settings.smtp.listen == ("127.0.0.1:2525",)
    assert loaded.settings.http.listen == "127.0.0.1:8025"


def test_command_line_before_environment_before_file_before_default(tmp_path: Path) -> None:
    """Each level wins over the next, and the origin of a value says which it was."""
    text = '[smtp]\nmax_recipients = 7\nmax_per_ip = 8\nmax_connections = 9\n[log]\nlevel = "error"\n'
    environ = {"MAILBRIDGE_SMTP__MAX_RECIPIENTS": "17", "MAILBRIDGE_SMTP__MAX_PER_IP": "18"}
    loaded = _load(tmp_path, text, environ, {"smtp.max_recipients": "27"})
    smtp = loaded.settings.smtp
    assert (smtp.max_recipients, smtp.max_per_ip, smtp.max_connections) == (27, 18, 9)
    assert loaded.origins["smtp.max_recipients"] == "--set smtp.max_recipients"
    assert loaded.origins["smtp.max_per_ip"] == "$MAILBRIDGE_SMTP__MAX_PER_IP"
    assert loaded.origins["smtp.max_connections"] == f"{tmp_path}/mailbridge.toml:4"
    assert "smtp.max_size" not in loaded.origins


def test_the_file_is_searched_for_in_order(tmp_path: Path) -> None:
    """--config, $MAILBRIDGE_CONFIG, ./config, $XDG_CONFIG_HOME: the first that is there."""
    named, by_variable, local, home = (
        tmp_path / name for name in ("a.toml", "b.toml", "config/mailbridge.toml", "xdg/mailbridge/mailbridge.toml")
    )
    for path in (named, by_variable, local, home):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    environ = {"MAILBRIDGE_CONFIG": str(by_variable), "XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": "/nowhere"}
    assert find(named, environ=environ, cwd=tmp_path) == named
    assert find(None, environ=environ, cwd=tmp_path) == by_variable
    del environ["MAILBRIDGE_CONFIG"]
    assert find(None, environ=environ, cwd=tmp_path) == local
    local.unlink()
    assert find(None, environ=environ, cwd=tmp_path) == home
    home.rename(home.with_name("other.toml"))
    assert find(None, environ=environ, cwd=tmp_path) in (None, Path("/etc/mailbridge/mailbridge.toml"))


def test_home_stands_in_for_xdg(tmp_path: Path) -> None:
    """Without XDG_CONFIG_HOME it is ~/.config."""
    path = tmp_path / ".config/mailbridge/mailbridge.toml"
    path.parent.mkdir(parents=True)
    path.touch()
    assert find(None, environ={"HOME": str(tmp_path)}, cwd=tmp_path) == path


def test_the_environment_says_everything_that_the_file_can(tmp_path: Path) -> None:
    """Lists by comma or as TOML, numbers, booleans, durations, sizes, and both tables."""
    loaded = _load(
        tmp_path,
        environ={
            "MAILBRIDGE_DOMAINS__ACCEPT": "a.example, b.example",
            "MAILBRIDGE_IDENTITY__KNOWN": '["*@a.example", "ann@b.example"]',
            "MAILBRIDGE_SMTP__TLS": "false",
            "MAILBRIDGE_SMTP__MAX_SIZE": "1MiB",
            "MAILBRIDGE_SKYVERN__TIMEOUT": "1m30s",
            "MAILBRIDGE_ADDRESS": '[{rcpt = "x@a.example", identifier = "ann@b.example"}]',
            "MAILBRIDGE_TARGET": '[{name = "other", api_key = "k", identifiers = ["*@o.example"]}]',
        },
    ).settings
    assert loaded.domains.accept == ("a.example", "b.example")
    assert loaded.identity.known == ("*@a.example", "ann@b.example")
    assert loaded.smtp.tls is False
    assert loaded.smtp.max_size == 1_048_576
    assert loaded.skyvern.timeout == timedelta(seconds=90)
    assert [(one.rcpt, one.identifier) for one in loaded.address] == [("x@a.example", "ann@b.example")]
    assert [(one.name, one.api_key) for one in loaded.target] == [("other", Secret("k"))]


@pytest.mark.parametrize("name", ["file", "variable", "command line", "systemd"])
def test_a_secret_can_stand_in_a_file(name: str, tmp_path: Path) -> None:
    """api_key_file, $…__API_KEY_FILE, --set …_file and $CREDENTIALS_DIRECTORY: the file's text without its line end."""
    path = _secret(tmp_path)
    match name:
        case "file":
            loaded = _load(tmp_path, '[skyvern]\napi_key_file = "key"\n')
        case "variable":
            loaded = _load(tmp_path, environ={"MAILBRIDGE_SKYVERN__API_KEY_FILE": str(path)})
        case "command line":
            loaded = _load(tmp_path, overrides={"skyvern.api_key_file": str(path)})
        case _:
            path.rename(tmp_path / "skyvern_api_key")
            loaded = _load(tmp_path, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.settings.skyvern.api_key == Secret("key-from-file")
    assert "key-from-file" not in repr(loaded)


def test_skyverns_own_variables_work(tmp_path: Path) -> None:
    """SKYVERN_API_KEY and SKYVERN_BASE_URL are taken; ours go before them; an empty one is none."""
    bare = {"SKYVERN_API_KEY": "bare", "SKYVERN_BASE_URL": "http://skyvern:8000"}
    loaded = _load(tmp_path, environ=bare)
    assert loaded.settings.skyvern.api_key == Secret("bare")
    assert loaded.settings.skyvern.base_url == "http://skyvern:8000"
    assert loaded.origins["skyvern.api_key"] == "$SKYVERN_API_KEY"
    assert _load(tmp_path, environ={**bare, "MAILBRIDGE_SKYVERN__API_KEY": "ours"}).settings.skyvern.api_key == Secret("ours")
    assert _load(tmp_path, environ={"SKYVERN_API_KEY": ""}).settings.skyvern.api_key is None


def test_variables_that_are_not_ours_are_let_be(tmp_path: Path) -> None:
    """What Kubernetes sets for a service called mailbridge stops nothing, and is named for those who ask."""
    environ = {"MAILBRIDGE_PORT": "tcp://10.0.0.1:25", "MAILBRIDGE_SERVICE_HOST": "10.0.0.1", "MAILBRIDGE_PORT_25_TCP_ADDR": "x"}
    assert _load(tmp_path, environ=environ).ignored == tuple(sorted(environ))


def test_files_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    """A configuration can be moved as a whole."""
    loaded = _load(tmp_path, '[rules]\npaths = ["rules.d"]\n[store]\nkey_file = "keys/a.key"\n')
    assert loaded.settings.rules.paths == (tmp_path / "rules.d",)
    assert loaded.settings.store.key_file == tmp_path / "keys/a.key"


BAD_FILES = {
    "unknown key": ("[smtp]\nlisen = []\n", ["mailbridge.toml:2: [smtp] lisen: unknown key; did you mean listen?"]),
    "unknown section": ("[skyven]\n", ["mailbridge.toml:1: skyven: unknown section; did you mean skyvern?"]),
    "unknown key of a table": (
        '[[address]]\nrcpt = "a@b.example"\nidentifer = "x"\n',
        ["mailbridge.toml:1: [[address]] identifer: unknown key; did you mean identifier?"],
    ),
    "a key that a table needs": (
        '[[address]]\nidentifier = "x"\n',
        ["mailbridge.toml:1: [[address]] needs rcpt"],
    ),
    "a section that is none": ("smtp = 1\n", ["mailbridge.toml:1: smtp must be a section: [smtp]"]),
    "a table that is none": (
        "[address]\nrcpt = 'a@b.example'\n",
        ["mailbridge.toml:1: address must be a list of tables: [[address]]"],
    ),
    "a choice": ('[log]\nlevel = "loud"\n', ["mailbridge.toml:2: [log] level: must be one of debug, info, warning, error"]),
    "a duration": (
        '[skyvern]\ntimeout = "soon"\n',
        ["mailbridge.toml:2: [skyvern] timeout: must be a duration such as 10m, 90s or 500ms"],
    ),
    "a number": ('[smtp]\nmax_recipients = "many"\n', ["mailbridge.toml:2: [smtp] max_recipients: must be a whole number"]),
    "a secret twice": (
        '[skyvern]\napi_key = "a"\napi_key_file = "key"\n',
        ["mailbridge.toml:3: [skyvern] api_key_file: api_key is there too; keep one"],
    ),
    "half a certificate": (
        '[smtp]\ntls_cert = "c.pem"\n',
        ["mailbridge.toml: [smtp] tls_key: a certificate needs its key and a key its certificate; name both, or neither"],
    ),
    "one port twice": (
        '[smtp]\nlisten = ["127.0.0.1:8025"]\n',
        ["mailbridge.toml:2: [smtp] listen: 127.0.0.1:8025 is used twice; every listener needs a port of its own"],
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_mistake_is_a_line_with_its_place(case: str, tmp_path: Path) -> None:
    """File, line, key, what is wrong, and what would be right."""
    text, wanted = BAD_FILES[case]
    _secret(tmp_path)
    assert _problems(tmp_path, text) == wanted


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """A file with five mistakes and an environment with one give six lines."""
    text = '[smtp]\nlisen = []\nmax_size = "big"\n[skyven]\n[log]\nlevel = "loud"\n[domains]\naccept = ["no domain"]\n'
    told = _problems(tmp_path, text, {"MAILBRIDGE_PARSER__WORKERS": "99"})
    assert len(told) == 6
    assert all(any(word in line for line in told) for word in ("lisen", "max_size", "skyven", "level", "no domain", "workers"))


BAD_VARIABLES = {
    "MAILBRIDGE_SMTP_LISTEN": "did you mean MAILBRIDGE_SMTP__LISTEN?",
    "MAILBRIDGE_SMPT__LISTEN": "did you mean MAILBRIDGE_SMTP__LISTEN?",
    "MAILBRIDGE_SMTP__LISEN": "did you mean listen?",
    "MAILBRIDGE_SMTP__TLS": "[smtp] tls: must be true or false",
    "MAILBRIDGE_ADDRESS": "address: not a TOML value",
    "MAILBRIDGE_SKYVERN__API_KEY_FILE": "cannot be read: No such file or directory",
}


@pytest.mark.parametrize("name", BAD_VARIABLES)
def test_a_variable_that_is_nearly_ours_is_a_mistake(name: str, tmp_path: Path) -> None:
    """A misspelt variable is refused with the name that was meant: it would else be believed and not obeyed."""
    told = _problems(tmp_path, environ={name: "perhaps"})
    assert all(line.startswith(f"${name}") for line in told)
    assert BAD_VARIABLES[name] in told[0]


def test_a_secret_is_refused_on_the_command_line(tmp_path: Path) -> None:
    """Everybody on the machine can read a command line; the message does not repeat the secret."""
    told = _problems(tmp_path, overrides={"skyvern.api_key": "sk-123456"})
    assert "can be read by everybody" in told[0]
    assert "sk-123456" not in told[0]


@pytest.mark.parametrize("key", ['"sk-123456"', "'sk-123456'", "x-api-key: sk-123456", "sk-1234\n56", "sk-123456\u200b"])
def test_a_key_that_was_badly_copied_is_found_at_once(key: str, tmp_path: Path) -> None:
    """Quotes, the header's name, a line end or an invisible character: said at the start, not by Skyvern's 403; never repeated."""
    told = _problems(tmp_path, environ={"SKYVERN_API_KEY": key})
    assert told == [
        "$SKYVERN_API_KEY: [skyvern] api_key: must be the bare key: one word, without quotes and without `x-api-key:` before it"
    ]
    assert _load(tmp_path, environ={"SKYVERN_API_KEY": " eyJhbGciOiJIUzI1NiJ9.e30._x-y=\n"}).settings.skyvern.api_key is not None


BAD_SECRETS = {
    "open": ("text", 0o644, "can be read by others: chmod 600"),
    "empty": ("\n", 0o600, "is empty"),
    "binary": ("\udcff", 0o600, "is not text"),
}


@pytest.mark.parametrize("case", BAD_SECRETS)
def test_a_secret_file_must_be_private_and_hold_something(case: str, tmp_path: Path) -> None:
    """A file that others can read, that is empty or that is no text is refused, without a word of what is in it."""
    text, mode, wanted = BAD_SECRETS[case]
    path = tmp_path / "key"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(mode)
    told = _problems(tmp_path, '[skyvern]\napi_key_file = "key"\n')
    assert wanted in told[0]


@pytest.mark.parametrize(
    ("content", "wanted"), [(b"[smtp\n", "not TOML"), (b"\xff", "is not UTF-8 text"), (b"a = 1\na = 2\n", "not TOML")]
)
def test_a_broken_file_is_one_line(content: bytes, wanted: str, tmp_path: Path) -> None:
    """Neither TOML nor UTF-8: said at once, with the file's name."""
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, environ={}, cwd=tmp_path)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(f"{path}: ")
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "variable", "expected"), [('"none"', "none", "none"), ('["dkim", "arc"]', "dkim, arc", ("dkim", "arc"))]
)
def test_trust_is_one_word_or_a_list(tmp_path: Path, text: str, variable: str, expected: object) -> None:
    """The proofs that are asked for may be one word or a list, in the file; in the environment words with commas."""
    path = tmp_path / "mailbridge.toml"
    path.write_text(f"[trust]\ndefault = {text}\n", encoding="utf-8")
    assert load(path, environ={}, cwd=tmp_path).settings.trust.default == expected
    found = load(None, environ={"MAILBRIDGE_TRUST__DEFAULT": variable}, cwd=tmp_path).settings.trust.default
    assert found in (expected, (expected,))


def test_a_file_that_sets_nothing_hides_no_other(tmp_path: Path) -> None:
    """The manual of a checkout is passed over for the user's own file; once it sets something, it counts."""
    here, own = tmp_path / "config" / "mailbridge.toml", tmp_path / "xdg" / "mailbridge" / "mailbridge.toml"
    for path in (here, own):
        path.parent.mkdir(parents=True)
    here.write_text("[smtp]\nmax_recipients = 100\n")
    own.write_text("[smtp]\nmax_recipients = 7\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": "/nowhere"}
    assert load(None, environ=environ, cwd=tmp_path).path == own
    here.write_text("[smtp]\nmax_recipients = 8\n")
    assert load(None, environ=environ, cwd=tmp_path).path == here
    here.write_text("[smtp]\nmax_recipients = many\n")
    with pytest.raises(ConfigError, match="not TOML"):
        load(None, environ=environ, cwd=tmp_path)


def test_the_database_lies_in_the_first_state_folder_that_fits(tmp_path: Path) -> None:
    """./state with a database, systemd's folder, XDG_STATE_HOME if it is absolute, ~/.local/state; a setting comes before all."""

    def place(**environ: str) -> str:
        return load(None, environ={"HOME": "/home/ann", **environ}, cwd=tmp_path).settings.store.url

    assert place() == "sqlite:////home/ann/.local/state/mailbridge/mailbridge.db"
    assert place(XDG_STATE_HOME="relative") == place()
    assert place(XDG_STATE_HOME="/x") == "sqlite:////x/mailbridge/mailbridge.db"
    assert place(XDG_STATE_HOME="/x", STATE_DIRECTORY="/var/lib/mailbridge") == "sqlite:////var/lib/mailbridge/mailbridge.db"
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "mailbridge.db").touch()
    assert place(XDG_STATE_HOME="/x", STATE_DIRECTORY="/y") == f"sqlite:///{tmp_path}/state/mailbridge.db"
    assert place(MAILBRIDGE_STORE__URL="sqlite:///here.db") == "sqlite:///here.db"
