"""The gate in the whole daemon: what passes and by what, what is held and what it says, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailbridge.config import settings as s
from tests.peers import signer
from tests.peers.house import House, house
from tests.trust.mails import mail

TOKEN = "otp-7m3k9q2wxy8vhtnc@bridge.example"
BOUND = "otp@bridge.example"
OPEN = "open@bridge.example"
STRICT = "strict@bridge.example"
CODES = "codes@bridge.example"
GMAIL = "ann@gmail.com"
GOOGLE = "127.0.0.9"
"""Where "Google" sends from: the one address that its policy in this zone names."""

PASS = "mx.google.com; dmarc=pass header.from=acme.example"
LINK = "Sign in to Acme with this link:\n\nhttps://{host}/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ\n\nIt works once."


def publish(one: House) -> None:
    """The zone of the signers."""
    for name in (
        "s1._domainkey.acme.example",
        "s1._domainkey.evil.example",
        "s1._domainkey.google.com",
        "arc._domainkey.google.com",
    ):
        one.dns.txt(name, signer.record(signer.key()))
    one.dns.txt("_spf.google.com", f"v=spf1 ip4:{GOOGLE} ~all")


def signed(content: bytes, domain: str = "acme.example") -> bytes:
    """Signed as its author does."""
    return signer.dkim(content, domain)


def link_mail(host: str = "acme.example", **more: str) -> bytes:
    """A mail with a link to sign in."""
    return mail(LINK.format(host=host), subject="Sign in to Acme", **more)


SECTIONS: dict[str, Any] = {
    "address": (
        s.AddressSettings(rcpt=TOKEN),
        s.AddressSettings(rcpt=BOUND, identifier="ann@corp.example"),
        s.AddressSettings(rcpt=OPEN, trust="none"),
        s.AddressSettings(rcpt=STRICT, accept_from=("*@acme.example",), trust=("dkim",)),
    ),
    "trust": s.TrustSettings(accounts=(GMAIL,), senders=("*", "*@acme.example")),
}
"""Acme is known, so that what is shown is what proves a mail; `test_strangers` has those who are not."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the tests of this module."""
    with house(tmp_path_factory.mktemp("gate"), **SECTIONS) as one:
        publish(one)
        yield one


def pushed(home: House, content: bytes, rcpt: str, **more: str) -> tuple[str, str]:
    """Send, and give what was pushed and by what proof; ``""`` and the reason where it was held."""
    reply = home.send(content, rcpt=rcpt, **more)
    assert reply.code == 250, reply.text
    row = home.row(reply.mail_id)
    rows = home.deliveries(reply.mail_id)
    if not rows:
        return "", " | ".join(row.held) or row.reason
    return rows[0].draft.identifier, row.trust


def test_a_signed_code_passes_for_whom_it_was_written(home: House) -> None:
    """The author's signature lets a code through to a guessable address, under the recipient that it covers."""
    assert pushed(home, signed(mail("Your code is 100001.")), CODES) == ("ann@corp.example", "dkim: signed by acme.example")


def test_an_unsigned_code_is_held_with_every_check_and_its_key(home: House) -> None:
    """A code without any proof is stored, not pushed, and says which checks failed and which keys change that."""
    identifier, reason = pushed(home, mail("Your code is 100002."), CODES)
    assert identifier == ""
    for word in (
        "dkim: it is not signed",
        "arc: it is not sealed",
        "forwarder: its envelope",
        "the address can be guessed",
        "[trust] accounts",
    ):
        assert word in reason


def test_a_code_to_an_unguessable_address_asks_nobody(home: House) -> None:
    """The address alone lets a code through, without one question to DNS, signed or not."""
    before = home.dns.asked.total()
    content = signed(mail("Your code is 100003.", sender="a@never-seen.example", to="zoe@corp.example"), "never-seen.example")
    trust = "token: sent to an address that nobody can guess; first seen: nothing proves that it is of never-seen.example"
    assert pushed(home, content, TOKEN) == ("zoe@corp.example", trust)
    assert home.dns.asked.total() == before


