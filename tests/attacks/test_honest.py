"""Honest forwards through the default gate: all pass, or are held with a reason that docs/trust.md explains."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.config.rulepack import rule_texts
from mailbridge.core.extraction import Verdict
from mailbridge.core.mail import Envelope
from mailbridge.intake.gate import Gate
from mailbridge.intake.judgement import Held, Passed, Undecided
from mailbridge.intake.parser_config import parser_config_of
from mailbridge.intake.policy import policy_of
from mailbridge.intake.understand import Understander
from mailbridge.intake.worker_protocol import Request
from mailbridge.trust.dns import Dns
from tests.attacks.resigned import author, resigned
from tests.conftest import ROOT
from tests.peers import signer
from tests.peers.dns_server import dns_server
from tests.peers.house import House, house
from tests.trust.mails import mail

GUESSABLE = "codes@bridge.example.net"
SECRET = "otp-7m3k9q2wxy8vhtnc@bridge.example.net"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with the default gate, one unguessable address, and a whole domain that is not."""
    sections: dict[str, Any] = {
        "domains": s.DomainSettings(accept=("bridge.example.net",)),
        "address": (s.AddressSettings(rcpt=SECRET),),
        "trust": s.TrustSettings(alarm_held=0),
    }
    with house(tmp_path_factory.mktemp("honest"), **sections) as one:
        yield one


def outcome(home: House, content: bytes, rcpt: str) -> tuple[str | None, str]:
    """The identifier that a code was pushed under and by what proof; None and why it was held."""
    for domain in {author(content)} - {""}:
        home.dns.txt(f"s1._domainkey.{domain}", signer.record(signer.key()))
    for domain in ("google.com", "microsoft.com"):
        home.dns.txt(f"arc._domainkey.{domain}", signer.record(signer.key()))
    reply = home.send(content, rcpt=rcpt)
    assert reply.code == 250, reply.text
    rows = home.deliveries(reply.mail_id)
    row = home.row(reply.mail_id)
    return (rows[0].draft.identifier, row.trust) if rows else (None, " | ".join(row.held) or row.reason)


def shape(name: str) -> tuple[str, str]:
    """Who forwards a shape, and the check that holds it at a guessable address; ``""`` where it passes."""
    forwarder = "google" if name.startswith(("gmail", "gws")) else "microsoft" if name.startswith("ms") else ""
    return forwarder, next((check for pattern, check in HELD.items() if re.match(pattern, name)), "")


HELD = {
    r"att-": "recipient",
    r"inline-(?!outlook2019mac)": "recipient",
}
"""Shapes whose first recipient nobody signs: a person has forwarded them by hand."""


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When the shapes "arrive" as far as codes expire: their own dates are years old, and their signatures are made today."""


def fixtures(shared: Path) -> list[dict[str, str]]:
    """The index of the shapes that hold a code."""
    lines = (shared / "eml" / "index.jsonl").read_text().splitlines()
    return [row for line in lines if (row := json.loads(line)).get("code") and row.get("expected_identifier")]


def judged(contents: dict[str, bytes], rcpt: str) -> dict[str, tuple[str | None, str]]:
    """Each mail read and judged as the daemon does it: the identifier it would be pushed under, or None and what held it."""

    async def go() -> dict[str, tuple[str | None, str]]:
        settings = s.Settings(domains=s.DomainSettings(accept=("bridge.example.net",)), address=(s.AddressSettings(rcpt=SECRET),))
        understand = Understander(parser_config_of(settings, rules=rule_texts(settings.rules)))
        found: dict[str, tuple[str | None, str]] = {}
        async with dns_server() as server:
            server.txt("arc._domainkey.google.com", signer.record(signer.key()))
            server.txt("arc._domainkey.microsoft.com", signer.record(signer.key()))
            dns = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
            policy = policy_of(settings, is_practice=False)
            gate = Gate(policy=lambda: policy, dns=dns)
            for name, content in contents.items():
                server.txt(f"s1._domainkey.{author(content)}", signer.record(signer.key()))
                understood = understand(Request(content=content, rcpt_to=(rcpt,), mail_from="b@vendor.example", now=LONG_AGO))
                envelope = Envelope(
                    mail_from="b@vendor.example", rcpt_to=(rcpt,), content=content, received_at=datetime.now(UTC), ingress="smtp"
                )
                assert understood.extraction.verdict is Verdict.CODE, name
                (judgement,) = await gate.judge(envelope, understood, "code")
                match judgement:
                    case Passed():
                        found[name] = (judgement.identification.identifiers[0], judgement.by)
                    case Held():
                        found[name] = (None, " | ".join(map(str, judgement.failures)))
                    case Undecided():
                        raise AssertionError(judgement.reason)
        return found

    return asyncio.run(go())


def test_every_shape_passes_or_is_held_as_the_manual_says(shared: Path) -> None:
    """Re-signed by its author and its forwarder, each shape of real mail passes to a guessable address, or is held by the check named."""
    manual = (ROOT / "docs" / "trust.md").read_text()
    contents = {}
    for row in fixtures(shared):
        content = (shared / "eml" / row["file"]).read_bytes().replace(row["rcpt"].encode(), GUESSABLE.encode())
        contents[row["file"]] = resigned(content, forwarder=shape(row["file"])[0], destination="bridge.example.net")
    wrong = []
    found = judged(contents, GUESSABLE)
    for row in fixtures(shared):
        (identifier, told), check = found[row["file"]], shape(row["file"])[1]
        is_as_told = identifier is None and f"{check}:" in told and f"`{check}`" in manual
        if not (is_as_told if check else identifier == row["expected_identifier"]):
            wrong.append((row["file"], identifier, told))
    assert wrong == []


def test_every_shape_passes_to_an_unguessable_address(shared: Path) -> None:
    """The address alone lets every shape's code through, unsigned ones too."""
    contents = {}
    for row in fixtures(shared):
        content = (shared / "eml" / row["file"]).read_bytes().replace(row["rcpt"].encode(), SECRET.encode())
        contents[row["file"]] = re.sub(rb"\r?\n", b"\r\n", content)
    found = judged(contents, SECRET)
    expected = {row["file"]: (row["expected_identifier"], "token") for row in fixtures(shared)}
    assert found == expected


