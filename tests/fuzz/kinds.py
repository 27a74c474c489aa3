"""What reads octets without a network: mails, signatures, seals, keys, policies, results of servers, configurations; and seeds for each."""

from __future__ import annotations

import email
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from mailbridge.config import settings as s
from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.config.rulepack import rule_texts
from mailbridge.core.tree import plain_tree
from mailbridge.demo.mails import digit_cells, magic_link, plain_code
from mailbridge.intake.parser_config import parser_config_of
from mailbridge.intake.understand import Understander
from mailbridge.intake.worker_protocol import Request
from mailbridge.trust import arc, authres, dkim, raw, spf
from mailbridge.trust.dns import DnsUnavailable
from mailbridge.trust.hosts import objection
from tests.conftest import ROOT
from tests.core.trees import shape
from tests.fuzz.posted import SEEDS as POSTED_SEEDS
from tests.fuzz.posted import fuzz_posted
from tests.peers import signer
from tests.trust.mails import RCPT, mail

SENDER = "no-reply@acme.example"
PASS = "mx.google.com; dkim=pass header.i=@acme.example; dmarc=pass header.from=acme.example"
NOW = datetime.now(UTC)
CAF = f"ann+caf_={RCPT.replace('@', '=')}@gmail.com"
Work = Callable[[bytes], Awaitable[None]]


class Zone:
    """A resolver without a network: one answer to every question, which the input may be part of."""

    def __init__(self, *records: str) -> None:
        self._records = records

    async def txt(self, name: str) -> tuple[str, ...]:
        """The same for every name; for some, silence."""
        if "silent" in name:
            raise DnsUnavailable(name)
        return self._records

    async def addresses(self, name: str) -> tuple[str, ...]:
        """One of each kind."""
        return ("192.0.2.1", "2001:db8::1") if name else ()

    async def exchangers(self, name: str) -> tuple[str, ...]:
        """One."""
        return (f"mx.{name}",)


GOOD = Zone(signer.record(signer.key()))
GOOGLE = Zone("v=spf1 ip4:192.0.2.1 ~all")


async def fuzz_dkim(octets: bytes) -> None:
    """A signed mail."""
    found = raw.read(octets)
    if found.doubt:  # so that what is behind the first refusal is reached too
        found = raw.RawMail(content=octets, headers=found.headers)
    await dkim.check(found, sender=SENDER, signers={}, dns=GOOD, now=NOW)


async def fuzz_arc(octets: bytes) -> None:
    """A mail that was sealed twice."""
    found = raw.read(octets)
    if found.doubt:
        found = raw.RawMail(content=octets, headers=found.headers)
    await arc.check(
        found, sender=SENDER, rcpt=RCPT, forwarders={"google.com"}, dns=GOOD, now=NOW, mail_from=CAF, peer="192.0.2.1"
    )


async def fuzz_key(octets: bytes) -> None:
    """A key record."""
    zone = Zone(octets.decode("utf-8", "replace"))
    await dkim.check(raw.read(SIGNED), sender=SENDER, signers={}, dns=zone, now=NOW)


async def fuzz_spf(octets: bytes) -> None:
    """A sender policy, and a mail behind a forwarder's envelope."""
    await spf.evaluate("a.example", ip_address("192.0.2.1"), Zone(octets.decode("utf-8", "replace")))
    await spf.check(CAF, rcpt=RCPT, peer="::ffff:192.0.2.1", accounts=("ann@gmail.com",), dns=GOOGLE, content=octets)


async def fuzz_words(octets: bytes) -> None:
    """Results of a server, and where a link leads."""
    authres.check(raw.read(octets), sender=SENDER, servers={"mx.google.com"}, now=NOW)
    objection(octets.decode("utf-8", "replace")[:2_000], SENDER, ("*.acme.example",))


def fuzz_config_in(folder: Path) -> Work:
    """A configuration file: settings, or a ConfigError and nothing else."""
    file = folder / "mailbridge.toml"

    async def fuzz_config(octets: bytes) -> None:
        file.write_bytes(octets)
        try:
            load(file, environ={}, cwd=folder)
        except ConfigError as fault:
            assert fault.problems

    return fuzz_config


UNDERSTANDER = Understander(
    parser_config_of(s.Settings(domains=s.DomainSettings(accept=("bridge.example",))), rules=rule_texts(s.RuleSettings()))
)


async def fuzz_mail(octets: bytes) -> None:
    """A mail, as the worker process reads it; where its tree is made without the engine, it is the engine's tree."""
    found = plain_tree(octets)
    assert found is None or shape(found) == shape(email.message_from_bytes(octets))
    UNDERSTANDER(Request(content=octets, rcpt_to=(RCPT,), mail_from="b@acme.example", now=NOW))


SIGNED = signer.dkim(mail(above="Authentication-Results: " + PASS), "acme.example")
SEALED = signer.arc(
    b"Delivered-To: ann@corp.example\r\n" + signer.arc(SIGNED, "google.com", results=PASS, instance=1),
    "google.com",
    results=PASS,
    instance=2,
    darn="bridge.example",
)
SEEDS: dict[str, tuple[bytes, ...]] = {
    "dkim": (SIGNED,),
    "arc": (SEALED,),
    "key": (signer.record(signer.key()).encode(), signer.record(signer.edwards_key()).encode()),
    "spf": (b"v=spf1 ip4:192.0.2.0/24 a:x.example/24//64 mx include:b.example exists:c.example redirect=d.example ~all",),
    "words": (SIGNED, b"https://app.acme.example:443/x?y#z"),
    "mail": (
        SIGNED,
        plain_code("482913").build(NOW),
        digit_cells("482913").build(NOW),
        magic_link("https://tern.example/magic?token=hZ4tqPw81LxV0rBn").build(NOW),
    ),
    "posted": POSTED_SEEDS,
    "config": ((ROOT / "config" / "mailbridge.toml").read_bytes(),),
}
PLAIN: dict[str, Work] = {
    "dkim": fuzz_dkim,
    "arc": fuzz_arc,
    "key": fuzz_key,
    "spf": fuzz_spf,
    "words": fuzz_words,
    "mail": fuzz_mail,
    "posted": fuzz_posted,
}
