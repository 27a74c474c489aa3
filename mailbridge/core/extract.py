"""The extractor: rules first, then structure and words in any language; a code, a link, or an honest "none"."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from mailbridge.core import confidence, lifetime, links, telling
from mailbridge.core.additions import has_another_value
from mailbridge.core.candidates import MAX_PER_LINE, MIN_LENGTH, ascii_digits
from mailbridge.core.context import Context, context_of
from mailbridge.core.evidence import Evidence
from mailbridge.core.extraction import Extraction, Rejected, Verdict
from mailbridge.core.features import CLEAR, NAMING, THRESHOLD, WEIGHTS, Feature
from mailbridge.core.forwards import ForwardedBlock, bare_subject, forwarded_block, is_forward
from mailbridge.core.genre import Genre, genre_of
from mailbridge.core.mail import Link, Message, Page
from mailbridge.core.parts import MAX_LINES, Parts, parts_of
from mailbridge.core.ranking import weigh
from mailbridge.core.reading import MAX_LABELLED, Reader
from mailbridge.core.rules import Match, RuleSet
from mailbridge.core.secret import Secret
from mailbridge.core.vetoes import veto_of

LINK_THRESHOLD = 5.0
DECISIVE = 0.98
"""Confidence from which the plain part alone decides."""

NEARLY = 3.0
"""Score of a candidate that is likely enough to hold the mail's link too."""

PUSHED_BY = "a rule of yours with (?P<link>…) pushes such links ([rules] paths)"
UNSURE = "something in it may be a code, and too little speaks for it: it is held, and so is any link"
HIDDEN = "its HTML hides from view another number that may be the code"
OVERLAP = 200
"""Letters of one piece of a long line that the next one has too: a code stands nearer to its word."""
UNREAD = "it has more lines, or a longer one, than are read, and what follows may be the code"
LACKS = {
    "html-cut": "its HTML was longer than the limit and was cut off",
    "text-cut": "its text was longer than the limit and was cut off",
    "body-as-attachment": "its body is marked as an attachment, and was not read",
}
"""Defects of a mail for which something may be missing that a person would see."""

CALLED = NAMING | {Feature.ORIGIN_BOUND, Feature.BESIDE_LABEL}
"""What calls a candidate the code of its mail."""

APART = frozenset({Feature.SIX_DIGITS, Feature.OWN_LINE, Feature.EMPHASISED, Feature.MARKED, Feature.AFTER_COLON})
"""What makes a candidate look like a code beside one of another form."""

COMPANY = frozenset(
    {Feature.LISTED, Feature.PERCENTAGE, Feature.PRICE, Feature.IN_TABLE}
    | {Feature.ELSE_MENTIONED, Feature.CALLED_ELSE, Feature.ELSE_IN_LINE, Feature.ELSE_ABOVE}
)
"""What speaks against a candidate and lies in the text around it."""

BODIES = frozenset({"plain", "html"})
MAX_REJECTED = 20
EARLIEST_ZONE = timedelta(hours=12)
"""A forwarded block's date has no zone: it may have been written up to twelve hours later than it says in UTC."""


def extract(message: Message, *, rules: RuleSet, now: datetime, default_lifetime: timedelta) -> Extraction:
    """What a mail holds. Total, deterministic, and no value that the mail does not show.

    ``now`` is the moment of arrival (aware UTC): with it a mail that was forwarded by hand and is older than its code's
    lifetime is EXPIRED. ``default_lifetime`` counts where neither mail nor rule states one.
    """
    found = _told_of_lacks(_extract(message, rules), message)
    if message.added and found.verdict is Verdict.NONE and not message.is_bounce:
        found = _beside(message, rules) or found
    for inner in message.attached if not message.is_bounce else ():
        inside = _extract(inner, rules)
        # A subject that was forwarded with the mail may show the code too: it is as old as the mail.
        if inside.verdict is not Verdict.NONE and (found.verdict is Verdict.NONE or inside.value == found.value):
            is_attached = inside.value != found.value
            return _aged(replace(inside, is_attached=is_attached), inner.date, now, default_lifetime)
    block = forwarded_block(message, rules.wording.forward) if found.verdict.is_pushed else None
    return _aged(found, _latest(block), now, default_lifetime)


