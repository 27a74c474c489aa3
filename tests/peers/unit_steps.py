"""`python -m tests.peers.unit_steps FOLDER`: the lines at the top of the systemd unit, typed in an empty root, and what they installed used.

The root has nothing in it but the system's /usr and a copy of the project; `tests.peers.dockerfile` makes it. Lines for systemctl are left
out: `tests/e2e/test_systemd.py` has a machine that boots. The daemon is started as the unit does, as a user of its own that can read no
file of root's, with the key as a credential; commands are root's. It has to be called in a mount namespace of its own (`unshare --mount`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT
from tests.peers.daemon import free_port
from tests.peers.dockerfile import BASE, KEPT, PATIENCE, new_root
from tests.peers.practice import running_practice
from tests.peers.stranger import blocks, clone_to, commands

SERVICE = ROOT / "config" / "mailbridge.service"
DYNAMIC = 61_000
"""Of the range from which systemd takes users that exist only while a service runs."""

STATE, CREDENTIALS = "var/lib/mailbridge", "run/credentials/mailbridge.service"


def steps() -> list[str]:
    """The lines that install it, without their remarks in brackets."""
    lines = re.findall(r"^#   (.+)$", SERVICE.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r" {3,}\(.*\)$", "", line) for line in lines]


def locked() -> list[str]:
    """The lines of docs/install.md that install from the lock file."""
    (body,) = [one for one in blocks("A server with systemd", page="docs/install.md") if "--require-hashes" in one]
    return commands(body)


def installed(folder: Path, key: str) -> Path:
    """Type the lines. Returns the root."""
    root = new_root(folder)
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "dev/stdin").symlink_to("/proc/self/fd/0")
    clone_to(root / "src")
    env = {**BASE, **{one: os.environ[one] for one in KEPT if one in os.environ}}
    for line in [line for line in [*steps(), *locked()] if not line.startswith("systemctl ")]:
        print(line, flush=True)
        subprocess.run(["chroot", root, "/bin/sh", "-c", f"cd /src && {line}"], env=env, input=key, text=True, check=True)
    return root


def run(root: Path, *, base_url: str) -> dict[str, object]:
    """Start the daemon with the README's configuration, and use it as root. Returns what came of it."""
    port = free_port()
    (toml,) = blocks("2. Forward from Gmail", "toml")
    (root / "etc/mailbridge/mailbridge.toml").write_text(toml.replace("0.0.0.0:25", f"127.0.0.1:{port}"), encoding="utf-8")
    for name in (STATE, CREDENTIALS):
        (root / name).mkdir(parents=True, mode=0o700)
        os.chown(root / name, DYNAMIC, DYNAMIC)
    shutil.copyfile(root / "etc/mailbridge/skyvern_api_key", root / CREDENTIALS / "skyvern_api_key")
    os.chown(root / CREDENTIALS / "skyvern_api_key", DYNAMIC, DYNAMIC)
    setting = {"MAILBRIDGE_SKYVERN__BASE_URL": base_url, "MAILBRIDGE_HTTP__LISTEN": f"127.0.0.1:{free_port()}"}
    env = {"PATH": "/usr/sbin:/usr/bin:/bin", "MAILBRIDGE_IDENTITY__LEARN_FROM_SKYVERN": "false", **setting}
    program = "/opt/mailbridge/bin/mailbridge"

    def visit(*words: str) -> tuple[int, str]:
        done = subprocess.run(["chroot", root, program, *words], env=env, capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout + done.stderr

    log = root.parent / "log"
    command = ["chroot", f"--userspec={DYNAMIC}:{DYNAMIC}", str(root), program, "serve"]
    with log.open("wb") as stream:
        daemon = subprocess.Popen(command, env={**env, "CREDENTIALS_DIRECTORY": f"/{CREDENTIALS}"}, stderr=stream)
    try:
        until = time.monotonic() + PATIENCE
        while b"daemon.ready" not in log.read_bytes():
            assert daemon.poll() is None, log.read_text(encoding="utf-8", errors="replace")
            assert time.monotonic() < until, log.read_text(encoding="utf-8", errors="replace")
            time.sleep(0.05)
        added = visit("address", "add", "--for", "ann@corp.com", "--domain", "bridge.example.com")
        checked = visit("check-config")
        sent = visit("send-test", "--for", "ann@corp.com", "--yes")
    finally:
        daemon.terminate()
        ended = daemon.wait(PATIENCE)
    key = (root / "etc/mailbridge/skyvern_api_key").stat()
    return {
        "check-config": checked,
        "address add": added,
        "send-test": sent,
        "ended": ended,
        "key": [key.st_uid, oct(key.st_mode & 0o777)],
        "units": sorted(one.name for one in (root / "etc/systemd/system").iterdir()),
        "state": sorted({(STATE, one.stat().st_uid) for one in (root / STATE).iterdir()}),
    }


if __name__ == "__main__":
    with running_practice() as receiver:
        print(json.dumps(run(installed(Path(sys.argv[1]), receiver.api_key), base_url=receiver.base_url)))
