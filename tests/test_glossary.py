"""One word for one thing: the glossary is whole, retired words stay away, and help fits a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mailbridge import log_events
from mailbridge.cli import cli

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
COLUMNS = 80

RETIRED = {
    r"(?i)haunt": "mark_uncertain",
    r"\bowed\b": "pending_actions",
    r"(?i)\b_?heed(s|ed|ing)?\b": "report_alert",
    r"(?i)\b_?hush": "drain",
    r"(?i)forsak": "on_abandoned",
    r"\bTalk\b": "LogFormatter",
    r"\bGuide\b": "ParserConfig",
    r"\bclass Post\b|\bPost\(": "ListenerContext",
    r"(?i)\bcrews?\b": "sender pool",
    r"(?i)\bvitals\b": "mailbox status",
    r"\bPatience\b": "backoff",
    r"(?i)\b_?mend(s|ed|ing|able)?\b": "fix, hint, repair",
    r"(?i)\bdialled\b": "tel_suffix",
    r"(?i)six of them": "six_digits",
    r"(?i)set (large|apart)": "emphasised",
    r"(?i)\brehears": "warm-up",
    r"\bOutward\b": "PublicOnlyBackend",
    r"\bTurns\b": "FairLimiter",
    r"\b_Verdict\b": "GateResult",
    r"\bTokenGate\b|auth\.Gate\b": "TokenAuth",
    r"\bis_only_held\b": "is_awaiting_request",
    r"\btoken_address\b": "unguessable_address",
    r"mailbridge_(tls_expiry_seconds|mailbox_last_roundtrip_seconds|mailbox_canary_age_seconds)": "timestamps",
    r"mailbridge_alarm\{target": "mailbridge_alarm{kind,name}",
}
"""Words that a reader had to guess, each with the plain one. The changelog may name them: it says what was renamed."""

TABLE = re.compile(r"(?i)\b(FROM|INTO|TABLE|ON) owed\b")
"""The table of release 0.1 keeps its name: a migration that has run is never changed."""


def _texts() -> Iterator[Path]:
    yield ROOT / "README.md"
    for folder, pattern in (("docs", "*.md"), ("config", "*"), ("mailbridge", "*.py"), ("mailbridge", "*.sql")):
        yield from (path for path in sorted((ROOT / folder).rglob(pattern)) if path.is_file())


def _commands(group: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            if found is not None:
                yield from _commands(found, *names, name)


COMMANDS = sorted(_commands(cli))


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_word_stays_away(word: str) -> None:
    """Neither in the code, nor in the pages, nor in the configuration's manual."""
    pattern = re.compile(word)
    found = [
        f"{path.relative_to(ROOT)}:{number}: say {RETIRED[word]}"
        for path in _texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(TABLE.sub("", line))
    ]
    assert found == []


@pytest.mark.parametrize("names", COMMANDS, ids=lambda names: " ".join(names) or "mailbridge")
def test_help_is_plain_and_fits_a_terminal(names: tuple[str, ...]) -> None:
    """No line is longer than 80 columns, no sentence is cut, and no retired word is in it."""
    shown = CliRunner().invoke(cli, [*names, "--help"], terminal_width=COLUMNS, max_content_width=COLUMNS)
    assert shown.exit_code == 0
    assert [line for line in shown.output.splitlines() if len(line) > COLUMNS] == []
    assert [line for line in shown.output.splitlines() if line.endswith("...") and not line.startswith("Usage")] == []
    assert [word for word in RETIRED if re.search(word, shown.output)] == []


def test_each_word_stands_once_with_one_meaning() -> None:
    """Thirty words and more, none of them twice."""
    words = re.findall(r"^\| \*([a-z ]+)\* \| (.+) \|$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(words) >= 30
    assert len({word for word, _ in words}) == len(words)


def test_the_events_of_the_glossary_exist() -> None:
    """Somebody who groups by them finds them."""
    table = GLOSSARY.read_text(encoding="utf-8").partition("## Events in the log")[2]
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`(?=[,` |])", table))
    assert named
    assert named <= {value for name, value in vars(log_events).items() if name.isupper()}
