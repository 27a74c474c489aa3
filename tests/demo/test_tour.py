"""The tour: every mail comes out as it should, on one line, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mailbridge.app.daemon import bridge
from mailbridge.cli.demo import settings_of
from mailbridge.demo.tour import Tour
from mailbridge.net.smtp_client import is_answering, send
from tests.cli.running import PATIENCE, PLAIN, PROGRAM, Done, command, environment
from tests.loop import looped


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """`demo --once --json`, and the folder that it had for temporary files."""
    folder = tmp_path_factory.mktemp("tour")
    return command("demo", "--once", "--json", cwd=folder, env={"TMPDIR": str(folder)}), folder


@pytest.fixture
def rows(toured: tuple[Done, Path]) -> dict[str, dict[str, Any]]:
    """The stops by their titles."""
    return {row["title"]: row for row in toured[0].rows}


def test_every_mail_comes_out_as_it_should(toured: tuple[Done, Path], rows: dict[str, dict[str, Any]]) -> None:
    """Eleven mails, exit 0, nothing on stderr."""
    done, _ = toured
    assert (done.code, done.err) == (0, "")
    assert len(rows) == len(done.rows) == 11
    assert all(row["is_as_expected"] for row in done.rows)


def test_what_was_delivered_is_what_an_agent_finds(rows: dict[str, dict[str, Any]]) -> None:
    """For each delivered stop that no later one of its identifier hides, the receiver's own lookup gives the code."""
    last = {row["identifier"]: row for row in rows.values() if row["state"] == "delivered"}
    assert len(last) == 7
    assert all(row["found"] == row["code"] and row["milliseconds"] > 0 for row in last.values())


def test_a_mail_without_a_code_is_held_with_the_reason(rows: dict[str, dict[str, Any]]) -> None:
    """A receipt and Gmail's question push nothing, and say why."""
    for title, verdict in (("a receipt: no code in it", "none"), ("Gmail's forwarding confirmation", "confirmation")):
        row = rows[title]
        assert (row["verdict"], row["state"], row["code"], row["found"]) == (verdict, "held", None, None)
        assert row["reason"]


def test_a_resent_code_supersedes(rows: dict[str, dict[str, Any]]) -> None:
    """The older code is never sent; the agent finds the newer."""
    older, newer = rows["resent: the older code"], rows["resent: the newer code"]
    assert (older["state"], newer["state"]) == ("superseded", "delivered")
    assert older["milliseconds"] is None
    assert newer["found"] == newer["code"] != older["code"]


def test_an_outage_is_retried_in_order(rows: dict[str, dict[str, Any]]) -> None:
    """Both codes of one identifier arrive, after more than one attempt, and the later one last."""
    first, second = (rows[f"an outage, retried in order: {number} of 2"] for number in (1, 2))
    assert first["state"] == second["state"] == "delivered"
    assert first["attempts"] > 1
    assert second["found"] == second["code"] != first["code"]


def test_a_code_for_a_run_is_that_runs_alone(rows: dict[str, dict[str, Any]]) -> None:
    """The tag of the address binds the code to the run: its lookup finds it."""
    row = rows["for one run, by a tagged address"]
    assert row["found"] == row["code"]


def test_nothing_is_left_behind(toured: tuple[Done, Path]) -> None:
    """Its folder is gone when it ends."""
    assert [path.name for path in toured[1].iterdir()] == []


def test_it_stays_up_for_mails_of_ones_own(tmp_path: Path) -> None:
    """Without --once it goes on listening, shows what becomes of a mail that is sent to it, and TERM ends it cleanly.

    Also in the background of a script, where a shell makes it ignore INT.
    """
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *PROGRAM, "demo", "--json", "--listen", "127.0.0.1:0"],
        cwd=tmp_path,
        env=environment(tmp_path, TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "\n"
        found = re.search(r"smtp://(\S+) for any address", process.stderr.readline())
        assert found is not None
        content = (PLAIN % ("own", "640923")).encode()
        sent = send(found.group(1), mail_from="a@b.example", rcpt="me@mailbridge.localhost", content=content, timeout=PATIENCE)
        assert sent.is_accepted
        own = next(row for line in process.stdout if (row := json.loads(line))["code"] == "640923")
        assert (own["state"], own["identifier"], own["found"]) == ("delivered", "ann@example.com", "640923")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.wait()


@looped
async def test_a_mail_that_comes_before_the_first_look_is_shown(tmp_path: Path) -> None:
    """Whoever is invited to send may do it at once: what comes after the position was taken is shown, and what came before is not."""
    async with bridge(settings_of(tmp_path, "127.0.0.1:0"), state_dir=tmp_path) as running:

        async def mail(code: str) -> None:
            content = (PLAIN % ("own", code)).encode()
            where = running.smtp_addresses[0]
            await asyncio.to_thread(send, where, mail_from="a@b.example", rcpt="me@mailbridge.localhost", content=content)

        tour = Tour(running)
        await mail("135790")
        position = await tour.position()
        await mail("640923")
        async with asyncio.timeout(PATIENCE), aclosing(tour.visitors(position)) as visitors:
            assert (await anext(visitors)).code == "640923"


def test_a_listener_that_is_not_there_is_told_apart() -> None:
    """NoEvents on a port: False, and OSError where a mail is sent."""
    assert not is_answering("127.0.0.1:1")
    with pytest.raises(OSError):
        send("127.0.0.1:1", mail_from="", rcpt="a@b.example", content=b"")
