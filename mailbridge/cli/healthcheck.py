"""`healthcheck`: for container health checks and start scripts; needs no curl."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.params import Seconds
from mailbridge.net.listening import reachable


@click.command()
@config_option
@json_option
@click.option(
    "--wait",
    type=Seconds(),
    is_flag=False,
    flag_value=60.0,
    default=0.0,
    metavar="[SECONDS]",
    help="Ask again for so many seconds before it gives up (without a number: 60).",
)
def healthcheck(*, config: Path | None, as_json: bool, wait: float) -> None:
    """Exit 0 if the daemon of this configuration takes mail, 69 if it does not."""
    listen = reachable(load_or_exit(config).settings.http.listen)
    until = time.monotonic() + wait
    while True:
        status, text = _ask(listen)
        is_ready = status == 200
        if is_ready or time.monotonic() >= until:
            break
        time.sleep(0.05)
    if as_json:
        click.echo(text if status else json.dumps({"status": "no answer", "checks": {"http": text}}))
    elif is_ready:
        click.echo(text)
    else:
        complain(f"not ready: {status or 'no answer'}: {text} (asked http://{listen}/readyz)")
    raise SystemExit(Exit.OK if is_ready else Exit.UNAVAILABLE)


def _ask(address: str) -> tuple[int, str]:
    """Status and body of ``/readyz``; status 0 and the kind of fault if there is no answer."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=2)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status, response.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as fault:
        return 0, type(fault).__name__
    finally:
        connection.close()