OWN = {
    "Gmail's filter": ("google", "X-Forwarded-To: codes@bridge.example.net\nX-Forwarded-For: a1@gmail.com codes@bridge.example.net\nDelivered-To: a1@gmail.com", "a1@gmail.com", "a1@gmail.com"),
    "Gmail's filter, plus tag": ("google", "X-Forwarded-For: a2@gmail.com codes@bridge.example.net\nDelivered-To: a2+shop@gmail.com", "a2+shop@gmail.com", "a2+shop@gmail.com"),
    "Gmail's filter, blind copy": ("google", "X-Forwarded-For: a3@gmail.com codes@bridge.example.net\nDelivered-To: a3@gmail.com", "undisclosed-recipients:;", "a3@gmail.com"),
    "Workspace routing": ("google", "X-Gm-Original-To: a4@corp.example", "a4@corp.example", "a4@corp.example"),
    "Exchange forwarding": ("microsoft", "X-MS-Exchange-ForwardingLoop: a5@corp.example;0b1f", "a5@corp.example", "a5@corp.example"),
    "Outlook's redirect": ("microsoft", "Resent-From: <a6@hotmail.com>", "a6@hotmail.com", "a6@hotmail.com"),
    "Proton": ("", "X-Pm-Forwarded-From: a7@proton.me\nX-Original-To: a7@proton.me", "a7@proton.me", "a7@proton.me"),
    "an alias of Postfix": ("", "X-Original-To: a8@fwd.example\nDelivered-To: codes@bridge.example.net", "a8@fwd.example", "a8@fwd.example"),
    "Exchange, blind copy": ("microsoft", "X-MS-Exchange-ForwardingLoop: a9@corp.example;0b1f", "undisclosed-recipients:;", None),
    "several recipients": ("", "X-Original-To: b1@corp.example", "b2@corp.example, b1@corp.example", None),
    "several recipients, by Gmail": ("google", "X-Forwarded-For: b1@corp.example codes@bridge.example.net\nDelivered-To: b1@corp.example", "b2@corp.example, b1@corp.example", "b1@corp.example"),
}  # fmt: skip
"""Forwarder, its stamps, the To header, and the identifier; None where it is held."""


@pytest.mark.parametrize("name", OWN)
def test_shapes_of_our_own(home: House, name: str) -> None:
    """Each way of forwarding, signed by author and forwarder: what its signatures name is pushed, and nothing else."""
    forwarder, above, to, expected = OWN[name]
    content = mail("Your verification code is 604217.", above=above, to=to)
    identifier, told = outcome(home, resigned(content, forwarder=forwarder, destination="bridge.example.net"), GUESSABLE)
    assert identifier == expected, told
    if expected is None:
        assert "recipient:" in told
        assert "[trust] accounts" in told
