"""Which of a mail's links signs somebody in: not the logo, not the help page, not the way to unsubscribe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import re2

from mailbridge.core.letters import folded
from mailbridge.core.mail import Link
from mailbridge.core.wording import Wording

ACTING = re2.compile(
    r"(?i)verif|confirm|activat|sign[-_]?in|log[-_]?in|magic|auth|token|passwordless|one[-_]?time|otp|session|callback|validate"
    r"|regist|signup|accept|nonce|ticket=|recovery|code=|key=|hash="
)
STRICT = re2.compile(
    r"(?i)verif|confirm(?:$|[^a]|a[^t]|ation(?:$|[^=]))|activat|/sign[-_]?in(?:$|[^g])|/log[-_]?in|magic|/auth|passwordless|one[-_]?time|callback|validate|recovery\?|\bsignup/|register/"
)
"""What an address says of itself that needs no word in the mail, in any language."""

RESET = re2.compile(r"(?i)reset|forgot|/password")
LEAVING = re2.compile(
    r"(?i)unsubscribe|opt-?out|subscription|subscribe|report|abuse|/deny|cancel|not-?me|wasnt-?me|revoke|disavow|newsletter"
)
"""What undoes or refuses, whatever token it carries."""

IDLE = re2.compile(
    r"(?i)preference|privacy|terms|legal|[^/]/(?:help|faq|about|blog|docs?/|docs?$|settings)|support|contact|utm_[a-z]+=|[?&/]ref_?=|/slink\?"
    r"|facebook\.com|twitter\.com|(?:^|[^a-z])x\.com|linkedin\.com|instagram\.com|youtube\.com|tiktok\.com|github\.com/?$|discord|t\.me/|wa\.me/"
    r"|bing\.com/|apps\.apple\.com|play\.google\.com|\.(?:png|jpe?g|gif|svg|css|js|ico)(?:\?|$)|[^/]/logo|mailto:|w3\.org|fonts\.|cdn\.|/download|/app-?store"
    r"|/static/|/assets/|/images?/|/pricing|status\.|invit"
)
TRACKER = re2.compile(
    r"(?i)/ls/click|/wf/click|/track(?:er|ing)?/|/tr/|/ck/|/c/click|trk\.|click\.|links?\.|\.ct\.|email\.|mailtrack|list-manage"
)
"""Addresses that say nothing of where they lead: words have to."""

MONEY = re.compile(r"[$€£¥₹₽] ?\d|\d ?[€£₹₽]")
TAGS = re2.compile(r"(?i)(?:utm_\w+|fbclid|gclid|mc_[ce]id|_hs\w+|ref_?\w*|trk\w*|mkt_tok|s_kwcid|igshid)=[^&#]*")
"""What campaigns add to an address: random, and no token."""

MAX_PATH = 2_000
DIGITS = re.compile(r"\d")
UPPERS = re.compile(r"[A-Z]")
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
    path = f"{parts.path}?{parts.query}#{parts.fragment}"[:MAX_PATH]
    is_reset = RESET.search(path) is not None
    if LEAVING.search(link.url):
        score, why = score - 6, [*why, "a way out"]
    elif IDLE.search(link.url) and not STRICT.search(path):
        score, why = score - 4, [*why, "an idle address"]
    is_invited = wording.act.search(folded(link.text)) is not None
    if wording.idle.search(folded(link.text)) and not (is_invited and STRICT.search(path)):
        score, why = score - 4, [*why, "idle words"]
    if parts.path in ("", "/") and not parts.query and not parts.fragment:
        score, why = score - 5, [*why, "a home page"]
    if (ACTING.search(path) or wording.act.search(folded(parts.path))) and not is_reset:
        score, why = score + 2, [*why, "an acting address"]
    if STRICT.search(path) and not is_reset:
        score, why = score + 0.5, [*why, "an address that says so"]
    token = max((len(found) for found in RANDOM.findall(TAGS.sub("", path)) if _is_random(found)), default=0)
    if token:
        score, why = score + 2.5 + min(token, 64) / 64, [*why, "a token"]
    else:
        score, why = score - 3, [*why, "no token"]
    if is_invited:
        score, why = score + 2, [*why, "words that invite"]
    if is_reset:
        score, why = score - 1, [*why, "a new password"]
    if link.is_button:
        score, why = score + 1.5, [*why, "a button"]
    return RankedLink(link=link, score=score, why=tuple(why))


def _is_random(text: str) -> bool:
    """Letters and digits in no order that a word has."""
    if len(text) >= 40:
        return True
    uppers = len(UPPERS.findall(text))
    return len(DIGITS.findall(text)) >= 2 or 3 <= uppers < len(text)


def is_plausible(best: RankedLink, subject: str, texts: list[str], wording: Wording, sender: str = "") -> bool:
    """Whether the mail around its best link is one that signs in or verifies.

    ``sender`` is the address that the mail itself came from, or "" where a person forwarded it: a link to a stranger must say in
    address, subject and words what it does, and not hurry its reader.

    An address that says so itself needs no words and so no language; one that says nothing (a click tracker) needs them in the
    subject and in the link; a mail that names a price, or that is long, needs both.
    """
    text = folded(" ".join(texts[:300]))
    title = folded(subject)
    speaks = wording.act.search(text) is not None
    subject_speaks = wording.act.search(title) is not None
    link_speaks = wording.act.search(folded(best.link.text)) is not None
    url = best.link.url
    if wording.other.search(title) is not None and not (subject_speaks and wording.account.search(title)):
        return False
    if sender and is_stranger(url, sender) and (not (subject_speaks and link_speaks) or wording.threat.search(text[:3_000])):
        return False
    if wording.notice.search(text[:3_000]) or wording.invited.search(text[:1_500]):
        return False
    if wording.threat.search(text[:3_000]) and not STRICT.search(url):
        return False
    if RESET.search(url) and not STRICT.search(url):
        return wording.reset.search(folded(f"{subject} {best.link.text}")) is not None
    if TRACKER.search(url) or not ACTING.search(url):
        return subject_speaks and link_speaks and len(text) < 2_500 and wording.signing.search(title) is not None
    if MONEY.search(text) or len(text) > 4_000:
        return subject_speaks and link_speaks and STRICT.search(url) is not None
    return speaks or STRICT.search(url) is not None


def is_stranger(url: str, sender: str) -> bool:
    """Whether a link leads to somebody else than its sender: neither name of the two domains is in the other."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return True
    ours, theirs = _name(sender.rpartition("@")[2]), _name(host)
    return ours != theirs and not (len(ours) > 3 and ours in theirs) and not (len(theirs) > 3 and theirs in ours)


def _name(domain: str) -> str:
    """What a domain is known by: ``harbour`` of ``mail.harbour.co.uk``."""
    labels = domain.lower().split(".")
    if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in ("ac", "co", "com", "gov", "net", "org"):
        return labels[-3]
    return labels[-2] if len(labels) > 1 else labels[0]
