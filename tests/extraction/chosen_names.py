"""Genuine code mails that greet by a name which somebody else chose: run as ``python -m tests.extraction.chosen_names``.

Whoever signs up at a site with another's address chooses the name by which the site's mails to that other greet him. Where a site does
not escape it, the name is markup too: it shows a code of its own, and hides the site's. The site signs such a mail, so only reading it
well keeps the stranger's code out. Pushed may be the site's code or nothing; each mail has a twin with an honest name, whose code is
pushed. ``--language`` takes one language, ``--every N`` one mail of N, ``--wrong N`` lists mails that come out wrong.
"""

from __future__ import annotations

import argparse
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.parse import parse
from mailbridge.core.rules import RuleSet, load
from tests.extraction.mails import composed

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORDS = Path(__file__).with_name("chosen_names.toml")
SITE = "Harbour"
CODES = ("482913", "7731", "K7QX2M")
"""What the site sends."""

VALUES = ("999666", "99966688", "9996", "999-666", "QXRT-9981")
"""What the stranger would have pushed."""

HONEST = (
    "Ann",
    "Ann Lee",
    "O'Neil & Sons",
    "Ann <3",
    "<Ann>",
    "<b>Ann</b>",
    "Ann <ann@corp.example>",
    "A. J. Smith 3rd",
    "ann_1987",
    "Łucja Żak-Nowak",
)
"""Names that people have, or have typed where one was asked for."""

SHOWS: dict[str, str] = {
    "alone": "{value}",
    "in words": "{claim}",
    "a heading": "<h1>{value}</h1>",
    "a heading of words": "<h1>{claim}</h1>",
    "words and a heading": "Ann,<br>{lead}<h1>{value}</h1>",
    "bold": "<b>{claim}</b>",
    "bold number": "Ann <b>{value}</b>",
    "large type": '<span style="font-size:32px;letter-spacing:6px">{value}</span>',
    "a paragraph of its own": "Ann</p><p>{claim}</p><p>",
    "a cell of its own": "Ann</td></tr><tr><td>{claim}</td></tr><tr><td>",
    "a table": "<table><tr><td>{lead}</td></tr><tr><td><h1>{value}</h1></td></tr></table>",
    "a line break": "Ann<br>{claim}<br>",
    "in a picture's words": '<img alt="{claim}" src="https://harbour.example/x.png">',
    "in a field": '<input value="{value}">',
    "in a link": '<a href="https://harbour.example/">{claim}</a>',
}
"""How the name shows its value; ``{lead}`` is the claim without the value."""

HIDES: dict[str, str] = {
    "nothing": "",
    "a comment": "<!--",
    "a comment that looks closed": "<!-- -- >",
    "an odd comment": "<!x",
    "a question mark": "<?x",
    "style": "<style>",
    "title": "<title>",
    "textarea": "<textarea>",
    "script": "<script>",
    "select": "<select>",
    "template": "<template>",
    "noscript": "<noscript>",
    "iframe": "<iframe>",
    "object": "<object>",
    "svg": "<svg>",
    "xmp": "<xmp>",
    "plaintext": "<plaintext>",
    "noembed": "<noembed>",
    "noframes": "<noframes>",
    "math": "<math>",
    "an attribute": '<a title="',
    "an attribute in single quotes": "<a title='",
    "an open tag": "<a ",
    "display none": '<div style="display:none">',
    "display none, a span": '<span style="display:none">',
    "the word hidden": "<div hidden>",
    "no size": '<div style="font-size:0">',
    "no height": '<div style="max-height:0;overflow:hidden">',
    "no opacity": '<div style="opacity:0">',
    "a closed table": "</td></tr></table>",
    "a table that is open": "<table><tr>",
    "a closed body": "</body></html>",
    "a quotation": "<blockquote>",
    "a reply": "<br>On Fri, 1 May 2026 at 11:00, Ann &lt;ann@corp.example&gt; wrote:<br>",
    "a forwarded head": "<br>---------- Forwarded message ---------<br>",
    "a rule for all": "<style>*{display:none}</style>",
    "a rule for headings": "<style>h1,b,strong,p{display:none}</style>",
    "a closed details": "<details>",
    "a dialog": "<dialog>",
    "a list of data": "<datalist>",
    "a film": "<video>",
    "a caption": "<table><caption>",
    "twins of the form": "<h1>111222</h1><h1>333444</h1><h1>555777</h1>",
    "twins in a sentence": "111222 333444 555777",
    "a percentage": "50%",
    "an order": "order number",
    "an invoice": "Invoice no.",
    "a price": "$5",
    "a column of ends": "<!-- x --><b></b><!--",
}
"""What the name does to what the site writes after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """One mail. ``code`` is the site's, ``value`` what its name shows, "" for a twin with an honest name."""

    language: str
    template: str
    form: str
    name: str
    shows: str
    hides: str
    code: str
    value: str
    content: bytes

    @property
    def title(self) -> str:
        """Which it is, in words."""
        return f"{self.language}: {self.template}, {self.form}: {self.shows}, hides by {self.hides} ({self.value or self.name})"


