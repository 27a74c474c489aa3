"""What people add by command becomes tables of the settings, or a message that says which of two places to give up."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest

from mailbridge.config.added import Added, as_toml, merged
from mailbridge.config.problems import ConfigError
from mailbridge.config.rulepack import own_rules
from mailbridge.config.settings import AddressSettings, Settings
from mailbridge.core.rules import load
from mailbridge.core.secret import Secret

AT = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
BASE = Settings(address=(AddressSettings(rcpt="a@b.example"),))
BOX = {"name": "box", "preset": "gmail", "username": "ann@gmail.com"}


def added(kind: str, name: str, values: dict[str, Any], **secrets: str) -> Added:
    """One table that somebody added."""
    kept = {key.replace("__", "."): Secret(value) for key, value in secrets.items()}
    return Added(kind=kind, name=name, values=values, secrets=kept, at=AT, by="ann")


def mistakes(*tables: Added) -> list[str]:
    """What is said against them."""
    with pytest.raises(ConfigError) as caught:
        merged(BASE, tables)
    return [str(problem) for problem in caught.value.problems]


def test_what_was_added_stands_behind_what_the_file_holds() -> None:
    """Tables in the order of their adding; secrets are put back where they belong, also inside a table."""
    oauth = {"provider": "google", "client_id": "x"}
    whole = merged(
        BASE,
        (
            added("address", "c@b.example", {"rcpt": "c@b.example", "identifier": "ann@corp.example", "trust": ["dkim", "arc"]}),
            added("imap", "box", BOX, password="abcd"),
            added("imap", "two", {**BOX, "name": "two", "oauth": oauth}, oauth__client_secret="hidden"),
        ),
    )
    assert [one.rcpt for one in whole.address] == ["a@b.example", "c@b.example"]
    assert whole.address[1].trust == ("dkim", "arc")
    first, second = whole.imap
    assert first.password is not None
    assert first.password.reveal() == "abcd"
    assert second.oauth is not None
    assert second.oauth.client_secret is not None
    assert second.oauth.client_secret.reveal() == "hidden"
    assert merged(BASE, ()) == BASE


def test_what_stands_in_the_file_as_well_is_a_mistake_with_the_mend() -> None:
    """Whichever came second; the same spelling or not."""
    (only,) = mistakes(added("address", "A@B.example", {"rcpt": "A@B.example"}))
    assert only == (
        "address A@B.example (added by ann, 2026-11-28 12:30Z): stands in the configuration's file as well; keep one:"
        " `mailbridge address remove A@B.example`"
    )


def test_a_mistake_names_who_added_it_and_when() -> None:
    """As in a file: unknown keys, what is missing, and what cannot be."""
    assert mistakes(added("address", "x", {"rcpt": "nobody"}))[0].startswith(
        "address x (added by ann, 2026-11-28 12:30Z): [[address]] rcpt"
    )
    assert "did you mean identifier?" in mistakes(added("address", "x@b.example", {"rcpt": "x@b.example", "identifer": "y"}))[0]
    assert "needs username" in mistakes(added("imap", "box", {"preset": "gmail"}))[0]


def test_the_export_is_the_file_that_would_say_the_same() -> None:
    """TOML that reads back to the values; of a secret only the key is told."""
    tables = (
        added("address", "c@b.example", {"rcpt": "c@b.example", "accept_from": ['"odd" <x@y.example>', "\u00fc@y.example"]}),
        added("imap", "box", {**BOX, "canary": {"every": "1h"}}, password="hidden-secret"),
    )
    text = as_toml(tables)
    read = tomllib.loads(text)
    assert read["address"] == [dict(tables[0].values)]
    assert read["imap"] == [dict(tables[1].values)]
    assert "hidden-secret" not in text
    assert 'password_file = "…"' in text


def test_a_rule_that_was_added_is_the_table_of_a_file_of_rules() -> None:
    """Its texts may have several lines and any letters; the export reads back to it, and it stands before the files of rules."""
    table = {
        "name": "acme",
        "from": ["*@acme.example"],
        "pattern": "gate:\\s*(?P<code>\\d{4})",
        "accepts": [{"text": "gate:\n4821 \U0001f511\x7f", "value": "4821"}],
        "rejects": ["dock 4821"],
    }
    whole = merged(BASE, (added("rule", "acme", table),))
    assert tomllib.loads(as_toml((added("rule", "acme", table),)))["rule"] == [table]
    assert [tomllib.loads(text)["rule"] for _, text in own_rules(whole)] == [[table]]
    assert load(list(own_rules(whole))).rules[0].name == "acme"
    with pytest.raises(ConfigError, match="rule remove acme"):
        merged(whole, (added("rule", "acme", table),))
