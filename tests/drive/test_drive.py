"""`mailbridge setup` in a real terminal, from nothing to the first code, with no more actions than the docs name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.drive.__main__ import UNSHARE, documented, namespace, undocumented
from tests.drive.terminal import Action
from tests.peers import dovecot, skyvern


def _is_possible() -> bool:
    """Whether a network namespace of one's own can be had."""
    tools = shutil.which("unshare") and shutil.which("ip")
    return bool(tools) and subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


needs_namespace = pytest.mark.skipif(
    not _is_possible(), reason="needs a network namespace: unshare, iproute2, and the right to use them"
)


def driven(*words: str) -> list[tuple[str, ...]]:
    """Walk a way in a namespace of its own. Returns its actions: where, and what."""
    command = [sys.executable, "-m", "tests.drive", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    print(done.stdout)
    return [tuple(one.split(": ")) for one in json.loads(done.stdout.splitlines()[-1])["actions"]]


@needs_namespace
@pytest.mark.parametrize(("way", "most"), [("try", 3), ("gmail", 12), ("file", 99), ("beside", 99), ("http", 8)])
def test_a_way_is_walked_to_the_first_code(way: str, most: int) -> None:
    """Every answer is typed, every step turns green, the code is where Skyvern looks; no action is missing in the docs."""
    assert len(driven(way)) <= most


@needs_namespace
def test_forwarding_takes_every_action_of_its_table_and_no_other() -> None:
    """Google's clicks and the DNS record are counted like what is typed."""
    assert driven("gmail") == documented("Gmail forwards to this machine")


@needs_namespace
def test_interrupted_it_goes_on_and_a_second_run_changes_nothing() -> None:
    """Wrong answers are asked again, Ctrl-C and a daemon that is gone lose nothing, and what is done is not done twice."""
    driven("interrupted")


@needs_namespace
def test_the_network_of_the_machine_is_never_changed() -> None:
    """Told that it is in its namespace already, it looks, and does nothing where it is not."""
    words = [sys.executable, "-m", "tests.drive", "try", "--within", str(namespace())]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "nothing is changed in it" in done.stderr


@pytest.mark.e2e
@needs_namespace
@pytest.mark.parametrize(("way", "most"), [("mailbox", 6), ("compose", 8)])
def test_a_mailbox_of_a_real_server_is_walked_to_the_first_code(way: str, most: int) -> None:
    """The same with a Dovecot whose certificate has to be trusted, alone and in a container."""
    if not dovecot.is_installed():
        pytest.skip(dovecot.MEND)
    assert len(driven(way)) <= most


@pytest.mark.e2e
@needs_namespace
@pytest.mark.parametrize(("way", "most"), [("mailbox", 6), ("gmail", 12), ("compose", 8)])
def test_a_real_skyvern_gets_the_first_code(way: str, most: int) -> None:
    """It is found on its port, takes the key, and its own lookup has the code."""
    if not skyvern.is_installed():
        pytest.skip(skyvern.MEND)
    if way != "gmail" and not dovecot.is_installed():
        pytest.skip(dovecot.MEND)
    assert len(driven(way, "--skyvern")) <= most


def test_an_action_that_the_docs_do_not_have_is_found() -> None:
    """One more answer, or two in another order, is told."""
    rows = [Action(where, name, "") for where, name in documented("A mailbox")]
    assert len(rows) == 6
    assert undocumented(rows, "A mailbox") == []
    assert undocumented(rows[:2] + rows[3:], "A mailbox") == []
    assert undocumented([*rows, Action("terminal", "more", "")], "A mailbox") == [Action("terminal", "more", "")]
    assert undocumented([rows[1], rows[0]], "A mailbox") == [rows[0]]
