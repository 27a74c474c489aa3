"""The extractor: rules first, then structure and words in any language; a code, a link, or an honest "none"."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mailbridge.core import confidence, lifetime, links
from mailbridge.core.extraction import Extraction, Rejected, Verdict
from mailbridge.core.forwards import ForwardedBlock, bare_subject, forwarded_block, is_forward, is_header_line
from mailbridge.core.mail import Line, Message, Page
from mailbridge.core.ranking import (
    CLEAR,
    LONG_TEXT,
    MEETING,
    SHORT_TEXT,
    THRESHOLD,
    WEIGHTS,
    Context,
    Evidence,
    Reader,
    spoken_of,
    subject_kind,
    weigh,
)
from mailbridge.core.rules import Match, RuleSet
from mailbridge.core.secret import Secret
from mailbridge.core.wording import ForwardWords

LINK_THRESHOLD = 5.0
DECISIVE = 0.98
"""Confidence from which the plain part alone decides."""

PRICE = re.compile(r"[$€£¥₹₽₩₺₴₫฿] ?\d|\d ?[$€£₹₽₩₺₴₫฿]")
MAX_REJECTED = 20
MAX_LINES = 1_500
EARLIEST_ZONE = timedelta(hours=12)
"""A forwarded block's date has no zone: it may have been written up to twelve hours later than it says in UTC."""

