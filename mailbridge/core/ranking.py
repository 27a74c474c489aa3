"""How candidates are ranked: each feature adds to a score, and the score decides (`core.features` has the weights)."""

from __future__ import annotations

import re

from mailbridge.core.candidates import Shape, ascii_digits
from mailbridge.core.context import Context, has_percentage
from mailbridge.core.evidence import Evidence
from mailbridge.core.features import CLOSELY, NAMING, Feature
from mailbridge.core.looks import Look
from mailbridge.core.mail import Line
from mailbridge.core.naming import EDGES, ENDS, Naming
from mailbridge.core.reading import Reader, Reading

APART = 30
"""Characters beside a candidate up to which its emphasis is its own, and not that of a heading around it."""

LISTED = 3
CLOSED = re.compile(r"[\"'*”»）)\]】]{0,3}(?:[.!।॥۔։።།](?:\s|$)|[。！，、；,;،؛။၊។៕]\D)")
"""A sentence or clause that ends with the candidate."""

ALIEN = re.compile(r"[\u0370-\u1fff\u3040-\ud7af]")
INTRODUCING = (":", "：", "=", "》", "-", "–", "—", "՝", "→", "»")
F = Feature
PURPOSE = frozenset({F.LIFETIME, F.SIGN_IN, F.SUBJECT_OF_CODE, F.IN_SUBJECT, F.OWN_LINE, F.LONE})
"""What tells what a code is for, or that it is one."""

OF_CODE = frozenset({F.CODE_MENTIONED, F.LIFETIME, F.ORIGIN_BOUND, F.IN_LINK})
"""What only a mail with a code says."""

LABELLED = frozenset({F.LABEL_BEFORE, F.LABEL_AFTER})
OF_NUMBER = frozenset({F.LIFETIME, F.ORIGIN_BOUND, F.IN_LINK, F.OWN_LINE, F.EMPHASISED, F.MARKED, F.AFTER_COLON})
"""What tells that a number behind a label is the one that it names, though another word stands between."""

ELSEWHERE = frozenset({F.CALLED_ELSE, F.ELSE_IN_LINE, F.ELSE_ABOVE, F.ELSE_MENTIONED, F.SUBJECT_OF_ELSE})
OF_LOOK = {Look.WORD: F.WORD, Look.WORD_AND_NUMBER: F.WORD_AND_NUMBER, Look.ZIP: F.ZIP, Look.PHONE: F.PHONE}


def weigh(source: str, lines: tuple[Line, ...], reader: Reader, context: Context) -> list[Evidence]:
    """Every candidate of one part of a mail, with its features; refused shapes too, without any."""
    if not lines:
        return []
    reading = Reading([ascii_digits(line.text) for line in lines], reader, context.names)
    rows = [(index, line, seen) for index, line in enumerate(lines) if (seen := reading.shapes(index))]
    if not rows:
        return []
    of_mail = _of_mail(source, context)
    found: list[Evidence] = []
    for index, line, seen in rows:
        # Lines of dates and prices alone are many in a long mail, and nothing names what is refused.
        named = reading.namings(index) if any(shape.refusal is None for shape in seen) else [None] * len(seen)
        for shape, naming in zip(seen, named, strict=True):
            evidence = Evidence(shape=shape, sources={source}, order=index)
            if shape.refusal is None and naming is not None:
                text = reading.texts[index]
                evidence.is_weighed = True
                evidence.features = _placed(shape, line, text) | reading.named(index, shape, naming) | of_mail
                _amend(evidence, naming, reading, index, context, source)
                evidence.is_called = evidence.has_any(CLOSELY) and source != "quoted"
            found.append(evidence)
    return _listed(found)


def _amend(evidence: Evidence, naming: Naming, reading: Reading, index: int, context: Context, source: str) -> None:
    """The features that follow from others."""
    features, shape = evidence.features, evidence.shape
    if F.BESIDE_LABEL in features:
        # What is called a code right beside it needs no look.
        features.difference_update({F.ZIP, F.ELSE_MENTIONED} if F.CODE_MENTIONED in features else {F.ZIP})
    text, things = reading.texts[index], reading.things
    if F.IN_SUBJECT in features and not text[: shape.start].strip(EDGES):
        features.add(F.HEADS_SUBJECT)
    is_unsure = not features.isdisjoint(LABELLED) and features.isdisjoint(OF_NUMBER)
    is_of_thing = is_unsure and things.has_label(text, shape, naming, is_mid_sentence=F.MID_SENTENCE in features)
    if is_of_thing:
        features -= {F.BESIDE_LABEL, *LABELLED}
        features.add(F.LABEL_EARLIER)
    is_named = not features.isdisjoint(NAMING)
    is_alone = F.OWN_LINE in features and source != "image"
    if is_named:
        features.discard(F.MARKED)
    if is_alone and not reading.is_introduced(index):
        if reading.is_in_table(index):
            features.add(F.IN_TABLE)
        is_headed = F.EMPHASISED in features and F.IN_TABLE not in features and reading.beside(index, -1) is not None
        is_introduced = is_named or is_headed
        if not is_named and features.isdisjoint(OF_CODE) and reading.is_below_thing(index):
            features.add(F.UNNAMED)
    else:
        is_introduced = True
    is_only = shape.value == context.lone and F.SUBJECT_OF_ELSE not in features
    if is_only and (is_introduced or context.is_bare):
        features.add(F.LONE)
        is_apart = is_alone or F.MARKED in features or (F.AFTER_COLON in features and _is_last(text, shape))
        is_free = not is_named and not is_of_thing and (is_apart or not context.has_links)
        if F.SIGN_IN in features:
            if is_free and not things.has_number(text, shape, is_alone=is_apart, is_announced=F.LABEL_EARLIER in features):
                features.add(F.LONE_FOR_SIGN_IN)
        elif context.is_of_site and not is_named and features.isdisjoint(ELSEWHERE) and not things.is_numbered(text, shape):
            features.add(F.LONE_OF_SITE)
    elif not is_named and features.isdisjoint({F.CODE_MENTIONED, F.SIGN_IN, F.ORIGIN_BOUND}):
        features.add(F.UNNAMED)
    if F.MID_SENTENCE in features and naming.is_generic and features.isdisjoint(PURPOSE):
        features.add(F.VAGUE)


