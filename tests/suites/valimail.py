"""ValiMail's ARC test suite (MIT licence): chains that are whole, broken, odd or none, and the keys of their domains."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from mailbridge.trust import arc, keys, raw, verify
from tests.suites.outcome import Outcome, documents, found
from tests.suites.zone import Zone

SOURCE = "the repository ValiMail/arc_test_suite, folder tests"


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Every case of validation. ``cv`` is the chain's state; where the suite leaves it empty, anything but a pass will do."""
    for scenario in documents(found(folder, "arc-draft-validation-tests.yml", SOURCE)):
        zone = Zone({name: [{"TXT": text}] for name, text in scenario["txt-records"].items()})
        for name, case in scenario["tests"].items():
            wanted = str(case["cv"] or "").lower()
            got = asyncio.run(_state(str(case["message"]), zone))
            yield Outcome(
                name=name,
                wanted=(wanted,) if wanted else ("none", "fail"),
                got=got,
                is_pass=got == "pass",
                may_pass=wanted == "pass",
            )


async def _state(message: str, zone: Zone) -> str:
    """What is left of the chain by mailbridge's own reading, without its rules about who may seal and how long ago."""
    mail = raw.read(message.replace("\r\n", "\n").replace("\n", "\r\n").encode())
    if not any(mail.values(name) for name in ("arc-seal", "arc-message-signature", "arc-authentication-results")):
        return "none"
    chain = arc.sets(mail)
    if isinstance(chain, str) or mail.doubt:
        return "fail"
    public = {}
    for seal, signature, _ in chain:
        for one in (seal, signature):
            key = await keys.find(one.get("s", ""), one.get("d", ""), zone)
            if isinstance(key, str):
                return "fail"
            public[key.name] = key.public
    sealed = verify.arc(mail.content, public)
    return "pass" if sealed is not None and len(sealed) == len(chain) else "fail"
