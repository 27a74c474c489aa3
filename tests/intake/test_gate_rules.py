"""The gate's rules one by one, judged in this process: which proof is enough for whom, and what a setting means as it is written."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.intake.gate import LATE, Gate
from mailbridge.intake.judgement import Held, Judgement, Passed, Undecided
from mailbridge.intake.policy import Policy, policy_of
from mailbridge.trust import Proven, Unproven
from tests.attacks.forgeries import confirm
from tests.loop import looped
from tests.peers import signer
from tests.peers.judging import Bench, Post
from tests.peers.zone import Zone
from tests.trust.mails import mail

TOKEN = "otp-7m3k9q2wxy8vhtnc@bridge.example"
BOUND = "otp@bridge.example"
CODES = "codes@bridge.example"
ANN = "ann@corp.example"
PASS = "mx.google.com; dmarc=pass header.from=acme.example"


def zone() -> Zone:
    """The keys of the usual signers."""
    found = Zone()
    for domain in ("acme.example", "mailer.example", "evil.example", "google.com"):
        found.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key()),)
    found.texts["arc._domainkey.google.com"] = (signer.record(signer.key()),)
    found.texts["gmail.com"] = ("v=spf1 ip4:192.0.2.10 ~all",)
    return found


def bench(*addresses: s.AddressSettings, imap: tuple[s.ImapSettings, ...] = (), **trust: Any) -> Bench:
    """A bridge with a whole domain, these addresses, and this trust."""
    settings = s.Settings(
        domains=s.DomainSettings(accept=("bridge.example",)),
        address=addresses,
        imap=imap,
        trust=s.TrustSettings(**trust),
    )
    return Bench(settings, zone())


def signed(content: bytes, domain: str = "acme.example") -> bytes:
    """Signed as its author does."""
    return signer.dkim(content, domain)


def through_google(content: bytes, *, account: str, darn: str) -> bytes:
    """As Gmail forwards it: sealed when it came in, stamped with its account, sealed for our domain when it goes on."""
    inner = signer.arc(content, "google.com", results=PASS, instance=1)
    stamped = f"Delivered-To: {account}\r\n".encode() + inner
    return signer.arc(stamped, "google.com", results=PASS, instance=2, darn=darn)


def checks(found: Judgement) -> list[str]:
    """The checks that failed, in order."""
    assert isinstance(found, Held), found
    return [failure.check for failure in found.failures]


def delivered(content: bytes, account: str) -> bytes:
    """As Google has taken it in and delivered it to an account."""
    arrival = f"Received: from out1.acme.example by mx.google.com with ESMTPS id a6 for <{account}>"
    return f"Delivered-To: {account}\r\n{arrival}; Wed, 25 Nov 2026 09:57:25 +0000\r\n".encode() + content


class Slow(Zone):
    """A resolver that answers too late."""

    async def txt(self, name: str) -> tuple[str, ...]:
        """See `Resolver.txt`."""
        await asyncio.sleep(30)
        return ()


@looped
async def test_an_address_has_its_trust_however_it_is_written_and_tagged() -> None:
    """Upper case and a plus tag change nothing of what an address asks for; a tag that is listed itself has its own."""
    one = bench(
        s.AddressSettings(rcpt="Open@bridge.example", identifier=ANN, trust="none"),
        s.AddressSettings(rcpt="open+shut@bridge.example", identifier=ANN, trust="dkim"),
    )
    for rcpt in ("open@bridge.example", "OPEN@Bridge.example", "open+wr_1@bridge.example", "Open+x@bridge.example"):
        assert await one.pushed(Post(content=mail(), rcpts=(rcpt,))) == (ANN,), rcpt
    for rcpt in ("open+shut@bridge.example", "OPEN+SHUT@bridge.example"):
        assert await one.pushed(Post(content=mail(), rcpts=(rcpt,))) == (), rcpt


@looped
async def test_senders_of_an_address_hold_for_its_tags_too() -> None:
    """accept_from is asked for every spelling of the address and of the sender, and one entry is enough."""
    senders = ("*@ACME.example", "*@mailer.example")
    one = bench(s.AddressSettings(rcpt="otp@bridge.example", identifier=ANN, accept_from=senders, trust="none"))
    for rcpt in ("otp@bridge.example", "OTP@bridge.example", "otp+wr_1@bridge.example"):
        for sender in ("no-reply@acme.example", "No-Reply@ACME.example", "a@mailer.example"):
            assert await one.pushed(Post(content=mail(sender=sender), rcpts=(rcpt,))) == (ANN,)
        assert await one.pushed(Post(content=mail(sender="a@evil.example"), rcpts=(rcpt,))) == (), rcpt


@looped
async def test_an_address_is_unguessable_where_it_is_a_token_or_is_called_one() -> None:
    """trust = "token" makes an address a proof for codes; any other word does not, and takes that away from one that looks it."""
    one = bench(
        s.AddressSettings(rcpt="short@bridge.example", identifier=ANN, trust="token"),
        s.AddressSettings(rcpt="plain@bridge.example", identifier=ANN, trust=("dkim", "arc")),
        s.AddressSettings(rcpt=TOKEN, identifier=ANN, trust="dkim"),
        s.AddressSettings(rcpt="otp-h4d8s2jk9w7q3vzn@bridge.example", identifier=ANN),
    )
    assert await one.pushed(Post(content=mail(), rcpts=("short@bridge.example",))) == (ANN,)
    assert await one.pushed(Post(content=mail(), rcpts=("otp-h4d8s2jk9w7q3vzn@bridge.example",))) == (ANN,)
    assert await one.pushed(Post(content=mail(), rcpts=("plain@bridge.example",))) == ()
    assert await one.pushed(Post(content=mail(), rcpts=(TOKEN,))) == ()
    assert await one.pushed(Post(content=signed(mail()), rcpts=(TOKEN,))) == (ANN,)
    (held,) = await one.judge(Post(content=mail(), rcpts=("short@bridge.example",)), kind="link")
    assert isinstance(held, Held)
    assert [str(failure.check) for failure in held.failures] == ["token"]


@looped
async def test_what_holds_a_mail_is_what_was_asked_for() -> None:
    """Checks that an address does not take are neither made nor told."""
    one = bench(
        s.AddressSettings(rcpt="a@bridge.example", identifier=ANN, trust="dkim"),
        s.AddressSettings(rcpt="b@bridge.example", identifier=ANN, trust=("forwarder", "arc")),
    )
    post = Post(content=mail(), rcpts=("a@bridge.example", "b@bridge.example", CODES))
    told = [checks(found) for found in await one.judge(post)]
    assert told == [["dkim"], ["arc", "forwarder"], ["dkim", "arc", "forwarder", "token"]]
    (nothing,) = await bench(default=()).judge(Post(content=signed(mail()), rcpts=(CODES,)))
    assert nothing == Held(failures=())


@looped
async def test_a_word_of_the_configuration_is_read_whatever_its_case() -> None:
    """signers and forwarders count in any case, with blanks around them, and several for one domain."""
    one = bench(signers=(" Acme.Example = Mailer.Example ", "acme.example=other.example"), forwarders=("Google.COM",))
    assert await one.pushed(Post(content=signed(mail(), "mailer.example"), rcpts=(CODES,))) == (ANN,)
    sealed = signer.arc(mail(), "google.com", results=PASS, instance=1, headers=("from", "subject", "delivered-to"))
    (found,) = await one.judge(Post(content=sealed, rcpts=(CODES,)))
    assert not isinstance(found, Held) or "no listed forwarder" not in str(found)
    other = bench(signers=(" acme.example =mailer.example", " acme.example =other.example"))
    assert await other.pushed(Post(content=signed(mail(), "mailer.example"), rcpts=(CODES,))) == (ANN,)
    assert await other.pushed(Post(content=signed(mail(sender="a@mailer.example")), rcpts=(CODES,))) == ()


@looped
async def test_a_mailbox_has_its_own_trust_and_senders() -> None:
    """What [[imap]] says of trust and senders is asked for mail of that mailbox, in any case, and of no other."""
    box = s.ImapSettings(host="imap.corp.example", username="Ann@corp.example", trust="none", accept_from=("*@acme.example",))
    other = s.ImapSettings(host="imap.corp.example", username="bob@corp.example")
    one = bench(imap=(box, other))
    assert await one.pushed(Post(content=mail(), rcpts=(ANN,), ingress="imap")) == (ANN,)
    assert await one.pushed(Post(content=mail(sender="a@evil.example"), rcpts=(ANN,), ingress="imap")) == ()
    assert await one.pushed(Post(content=mail(to="bob@corp.example"), rcpts=("bob@corp.example",), ingress="imap")) == ()
    assert await one.pushed(Post(content=signed(mail(to="bob@corp.example")), rcpts=("bob@corp.example",), ingress="imap")) == (
        "bob@corp.example",
    )


@looped
async def test_a_code_does_not_fall_with_a_link_that_leads_elsewhere() -> None:
    """Where the link leads is asked of links only."""
    one = bench()
    text = "Sign in:\n\nhttps://elsewhere.test/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ\n"
    post = Post(content=signed(mail(text, subject="Sign in to Acme")), rcpts=(CODES,))
    understood = one.understand(post)
    assert understood.link_objection
    (as_link,) = await one.judge(post, understood=understood, kind="link")
    (as_code,) = await one.judge(post, understood=understood, kind="code")
    assert isinstance(as_link, Held)
    assert [failure.check for failure in as_link.failures] == ["link-host"]
    assert isinstance(as_code, Passed)


@looped
async def test_one_proof_that_dns_does_not_answer_for_leaves_the_others() -> None:
    """A seal proves what the author's key cannot, while that is not to be had; with neither, the sender comes again."""
    one = bench()
    content = through_google(signed(mail(to="undisclosed:;")), account="ann@corp.example", darn="bridge.example")
    one.zone.silent.add("s1._domainkey.acme.example")
    (found,) = await one.judge(Post(content=content, rcpts=(CODES,)))
    assert isinstance(found, Passed)
    assert found.by == "arc"
    one.zone.silent.add("arc._domainkey.google.com")
    (found,) = await one.judge(Post(content=content, rcpts=(CODES,)))
    assert isinstance(found, Undecided)