def _beside(message: Message, rules: RuleSet) -> Extraction | None:
    """What stands in a text beside the body, such as a file that is shown below it; None where nothing does.

    Each is read alone, under the mail's own subject; where two hold something nobody knows which is meant.
    """
    read = [_extract(replace(message, plain=plain, html_body=html), rules) for plain, html in message.added]
    found = [replace(one, is_attached=True) for one in read if one.verdict is not Verdict.NONE]
    values = {one.value for one in found}
    if len(values) > 1:
        return replace(found[0], verdict=Verdict.AMBIGUOUS, reason="several texts of the mail hold one each")
    return found[0] if found else None


def _told_of_lacks(found: Extraction, message: Message) -> Extraction:
    """A mail in which nothing was found says what of it was not read."""
    lacks = [LACKS[defect] for defect in message.defects if defect in LACKS]
    if found.verdict is not Verdict.NONE or not lacks:
        return found
    return replace(found, reason="; ".join([found.reason, *lacks]))


def _latest(block: ForwardedBlock | None) -> datetime | None:
    if block is None or block.date is None:
        return None
    return block.date.replace(tzinfo=UTC) + EARLIEST_ZONE


def _aged(found: Extraction, written_at: datetime | None, now: datetime, default: timedelta) -> Extraction:
    """The extraction, as EXPIRED where the mail itself or the date of its forwarded block says that its time is over."""
    if not found.verdict.is_pushed:
        return found
    if found.expires_at is not None and found.expires_at <= now:
        return replace(found, verdict=Verdict.EXPIRED, reason="the mail says that its code has expired by now")
    lives = found.lifetime or default
    if written_at is None or now - written_at <= lives:
        return found
    reason = "the mail that was forwarded is older than its code lives"
    return replace(found, verdict=Verdict.EXPIRED, expires_at=written_at + lives, reason=reason)


def _extract(message: Message, rules: RuleSet) -> Extraction:
    matched = rules.match(message)
    reader = Reader(rules.wording)
    genre = genre_of(message) if matched is None else None
    if genre is None and matched is None and message.plain is not None and message.html_body is not None:
        quick = _from_text(message, reader)
        if quick is not None:
            return quick
    parts = parts_of(message, rules.wording.forward)
    stated = lifetime.stated_lifetime(parts.texts, rules.wording)
    expires_at = lifetime.stated_expiry(parts.texts, rules.wording)
    if matched is not None:
        return _by_rule(matched, stated, expires_at)
    context = context_of(parts, reader, stated)
    evidence = evidence_of(parts, reader, context)
    if genre is not None:
        return _of_genre(genre, evidence)
    code = _code(evidence, context, stated, expires_at)
    if code.verdict is Verdict.CODE:
        if _is_unread(message.plain, reader) or _is_unread(message.html, reader):
            return replace(code, verdict=Verdict.AMBIGUOUS, reason=UNREAD)
        why = telling.doubt(parts, reader, code.value.reveal()) if code.value is not None else ""
        if why:
            return replace(code, verdict=Verdict.AMBIGUOUS, reason=why)
        return _unless_hidden(code, message, reader, context)
    if code.verdict is not Verdict.NONE:
        return code
    if any(map(_is_nearly, evidence)):
        return replace(code, reason=UNSURE)
    return _link(message, parts, rules, code, stated, expires_at)


def _is_unread(page: Page | None, reader: Reader) -> bool:
    """Whether the code may stand where nothing is read: a part has more lines, a line more numbers, or one has letters behind the
    last that are read, and among them something that is called a code."""
    if page is None:
        return False
    if len(page.lines) > MAX_LINES:
        return True
    longer = [line.text for line in page.lines if len(line.text) > MIN_LENGTH * MAX_PER_LINE]
    if any(len(reader.shapes(ascii_digits(text))) >= MAX_PER_LINE for text in longer):
        return True
    return any(_names_a_code(text[MAX_LABELLED:], reader) for text in longer if len(text) > MAX_LABELLED)


