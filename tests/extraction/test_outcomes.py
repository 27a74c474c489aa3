"""A model is worth shipping only if it takes away false pushes and loses no code, beyond what chance over products gives."""

from __future__ import annotations

import pytest

from tests.extraction.outcomes import Outcome, as_ranker, as_veto, counts, differences, is_win, of_engine
from tests.extraction.table import Candidate, Row


def row(product: str, kind: str, judgement: str, *right: bool, verdict: str = "code") -> Row:
    """A mail with a candidate for each of ``right``, best first, as the engine judges it."""
    candidates = tuple(Candidate(names=frozenset(), score=9.0 - n, veto=None, is_right=one) for n, one in enumerate(right))
    return Row(
        key=product,
        group="g",
        product=product,
        medium="email",
        kind=kind,
        lang="en",
        judgement=judgement,
        verdict=verdict,
        is_code=verdict == "code",
        confidence=0.9,
        candidates=candidates,
    )


ROWS = [
    row("a", "code", "right", True, False),
    row("b", "code", "missed", True, verdict="none"),
    row("c", "none", "pushed", False),
    row("d", "none", "quiet", verdict="none"),
    row("e", "magic_link", "right", False, verdict="link"),
]


@pytest.mark.parametrize(
    ("sure", "expected"),
    [
        ([[0.9, 0.2], [0.9], [0.1], [], [0.1]], ["right", "right", "quiet", "quiet", "right"]),
        ([[0.9, 0.8], [0.1], [0.9], [], [0.1]], ["missed", "missed", "pushed", "quiet", "right"]),
        ([[0.2, 0.9], [0.1], [0.1], [], [0.9]], ["wrong", "missed", "quiet", "quiet", "pushed"]),
    ],
    ids=["right", "two are likely", "another is likely"],
)
def test_a_ranker_pushes_the_only_likely_candidate(sure: list[list[float]], expected: list[str]) -> None:
    """The candidate over the bar is pushed, none where two are; a link that the engine pushes stays where no code is."""
    assert [one.judgement for one in as_ranker(ROWS, sure, 0.5)] == expected


def test_a_veto_only_holds() -> None:
    """What the engine pushes is held under the bar; what it holds stays held, and links are not asked about."""
    found = as_veto(ROWS, [[0.1, 0.9], [0.9], [0.1], [], [0.0]], 0.5)
    assert [one.judgement for one in found] == ["missed", "missed", "quiet", "quiet", "right"]


def test_outcomes_are_counted() -> None:
    """Codes right, wrong and all; mails that hold none, pushed and all."""
    assert counts(of_engine(ROWS)) == (1, 0, 2, 1, 2)


def outcomes(judgements: dict[str, tuple[str, str]], *, is_after: bool) -> list[Outcome]:
    """One mail of each product, before or after."""
    return [
        Outcome(product, "none" if pair[0] in ("pushed", "quiet") else "code", pair[is_after])
        for product, pair in judgements.items()
    ]


@pytest.mark.parametrize(
    ("judgements", "is_better"),
    [
        ({f"n{n}": ("pushed", "quiet") for n in range(20)} | {"c": ("right", "right")}, True),
        ({f"n{n}": ("pushed", "quiet") for n in range(20)} | {f"c{n}": ("right", "missed") for n in range(5)}, False),
        ({"n": ("pushed", "quiet")} | {f"q{n}": ("quiet", "quiet") for n in range(40)}, False),
        ({f"n{n}": ("pushed", "pushed") for n in range(20)}, False),
    ],
    ids=["false pushes go", "codes are lost", "one product alone", "nothing changes"],
)
def test_a_win_is_more_than_chance(judgements: dict[str, tuple[str, str]], is_better: bool) -> None:
    """One product that gets better is no win: with other products it might not have been among them."""
    before, after = outcomes(judgements, is_after=False), outcomes(judgements, is_after=True)
    assert is_win(before, after) is is_better


def test_an_interval_holds_what_was_seen() -> None:
    """The interval lies around the difference that was counted."""
    judgements = {f"n{n}": ("pushed", "quiet") if n % 2 else ("quiet", "quiet") for n in range(40)}
    _, (low, high) = differences(outcomes(judgements, is_after=False), outcomes(judgements, is_after=True))
    assert low < -20 < high < 0
