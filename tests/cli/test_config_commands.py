"""`config show`, `config schema`, `check-config`, `address new`, `version`, `completion`: what needs no daemon."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from mailbridge import __version__
from mailbridge.cli import COMMANDS
from mailbridge.config.values import STRANGERS, strangers_meaning
from mailbridge.core.recipients import Recipients
from tests.cli.running import Run, command


def test_config_show_masks_secrets_and_names_origins(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value with where it came from; no secret in text or JSON, nor one of a [[target]]."""
    (here / "mailbridge.toml").write_text('[skyvern]\napi_key = "sk-secret-1"\n[[target]]\nname = "b"\napi_key = "sk-secret-2"\n')
    monkeypatch.setenv("MAILBRIDGE_LOG__LEVEL", "debug")
    monkeypatch.setenv("MAILBRIDGE_PORT", "tcp://10.0.0.1:25")
    text = run("--set", "smtp.max_per_ip=3", "config", "show", "--config", "mailbridge.toml")
    rows = run("--set", "smtp.max_per_ip=3", "config", "show", "--config", "mailbridge.toml", "--json")
    assert text.code == rows.code == 0
    assert "sk-secret" not in text.out + rows.out
    shown = {line.split()[0]: line for line in text.out.splitlines() if " = " in line}
    assert shown["api_key"].split() == ["api_key", "=", '"***"'] or "***" in shown["api_key"]
    assert shown["level"].endswith("# $MAILBRIDGE_LOG__LEVEL")
    assert shown["max_per_ip"].endswith("# --set smtp.max_per_ip")
    assert shown["max_size"].endswith("# default")
    (row,) = rows.rows
    assert row["settings"]["skyvern"]["api_key"] == row["settings"]["target"][0]["api_key"] == "***"
    assert row["settings"]["rules"]["lifetime"] == "10m"
    assert row["origins"]["skyvern.api_key"] == "mailbridge.toml:2"
    assert row["ignored"] == ["MAILBRIDGE_PORT"]


def test_config_schema_is_json(run: Run) -> None:
    """One JSON document."""
    assert json.loads(run("config", "schema").out)["additionalProperties"] is False


def test_check_config_says_that_all_is_well(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0, a line, an object; what becomes of strangers' mails; it makes nothing; a variable that is not ours is noted."""
    monkeypatch.setenv("MAILBRIDGE_SERVICE_HOST", "10.0.0.1")
    done = run("check-config")
    meaning = strangers_meaning("codes", is_practice=True)
    assert (done.code, done.out) == (0, f"configuration is good\n{meaning}\n")
    assert "$MAILBRIDGE_SERVICE_HOST is not one of ours" in done.err
    assert "no Skyvern key is configured" in done.err
    (row,) = run("check-config", "--json").rows
    assert row.pop("warnings")[0].startswith("practice: no Skyvern key")
    ignored = ["MAILBRIDGE_SERVICE_HOST"]
    assert row == {"ok": True, "problems": [], "ignored": ignored, "strangers": meaning, "practice": True}
    monkeypatch.setenv("SKYVERN_API_KEY", "a-key")
    monkeypatch.setenv("MAILBRIDGE_TRUST__STRANGERS", "hold")
    assert run("check-config").out.endswith(f'strangers = "hold": {STRANGERS["hold"]}\n')
    assert list(here.iterdir()) == []


def test_a_new_address_is_unguessable_and_can_be_pasted(run: Run, here: Path) -> None:
    """Two are different; the lines on stderr are TOML that accepts the address for the identifier."""
    one = run("address", "new", "--domain", "bridge.example", "--for", 'o"neil@corp.example')
    other = run("address", "new", "--domain", "bridge.example")
    rcpt = one.out.strip()
    assert rcpt != other.out.strip()
    assert rcpt.endswith("@bridge.example")
    (entry,) = tomllib.loads(one.err)["address"]
    assert entry == {"rcpt": rcpt, "identifier": 'o"neil@corp.example'}
    accepted = Recipients(addresses=[(entry["rcpt"], entry["identifier"])]).accept(rcpt)
    assert accepted is not None
    assert accepted.is_token
    row = run("address", "new", "--json", "--for", "ann@corp.example").rows[0]
    assert row["identifier"] == "ann@corp.example"
    assert row["rcpt"].endswith("@mailbridge.localhost")


def test_a_new_address_needs_a_domain(run: Run) -> None:
    """What is no domain is exit 2."""
    assert run("address", "new", "--domain", "not a domain").code == 2
    assert run("--set", "domains.accept=", "address", "new").code == 2


def test_version_names_what_bug_reports_need(run: Run) -> None:
    """mailbridge, Python, SQLite; as JSON too; --version for those who try that first."""
    assert run("version").out.startswith(f"mailbridge {__version__}, Python 3.")
    assert set(run("version", "--json").rows[0]) == {"mailbridge", "python", "sqlite"}
    assert run("--version").out == f"mailbridge, version {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, run: Run) -> None:
    """For the shell that was asked for, with our name in it."""
    done = run("completion", shell)
    assert done.code == 0
    assert "_MAILBRIDGE_COMPLETE" in done.out


def test_completion_completes(tmp_path: Path) -> None:
    """What the script asks the program: commands, their subcommands and options."""
    for words, wanted in (
        ("mailbridge ser", "plain,serve"),
        ("mailbridge mail l", "plain,list"),
        ("mailbridge demo --o", "plain,--once"),
    ):
        env = {"_MAILBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        assert command(cwd=tmp_path, env=env).out.splitlines() == [wanted]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, run: Run) -> None:
    """--help and -h print a usage line and a sentence, exit 0; the list of commands has each."""
    done = run(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: mailbridge {name}")
    assert name in run("-h").out
