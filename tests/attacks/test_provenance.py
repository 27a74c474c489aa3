"""Nothing passes the gate by what a signature or a seal leaves out; and each kind has an honest mail that does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TypeVar

import pytest

from mailbridge.config import settings as s
from mailbridge.config.rulepack import rule_texts
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.intake.gate import Gate
from mailbridge.intake.judgement import Held, Judgement, Passed
from mailbridge.intake.parser_config import parser_config_of
from mailbridge.intake.policy import policy_of
from mailbridge.intake.understand import Understander, Understanding
from mailbridge.intake.worker_protocol import Request
from mailbridge.trust import Proven, Unproven
from mailbridge.trust.dns import Dns
from tests.attacks import provenance
from tests.attacks.forgeries import ANN, BOUND, CODES, CONFIRM, TOKEN, VF, by_acme, code, confirm, link
from tests.attacks.provenance import (
    BODIES,
    FORM,
    GOOGLES,
    MAILBOX,
    OFFICE,
    RESULTS,
    SHOWN,
    UNSIGNED,
    Attack,
    arrived,
    dated,
    genuine,
    now,
    reading,
    sent_on,
)
from tests.peers import signer
from tests.peers.dns_server import DnsServer, dns_server

T = TypeVar("T")
ATTACKS = provenance.every()
EVE = "eve@fwd.example"
OWN = f"ann+caf_={CODES.replace('@', '=')}@corp.example"
SETTINGS = s.Settings(
    domains=s.DomainSettings(accept=("bridge.example",)),
    identity=s.IdentitySettings(known=("*@corp.example", EVE)),
    address=(s.AddressSettings(rcpt=TOKEN), s.AddressSettings(rcpt=BOUND, identifier=ANN)),
    imap=(
        s.ImapSettings(name="bound", host="imap.mailbox.example", username=MAILBOX, password=Secret("x"), identifier=ANN),
        s.ImapSettings(name="hub", host="imap.mailbox.example", username=provenance.SHARED_BOX, password=Secret("x")),
    ),
    trust=s.TrustSettings(accounts=("ann@gmail.com", "*@corp.example"), authserv_ids=("mx.mailbox.example",)),
)


@cache
def reader() -> Understander:
    """One for all of these mails."""
    return Understander(parser_config_of(SETTINGS, rules=rule_texts(SETTINGS.rules)))


def publish(server: DnsServer) -> None:
    """Everybody's keys and policies: corp.example lets Google's servers send for it, and one of its own."""
    server.txt("s1._domainkey.google.com", signer.record(signer.key("google")))
    for name in ("s1._domainkey.acme.example", "s1._domainkey.corp.acme.example", "s1._domainkey.mail.acme.example"):
        server.txt(name, signer.record(signer.key()))
    for name in ("google.com", "microsoft.com", "zohomail.com"):
        server.txt(f"arc._domainkey.{name}", signer.record(signer.key("google")))
    server.txt("_spf.google.com", f"v=spf1 ip4:{GOOGLES} ~all")
    server.txt("gmail.com", "v=spf1 redirect=_spf.google.com")
    server.txt("corp.example", f"v=spf1 ip4:{OFFICE} include:_spf.google.com ~all")
    server.txt("evil.example", f"v=spf1 ip4:{provenance.ELSEWHERE} -all")


def understood(attack: Attack, rcpts: tuple[str, ...] = ()) -> tuple[Understanding, Envelope]:
    """What is in a mail, and how it comes."""
    content, rcpt_to = attack.build(), rcpts or (attack.rcpt,)
    found = reader()(Request(content=content, rcpt_to=rcpt_to, mail_from=attack.mail_from, now=datetime.now(UTC)))
    return found, Envelope(
        mail_from=attack.mail_from,
        rcpt_to=rcpt_to,
        content=content,
        received_at=datetime.now(UTC),
        ingress=attack.ingress,
        peer=attack.peer,
        is_fetched=attack.ingress == "imap",
        can_wait=attack.ingress != "imap",
    )


async def asked(ask: Callable[[Gate], Awaitable[T]]) -> T:
    """What a gate with the usual zone answers."""
    async with dns_server() as server:
        publish(server)
        resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
        return await ask(Gate(policy=lambda: policy_of(SETTINGS, is_practice=False), dns=resolver))


def all_judged(attack: Attack, rcpts: tuple[str, ...] = ()) -> tuple[Judgement, ...]:
    """What the gate says to a mail, for each recipient."""
    read, envelope = understood(attack, rcpts)
    return asyncio.run(asked(lambda gate: gate.judge(envelope, read, "link" if read.extraction.is_link else "code")))


def judged(attack: Attack) -> tuple[Understanding, Judgement]:
    """What is in a mail, and what the gate says to it."""
    return understood(attack)[0], all_judged(attack)[0]


def test_the_set_is_as_large_as_it_says() -> None:
    """At least 60 cases, each under a name of its own."""
    assert len(ATTACKS) >= 150


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_passes_by_what_is_not_signed(name: str) -> None:
    """Each mail holds a code or a link that would be pushed, and is held for a reason that the manual names; or nothing is read in it."""
    read, found = judged(ATTACKS[name])
    if "parts called one text" in name:
        assert read.extraction.reason == "it quotes the technical headers of another mail"
        return
    assert read.extraction.value is not None
    assert isinstance(found, Held), found


HONEST: dict[str, tuple[Attack, str, str]] = {
    "signed": (Attack(build=partial(genuine, ANN)), ANN, "dkim"),
    "signed, no t=": (Attack(build=lambda: dated(now(60))), ANN, "dkim"),
    "signed, no t=, a Date as some write it": (Attack(build=lambda: dated(now(60).replace("+0000", "GMT (UTC)"))), ANN, "dkim"),
    "signed, nothing about the body's form": (Attack(build=partial(genuine, ANN, headers=FORM)), ANN, "dkim"),
    "two signatures, each over a part": (
        Attack(build=lambda: by_acme(genuine(ANN, headers=("from", "subject", "date")), headers=FORM)),
        ANN,
        "dkim",
    ),
    "Gmail's forward": (Attack(build=lambda: sent_on(arrived(genuine(ANN), at=ANN), account=ANN)), ANN, "dkim"),
    "Gmail's forward, blind copy": (
        Attack(build=lambda: sent_on(arrived(genuine("undisclosed-recipients:;"), at=ANN), account=ANN)),
        ANN,
        "arc",
    ),
    "Gmail's forward, To not signed": (
        Attack(build=lambda: sent_on(arrived(genuine(ANN, headers=("from", "subject", "date")), at=ANN), account=ANN)),
        ANN,
        "arc",
    ),
    "Gmail's forward, signed by Acme's child alone": (
        Attack(build=lambda: sent_on(arrived(signer.dkim(code(to=ANN), "mail.acme.example"), at=ANN), account=ANN)),
        ANN,
        "dkim",
    ),
    "Google's routing, signed by Acme's child alone": (
        Attack(build=lambda: sent_on(arrived(signer.dkim(code(to=ANN), "mail.acme.example"), at=ANN), stamp="")),
        ANN,
        "dkim",
    ),
    "Google's routing, To not signed": (
        Attack(build=lambda: sent_on(arrived(genuine(ANN, headers=("from", "subject", "date")), at=ANN), stamp="")),
        ANN,
        "arc",
    ),
    "Gmail's forward of what a list has changed": (
        Attack(build=lambda: sent_on(arrived(genuine(ANN) + b"-- \r\nlist\r\n", at=ANN), account=ANN)),
        ANN,
        "arc",
    ),
    "Gmail's forward through an older Delivered-To, from Google": (
        Attack(
            build=lambda: sent_on(
                arrived(genuine("undisclosed:;", above="Delivered-To: alias@fwd.example\r\n"), at=ANN), account=ANN
            ),
            peer=GOOGLES,
        ),
        ANN,
        "arc",
    ),
    "sealed when it came, not when it went, from Google": (
        Attack(
            build=lambda: (
                f"X-Forwarded-For: {ANN} {CODES}\r\nDelivered-To: {ANN}\r\n".encode() + arrived(genuine("undisclosed:;"), at=ANN)
            ),
            peer=GOOGLES,
        ),
        ANN,
        "arc",
    ),
    "no stamp, Gmail's envelope, from Google": (
        Attack(
            build=lambda: sent_on(arrived(genuine("undisclosed:;"), at=EVE), stamp=f"X-Forwarded-For: {EVE} {CODES}\r\n"),
            peer=GOOGLES,
            mail_from=OWN.replace(
                ANN.replace("@", "+caf_=codes=bridge.example@"), EVE.replace("@", "+caf_=codes=bridge.example@")
            ),
        ),
        EVE,
        "arc",
    ),
    "Microsoft's forward": (
        Attack(
            build=lambda: signer.arc(
                genuine(ANN),
                "microsoft.com",
                results=provenance.PASS,
                instance=1,
                private=signer.key("google"),
                is_timed=False,
                headers=("from", "date", "subject", "message-id", "content-type", "mime-version"),
            )
        ),
        ANN,
        "dkim",
    ),
    "a listed account's forward": (
        Attack(build=partial(code, to=ANN, above=UNSIGNED["Gmail's pair"]), mail_from=OWN, peer=GOOGLES),
        ANN,
        "forwarder",
    ),
    "a listed account's forward, by IPv6's way of writing IPv4": (
        Attack(build=partial(code, to=ANN), mail_from=OWN, peer=f"::ffff:{GOOGLES}"),
        ANN,
        "forwarder",
    ),
    "a listed account's forward, as Google traces it": (
        Attack(
            build=partial(
                code,
                to=ANN,
                above=f"Delivered-To: {ANN}\nReceived: by 2002:a05 with SMTP id 1\n"
                f"Received: from mta.acme.example by mx.google.com with ESMTPS id 2 for <alias@corp.example>; {now()}",
            ),
            mail_from=OWN,
            peer=GOOGLES,
        ),
        ANN,
        "forwarder",
    ),
    "a listed account's link": (
        Attack(build=partial(link, to=ANN), mail_from=OWN, peer=GOOGLES),
        ANN,
        "forwarder",
    ),
    "fetched, written to the mailbox": (
        Attack(build=lambda: RESULTS.format("").encode() + genuine(MAILBOX), rcpt=MAILBOX, ingress="imap"),
        ANN,
        "authres",
    ),
    "fetched, written to the identifier and sent on to the mailbox": (
        Attack(build=lambda: RESULTS.format("spf=fail; ").encode() + genuine(ANN), rcpt=MAILBOX, ingress="imap"),
        ANN,
        "authres",
    ),
    "fetched, written to one of the accounts": (
        Attack(build=lambda: RESULTS.format("").encode() + genuine("ann@gmail.com"), rcpt=MAILBOX, ingress="imap"),
        ANN,
        "authres",
    ),
    "fetched, To not signed, straight from Acme": (
        Attack(
            build=lambda: (
                RESULTS.format("spf=pass smtp.mailfrom=b@mail.acme.example; ").encode()
                + genuine(MAILBOX, headers=("from", "subject", "date"))
            ),
            rcpt=MAILBOX,
            ingress="imap",
        ),
        ANN,
        "authres",
    ),
    "fetched, not signed at all, straight from Acme": (
        Attack(build=lambda: RESULTS.format("").encode() + code(to=MAILBOX), rcpt=MAILBOX, ingress="imap"),
        ANN,
        "authres",
    ),
    "fetched, a blind copy that the server stamps": (
        Attack(
            build=lambda: f"Delivered-To: {MAILBOX}\r\n{RESULTS.format('')}".encode() + genuine("undisclosed:;"),
            rcpt=MAILBOX,
            ingress="imap",
        ),
        ANN,
        "authres",
    ),
    "fetched, To not signed, the server stamps": (
        Attack(
            build=lambda: (
                f"X-Original-To: {MAILBOX}\r\n{RESULTS.format('')}".encode()
                + genuine(MAILBOX, headers=("from", "subject", "date"))
            ),
            rcpt=MAILBOX,
            ingress="imap",
        ),
        ANN,
        "authres",
    ),
    "fetched from a mailbox that is bound to nobody": (
        Attack(build=lambda: RESULTS.format("").encode() + genuine(ANN), rcpt=provenance.SHARED_BOX, ingress="imap"),
        ANN,
        "authres",
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_the_honest_mail_of_each_kind_passes(name: str) -> None:
    """The same mails without the trick pass, under the identifier and by the proof that they should."""
    attack, identifier, by = HONEST[name]
    _, found = judged(attack)
    assert isinstance(found, Passed), found
    assert (found.identification.identifiers, found.by) == ((identifier,), by)


@pytest.mark.parametrize("name", BODIES)
def test_a_body_read_as_its_author_wrote_it_passes(name: str) -> None:
    """The mails of which somebody could change the reading pass as their author sent them, wherever that shows its code plainly."""
    read, found = judged(Attack(build=partial(reading, name)))
    if name in PLAIN:
        assert isinstance(found, Passed), found
        assert read.extraction.value == Secret(PLAIN[name])


PLAIN = {"an inner boundary": SHOWN}


def test_what_is_held_names_the_reading() -> None:
    """A mail of which somebody has changed the reading says so, and what changes the outcome."""
    _, found = judged(ATTACKS["read_otherwise: an inner boundary, signed"])
    assert isinstance(found, Held)
    (failure,) = [one for one in found.failures if one.check == "reading"]
    assert "not signed" in failure.why
    assert "mailbridge address add" in str(failure)


def test_an_envelope_for_one_address_names_nobody_for_the_next() -> None:
    """A sealed mail to two of our addresses, with Gmail's envelope for one of them, is for the account through that one alone."""
    whole, _, _ = HONEST["no stamp, Gmail's envelope, from Google"]
    unbound = lambda: sent_on(arrived(genuine("undisclosed:;"), at=EVE), stamp=f"X-Forwarded-For: {EVE} {CODES}\r\n", darn="")  # noqa: E731
    attack = replace(whole, build=unbound)
    for rcpts in ((CODES, "next@bridge.example"), ("next@bridge.example", CODES)):
        found = dict(zip(rcpts, all_judged(attack, rcpts), strict=True))
        assert isinstance(found[CODES], Passed)
        assert isinstance(found["next@bridge.example"], Held)


def question(boundary: str) -> bytes:
    """Google's own question with a part that is not shown, its form unsigned; read by ``deep`` it shows another link."""
    first, second = (CONFIRM.format(f"{VF}{number}").replace("\n", "\r\n") for number in (1, 2))
    body = provenance.OUTER.replace("Your verification code is {shown}.", first).replace(
        "Your verification code is {other}.", second
    )
    head = confirm().partition(b"\r\n\r\n")[0]
    whole = head.replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=out") + b"\r\n\r\n" + body.encode()
    signed = signer.dkim(whole, "google.com", private=signer.key("google"), headers=FORM)
    return signed.replace(b"boundary=out", f"boundary={boundary}".encode())


def test_googles_question_is_read_as_google_wrote_it() -> None:
    """The question with its form as it was is Google's; read otherwise, so that another link shows, it is nobody's."""
    for boundary, expected in (("out", Proven), ("deep", Unproven)):
        read, envelope = understood(Attack(build=partial(question, boundary)))
        assert read.extraction.value is not None

        async def ask(gate: Gate, read: Understanding = read, envelope: Envelope = envelope) -> object:
            return await gate.confirmation(envelope, read)

        found = asyncio.run(asked(ask))
        assert isinstance(found, expected), found
