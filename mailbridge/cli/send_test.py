"""`send-test`: one mail through the running daemon, with a verdict for every hop."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.stored import sealer_of, visit
from mailbridge.config.settings import Settings
from mailbridge.core.delivery import Delivery, State

DONE = (State.DELIVERED, State.DEAD, State.EXPIRED, State.SUPERSEDED)


@click.command()
@config_option
@json_option
@click.option("--for", "account", default="ann@example.com", show_default=True, metavar="IDENTIFIER", help="Whose code it is.")
@click.option(
    "--rcpt", metavar="ADDR", help="The recipient here (default: the first configured address, or codes@ the first domain)."
)
@click.option("--timeout", default=15.0, show_default=True, help="Seconds to wait for the last hop.")
def send_test(*, config: Path | None, as_json: bool, account: str, rcpt: str | None, timeout: float) -> None:
    """Send a mail with a made-up code as Gmail would forward it, and follow it: taken in, understood, delivered."""
    from mailbridge.demo import mails
    from mailbridge.demo.client import send

    settings = load_or_exit(config).settings
    to = rcpt or _own_address(settings)
    code = str(secrets.randbelow(900_000) + 100_000)
    sample = mails.plain_code(code, account=account, rcpt=to)
    address = settings.smtp.listen[0]
    hops = _Hops(as_json=as_json)
    try:
        now = datetime.now(UTC)
        content = sealer_of(settings).make(sample.build(now), rcpt=to, mail_id=0, received_at=now, now=now)
        sent = send(_local(address), mail_from=sample.mail_from, rcpt=to, content=content)
    except OSError as fault:
        hops.tell(
            "listener", False, f"nobody answers on smtp://{address} ({type(fault).__name__}): is `mailbridge serve` running?"
        )
        raise SystemExit(Exit.UNAVAILABLE) from None
    hops.tell("listener", sent.is_accepted, f"smtp://{address} answered {sent.code} {sent.text} ({sent.seconds * 1000:.1f} ms)")
    if sent.mail_id is None:
        raise SystemExit(Exit.GENERAL)
    number = sent.mail_id
    row = visit(config, lambda store: store.mail(number))
    is_found = row is not None and row.verdict == "code"
    what = (
        "not in the store"
        if row is None
        else f"{row.verdict}, for {', '.join(row.identifiers) or 'nobody known'} (from {row.identifier_from}), rule {row.rule}"
    )
    hops.tell(
        "understood",
        is_found and row is not None and bool(row.identifiers),
        what if row is None or row.identifiers else f"{what}: {row.reason}",
    )
    delivery = _followed(config, number, timeout)
    if delivery is None:
        hops.tell("delivered", False, "no delivery was made")
        raise SystemExit(Exit.GENERAL)
    target = (
        "the practice receiver"
        if settings.skyvern.api_key is None and settings.skyvern.credentials_file is None
        else settings.skyvern.base_url
    )
    is_delivered = delivery.state is State.DELIVERED
    is_same = delivery.draft.content.reveal() == code
    text = f"code {code} → {target} as {delivery.draft.identifier}: {delivery.state}, {delivery.attempts} attempt(s)"
    hops.tell("delivered", is_delivered and is_same, text if is_delivered else f"{text}: {delivery.reason}")
    raise SystemExit(Exit.OK if is_delivered and is_same else Exit.GENERAL)


class _Hops:
    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def tell(self, hop: str, is_good: bool, text: str) -> None:
        """One line a hop."""
        click.echo(
            json.dumps({"hop": hop, "ok": is_good, "text": text})
            if self._as_json
            else f" {'✓' if is_good else '✗'} {hop:11} {text}"
        )


def _own_address(settings: Settings) -> str:
    if settings.address:
        return settings.address[0].rcpt
    if settings.domains.accept:
        return f"codes@{settings.domains.accept[0]}"
    click.echo(
        "mailbridge: no recipient is configured: add an [[address]] (`mailbridge address new`), or name one with --rcpt", err=True
    )
    raise SystemExit(Exit.CONFIG)


def _local(address: str) -> str:
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def _followed(config: Path | None, mail_id: int, timeout: float) -> Delivery | None:
    until = time.monotonic() + timeout
    while True:
        rows = visit(config, lambda store: store.deliveries(mail_id=mail_id, limit=1))
        if not rows or rows[0].state in DONE or time.monotonic() >= until:
            return rows[0] if rows else None
        time.sleep(0.1)