@looped
async def test_a_resolver_that_is_late_defers_every_recipient() -> None:
    """Beyond the deadline nothing is known for anybody, of a code and of Google's question."""
    settings = s.Settings(domains=s.DomainSettings(accept=("bridge.example",)))
    one = Bench(settings, Slow(), deadline=timedelta(milliseconds=20))
    found = await one.judge(Post(content=signed(mail()), rcpts=(CODES, BOUND)))
    assert found == (Undecided(reason=LATE), Undecided(reason=LATE))
    question = Post(content=signed(confirm(), "google.com"), rcpts=(CODES,))
    assert await one.confirmation(question) == Undecided(reason=LATE)


@looped
async def test_googles_question_is_googles_for_whom_it_names() -> None:
    """Signed, from the one address in any case, and for one of the recipients; DNS that is silent defers it."""
    one = bench()
    google = signed(confirm(), "google.com")
    assert isinstance(await one.confirmation(Post(content=google, rcpts=(CODES,))), Proven)
    assert isinstance(await one.confirmation(Post(content=google, rcpts=(BOUND, CODES))), Proven)
    assert isinstance(await one.confirmation(Post(content=google, rcpts=(BOUND,))), Unproven)
    capitals = confirm(sender="Gmail Team <Forwarding-NoReply@google.com>")
    assert isinstance(await one.confirmation(Post(content=signed(capitals, "google.com"), rcpts=(CODES,))), Proven)
    other = confirm(sender="Gmail Team <other-noreply@google.com>")
    assert isinstance(await one.confirmation(Post(content=signed(other, "google.com"), rcpts=(CODES,))), Unproven)
    assert isinstance(await one.confirmation(Post(content=confirm(), rcpts=(CODES,))), Unproven)
    one.zone.silent.add("s1._domainkey.google.com")
    assert isinstance(await one.confirmation(Post(content=google, rcpts=(CODES,))), Undecided)


