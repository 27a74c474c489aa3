"""The running daemon's listener, as the commands beside it reach it: where it is, what it takes, and a mail for it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mailbridge.cli.exits import Exit
from mailbridge.config.settings import Settings
from mailbridge.net.smtp_client import Sent, send

ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "localhost": "127.0.0.1"}  # noqa: S104  (what such a listener answers on)


def reachable(listen: str) -> str:
    """``host:port`` on which a listener of this machine can be reached."""
    host, _, port = listen.rpartition(":")
    return f"{ANY.get(host, host)}:{port}"


def smtp_address(settings: Settings, named: str | None) -> str:
    """Where mail goes in: as named, else the first of ``[smtp] listen``; a clean message and exit 78 where there is none."""
    if named is not None:
        if not named.rpartition(":")[2].isdigit():
            raise click.BadParameter(f"{named!r} is no HOST:PORT such as 127.0.0.1:25", param_hint="--smtp")
        return reachable(named)
    chosen = next((one for one in settings.smtp.listen if not one.startswith("unix:")), None)
    if chosen is None:
        click.echo("mailbridge: [smtp] listen names no port to send to; name one with --smtp HOST:PORT", err=True)
        raise SystemExit(Exit.CONFIG)
    return reachable(chosen)


def own_recipient(settings: Settings) -> str:
    """A recipient that is ours: the first ``[[address]]``, else one at the first accepted domain; exit 78 without either."""
    if settings.address:
        return settings.address[0].rcpt
    if settings.domains.accept:
        return f"codes@{settings.domains.accept[0]}"
    click.echo(
        "mailbridge: no recipient is configured: add an [[address]] (`mailbridge address new`), or name one with --rcpt", err=True
    )
    raise SystemExit(Exit.CONFIG)


def hand_in(address: str, *, mail_from: str, rcpt_to: Sequence[str], content: bytes) -> list[tuple[str, Sent]]:
    """Send a mail to each recipient. A refusal is a value; a clean message and exit 69 where nobody listens."""
    try:
        return [(rcpt, send(address, mail_from=mail_from, rcpt=rcpt, content=content)) for rcpt in rcpt_to]
    except OSError as fault:
        click.echo(
            f"mailbridge: nobody answers on smtp://{address} ({type(fault).__name__}): is `mailbridge serve` running?", err=True
        )
        raise SystemExit(Exit.UNAVAILABLE) from None
