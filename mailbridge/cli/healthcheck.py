"""`healthcheck`: for container health checks and start scripts; needs no curl."""

from __future__ import annotations

import http.client
import time
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, load_or_exit


@click.command()
@config_option
@click.option("--wait", type=float, default=0.0, metavar="SECONDS", help="Keep asking for so long before giving up.")
def healthcheck(config: Path | None, wait: float) -> None:
    """Exit 0 when the daemon of this configuration is ready, 69 when it is not."""
    listen = load_or_exit(config).settings.http.listen
    until = time.monotonic() + wait
    while True:
        answer = _ask(listen)
        if answer.startswith("200 "):
            click.echo(answer[4:])
            return
        if time.monotonic() >= until:
            click.echo(f"not ready: {answer} (asked http://{listen}/readyz)", err=True)
            raise SystemExit(Exit.UNAVAILABLE)
        time.sleep(0.05)


def _ask(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    local = {"0.0.0.0": "127.0.0.1", "[::]": "::1", "": "127.0.0.1"}.get(host, host.strip("[]"))  # noqa: S104
    connection = http.client.HTTPConnection(local, int(port), timeout=2)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return f"{response.status} {response.read(4096).decode('utf-8', 'replace')}"
    except (OSError, http.client.HTTPException) as fault:
        return f"no answer: {type(fault).__name__}"
    finally:
        connection.close()
