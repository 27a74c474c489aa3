"""What a `[trust]` section may say, and how a mistake in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import Settings


def loaded(folder: Path, text: str, **environ: str) -> Settings:
    """Settings from a file and an environment."""
    path = folder / "mailbridge.toml"
    path.write_text(text)
    return load(path, environ=environ, cwd=folder).settings


def test_trust_of_an_address_is_a_word_or_a_list(tmp_path: Path) -> None:
    """Both forms, beside the default for everything else."""
    settings = loaded(
        tmp_path,
        '[[address]]\nrcpt = "a@b.example"\ntrust = "token"\naccept_from = ["*@c.example"]\n'
        '[[address]]\nrcpt = "d@b.example"\ntrust = ["dkim", "arc"]\n[[address]]\nrcpt = "e@b.example"\n',
    )
    assert [one.trust for one in settings.address] == ["token", ("dkim", "arc"), None]
    assert settings.trust.default == ("dkim", "arc", "forwarder", "token")


def test_the_gate_is_turned_off_by_one_variable(tmp_path: Path) -> None:
    """$MAILBRIDGE_TRUST__DEFAULT=none, as the manual says."""
    assert loaded(tmp_path, "", MAILBRIDGE_TRUST__DEFAULT="none").trust.default == ("none",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('default = ["dkmi"]', "dkmi"),
        ("default = []", "must name a proof"),
        ('default = ["none", "dkim"]', "asks for nothing"),
        ('signers = ["acme.com"]', "acme.com=mailer.example"),
        ('signers = ["acme com=x"]', "acme.com=mailer.example"),
        ('forwarders = ["google com"]', "not a domain"),
        ('authserv_ids = ["a b"]', "not a domain"),
        ('accounts = ["ann"]', "not a mail address"),
        ('accounts = ["*@*"]', "everybody's"),
        ('link_hosts = ["https://a.example/"]', "not a host"),
        ('nameservers = ["dns.example"]', "IP address"),
        ('dns_timeout = "1ms"', "at least 100ms"),
        ("alarm_held = -1", "between 0 and"),
        ('sender = ["*"]', "did you mean senders"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_its_mend(tmp_path: Path, text: str, what: str) -> None:
    """One line for each, which names file, line and key."""
    with pytest.raises(ConfigError) as fault:
        loaded(tmp_path, f"[trust]\n{text}\n")
    (problem,) = fault.value.problems
    assert what in str(problem)
    assert "mailbridge.toml:2" in str(problem)


def test_an_address_with_a_contradiction_is_told(tmp_path: Path) -> None:
    """Also in an address of its own."""
    with pytest.raises(ConfigError, match="asks for nothing"):
        loaded(tmp_path, '[[address]]\nrcpt = "a@b.example"\ntrust = ["none", "arc"]\n')
