"""What Skyvern's pages say of sites: the login page of a credential, and the pages of a run. Pure readers of its JSON.

Observed on Skyvern 1.0.56: ``tested_url`` is what people typed, unchecked, and null where they typed none; a run's own address stands
in its request, that of a workflow's block in its timeline, as rendered, under the task that the poll names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from mailbridge.core.dataclass import dataclass

ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
MOST_BLOCKS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A credential that is listed: the identifier that its codes come under, and its login page as typed, "" for none."""

    identifier: str
    page: str


def login(row: object) -> Login:
    """A row of the list; whatever is missing or odd is ""."""
    outer = row if isinstance(row, dict) else {}
    inner = outer.get("credential")
    identifier = inner.get("totp_identifier") if isinstance(inner, dict) else None
    page = outer.get("tested_url")
    return Login(
        identifier=identifier if isinstance(identifier, str) else "",
        page=page if isinstance(page, str) and len(page) <= 2_083 else "",
    )


def run_paths(*, run: str | None, task: str | None) -> Sequence[str]:
    """Where to ask for the page of a run, below ``/v1``; two paths at the most, and none for ids that are none."""
    if run is not None and ID.fullmatch(run):
        timeline = [f"/runs/{run}/timeline"] if task is not None and ID.fullmatch(task) else []
        return [*timeline, f"/runs/{run}"]
    return [f"/runs/{task}"] if task is not None and ID.fullmatch(task) else []


def run_page(answer: object, *, task: str | None) -> str:
    """The page of a run, out of the run itself or its timeline; "" where it says none."""
    if isinstance(answer, dict) and isinstance(answer.get("run_request"), dict):
        return _text(answer["run_request"].get("url"))
    pages = (_text(block.get("url")) for block in _blocks(answer) if task is not None and block.get("task_id") == task)
    return next(filter(None, pages), "")


def _blocks(answer: object) -> Iterator[dict[str, Any]]:
    """Every object in an answer, wherever it lies."""
    waiting, seen = [answer], 0
    while waiting and seen < MOST_BLOCKS:
        one = waiting.pop(0)
        seen += 1
        if isinstance(one, dict):
            yield one
            waiting += [inner for inner in one.values() if isinstance(inner, dict | list)]
        elif isinstance(one, list):
            waiting += one


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 2_083 else ""
