"""Mails with known answers from the folder that is kept beside the project, and the answers that extraction gives to them.

The folder is ``$MAILBRIDGE_SHARED``, else ``shared`` beside the project or beside any folder above it. How a case becomes a mail,
and what counts as right, is told by the folder's own tools: this module loads them, so that both always agree.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mailbridge.config.rulepack import rule_texts
from mailbridge.config.settings import Settings
from mailbridge.core.extraction import Extraction
from mailbridge.core.mail import Message
from mailbridge.core.parse import parse
from mailbridge.intake.parser_config import parser_config_of
from mailbridge.intake.understand import Understander
from mailbridge.intake.worker_protocol import Request

ROOT = Path(__file__).resolve().parents[2]
SETS = {
    "corpus": "corpus/cases.jsonl",
    "mutants": "corpus/mutants.jsonl",
    "second": "corpus/second/cases.jsonl",
    "second mutants": "corpus/second/mutants.jsonl",
    "fresh": "corpus/fresh/cases.jsonl",
    "handout": "handout/cases.jsonl",
    "handout mails": "handout/index.json",
}
OWN_MAILS = re.compile(r"(?:x|brand|bounce|encoding)-")
"""The mails of the handout that ask about extraction; others ask about parsing and delivery."""

ANSWER = re.compile(r"(code|link) (\S+?)(?: \(or (\S+)\))?(?: |$)")
WORKERS = 2
BAD = ("missed", "wrong", "pushed")


class NoSharedError(Exception):
    """The folder with the cases is not there; the text says where it was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One mail with its answer. ``raw`` is the case as the folder has it: kind, expected, accept, lang, product …"""

    group: str
    key: str
    content: bytes = field(repr=False)
    raw: dict[str, Any] = field(repr=False)

    @property
    def kind(self) -> str:
        """``code``, ``magic_link`` or ``none``."""
        return str(self.raw["kind"])

    @property
    def medium(self) -> str:
        """``email`` or ``sms``."""
        return str(self.raw["class"])

    @property
    def product(self) -> str:
        """What it was made from: mails of one product are no independent witnesses."""
        return str(self.raw.get("product") or self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What extraction said of a case, and what that is worth: right, missed, wrong, pushed, or quiet (rightly nothing)."""

    judgement: str
    verdict: str
    value: str | None
    confidence: float
    reason: str


def shared_folder() -> Path:
    """The folder with the cases. Raises NoSharedError."""
    told = os.environ.get("MAILBRIDGE_SHARED")
    places = [Path(told)] if told else [folder / "shared" for folder in ROOT.parents]
    for place in places:
        if (place / "corpus" / "cases.jsonl").exists() and (place / "tools" / "score.py").exists():
            return place
    raise NoSharedError(
        f"no mails with known answers at {places[0]}: set MAILBRIDGE_SHARED to the folder that holds corpus/ and tools/"
    )


@cache
def tool(folder: Path, name: str) -> ModuleType:
    """A module of the folder's tools: ``score`` or ``to_eml``."""
    spec = importlib.util.spec_from_file_location(name, folder / "tools" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise NoSharedError(f"{folder / 'tools' / name}.py cannot be read")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_cases(folder: Path, groups: Sequence[str] = tuple(SETS)) -> list[Case]:
    """The cases of the groups, as mails; those that the folder itself calls ambiguous are left out."""
    return [case for group in groups if (folder / SETS[group]).exists() for case in _of_group(folder, group)]


def _of_group(folder: Path, group: str) -> Iterator[Case]:
    file = folder / SETS[group]
    if group == "handout mails":
        for row in json.loads(file.read_text(encoding="utf-8")):
            if OWN_MAILS.match(row["file"]):
                yield Case(group=group, key=row["file"], content=(file.parent / row["file"]).read_bytes(), raw=_told(row))
        return
    build = tool(folder, "to_eml").build
    for raw in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        if not raw.get("ambiguous"):
            yield Case(group=group, key=raw["id"], content=build(raw), raw=raw)


def _told(row: dict[str, str]) -> dict[str, Any]:
    """A mail of the handout with its answer in the fields of a case."""
    answer = ANSWER.match(row["right"])
    kind = "none" if answer is None else {"code": "code", "link": "magic_link"}[answer[1]]
    expected, accept = (answer[2], [answer[3].rstrip(")")] if answer[3] else []) if answer else (None, [])
    return {"class": "email", "kind": kind, "expected": expected, "accept": accept, "product": row["file"], "lang": ""}


def arrival(folder: Path, case: Case) -> datetime:
    """The moment at which the mail of a case arrives: soon after it was written."""
    if case.group == "handout mails":
        written = parse(case.content).date
        return (written or datetime.fromisoformat("2026-11-28T18:40:00Z")) + timedelta(seconds=30)
    return datetime.fromisoformat(tool(folder, "to_eml").NOW)


def judged(folder: Path, case: Case, found: Extraction) -> Answer:
    """The extraction of a case, with what it is worth by the folder's own judge."""
    value = found.value.reveal() if found.value is not None else None
    verdict = str(found.verdict)
    judgement = tool(folder, "score").judge(case.raw, {"verdict": verdict, "value": value})
    return Answer(judgement=judgement, verdict=verdict, value=value, confidence=round(found.confidence, 3), reason=found.reason)


def answers(folder: Path, cases: Sequence[Case], workers: int = WORKERS) -> list[Answer]:
    """The answer of the whole way from octets to extraction for each case, in order, by as many processes as there are cores."""
    parts = [cases[start::workers] for start in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        done = list(pool.map(_answered, [folder] * workers, parts))
    found = [one for part in done for one in part]
    order = [index for start in range(workers) for index in range(start, len(cases), workers)]
    return [answer for _, answer in sorted(zip(order, found, strict=True), key=lambda one: one[0])]


def _answered(folder: Path, cases: Sequence[Case]) -> list[Answer]:
    read = Understander(parser_config_of(Settings(), rules=rule_texts(Settings().rules)))
    found = []
    for case in cases:
        request = Request(content=case.content, rcpt_to=(tool(folder, "score").RCPT,), mail_from="", now=arrival(folder, case))
        found.append(judged(folder, case, read(request).extraction))
    return found


def message_of(case: Case) -> Message:
    """The case as extraction gets it."""
    return parse(case.content)
