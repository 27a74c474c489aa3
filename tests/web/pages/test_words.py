"""One catalogue: every word of the page that is not somebody else's stands there, and nothing stands there that no page says."""

from __future__ import annotations

import re
from importlib import resources
from typing import get_args, get_type_hints

import pytest

from mailbridge.core.delivery import State
from mailbridge.core.extraction import Verdict
from mailbridge.intake.judgement import KEYS
from mailbridge.operator.shapes import CauseShape, FindingShape, KnownSenders, RuleShape, Shape
from mailbridge.store.sessions import LoginWay, PageRole
from mailbridge.waiting import Way
from mailbridge.web.pages.rendering import NAV, duration, span
from mailbridge.web.pages.words import TEXTS, counted, text
from tests.conftest import ROOT

PACKAGE = resources.files("mailbridge.web.pages")
OPEN = ("mailbox.mode", "mailbox.step", "setup.ask", "setup.choice", "setup.level")
"""Families whose values come from elsewhere: where the catalogue has no word, the view has another."""

STORE = "".join(one.read_text(encoding="utf-8") for one in (ROOT / "mailbridge" / "store").rglob("*.py"))
WRITTEN = re.compile(r'(?:journal\(connection|tell\(transaction), [\w.]+, "([a-z_]+)"')
"""How an event of its own is written to the journal; the others are words of an operator's deeds."""


def words_of(shape: type[Shape], name: str) -> set[str]:
    """The words that a member of a shape may be."""
    return set(get_args(get_type_hints(shape)[name]))


FAMILIES = {
    "state": {str(one) for one in State} | {"ambiguous", "unreadable"},
    "event": {str(one) for one in State}
    | set(WRITTEN.findall(STORE))
    | {"retry", "released", "replayed", "given", "consumed", "confirmed"},
    "way.verdict": {str(one) for one in Verdict},
    "check": {str(one) for one in KEYS},
    "sender.others": words_of(KnownSenders, "strangers"),
    "level": words_of(FindingShape, "level"),
    "why": words_of(CauseShape, "certainty"),
    "rule.finds": words_of(RuleShape, "finds"),
    "session.way": set(get_args(LoginWay)),
    "waiting.way": set(get_args(Way)),
    "role": set(get_args(PageRole)),
    "nav": {name for name, _, _ in NAV},
}
"""What a template or a view puts behind a key, and every value that it may have."""

SAID = re.compile(r'said="([a-z_.]+)"')
PUT_TOGETHER = re.compile(r'["\']([a-z_.]+\.)(?:["\'] ~|\{)')
UNITS = re.compile(r"\b(?:ms|min|[smhd])\b")


def sources() -> dict[str, str]:
    """Every template, view and script by its name, but for the catalogue itself."""
    found = {}
    for folder in (PACKAGE, PACKAGE / "templates", PACKAGE / "views", PACKAGE / "static"):
        for one in folder.iterdir():
            if one.name.endswith((".py", ".html")) or one.name == "page.js":
                found[f"{folder.name}/{one.name}"] = one.read_text(encoding="utf-8")
    del found["pages/words.py"]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_value_has_its_word(family: str) -> None:
    """Each state, event, verdict, level, certainty, role and way that the program knows; none is shown by its name in the program."""
    assert FAMILIES[family]
    assert [one for one in FAMILIES[family] if f"{family}.{one}" not in TEXTS] == []


def test_every_key_that_is_put_together_is_a_family() -> None:
    """A key that a value completes is one of which all values are checked above."""
    put_together = {key.rstrip(".") for source in sources().values() for key in PUT_TOGETHER.findall(source)}
    assert put_together - set(FAMILIES) - set(OPEN) - {"page"} == set(), "page: the names of the paths"


def test_every_done_deed_has_its_word() -> None:
    """What a view says when something is done."""
    said = {key for source in sources().values() for key in SAID.findall(source)}
    assert said
    assert said - set(TEXTS) == set()


def test_no_text_is_left_over() -> None:
    """Each is named by a template, a view or the script, whole or as one of a family, or of a pair for one and many."""
    whole = "\n".join(sources().values())
    named = set(re.findall(r"""["']([a-z][a-z_0-9. ]*)["']""", whole))
    named |= {f"{family}.{value}" for family, values in FAMILIES.items() for value in values}
    named |= {key for key in TEXTS if key.startswith(tuple(f"{family}." for family in OPEN))}
    paired = {key for key in TEXTS if key.endswith((".one", ".other")) and key.rpartition(".")[0] in named}
    assert sorted(set(TEXTS) - named - paired) == []


def test_no_view_has_a_text_of_its_own() -> None:
    """A fault of the page is worded by the catalogue; those of the verbs come in the program's own words."""
    for name, source in sources().items():
        if name.startswith(("views/", "pages/asking")):
            assert re.findall(r'title=f?"', source) == [], name


def test_durations_are_worded_by_the_catalogue() -> None:
    """Every unit, here and where the script counts down."""
    assert [span(one) for one in (5, 65, 3600, 3660, 86_400, 90_000)] == [
        "5 s",
        "1 min 5 s",
        "1 h",
        "1 h 1 min",
        "1 d",
        "1 d 1 h",
    ]
    assert [duration(one) for one in (0.4, 999, 1500, 61_000)] == ["0 ms", "999 ms", "1.5 s", "1 min 1 s"]
    assert span(float("nan")) == ""
    script = sources()["static/page.js"]
    assert [line for line in re.findall(r"`[^`]*`", script) if UNITS.search(re.sub(r"\$\{[^}]*\}", "", line))] == []


def test_a_text_has_its_values() -> None:
    """One and many are told apart, and what is no key is shown as it is."""
    assert counted("mail.attempts", 1) == "1 attempt"
    assert counted("mail.attempts", 2) == "2 attempts"
    assert text("an event of a newer release") == "an event of a newer release"