def _names_a_code(text: str, reader: Reader) -> bool:
    """Whether a long text has a word that codes are called by, and what may be a code. A footer in one line seldom has both."""
    pieces = [ascii_digits(text[start : start + MAX_LABELLED]) for start in range(0, len(text), MAX_LABELLED - OVERLAP)]
    return any(reader.labels(piece) and reader.shapes(piece) for piece in pieces)


def _unless_hidden(code: Extraction, message: Message, reader: Reader, context: Context) -> Extraction:
    """The code, or AMBIGUOUS where the page keeps another from sight: a name that a stranger chose may hide what the site wrote."""
    bare = message.html.bare if message.html is not None else None
    if bare is None or code.value is None:
        return code
    shown = code.value.reveal().replace("-", "")
    for one in weigh("html", bare.page.lines, reader, context):
        if one.shape.value.replace("-", "") != shown and one.is_weighed and _may_be_meant(one, context):
            other = Rejected(value=Secret(one.shape.shown), why="hidden from view, and as good a candidate")
            return replace(code, verdict=Verdict.AMBIGUOUS, reason=HIDDEN, rejected=(other, *code.rejected)[:MAX_REJECTED])
    return code


def _may_be_meant(one: Evidence, context: Context) -> bool:
    """Whether a candidate would be the code of its mail if it were seen alone."""
    return one.is_called or (one.has_any(APART) and one.score >= THRESHOLD and veto_of(one, context) is None)


def _of_genre(genre: Genre, evidence: list[Evidence]) -> Extraction:
    passed = tuple(Rejected(value=Secret(one.shape.shown), why=genre.name) for one in evidence[:MAX_REJECTED])
    return Extraction(verdict=Verdict.NONE, reason=genre.why, rejected=passed)


def _from_text(message: Message, reader: Reader) -> Extraction | None:
    """The code of the plain part alone, where it leaves no doubt: then the HTML of the same mail need not be read."""
    page = message.plain
    if page is None:
        return None
    parts = parts_of(message, reader.wording.forward, with_html=False)
    stated = lifetime.stated_lifetime(parts.texts, reader.wording)  # it reads all lines together: each by itself costs more
    if not any(reader.shapes(ascii_digits(line.text)) for line in page.lines):
        return None
    context = context_of(parts, reader, stated)
    expires_at = lifetime.stated_expiry(parts.texts, reader.wording)
    evidence = evidence_of(parts, reader, context)
    code = _code(evidence, context, stated, expires_at)
    if code.verdict is not Verdict.CODE or code.value is None or code.confidence < DECISIVE or _is_unread(page, reader):
        return None
    # A number that only the subject has says nothing of a body that was not read.
    is_in_body = any("plain" in one.sources for one in evidence if one.shape.value == code.value.reveal())
    source = message.html_body.source if message.html_body is not None else ""
    if not is_in_body or has_another_value(source, page.text, partial(_is_shaped, reader)):
        return None
    return None if telling.doubt(parts, reader, code.value.reveal()) else code


def _is_shaped(reader: Reader, value: str) -> bool:
    """Whether a word alone may be a code."""
    return any(shape.refusal is None and shape.look is None for shape in reader.shapes(value))


def _by_rule(matched: Match, stated: timedelta | None, expires_at: datetime | None) -> Extraction:
    return Extraction(
        verdict=Verdict.LINK if matched.is_link else Verdict.CODE,
        value=matched.value,
        displayed=matched.displayed,
        rule=matched.rule.name,
        lifetime=stated or matched.rule.lifetime,
        expires_at=expires_at,
        confidence=1.0,
        reason=f"rule {matched.rule.name}",
    )


