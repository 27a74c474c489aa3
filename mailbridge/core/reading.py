"""The lines of one part, and what the words of each and of its neighbours say of a shape."""

from __future__ import annotations

import re
from dataclasses import replace

from mailbridge.core.candidates import Shape, shapes
from mailbridge.core.features import Feature
from mailbridge.core.labels import Label, labels
from mailbridge.core.looks import Look, Stretch, certain
from mailbridge.core.naming import ADJACENT, BESIDE, CLOSES, NEAR, NUMBERED, OWN_NAME, TOUCHING, Naming, heading, namings
from mailbridge.core.parts import plain_name
from mailbridge.core.script import SPACELESS_LETTER, folded
from mailbridge.core.wording import Wording
from mailbridge.core.words import Span, Words

MAX_LABELLED = 2_000
EDGES = " \t\"'*_`.:;,!()[]{}<>|«»“”„‘’「」【】『』-–—=~#・。、，：→▶►›"
ENDS = (".", "!", "?", "…", "。", "！", "？", "।", "॥", "؟", "۔", "։", "።", "།", "။", "។", ":", "：", "՝")
"""Marks that end a sentence, or introduce what follows."""

BREAK = re.compile(r"[,;:.!?，、；：。！？،؛؟۔।॥։՝።၊။។]")
"""What parts a word that ends one thought from an instruction that begins the next."""

CROWDED = 9
"""Letters a word above which a line is written without blanks."""

DAYS = re.compile(r"^[^.!?\d]{0,40}?\b(\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2}))\b(?! ?(?:,|at)? ?\d{1,2}:\d{2})")
"""A day, without a time of day, in the words that follow."""

NUMBER_IS = re.compile(r"[^.!?\d]{0,20}[:：]\s*")
"""What ends a longer line whose last words name the number in the next: ``your case number is:``."""

WORD = re.compile(r"[^\W\d_]+")
LONGEST_NUMBER = 9
"""Letters up to which one word for a number is no more than that; a longer one is made of two: ``sagsnummer``."""

SHORT_WORD = 4
"""Letters of an article or a preposition."""

COPULAS = frozenset(
    [
        "is",
        "ist",
        "est",
        "es",
        "è",
        "é",
        "este",
        "jest",
        "to",
        "är",
        "er",
        "on",
        "ir",
        "yra",
        "je",
        "là",
        "adalah",
        "είναι",
        "hai",
        "howa",
        "huwa",
        "ialah",
        "einai",
        "eshte",
        "është",
        "estas",
        "lautet",
        "reads",
        "הוא",
        "היא",
        "هو",
        "هي",
        "ito",
    ]
)
"""What stands between a name and its value in sentences of many languages: ``este 482913``."""

SHORTEST_THING = 3
"""Letters that the name of a thing has at least, where words have blanks between."""

BRACKETS = ("(", "[", "（", "【")
FRAGMENT = 3
"""Words up to which a line above a number may be its name, and is no sentence."""


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


