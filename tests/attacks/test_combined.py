"""None of the combined attacks gets a code or a link out; each kind has an honest mail that does."""

from __future__ import annotations

import asyncio
from functools import cache, partial

import pytest

from mailbridge.config import settings as s
from mailbridge.core.addresses import canonical
from mailbridge.core.secret import Secret
from mailbridge.intake.judgement import Held, Passed
from tests.attacks import combined
from tests.attacks.combined import BY_DKIM, JUNK, TO_CC, Row, Setting, extended
from tests.attacks.forgeries import ANN, BOUND, CODES, STRICT, TOKEN, TOKEN_BOUND, by_acme, code, link
from tests.attacks.provenance import GOOGLES, MAILBOX, OTHER, RESULTS, SHARED_BOX, arrived, genuine, sent_on
from tests.peers import signer
from tests.peers.judging import Bench, Post
from tests.peers.zone import Zone

ROWS = combined.every()
ACCOUNTS: dict[Setting, tuple[str, ...]] = {"usual": ("ann@gmail.com",), "starred": ("*@corp.example",), "exact": ()}
KNOWN: dict[Setting, tuple[str, ...]] = {"usual": ("*",), "starred": ("*@corp.example",), "exact": (ANN,)}


def zone() -> Zone:
    """Everybody's keys and policies."""
    found = Zone()
    tenants: tuple[str, ...] = (
        "acme.zendesk.com",
        "acme.okta.com",
        "okta.com",
        "acme.auth0.com",
        "acme.atlassian.net",
        "acme.my.salesforce.com",
    )
    tenants += ("acme.github.io", "acme.sharepoint.com", "co.uk", "uk", "evil.co.uk", "github.io", "evil.github.io")
    tenants += ("evil.sharepoint.com", "evil.okta.com", "mail.evil.zendesk.com", "evil.onmicrosoft.com", "onmicrosoft.com")
    for domain in ("acme.example", "mail.acme.example", "x.acme.example", "example", *tenants):
        found.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key()),)
    found.texts["s1._domainkey.evil.example"] = (signer.record(signer.key("evil")),)
    for domain in ("google.com", "microsoft.com", "zohomail.com", "cloudflare-email.net"):
        found.texts[f"arc._domainkey.{domain}"] = (signer.record(signer.key("google")),)
    found.texts["_spf.google.com"] = (f"v=spf1 ip4:{GOOGLES} ~all",)
    found.texts["mail.acme.example"] = ("v=spf1 ip4:198.51.100.77 -all",)
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
            s.AddressSettings(rcpt=TOKEN_BOUND, identifier=ANN),
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
    if understood.link_objection:
        return is_read, None
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


TWO = f"bob@corp.example, {ANN}"
STAMP = f"X-Original-To: {ANN}\r\n".encode()
DIRECT = RESULTS.format("spf=pass smtp.mailfrom=b@acme.example; ")
BOM = b"\xef\xbb\xbf"


def below(content: bytes, line: bytes) -> bytes:
    """A mail with one more line at the end of its header."""
    head, separator, body = content.partition(b"\r\n\r\n")
    return head + b"\r\n" + line + separator + body


