"""`mailbridge setup` in a real terminal, from nothing to the first code, with no more actions than the docs name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.drive.__main__ import documented, undocumented
from tests.drive.terminal import Action
from tests.peers import dovecot

NAMESPACE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


def _is_possible() -> bool:
    """Whether a network namespace of one's own can be had."""
    tools = shutil.which("unshare") and shutil.which("ip")
    return bool(tools) and subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


needs_namespace = pytest.mark.skipif(
    not _is_possible(), reason="needs a network namespace: unshare, iproute2, and the right to use them"
)


def driven(way: str) -> int:
    """Walk a way in a namespace of its own. Returns how many actions it took."""
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "tests.drive", way], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    print(done.stdout)
    return int(json.loads(done.stdout.splitlines()[-1])["actions"])


@needs_namespace
@pytest.mark.parametrize(("way", "most"), [("try", 3), ("gmail", 12), ("compose", 8), ("http", 8)])
def test_a_way_is_walked_to_the_first_code(way: str, most: int) -> None:
    """Every answer is typed, every step turns green, the code is where Skyvern looks; no action is missing in the docs."""
    assert driven(way) <= most


@needs_namespace
def test_interrupted_it_goes_on_and_a_second_run_changes_nothing() -> None:
    """Wrong answers are asked again, Ctrl-C and a daemon that is gone lose nothing, and what is done is not done twice."""
    driven("interrupted")


@pytest.mark.e2e
@needs_namespace
def test_a_mailbox_of_a_real_server_is_walked_to_the_first_code() -> None:
    """The same with a Dovecot whose certificate has to be trusted."""
    if not dovecot.is_installed():
        pytest.skip(dovecot.MEND)
    assert driven("mailbox") <= 6


def test_an_action_that_the_docs_do_not_have_is_found() -> None:
    """One more answer, or two in another order, is told."""
    rows = [Action(where, name, "") for where, name in documented("A mailbox")]
    assert len(rows) == 6
    assert undocumented(rows, "A mailbox") == []
    assert undocumented(rows[:2] + rows[3:], "A mailbox") == []
    assert undocumented([*rows, Action("terminal", "more", "")], "A mailbox") == [Action("terminal", "more", "")]
    assert undocumented([rows[1], rows[0]], "A mailbox") == [rows[0]]
