"""Every wording file proves its own lines, through the extractor that reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core import wording
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.lifetime import stated_lifetime
from mailbridge.core.mail import Message
from mailbridge.core.rules import RuleError, load
from mailbridge.core.text import page_from_plain

SOURCES = list(rule_sources(RuleSettings()))
RULES = load(SOURCES)
LANGUAGES = [wording.read_language(name, text) for name, text in SOURCES if "/wording/" in name]
PROVED = [language for language in LANGUAGES if language.proofs]


def extracted(text: str) -> Extraction:
    """What a mail of this text alone holds."""
    message = Message(plain=page_from_plain(text))
    return extract(message, rules=RULES, now=datetime(2026, 1, 1, tzinfo=UTC), default_lifetime=timedelta(minutes=10))


def test_forty_languages_and_more_have_a_file() -> None:
    """At least forty languages have words and proofs of their own."""
    assert len(PROVED) >= 40


@pytest.mark.parametrize("language", PROVED, ids=lambda one: one.name)
def test_the_code_line_finds_the_code(language: wording.Language) -> None:
    """The sentence that proves a language's words for a code is a mail whose code is found."""
    found = extracted(language.proofs["code"])
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, "482913")


@pytest.mark.parametrize("language", PROVED, ids=lambda one: one.name)
def test_the_other_line_pushes_nothing(language: wording.Language) -> None:
    """The sentence that proves what other numbers are called is a mail of which nothing is pushed."""
    assert not extracted(language.proofs["other"]).verdict.is_pushed


@pytest.mark.parametrize("language", PROVED, ids=lambda one: one.name)
def test_the_expiry_line_states_ten_minutes(language: wording.Language) -> None:
    """The sentence that proves the words of expiry is read as ten minutes."""
    assert stated_lifetime([language.proofs["expiry"]], RULES.wording) == timedelta(minutes=10)


@pytest.mark.parametrize("language", PROVED, ids=lambda one: one.name)
def test_the_act_line_invites(language: wording.Language) -> None:
    """The sentence that proves what a link invites to is recognised."""
    assert RULES.wording.act.search(language.proofs["act"].casefold())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("code = 1", "needs a name"),
        ('name = "X"\n[codes]\nwords = ["a"]', "[codes] is unknown"),
        ('name = "X"\n[code]\nwords = [1]', "[code] needs words"),
        ("name = ", "Invalid value"),
    ],
)
def test_a_bad_wording_file_is_named_with_its_reason(text: str, reason: str) -> None:
    """A mistake in a wording file is one line with file and reason."""
    with pytest.raises(RuleError) as caught:
        load([("x/wording/zz.toml", text)])
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("x/wording/zz.toml: ")
    assert reason in caught.value.problems[0]
