"""The openspf.org suite of RFC 7208 (BSD licence): every record, and the address that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from mailbridge.trust import spf
from mailbridge.trust.dns import DnsUnavailable
from tests.suites.outcome import Outcome, documents, found
from tests.suites.zone import Zone

SOURCE = "the package pyspf (its source archive), folder test"


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Every case. The domain that is asked is the sender's, or for the null sender the greeting's (RFC 7208 2.4)."""
    for scenario in documents(found(folder, "rfc7208-tests.yml", SOURCE)):
        zone = Zone(scenario["zonedata"])
        for name, case in scenario["tests"].items():
            wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
            domain = case["mailfrom"].rpartition("@")[2] or case["helo"]
            got = asyncio.run(_evaluated(domain, case["host"], zone))
            yield Outcome(name=name, wanted=tuple(map(str, wanted)), got=got, is_pass=got == "pass", may_pass="pass" in wanted)


async def _evaluated(domain: str, host: str, zone: Zone) -> str:
    try:
        return await spf.evaluate(domain, ip_address(host), zone)
    except DnsUnavailable:
        return "temperror"
