"""None of the combined attacks gets a code or a link out; each kind has an honest mail that does."""

from __future__ import annotations

import asyncio
from functools import cache, partial

import pytest

from mailbridge.config import settings as s
from mailbridge.core.addresses import canonical
from mailbridge.core.secret import Secret
from mailbridge.intake.gate import Held, Passed
from tests.attacks import combined
from tests.attacks.combined import OPEN, TO_CC, Row, Setting
from tests.attacks.forgeries import ANN, BOUND, CODES, STRICT, TOKEN, by_acme, code
from tests.attacks.provenance import GOOGLES, MAILBOX, RESULTS, SHARED_BOX, arrived, genuine, sent_on
from tests.peers import signer
from tests.peers.judging import Bench, Post
from tests.peers.zone import Zone

ROWS = combined.every()
ACCOUNTS: dict[Setting, tuple[str, ...]] = {"usual": ("ann@gmail.com",), "starred": ("*@corp.example",), "exact": ()}
KNOWN: dict[Setting, tuple[str, ...]] = {"usual": ("*",), "starred": ("*@corp.example",), "exact": (ANN,)}


def zone() -> Zone:
    """Everybody's keys and policies."""
    found = Zone()
    for domain in ("acme.example", "mail.acme.example", "x.acme.example", "example"):
        found.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key()),)
    found.texts["s1._domainkey.evil.example"] = (signer.record(signer.key("evil")),)
    for domain in ("google.com", "microsoft.com", "zohomail.com", "cloudflare-email.net"):
        found.texts[f"arc._domainkey.{domain}"] = (signer.record(signer.key("google")),)
    found.texts["_spf.google.com"] = (f"v=spf1 ip4:{GOOGLES} ~all",)
    found.texts["gmail.com"] = ("v=spf1 redirect=_spf.google.com",)
    return found


@cache
def bench(setting: Setting = "usual") -> Bench:
    """One of each configuration for all of them."""
    settings = s.Settings(
        domains=s.DomainSettings(accept=("bridge.example",)),
        identity=s.IdentitySettings(known=KNOWN[setting]),
        address=(
            s.AddressSettings(rcpt=TOKEN),
            s.AddressSettings(rcpt=BOUND, identifier=ANN),
            s.AddressSettings(rcpt=STRICT, accept_from=("*@acme.example",)),
        ),
        imap=(
            s.ImapSettings(name="bound", host="imap.mailbox.example", username=MAILBOX, password=Secret("x"), identifier=ANN),
            s.ImapSettings(name="hub", host="imap.mailbox.example", username=SHARED_BOX, password=Secret("x")),
        ),
        trust=s.TrustSettings(accounts=ACCOUNTS[setting], authserv_ids=("mx.mailbox.example",)),
    )
    return Bench(settings, zone())


def outcome(row: Row) -> tuple[bool, object]:
    """Whether the mail holds something that would be pushed, and the gate's word."""
    one = bench(row.setting)
    post = Post(content=row.build(), rcpts=(row.rcpt,), mail_from=row.mail_from, peer=row.peer, ingress=row.ingress)
    understood = one.understand(post)
    is_read = understood.extraction.value is not None and understood.extraction.verdict.is_pushed
    (found,) = asyncio.run(one.judge(post, understood=understood, kind="link" if understood.extraction.is_link else "code"))
    return is_read, found


def test_the_set_is_as_large_as_it_says() -> None:
    """At least 400 cases, each under a name of its own."""
    assert len(ROWS) >= 400


@pytest.mark.parametrize("name", ROWS)
def test_no_combination_is_pushed_for_somebody_else(name: str) -> None:
    """Whatever the mail holds is held, or is pushed for its own recipient, who is not Ann."""
    is_read, found = outcome(ROWS[name])
    pushed = found.identification.identifiers if isinstance(found, Passed) else ()
    if is_read:
        assert canonical(ANN) not in map(canonical, pushed), found
        assert set(pushed) <= {"m@gmail.com", "m@evil.example"}, found
