"""Counts how often each letter follows two others in words, and prints `mailbridge.core.letter_table`.

``python -m tests.extraction.letters FOLDER`` reads word lists, one word a line, UTF-8 or Latin 1: ``FOLDER/*`` and, for stems with
their affix marks behind a slash, ``FOLDER/*.dic``. Every list weighs the same; a name with ``english`` in it weighs eight times as
much, since English words stand in mails of every language. The shipped table was counted over the lists that its docstring names.
"""

from __future__ import annotations

import argparse
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mailbridge.core import letter_table
from mailbridge.core.letter_table import STEP

LETTERS = "^abcdefghijklmnopqrstuvwxyz"
"""The boundary of a word, and a to z."""

ENGLISH = 8
SMOOTHING = 5e-6
MOST = 40
"""Steps of surprise up to which the table tells a difference."""

WIDTH = 108
FOLDS = str.maketrans({"ı": "i", "đ": "d", "ł": "l", "ø": "o", "æ": "ae", "ß": "ss"})


def words(path: Path) -> Iterator[str]:
    """The words of a list in small ASCII letters, accents aside, of 2 to 12 letters."""
    octets = path.read_bytes()
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    for line in text.splitlines():
        for word in line.partition("/")[0].split():
            if word[0].isupper() and "german" not in path.name:
                continue  # a name
            plain = unicodedata.normalize("NFKD", word.translate(FOLDS)).encode("ascii", "ignore").decode().lower()
            if re.fullmatch("[a-z]{2,12}", plain):
                yield plain


def triples(paths: list[Path]) -> dict[str, float]:
    """How often each letter follows two others, every list weighing the same."""
    total: dict[str, float] = {}
    for path in paths:
        counted: Counter[str] = Counter()
        for word in set(words(path)):
            bounded = f"^{word}^"
            counted.update(bounded[place : place + 3] for place in range(len(bounded) - 2))
        weight = (ENGLISH if "english" in path.name else 1) / max(1, counted.total())
        for three, count in counted.items():
            total[three] = total.get(three, 0.0) + count * weight
    return total


def table(counted: dict[str, float]) -> list[str]:
    """A row for each first letter: the surprise of each third letter behind each second one, as a character."""
    whole = sum(counted.values())
    pairs: dict[str, float] = {}
    for three, count in counted.items():
        pairs[three[:2]] = pairs.get(three[:2], 0.0) + count
    firsts = {pair[1]: count for pair, count in pairs.items() if pair[0] == "^"}
    rows = []
    for one in LETTERS:
        row = []
        for two in LETTERS:
            for three in LETTERS:
                if one == two == "^":
                    share = max(firsts.get(three, 0.0), SMOOTHING * whole) / sum(firsts.values())
                else:
                    share = (counted.get(one + two + three, 0.0) / whole + SMOOTHING / 27) / (
                        pairs.get(one + two, 0.0) / whole + SMOOTHING
                    )
                row.append(chr(48 + min(MOST, round(-math.log2(share) / STEP))))
        rows.append("".join(row))
    return rows


def main() -> int:
    """Print the module."""
    asked = argparse.ArgumentParser(prog="python -m tests.extraction.letters", description=__doc__)
    asked.add_argument("folder", type=Path)
    rows = table(triples(sorted(path for path in asked.parse_args().folder.iterdir() if path.is_file())))
    print(
        f'"""{letter_table.__doc__}"""\n\nfrom __future__ import annotations\n\nSTEP = {STEP}\n"""Bits a step."""\n\nSURPRISE = ('
    )
    for row in rows:
        print("    (")
        for place in range(0, len(row), WIDTH):
            print(f'        "{row[place : place + WIDTH]}"')
        print("    ),")
    print(")")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
