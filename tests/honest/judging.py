"""Judges the honest set and sums up: of each way to forward and to sign, how many mails pass, and what holds the others."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mailbridge.intake.judgement import Held, Judgement, Passed, Undecided
from mailbridge.intake.understand import Understanding
from tests.honest.originals import Original, digest, foreign_hosts
from tests.honest.shapes import CODES, SHAPES, Shape, added, publish, settings
from tests.honest.signings import SIGNINGS
from tests.peers.judging import Bench, Kind, Post

OURS, SHARED = (Path(__file__).with_name(name) for name in ("held_ours.toml", "held_shared.toml"))
"""Where it is written down what is held of each set."""

EACH = 2
"""Ways to sign that each mail has in each shape: in turn, so that every way meets every shape many times."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When the mails "arrive" as far as codes expire: dates in their texts are years old, and their signatures are made now."""

DOMAIN = re.compile(r"\b[a-z0-9_-]+(?:\.[a-z0-9_-]+)+\b", re.IGNORECASE)
ASIDE = frozenset({"forwarder", "token"})
"""Checks that could not have passed: no account is listed, and an address that nobody can guess proves codes alone."""

EXPLAINED = {
    "recipient: ": "Held by `recipient`, and what to do about it",
    "link-host: ": "to the From's own registrable domain",
}
"""How a reason begins, and the words of docs/trust.md that explain it."""


@dataclass(slots=True)
class Summary:
    """``held`` counts by (shape, signing, reason); ``seen`` by (shape, signing). ``wrong`` are mails that would be pushed to somebody
    else: each is a failure whatever the table says. ``unread`` are mails whose code or link is not read as it is in some shape: they
    are judged like the others, since what is read of them is not the gate's doing."""

    digest: str
    total: int = 0
    pushed: int = 0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    held: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)

    def figures(self) -> tuple[float, float, float]:
        """Per cent that are pushed, held for a reason that the manual explains, and held otherwise."""
        explained = sum(count for (_, _, reason), count in self.held.items() if is_explained(reason))
        others = sum(self.held.values()) - explained
        return tuple(round(100 * part / self.total, 2) for part in (self.pushed, explained, others))  # type: ignore[return-value]


def is_explained(reason: str) -> bool:
    """Whether the manual says what holds a mail so."""
    return any(reason.startswith(beginning) for beginning in EXPLAINED)


async def judge(originals: tuple[Original, ...], *, each: int = EACH, is_added: bool = False) -> Summary:
    """The whole set. Reading a mail depends on its shape, and on its signature where that needs another From; it is done once.

    ``is_added``: each forwarder sends to an address that nobody can guess, as the manual tells to make them; else to one that anybody
    may know, bound to the account for half of the mails.
    """
    shapes = added(SHAPES) if is_added else SHAPES
    bench = Bench(settings(shapes, link_hosts=foreign_hosts(originals)))
    summary = Summary(digest=digest(originals))
    ways = list(SIGNINGS)
    for number, original in enumerate(originals):
        publish(bench.zone)  # anew: the author of the one before may be a forwarder himself
        for turn, (name, shape) in enumerate(shapes.items()):
            read: dict[str, Understanding] = {}
            for step in range(each):
                way = ways[(number + 5 * turn + step * (len(ways) // each)) % len(ways)]
                post, domain = _post(original, shape, way, bench, is_bound=is_added or (number + turn) % 2 == 0)
                if domain not in read:
                    read[domain] = bench.understand(post, now=LONG_AGO)
                await _one(original, name, way, post, read[domain], bench, summary)
    return summary


def _post(original: Original, chosen: Shape, way: str, bench: Bench, *, is_bound: bool) -> tuple[Post, str]:
    signed = SIGNINGS[way](original, chosen.to)
    for name, record in signed.records:
        bench.zone.texts[name.lower()] = (record,)
    bench.zone.texts[signed.domain] = ("v=spf1 ip4:192.0.2.10 -all",)
    rcpt = chosen.bound if is_bound or chosen.is_direct or chosen.ingress == "imap" else CODES
    content, mail_from = chosen.forward(signed, chosen.account, rcpt)
    return (
        Post(content=content, rcpts=(rcpt,), mail_from=mail_from, peer=chosen.peer, ingress=chosen.ingress),
        signed.domain,
    )


async def _one(
    original: Original, shape: str, way: str, post: Post, understood: Understanding, bench: Bench, summary: Summary
) -> None:
    kind: Kind = original.kind
    value = understood.extraction.value
    if value is not None and understood.extraction.verdict.is_pushed and value.reveal() in original.values:
        kind = "link" if understood.extraction.is_link else "code"
    else:
        summary.unread.add(original.name)
    (judgement,) = await bench.judge(post, understood=understood, kind=kind)
    summary.total += 1
    summary.seen[shape, way] += 1
    if isinstance(judgement, Passed):
        summary.pushed += 1
        identifiers = judgement.identification.identifiers
        right = {SHAPES[shape].account, original.first}
        if not identifiers or not right.issuperset(identifiers):
            summary.wrong.append(f"{original.name}, {shape}, {way}: for {', '.join(identifiers) or 'nobody'}")
    else:
        summary.held[shape, way, reason_of(judgement)] += 1


def reason_of(judgement: Judgement) -> str:
    """What holds a mail, without names of domains: its checks but those that could not have passed."""
    assert isinstance(judgement, Held | Undecided), judgement
    if isinstance(judgement, Undecided):
        return f"deferred: {judgement.reason}"
    kept = [failure for failure in judgement.failures if failure.check not in ASIDE]
    return " | ".join(f"{one.check}: {re.sub(r'[0-9]+', '*', DOMAIN.sub('*', one.why))}" for one in kept)


def read_table(file: Path) -> tuple[str, int, Counter[tuple[str, str, str]]]:
    """What was recorded: the digest of the set, its size, and what is held."""
    table = tomllib.loads(file.read_text())
    held = Counter({(row["shape"], row["signing"], row["reason"]): row["count"] for row in table.get("held", [])})
    return table["digest"], table["total"], held


def write_table(summary: Summary, file: Path) -> None:
    """Record a summary, as `read_table` reads it."""
    pushed, explained, others = summary.figures()
    lines = [
        "# What the gate holds of the honest set, by shape, signing and reason. Written by `python -m tests.honest`.",
        f"# {pushed} % are pushed, {explained} % held for a reason that docs/trust.md explains, {others} % held otherwise.",
        f'digest = "{summary.digest}"',
        f"total = {summary.total}",
    ]
    for (shape, signing, reason), count in sorted(summary.held.items()):
        lines += [
            "",
            "[[held]]",
            f"shape = {_quoted(shape)}",
            f"signing = {_quoted(signing)}",
            f"reason = {_quoted(reason)}",
            f"count = {count}",
        ]
    file.write_text("\n".join(lines) + "\n")


def differences(summary: Summary, file: Path) -> Iterator[str]:
    """What is held that was not, and what is held no more; of another set than the recorded one, only new reasons."""
    recorded, total, held = read_table(file)
    is_same = (recorded, total) == (summary.digest, summary.total)
    for key in sorted(summary.held.keys() | held.keys()):
        now, before = summary.held[key], held[key]
        if is_same and now != before:
            yield f"{now} instead of {before} held: {' / '.join(key)}"
        elif now and not any(key[1:] == known[1:] for known in held):
            yield f"{now} newly held: {' / '.join(key)}"


def _quoted(text: str) -> str:
    assert "'" not in text or '"' not in text
    return f"'{text}'" if "'" not in text else f'"{text}"'