def evidence_of(parts: Parts, reader: Reader, context: Context) -> list[Evidence]:
    """Everything that has the shape of a code, each value once, best first."""
    merged: dict[str, Evidence] = {}
    for source, lines in parts.lines.items():
        for one in weigh(source, lines, reader, context):
            _merge(merged, one)
    for one in merged.values():
        if not one.is_weighed:
            continue
        seen = one.sources - {"quoted"}
        if len(seen) > 1 and "subject" in seen and seen & {"plain", "html"}:
            one.features.add(Feature.IN_BOTH)
        if len(seen) > 1 and len(seen & {"plain", "html", "hidden", "image"}) > 1:
            one.features.add(Feature.IN_PARTS)
        if (one.shape.is_random or len(one.shape.value) >= 6) and _is_in(one.shape.value, parts.addresses):
            one.features.add(Feature.IN_LINK)
    return sorted(merged.values(), key=lambda one: (-one.score, one.order))


def _is_in(value: str, addresses: str) -> bool:
    """Whether a link carries the value as a part of its own: pages take a code from the link as well as from the field."""
    for part in (f"/{value}", f"={value}"):
        at = addresses.find(part)
        while at >= 0:
            end = at + len(part)
            follows = addresses[end : end + 1]
            if not (follows.isascii() and follows.isalnum()):
                return True
            at = addresses.find(part, end)
    return False


def _merge(merged: dict[str, Evidence], one: Evidence) -> None:
    key = one.shape.value.replace("-", "")
    known = merged.get(key)
    if known is None:
        merged[key] = one
        return
    is_better = (one.is_weighed, one.score) > (known.is_weighed, known.score)
    best, other = (one, known) if is_better else (known, one)
    best.sources |= other.sources
    best.is_called |= other.is_called
    merged[key] = best


def _code(evidence: list[Evidence], context: Context, stated: timedelta | None, expires_at: datetime | None) -> Extraction:
    able: list[Evidence] = []
    rejected: list[Rejected] = []
    for one in evidence:
        why = _objection(one, context)
        if why is None:
            able.append(one)
        elif len(rejected) < MAX_REJECTED:
            rejected.append(Rejected(value=Secret(one.shape.shown), why=why))
    if not able:
        return Extraction(verdict=Verdict.NONE, reason="nothing in it looks like a code", rejected=tuple(rejected))
    best = able[0]
    score = best.score
    rivals = [one for one in able[1:] if score - one.score < CLEAR or _is_equal(best, one) or _stands_apart(one, best)]
    rivals += [one for one in evidence if _is_crowded_out(one, best, context) and one not in (best, *rivals)]
    equal = (best, *rivals) if rivals else ()
    shown = [Rejected(value=Secret(one.shape.shown), why="as good a candidate") for one in equal]
    less = [Rejected(value=Secret(one.shape.shown), why="a weaker candidate") for one in able[1:] if one not in rivals]
    return Extraction(
        verdict=Verdict.AMBIGUOUS if rivals else Verdict.CODE,
        value=Secret(best.shape.value),
        displayed=Secret(best.shape.shown),
        rule="generic",
        lifetime=stated,
        expires_at=expires_at,
        confidence=confidence.of_code(score, score - (able[1].score if len(able) > 1 else 0.0)),
        reason=f"{len(rivals) + 1} candidates are equally good" if rivals else ", ".join(_told(best)),
        rejected=tuple([*shown, *less, *rejected][:MAX_REJECTED]),
    )


def _is_equal(best: Evidence, other: Evidence) -> bool:
    """Whether two are both called the code: which of them is meant, their place does not say. A name that a user chose may call itself
    one, too. Of another form is the rival where it looks like a code by itself."""
    if not other.has_any(CALLED) or any(one.has(Feature.QUOTED) for one in (best, other)):
        return False
    if best.shape.kind == other.shape.kind and len(best.shape.value) == len(other.shape.value):
        return True
    return other.is_called or (best.has_any(CALLED) and other.has_any(APART))


def _stands_apart(one: Evidence, best: Evidence) -> bool:
    """Whether a candidate has a line to itself, and the best one only a sentence that names it, or a line of another part: sites show a
    code so without a word of their own, and the sentence may be a stranger's, whose device, program or company calls itself what he
    likes. Letters and digits with a hyphen are as often the name of a model, unless they are emphasised."""
    is_like_a_name = one.shape.kind == "mixed" and "-" in one.shape.value and not one.has(Feature.EMPHASISED)
    is_best_apart = best.has(Feature.OWN_LINE) and bool(best.sources & one.sources & BODIES)
    return one.has(Feature.OWN_LINE) and not is_best_apart and not one.has(Feature.QUOTED) and not is_like_a_name


