"""Which of a mail's links signs somebody in: not the logo, not the help page, not the way to unsubscribe."""

from __future__ import annotations

import re
from dataclasses import replace

import re2

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Link
from mailbridge.core.presence import Presence
from mailbridge.core.script import folded
from mailbridge.core.url import ascii_host, host_of, read
from mailbridge.core.wording import Wording

ACTING = re2.compile(
    r"(?i)verif|confirm|activat|sign[-_]?in|log[-_]?in|magic|auth|token|passwordless|one[-_]?time|otp|session|callback|validate"
    r"|regist|signup|accept|nonce|ticket=|recovery|code=|key=|hash="
)
STRICT = re2.compile(
    r"(?i)verif|confirm(?:$|[^a]|a[^t]|ation(?:$|[^=]))|activat|/sign[-_]?in(?:$|[^g])|/log[-_]?in|magic|/auth|passwordless|one[-_]?time|callback|validate|recovery\?|\bsignup/|register/"
)
"""What an address says of itself that needs no word in the mail, in any language."""

RESET = re2.compile(r"(?i)reset|forgot|/password|[?&]action=rp\b|resetpass|lost-?pass|(?:set|choose|new|change)[-_]?password")
INVITING = re2.compile(r"(?i)invit|/accept|/join\b|join[-_/]")
UNLOCKING = re2.compile(r"(?i)unlock|unblock|approv|authori[sz]e|/allow|grant|confirm[-_]?device")
WEB_COPY = re2.compile(r"(?i)web[-_]?version|webview|view[-_]?(?:in[-_]?browser|email|online)|online[-_]?version")
BARE_HOST = re2.compile(r"(?i)^https?://(?:\d{1,3}\.){3}\d{1,3}(?:[:/?#]|$)|^https?://\[")
"""An address that names no site, but a machine."""

LEAVING = re2.compile(
    r"(?i)unsubscribe|opt-?out|subscription|subscribe|report|abuse|/deny|cancel|not-?me|wasnt-?me|revoke|disavow|newsletter"
)
"""What undoes or refuses, whatever it carries."""

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

OF_ADDRESS = Presence({"leaving": LEAVING.pattern, "web copy": WEB_COPY.pattern, "idle": IDLE.pattern})
OF_PATH = Presence({"reset": RESET.pattern, "strict": STRICT.pattern, "acting": ACTING.pattern})
"""What each link's address and its path are asked."""

MONEY = re.compile(r"(?i)[$€£¥₹₽₿] ?\d|\d ?[$€£₹₽₿]|\d ?(?:btc|eth|usdt|usd|eur|gbp)\b")
TAGS = re2.compile(r"(?i)(?:utm_\w+|fbclid|gclid|mc_[ce]id|_hs\w+|ref_?\w*|trk\w*|mkt_tok|s_kwcid|igshid)=[^&#]*")
"""What campaigns add to an address: random, and no secret."""

MAX_PATH = 2_000
CHANGES = re.compile(r"(?<=\d)[A-Za-z]|(?<=[A-Za-z])\d|(?<=[a-z])[A-Z]")
"""Where digits turn to letters, letters to digits, small letters to capitals: names do so once, what is drawn at random more often."""

DIGITS = re.compile(r"\d")
UPPERS = re.compile(r"[A-Z]")
RANDOM = re.compile(r"[A-Za-z0-9_\-.~%+=:]{16,}")
SHORT_TOKEN = re.compile(r"(?<=[/=])[A-Za-z0-9]{8,15}(?=$|[/?&#])")
"""A part of an address of its own that may be drawn at random."""


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
    with_random = [place for place, one in enumerate(ranked) if "a random part" in one.why]
    if len(with_random) == 1 and not ranked[with_random[0]].link.is_button:
        only = ranked[with_random[0]]
        ranked[with_random[0]] = replace(only, score=only.score + 0.5, why=(*only.why, "the only random part"))
    return sorted(ranked, key=lambda one: -one.score)


def _score(link: Link, wording: Wording) -> RankedLink:
    score = 0.0
    why: list[str] = []
    parts = read(link.url)
    if parts is None:
        return RankedLink(link=link, score=-9.0, why=("no URL",))
    path = f"{parts.path}?{parts.query}#{parts.fragment}"[:MAX_PATH]
    address, said = OF_ADDRESS.found(link.url), OF_PATH.found(path)
    is_reset, is_strict = "reset" in said, "strict" in said
    text = folded(link.text)
    if "leaving" in address:
        score, why = score - 6, [*why, "a way out"]
    elif "web copy" in address or ("idle" in address and not is_strict):
        score, why = score - 4, [*why, "an idle address"]
    is_invited = wording.act.any(text)
    if wording.idle.any(text) and not (is_invited and is_strict):
        score, why = score - 4, [*why, "idle words"]
    if parts.path in ("", "/") and not parts.query and not parts.fragment:
        score, why = score - 5, [*why, "a home page"]
    if ("acting" in said or wording.act.any(folded(parts.path))) and not is_reset:
        score, why = score + 2, [*why, "an acting address"]
    if is_strict and not is_reset:
        score, why = score + 0.5, [*why, "an address that says so"]
    length = _longest_random(TAGS.sub("", path) if "=" in path else path)
    if length:
        score, why = score + 2.5 + min(length, 64) / 64, [*why, "a random part"]
    else:
        score, why = score - 3, [*why, "no random part"]
    if is_invited:
        score, why = score + 2, [*why, "words that invite"]
    if is_reset:
        score, why = score - 1, [*why, "a new password"]
    if link.is_button:
        score, why = score + 1.5, [*why, "a button"]
    return RankedLink(link=link, score=score, why=tuple(why))


