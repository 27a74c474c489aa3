"""The lines of one part, and what the words of each and of its neighbours say of a shape."""

from __future__ import annotations

import re
from dataclasses import replace

from mailbridge.core.candidates import Shape, shapes
from mailbridge.core.features import Feature
from mailbridge.core.labels import Label, labels
from mailbridge.core.looks import Look, Stretch, certain
from mailbridge.core.naming import (
    ADJACENT,
    BESIDE,
    BREAK,
    CLOSES,
    EDGES,
    ENDS,
    FRAGMENT,
    NEAR,
    OWN_NAME,
    Naming,
    heading,
    namings,
)
from mailbridge.core.parts import plain_name
from mailbridge.core.script import SPACELESS_LETTER, folded
from mailbridge.core.things import Things
from mailbridge.core.wording import Wording

MAX_LABELLED = 2_000
CROWDED = 9
"""Letters a word above which a line is written without blanks."""

DAYS = re.compile(r"^[^.!?\d]{0,40}?\b(\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2}))\b(?! ?(?:,|at)? ?\d{1,2}:\d{2})")
"""A day, without a time of day, in the words that follow."""

NUMBER_IS = re.compile(r"[^.!?\d]{0,20}[:：]\s*")
"""What ends a longer line whose last words name the number in the next: ``your case number is:``."""

WORD = re.compile(r"[^\W\d_]+")
LONGEST_NUMBER = 9
"""Letters up to which one word for a number is no more than that; a longer one is made of two: ``sagsnummer``."""


def without_names(found: tuple[Shape, ...], names: frozenset[str]) -> tuple[Shape, ...]:
    """The shapes, those refused that the sender is called by: what mixes letters and digits in its name, as ``Neo4j`` does."""
    if not found or all(shape.kind == "digits" for shape in found):
        return found
    return tuple(
        replace(shape, refusal=OWN_NAME, look=None, is_random=False) if is_own_name(shape, names) else shape for shape in found
    )


def is_own_name(shape: Shape, names: frozenset[str]) -> bool:
    """Whether a shape with letters is a name of the sender."""
    return shape.kind != "digits" and plain_name(shape.shown) in names


