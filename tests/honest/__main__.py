"""``python -m tests.honest [--record]``: the honest set's figures by shape and by signing, and what it holds written down anew."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

from tests.honest.judging import OURS, SHARED, Summary, judge, write_table
from tests.honest.originals import of_ours, of_shared
from tests.honest.shapes import SHAPES
from tests.honest.signings import SIGNINGS

ROOT = Path(__file__).resolve().parents[2]


def tell(summary: Summary) -> str:
    """A summary for people."""
    lines = [
        "{} judged: {} % pushed, {} % held as the manual explains, {} % held otherwise".format(summary.total, *summary.figures())
    ]
    for title, place, names in (("shape", 0, SHAPES), ("signing", 1, SIGNINGS)):
        lines.append(f"  by {title}:")
        for name in names:
            seen = sum(count for key, count in summary.seen.items() if key[place] == name)
            held = sum(count for key, count in summary.held.items() if key[place] == name)
            lines.append(f"    {name}: {100 * (seen - held) / max(seen, 1):.1f} % of {seen}")
    lines.append("  held:")
    reasons: Counter[str] = Counter()
    for (_, _, reason), count in summary.held.items():
        reasons[reason] += count
    lines += [f"    {count}: {reason}" for reason, count in reasons.most_common()]
    lines += [f"  WRONG: {one}" for one in summary.wrong]
    lines.append(f"  {len(summary.unread)} mails are not read as they are in some shape, and are judged all the same")
    return "\n".join(lines)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.honest", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write what is held into the tables that the tests compare with")
    options = parser.parse_args()
    shared = Path(os.environ.get("MAILBRIDGE_SHARED", ROOT.parent / "shared"))
    sets = [("the project's own mails", of_ours(ROOT / "tests" / "corpus"), OURS)]
    if (shared / "eml" / "index.jsonl").exists():
        sets.append(("shapes and corpus", of_shared(shared), SHARED))
    for title, originals, file in sets:
        summary = asyncio.run(judge(originals))
        sys.stdout.write(f"{title}: {len(originals)} mails, {tell(summary)}\n")
        added = asyncio.run(judge(originals, is_added=True))
        sys.stdout.write(f"{title}, to addresses of `mailbridge address add`: {tell(added)}\n")
        if options.record:
            write_table(summary, file)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
