"""One row of the attack set's table: what is tried, in a sentence, and its genuine twin, which passes.

A row is judged in this process, by the configuration of `bridge` and a zone of its own. It is *in* where anything would be pushed for
somebody who is not the attacker, or Google's question would be believed of an account that is not the attacker's. The twin is the same
mail without the trick, by the same way: a row whose twin is held would be held for a reason that is not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from mailbridge.config import settings as s
from mailbridge.core.addresses import canonical
from mailbridge.core.mail import Ingress
from mailbridge.intake.judgement import Passed
from mailbridge.intake.understand import Understanding
from mailbridge.trust import Proven
from tests.attacks.forgeries import ANN, BOUND, CODES, STRICT, TOKEN, TOKEN_BOUND
from tests.peers import signer
from tests.peers.judging import Bench, Post
from tests.peers.zone import Zone

Build = Callable[[], bytes]
Change = Callable[[Zone], None]

EVIL = "m@evil.example"
"""The attacker's mailbox. What is pushed for it, for any other of his domain, or for those that he has elsewhere, harms nobody."""

OWN = frozenset({"m@gmail.com", "m@outlook.com"})
GMAIL = "ann@gmail.com"
"""Ann's account that forwards, which is listed."""

MAILBOX, SHARED = "ann@mailbox.example", "codes@mailbox.example"
"""A mailbox that we read, and one that is bound to Ann."""

GOOGLE, HOSTED = "209.85.167.182", "198.51.100.7"
"""A server of Google's, and one that anybody may rent and that corp.example lets send for it."""

RIGHT, WRONG = "713928", "999999"
"""The code that Acme wrote, and the one that an attacker wants to be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a mail is handed to us."""

    rcpt: str = CODES
    mail_from: str = "bounces@evil.example"
    peer: str = "192.0.2.66"
    ingress: Ingress = "smtp"
    at: datetime | None = None

    def post(self, content: bytes) -> Post:
        """A mail on this way."""
        return Post(
            content=content, rcpts=(self.rcpt,), mail_from=self.mail_from, peer=self.peer, ingress=self.ingress, at=self.at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``zone`` changes DNS for the attack alone. ``may`` are values that may be pushed for Ann all the same: the genuine one, where what
    was added is nothing that is read. ``twin_way`` where the twin comes otherwise."""

    kind: str
    name: str
    says: str
    attack: Build
    twin: Build
    way: Way = Way()
    twin_way: Way | None = None
    zone: Change | None = None
    config: str = "usual"
    may: frozenset[str] = frozenset()
    is_question: bool = False

    @property
    def title(self) -> str:
        """Kind and name."""
        return f"{self.kind}: {self.name}"


Rows = Iterator[Row]


@cache
def bridge(config: str) -> Bench:
    """Whom the rows are sent to: ``usual``, or ``pattern`` where a whole domain's accounts are listed, or ``pair`` with two of them."""
    accounts = {"usual": (GMAIL,), "pattern": ("*@corp.example",), "pair": (GMAIL, "bob@gmail.com")}[config]
    return Bench(
        s.Settings(
            domains=s.DomainSettings(accept=("bridge.example",)),
            address=(
                s.AddressSettings(rcpt=TOKEN),
                s.AddressSettings(rcpt=TOKEN_BOUND, identifier=ANN),
                s.AddressSettings(rcpt=BOUND, identifier=ANN),
                s.AddressSettings(rcpt=STRICT, accept_from=("*@acme.example",)),
            ),
            imap=(
                s.ImapSettings(host="imap.mailbox.example", username=MAILBOX),
                s.ImapSettings(host="imap.mailbox.example", username=SHARED, identifier=ANN),
            ),
            trust=s.TrustSettings(accounts=accounts, authserv_ids=("mx.mailbox.example",)),
        )
    )


def zone() -> Zone:
    """Keys and policies of everybody: the attacker's are as good as any."""
    found = Zone()
    for domain in ("acme.example", "google.com", "github.com"):
        found.texts[f"s1._domainkey.{domain}"] = (signer.record(_key(domain)),)
    for domain in ("google.com", "microsoft.com", "zohomail.com"):
        found.texts[f"arc._domainkey.{domain}"] = (signer.record(_key(domain)),)
    for domain in ("evil.example", "google.com.evil.example", "xgoogle.com", "mail.google.com", "sub.acme.example"):
        for selector in ("s1", "arc"):
            found.texts[f"{selector}._domainkey.{domain}"] = (signer.record(signer.key("evil")),)
    found.texts["gmail.com"] = ("v=spf1 redirect=_spf.google.com",)
    found.texts["_spf.google.com"] = ("v=spf1 ip4:209.85.128.0/17 ~all",)
    found.texts["corp.example"] = (f"v=spf1 include:_spf.google.com ip4:{HOSTED} ~all",)
    return found


def _key(domain: str) -> RSAPrivateKey:
    """Acme's key is the usual one of the tests; all listed services share another."""
    return signer.key() if domain == "acme.example" else signer.key("google")


async def is_in(row: Row) -> str:
    """What an attack gets in, in a few words; ``""`` where it is held."""
    dns = zone()
    if row.zone is not None:
        row.zone(dns)
    return await _outcome(row, row.way.post(row.attack()), bridge(row.config).beside(dns), row.may)


async def passes(row: Row) -> bool:
    """Whether the twin is pushed for Ann, or believed."""
    post = (row.twin_way or row.way).post(row.twin())
    return bool(await _outcome(row, post, bridge(row.config).beside(zone()), frozenset()))


async def _outcome(row: Row, post: Post, bench: Bench, may: frozenset[str]) -> str:
    understood = bench.understand(post)
    if row.is_question:
        found = await bench.gate.confirmation(post.envelope(), understood)
        asking = understood.requester or ""
        is_anns = canonical(asking) == canonical(GMAIL) if asking else False
        is_open = isinstance(found, Proven) and understood.extraction.value is not None and is_anns
        return f"confirmed for {asking}" if is_open else ""
    bound = await _bound(post, bench, understood) if understood.bound else ""
    if bound:
        return "" if bound in may else f"{bound}, bound to the site"
    value = understood.extraction.value
    if value is None or not understood.extraction.verdict.is_pushed or value.reveal() in may:
        return ""
    if not any(entry.identification.identifiers for entry in understood.addressed):
        return ""
    judgements = await bench.judge(post, understood=understood, kind="link" if understood.extraction.is_link else "code")
    pushed = {one for found in judgements if isinstance(found, Passed) for one in found.identification.identifiers}
    pushed = {one for one in pushed if one not in OWN and not one.endswith(("@evil.example", ".evil.example"))}
    return f"{value.reveal()} for {', '.join(sorted(pushed))}" if pushed else ""


async def _bound(post: Post, bench: Bench, understood: Understanding) -> str:
    """The code that the mail binds to its author's site, where that is what would be pushed."""
    judgements = await bench.judge(post, understood=understood, kind="code")
    found = [one.introduction.bound for one in judgements if isinstance(one, Passed)]
    return next((one.code.reveal() for one in found if one is not None), "")
