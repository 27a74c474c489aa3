"""`send-test`: one mail through the running daemon, with a verdict for every hop."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.listener import own_recipient, smtp_address
from mailbridge.cli.options import config_option, json_option, listener_option, load_or_exit
from mailbridge.cli.printing import dumped, visible
from mailbridge.cli.stored import sealer_of, visit
from mailbridge.config.settings import Settings
from mailbridge.core.delivery import Delivery, State
from mailbridge.demo.mails import Sample, plain_code
from mailbridge.net.smtp_client import Sent, is_answering, send
from mailbridge.store import MailRow, Store
from mailbridge.trust.seal import Sealer

UNFINISHED = (State.PENDING, State.IN_FLIGHT)
GLANCE = 0.003
"""Seconds between two looks at the delivery: as exact as the time that is told."""


@click.command()
@config_option
@json_option
@listener_option
@click.option("--for", "account", default="ann@example.com", show_default=True, metavar="IDENTIFIER", help="Whose code it is.")
@click.option(
    "--rcpt", metavar="ADDR", help="The recipient here (default: the first configured address, or codes@ the first domain)."
)
@click.option("--timeout", default=15.0, show_default=True, help="Seconds to wait for the last hop.")
def send_test(*, config: Path | None, as_json: bool, smtp: str | None, account: str, rcpt: str | None, timeout: float) -> None:
    """Send a mail with a made-up code as Gmail would forward it, and follow it: taken in, understood, delivered."""
    settings = load_or_exit(config).settings
    address = smtp_address(settings, smtp)
    code = str(secrets.randbelow(900_000) + 100_000)
    sample = plain_code(code, account=account, rcpt=rcpt or own_recipient(settings))
    hops = _Hops(as_json=as_json)
    if not is_answering(address):
        hops.tell("listener", False, f"nobody answers on smtp://{address}: is `mailbridge serve` running?")
        raise SystemExit(Exit.UNAVAILABLE)
    is_good = visit(
        config, lambda store: _walk(store, sample, code, address, hops, _target(settings), timeout, sealer_of(settings))
    )
    raise SystemExit(Exit.OK if is_good else Exit.GENERAL)


async def _walk(
    store: Store,
    sample: Sample,
    code: str,
    address: str,
    hops: _Hops,
    target: Callable[[str], str],
    timeout: float,
    sealer: Sealer,
) -> bool:
    """Send and follow, telling each hop. The operator's seal stands for the proofs that a made-up mail has not. The store is open before the mail goes, so that no time is lost behind it."""
    try:
        now = datetime.now(UTC)
        content = sealer.make(sample.build(now), rcpt=sample.rcpt, mail_id=0, received_at=now, now=now)
        sent = await asyncio.to_thread(send, address, mail_from=sample.mail_from, rcpt=sample.rcpt, content=content)
    except OSError as fault:
        return hops.tell("listener", False, f"smtp://{address} broke off: {type(fault).__name__}")
    answer = f"smtp://{address} answered {sent.code} {sent.text}"
    if sent.mail_id is None:
        return hops.tell("listener", False, answer)
    delivery, seconds = await _followed(store, sent, sent.mail_id, timeout)
    hops.tell("listener", True, f"{answer} ({sent.seconds * 1000:.1f} ms)")
    if not hops.tell("understood", *_understood(await store.mails.one(sent.mail_id))):
        return False
    if delivery is None:
        return hops.tell("delivered", False, "no delivery was made")
    text = f"{target(delivery.draft.target)} as {delivery.draft.identifier}: {delivery.state}"
    tries = f"{delivery.attempts} attempt{'s' if delivery.attempts != 1 else ''}"
    is_same = delivery.draft.content.reveal() == code
    if delivery.state is State.DELIVERED and is_same:
        return hops.tell("delivered", True, f"code {code} → {text}, {tries}, {seconds * 1000:.0f} ms after the mail's end")
    why = delivery.reason if is_same else "another code than the one that was sent"
    return hops.tell("delivered", False, f"{text}, {tries}: {why or f'nothing more within {timeout:g} s'}")


def _understood(row: MailRow | None) -> tuple[bool, str]:
    if row is None:
        return False, "not in the store of this configuration; is it the daemon's own?"
    if row.verdict != "code" or not row.identifiers:
        return False, f"{row.verdict}, for {', '.join(row.identifiers) or 'nobody known'}: {row.reason}"
    return True, f"code for {', '.join(row.identifiers)} (from {row.identifier_from}), rule {row.rule}"


async def _followed(store: Store, sent: Sent, mail_id: int, timeout: float) -> tuple[Delivery | None, float]:
    """The delivery once it is final, or as it stands when patience ends, and the seconds since the end of DATA."""
    until = time.monotonic() + timeout
    while True:
        rows = await store.outbox.deliveries(mail_id=mail_id, limit=1)
        if not rows or rows[0].state not in UNFINISHED or time.monotonic() >= until:
            return (rows[0] if rows else None), time.perf_counter() - sent.at
        await asyncio.sleep(GLANCE)


def _target(settings: Settings) -> Callable[[str], str]:
    """What a target is called for people. Under systemd the key may be one that only the daemon is given."""
    urls = {"skyvern": settings.skyvern.base_url, **{target.name: target.base_url for target in settings.target}}
    has_key = settings.skyvern.api_key is not None or settings.skyvern.credentials_file is not None
    if not has_key and is_answering(settings.practice.listen):
        urls["skyvern"] = "the practice receiver"
    return lambda name: urls.get(name, name)


class _Hops:
    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def tell(self, hop: str, is_good: bool, text: str) -> bool:
        """One line a hop. Returns whether it was a good one."""
        click.echo(
            dumped({"hop": hop, "ok": is_good, "text": text})
            if self._as_json
            else visible(f" {'✓' if is_good else '✗'} {hop:11} {text}")
        )
        return is_good
