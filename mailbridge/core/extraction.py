"""The answer that extraction gives: a code, a link, or an honest "none" with what was passed over."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret


class Verdict(StrEnum):
    """What a mail holds. Only CODE and LINK are pushed; everything else is held and shown."""

    CODE = "code"
    LINK = "link"
    NONE = "none"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    CONFIRMATION = "confirmation"
    UNREADABLE = "unreadable"

    @property
    def is_pushed(self) -> bool:
        """Whether this verdict makes a delivery."""
        return self in (Verdict.CODE, Verdict.LINK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A candidate that was passed over, and why, in a word or two (``year``, ``phone``, ``price`` …)."""

    value: Secret
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What a mail holds and how we know.

    ``value`` is what the site's field wants (grouping removed, ASCII digits) and ``displayed`` what the mail
    shows; a link is verbatim. For CONFIRMATION ``value`` is the link to open, if it is a genuine one.
    ``rule`` names the rule that matched, ``generic`` for the extractor after them, None when nothing did.
    ``lifetime`` and ``expires_at`` (aware UTC) are as the mail or the rule states them, else None.
    ``confidence`` is in 0…1. ``reason`` is one plain sentence without the value. ``is_attached``: it stands in a mail
    that is attached, or in a text beside the body (`core.places`).
    """

    verdict: Verdict
    value: Secret | None = None
    displayed: Secret | None = None
    rule: str | None = None
    lifetime: timedelta | None = None
    expires_at: datetime | None = None
    confidence: float = 0.0
    reason: str = ""
    rejected: tuple[Rejected, ...] = ()
    is_attached: bool = False

    @property
    def is_link(self) -> bool:
        """Whether the value is an address to open, by whatever verdict it came."""
        return self.value is not None and self.value.reveal()[:8].lower().startswith(("http://", "https://"))
