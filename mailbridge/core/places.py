"""Which texts of a mail are its body, and which were put in beside it: a file that is shown in its place, a text behind the body.

A site shows in a mail what somebody has given it: a help desk the file that a stranger has sent, a form the text that he has typed in.
Programs put such a file into a part of its own, which mail programs show below the text (RFC 2183 2.1). The site signs all of it, and
has written the first part alone. Of a multipart/alternative every part is the same body (RFC 2046 5.1.4); of any other it is the
first text.
"""

from __future__ import annotations

from typing import NamedTuple

PLAIN, HTML = "text/plain", "text/html"


class Step(NamedTuple):
    """One multipart on the way to a part: its number in the mail, which of its parts it is, and whether these are a choice."""

    container: int
    number: int
    is_choice: bool


Path = tuple[Step, ...]
"""The way to a part from the mail's outermost one."""


class Places:
    """Asked of each text of a mail in order, it tells the body from what was added."""

    def __init__(self) -> None:
        self._first: dict[int, int] = {}
        self._pair: dict[int, str] = {}

    def is_added(self, path: Path, kind: str, *, is_file: bool, is_placed: bool) -> bool:
        """Whether a text is none of the body. ``is_file``: it is shown in its place, by the name of a file; ``is_placed``: its header says
        where it is shown, as programs write it of files.

        Plain text and then HTML side by side are one body, as simple programs build it.
        """
        if all(step.is_choice for step in path):
            return False
        if is_file and not path[-1].is_choice:
            return True
        for depth, step in enumerate(path):
            if step.is_choice:
                continue
            first = self._first.setdefault(step.container, step.number)
            if step.number == first:
                continue
            is_pair = kind == HTML and not is_placed and not any(inner.number for inner in path[depth + 1 :])
            if not is_pair or self._pair.pop(step.container, "") != PLAIN:
                return True
        if not path[-1].is_choice:
            self._pair.setdefault(path[-1].container, kind)
        return False
