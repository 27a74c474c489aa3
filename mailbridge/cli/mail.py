"""`mail`: what came in, what was made of it, and the octets themselves while they are kept."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.stored import sealer_of, visit
from mailbridge.core.delivery import State
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import MASK
from mailbridge.store import MailRow
from mailbridge.trust.seal import without


@click.group()
def mail() -> None:
    """List, show, replay and release stored mails."""


@mail.command("list")
@config_option
@json_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
def list_mails(*, config: Path | None, as_json: bool, limit: int) -> None:
    """The newest mails, with what was found in each. A Gmail confirmation is shown with the link to open."""
    rows = visit(config, lambda store: store.mails(limit=limit))
    for row in rows:
        click.echo(json.dumps(as_dict(row), ensure_ascii=False) if as_json else _line(row))


@mail.command("show")
@config_option
@json_option
@click.argument("number", type=int)
@click.option("--raw", is_flag=True, help="The mail itself, octet for octet.")
@click.option("--reveal", is_flag=True, help="Also the values that were passed over.")
def show_mail(*, config: Path | None, as_json: bool, number: int, raw: bool, reveal: bool) -> None:
    """One mail: for whom it was and how that is known, what was found, what was passed over and why."""
    row = visit(config, lambda store: store.mail(number))
    if row is None:
        click.echo(f"mailbridge: there is no mail {number}; `mailbridge mail list` shows what there is", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    if raw:
        envelope = visit(config, lambda store: store.raw(number))
        if envelope is None:
            click.echo(f"mailbridge: mail {number} is no longer kept ([retention] mail)", err=True)
            raise SystemExit(Exit.NOT_FOUND)
        sys.stdout.buffer.write(envelope.content)
        return
    shown = as_dict(row, reveal=reveal)
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for name, value in shown.items():
        if value not in (None, "", []):
            click.echo(f"{name:16} {value if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)}")


@mail.command("replay")
@config_option
@click.argument("number", type=int)
def replay_mail(*, config: Path | None, number: int) -> None:
    """Send a stored mail through the running daemon again, as a new mail: after a rule was mended, for instance."""
    row, envelope = _kept(config, number)
    now = datetime.now(UTC)
    fresh = b"Message-ID: <replay-%d-%d@mailbridge.localhost>\r\n" % (number, int(now.timestamp() * 1000))
    content = fresh + _without_id(without(envelope.content))
    _send_anew(config, envelope, content, mail_id=None if row.held else 0, received_at=now)


@mail.command("release")
@config_option
@click.argument("number", type=int)
def release_mail(*, config: Path | None, number: int) -> None:
    """Push what a held mail holds, on your own word: look at it first (`mail show`). Its code lives as long as when it came."""
    row, envelope = _kept(config, number)
    if not row.held:
        click.echo(f"mailbridge: mail {number} is not held for want of proof: {row.reason}", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    _send_anew(config, envelope, envelope.content, mail_id=number, received_at=row.received_at)


def _kept(config: Path | None, number: int) -> tuple[MailRow, Envelope]:
    row = visit(config, lambda store: store.mail(number))
    envelope = visit(config, lambda store: store.raw(number))
    if row is None or envelope is None:
        click.echo(f"mailbridge: mail {number} is not, or no longer, kept", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    return row, envelope


def _send_anew(config: Path | None, envelope: Envelope, content: bytes, *, mail_id: int | None, received_at: datetime) -> None:
    """Send through the running daemon, under the operator's seal unless ``mail_id`` is None, and tell what became of it."""
    from mailbridge.demo.client import send

    settings = load_or_exit(config).settings
    sealer = None if mail_id is None else sealer_of(settings)
    for rcpt in envelope.rcpt_to:
        sealed = content
        if sealer is not None and mail_id is not None:
            now = datetime.now(UTC)
            sealed = sealer.make(content, rcpt=rcpt, mail_id=mail_id, received_at=received_at, now=now)
        try:
            sent = send(settings.smtp.listen[0], mail_from=envelope.mail_from, rcpt=rcpt, content=sealed)
        except OSError as fault:
            click.echo(f"mailbridge: nobody answers on {settings.smtp.listen[0]}: {fault}", err=True)
            raise SystemExit(Exit.UNAVAILABLE) from None
        click.echo(f"{rcpt}: {sent.code} {sent.text}")
        if not sent.is_accepted:
            raise SystemExit(Exit.GENERAL)
        if sent.mail_id is not None and mail_id:
            _tell(config, sent.mail_id)


def _tell(config: Path | None, number: int) -> None:
    """What became of a mail that was released; exit 4 where its time was over."""
    rows = visit(config, lambda store: store.deliveries(mail_id=number, limit=10))
    for row in rows:
        click.echo(f"  {row.draft.kind} for {row.draft.identifier} → {row.draft.target}: {row.state} {row.reason}".rstrip())
    if not rows or all(row.state is State.EXPIRED for row in rows):
        raise SystemExit(Exit.NOT_FOUND)


def _without_id(content: bytes) -> bytes:
    head, separator, body = content.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"message-id:")]
    return b"\r\n".join(lines) + separator + body


def as_dict(row: MailRow, *, reveal: bool = False) -> dict[str, object]:
    """A mail for people and scripts; values that may be codes are masked unless asked for."""
    return {
        "id": row.id,
        "received_at": row.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ingress": row.ingress,
        "from": row.sender,
        "subject": row.subject if reveal or row.verdict not in ("code", "ambiguous", "expired") else _masked(row.subject),
        "rcpt_to": list(row.rcpt_to),
        "mail_from": row.mail_from,
        "verdict": row.verdict,
        "identifiers": list(row.identifiers),
        "identifier_from": row.identifier_from,
        "rule": row.rule,
        "reason": row.reason,
        "trust": row.trust,
        "held": list(row.held),
        "rejected": [{"value": value if reveal else MASK, "why": why} for value, why in row.rejected],
        "clues": [f"{clue.source}: {clue.address} ({clue.verdict})" for clue in row.clues],
        "defects": list(row.defects),
        "size": row.size,
        "confirm_link": row.confirm_link,
    }


def _masked(subject: str) -> str:
    return " ".join(MASK if any(letter.isdigit() for letter in word) else word for word in subject.split())


def _line(row: MailRow) -> str:
    who = ", ".join(row.identifiers) or "nobody known"
    at = row.received_at.astimezone().strftime("%d %b %H:%M:%S")
    line = f"{row.id:>6}  {at}  {row.verdict:12} {who:32} from {row.sender or row.mail_from or '<>'}: {row.reason}"
    return f"{line}\n        open this link to confirm: {row.confirm_link}" if row.confirm_link else line
