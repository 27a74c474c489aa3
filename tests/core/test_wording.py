"""Every wording file proves its own lines, through the extractor that reads them."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core import language as one_language
from mailbridge.core import wording
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.labels import labels
from mailbridge.core.lifetime import stated_lifetime
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import RuleError, load
from mailbridge.core.script import folded
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


def test_a_hundred_languages_and_more_have_a_file() -> None:
    """At least a hundred languages have words and proofs of their own, and each says how somebody is told to enter a code."""
    assert len(PROVED) >= 100
    assert [one.name for one in PROVED if "enter" not in one.proofs] == []


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


@pytest.mark.parametrize("table", ["once", "secret", "subject", "meeting"])
def test_the_other_tables_are_recognised_by_their_proofs(table: str) -> None:
    """Each sentence that proves what is said of a code once, in secret, of the subject, or of a meeting is recognised."""
    words = {"once": RULES.wording.once, "secret": RULES.wording.secret, "subject": RULES.wording.subject_ref}
    kind = words.get(table, RULES.wording.meeting)
    missed = [one.name for one in LANGUAGES if table in one.proofs and not kind.any(folded(one.proofs[table]))]
    assert missed == []


@pytest.mark.parametrize("language", [one for one in LANGUAGES if "hours" in one.proofs], ids=lambda one: one.name)
def test_the_hours_line_states_two_hours(language: wording.Language) -> None:
    """The sentence that proves the words for hours is read as two hours."""
    assert stated_lifetime([language.proofs["hours"]], RULES.wording) == timedelta(hours=2)


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
    assert RULES.wording.act.any(language.proofs["act"].casefold())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1: needs a name"),
        ('name = "X"\n[codes]\nwords = ["a"]', "2: [codes] is unknown"),
        ('name = "X"\n[code]\nwords = [1]', "3: [code] words needs words = a list of words"),
        ('name = "X"\n[code]\nproof = "a"', "2: [code] needs words"),
        ('name = "X"\n[code]\nwords = ["a"]\nword = ["b"]', "4: [code] word is unknown"),
        ('name = "X"\n\n[act]\nwords = ["sign", "sign"]', "4: [act] words 'sign' is there twice"),
        ('name = "X"\n[act]\nwords = ["co*de"]', "3: [act] words 'co*de' has * or ~ where it means nothing"),
        ('name = "X"\n[act]\nwords = ["kod~"]', "3: [act] words 'kod~' has ~, but the file lists no endings"),
        ('name = "X"\n[act]\nwords = ["ab*"]', "3: [act] words 'ab*' has * at fewer than 3 letters"),
        ('name = "X"\n[act]\nwords = ["登录*"]', "3: [act] words '登录*' has * or ~ in a script without blanks"),
        ('name = "X"\n[act]\nwords = ["#"]', "3: [act] words '#' has no letter"),
        ('name = "X"\n[months]\nnames = ["jan"]', "3: [months] names needs twelve entries"),
        ('name = "X"\n[numerals]\n7 = ["seven"]', "3: [numerals] 7 is unknown"),
        ('name = "X"\n[forward]\nfrom = ["Von"]\nsender = ["x"]', "4: [forward] sender is unknown"),
        ('name = "X"\n[code]\nwords = ["a"', "3: "),
        ("name = ", "1: Invalid value"),
    ],
)
def test_a_bad_wording_file_is_named_with_line_key_and_reason(text: str, reason: str) -> None:
    """A mistake in a wording file is one line with file, line, table, key and reason."""
    with pytest.raises(RuleError) as caught:
        load([("x/wording/zz.toml", text)])
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"x/wording/zz.toml:{reason}")


def test_the_quick_reader_reads_what_tomllib_reads() -> None:
    """Every shipped wording file means the same to both."""
    for name, text in SOURCES:
        if "/wording/" in name:
            assert one_language.content_of(text) == tomllib.loads(text)


TECHNICAL = (
    "encoding",
    "decoding",
    "encoder",
    "decoder",
    "encode",
    "decode",
    "barcode",
    "zipcode",
    "zip code",
    "postcode",
    "postal code",
    "tokenizer",
    "tokenise",
    "codified",
    "codify",
    "codeine",
    "codex",
    "codec",
    "coding",
    "coder",
    "codebase",
    "unicode",
    "geocode",
    "bytecode",
    "opcode",
    "keycode",
    "dress code",
    "source code",
    "code review",
    "code of conduct",
    "qr code",
    "area code",
    "error code",
    "status code",
    "exit code",
    "promo code",
    "discount code",
    "coupon code",
    "country code",
    "sort code",
    "diagnostic-code",
    "content-transfer-encoding",
    "pink",
    "pinned",
    "spin",
    "otpauth",
    "skeleton key",
    "kodak",
    "codling",
)


@pytest.mark.parametrize("words", TECHNICAL)
def test_a_technical_word_is_no_label_of_a_code(words: str) -> None:
    """No language's word for a code is found inside words of the trade, nor is a code of something else one."""
    for text in (words, f"{words}: 7382915", words.capitalize(), f"the {words} 7382915"):
        assert not any(label.is_code for label in labels(text, RULES.wording))


@pytest.mark.parametrize("one", PROVED, ids=lambda one: one.name)
def test_no_word_for_something_else_is_a_code_elsewhere(one: wording.Language) -> None:
    """A word by which a language calls other numbers is no label of a code when all languages are read at once."""
    for entry in one.words["other"]:
        text = entry.replace("~", "").strip("*")
        found = labels(text, RULES.wording)
        assert not any(label.is_code and (label.start, label.end) == (0, len(text)) for label in found), entry
