"""The public suffix list's own tests (CC0): what somebody can register, and what nobody can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mailbridge.core.url import ascii_host
from mailbridge.trust.suffixes import registrable
from tests.suites.outcome import Outcome, found

SOURCE = "the package publicsuffixlist, which mailbridge depends on"
CASE = re.compile(r"^checkPublicSuffix\((null|'[^']*'), (null|'[^']*')\);", re.MULTILINE)


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Every case, in the letters of DNS. It opens where two different owners would be one: a longer suffix is taken for a domain, or a domain cut short."""
    text = found(folder, "test_psl.txt", SOURCE).read_text(encoding="utf-8")
    for host, wanted in CASE.findall(text):
        if host == "null":
            continue
        name, right = host.strip("'"), ascii_host(wanted.strip("'"))
        got = registrable(name) or "null"
        yield Outcome(
            name=name, wanted=(right,), got=got, is_pass=got != "null", may_pass=right != "null" and got.endswith(right)
        )
