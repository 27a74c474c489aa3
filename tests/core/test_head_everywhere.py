"""Every raw mail at hand, read beside a lenient reader of heads: what that finds, the parser finds too."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from mailbridge.core.parse import parse
from tests.conftest import ROOT

MOST_MISSED = 1
"""Headers in a hundred mails that may be missed: of heads that are cut since no honest one is so long."""


def lenient(content: bytes) -> dict[str, str]:
    """The headers of a mail as a forgiving program splits them: up to the first empty line, each line with a colon is one."""
    text = re.sub(rb"\A(?:\xef\xbb\xbf|\r?\n(?=[!-9;-~]+:))+", b"", content)
    head = re.split(rb"\r?\n\r?\n", text, maxsplit=1)[0].decode("utf-8", "replace")
    found: dict[str, str] = {}
    for line in re.sub(r"\r?\n[ \t]+", " ", head).splitlines():
        name, colon, value = line.partition(":")
        if colon and value.strip():
            found.setdefault(name.strip().lower(), value.strip())
    return found


def compared(paths: list[Path]) -> list[str]:
    """The mails of which From or Subject are found by the lenient reader alone."""
    missed = []
    for path in paths:
        content = path.read_bytes()
        wanted, message = lenient(content), parse(content)
        missed += [f"{path.name}: {name}" for name in ("from", "subject") if name in wanted and not message.header(name)]
    return missed


def test_no_header_is_lost_in_the_shapes_and_the_handout(shared: Path) -> None:
    """The shared mails, among them those with broken heads."""
    paths = [*(shared / "eml").glob("*.eml"), *(shared / "handout").glob("*.eml")]
    assert len(paths) > 40
    assert compared(paths) == []


def test_no_header_is_lost_in_the_fuzzers_mails() -> None:
    """The project's own odd mails."""
    paths = [
        path for path in (ROOT / "tests" / "fuzz" / "seeds").glob("*.eml") if path.stem not in ("huge_header", "bare_lf_header")
    ]
    assert len(paths) > 50
    assert compared(paths) == []


def test_no_header_is_lost_in_pythons_own_mails() -> None:
    """What the standard library tests its parser with."""
    spec = importlib.util.find_spec("test.test_email")
    if spec is None or spec.origin is None:
        pytest.skip("this Python comes without its tests: get one that has them (python3-test, or a build from source)")
    paths = [path for path in (Path(spec.origin).parent / "data").glob("*.txt") if b":" in path.read_bytes()]
    assert len(paths) > 30
    assert len(compared(paths)) <= MOST_MISSED * len(paths) / 100, compared(paths)
