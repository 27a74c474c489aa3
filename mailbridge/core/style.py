"""As much of CSS as tells what is hidden, what is large, and what is a button: declarations and simple class rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from mailbridge.core.dataclass import dataclass

MAX_SHEET = 65_536
MAX_RULES = 500
LARGE = 18.0
"""CSS pixels from which text stands out: body text of mails is 13 to 16."""

CLASS_RULE = re.compile(r"[},\s](?:[a-z0-9]{1,20})?\.([A-Za-z0-9_-]{1,60})\s*(?:,[^{}]{0,200})?\{([^{}]{0,2000})(?=\})")
"""A rule for a class, with what stands before it: so only a few places of a sheet are tried."""

SIZE = re.compile(r"(?:^|[;\s])font(?:-size)?\s*:[^;]{0,60}?(\d{1,3}(?:\.\d{1,3})?)\s*(px|pt|em|rem)")
FONT_SIZE = re.compile(r"(?:^|[;\s])font-size\s*:\s*([^;]{1,40})")
NOTHING = re.compile(r"[01](?:\.0+)?\s*(?:px|pt|em|%|rem)?\s*(?:!important)?|0?\.0\d*\s*\w*")
COLLAPSED = re.compile(r"(?:^|[;\s])(?:max-height|opacity)\s*:\s*0(?:\.0+)?(?:px|pt|em|%)?\s*(?:!important)?\s*(?:;|$)")
ALWAYS_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all")
SPACED = re.compile(r"letter-spacing\s*:\s*(?:[1-9]|0?\.[1-9])")
BOX = re.compile(r"display\s*:\s*(?:inline-)?(?:block|flex|table-cell)")
BUTTON = re.compile(
    r"background(?:-color)?\s*:\s*(?!none|transparent|#fff(?:fff)?\b|white)|border-radius\s*:|padding\s*:\s*\d{2}"
)
UNITS = {"px": 1.0, "pt": 4 / 3, "em": 16.0, "rem": 16.0}


@dataclass(frozen=True, slots=True)
class Look:
    """How an element is shown, as far as it matters here.

    ``is_tiny``: a font size of nothing, or of something; None where it says neither, and what is around it counts. Templates set
    columns to nothing, to be rid of gaps, and the text in them to something.
    """

    is_hidden: bool = False
    is_tiny: bool | None = None
    is_large: bool = False
    is_button: bool = False
    is_box: bool = False


PLAIN = Look()


def look_of(declarations: str) -> Look:
    """The look that a list of declarations gives."""
    text = declarations[:2_000].lower()
    if not text:
        return PLAIN
    size = SIZE.search(text) if "font" in text else None
    font = FONT_SIZE.search(text) if "font-size" in text else None
    return Look(
        is_hidden=(("opacity" in text or "max-height" in text) and COLLAPSED.search(text) is not None)
        or (("none" in text or "hid" in text) and ALWAYS_HIDDEN.search(text) is not None),
        is_tiny=None if font is None else NOTHING.fullmatch(font[1].strip()) is not None,
        is_large=(size is not None and float(size[1]) * UNITS[size[2]] >= LARGE)
        or ("spacing" in text and SPACED.search(text) is not None),
        is_button=BUTTON.search(text) is not None,
        is_box="display" in text and BOX.search(text) is not None,
    )


@dataclass(slots=True)
class StyleSheet:
    """The class rules of a mail's style elements that stand outside of media queries."""

    rules: Mapping[str, str] = field(default_factory=dict)
    _seen: dict[tuple[str, str], Look] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> StyleSheet:
        """Read style text; what is not understood has no effect."""
        rules: dict[str, str] = {}
        for match in CLASS_RULE.finditer("\n" + _outside_at_rules(text[:MAX_SHEET])):
            rules[match[1]] = f"{rules.get(match[1], '')};{match[2]}"
            if len(rules) >= MAX_RULES:
                break
        return cls(rules=rules)

    def look(self, style: str, classes: str) -> Look:
        """The look of an element with this style attribute and these classes. Its own style comes first."""
        if not style and not classes:
            return PLAIN
        key = (style, classes)
        known = self._seen.get(key)
        if known is None:
            declarations = [style, *(self.rules[name] for name in classes.split()[:20] if name in self.rules)]
            known = self._seen[key] = look_of(";".join(declarations))
        return known


def _outside_at_rules(text: str) -> str:
    """Without comments and without the blocks of @media and its like: they hold for other screens."""
    text = re.sub(r"(?s)/\*.*?(?:\*/|\Z)", " ", text)
    kept: list[str] = []
    depth = at_depth = 0
    is_at = False
    start = 0
    for match in re.finditer(r"[@{}]", text):
        mark = match.group()
        if mark == "@" and depth == 0 and not is_at:
            kept.append(text[start : match.start()])
            is_at = True
        elif mark == "{":
            depth += 1
            at_depth = depth if is_at and not at_depth else at_depth
        elif mark == "}":
            depth = max(depth - 1, 0)
            if is_at and depth == 0:
                is_at, at_depth, start = False, 0, match.end()
    if not is_at:
        kept.append(text[start:])
    return "}".join(kept)
