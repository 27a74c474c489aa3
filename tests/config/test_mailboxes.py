"""`[[imap]]` tables: what is taken, and what is refused with the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import ImapSettings
from mailbridge.ingress.imap.oauth import provider_of, sending
from mailbridge.ingress.imap.presets import PRESETS, account_of

GOOD = '[[imap]]\npreset = "gmail"\nusername = "ann@gmail.com"\npassword = "abcd efgh ijkl mnop"\n'


def loaded(tmp_path: Path, text: str) -> tuple[ImapSettings, ...]:
    """The accounts of a configuration."""
    path = tmp_path / "mailbridge.toml"
    path.write_text(text)
    return load(path, environ={}, cwd=tmp_path).settings.imap


def test_a_preset_needs_only_address_and_secret(tmp_path: Path) -> None:
    """Host, port and TLS are known."""
    account = account_of(loaded(tmp_path, GOOD)[0])
    assert (account.host, account.port, account.tls, account.name) == ("imap.gmail.com", 993, "tls", "gmail")
    assert account.mailbox == "ann@gmail.com"


def test_every_preset_of_the_settings_is_known() -> None:
    """And none is missing."""
    annotation = ImapSettings.__annotations__["preset"]
    assert "Preset" in annotation
    from mailbridge.config.settings import Preset

    assert set(PRESETS) == set(Preset.__args__)  # type: ignore[attr-defined]


def test_secrets_may_lie_in_files(tmp_path: Path) -> None:
    """Of the account, and of the application inside oauth."""
    for name in ("pw", "app"):
        (tmp_path / name).write_text(f"secret-{name}\n")
        (tmp_path / name).chmod(0o600)
    text = (
        '[[imap]]\nname = "a"\nhost = "mail.example"\nusername = "ann@corp.example"\npassword_file = "pw"\n'
        '[[imap]]\npreset = "outlook"\nusername = "box@corp.example"\n'
        'oauth = { provider = "microsoft", grant = "client-credentials", client_id = "x", tenant = "t", client_secret_file = "app" }\n'
    )
    first, second = loaded(tmp_path, text)
    assert first.password is not None and first.password.reveal() == "secret-pw"
    assert second.oauth is not None and second.oauth.client_secret is not None
    assert second.oauth.client_secret.reveal() == "secret-app"


CANARY = 'preset = "gmail"\nusername = "ann@gmail.com"\npassword = "x"\n'
MISTAKES = {
    'username = "ann@corp.example"\npassword = "x"': "needs a host",
    'host = "mail.example"\nusername = "ann"\npassword = "x"': "is not a mail address; say with address",
    'host = "mail.example"\nusername = "ann@corp.example"': "needs either password",
    'preset = "outlook"\nusername = "ann@corp.example"\npassword = "x"': "Microsoft takes no passwords",
    'preset = "gmial"\nusername = "ann@corp.example"\npassword = "x"': "preset",
    'preset = "gmail"\nusername = "ann@gmail.com"\npassword = "x"\nafter = "burn"': "must be nothing, seen, delete",
    'preset = "gmail"\nusername = "ann@gmail.com"\npassword = "x"\nafter = "move:INBOX"': "watched itself",
    'preset = "gmail"\nusername = "ann@gmail.com"\npassword = "x"\nfolders = []': "between 1 and 20",
    'preset = "gmail"\nusername = "ann@gmail.com"\npassword = "x"\nrenew = "1h"': "between 5s and 28m",
    'preset = "gmail"\nusername = "ann@gmail.com"\npassword = "x"\nname = "ann@gmail.com"': "must not be an address",
    'preset = "gmail"\nusername = "ann@gmail.com"\noauth = { provider = "google" }': "needs client_id",
    'preset = "gmail"\nusername = "ann@gmail.com"\noauth = { provider = "google", client = "x" }': "did you mean client_id",
    'preset = "gmail"\nusername = "ann@gmail.com"\noauth = { provider = "custom", client_id = "x" }': "token_url and scope",
    'preset = "gmail"\nusername = "ann@gmail.com"\noauth = { provider = "google", client_id = "x", token_url = "http://a.b/" }': "https",
    'preset = "gmail"\nusername = "ann@gmail.com"\npasword = "x"': "did you mean password",
    CANARY + "canary = { evry = '1h' }": "did you mean every",
    CANARY + "canary = { every = '10s' }": "every must be between 1m and 7d",
    CANARY + "canary = { every = '5m', deadline = '5m' }": "less than every",
    CANARY + "canary = { deadline = '1s' }": "at least 5s",
    CANARY + "canary = { smtp = 'smtp.example.com' }": "host:port",
    CANARY + "canary = { smtp = 'smtp.example.com:0' }": "host:port",
    CANARY + "canary = { smtp = 'smtp.example.com:99999' }": "host:port",
    CANARY + "canary = { by = 'append', smtp = 'smtp.example.com:465' }": 'no meaning with by = "append"',
    CANARY + "host = 'imap.zoho.eu'\ncanary = { by = 'smtp' }": "needs the submission server",
    CANARY + "address = 'änn@gmail.com'\ncanary = {}": 'by = "append"',
    'preset = "outlook"\nusername = "ann@corp.com"\ncanary = {}\n'
    'oauth = { provider = "microsoft", client_id = "x", scope = "https://outlook.office.com/IMAP.AccessAsUser.All" }': "SMTP.Send too",
}


@pytest.mark.parametrize("table", MISTAKES)
def test_a_mistake_is_named_with_its_mend(tmp_path: Path, table: str) -> None:
    """Before anything connects anywhere."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"[[imap]]\n{table}\n")
    assert MISTAKES[table] in str(caught.value)


