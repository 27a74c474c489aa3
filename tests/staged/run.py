"""`python -m tests.staged.run`: stage each situation, ask `why`, and print what it says beside what was expected."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.scripted_imap import ScriptedImap
from tests.staged.situations import SITUATIONS, Situation, mailbox_port
from tests.staged.stage import Stage, stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What was said first. ``is_right``: as expected; ``is_confident_and_wrong``: certain, and something else."""

    text: str
    certainty: str
    is_right: bool

    @property
    def is_confident_and_wrong(self) -> bool:
        """Whether a wrong cause was called certain."""
        return not self.is_right and self.certainty == "certain"


@contextmanager
def staged(situation: Situation, folder: Path) -> Iterator[Stage]:
    """The situation, played to its end."""
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedImap()) if situation.imap in ("refuses", "well") else None
        if server is not None and situation.imap == "refuses":
            server.password = "another"
        settings = situation.settings.replace("{imap}", str(mailbox_port(situation, server)))
        here = stack.enter_context(
            stage(folder, settings, situation.temper, has_key=situation.has_key, is_down=situation.is_down)
        )
        situation.play(here)
        yield here


def score(situation: Situation, folder: Path) -> Score:
    """Stage it and ask."""
    with staged(situation, folder) as here:
        first = here.why(*situation.asks)[0]
    text = f"{first['text']} → {first['hint']}" if first["hint"] else first["text"]
    return Score(text=text, certainty=first["certainty"], is_right=situation.is_first(text))


def main() -> None:
    """Score those whose names match the first argument, or all."""
    wanted = [one for one in SITUATIONS if re.search(sys.argv[1] if len(sys.argv) > 1 else "", one.name)]
    right = wrong = 0
    for one in wanted:
        with tempfile.TemporaryDirectory(prefix="mailbridge-staged-") as folder:
            try:
                found = score(one, Path(folder))
            except AssertionError as fault:
                print(f"NOT STAGED {one.name}: {fault}", flush=True)
                continue
        right += found.is_right
        wrong += found.is_confident_and_wrong
        print(f"{'right' if found.is_right else 'WRONG'} ({found.certainty}) {one.name}: {found.text}", flush=True)
    print(f"{right} of {len(wanted)} right, {wrong} confident and wrong")


if __name__ == "__main__":
    main()
