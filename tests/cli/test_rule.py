"""`rule add` and `rule remove`: a rule in the store, said by command, is one that the daemon and every command use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Run = Any

RULE = """[[rule]]
name = "gate"
pattern = 'gate (?P<code>\\d{4})'
accepts = [{ text = 'gate 1234', value = '1234' }]
rejects = ["dock 1234"]
"""
MAIL = "From: a@dock.example\r\nSubject: hello\r\n\r\nyour gate 4711 is open\r\n"


def _written(folder: Path, text: str) -> str:
    path = folder / "rule.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_rule_is_added_replaced_and_removed(run: Run, tmp_path: Path) -> None:
    """It is listed first with who added it, is tried by its name, and counts among the examples; removed, it is gone (exit 4)."""
    before = run("rule", "test", "--json").rows[0]["rules"]
    mail = tmp_path / "mail.eml"
    mail.write_text(MAIL, newline="")
    assert run("rule", "add", _written(tmp_path, RULE)).out == "rule gate is in force\n"
    first = run("rule", "list", "--json").rows[0]
    assert first["name"] == "gate"
    assert "by" in first["file"]
    assert run("rule", "test", "--json").rows[0]["rules"] == before + 1
    assert run("rule", "try", "gate", str(mail), "--json").rows[0]["found"] == "4711"
    exported = run("config", "export").out
    assert "[[rule]]" in exported
    assert "gate 1234" in exported
    again = run("rule", "add", _written(tmp_path, RULE.replace("{4}", "{4,5}")))
    assert again.code == 1
    assert "is there already" in again.err
    replaced = run("rule", "add", "--replace", _written(tmp_path, RULE.replace("{4}", "{4,5}")), "--json")
    assert replaced.rows == [{"added": "gate"}]
    assert run("rule", "list", "--json").rows[0]["pattern"] == "gate (?P<code>\\d{4,5})"
    assert run("rule", "remove", "gate").out == "rule gate is removed\n"
    assert run("rule", "remove", "gate").code == 4
    assert run("rule", "list", "--json").rows[0]["name"] != "gate"


def test_what_is_exported_is_a_configuration(run: Run, tmp_path: Path, here: Path) -> None:
    """`config export` prints the rule as a table that a file may hold, and it is read there as it was."""
    run("rule", "add", _written(tmp_path, RULE))
    exported = run("config", "export").out
    run("rule", "remove", "gate")
    (here / "mailbridge.toml").write_text(exported)
    found = run("rule", "list", "--config", str(here / "mailbridge.toml"), "--json").rows[0]
    assert (found["name"], found["pattern"]) == ("gate", "gate (?P<code>\\d{4})")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (RULE.replace("gate 1234", "gate 12"), "accepts[0] does not match"),
        (RULE.replace("dock 1234", "gate 1234"), "rejects[0] matches"),
        (RULE.replace("(?P<code>", "(?=x)(?P<code>"), "re2 refuses it"),
        (RULE.replace('"gate"', '"a\\nb"'), "printable"),
        (RULE + "source = 1979-05-27\n", "source must be a text"),
        (RULE + "version = 99999999999999999999999\n", "version must be"),
        (RULE * 2, "the name is used twice"),
        (RULE + RULE.replace("gate", "other"), "more than one [[rule]]"),
        ("x = 1\n", "unknown"),
    ],
)
def test_what_is_no_rule_is_refused(run: Run, tmp_path: Path, wrong: str, said: str) -> None:
    """Exit 78 with the mistake, and nothing is kept; the same in JSON."""
    done = run("rule", "add", _written(tmp_path, wrong), "--json")
    assert done.code == 78, done.err
    assert any(said in json.loads(line).get("error", "") for line in done.err.splitlines()), done.err
    assert all(row["name"] not in ("gate", "other") for row in run("rule", "list", "--json").rows)