HONEST: dict[str, tuple[Row, str]] = {
    "signed by its child": (Row(build=lambda: signer.dkim(code(to=ANN), "mail.acme.example", private=signer.key())), ANN),
    "signed by its parent": (
        Row(build=lambda: by_acme(code(to=ANN, sender="Acme <no-reply@x.acme.example>"))),
        ANN,
    ),
    "signed by its sibling": (
        Row(build=lambda: signer.dkim(code(to=ANN, sender="a@x.acme.example"), "mail.acme.example", private=signer.key())),
        ANN,
    ),
    "a customer's mail, signed by its platform": (
        Row(build=lambda: signer.dkim(code(to=ANN, sender="a@acme.okta.com"), "okta.com", private=signer.key())),
        ANN,
    ),
    "a mark before the first header": (Row(build=lambda: BOM + genuine(ANN)), ANN),
    "a mark before the first header, which a server has put below its own": (
        Row(build=lambda: b"Received: from a by b; Wed, 25 Nov 2026 09:57:25 +0000\r\n" + BOM + genuine(ANN)),
        ANN,
    ),
    "an empty first line": (Row(build=lambda: b"\r\n" + genuine(ANN)), ANN),
    "MIME-Version twice": (Row(build=lambda: below(genuine(ANN), b"mime-version: 1.0")), ANN),
    "To with a blank before its colon": (Row(build=lambda: genuine(ANN).replace(b"\r\nTo:", b"\r\nTo :")), ANN),
    "a link, To not signed, an unguessable address that is bound": (
        Row(build=lambda: by_acme(link(), headers=("from", "subject", "date")), rcpt=TOKEN_BOUND),
        ANN,
    ),
    "To not signed, straight from Acme's server": (
        Row(
            build=lambda: by_acme(code(to=ANN), headers=("from", "subject", "date")),
            mail_from="bounces@mail.acme.example",
            peer="198.51.100.77",
        ),
        ANN,
    ),
    "To not signed, straight from Acme's server, a bound address": (
        Row(
            build=lambda: by_acme(code(to=BOUND), headers=("from", "subject", "date")),
            rcpt=BOUND,
            mail_from="bounces@mail.acme.example",
            peer="198.51.100.77",
        ),
        ANN,
    ),
    "fetched, a blind copy, signed, and the server stamps without results": (
        Row(
            build=lambda: (
                f"Delivered-To: {MAILBOX}\r\nReceived: from a by mx.mailbox.example; Wed, 25 Nov 2026 09:57:25 +0000\r\n".encode()
                + genuine("undisclosed:;")
            ),
            rcpt=MAILBOX,
            ingress="imap",
        ),
        ANN,
    ),
    "to two of one organization, a bound address": (Row(build=partial(genuine, TWO), rcpt=BOUND), ANN),
    "to two, of whom one is known exactly": (Row(build=lambda: STAMP + genuine(TWO), setting="exact"), ANN),
    "to two, of whom one is known exactly, by nothing else": (Row(build=partial(genuine, TWO), setting="exact"), ANN),
    "to two, and Google says to whose mailbox": (Row(build=lambda: sent_on(arrived(genuine(TWO), at=ANN), account=ANN)), ANN),
    "beside a stranger, and Google says to whose mailbox": (
        Row(build=lambda: sent_on(arrived(genuine(f"{ANN}, {OTHER}"), at=ANN), account=ANN)),
        ANN,
    ),
    "beside a stranger, an unguessable address": (
        Row(build=lambda: by_acme(link(to=f"{ANN}, {OTHER}")), rcpt=TOKEN_BOUND),
        ANN,
    ),
    "beside ourselves": (Row(build=partial(genuine, f"{ANN}, {CODES}")), ANN),
    "beside the site itself": (Row(build=partial(genuine, f"{ANN}, audit@acme.example"), rcpt=BOUND), ANN),
    "beside one of the accounts": (Row(build=partial(genuine, f"{ANN}, a.n.n@gmail.com"), rcpt=BOUND), ANN),
    "to two, fetched, straight from the site": (
        Row(
            build=lambda: f"Delivered-To: {MAILBOX}\r\n{DIRECT}".encode() + genuine(f"{MAILBOX}, {OTHER}"),
            rcpt=MAILBOX,
            ingress="imap",
        ),
        ANN,
    ),
    "l=, straight from the site to Google": (Row(build=lambda: sent_on(arrived(extended(), at=ANN), account=ANN)), ANN),
    "l=, straight from the site to the mailbox": (
        Row(build=lambda: f"Delivered-To: {MAILBOX}\r\n{DIRECT}".encode() + extended(), rcpt=MAILBOX, ingress="imap"),
        ANN,
    ),
    "sealed, found by DKIM alone": (
        Row(build=lambda: sent_on(arrived(genuine("undisclosed:;"), at=ANN, results=BY_DKIM), account=ANN, results=BY_DKIM)),
        ANN,
    ),
    "39 signatures of others above": (Row(build=lambda: JUNK * 39 + genuine(ANN, headers=TO_CC)), ANN),
    "a listed account's forward": (
        Row(
            build=partial(
                code,
                to=ANN,
                above=f"Delivered-To: {ANN}\nReceived: from a.example by mx.google.com with ESMTPS id a1 for <{ANN}>; x",
            ),
            mail_from="ann+caf_=codes=bridge.example@corp.example",
            peer=GOOGLES,
            setting="starred",
        ),
        ANN,
    ),
    "fetched, a signature by both of its names": (
        Row(
            build=lambda: (
                (
                    f"Delivered-To: {MAILBOX}\r\nAuthentication-Results: mx.mailbox.example 1; dkim=pass header.i=x@mail.acme.example "
                    "header.d=acme.example\r\n"
                ).encode()
                + genuine(MAILBOX)
            ),
            rcpt=MAILBOX,
            ingress="imap",
        ),
        ANN,
    ),
    "with a tag of a run": (Row(build=partial(genuine, ANN), rcpt=BOUND.replace("@", "+wr_1@")), ANN),
    "from a listed sender, with a tag of a run": (
        Row(build=partial(genuine, "s@corp.example"), rcpt=STRICT.replace("@", "+wr_1@")),
        "s@corp.example",
    ),
    "a link that carries the site's own": (
        Row(build=partial(combined.linked_mail, f"https://acme.example{combined.PATH}&next=https%3A%2F%2Fapp.acme.example%2F")),
        ANN,
    ),
    "a link with words of a mailbox": (
        Row(build=partial(combined.linked_mail, f"https://acme.example{combined.PATH}&email=ann%40corp.example")),
        ANN,
    ),
    "a customer's link to itself": (
        Row(build=partial(combined.linked_mail, f"https://acme.okta.com{combined.PATH}", "acme.okta.com")),
        ANN,
    ),
    "a platform's link to a customer of its": (
        Row(build=partial(combined.linked_mail, f"https://acme.okta.com{combined.PATH}", "okta.com")),
        ANN,
    ),
    "a body of parts, read as it is written": (
        Row(build=partial(combined.formed, combined.NESTED, combined.OUT, combined.OUT)),
        ANN,
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_the_honest_mail_of_each_kind_passes(name: str) -> None:
    """The same without the trick passes, under the identifier that it is for."""
    row, identifier = HONEST[name]
    is_read, found = outcome(row)
    assert is_read
    assert isinstance(found, Passed), found
    assert found.identification.identifiers == (identifier,)


def test_the_reason_says_that_it_was_written_to_several() -> None:
    """A person sees why a mail to several is held, and what changes it."""
    _, found = outcome(ROWS["several: both bare, to a bound address"])
    assert isinstance(found, Held)
    (failure,) = [one for one in found.failures if one.check == "recipient"]
    assert "to several mailboxes" in failure.why
    assert "[trust] accounts" in str(failure)