def _is_crowded_out(one: Evidence, best: Evidence, context: Context) -> bool:
    """Whether a candidate that is called the code falls short only by what stands beside it, as a name of the stranger's choice may."""
    company = one.features & COMPANY
    if not (company and (one.is_called or one.has_any(CALLED))) or one.has(Feature.QUOTED):
        return False
    alone = replace(one, features=one.features - company)
    least = THRESHOLD if one.score < THRESHOLD else best.score - CLEAR
    return alone.score >= least and veto_of(alone, context) is None


def _objection(one: Evidence, context: Context) -> str | None:
    """Why a candidate is no code; None where it may be."""
    if not one.is_weighed:
        return one.shape.refusal
    is_likely = one.score >= THRESHOLD
    if not is_likely:
        if one.shape.look is not None:
            return one.shape.look
        worst = min(one.features, key=WEIGHTS.__getitem__, default=None)
        if worst is not None and WEIGHTS[worst] < -1:
            return worst.value
    veto = veto_of(one, context)
    return veto.why if veto is not None else None if is_likely else "too little speaks for it"


def _is_nearly(one: Evidence) -> bool:
    """A likely code that falls short: with it, a link of the same mail is held too."""
    shape = one.shape
    is_placed = one.has(Feature.OWN_LINE, Feature.AFTER_COLON, Feature.EMPHASISED, Feature.LONE)
    is_likely = shape.kind in ("digits", "mixed") or (shape.is_random and one.score >= THRESHOLD)
    return is_placed and is_likely and shape.look is None and one.score >= NEARLY


def _told(one: Evidence) -> list[str]:
    speaking = [(-weight, name) for name in one.features if (weight := WEIGHTS[name]) > 0]
    return [name.value for _, name in sorted(speaking)[:4]]


def _links(message: Message) -> tuple[Link, ...]:
    """The links of a mail. Of an HTML part the addresses are the truth, and what the text part writes of them is no rival."""
    html = message.html.links if message.html is not None else ()
    plain = message.plain.links if message.plain is not None else ()
    if not html:
        return plain
    known = {link.url for link in html}
    places = {links.place(link.url) for link in html}
    return (*html, *(link for link in plain if link.url in known or links.place(link.url) not in places))


def _link(
    message: Message, parts: Parts, rules: RuleSet, none: Extraction, stated: timedelta | None, expires_at: datetime | None
) -> Extraction:
    ranked = links.rank(_links(message), rules.wording)
    if not ranked:
        return none
    sender = "" if is_forward(message, rules.wording.forward) else message.sender
    if ranked[0].score < LINK_THRESHOLD:
        why = next(filter(None, map(links.purpose, ranked)), None)
    else:
        subject = bare_subject(message.subject, rules.wording.forward)
        why = links.objection(ranked[0], subject, parts.texts, rules.wording, sender)
    if why is not None:
        return replace(none, reason=f"{why}: it is held; {PUSHED_BY}")
    if ranked[0].score < LINK_THRESHOLD:
        return none
    best = ranked[0]
    rivals = [one for one in ranked[1:] if best.score - one.score < 0.5 and one.score >= LINK_THRESHOLD]
    value = Secret(best.link.url)
    return Extraction(
        verdict=Verdict.AMBIGUOUS if rivals else Verdict.LINK,
        value=value,
        displayed=value,
        rule="generic",
        lifetime=stated,
        expires_at=expires_at,
        confidence=confidence.of_link(best.score),
        reason=f"{len(rivals) + 1} links are equally good" if rivals else f"a link with {', '.join(best.why)}",
        rejected=(
            *(Rejected(value=Secret(one.link.url), why="as good a candidate") for one in ((best, *rivals) if rivals else ())),
            *none.rejected,
        )[:MAX_REJECTED],
    )
