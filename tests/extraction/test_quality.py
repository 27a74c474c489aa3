"""The table of `make quality` counts what it says, and needs the folder of mails only to be filled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extraction import quality
from tests.extraction.cases import Answer, Case, NoSharedError, answers, load_cases, shared_folder
from tests.extraction.quality import EACH_LANGUAGE, Measure, changes, counted, is_missed, kept


def judged(key: str, kind: str, judgement: str, group: str = "fresh", lang: str = "en") -> tuple[Case, Answer]:
    """A case with its answer."""
    case = Case(group=group, key=key, content=b"", raw={"kind": kind, "class": "email", "lang": lang, "expected": "1"})
    return case, Answer(judgement=judgement, verdict="code", value="1", confidence=1.0, reason="")


FOUND = [
    judged("a", "code", "right"),
    judged("b", "code", "missed"),
    judged("c", "code", "wrong", lang="de"),
    judged("d", "none", "pushed", lang="de"),
    judged("e", "none", "quiet"),
    judged("f", "magic_link", "quiet"),
    judged("g", "magic_link", "right"),
]


@pytest.mark.parametrize(
    ("kind", "judgement", "share"),
    [("code", "right", (1, 3)), ("code", "wrong", (1, 3)), ("none", "pushed", (1, 2)), ("magic_link", "right", (1, 1))],
)
def test_a_row_counts_its_own_cases(kind: str, judgement: str, share: tuple[int, int]) -> None:
    """Each judgement is a share of the cases of its kind; links that may be held are left out."""
    assert counted(Measure("", "fresh", "email", kind, judgement), FOUND) == share
    assert counted(Measure("", "corpus", "email", kind, judgement), FOUND) == (0, 0)


@pytest.mark.parametrize(
    ("judgement", "bar", "part", "is_bad"),
    [("right", 95.0, 95, False), ("right", 95.0, 94, True), ("pushed", 1.0, 1, False), ("pushed", 1.0, 2, True)],
)
def test_a_bar_is_a_floor_for_what_is_right_and_a_ceiling_for_the_rest(
    judgement: str, bar: float, part: int, is_bad: bool
) -> None:
    """The share of 100 is compared with the bar from the side that is bad."""
    assert is_missed(Measure("", "fresh", "email", "code", judgement, bar), part, 100) is is_bad


def test_a_weak_language_is_named() -> None:
    """Languages under the bar are counted and come first."""
    lines, missed = quality.by_language(FOUND)
    assert missed == 2
    assert lines[0].split()[0] == "de"
    assert EACH_LANGUAGE == 90.0


def test_what_has_changed_is_told_with_its_direction() -> None:
    """A case that is judged otherwise than before is shown as gain or loss; others are not."""
    before = {key: dict(row) for key, row in kept(FOUND).items()}
    before["fresh/b"]["judgement"] = "right"
    before["fresh/e"]["judgement"] = "pushed"
    told = changes(FOUND, {key: {name: str(value) for name, value in row.items()} for key, row in before.items()})
    assert [line.split(":")[0] for line in told] == ["+ fresh/e", "- fresh/b"]


def test_without_the_mails_the_command_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A project that was cloned alone has nothing to measure with: that is no failure."""
    monkeypatch.setenv("MAILBRIDGE_SHARED", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["quality"])
    assert quality.main() == 0
    assert str(tmp_path) in capsys.readouterr().err


def test_answers_come_in_the_order_of_the_cases() -> None:
    """Work that is shared between processes comes back in order, and every set has cases."""
    try:
        folder = shared_folder()
    except NoSharedError as missing:
        pytest.skip(str(missing))
    cases = load_cases(folder, ("handout mails", "handout"))
    assert {case.group for case in cases} == {"handout mails", "handout"}
    found = answers(folder, cases)
    alone = answers(folder, cases, workers=1)
    assert found == alone