QUOTE = re.compile(
    r"^(?:>|\|)|^(?:On|Am|Le|El|Il|Op|Em|W dniu|Den|Dne|Kl)\b.{5,200}(?:wrote|schrieb|écrit|escribió|ha scritto|schreef|escreveu|napisał|skrev|napsal)[^:]{0,20}:$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """A mail's text by where it stands."""

    lines: dict[str, tuple[Line, ...]]
    texts: list[str]
    addresses: str = ""


def extract(message: Message, *, rules: RuleSet, now: datetime, default_lifetime: timedelta) -> Extraction:
    """What a mail holds. Total, deterministic, and no value that the mail does not show.

    ``now`` is the moment of arrival (aware UTC): with it a mail that was forwarded by hand and is older than its code's
    lifetime is EXPIRED. ``default_lifetime`` counts where neither mail nor rule states one.
    """
    found = _extract(message, rules)
    for inner in message.attached:
        inside = _extract(inner, rules)
        # A subject that was forwarded with the mail may show the code too: it is as old as the mail.
        if inside.verdict is not Verdict.NONE and (found.verdict is Verdict.NONE or inside.value == found.value):
            return _aged(inside, inner.date, now, default_lifetime)
    block = forwarded_block(message, rules.wording.forward) if found.verdict.is_pushed else None
    return _aged(found, _latest(block), now, default_lifetime)


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
    if matched is None and message.plain is not None and message.html_body is not None:
        quick = _from_text(message, reader)
        if quick is not None:
            return quick
    parts = _parts(message, rules.wording.forward)
    stated = lifetime.stated_lifetime(parts.texts, rules.wording)
    expires_at = lifetime.stated_expiry(parts.texts, rules.wording)
    if matched is not None:
        return _by_rule(matched, stated, expires_at)
    evidence = _evidence(parts, reader, stated)
    code = _code(evidence, stated, expires_at)
    if code.verdict is not Verdict.NONE or any(_is_nearly(one) for one in evidence):
        return code
    return _link(message, parts, rules, code, stated, expires_at)


def _from_text(message: Message, reader: Reader) -> Extraction | None:
    """The code of the plain part alone, where it leaves no doubt: then the HTML of the same mail need not be read."""
    parts = _parts(message, reader.wording.forward, with_html=False)
    stated = lifetime.stated_lifetime(parts.texts, reader.wording)
    code = _code(_evidence(parts, reader, stated), stated, lifetime.stated_expiry(parts.texts, reader.wording))
    return code if code.verdict is Verdict.CODE and code.confidence >= DECISIVE else None


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


def _parts(message: Message, words: ForwardWords, *, with_html: bool = True) -> _Parts:
    lines: dict[str, tuple[Line, ...]] = {}
    if message.subject:
        lines["subject"] = (Line(text=bare_subject(message.subject, words)),)
    html = message.html if with_html else None
    if html is not None:
        lines["html"], _ = _newest(html)
    if message.plain is not None:
        lines["plain"], lines["quoted"] = _newest(message.plain)
    if is_forward(message, words):
        # What a forward quotes is not older than itself: it is the mail.
        if "plain" in lines:
            lines["plain"], lines["quoted"] = (*lines["plain"], *lines["quoted"]), ()
        for source in {"plain", "html"} & set(lines):
            lines[source] = tuple(line for line in lines[source] if not is_header_line(line.text, message.subject, words))
    if html is not None:
        lines["hidden"] = tuple(Line(text=text) for text in html.hidden)
        lines["image"] = tuple(Line(text=text) for text in html.images)
    texts = [line.text for source in ("subject", "html", "plain") for line in lines.get(source, ())]
    pages = [page for page in (html, message.plain) if page is not None]
    return _Parts(lines=lines, texts=texts, addresses=" ".join(link.url for page in pages for link in page.links))


def _newest(page: Page) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """The newest part of a body, and what it quotes of older mails."""
    fresh: list[Line] = []
    quoted: list[Line] = []
    is_quoting = False
    for line in page.lines[:MAX_LINES]:
        if QUOTE.match(line.text):
            is_quoting = is_quoting or not line.text.startswith((">", "|"))
            quoted.append(Line(text=line.text.lstrip("> |"), is_emphasised=line.is_emphasised))
        elif is_quoting:
            quoted.append(line)
        else:
            fresh.append(line)
    return tuple(fresh), tuple(quoted)


def _evidence(parts: _Parts, reader: Reader, stated: timedelta | None) -> list[Evidence]:
    """Everything that has the shape of a code, each value once, best first."""
    wording = reader.wording
    whole = "\n".join(parts.texts)
    folded = whole.casefold().replace("\n", " ")
    size = len(folded) / (2 if "html" in parts.lines and "plain" in parts.lines else 1)
    act = wording.act.search(folded) is not None
    speaks_of_code, speaks_of_else = spoken_of(parts.texts, reader)
    context = Context(
        speaks_of_code=speaks_of_code,
        states_lifetime=stated is not None,
        speaks_of_signing_in=act,
        is_long=size > LONG_TEXT,
        is_short=size < SHORT_TEXT,
        names_a_price=PRICE.search(whole) is not None,
        speaks_of_else=speaks_of_else,
        is_silent=not speaks_of_code
        and not act
        and len({match.group() for match in wording.common.finditer(folded[:5_000])}) >= 2,
        is_meeting=MEETING.search(whole) is not None,
        subject_kind=subject_kind(parts.texts[:1] if "subject" in parts.lines else [], reader),
    )
    merged: dict[str, Evidence] = {}
    for source, lines in parts.lines.items():
        for one in weigh(source, lines, reader, context):
            _merge(merged, one)
    for one in merged.values():
        seen = one.sources - {"quoted"}
        if one.features and "subject" in seen and seen & {"plain", "html"}:
            one.features["in subject and body"] = WEIGHTS["in subject and body"]
        if one.features and len(seen & {"plain", "html", "hidden", "image"}) > 1:
            one.features["in several parts"] = WEIGHTS["in several parts"]
        if "drawn at random" in one.features and _is_in(one.shape.value, parts.addresses):
            one.features["stands in a link too"] = WEIGHTS["stands in a link too"]
    return sorted(merged.values(), key=lambda one: (-one.score, one.order))


def _is_in(value: str, addresses: str) -> bool:
    """Whether a link carries the value as a part of its own: pages take a code from the link as well as from the field."""
    return value in addresses and re.search(rf"[/=]{re.escape(value)}(?![A-Za-z0-9])", addresses) is not None


def _merge(merged: dict[str, Evidence], one: Evidence) -> None:
    key = one.shape.value.replace("-", "")
    known = merged.get(key)
    if known is None:
        merged[key] = one
        return
    is_better = (bool(one.features), one.score) > (bool(known.features), known.score)
    best, other = (one, known) if is_better else (known, one)
    merged[key] = Evidence(shape=best.shape, features=best.features, sources=best.sources | other.sources, order=best.order)


def _code(evidence: list[Evidence], stated: timedelta | None, expires_at: datetime | None) -> Extraction:
    able = [one for one in evidence if one.features and one.score >= THRESHOLD and _is_credible(one)]
    passed = [one for one in evidence if one not in able]
    rejected = tuple(Rejected(value=Secret(one.shape.shown), why=_why(one)) for one in passed[:MAX_REJECTED])
    if not able:
        return Extraction(verdict=Verdict.NONE, reason="nothing in it looks like a code", rejected=rejected)
    best = able[0]
    rivals = [one for one in able[1:] if best.score - one.score < CLEAR]
    shown = tuple(Rejected(value=Secret(one.shape.shown), why="as good a candidate") for one in (best, *rivals))
    less = tuple(Rejected(value=Secret(one.shape.shown), why="a weaker candidate") for one in able[1:] if one not in rivals)
    return Extraction(
        verdict=Verdict.AMBIGUOUS if rivals else Verdict.CODE,
        value=Secret(best.shape.value),
        displayed=Secret(best.shape.shown),
        rule="generic",
        lifetime=stated,
        expires_at=expires_at,
        confidence=confidence.of_code(best.score, best.score - (able[1].score if len(able) > 1 else 0.0)),
        reason=f"{len(rivals) + 1} candidates are equally good" if rivals else ", ".join(_told(best)),
        rejected=(*(shown if rivals else ()), *less, *rejected)[:MAX_REJECTED],
    )


def _is_credible(one: Evidence) -> bool:
    """What the sum of small things may not do: make a code of a year, or of letters that nobody calls a code."""
    names = one.features
    is_named = bool({"label before it", "label in the line before", "label after it", "told to enter it"} & set(names))
    if one.shape.refusal == "year":
        is_sure = "right beside its label" in names and "in the middle of a sentence" not in names
        is_meant = bool({"a lifetime is stated", "sign-in or verification is spoken of"} & set(names))
        return is_named and ("own line" in names or (is_sure and is_meant))
    if "called something else" in names or "something else in the line before" in names:
        return False
    if one.shape.refusal == "word and number" and not (is_named and ("own line" in names or "set large or apart" in names)):
        return False
    if "the subject speaks of something else" in names and (
        one.shape.kind in ("mixed", "letters")
        or not {"a lifetime is stated", "sign-in or verification is spoken of"} & set(names)
    ):
        return False
    is_labelled = bool({"label before it", "label after it", "set large or apart"} & set(names))
    if (
        one.shape.kind in ("mixed", "letters")
        and {"a long text", "an offer or order is spoken of"} & set(names)
        and not is_labelled
    ):
        return False
    if {"in the subject", "after a colon", "digits", "a code is spoken of"} <= set(names):
        return not {"an offer or order is spoken of", "the subject speaks of something else"} & set(names)
    if one.shape.kind == "phrase":
        return is_named and ("own line" in names or {"right beside its label", "in subject and body"} <= set(names))
    if one.shape.kind == "letters":
        is_apart = bool({"own line", "after a colon", "set large or apart"} & set(names))
        return is_named and (is_apart or {"right beside its label", "drawn at random"} <= set(names))
    if one.shape.kind == "mixed" and not ("own line" in names or "set large or apart" in names):
        is_told = bool({"right beside its label", "label after it", "told to enter it", "origin-bound"} & set(names))
        return is_told or ("drawn at random" in names and (is_named or "after a colon" in names))
    return bool({"own line", "set large or apart"} & set(names)) or is_named or "origin-bound" in names


def _is_nearly(one: Evidence) -> bool:
    """A likely code that falls short: with it, a link of the same mail is held too."""
    shape = one.shape
    is_placed = bool({"own line", "after a colon", "set large or apart"} & set(one.features))
    return is_placed and shape.kind in ("digits", "mixed") and shape.refusal is None and one.score >= 3.0


def _told(one: Evidence) -> list[str]:
    return [name for name, weight in sorted(one.features.items(), key=lambda item: -item[1]) if weight > 0][:4]


def _why(one: Evidence) -> str:
    if one.shape.refusal is not None:
        return one.shape.refusal
    against = [name for name, weight in one.features.items() if weight < -1]
    return against[0] if against else "too little speaks for it"


def _link(
    message: Message, parts: _Parts, rules: RuleSet, none: Extraction, stated: timedelta | None, expires_at: datetime | None
) -> Extraction:
    pages = [page for page in (message.html, message.plain) if page is not None]
    ranked = links.rank(tuple(link for page in pages for link in page.links), rules.wording)
    if not ranked or ranked[0].score < LINK_THRESHOLD:
        return none
    sender = "" if is_forward(message, rules.wording.forward) else message.sender
    if not links.is_plausible(
        ranked[0], bare_subject(message.subject, rules.wording.forward), parts.texts, rules.wording, sender
    ):
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