def test_a_link_to_an_unguessable_address_needs_more(home: House) -> None:
    """An address is no proof for a link; the author's signature is."""
    identifier, reason = pushed(home, link_mail(to="bea@corp.example"), TOKEN)
    assert identifier == ""
    assert "an address is no proof for a link" in reason
    assert pushed(home, signed(link_mail()), TOKEN)[0] == "ann@corp.example"


def test_a_link_that_leads_elsewhere_is_held_before_anything_is_asked(home: House) -> None:
    """A signed mail whose link leaves the author's domain is held, and names the key that allows a host."""
    before = home.dns.asked.total()
    identifier, reason = pushed(home, signed(link_mail(host="acme-login.example")), CODES)
    assert identifier == ""
    assert "link-host" in reason
    assert "[trust] link_hosts" in reason
    assert home.dns.asked.total() == before


def test_gmails_seal_passes_for_the_account_that_it_delivered_to(home: House) -> None:
    """A mail that does not tell its recipient passes by Google's seal, for the account in the Delivered-To under that seal."""
    inner = signer.arc(mail("Your code is 100004.", to="undisclosed-recipients:;"), "google.com", results=PASS, instance=1)
    stamped = b"X-Forwarded-For: bea@corp.example codes@bridge.example\r\nDelivered-To: bea@corp.example\r\n" + inner
    content = signer.arc(stamped, "google.com", results=PASS, instance=2, darn="bridge.example")
    assert pushed(home, content, CODES) == ("bea@corp.example", "arc: sealed by google.com, 2 hops")


def test_a_listed_accounts_forward_passes_from_googles_servers_only(home: House) -> None:
    """The envelope of a listed account proves an unsigned mail from Google's address, and nothing from another."""
    envelope = "ann+caf_=codes=bridge.example@gmail.com"
    stamps = f"X-Forwarded-For: {GMAIL} codes@bridge.example\nDelivered-To: {GMAIL}"
    content = mail("Your code is 100005.", to=GMAIL, above=stamps)
    assert pushed(home, content, CODES, mail_from=envelope, client=GOOGLE)[0] == GMAIL
    identifier, reason = pushed(home, mail("Your code is 100006.", to=GMAIL, above=stamps), CODES, mail_from=envelope)
    assert identifier == ""
    assert "not Google's" in reason


def test_a_forged_stamp_yields_to_what_is_signed(home: House) -> None:
    """A stamp that nobody has signed loses to the recipient that the author has."""
    content = b"X-MS-Exchange-ForwardingLoop: bob@corp.example;1\r\n" + signed(
        mail("Your code is 100007.", to="dan@corp.example")
    )
    assert pushed(home, content, CODES)[0] == "dan@corp.example"


def test_a_replayed_mail_is_held_for_anybody_but_its_recipient(home: House) -> None:
    """A genuine mail of somebody else's, sent on to an address that is bound to an account, is not for that account."""
    identifier, reason = pushed(home, signed(mail("Your code is 100008.", to="mallory@evil.example")), BOUND)
    assert identifier == ""
    assert "somebody else" in reason
    assert "[trust] accounts" in reason


def test_a_bound_address_takes_what_was_written_to_it_or_its_owner(home: House) -> None:
    """An address that is bound takes mails that were written to it, to its identifier, or to a listed account."""
    for number, to in enumerate((BOUND, "ann+shop@corp.example", GMAIL)):
        assert pushed(home, signed(mail(f"Your code is 10002{number}.", to=to)), BOUND)[0] == "ann@corp.example"


def test_an_address_without_trust_asks_for_nothing(home: House) -> None:
    """trust = "none" pushes what comes, a link to anywhere included: the operator has said so."""
    # Of a sender that no other test proves: who has proven himself once is asked again.
    trust = "none: no proof is asked for; first seen: nothing proves that it is of open.example"
    assert pushed(home, link_mail(host="else.example", sender="a@open.example"), OPEN) == ("ann@corp.example", trust)