@looped
async def test_googles_question_is_read_as_google_wrote_it() -> None:
    """Where its body could be read in two ways, Google has to have signed the headers that say in which; without recipients it is
    for whom it was written."""
    one = bench()
    form = (*signer.USUAL, "content-transfer-encoding")
    for headers, is_certain, expected in ((signer.USUAL, True, Proven), (signer.USUAL, False, Unproven), (form, False, Proven)):
        content = confirm().replace(b"MIME-Version", b"Content-Transfer-Encoding: 8bit\r\nMIME-Version")
        post = Post(content=signer.dkim(content, "google.com", headers=headers), rcpts=(CODES,))
        understood = replace(one.understand(post), is_certain=is_certain)
        found = await one.gate.confirmation(post.envelope(), understood)
        assert isinstance(found, expected), (headers, is_certain)
        found = await one.gate.confirmation(replace(post, rcpts=()).envelope(), understood)
        assert isinstance(found, expected), (headers, is_certain)


@looped
async def test_practice_asks_nothing_of_googles_question_either() -> None:
    """Where nothing leaves the machine, the question is shown as it came; a policy is for practice only where that is said."""
    one = bench()
    policy = policy_of(s.Settings(domains=s.DomainSettings(accept=("bridge.example",))), is_practice=True)
    one.gate = Gate(policy=lambda: policy, dns=one.zone)
    assert isinstance(await one.confirmation(Post(content=confirm(), rcpts=(CODES,))), Proven)
    (found,) = await one.judge(Post(content=signed(mail()), rcpts=(CODES,)))
    assert isinstance(found, Passed)
    assert found.by == "practice"
    assert not one.zone.asked
    plain = Policy(
        default=frozenset(),
        addresses={},
        senders=(),
        signers={},
        forwarders=frozenset(),
        accounts=(),
        servers=frozenset(),
    )
    assert not plain.is_practice


