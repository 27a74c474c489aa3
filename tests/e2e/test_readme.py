"""The README, typed: its commands are run as they stand, in the order in which a stranger meets them, in a new clone and an empty home."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.conftest import ROOT
from tests.peers.daemon import free_port
from tests.peers.stranger import FENCE, Stranger, blocks, clone_to, commands, environment_of

pytestmark = pytest.mark.e2e

MAKES = 300.0
"""Seconds that `make run` may take on a crowded machine: it downloads and installs."""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """A new clone. Its ports are others, so that a daemon of the machine is not in the way."""
    folder = tmp_path_factory.mktemp("stranger")
    return Stranger(clone=clone_to(folder / "mailbridge"), env=environment_of(folder / "home"))


def test_the_start_works_as_it_is_written(stranger: Stranger) -> None:
    """`make run`, then every command of "Try it", from the first code to the tour."""
    whole = (ROOT / "README.md").read_text(encoding="utf-8")
    make = commands(FENCE.findall(whole)[0][1])[0]
    assert make == "make run"
    began = time.monotonic()
    with stranger.leaves_running(make, "daemon.ready", patience=MAKES):
        for line in [line for body in blocks("Try it") for line in commands(body)]:
            if line == "mailbridge top":
                with stranger.leaves_running(line, "mail"):
                    continue
            done = stranger.types(line)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            if line == "mailbridge send-test":
                assert re.search(r"✓ delivered +code \d+ → the practice receiver", done.stdout)
                print(f"from `make run` to the first code: {time.monotonic() - began:.1f} s")


def test_a_mailbox_is_configured_as_it_is_written(stranger: Stranger) -> None:
    """Every line of the first way, up to where the provider is asked: the file that it writes is good, and its secrets are private."""
    (body, *_) = blocks("1. Fetch from a mailbox (IMAP)")
    mine = body.partition("mailbridge imap test")[0].replace("YOUR SKYVERN KEY", "sk-key-of-the-tests")
    script = "\n".join(["set -e", *stranger.exports, mine])
    env = {name: value for name, value in stranger.env.items() if not name.startswith("MAILBRIDGE_")}
    done = subprocess.run(
        ["bash", "-c", script], cwd=stranger.clone, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "configuration is good" in done.stdout
    assert [line for line in done.stderr.splitlines() if '[trust] senders: "*"' not in line] == []  # as the README says
    written = Path(stranger.env["HOME"]) / ".config" / "mailbridge"
    assert {one.stat().st_mode & 0o777 for one in written.iterdir()} == {0o600}


def test_forwarding_by_hand_works_as_it_is_written(stranger: Stranger, tmp_path: Path) -> None:
    """The second way's own configuration, on other ports: address, filter, a made-up code, and the answer why none comes."""
    (toml,) = blocks("2. Forward from Gmail", "toml")
    config = tmp_path / "mailbridge.toml"
    text = toml.replace("0.0.0.0:25", f"127.0.0.1:{free_port()}").replace("/var/lib/mailbridge", str(tmp_path))
    config.write_text(text.replace('[skyvern]\napi_key_file = "skyvern_api_key"\n', ""), encoding="utf-8")
    del stranger.env["MAILBRIDGE_SMTP__LISTEN"]
    stranger.env["MAILBRIDGE_CONFIG"] = str(config)
    with stranger.leaves_running(".venv/bin/mailbridge serve", "daemon.ready"):
        every = [line for body in blocks("2. Forward from Gmail") for line in commands(body)]
        for line in [line for line in every if not line.startswith(("export ", "mailbridge setup", "mailbridge gmail confirm"))]:
            done = stranger.types(line)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    ET.fromstring((stranger.clone / "mailFilters.xml").read_text(encoding="utf-8"))
