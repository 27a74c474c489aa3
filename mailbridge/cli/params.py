"""Types of arguments and options for which click's own types accept too much: numbers of rows, and seconds."""

from __future__ import annotations

import math
import re

import click

GREATEST = 2**63 - 1
"""The greatest number that a row can have."""


class _Number(click.ParamType[int]):
    """The number of a mail, delivery or token, in ASCII digits. One that no row can have is taken: there is no such row."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType.convert`."""
        text = str(value).strip()
        if not re.fullmatch(r"[+-]?[0-9]{1,100}", text):
            self.fail(f"{text!r} is not a number", param, ctx)
        return int(text)


class Seconds(click.FloatRange):
    """A finite number of seconds."""

    name = "seconds"

    def __init__(self, most: float = 86_400.0) -> None:
        super().__init__(0.0, most)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType.convert`."""
        try:
            float(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        found = float(super().convert(str(value), param, ctx))  # type: ignore[arg-type]
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return found


NUMBER = _Number()


def is_number(number: int) -> bool:
    """Whether a row could have it."""
    return 1 <= number <= GREATEST
