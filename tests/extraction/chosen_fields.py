"""Genuine code mails that show a field which whoever asked for the code has filled in: the name of his device, program or workspace.

A stranger who knows an address has the site send it a code, and his browser says of itself what he likes: ``Your verification code is
999666``. Many sites put their own code on a line of its own and name it nowhere, so that the stranger's sentence is the only one that calls
a number a code. Pushed may be the site's code or nothing; each mail has twins with what such fields really hold, whose code is pushed.
"""

from __future__ import annotations

import html
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from mailbridge.core.extract import extract
from mailbridge.core.parse import parse
from mailbridge.core.rules import RuleSet
from tests.extraction.chosen_names import NOW, SITE
from tests.extraction.mails import composed

CODES = ("482913", "7731", "K7QX2M")
"""What the site sends."""

STRANGE = ("999666", "QXRT-9981", "99966688")
"""What the stranger would have pushed."""

CLAIMS = (
    "Your verification code is {value}",
    "Verification code: {value}",
    "Use {value} to sign in",
    "Code {value}",
    "{value} is your code",
    "OTP {value}",
    "Login code {value}",
    "Mozilla/5.0 (Windows NT 10.0) code {value}",
)
"""What a stranger's device says of itself."""

HONEST = (
    "Chrome 126 on Windows 11",
    "iPhone 15 Pro",
    "Firefox 127.0.2 (Ubuntu 24.04)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
    "SM-G991B",
    "203.0.113.7",
    "Berlin, Germany",
    "Acme Team",
)
"""What such fields really hold."""

FIELDS: dict[str, str] = {
    "device": "Device: {words}",
    "on two lines": "Device\n{words}",
    "in a sentence": "The request came from {words}.",
    "in quotes": 'Request from "{words}"',
    "behind an announcement": "You are signing in to {words}",
}
"""How the site shows the field."""

LAYOUTS: dict[str, tuple[str, ...]] = {
    # Blocks of a mail: FIELD stands for the field, an asterisk marks the code's own heading.
    "instruction above": ("Enter this code to sign in:", "*{code}", "It expires in 10 minutes.", "FIELD"),
    "field first": ("FIELD", "Enter this code to sign in:", "*{code}", "It expires in 10 minutes."),
    "field between": ("Enter this code to sign in:", "FIELD", "*{code}", "It expires in 10 minutes."),
    "named below": ("*{code}", "This is your verification code.", "FIELD"),
    "field first, named below": ("FIELD", "*{code}", "This is your verification code."),
    "bare": ("*{code}", "FIELD"),
    "a lifetime alone": ("*{code}", "Valid for 10 minutes.", "FIELD"),
    "a title": ("Sign in to Harbour", "*{code}", "Valid for 10 minutes.", "FIELD"),
    "a sentence": ("Your verification code is {code}.", "FIELD"),
    "a label": ("Verification code: {code}", "FIELD"),
    "a letter": (
        "Hi Ann,",
        "We received a request to sign in to your Harbour account. To go on, type in the following code:",
        "*{code}",
        "Do not share it with anybody. It is good for 10 minutes.",
        "FIELD",
        "If you did not ask for it, you can ignore this mail.",
    ),
}
SUBJECTS = ("Your sign-in code", "Sign in to Harbour", "Security alert")
PARTS = ("plain", "html", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """One mail. ``code`` is the site's; ``is_strange``: its field was filled in by a stranger."""

    title: str
    code: str
    is_strange: bool
    content: bytes


def filled() -> Iterator[Filled]:
    """Every mail and every twin; codes, values, subjects and parts take turns."""
    count = 0
    for (layout, blocks), (field, form) in itertools.product(LAYOUTS.items(), FIELDS.items()):
        for words in (*CLAIMS, *HONEST):
            count += 1
            said = words.format(value=STRANGE[count // 3 % len(STRANGE)])
            code, subject, parts = CODES[count // 2 % len(CODES)], SUBJECTS[count // 5 % len(SUBJECTS)], PARTS[count % len(PARTS)]
            yield Filled(
                title=f"{layout}: {field}, {parts}: {said}, {code} under {subject!r}",
                code=code,
                is_strange=words in CLAIMS,
                content=_made(blocks, form.format(words=said), code, subject, parts, count),
            )


def _made(blocks: tuple[str, ...], field: str, code: str, subject: str, parts: str, count: int) -> bytes:
    plain, page = [], []
    for block in blocks:
        text = field if block == "FIELD" else block.lstrip("*").format(code=code)
        name = "h1" if block.startswith("*") else "p"
        plain.append(text)
        page += [f"<{name}>{html.escape(line)}</{name}>" for line in text.split("\n")]
    return composed(
        subject,
        site=SITE,
        html=f"<html><body>{''.join(page)}</body></html>" if parts != "plain" else None,
        plain="\n\n".join([*plain, ""]) if parts != "html" else None,
        number=count,
    )


def judged(one: Filled, rules: RuleSet) -> str:
    """ "right" (the site's code), "wrong" (anything else that would be pushed), or "held"."""
    found = extract(parse(one.content), rules=rules, now=NOW, default_lifetime=timedelta(minutes=10))
    if not found.verdict.is_pushed or found.value is None:
        return "held"
    return "right" if found.value.reveal() == one.code else "wrong"


def tallied(rules: RuleSet) -> tuple[Counter[tuple[bool, str]], list[Filled]]:
    """How the mails come out, by whether a stranger filled in the field; and those that come out wrong, or are twins and held."""
    tally: Counter[tuple[bool, str]] = Counter()
    bad: list[Filled] = []
    for one in filled():
        verdict = judged(one, rules)
        tally[one.is_strange, verdict] += 1
        if verdict == "wrong" or (verdict == "held" and not one.is_strange):
            bad.append(one)
    return tally, bad