PARAGRAPHS = "<html><body><p>{hello}</p><p>{above}</p><h1>{code}</h1><p>{lives}</p></body></html>"
SENTENCE = "<html><body><p>{hello} {within} {lives}</p></body></html>"
BARE = "{hello}<br><br>{within}<br>{lives}"
USED = '<div style="font-family:Arial"><div>{use}</div><div>{lives}</div></div>'
CELLS = (
    "<!DOCTYPE html><html><head><meta charset=utf-8><style>.code{{font-size:28px}} td{{padding:8px}}</style></head><body>"
    '<div style="display:none;max-height:0">{above}</div><!--[if mso]><table><tr><td><![endif]-->'
    '<table width="100%"><tr><td><table><tr><td>{hello}</td></tr><tr><td>{above}</td></tr>'
    '<tr><td class="code">{code}</td></tr><tr><td>{lives}</td></tr></table></td></tr></table>'
    "<!--[if mso]></td></tr></table><![endif]--></body></html>"
)
HEADING = (
    '<html><body><div class="box"><h2>{hello}</h2><p>{above}</p><p><strong>{code}</strong></p><p><small>{lives}</small></p>'
    "<!-- footer --><hr><p>Harbour</p></div></body></html>"
)
BELOW = "<html><body><p>{above}</p><h1>{code}</h1><p>{lives}</p><p><small>{foot}</small></p></body></html>"
BOXES = "<html><body><p>{hello}</p><p>{above}</p><table><tr>{boxes}</tr></table><p>{lives}</p></body></html>"
PICTURE = (
    '<html><body><img src="https://harbour.example/a.png" alt="{name}"><p>{above}</p><h1>{code}</h1><p>{lives}</p></body></html>'
)

TEMPLATES: dict[str, str] = {
    "paragraphs": PARAGRAPHS,
    "a sentence": SENTENCE,
    "bare text": BARE,
    "an instruction": USED,
    "cells": CELLS,
    "a heading": HEADING,
    "the name below": BELOW,
    "boxes": BOXES,
    "an attribute": PICTURE,
}
PLAIN = "{hello}\n\n{above}\n\n{code}\n\n{lives}\n"
FORMS = ("html", "html and plain", "html and plain, named in the subject")
"""Which parts the mail has; the plain one is never escaped, as it need not be."""


def greetings(languages: tuple[str, ...] = ()) -> Iterator[Greeting]:
    """Every mail and every twin. A way to show a value meets each way to hide the site's; codes, values and forms take turns."""
    table = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    count = 0
    for language in languages or tuple(table):
        words = table[language]
        for template in TEMPLATES:
            for shows, pattern in SHOWS.items():
                for hides, mark in HIDES.items():
                    count += 1
                    value = VALUES[count % len(VALUES)]
                    claim = words["claims"][count % len(words["claims"])]
                    name = pattern.format(value=value, claim=claim.format(value=value), lead=claim.format(value="")) + mark
                    if template == "an attribute":
                        name = f'">{name}'
                    yield _made(language, words, template, name, count, shows=shows, hides=hides, value=value)
            for name in HONEST:
                count += 1
                yield _made(language, words, template, name, count, shows="an honest name", hides="nothing", value="")


def _made(
    language: str, words: dict[str, Any], template: str, name: str, count: int, *, shows: str, hides: str, value: str
) -> Greeting:
    form, code = FORMS[count // 2 % len(FORMS)], CODES[count // 3 % len(CODES)]
    told = {key: text.replace("{code}", code).replace("{name}", name) for key, text in words.items() if isinstance(text, str)}
    boxes = "".join(f"<td>{letter}</td>" for letter in code)
    html = TEMPLATES[template].format(**told, code=code, boxes=boxes, name=name)
    subject = told["named"] if form.endswith("subject") else told["subject"]
    content = composed(
        subject, site=SITE, html=html, plain=None if form == "html" else PLAIN.format(**told, code=code), number=count
    )
    return Greeting(
        language=language,
        template=template,
        form=form,
        name=name,
        shows=shows,
        hides=hides,
        code=code,
        value=value,
        content=content,
    )


def judged(one: Greeting, rules: RuleSet) -> str:
    """ "right" (the site's code), "wrong" (anything else that would be pushed), or "held"."""
    found = extract(parse(one.content), rules=rules, now=NOW, default_lifetime=timedelta(minutes=10))
    if not found.verdict.is_pushed or found.value is None:
        return "held"
    return "right" if found.value.reveal() == one.code else "wrong"


def own_rules() -> RuleSet:
    """The wording that comes with the project, without rules for named senders."""
    return load(list(rule_sources(RuleSettings())))


def tallied(mails: Iterable[Greeting], rules: RuleSet) -> tuple[Counter[tuple[str, str, str]], list[Greeting]]:
    """How the mails come out, by group, member of the group and judgement; and those that come out wrong."""
    tally: Counter[tuple[str, str, str]] = Counter()
    bad: list[Greeting] = []
    for one in mails:
        verdict = judged(one, rules)
        tally["a stranger's" if one.value else "a twin", "all", verdict] += 1
        if one.value:
            for group, member in (
                ("language", one.language),
                ("template", one.template),
                ("shows", one.shows),
                ("hides", one.hides),
            ):
                tally[group, member, verdict] += 1
        if verdict == "wrong" or (verdict == "held" and not one.value):
            bad.append(one)
    return tally, bad


def main() -> int:
    """See the module. 1 where a stranger's value is pushed, or a twin's code is not."""
    asked = argparse.ArgumentParser(prog="python -m tests.extraction.chosen_names", description=__doc__)
    asked.add_argument("--language", action="append", default=[], help="only this one; may be given again")
    asked.add_argument("--every", type=int, default=1, help="one mail of so many (and every twin)")
    asked.add_argument("--wrong", type=int, default=0, help="how many mails that come out wrong to list")
    told = asked.parse_args()
    mails = greetings(tuple(told.language))
    tally, bad = tallied((one for number, one in enumerate(mails) if number % told.every == 0 or not one.value), own_rules())
    for one in bad[: told.wrong]:
        print(f"{one.title}: {one.name!r}")
    for group, member in sorted({(group, member) for group, member, _ in tally}):
        counts = {verdict: tally[group, member, verdict] for verdict in ("right", "held", "wrong")}
        print(f"{group:14}{member:32}" + "".join(f"{verdict} {number:<8}" for verdict, number in counts.items()))
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
