"""Whether a fitted model would do better than the weights, over products that it has not seen: ``make train``.

Three models are tried: a logistic regression over the engine's own features, one over those and the features that were suspected
missing, and boosted trees over the same. Each is tried as ranker (in place of weights and vetoes) and as veto (what the engine
pushes is held where the model doubts it). Folds are grouped by product. A model is worth shipping only if it takes away false
pushes and loses no code, and the table says so with its interval; the data card is printed with it.

``--negatives FOLDER`` adds raw mails that hold neither code nor link (``.eml``) to what is learned from. ``--rows FILE`` keeps what
the engine sees of each case, since that takes longer than the fits.
"""

from __future__ import annotations

import argparse
import pickle
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from tests.extraction.bands import report
from tests.extraction.cases import Case, NoSharedError, load_cases, shared_folder
from tests.extraction.outcomes import Outcome, as_ranker, as_veto, counts, differences, held_out_table, is_win, of_engine
from tests.extraction.table import Row, engine_names, rows_of

FOLDS = 10
MOST = 10
"""Mails that a product counts for in a fit."""

RANKER_BARS = (0.5, 0.6, 0.7, 0.8)
VETO_BARS = (0.05, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A kind of model and what it sees. ``make`` gives an unfitted one with scikit-learn's manners."""

    name: str
    make: Callable[[], Any]
    is_engine_only: bool


MODELS = (
    Model(name="regression, engine's features", make=lambda: LogisticRegression(C=0.3, max_iter=4_000), is_engine_only=True),
    Model(name="regression, more features", make=lambda: LogisticRegression(C=0.3, max_iter=4_000), is_engine_only=False),
    Model(
        name="boosted trees, more features",
        make=lambda: HistGradientBoostingClassifier(max_iter=80, learning_rate=0.1, max_leaf_nodes=12, l2_regularization=1.0),
        is_engine_only=False,
    ),
)


def chances(rows: Sequence[Row], model: Model) -> list[list[float]]:
    """For each candidate of each mail the chance that it is the code, by a model that has seen no mail of its product."""
    names = sorted({name for row in rows for one in row.candidates for name in one.names})
    if model.is_engine_only:
        names = sorted(engine_names() & set(names))
    column = {name: number for number, name in enumerate(names)}
    places = [(number, which) for number, row in enumerate(rows) for which in range(len(row.candidates))]
    table = np.zeros((len(places), len(names)))
    for line, (number, which) in enumerate(places):
        for name in rows[number].candidates[which].names & column.keys():
            table[line, column[name]] = 1.0
    answers = np.array([rows[number].candidates[which].is_right for number, which in places])
    size = Counter(row.product for row in rows)
    weights = np.array([min(1.0, MOST / size[rows[number].product]) for number, _ in places])
    fold = folds(rows)
    of_line = np.array([fold[rows[number].product] for number, _ in places])
    found = [[0.0] * len(row.candidates) for row in rows]
    for number in range(FOLDS):
        held = of_line == number
        fitted = model.make().fit(table[~held], answers[~held], sample_weight=weights[~held])
        for place, chance in zip(np.flatnonzero(held), fitted.predict_proba(table[held])[:, 1], strict=True):
            mail, which = places[int(place)]
            found[mail][which] = float(chance)
    return found


def folds(rows: Sequence[Row]) -> dict[str, int]:
    """The fold of each product, drawn with a fixed seed."""
    products = sorted({row.product for row in rows})
    random.Random(3).shuffle(products)
    return {product: number % FOLDS for number, product in enumerate(products)}


def compare(rows: Sequence[Row]) -> list[str]:
    """The table of all models as lines."""
    engine = of_engine(rows)
    lines = [
        f"{'':46}{'right':>14}{'wrong':>7}{'pushed':>14}   codes more, false pushes more (95 %)",
        _line("engine", engine, engine),
    ]
    wins = []
    for model in MODELS:
        sure = chances(rows, model)
        trials = [(f"as ranker, chance ≥ {bar:g}", as_ranker(rows, sure, bar)) for bar in RANKER_BARS]
        trials += [(f"as veto, chance < {bar:g}", as_veto(rows, sure, bar)) for bar in VETO_BARS]
        lines.append(model.name)
        for title, found in trials:
            lines.append(_line(f"  {title}", found, engine))
            if is_win(engine, found):
                wins.append(f"{model.name} {title}")
    verdict = f"worth shipping: {'; '.join(wins)}" if wins else "no win: none takes away false pushes without losing codes"
    return [*lines, "", verdict]


def _line(title: str, found: Sequence[Outcome], engine: Sequence[Outcome]) -> str:
    right, wrong, codes, pushed, nones = counts(found)
    text = f"{title:46}{right:6} of {codes:<5}{wrong:6}{pushed:6} of {nones:<6}"
    if found is engine:
        return text
    (low, high), (less, more) = differences(engine, found)
    return f"{text}  {low:+.0f} … {high:+.0f}, {less:+.0f} … {more:+.0f}"


def card(rows: Sequence[Row]) -> list[str]:
    """What was learned from: mails, products and languages of each set."""
    lines = []
    for group in dict.fromkeys(row.group for row in rows):
        inside = [row for row in rows if row.group == group]
        kinds = Counter(row.kind for row in inside)
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        products, languages = len({row.product for row in inside}), len({row.lang for row in inside if row.lang})
        lines.append(f"{group:16}{len(inside):6} mails ({told}), {products} products, {languages} languages")
    return lines


def negatives(folder: Path) -> list[Case]:
    """Raw mails that hold nothing, as cases; mails with the same subject, numbers aside, are one product."""
    found = []
    for file in sorted(folder.rglob("*.eml")):
        content = file.read_bytes()
        subject = str(message_from_bytes(content[:65_536], policy=policy.compat32).get("Subject", ""))
        raw = {
            "kind": "none",
            "class": "email",
            "expected": None,
            "lang": "",
            "product": re.sub(r"\W|\d", "", subject)[:40] or file.stem,
        }
        found.append(Case(group="negatives", key=file.stem, content=content, raw=raw))
    return found


def main() -> int:
    """Print data card, table of models and bands of confidence; 0 also where there are no mails to learn from."""
    asked = argparse.ArgumentParser(prog="python -m tests.extraction.train", description=__doc__)
    asked.add_argument("--negatives", type=Path, help="a folder of raw mails that hold nothing")
    asked.add_argument("--rows", type=Path, help="keep the rows in this file, or read them from it")
    told = asked.parse_args()
    try:
        folder = shared_folder()
    except NoSharedError as missing:
        print(f"not trained: {missing}", file=sys.stderr)
        return 0
    if told.rows is not None and told.rows.exists():
        rows: list[Row] = pickle.loads(told.rows.read_bytes())
    else:
        rows = rows_of(folder, [*load_cases(folder), *(negatives(told.negatives) if told.negatives else [])])
        if told.rows is not None:
            told.rows.write_bytes(pickle.dumps(rows))
    for title, lines in (
        ("what was learned from", card(rows)),
        ("the engine over everything given", held_out_table(rows)),
        ("models over held-out products, and the engine", compare(rows)),
        ("confidence", report([row for row in rows if row.group != "negatives"])),
    ):
        print(f"\n{title}\n" + "\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