class Reader:
    """Finds the shapes and the labels of lines, each line's once: the parts of a mail often say the same."""

    def __init__(self, wording: Wording) -> None:
        self.wording = wording
        self._labels: dict[str, tuple[Label, ...]] = {}
        self._shapes: dict[str, tuple[Shape, ...]] = {}
        self._looks: dict[str, list[Stretch]] = {}

    def labels(self, text: str) -> tuple[Label, ...]:
        """The words of a line that name numbers; of a very long line, those of its beginning."""
        found = self._labels.get(text) if text else ()
        if found is None:
            found = self._labels[text] = labels(text[:MAX_LABELLED], self.wording)
        return found

    def shapes(self, text: str) -> tuple[Shape, ...]:
        """What has the shape of a code in a line."""
        found = self._shapes.get(text) if text else ()
        if found is None:
            found = self._shapes[text] = self._dated(text, shapes(text, is_slot=self._is_slot(text), looks=self.looks))
        return found

    def looks(self, text: str) -> list[Stretch]:
        """What a line, its addresses masked, is certain to hold that is no code."""
        found = self._looks.get(text)
        if found is None:
            found = self._looks[text] = certain(text)
        return found

    def _dated(self, text: str, found: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shapes, years that stand in a date written out in any language refused."""
        if not found or not any(shape.look is Look.YEAR for shape in found):
            return found
        days = self.wording.dates.spans(folded(text))
        return tuple(
            replace(shape, refusal="date or time", look=None)
            if shape.look is Look.YEAR and any(low < shape.end and shape.start < high for low, high in days)
            else shape
            for shape in found
        )

    def _is_slot(self, text: str) -> bool:
        """Whether small letters in a line may be a code: it is one word of them, or it names a code."""
        bare = text.strip(EDGES)
        if bare.isascii() and " " not in bare:
            return 4 <= len(bare) <= 10 and bare.isalpha() and bare.islower()
        return any(label.is_code for label in self.labels(text))


class Reading:
    """The lines of one part by number, as a `Reader` knows them. ``names`` are those of the sender (`mailbridge.core.parts.own_names`);
    ``things`` tells the numbers of things from codes."""

    def __init__(self, texts: list[str], reader: Reader, names: frozenset[str] = frozenset()) -> None:
        self.texts = texts
        self._reader = reader
        self._wording = reader.wording
        self._names = names
        self.things = Things(texts, reader.wording, names)

    def shapes(self, index: int) -> tuple[Shape, ...]:
        """What has the shape of a code in a line; the sender's own name is refused."""
        return without_names(self._reader.shapes(self.texts[index]), self._names)

    def labels(self, index: int) -> tuple[Label, ...]:
        """The words of a line that name numbers."""
        return self._reader.labels(self.texts[index])

    def namings(self, index: int) -> list[Naming]:
        """What the words of its own line call each shape of a line."""
        return namings(self.texts[index], self.shapes(index), self.labels(index))

    def named(self, index: int, shape: Shape, naming: Naming) -> set[Feature]:
        """The features that words give: those of the line first, then those of its neighbours."""
        text = self.texts[index]
        head, tail = text[: shape.start].strip(EDGES), text[shape.end :].strip(EDGES)
        found = self._in_line(naming, text, shape)
        if not found and not head and (above := self.beside(index, -1)) is not None:
            label = heading(self.texts[above], self.shapes(above), self.labels(above))
            if label is not None and len(self.texts[above]) - label.end < NEAR * 4:
                if label.is_code:
                    found.add(Feature.LABEL_ABOVE)
                elif len(self.texts[above]) < NEAR or NUMBER_IS.fullmatch(self.texts[above], label.end):
                    found.add(Feature.ELSE_ABOVE)
            elif not self.labels(above) and self._is_name_of_number(self.texts[above]):
                found.add(Feature.ELSE_ABOVE)
        if ("." in tail or "/" in tail or "-" in tail) and self.is_valid_to_a_day(text, shape):
            found.add(Feature.VALID_TO_DAY)
        if not found and naming.before is None and not head and not tail and (below := self.beside(index, 1)) is not None:
            first = next(iter(self.labels(below)), None)
            is_heading = self.texts[below].rstrip().endswith((":", "："))
            if not is_heading and first is not None and first.is_code and first.start < NEAR * 2:
                found.add(Feature.LABEL_BELOW)
        return found

    def _is_name_of_number(self, text: str) -> bool:
        """Whether a line is a few words that name the number of a thing (``Číslo žiadosti:``), and tell neither to enter it nor what it opens."""
        plain = folded(text).strip(EDGES)
        words = plain.split()
        is_name = len(words) <= FRAGMENT + 2 and (len(words) > 1 or len(plain) > LONGEST_NUMBER or SPACELESS_LETTER.match(plain))
        if not is_name or len(plain) > NEAR // 2 or CLOSES.search(plain) is not None:
            return False
        wording = self._wording
        return wording.numbered.any(plain) and not wording.enter.any(plain) and not wording.act.any(plain)

    def is_valid_to_a_day(self, text: str, shape: Shape) -> bool:
        """Whether its sentence says that it is valid to a day: coupons and prizes are, codes for minutes."""
        tail = text[shape.end : shape.end + NEAR]
        day = DAYS.search(tail)
        return day is not None and self._wording.expiry.any(folded(tail[: day.start(1)]))

    def _in_line(self, naming: Naming, text: str, shape: Shape) -> set[Feature]:
        found: set[Feature] = set()
        is_named_before = naming.before == "code" and not naming.is_past_sentence
        if is_named_before and not self.things.is_label_for(text, shape, naming):
            found.add(Feature.LABEL_BEFORE)
            if naming.gap <= BESIDE:
                found.add(Feature.BESIDE_LABEL)
        elif naming.before == "other" and not naming.is_past_sentence:
            found.add(Feature.CALLED_ELSE)
        elif naming.after == "code" and not self.things.is_label_entered(text, shape, naming):
            found.add(Feature.LABEL_AFTER)
            if naming.is_apposed and naming.gap_after <= BESIDE:
                found.add(Feature.BESIDE_LABEL)
        elif naming.after == "other":
            found.add(Feature.CALLED_ELSE if naming.is_apposed else Feature.ELSE_IN_LINE)
        elif naming.before == "code":
            found.add(Feature.LABEL_EARLIER)
        elif naming.before == "other":
            found.add(Feature.ELSE_IN_LINE)
        if naming.before == "code" and naming.after == "other" and naming.gap > ADJACENT:
            found.add(Feature.ELSE_IN_LINE)
        is_apart = naming.before == "other" and BREAK.search(text[max(0, shape.start - naming.gap) : shape.start]) is not None
        if (
            Feature.LABEL_BEFORE not in found
            and (is_apart or Feature.CALLED_ELSE not in found)
            and self._is_to_be_entered(text, shape, naming)
        ):
            found.add(Feature.TOLD_TO_ENTER)
        return found

    def is_below_thing(self, index: int) -> bool:
        """Whether the line above may be the name of a thing, in a part that speaks of signing in and tells neither to enter something, nor
        to keep it secret, nor that it works once."""
        above = self.beside(index, -1)
        if above is None or not self.things.is_name(self.texts[above]):
            return False
        return self.things.is_signed_in and not (self.things.is_kept or self.things.is_entered)

    def _is_to_be_entered(self, text: str, shape: Shape, naming: Naming) -> bool:
        """Whether somebody is an instruction to enter it, in a line that also says what for."""
        if not self._wording.act.any(folded(text)):
            return False
        head = folded(text[max(0, shape.start - 2 * ADJACENT) : shape.start])
        tail = folded(text[shape.end : shape.end + ADJACENT])
        if naming.after == "code" and self.things.is_label_entered(text, shape, naming):
            tail = ""
        return any(self._is_object(head[end:]) for _, end in self.things.told(head)) or bool(self.things.told(tail))

    def _is_object(self, between: str) -> bool:
        """Whether what stands between an instruction and a number lets the number be what is entered: nothing, an article, or a word for a
        number or a code. ``Write to us and name case 4829`` tells to enter nothing."""
        words = WORD.findall(between)
        if not words or (len(words) == 1 and len(words[0]) <= FRAGMENT):
            return True
        return len(words) <= FRAGMENT and (self._wording.numbered.any(between) or self._wording.code.any(between))

    def is_introduced(self, index: int) -> bool:
        """Whether a sentence stands above a line: so codes are introduced in any language.

        A few words without the end of a sentence are the name of a value, or of a person: what they name, only they can say.
        """
        above = self.beside(index, -1)
        if above is None:
            return False
        text = self.texts[above].strip("*_ ")
        words = text.split()
        if text.endswith((",", "，", "、", "،")):
            return False  # a greeting, or a name
        if len(words) > FRAGMENT or (not text.isascii() and sum(map(str.isalpha, text)) > CROWDED * len(words)):
            return True
        return len(words) > 1 and text.endswith(ENDS)

    def is_in_table(self, index: int) -> bool:
        """Whether names and values alternate around a line: a few words above it, and a few words twice below."""
        around = [self.beside(index, -1)]
        around.append(self.beside(index, 1))
        around.append(self.beside(around[1], 1) if around[1] is not None else None)
        texts = [self.texts[place] for place in around if place is not None]
        is_named = not any(letter.isdigit() for text in texts[:2] for letter in text)
        return len(texts) == 3 and is_named and all(self._is_fragment(text) for text in texts)

    def _is_fragment(self, text: str) -> bool:
        return len(text.split()) <= FRAGMENT and not text.rstrip("*_ ").endswith(ENDS)

    def beside(self, index: int, step: int) -> int | None:
        """The nearest line with words or numbers, at most three away."""
        for distance in range(1, 4):
            place = index + step * distance
            if not 0 <= place < len(self.texts):
                return None
            if any(letter.isalnum() for letter in self.texts[place]):
                return place
        return None
