"""`sender`, `mail release --allow` and `address add --site`: whose mails are known, said by command."""

from __future__ import annotations

from typing import Any

import pytest

Run = Any
ANN = "ann@corp.example"


def test_a_sender_is_allowed_listed_and_taken_back(run: Run) -> None:
    """For all, or for an identifier; each stands by itself, and what is not there cannot be removed (exit 4)."""
    assert run("sender", "allow", "Acme.example").out == "acme.example is allowed\n"
    assert run("sender", "allow", "acme.example", "--for", ANN).out == f"acme.example for {ANN} is allowed\n"
    assert run("sender", "forbid", "m@evil.example").out == "m@evil.example is forbidden\n"
    rows = run("sender", "list", "--json").rows
    assert [(row["sender"], row["identifiers"], row["allow"]) for row in rows] == [
        ("acme.example", ["*"], True),
        ("acme.example", [ANN], True),
        ("m@evil.example", ["*"], False),
    ]
    assert "[[sender]]" in run("config", "export").out
    assert run("sender", "allow", "acme.example").code == 1
    assert run("sender", "remove", "acme.example", "--for", ANN).code == 0
    assert run("sender", "remove", "acme.example", "--for", ANN).code == 4
    assert len(run("sender", "list", "--json").rows) == 2


@pytest.mark.parametrize("sender", ["github", "a b", "https://acme.example/x"])
def test_what_is_no_sender_is_refused(run: Run, sender: str) -> None:
    """With what it must be, and nothing is kept."""
    done = run("sender", "allow", sender)
    assert done.code == 78, done.err
    assert "must be a domain such as github.com, or an address" in done.err
    assert run("sender", "list", "--json").rows == []


@pytest.mark.parametrize(
    ("line", "is_good"),
    [
        ('senders = ["github.com"]', True),
        ('senders = ["@github.com", "*@*.github.com", "noreply@github.com", "*"]', True),
        ('senders = ["github"]', False),
        ('senders = ["git hub.com"]', False),
        ('senders = ["https://github.com"]', False),
        ('senders = [""]', False),
        ('sites = ["facebook.com=facebookmail.com"]', True),
        ('sites = ["facebook.com"]', False),
        ('sites = ["facebook.com=*"]', False),
        ('strangers = "none"', False),
    ],
)
def test_the_configuration_refuses_nonsense_with_its_line(run: Run, here: Any, line: str, is_good: bool) -> None:
    """A bare domain is a sender; what is none is refused where it stands."""
    file = here / "mailbridge.toml"
    file.write_text(f"[trust]\n{line}\n")
    done = run("check-config", "--config", str(file))
    assert (done.code == 0) is is_good, done.err
    assert is_good or "mailbridge.toml:2" in done.err


def test_an_address_is_added_for_a_site(run: Run) -> None:
    """It is kept with the address, and a site that is none is refused."""
    done = run("address", "add", "--for", ANN, "--rcpt", "otp@bridge.example", "--site", "github.com", "--json")
    assert done.rows == [{"rcpt": "otp@bridge.example", "identifier": ANN, "site": ["github.com"]}]
    assert run("address", "add", "--rcpt", "otp2@bridge.example", "--site", "git hub").code == 78
