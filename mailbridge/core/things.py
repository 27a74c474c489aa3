"""Whether a number is that of a thing, and no code: ``report 482913``, ``The password for account 482913 has changed``.

Notices name things by numbers of every form that codes have, and they speak of signing in, of confirming and of passwords, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from mailbridge.core.candidates import Shape
from mailbridge.core.naming import ADJACENT, BESIDE, BREAK, CLOSES, EDGES, FRAGMENT, NEAR, NUMBERED, TOUCHING, Naming
from mailbridge.core.parts import plain_name
from mailbridge.core.script import SPACELESS_LETTER, folded
from mailbridge.core.wording import Wording
from mailbridge.core.words import Span

COPULA = re.compile("ist|est|este|jest|yra|adalah|ialah|estas|lautet|reads|ito|hai|howa|huwa|einai|eshte|është|είναι|הוא|היא")
"""What stands between a name and its value in sentences of many languages: ``este 482913``. A word shorter than SHORTEST_THING names
nothing anyway."""

SHORTEST_THING = 3
"""Letters that the name of a thing has at least, where words have blanks between."""

SHORT_WORD = 4
"""Letters of an article or a preposition."""

OPENING = ("(", "[", "（", "【")
COLONS = (":", "：")


class Things:
    """Tells it of the numbers of one part. ``names`` are those of the sender."""

    def __init__(self, texts: Sequence[str], wording: Wording, names: frozenset[str]) -> None:
        self._texts = texts
        self._wording = wording
        self._names = names

    @cached_property
    def is_kept(self) -> bool:
        """Whether a line says to keep something secret, or that it works once."""
        return any(self._wording.secret.any(line) or self._wording.once.any(line) for line in map(folded, self._texts))

    @cached_property
    def is_signed_in(self) -> bool:
        """Whether a line speaks of signing in, or of confirming something."""
        return any(map(self._wording.act.any, map(folded, self._texts)))

    @cached_property
    def is_entered(self) -> bool:
        """Whether a line says to enter something."""
        return any(map(self._wording.enter.any, map(folded, self._texts)))

    def told(self, part: str) -> list[Span]:
        """What in a part of a line, without capitals, tells to enter something; "write to us" and its like say something else."""
        hits = self._wording.enter.spans(part)
        if not hits:
            return []
        idioms = self._wording.idiom.spans(part)
        return [(start, end) for start, end in hits if not any(low <= start and end <= high for low, high in idioms)]

    def has_number(self, text: str, shape: Shape, *, is_alone: bool, is_announced: bool) -> bool:
        """Whether a shape that no label names may be the number of a thing, or count things: ``report 482913``, ``Report number: 482913``,
        ``4821 new followers``. A word for signing in is no thing.

        ``is_alone``: it stands apart from its sentence. ``is_announced``: an earlier sentence has announced it, so what stands behind it
        may be the next one.
        """
        if self.is_numbered(text, shape):
            return True
        if is_alone:
            head = text[: shape.start]
            return head.rstrip().endswith(COLONS) and self.is_name(head)
        return self._is_behind_thing(text, shape) or (not is_announced and self._is_before_thing(text, shape))

    def is_numbered(self, text: str, shape: Shape) -> bool:
        """Whether its sentence calls a shape the number of a thing: ``case no. 4829``, ``Numărul cererii: 4829``, ``4829 is your member
        number``. A sign-in is no thing."""
        head = _last_sentence(folded(text[max(0, shape.start - 3 * ADJACENT) : shape.start]).rstrip(" .:：՝#"))
        tail = folded(text[shape.end : shape.end + 2 * ADJACENT])
        ends = CLOSES.search(tail)
        around = head, tail[: ends.start() if ends is not None else len(tail)]
        is_called = NUMBERED.search(head.rpartition(" ")[2]) is not None or any(map(self._wording.numbered.any, around))
        return is_called and not any(map(self._wording.act.any, around))

    def is_name(self, text: str) -> bool:
        """Whether a text is a word or two that may name a thing: none for signing in, and not the sender's name."""
        name = folded(text).strip(EDGES)
        is_name = 0 < len(name.split()) < FRAGMENT and name.replace(" ", "").isalpha() and plain_name(name) not in self._names
        return is_name and not self._wording.act.any(name) and not self._wording.enter.any(name)

    def has_label(self, text: str, shape: Shape, naming: Naming, *, is_mid_sentence: bool) -> bool:
        """Whether the label beside a number is that of a thing, and the number too: ``The password for account 482913 has changed``. Where
        the mail says to keep it secret, or that it works once, it means the number. ``is_mid_sentence``: words stand on both sides."""
        if naming.before == "code" and naming.gap <= TOUCHING:
            return False
        is_apart = is_mid_sentence and naming.before == "code" and self._is_behind_thing(text, shape)
        return (is_apart or self._wording.notice.any(folded(text))) and not self.is_kept

    def is_label_for(self, text: str, shape: Shape, naming: Naming) -> bool:
        """Whether the label before a number is to be entered for a thing: ``Enter your password to open report 482913``."""
        end = shape.start - naming.gap
        is_apart = naming.gap > BESIDE and self._is_behind_thing(text, shape)
        return is_apart and bool(self.told(folded(_last_sentence(text[max(0, end - NEAR) : end]))))

    def is_label_entered(self, text: str, shape: Shape, naming: Naming) -> bool:
        """Whether the label behind a number is what is to be entered, and the number a thing's: ``To open report 482913, enter your
        password``."""
        between = folded(text[shape.end : shape.end + naming.gap_after])
        return self._is_behind_thing(text, shape) and (self._is_joined(between) or bool(self.told(between)))

    def _is_joined(self, between: str) -> bool:
        """Whether what stands between two things begins with ``and``."""
        joint = self._wording.sharing.match(between)
        return joint is not None and any(map(str.isalpha, joint.group())) and not joint.group()[-1].isalpha()

    def _is_behind_thing(self, text: str, shape: Shape) -> bool:
        """Whether a word stands right before a shape that may name a thing; or the shape stands in brackets."""
        head = _head(text, shape)
        if head.endswith(OPENING):
            return True
        word = head.rpartition(" ")[2]
        if not word[-1:].isalpha() or COPULA.fullmatch(word) is not None or plain_name(word) in self._names:
            return False
        if len(word) < SHORTEST_THING and SPACELESS_LETTER.match(word[-1]) is None:
            return False
        return not any(end == len(head) for _, end in (*self._wording.act.spans(head), *self.told(head)))

    def _is_before_thing(self, text: str, shape: Shape) -> bool:
        """Whether a sentence begins with the shape, and goes on with a word that is not near one for signing in."""
        head, tail = _last_sentence(text[: shape.start]), folded(text[shape.end : shape.end + NEAR])
        is_first = head.rstrip().endswith(COLONS) or not any(map(str.isalpha, head))
        if not (is_first and tail[:1].isspace() and tail[1:2].isalpha()):
            return False
        between = [tail[:start] for start, _ in self._wording.act.spans(tail)]
        return not any(BREAK.search(one) is None and max(map(len, one.split()), default=0) <= SHORT_WORD for one in between)


def _head(text: str, shape: Shape) -> str:
    """What stands before a shape, without capitals."""
    return folded(text[max(0, shape.start - NEAR) : shape.start]).rstrip()


def _last_sentence(text: str) -> str:
    """What stands behind the last end of a sentence."""
    ended = [match.end() for match in CLOSES.finditer(text)]
    return text[ended[-1] :] if ended else text
