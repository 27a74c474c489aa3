"""The running daemon's listeners, as the commands beside it reach them."""

from __future__ import annotations

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.config.settings import Settings
from mailbridge.net.listening import reachable


def own_url(settings: Settings) -> str:
    """Where the daemon of these settings serves HTTP, as this machine reaches it."""
    return f"http://{reachable(settings.http.listen)}"


def smtp_address(settings: Settings, named: str | None) -> str:
    """The listener for mail: the named one, else the first of ``[smtp] listen``. Prints one message and exits with 78 if there
    is none."""
    if named is not None:
        return reachable(named)
    chosen = next((one for one in settings.smtp.listen if not one.startswith("unix:")), None)
    if chosen is None:
        complain("[smtp] listen names no port to send to; name one with --smtp HOST:PORT")
        raise SystemExit(Exit.CONFIG)
    return reachable(chosen)
