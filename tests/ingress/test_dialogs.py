"""SMTP and LMTP as text: every file in ``dialogs`` is played against a real listener, line by line.

A file begins with comments that say what holds. Then, in order:

    with KEY=VALUE …    settings of `[smtp]`; ``lmtp`` for the other protocol
    C: text             the client says a line
    C~ text             the client sends octets: Python escapes, no line end of its own
    S: pattern          the server's next line matches (``*`` and ``?``)
    S* pattern          the last line of its next reply matches
    S.                  the server closes
    TLS                 the client begins a handshake
    FIN                 the client closes its half of the connection
    mails N             so many mails were taken until now
    mail FROM TO,TO     the last one had this envelope
    body text           and these octets: Python escapes
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.ingress.listener_context import LOOPS, House, Peer, house, insecure, run

DIALOGS = sorted((Path(__file__).parent / "dialogs").glob("*.txt"))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
def test_a_dialogue_goes_as_written(path: Path, loop: str, tmp_path: Path) -> None:
    """The server says what the file says, and takes the mails that the file says it takes."""
    lines = list(_lines(path))
    settings = _settings(lines)

    async def play() -> None:
        async with house(tmp_path, **settings) as running:
            peer = await running.connect()
            for number, verb, rest in lines:
                try:
                    await _step(running, peer, verb, rest)
                except (AssertionError, TimeoutError) as fault:
                    pytest.fail(f"{path.name}:{number}: {verb} {rest}\n{fault!r}")
            peer.close()

    run(play(), loop=loop)


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line and not line.startswith("#"):
            verb, _, rest = line.partition(" ")
            yield number, verb, rest


def _settings(lines: list[tuple[int, str, str]]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for _, verb, rest in lines:
        if verb == "with":
            for one in rest.split():
                key, _, value = one.partition("=")
                settings["kind" if key == "lmtp" else key] = "lmtp" if key == "lmtp" else ast.literal_eval(value)
    return settings


def _octets(text: str) -> bytes:
    value: bytes = ast.literal_eval("b'" + text.replace("'", "\\'") + "'")
    return value


async def _step(running: House, peer: Peer, verb: str, rest: str) -> None:
    desk = running.desk
    match verb:
        case "with":
            pass
        case "C:":
            await peer.send(rest.encode("ascii") + b"\r\n")
        case "C~":
            await peer.send(_octets(rest))
        case "S:" | "S*":
            said = await (peer.line() if verb == "S:" else peer.reply())
            assert fnmatchcase(said, rest), f"the server said {said!r}"
        case "S.":
            assert await peer.line() == ""
        case "TLS":
            await peer.start_tls(insecure())
        case "FIN":
            peer.writer.write_eof()
        case "mails":
            assert len(desk.taken) == int(rest), f"{len(desk.taken)} mails"
        case "mail":
            sender, _, rcpts = rest.partition(" ")
            last = desk.taken[-1]
            assert (f"<{last.mail_from}>", ",".join(last.rcpt_to)) == (sender, rcpts), f"{last!r}"
        case "body":
            assert desk.taken[-1].content == _octets(rest), f"{desk.taken[-1].content!r}"
        case _:
            raise AssertionError(f"no such step: {verb}")
