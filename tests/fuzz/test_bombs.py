"""Mails that have stopped parsers cost a worker less than its time, and the next mail is taken."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.config.rulepack import rule_texts
from mailbridge.config.settings import Settings
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Answer
from mailbridge.intake.launch import UNDERSTAND
from mailbridge.intake.parser_config import parser_config_of
from mailbridge.intake.pool import parser_pool
from mailbridge.intake.understand import Understanding
from tests.fuzz import bombs
from tests.fuzz.fuzz_parse import fuzz
from tests.fuzz.fuzz_smtp import fuzz as fuzz_smtp
from tests.fuzz.reading import LIMIT, reader
from tests.ingress.listener_context import STORED, Desk, house, run

HONEST = b"From: a@b.example\r\nTo: ann@corp.example\r\nSubject: code\r\n\r\nYour verification code is 482913\r\n.\r\n"
WORST = (
    "structure: nested mail, 30,000",
    "structure: a million boundaries",
    "header: 100 parts with costly types",
    "header: a part with a type of a million",
    "body: charset 'punycode'",
    "body: flowed lines with delsp",
    "page: 100,000 div",
    "page: 100,000 attributes",
    "page: images",
)


def test_no_bomb_takes_its_time() -> None:
    """Each is read without an exception and within a worker's time."""
    read = reader()
    found = [(name, read(bomb())) for name, bomb in bombs.ALL.items()]
    assert [(name, reading.fault) for name, reading in found if reading.fault is not None] == []
    assert max(reading.seconds for _, reading in found) < LIMIT


@pytest.mark.e2e
def test_no_attached_bomb_takes_its_time() -> None:
    """Every bomb once more, as a mail attached to a forward."""
    read = reader()
    found = [(name, read(content)) for name, content in bombs.attached()]
    assert [(name, reading.fault) for name, reading in found if reading.fault is not None] == []


def test_the_next_mail_is_taken(tmp_path: Path) -> None:
    """Through a real listener and a real worker: the worst bombs, each with an honest mail right behind it."""

    async def main() -> None:
        verdicts: list[str] = []
        parser_config = parser_config_of(Settings(), rules=rule_texts(Settings().rules)).encode()
        async with parser_pool(
            target=UNDERSTAND,
            answer=Understanding,
            config=parser_config,
            workers=1,
            timeout=timedelta(seconds=LIMIT),
        ) as pool:

            async def understand(envelope: Envelope) -> Answer:
                understanding = await pool.understand(envelope)
                verdicts.append("held" if understanding is None else str(understanding.extraction.verdict))
                return STORED

            async with house(tmp_path, desk=Desk(answer=understand)) as running:
                for name in WORST:
                    bomber, honest = await running.connect(), await running.connect()
                    await bomber.ready_for_data()
                    await honest.ready_for_data()
                    content = bombs.ALL[name]().replace(b"\r\n.", b"\r\n..")
                    sending = asyncio.ensure_future(bomber.send(content + b"\r\n.\r\n"))
                    assert (await bomber.reply()).startswith("250 "), name
                    await honest.send(HONEST)
                    assert (await honest.reply()).startswith("250 "), name
                    await sending
                    bomber.close()
                    honest.close()
        assert verdicts[1::2] == ["code"] * len(WORST)

    run(main())


def test_mutations_of_mails_are_read() -> None:
    """A few hundred mutations, the same every time; `make fuzz` reads 100,000."""
    tally = fuzz(count=300, seed=0, seconds=5)
    assert tally.failed == []
    assert tally.count > 20
    assert {"code", "none"} <= set(tally.verdicts)


@pytest.mark.parametrize("kind", ["smtp", "lmtp"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_random_dialogues_leave_the_listener_whole(kind: str, is_tls: bool, tmp_path: Path) -> None:
    """Commands in any order, octets, cuts and resets: nothing falls over, and an honest mail is taken afterwards."""
    tally = run(fuzz_smtp(count=48, seed=0, folder=tmp_path, kind=kind, is_tls=is_tls, seconds=2))
    assert tally.faults == []
    assert tally.mails > 1