def _is_last(text: str, shape: Shape) -> bool:
    return not text[shape.end :].strip(EDGES)


def _listed(found: list[Evidence]) -> list[Evidence]:
    """Three and more of one form, each alone on its line or all in one, are a list: backup codes, statistics, filler."""
    if len(found) < LISTED:
        return found
    rows: dict[tuple[int, int], list[Evidence]] = {}
    for one in found:
        if one.shape.kind == "digits" and one.shape.refusal is None and not one.shape.is_grouped:
            rows.setdefault((one.order, len(one.shape.value)), []).append(one)
    for row in rows.values():
        if len(row) >= LISTED:
            for one in row:
                one.features.add(F.LISTED)
    forms: dict[str, set[str]] = {}
    alone = [(one, _form(one)) for one in found if F.OWN_LINE in one.features]
    for one, form in alone:
        forms.setdefault(form, set()).add(one.shape.value)
    for one, form in alone:
        if len(forms[form]) >= LISTED:
            one.features.add(F.LISTED)
    return found


def _form(one: Evidence) -> str:
    return re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"[0-9]", "0", one.shape.shown)))


def _placed(shape: Shape, line: Line, text: str) -> set[Feature]:
    """The features of the shape itself and of its place in its line."""
    found = _shaped(shape)
    is_alone = text.strip(EDGES) == shape.shown.strip(EDGES)
    head, tail = text[: shape.start].rstrip(), text[shape.end :]
    if is_alone:
        found.add(F.OWN_LINE)
    elif head.endswith(INTRODUCING) or (head.endswith("is") and not tail.strip(EDGES)):
        found.add(F.AFTER_COLON)
    elif head.strip(EDGES) and tail.strip(EDGES) and not CLOSED.match(tail) and not head.endswith(ENDS):
        found.add(F.MID_SENTENCE)
    if line.is_emphasised and len(text) <= len(shape.shown) + APART:
        found.add(F.EMPHASISED)
    elif shape.shown in line.marked:
        found.add(F.MARKED)
    if shape.is_bound:
        found.add(F.ORIGIN_BOUND)
    elif shape.start and text[shape.start - 1] == "#":
        found.add(F.HASHED)
    elif tail.startswith("#"):
        found.add(F.TEL_SUFFIX)
    if has_percentage(text):
        found.add(F.PERCENTAGE)
    if shape.kind != "digits" and not text.isascii() and _is_among_aliens(head, tail):
        found.add(F.FOREIGN)
    return found


def _is_among_aliens(head: str, tail: str) -> bool:
    """Whether the nearest letters on both sides are of a script that has no capitals and small letters of Latin."""
    before = next((letter for letter in reversed(head) if letter.isalpha()), "")
    after = next((letter for letter in tail if letter.isalpha()), "")
    return bool(before + after) and all(ALIEN.match(letter) for letter in (before, after) if letter)


def _shaped(shape: Shape) -> set[Feature]:
    found: set[Feature] = set()
    if shape.kind == "digits":
        found.add(F.DIGITS)
        if len(shape.value) == 6:
            found.add(F.SIX_DIGITS)
        elif len(shape.value) >= 9:
            found.add(F.NINE_DIGITS)
    elif shape.kind == "letters":
        found.add(F.SMALL_LETTERS if shape.shown.islower() else F.LETTERS)
    if shape.is_run_in:
        found.add(F.RUN_IN)
    if shape.is_random:
        found.add(F.RANDOM)
    if shape.look in OF_LOOK:
        found.add(OF_LOOK[shape.look])
    return found


def _of_mail(source: str, context: Context) -> set[Feature]:
    """The features that hold for every candidate of one part of a mail."""
    told = (
        (F.IN_SUBJECT, source == "subject"),
        (F.HIDDEN, source == "hidden"),
        (F.QUOTED, source == "quoted"),
        (F.CODE_MENTIONED, context.speaks_of_code),
        (F.LIFETIME, context.states_lifetime),
        (F.SIGN_IN, context.speaks_of_signing_in),
        (F.LONG_TEXT, context.is_long),
        (F.SHORT_TEXT, context.is_short),
        (F.PRICE, context.names_a_price),
        (F.SUBJECT_OF_CODE, context.subject_kind == "code" and source != "subject"),
        (F.SUBJECT_OF_ELSE, context.subject_kind == "other"),
        (F.ELSE_MENTIONED, context.subject_kind != "other" and context.speaks_of_else),
        (F.TO_A_LIST, context.is_listed),
        (F.WITH_FILES, context.has_files),
    )
    return {feature for feature, holds in told if holds}
