"""What the gate says of a whole mail, made of its judgements for each recipient or of somebody's word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import is_
from typing import assert_never

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Standing
from mailbridge.core.mail import Envelope
from mailbridge.intake.judgement import Failure, Held, Judgement, Kind, Passed, Undecided
from mailbridge.intake.meaning import Addressed, Understanding
from mailbridge.intake.strangers import Introduction
from mailbridge.intake.vouching import TokenWord


class ProofUnavailable(Exception):  # noqa: N818  (an answer rather than an error)
    """A proof could not be looked up; the argument says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What the gate says of a whole mail: the recipients that may be pushed for, how it is known, what failed, and who its sender is
    for each of ``understood.addressed``."""

    understood: Understanding
    trust: str = ""
    failures: tuple[Failure, ...] = ()
    introductions: tuple[Introduction, ...] = ()

    @property
    def domain(self) -> str:
        """The registrable domain of its From, where that is proven."""
        return next((one.domain for one in self.introductions if one.domain), "")

    @property
    def held(self) -> tuple[str, ...]:
        """The failures as they are shown."""
        return tuple(dict.fromkeys(str(failure) for failure in self.failures))


def settled(envelope: Envelope, understood: Understanding, judgements: Sequence[Judgement]) -> GateResult:
    """Judgements as one verdict: each recipient keeps the identifiers that it is proven for.

    Raises:
        ProofUnavailable: one of them waits for DNS. A mailbox must not stand still for it: there the mail is held.
    """
    addressed: list[Addressed] = []
    failures: list[Failure] = []
    told: dict[str, None] = {}
    introductions: list[Introduction] = []
    for entry, judgement in zip(understood.addressed, judgements, strict=True):
        match judgement:
            case Passed():
                is_as_read = judgement.identification is entry.identification
                addressed.append(entry if is_as_read else replace(entry, identification=judgement.identification))
                introductions.append(judgement.introduction)
                failures += [Failure(check=check, why=why) for check, why in judgement.introduction.failures]
                told[f"{judgement.by}: {judgement.detail}"] = None
                if judgement.introduction.note:
                    told[judgement.introduction.note] = None
                if judgement.warning:
                    told[f"warning: {judgement.warning}"] = None
            case Held():
                addressed.append(replace(entry, is_held=True))
                introductions.append(Introduction())
                failures += judgement.failures
            case Undecided():
                if envelope.can_wait:
                    raise ProofUnavailable(judgement.reason)
                addressed.append(replace(entry, is_held=True))
                introductions.append(Introduction())
                failures.append(Failure(check="dkim", why=judgement.reason))
            case _:
                assert_never(judgement)
    is_as_read = all(map(is_, addressed, understood.addressed))  # as nearly always: a copy costs as much as all of this
    return GateResult(
        understood=understood if is_as_read else replace(understood, addressed=tuple(addressed)),
        trust="; ".join(told),
        failures=tuple(failures),
        introductions=tuple(introductions),
    )


def vouched(understood: Understanding, word: TokenWord, kind: Kind) -> GateResult:
    """What a token's word is good for: a code of its own identifier. Its sender is unknown, and stays so."""
    if kind == "code":
        standings = {one: Standing.FIRST_SEEN for entry in understood.addressed for one in entry.identification.identifiers}
        introduction = Introduction(standings=standings, written_at=understood.written_at)
        return GateResult(understood=understood, trust=word.trust, introductions=(introduction,))
    failure = Failure(check="token", why="a token is no proof for a link or a text")
    held = tuple(replace(entry, is_held=True) for entry in understood.addressed)
    introductions = (Introduction(),) * len(held)
    return GateResult(understood=replace(understood, addressed=held), failures=(failure,), introductions=introductions)