def _last_sentence(text: str) -> str:
    """What stands behind the last end of a sentence."""
    ended = [match.end() for match in CLOSES.finditer(text)]
    return text[ended[-1] :] if ended else text


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
    """The lines of one part by number, as a `Reader` knows them. ``names`` are those of the sender (`mailbridge.core.parts.own_names`)."""

    def __init__(self, texts: list[str], reader: Reader, names: frozenset[str] = frozenset()) -> None:
        self.texts = texts
        self._reader = reader
        self._wording = reader.wording
        self._names = names

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
        if is_named_before and not self._is_label_for(text, shape, naming):
            found.add(Feature.LABEL_BEFORE)
            if naming.gap <= BESIDE:
                found.add(Feature.BESIDE_LABEL)
        elif naming.before == "other" and not naming.is_past_sentence:
            found.add(Feature.CALLED_ELSE)
        elif naming.after == "code" and not self._is_label_entered(text, shape, naming):
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

    def is_of_thing(self, index: int, shape: Shape, *, is_alone: bool, is_announced: bool) -> bool:
        """Whether a shape may be the number of a thing, or count things: ``report 482913``, ``Report number: 482913``, ``4821 new
        followers``. A word for signing in is no thing. ``is_alone``: it stands apart from its sentence; ``is_announced``: an earlier
        sentence has announced it, so what stands behind it may be the next one."""
        text = self.texts[index]
        if self.is_numbered(index, shape):
            return True
        if is_alone:
            return self._is_value_of_thing(text[: shape.start])
        if self._is_told_directly(text, shape):
            return False
        return self._is_behind_thing(text, shape) or (not is_announced and self._is_before_thing(text, shape))

    def _is_told_directly(self, text: str, shape: Shape) -> bool:
        """Whether an instruction to enter something stands right before a shape, or right behind it and before no name of a code."""
        head = folded(text[max(0, shape.start - NEAR) : shape.start]).rstrip()
        if any(end == len(head) for _, end in self._told(head)):
            return True
        tail = folded(text[shape.end : shape.end + NEAR])
        is_told = any(not tail[:start].strip(EDGES) for start, _ in self._told(tail))
        return is_told and not any(label.is_code and label.start >= shape.end for label in self._reader.labels(text))

    def _is_value_of_thing(self, head: str) -> bool:
        """Whether what stands before a number is the name of a thing and a colon."""
        return head.rstrip().endswith((":", "：")) and self._is_thing(head)

    def is_below_thing(self, index: int) -> bool:
        """Whether the line above may be the name of a thing, and no line says to enter something, to keep it secret, or that it works once."""
        above = self.beside(index, -1)
        if above is None or not self._is_thing(self.texts[above]):
            return False
        return not self._has(self._wording.enter, self._wording.secret, self._wording.once)

    def _is_thing(self, text: str) -> bool:
        """Whether a text is a word or two, none for signing in and not the sender's name."""
        name = folded(text).strip(EDGES)
        is_name = 0 < len(name.split()) < FRAGMENT and name.replace(" ", "").isalpha() and plain_name(name) not in self._names
        return is_name and not self._wording.act.any(name) and not self._wording.enter.any(name)

    def _is_behind_thing(self, text: str, shape: Shape) -> bool:
        head = folded(text[max(0, shape.start - NEAR) : shape.start]).rstrip()
        if head.endswith(BRACKETS):
            return True
        word = head.rpartition(" ")[2]
        if not word[-1:].isalpha() or word in COPULAS or plain_name(word) in self._names:
            return False
        if len(word) < SHORTEST_THING and SPACELESS_LETTER.match(word[-1]) is None:
            return False
        return not any(end == len(head) for _, end in (*self._wording.act.spans(head), *self._told(head)))

    def _is_before_thing(self, text: str, shape: Shape) -> bool:
        """Whether a sentence begins with the shape, and goes on with a word that is not near one for signing in."""
        head, tail = _last_sentence(text[: shape.start]), folded(text[shape.end : shape.end + NEAR])
        is_first = head.rstrip().endswith((":", "：")) or not any(map(str.isalpha, head))
        if not (is_first and tail[:1].isspace() and tail[1:2].isalpha()):
            return False
        between = [tail[:start] for start, _ in self._wording.act.spans(tail)]
        return not any(BREAK.search(one) is None and max(map(len, one.split()), default=0) <= SHORT_WORD for one in between)

    def is_label_of_thing(self, index: int, shape: Shape, naming: Naming, *, is_mid_sentence: bool) -> bool:
        """Whether the label beside a number is that of a thing, and the number too: ``The password for account 482913 has changed``. Where
        the mail says to keep it secret, or that it works once, it means the number. ``is_mid_sentence``: words stand on both sides."""
        text = self.texts[index]
        if naming.before == "code" and naming.gap <= TOUCHING:
            return False
        is_apart = is_mid_sentence and naming.before == "code" and self._is_behind_thing(text, shape)
        return (is_apart or self._wording.notice.any(folded(text))) and not self._has(self._wording.secret, self._wording.once)

    def _has(self, *kinds: Words) -> bool:
        return any(kind.any(line) for line in map(folded, self.texts) for kind in kinds)

    def _is_label_for(self, text: str, shape: Shape, naming: Naming) -> bool:
        """Whether the label before a number is to be entered for that thing: ``Enter your password to open report 482913``."""
        end = shape.start - naming.gap
        is_apart = naming.gap > BESIDE and self._is_behind_thing(text, shape)
        return is_apart and bool(self._told(folded(_last_sentence(text[max(0, end - NEAR) : end]))))

    def _is_label_entered(self, text: str, shape: Shape, naming: Naming) -> bool:
        """Whether the label behind a number is what is to be entered, and the number another thing's: ``To open report 482913, enter your
        password``."""
        between = folded(text[shape.end : shape.end + naming.gap_after])
        return self._is_behind_thing(text, shape) and (self._is_joined(between) or bool(self._told(between)))

    def _is_joined(self, between: str) -> bool:
        """Whether what stands between two things begins with ``and``."""
        joint = self._wording.sharing.match(between)
        return joint is not None and any(map(str.isalpha, joint.group())) and not joint.group()[-1].isalpha()

    def _is_to_be_entered(self, text: str, shape: Shape, naming: Naming) -> bool:
        """Whether somebody is an instruction to enter it, in a line that also says what for."""
        if not self._wording.act.any(folded(text)):
            return False
        head = folded(text[max(0, shape.start - 2 * ADJACENT) : shape.start])
        tail = folded(text[shape.end : shape.end + ADJACENT])
        if naming.after == "code" and self._is_label_entered(text, shape, naming):
            tail = ""
        return any(self._is_object(head[end:]) for _, end in self._told(head)) or bool(self._told(tail))

    def _told(self, part: str) -> list[Span]:
        """What in a part of a line tells to enter something; "write to us" and its like say something else."""
        hits = self._wording.enter.spans(part)
        if not hits:
            return []
        idioms = self._wording.idiom.spans(part)
        return [(start, end) for start, end in hits if not any(low <= start and end <= high for low, high in idioms)]

    def _is_object(self, between: str) -> bool:
        """Whether what stands between an instruction and a number lets the number be what is entered: nothing, an article, or a word for a
        number or a code. ``Write to us and name case 4829`` tells to enter nothing."""
        words = WORD.findall(between)
        if not words or (len(words) == 1 and len(words[0]) <= FRAGMENT):
            return True
        return len(words) <= FRAGMENT and (self._wording.numbered.any(between) or self._wording.code.any(between))

    def is_numbered(self, index: int, shape: Shape) -> bool:
        """Whether its sentence calls it the number of a thing: ``case no. 4829``, ``Numărul cererii: 4829``, ``4829 is your member number``.
        The number of a sign-in is none."""
        head = _last_sentence(folded(self.texts[index][max(0, shape.start - 3 * ADJACENT) : shape.start]).rstrip(" .:：՝#"))
        tail = folded(self.texts[index][shape.end : shape.end + 2 * ADJACENT])
        ends = CLOSES.search(tail)
        around = head, tail[: ends.start() if ends is not None else len(tail)]
        is_called = NUMBERED.search(head.rpartition(" ")[2]) is not None or any(map(self._wording.numbered.any, around))
        return is_called and not any(map(self._wording.act.any, around))

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