@pytest.mark.parametrize("rcpt", [CODES, BOUND])
@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "X-Forwarded-For: ann@gmail.com codes@bridge.example\r\nDelivered-To: ann@gmail.com\r\n",
        "X-MS-Exchange-ForwardingLoop: ann@gmail.com;0b1f\r\n",
    ],
)
@looped
async def test_a_listed_account_gets_nothing_that_was_written_to_somebody_else(rcpt: str, stamp: str) -> None:
    """A genuine mail to Mallory is not Ann's because her account is listed, whatever stamps it carries."""
    one = bench(s.AddressSettings(rcpt=BOUND, identifier="ann@gmail.com"), accounts=("ann@gmail.com",))
    content = stamp.encode() + signed(mail(to="mallory@evil.example"))
    assert "ann@gmail.com" not in await one.pushed(Post(content=content, rcpts=(rcpt,)))
    own = stamp.encode() + signed(mail(to="ann@gmail.com"))
    assert await one.pushed(Post(content=own, rcpts=(rcpt,))) == ("ann@gmail.com",)


@looped
async def test_a_listed_accounts_envelope_speaks_for_that_account() -> None:
    """What Google forwards for Ann is hers; an account that is not listed, or another server, proves nothing."""
    one = bench(accounts=("ann@gmail.com",))
    stamps = "X-Forwarded-For: ann@gmail.com codes@bridge.example\nDelivered-To: ann@gmail.com"
    content = mail(to="ann@gmail.com", above=stamps)
    envelope = "ann+caf_=codes=bridge.example@gmail.com"
    assert await one.pushed(Post(content=content, rcpts=(CODES,), mail_from=envelope)) == ("ann@gmail.com",)
    assert await one.pushed(Post(content=content, rcpts=(CODES,), mail_from=envelope, peer="192.0.2.11")) == ()
    bob = mail(to="bob@gmail.com", above=stamps.replace("ann@gmail", "bob@gmail"))
    assert await one.pushed(Post(content=bob, rcpts=(CODES,), mail_from=envelope)) == ()


