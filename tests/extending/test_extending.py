"""The example of docs/extending.md: a package outside of the tree, built, installed into a folder of its own, and put to the contracts."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.peers.wheel import ROOT, build_wheel

PACKAGE = Path(__file__).parent / "package"
GUIDE = ROOT / "docs" / "extending.md"
PUBLIC = (
    "mailbridge.config.settings",
    "mailbridge.core.delivery",
    "mailbridge.core.mail",
    "mailbridge.core.secret",
    "mailbridge.intake.answer",
    "mailbridge.intake.doorway",
    "mailbridge.sinks",
    "mailbridge.store",
    "mailbridge.web.desk",
)
"""The rooms that a package outside may import; docs/extending.md lists the same."""


def test_the_example_passes_the_contracts_as_an_installed_package(tmp_path: Path) -> None:
    """Every test of the suites for a way in and a sink, kill -9 included, and a daemon with all three of its parts."""
    source = tmp_path / "source"
    for path in PACKAGE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = source / path.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    site = tmp_path / "site"
    zipfile.ZipFile(build_wheel(tmp_path / "wheel", source)).extractall(site)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).parent / "contracts.py")]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'inner'}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 60


def test_the_example_imports_public_rooms_only() -> None:
    """What it needs of mailbridge is what the guide lists, and no name of it is private."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                found |= {node.module} if node.module.split(".")[0] == "mailbridge" else set()
                assert not any(one.name.startswith("_") for one in node.names if node.module != "__future__"), path
    assert found <= set(PUBLIC)
    listed = set(re.findall(r"^\| `(mailbridge\.[a-z._]+)` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == set(PUBLIC)


def test_the_guide_shows_the_example_as_it_is() -> None:
    """Each block of the guide that names a file is that file, word for word, or a part of it."""
    blocks = re.findall(r"^```python title=\"([^\"]+)\"\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert {name for name, _ in blocks} >= {
        "mailbridge_example/drop.py",
        "mailbridge_example/bell.py",
        "mailbridge_example/held.py",
    }
    for name, block in blocks:
        base = PACKAGE if name.startswith("mailbridge_example") else ROOT
        assert block in (base / name).read_text(encoding="utf-8"), name
