"""A list that a language file may leave out helps its language, or does nothing: no language is better without one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Verdict
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import RuleSet, load
from mailbridge.core.text import page_from_html, page_from_plain

SOURCES = dict(rule_sources(RuleSettings()))
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ENGLISH = next(name for name in SOURCES if name.endswith("/wording/en.toml"))
NEEDED = frozenset({"code", "other", "act"})
"""The lists that every file has."""

LISTS = re.compile(r"(?ms)^\[(\w+)\]\n.*?(?=^\[|\Z)")


def message_of(case: dict[str, Any]) -> Message:
    """A case as a mail of its parts."""
    name, _, address = (case.get("from") or "").rpartition("<")
    html = case.get("html")
    return Message(
        subject=case.get("subject") or "",
        sender=address.rstrip(">"),
        sender_name=name.strip(),
        plain=page_from_plain(case["text"]) if case.get("text") else None,
        html_body=Body(lambda: page_from_html(html)) if html else None,
    )


def right(cases: list[dict[str, Any]], mails: list[Message], rules: RuleSet) -> int:
    """How many mails come out right: the code of those that have one, and nothing of the others."""
    found = 0
    for case, mail in zip(cases, mails, strict=True):
        extraction = extract(mail, rules=rules, now=NOW, default_lifetime=timedelta(minutes=10))
        if case["kind"] == "code":
            value = extraction.value.reveal() if extraction.verdict is Verdict.CODE and extraction.value is not None else ""
            found += _bare(value) in {_bare(one) for one in (case["expected"], *(case.get("accept") or ()))}
        else:
            found += not extraction.verdict.is_pushed
    return found


def _bare(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


def test_no_language_is_better_without_an_optional_list(shared: Path) -> None:
    """Without any one of its optional lists a language has as many mails right as with it, or fewer."""
    lines = (shared / "corpus" / "fresh" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    by_language: dict[str, list[dict[str, Any]]] = {}
    for case in map(json.loads, lines):
        by_language.setdefault(case["lang"].partition("-")[0], []).append(case)
    better = []
    for language, cases in by_language.items():
        origin = ENGLISH.replace("/en.toml", f"/{language}.toml")
        if origin not in SOURCES:
            continue
        text = SOURCES[origin]
        mails = [message_of(case) for case in cases]
        whole = right(cases, mails, load([(ENGLISH, SOURCES[ENGLISH]), (origin, text)]))
        for match in LISTS.finditer(text):
            if match[1] in NEEDED:
                continue
            without = text[: match.start()] + text[match.end() :]
            count = right(cases, mails, load([(ENGLISH, SOURCES[ENGLISH]), (origin, without)]))
            if count > whole:
                better.append(f"{language} without [{match[1]}]: {count} of {len(cases)} right, with it {whole}")
    assert not better, "\n".join(better)


@pytest.mark.parametrize("kind", ["enter", "idiom", "expiry", "minutes", "hours"])
def test_the_lists_that_may_be_left_out_are_optional(kind: str) -> None:
    """A language file without the list loads."""
    text = next(match.group() for match in LISTS.finditer(SOURCES[ENGLISH]) if match[1] == kind)
    assert load([(ENGLISH, SOURCES[ENGLISH].replace(text, ""))]).wording is not None