def test_two_accounts_need_two_names(tmp_path: Path) -> None:
    """Health, logs and kept permissions go by the name."""
    with pytest.raises(ConfigError, match=r"is listed twice; the first is at .*toml:1"):
        loaded(tmp_path, GOOD + GOOD)


def test_a_cursor_follows_the_account_and_shows_no_address(tmp_path: Path) -> None:
    """A new name keeps the place in the mailbox, another account or folder has its own."""
    one = account_of(loaded(tmp_path, GOOD)[0])
    renamed = account_of(loaded(tmp_path, GOOD + 'name = "work"\n')[0])
    other = account_of(loaded(tmp_path, GOOD.replace("ann@", "bob@"))[0])
    assert one.cursor_of("INBOX") == renamed.cursor_of("INBOX")
    assert len({one.cursor_of("INBOX"), one.cursor_of("Junk"), other.cursor_of("INBOX")}) == 3
    assert "ann" not in one.cursor_of("INBOX")


WAYS = {
    'preset = "gmail"': ("smtp.gmail.com", 465, False),
    'preset = "icloud"': ("smtp.mail.me.com", 587, True),
    'preset = "proton"': ("127.0.0.1", 1025, True),
    'preset = "zoho"\nhost = "imap.zoho.eu"': None,
    'host = "mail.example"': None,
    'host = "mail.example"\ncanary = { smtp = "mail.example:587" }': ("mail.example", 587, True),
    'host = "mail.example"\ncanary = { smtp = "[::1]:2465", tls = "tls" }': ("::1", 2465, False),
    'preset = "gmail"\ncanary = { by = "append" }': None,
}


@pytest.mark.parametrize("table", WAYS)
def test_a_canary_goes_by_the_known_server_or_else_by_append(tmp_path: Path, table: str) -> None:
    """By the preset's submission server, unless another mailbox server is named, or by the one that is configured; always by TLS."""
    more = "" if "canary" in table else "canary = {}\n"
    server = account_of(
        loaded(tmp_path, f'[[imap]]\n{table}\n{more}username = "ann@corp.example"\npassword = "x"\n')[0]
    ).submission
    assert (server and (server.host, server.port, server.is_starttls)) == WAYS[table]


def test_no_canary_unless_one_is_asked_for(tmp_path: Path) -> None:
    """NoEvents's account sends mail by itself."""
    account = account_of(loaded(tmp_path, GOOD)[0])
    assert (account.canary, account.submission) == (None, None)


@pytest.mark.parametrize(("canary", "is_asked"), [("", False), ("canary = {}", True), ("canary = { by = 'append' }", False)])
def test_microsoft_is_asked_for_the_permission_to_send(tmp_path: Path, canary: str, is_asked: bool) -> None:
    """At the login, where the canary goes by its server, beside the one to read and the refresh token; else not."""
    table = 'preset = "outlook"\nusername = "ann@corp.com"\noauth = { provider = "microsoft", client_id = "x" }\n'
    grant = sending(loaded(tmp_path, f"[[imap]]\n{table}{canary}\n")[0])
    assert grant is not None
    words = provider_of(grant).scope.split()
    assert {word.rpartition("/")[2] for word in words} >= {"IMAP.AccessAsUser.All", "offline_access"}
    assert ("https://outlook.office.com/SMTP.Send" in words) is is_asked
