"""The server does what ``/openapi.json`` says, whatever is asked of it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from pathlib import Path

import pytest

from mailbridge.operator.asks import SOMETHING
from mailbridge.operator.verbs import VERBS
from mailbridge.web.limits import RateLimit
from mailbridge.web.openapi import openapi
from tests.web.desk import Desk, at_desk

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("--exclude-path", "/api/v1/doctor")
"""What would ask the world outside."""

ECMA_SPACE = r"[\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
"""White space and line terminators, ECMA-262 12.2 and 12.3."""

CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
"""
"""Its own, and 413: what is longer than a field may be can be longer than a body may be."""

EXAMPLES = os.environ.get("MAILBRIDGE_EXAMPLES", "50")


def test_the_document_is_served_as_it_is_written(tmp_path: Path) -> None:
    """To everybody, without a token; what stands in it is there, and asks for a token; every verb stands in it."""

    async def work(desk: Desk) -> None:
        answer = await desk.client.get("/openapi.json")
        assert answer.json() == openapi()
        assert {verb.path for verb in VERBS} <= set(openapi()["paths"])
        for path, methods in openapi()["paths"].items():
            for method in methods:
                asked = await desk.client.request(method, path.replace("{id}", "1"))
                assert asked.status_code == 401, (method, path)

    at_desk(tmp_path, work, limit=RateLimit(rate=1e6, burst=1_000_000, now=time.monotonic))


def test_space_is_no_text_for_whoever_reads_the_description() -> None:
    """What Python counts as white space, and ECMA-262 does not, is refused by the pattern itself: both kinds of reader agree."""
    by_python_alone = [chr(code) for code in range(0x3001) if chr(code).isspace() and not re.fullmatch(ECMA_SPACE, chr(code))]
    assert len(by_python_alone) == 5
    for one in by_python_alone:
        assert re.search(SOMETHING, one, re.ASCII) is None
    assert re.search(SOMETHING, " a ", re.ASCII)


@pytest.mark.e2e
@pytest.mark.timeout(1200)
def test_schemathesis_finds_no_failure(tmp_path: Path) -> None:
    """Good and bad requests, signed where they must be: every status, type and body is described, and there is never a 5xx."""
    limit = RateLimit(rate=1e6, burst=1_000_000, now=time.monotonic)

    async def work(desk: Desk) -> None:
        await desk.mail("482913")
        url = str(desk.client.base_url)
        arguments = (
            "run",
            f"{url}/openapi.json",
            "--url",
            url,
            "--max-examples",
            EXAMPLES,
            "--exclude-path",
            "/api/v1/events",
            *OUTSIDE,
        )
        (tmp_path / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            *arguments,
            "--header",
            f"Authorization: {(await desk.token('*', role='operator'))['Authorization']}",
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.web.schemathesis_hooks", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        assert f"Tested: {11 + len(VERBS)}" in said.decode(), said.decode()

    at_desk(tmp_path, work, limit=limit)