def test_an_address_takes_its_senders_only(home: House) -> None:
    """accept_from holds what others send, however well it is signed, and trust narrows the proofs."""
    assert pushed(home, signed(mail("Your code is 100030.")), STRICT)[0] == "ann@corp.example"
    evil = signed(mail("Your code is 100031.", sender="a@evil.example"), "evil.example")
    assert "sender" in pushed(home, evil, STRICT)[1]
    assert "arc" not in pushed(home, mail("Your code is 100032."), STRICT)[1]


def test_silence_of_dns_puts_off_and_drops_nothing(home: House) -> None:
    """Without an answer the sender is told to come again; with one the same mail passes."""
    home.dns.txt("s1._domainkey.slow.example", signer.record(signer.key()))
    home.dns.broken["s1._domainkey.slow.example"] = "servfail"
    content = signed(mail("Your code is 100040.", sender="a@slow.example"), "slow.example")
    reply = home.send(content, rcpt=CODES)
    assert (reply.code, reply.text[:5]) == (451, "4.4.3")
    metrics = home.do(home.running.render_metrics).decode()
    assert 'mailbridge_messages_total{ingress="smtp",outcome="deferred"} 1.0' in metrics
    del home.dns.broken["s1._domainkey.slow.example"]
    deadline = time.monotonic() + 10
    while (reply := home.send(content, rcpt=CODES)).code == 451:
        assert time.monotonic() < deadline, "the failure is remembered for ever"
        time.sleep(0.2)
    assert home.deliveries(reply.mail_id)[0].draft.identifier == "ann@corp.example"


def test_a_held_copy_does_not_stand_in_the_way_of_the_genuine_mail(home: House) -> None:
    """A copy that was held is no duplicate of the mail that proves itself."""
    content = mail("Your code is 100050.")
    assert pushed(home, content, CODES)[0] == ""
    assert pushed(home, signed(content), CODES)[0] == "ann@corp.example"


def test_held_mails_are_counted_by_check(home: House) -> None:
    """A mail that is held moves the counters of its outcome and of each check that failed."""
    home.send(mail("Your code is 100060."), rcpt=CODES)
    text = home.do(home.running.render_metrics).decode()
    assert 'mailbridge_messages_total{ingress="smtp",outcome="held"}' in text
    assert 'mailbridge_held_total{check="dkim"}' in text


def test_a_mail_without_a_code_costs_no_proof(home: House) -> None:
    """What would not be pushed anyway is not judged: no question to DNS for a newsletter."""
    before = home.dns.asked.total()
    content = signed(mail("Our office is closed on Monday.", subject="News", sender="a@news.example"), "news.example")
    assert pushed(home, content, CODES)[0] == ""
    assert home.dns.asked.total() == before


def test_a_stranger_who_signs_for_himself_is_marked_unless_senders_are_named(home: House) -> None:
    """What the default does not stop, and the key that does: a good signature of a domain that nobody waits for."""
    evil = signed(mail("Your code is 100070.", sender="a@evil.example", to="eve@corp.example"), "evil.example")
    identifier, trust = pushed(home, evil, CODES)
    assert identifier == "eve@corp.example"
    assert trust.startswith("dkim: signed by evil.example; first seen: evil.example is not known for eve@corp.example")
    assert "[[address]] accept_from, [trust] senders" in pushed(home, evil.replace(b"100070", b"100071"), STRICT)[1]


def test_an_ambiguous_link_is_judged_as_a_link(tmp_path: Path) -> None:
    """Where the best of several is pushed, a link is no code because of that: its address alone does not let it out."""
    with house(tmp_path, rules=s.RuleSettings(ambiguous="push-best"), **SECTIONS) as one:
        publish(one)
        text = LINK.format(host="acme.example") + "\n\nOr:\n\n" + LINK.format(host="acme.example").replace("hZ4", "kP9")
        identifier, reason = pushed(one, mail(text, subject="Sign in to Acme"), TOKEN)
        assert identifier == ""
        assert "an address is no proof for a link" in reason
