"""The honest set: genuine mails, forwarded in eleven ways and signed in nineteen, are pushed, or held for a reason that is written down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.honest.judging import EXPLAINED, OURS, SHARED, Summary, differences, judge, read_table, write_table
from tests.honest.originals import CHOSEN, Original, of_ours, of_shared
from tests.honest.shapes import SHAPES
from tests.honest.signings import SIGNINGS

AGAIN = "where that is right: python -m tests.honest --record"


def judged(originals: tuple[Original, ...], file: Path) -> Summary:
    """Judge a set; nothing of it goes astray, and what is held is what was written down."""
    summary = asyncio.run(judge(originals))
    assert summary.wrong == []
    assert list(differences(summary, file)) == [], AGAIN
    pushed, explained, others = summary.figures()
    assert others == 0, f"{pushed} % pushed, {explained} % held as the manual explains, {others} % otherwise"
    return summary


def test_the_projects_own_mails_pass_or_are_held_as_written_down() -> None:
    """Some mails of the museum in every shape, with two ways to sign each: what is held is in the table, and nothing else is."""
    originals = of_ours(ROOT / "tests" / "corpus")
    assert len(originals) >= 12
    assert {one.kind for one in originals} == {"code", "link"}
    summary = judged(originals, OURS)
    assert {shape for shape, _ in summary.seen} == set(SHAPES)
    assert {signing for _, signing in summary.seen} == set(SIGNINGS)


def test_the_honest_set_passes_or_is_held_as_written_down(shared: Path) -> None:
    """Every shape that holds a code and 300 mails of the corpus, in every shape: what is held is in the table, and nothing else is."""
    originals = of_shared(shared)
    assert len(originals) >= CHOSEN + 30
    summary = judged(originals, SHARED)
    assert min(summary.seen[shape, signing] for shape in SHAPES for signing in SIGNINGS) >= 20


def test_mails_to_addresses_that_the_commands_make_all_pass() -> None:
    """Sent on to an address that nobody can guess, as ``address add`` makes it, no mail of the museum is held, however it is signed."""
    summary = asyncio.run(judge(of_ours(ROOT / "tests" / "corpus"), is_added=True))
    assert summary.wrong == []
    assert summary.held == {}
    assert summary.pushed == summary.total >= 500


def test_every_reason_of_the_tables_is_explained_in_the_manual() -> None:
    """Each reason for which an honest mail is held begins as one that docs/trust.md explains, in words that stand there."""
    manual = " ".join((ROOT / "docs" / "trust.md").read_text().split())
    for words in EXPLAINED.values():
        assert words in manual, words
    for file in (OURS, SHARED):
        for _, _, reason in read_table(file)[2]:
            assert any(reason.startswith(beginning) for beginning in EXPLAINED), reason


def test_a_table_tells_what_is_newly_held_and_what_is_held_no_more(tmp_path: Path) -> None:
    """More, fewer and other reasons are told for the same set; for another set, only reasons that were never there."""
    summary = Summary(digest="a", total=9)
    summary.held.update({("s", "d", "dkim: x"): 3, ("t", "d", "arc: y"): 1})
    write_table(summary, tmp_path / "held.toml")
    assert list(differences(summary, tmp_path / "held.toml")) == []
    other = Summary(digest="a", total=9)
    other.held.update({("s", "d", "dkim: x"): 4, ("s", "e", "dkim: x"): 1})
    assert list(differences(other, tmp_path / "held.toml")) == [
        "4 instead of 3 held: s / d / dkim: x",
        "1 instead of 0 held: s / e / dkim: x",
        "0 instead of 1 held: t / d / arc: y",
    ]
    another = Summary(digest="b", total=7)
    another.held.update({("u", "d", "dkim: x"): 5, ("s", "e", "dkim: x"): 1})
    assert list(differences(another, tmp_path / "held.toml")) == ["1 newly held: s / e / dkim: x"]


@pytest.mark.parametrize("name", SIGNINGS)
def test_each_way_to_sign_is_a_signature(name: str) -> None:
    """Each way leaves one DKIM-Signature or two, of what it says, over a mail that is otherwise as it was written."""
    original = of_ours(ROOT / "tests" / "corpus")[0]
    signed = SIGNINGS[name](original, "ann@people.test")
    head = signed.content.partition(b"\r\n\r\n")[0]
    assert head.count(b"DKIM-Signature:") == (2 if name.startswith("mail service") or name == "Ed25519 and RSA" else 1)
    assert signed.content.endswith(original.body)
    assert b"\r\nTo: ann@people.test\r\n" in signed.content
    assert all(record.startswith("v=DKIM1; k=") for _, record in signed.records)