@looped
async def test_googles_envelope_is_looked_at_where_it_was_asked_for_and_once() -> None:
    """Before the seal where the envelope is such a one, else behind it; never for an address that takes signatures only."""
    own = s.AddressSettings(rcpt="signed@bridge.example", trust="dkim")
    one = bench(own, accounts=("ann@gmail.com",))
    content = mail(to="ann@gmail.com")
    for rcpt, told in (
        (CODES, ["dkim", "forwarder", "arc", "token"]),
        ("signed@bridge.example", ["dkim"]),
    ):
        envelope = f"ann+caf_={rcpt.replace('@', '=')}@gmail.com"
        (found,) = await one.judge(Post(content=content, rcpts=(rcpt,), mail_from=envelope, peer="192.0.2.11"))
        assert checks(found) == told
    allowed = Post(content=content, rcpts=("signed@bridge.example",), mail_from="ann+caf_=signed=bridge.example@gmail.com")
    assert await one.pushed(allowed) == ()
    (found,) = await one.judge(Post(content=content, rcpts=(CODES,)))
    assert checks(found) == ["dkim", "arc", "forwarder", "token"]


@looped
async def test_a_proof_that_is_for_one_recipient_is_not_the_others() -> None:
    """A seal for our domain proves nothing at another domain of ours, nor an envelope for one address anything at the next."""
    settings = s.Settings(
        domains=s.DomainSettings(accept=("bridge.example", "other.example")), trust=s.TrustSettings(accounts=("ann@gmail.com",))
    )
    one = Bench(settings, zone())
    rcpts = (CODES, "codes@other.example", "next@bridge.example")
    bare = mail(to="undisclosed:;", above="X-Forwarded-For: ann@gmail.com x@bridge.example")
    for order in (rcpts, rcpts[::-1]):
        sealed = through_google(bare, account="ann@gmail.com", darn="bridge.example")
        found = dict(zip(order, await one.judge(Post(content=sealed, rcpts=order)), strict=True))
        assert [isinstance(found[rcpt], Passed) for rcpt in rcpts] == [True, False, True]
        envelope = Post(content=bare, rcpts=order, mail_from="ann+caf_=codes=bridge.example@gmail.com")
        found = dict(zip(order, await one.judge(envelope), strict=True))
        assert [isinstance(found[rcpt], Passed) for rcpt in rcpts] == [True, False, False]
        sealed = signer.arc(bare, "google.com", results=PASS, instance=1)
        ours = tuple(rcpt for rcpt in order if rcpt.endswith("@bridge.example"))
        envelope = Post(content=sealed, rcpts=ours, mail_from="ann+caf_=codes=bridge.example@gmail.com")
        found = dict(zip(ours, await bench().judge(envelope), strict=True))
        assert [isinstance(found[rcpt], Passed) for rcpt in rcpts[::2]] == [True, False]


@looped
async def test_a_signature_is_looked_at_once_for_all_recipients() -> None:
    """However many recipients a mail has, a key is asked for once."""
    one = bench()
    found = await one.judge(Post(content=signed(mail()), rcpts=(CODES, "a@bridge.example", "b@bridge.example")))
    assert all(isinstance(judgement, Passed) for judgement in found)
    assert one.zone.asked["s1._domainkey.acme.example"] == 1


@looped
async def test_a_mailboxs_server_is_heard_where_it_is_named_and_signatures_are_taken() -> None:
    """Its results stand for signatures and seals: they are read where either is enough, and where a server is named."""
    boxes = tuple(
        s.ImapSettings(host="imap.corp.example", username=f"{trust}@corp.example", trust=trust)
        for trust in ("dkim", "arc", "forwarder")
    )
    named = bench(imap=boxes, authserv_ids=("mx.corp.example",))
    for trust, is_heard in (("dkim", True), ("arc", True), ("forwarder", False)):
        rcpt = f"{trust}@corp.example"
        (found,) = await named.judge(Post(content=mail(to=rcpt), rcpts=(rcpt,), ingress="imap"))
        assert ("authres" in checks(found)) is is_heard, trust
        (found,) = await named.judge(Post(content=mail(to=rcpt), rcpts=(rcpt,)))
        assert "authres" not in checks(found)
    top = b"Authentication-Results: mx.corp.example; dmarc=pass header.from=acme.example\r\n"
    (found,) = await named.judge(Post(content=top + mail(to="arc@corp.example"), rcpts=("arc@corp.example",), ingress="imap"))
    assert isinstance(found, Passed)
    assert found.by == "authres"
    (found,) = await bench(imap=boxes).judge(Post(content=mail(), rcpts=("dkim@corp.example",), ingress="imap"))
    assert "authres" not in checks(found)
