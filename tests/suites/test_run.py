"""The runner of public suites: what it calls open, what it takes for explained, and what it says where a suite is not there."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from tests.suites import run
from tests.suites.outcome import Missing, Outcome
from tests.suites.run import Report, explained, first

SPF = """\
description: one scenario
tests:
  good:
    helo: mail.a.example
    host: 192.0.2.1
    mailfrom: x@a.example
    result: pass
  aliased:
    helo: b.example
    host: 192.0.2.1
    mailfrom: ""
    result: [pass, neutral]
  silent:
    helo: mail.c.example
    host: 192.0.2.1
    mailfrom: x@c.example
    result: temperror
  ptr-match-target:
    helo: mail.d.example
    host: 192.0.2.1
    mailfrom: x@d.example
    result: pass
zonedata:
  a.example:
    - SPF: v=spf1 ip4:192.0.2.1 -all
  b.example:
    - CNAME: a.example
  c.example:
    - TIMEOUT
  d.example:
    - TXT: v=spf1 ptr -all
    - SPF: v=spf1 -all
"""


def test_a_suite_is_found_wherever_it_lies(tmp_path: Path) -> None:
    """The first folder that has a suite counts; where none has, it is told what is missing and where it can be had."""
    inner = tmp_path / "deep" / "er"
    inner.mkdir(parents=True)
    (inner / "rfc7208-tests.yml").write_text(SPF)
    report = first("openspf", (tmp_path / "none", tmp_path))
    assert isinstance(report, Report)
    assert (report.count, report.opening) == (4, ())
    assert report.closing == {"ptr-match-target"}
    assert "3 of 4" in str(report)
    missing = first("valimail", (tmp_path,))
    assert isinstance(missing, Missing)
    assert "arc_test_suite" in str(missing)
    assert isinstance(first("openspf", ()), Missing)


def test_the_public_suffix_list_is_at_hand() -> None:
    """Its tests come with a package that mailbridge depends on, and all of them hold."""
    report = run.run("suffixes", Path(str(files("publicsuffixlist"))))
    assert report.count > 70
    assert report.faults == ()


def test_what_a_report_calls_a_fault() -> None:
    """A case that opens, one that fails unexplained, and one that is explained and does not fail."""
    report = Report(name="x", count=9, opening=("a",), closing=frozenset({"b", "c"}), explained=frozenset({"c", "d"}))
    assert report.faults == (
        "x: a opens",
        "x: b fails, and explained.toml does not say why",
        "x: d is explained, and does not fail",
    )


def test_what_opens() -> None:
    """Only to believe what nobody should is open; to say no in another way than the suite is not."""
    for got, is_pass, wanted, opens, is_right in (
        ("pass", True, ("fail",), True, False),
        ("pass", True, ("pass",), False, True),
        ("permerror", False, ("pass",), False, False),
        ("neutral", False, ("pass", "neutral"), False, True),
    ):
        one = Outcome(name="x", wanted=wanted, got=got, is_pass=is_pass, may_pass="pass" in wanted)
        assert (one.opens, one.is_right) == (opens, is_right)


def test_every_explanation_is_of_a_suite() -> None:
    """The table names suites that there are, and gives a reason for every case."""
    assert explained().keys() <= run.SUITES.keys()
