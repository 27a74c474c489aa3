"""Which of a mail's links signs somebody in: not the logo, not the help page, not the way to unsubscribe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailbridge.core.mail import Link
from mailbridge.core.wording import Wording

ACTING = re.compile(
    r"(?i)verif|confirm|activat|sign[-_]?in|log[-_]?in|magic|auth|token|passwordless|one[-_]?time|otp|session|callback|validate"
    r"|regist|signup|accept|invit|reset|nonce|ticket|email|account|code=|key=|hash=|/[a-z]/|/v/"
)
IDLE = re.compile(
    r"(?i)unsubscribe|optout|opt-out|preference|privacy|terms|legal|/help|support|contact|/faq|/about|/blog|/docs?/|/docs?$|/settings"
    r"|facebook\.com|twitter\.com|(?<![a-z])x\.com|linkedin\.com|instagram\.com|youtube\.com|tiktok\.com|github\.com/?$|discord|t\.me/|wa\.me/"
    r"|apps\.apple\.com|play\.google\.com|\.(?:png|jpe?g|gif|svg|css|js|ico)(?:\?|$)|/logo|mailto:|w3\.org|fonts\.|cdn\.|/download|/app-?store"
    r"|report|abuse|deny|cancel|not-?me|wasnt-?me|revoke|disavow|/static/|/assets/|/images?/|/pricing|status\."
)
IDLE_TEXT = re.compile(
    r"(?i)unsubscribe|privacy|terms|help|support|contact us|preferences|view (?:it )?in (?:your )?browser|not you|didn.t|wasn.t|cancel|deny|report|secure your account|abmelden|datenschutz|impressum|désabonner|cancelar suscripción|learn more|read more"
)
RANDOM = re.compile(r"[A-Za-z0-9_\-.~%+=:]{16,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedLink:
    """A link with its score and what it is made of."""

    link: Link
    score: float
    why: tuple[str, ...]


def rank(links: tuple[Link, ...], wording: Wording) -> list[RankedLink]:
    """Every different link, best first. Above 4 it is one to act on; the mail's own words decide whether it signs in."""
    merged: dict[str, Link] = {}
    for link in links:
        known = merged.get(link.url)
        if known is None or (link.is_button, len(link.text)) > (known.is_button, len(known.text)):
            merged[link.url] = link
    ranked = [_score(link, wording) for link in merged.values()]
    return sorted(ranked, key=lambda one: -one.score)


def _score(link: Link, wording: Wording) -> RankedLink:
    score = 0.0
    why: list[str] = []
    try:
        parts = urlsplit(link.url)
    except ValueError:
        return RankedLink(link=link, score=-9.0, why=("no URL",))
    path = f"{parts.path}?{parts.query}#{parts.fragment}"
    if IDLE.search(link.url) and not re.search(r"(?i)token=|verif|confirm|magic|activat", path):
        score, why = score - 4, [*why, "an idle address"]
    if IDLE_TEXT.search(link.text):
        score, why = score - 4, [*why, "idle words"]
    if parts.path in ("", "/") and not parts.query and not parts.fragment:
        score, why = score - 5, [*why, "a home page"]
    if ACTING.search(path):
        score, why = score + 2, [*why, "an acting address"]
    token = max((len(found) for found in RANDOM.findall(path) if _is_random(found)), default=0)
    if token:
        score, why = score + 2 + min(token, 64) / 64, [*why, "a token"]
    if wording.act.search(link.text.casefold()):
        score, why = score + 2, [*why, "words that invite"]
    if link.is_button:
        score, why = score + 1.5, [*why, "a button"]
    return RankedLink(link=link, score=score, why=tuple(why))


def _is_random(text: str) -> bool:
    """Letters and digits in no order that a word has."""
    digits = sum(letter.isdigit() for letter in text)
    uppers = sum(letter.isupper() for letter in text)
    return digits >= 2 or (uppers >= 3 and uppers < len(text)) or len(text) >= 40