def _longest_random(path: str) -> int:
    """Characters of the longest part of a path that was drawn at random; 0 where there is none."""
    longest = max((len(found) for found in RANDOM.findall(path) if _is_random(found)), default=0)
    return longest or max((len(found) for found in SHORT_TOKEN.findall(path) if _is_short_token(found)), default=0)


def _is_short_token(text: str) -> bool:
    """Eight letters and digits and more that make no word, no date and no plain number."""
    digits = sum(letter.isdigit() for letter in text)
    return 2 <= digits < len(text) - 2 and len(CHANGES.findall(text)) >= 3


def _is_random(text: str) -> bool:
    """Letters and digits in no order that a word has."""
    if len(text) >= 40:
        return True
    uppers = len(UPPERS.findall(text))
    return len(DIGITS.findall(text)) >= 2 or 3 <= uppers < len(text)


def is_plausible(best: RankedLink, subject: str, texts: list[str], wording: Wording, sender: str = "") -> bool:
    """Whether the mail around its best link is one that signs in or verifies; see `objection`."""
    return objection(best, subject, texts, wording, sender) is None


def objection(best: RankedLink, subject: str, texts: list[str], wording: Wording, sender: str = "") -> str | None:
    """Why the mail around its best link is none that signs in or verifies, in a sentence; None where it is one.

    ``sender`` is the address that the mail itself came from, or "" where a person forwarded it: a link to a stranger must say in
    address, subject and words what it does, and not retry_now its reader.

    An address that says so itself needs no words and so no language; one that says nothing (a click tracker) needs them in the
    subject and in the link; a mail that names a price, or that is long, needs both.
    """
    text, title = folded(" ".join(texts[:300])), folded(subject)
    subject_speaks = wording.act.any(title)
    link_speaks = wording.act.any(folded(best.link.text))
    url = best.link.url
    is_strict = STRICT.search(url) is not None
    is_hurried = wording.threat.any(text[:3_000])
    if BARE_HOST.search(url):
        return "its link leads to a machine without a name"
    if wording.other.any(title) and not (subject_speaks and wording.account.any(title)):
        return purpose(best) or "its subject speaks of something else than signing in"
    if sender and is_stranger(url, sender) and (not (subject_speaks and link_speaks) or is_hurried):
        return purpose(best) or "its link leads to another domain than its sender's"
    if wording.notice.any(text[:3_000]):
        return "it says that something was changed, and its link is for who did not do it"
    if wording.invited.any(text[:1_500]):
        return "its link accepts an invitation or a request of somebody else"
    if is_hurried and not is_strict:
        return purpose(best) or "it hurries its reader, and its link does not say what it does"
    if RESET.search(url) and not is_strict:
        return None if wording.reset.any(folded(f"{subject} {best.link.text}")) else purpose(best)
    if TRACKER.search(url) or not ACTING.search(url):
        is_clear = subject_speaks and link_speaks and len(text) < 2_500 and not MONEY.search(f"{subject} {text}")
        return None if is_clear and wording.signing.any(title) else "neither its link nor its words say that it signs in"
    if MONEY.search(text) or len(text) > 4_000:
        is_clear = subject_speaks and link_speaks and is_strict
        return None if is_clear else "it names a price or is long, and does not say in subject, link and address that it signs in"
    return None if is_strict or wording.act.any(text) else "nothing in its words says that its link signs in"


def purpose(best: RankedLink) -> str | None:
    """What a link with a random part does that is not signing in, by its address; None where that does not tell."""
    if "a random part" not in best.why:
        return None
    url = best.link.url
    if RESET.search(url):
        return "its link sets a new password"
    if INVITING.search(url):
        return "its link accepts an invitation"
    return "its link unlocks or approves something" if UNLOCKING.search(url) else None


def place(url: str) -> str:
    """Where an address leads, without what it carries: host and path up to their first mark of a query."""
    return re.split(r"[?#]", url, maxsplit=1)[0].rstrip("/").casefold()[:64]


def is_stranger(url: str, sender: str) -> bool:
    """Whether a link leads to somebody else than its sender: neither name of the two domains is in the other."""
    host = host_of(url)
    if not host:
        return True
    ours, theirs = _name(ascii_host(sender.rpartition("@")[2])), _name(host)
    return ours != theirs and not (len(ours) > 3 and ours in theirs) and not (len(theirs) > 3 and theirs in ours)


def _name(domain: str) -> str:
    """What a domain is known by: ``harbour`` of ``mail.harbour.co.uk``."""
    labels = domain.lower().split(".")
    if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in ("ac", "co", "com", "gov", "net", "org"):
        return labels[-3]
    return labels[-2] if len(labels) > 1 else labels[0]
