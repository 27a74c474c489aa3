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
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import RuleError, load
from mailbridge.core.text import page_from_html, page_from_plain

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOURCES = list(rule_sources(RuleSettings()))
RULES = load(SOURCES)
LANGUAGES = [wording.read_language(name, text) for name, text in SOURCES if "/wording/" in name]
PROVED = [language for language in LANGUAGES if language.proofs]


def extracted(text: str) -> Extraction:
    """What a mail of this text alone holds."""
    message = Message(plain=page_from_plain(text))
    return extract(message, rules=RULES, now=NOW, default_lifetime=timedelta(minutes=10))


def test_forty_languages_and_more_have_a_file() -> None:
    """At least forty languages have words and proofs of their own."""
    assert len(PROVED) >= 40


@pytest.mark.parametrize("language", PROVED, ids=lambda one: one.name)
def test_the_code_line_finds_the_code(language: wording.Language) -> None:
    """The sentence that proves a language's words for a code is a mail whose code is found."""
    found = extracted(language.proofs["code"])
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, "482913")


@pytest.mark.parametrize("language", PROVED, ids=lambda one: one.name)
def test_the_code_line_finds_the_code_in_every_presentation(language: wording.Language) -> None:
    """The same words give the code in the subject alone, grouped, above it, behind it, and for other shapes of code."""
    proof = language.proofs["code"]
    label = proof.replace("482913", "").strip(" :.=")
    for mail, value in (
        (Message(subject=proof), "482913"),
        (Message(subject=proof, plain=page_from_plain("Harbour\n\n12 Quay Street")), "482913"),
        (Message(plain=page_from_plain(proof.replace("482913", "482 913"))), "482913"),
        (Message(plain=page_from_plain(f"{label}\n\n482913\n")), "482913"),
        (Message(plain=page_from_plain(f"482913 - {label}")), "482913"),
        (Message(plain=page_from_plain(proof.replace("482913", "4829"))), "4829"),
        (Message(plain=page_from_plain(proof.replace("482913", "7K4Q9X"))), "7K4Q9X"),
    ):
        found = extract(mail, rules=RULES, now=NOW, default_lifetime=timedelta(minutes=10))
        assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, value)


@pytest.mark.parametrize("language", PROVED, ids=lambda one: one.name)
def test_the_code_is_told_from_the_other_number(language: wording.Language) -> None:
    """Of two lines, one naming a code and one naming something else, the code is found, in either order."""
    code, other = language.proofs["code"], language.proofs["other"].replace("482913", "771204")
    for text in (f"{code}\n{other}", f"{other}\n{code}"):
        found = extracted(text)
        assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, "482913")


@pytest.mark.parametrize("language", [one for one in LANGUAGES if "enter" in one.proofs], ids=lambda one: one.name)
def test_the_enter_line_finds_the_code(language: wording.Language) -> None:
    """The sentence that proves the words of entering is a mail whose code is found, though nothing in it is called one."""
    found = extracted(language.proofs["enter"])
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, "482913")


@pytest.mark.parametrize("language", [one for one in LANGUAGES if "idiom" in one.proofs], ids=lambda one: one.name)
def test_the_idiom_line_names_nothing_else(language: wording.Language) -> None:
    """The sentence that proves the idioms is a mail whose code is found, though a word for something else stands in it."""
    found = extracted(language.proofs["idiom"])
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, "482913")


def test_structure_carries_a_language_without_a_file() -> None:
    """With the words of English alone, nine in ten mails of all other languages whose code stands by itself are still read."""
    only_english = load([(name, text) for name, text in SOURCES if name.endswith("/en.toml")])
    found = []
    for language in PROVED:
        label = language.proofs["code"].replace("482913", "").strip(" :.=")
        html = f"<p>{label}</p><p style='font-size:28px'>482913</p><p>{language.proofs['expiry']}</p>"
        mail = Message(html_body=Body(lambda html=html: page_from_html(html)))  # type: ignore[misc]
        found.append(extract(mail, rules=only_english, now=NOW, default_lifetime=timedelta(minutes=10)).verdict is Verdict.CODE)
    assert sum(found) >= 0.9 * len(found)


@pytest.mark.parametrize("language", PROVED, ids=lambda one: one.name)
def test_the_other_line_pushes_nothing(language: wording.Language) -> None:
    """The sentence that proves what other numbers are called is a mail of which nothing is pushed, nor with the number below."""
    proof = language.proofs["other"]
    assert not extracted(proof).verdict.is_pushed
    assert not extracted(proof.replace("482913", "").strip(" :.=") + "\n\n482913\n").verdict.is_pushed


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
