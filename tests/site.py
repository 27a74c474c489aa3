"""The documentation as a site: ``python -m tests.site FOLDER`` writes FOLDER/site from README.md, docs/ and config/; `make site`.

What is published keeps its place, so that a link of a file leads to the same thing in the repository and on the site.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("CHANGELOG.md", "SECURITY.md", "LICENSE")
FOLDERS = ("docs", "config", "clients/recipes")


def gather(folder: Path) -> None:
    """What is published, and how, in a folder of its own."""
    source = folder / "site-source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    shutil.copy(ROOT / "README.md", source / "index.md")
    for name in FILES:
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("zensical.toml", "mailbridge.1", "__pycache__"))
    shutil.copy(ROOT / "docs" / "zensical.toml", folder)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Make the site. A warning, such as a link to a page that is not there, ends it."""
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def main(folder: Path) -> int:
    """Gather and build; what is wrong goes to standard error."""
    gather(folder)
    done = build(folder)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    else:
        sys.stdout.write(f"{folder / 'site' / 'index.html'}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
