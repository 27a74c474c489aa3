"""`mail`: what came in, what was made of it, and the octets themselves while they are kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import make_msgid
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.listener import hand_in, own_recipient, smtp_address
from mailbridge.cli.mailfiles import mails
from mailbridge.cli.options import config_option, json_option, listener_option, load_or_exit
from mailbridge.cli.printing import dumped, visible
from mailbridge.cli.sender import allow_sender
from mailbridge.cli.stored import sealer_of, visit, vouched
from mailbridge.core.addresses import parse_return_path_header, parse_sole_mailbox
from mailbridge.core.delivery import Delivery, State
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import MASK
from mailbridge.demo.client import Sent
from mailbridge.store import MailRow
from mailbridge.trust.seal import without

HEAD_LIMIT = 65_536
"""Octets in which the headers of a mail from a file are looked for."""


@click.group()
def mail() -> None:
    """List, show, replay, release and import mails."""


@mail.command("list")
@config_option
@json_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
def list_mails(*, config: Path | None, as_json: bool, limit: int) -> None:
    """The newest mails, with what was found in each. A Gmail confirmation is shown with the link to open."""
    rows = visit(config, lambda store: store.mails.page(limit=limit))
    for row in rows:
        click.echo(dumped(as_dict(row)) if as_json else _line(row))


@mail.command("show")
@config_option
@json_option
@click.argument("number", type=int)
@click.option("--raw", is_flag=True, help="The mail itself, octet for octet.")
@click.option("--reveal", is_flag=True, help="Also the values that were passed over.")
def show_mail(*, config: Path | None, as_json: bool, number: int, raw: bool, reveal: bool) -> None:
    """One mail: for whom it was and how that is known, what was found, what was passed over and why."""
    row = visit(config, lambda store: store.mails.one(number))
    if row is None:
        click.echo(f"mailbridge: there is no mail {number}; `mailbridge mail list` shows what there is", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    if raw:
        envelope = visit(config, lambda store: store.mails.raw(number))
        if envelope is None:
            click.echo(f"mailbridge: mail {number} is no longer kept ([retention] mail)", err=True)
            raise SystemExit(Exit.NOT_FOUND)
        sys.stdout.buffer.write(envelope.content)
        return
    shown = as_dict(row, reveal=reveal)
    if as_json:
        click.echo(dumped(shown))
        return
    for name, value in shown.items():
        if value not in (None, "", []):
            click.echo(f"{name:16} {visible(str(value)) if isinstance(value, str | int) else dumped(value)}")


@mail.command("replay")
@config_option
@json_option
@listener_option
@click.argument("number", type=int)
def replay_mail(*, config: Path | None, as_json: bool, smtp: str | None, number: int) -> None:
    """Send a stored mail through the running daemon again, as a new mail: after a rule was mended, for instance."""
    settings = load_or_exit(config).settings
    address = smtp_address(settings, smtp)
    row, envelope = _kept(config, number)
    content, now = _as_new(without(envelope.content)), datetime.now(UTC)
    results: list[tuple[str, Sent]] = []
    for rcpt in envelope.rcpt_to:
        # Its signatures do not outlive the new Message-ID. Who was let through before is vouched for; who was held, is not.
        sealed = content if row.held else sealer_of(settings).make(content, rcpt=rcpt, mail_id=0, received_at=now, now=now)
        results += hand_in(address, mail_from=envelope.mail_from, rcpt_to=(rcpt,), content=sealed)
    _tell(f"mail {number}", results, as_json=as_json)
    if not all(sent.is_accepted for _, sent in results):
        raise SystemExit(Exit.GENERAL)


@mail.command("release")
@config_option
@json_option
@listener_option
@click.option("--allow", is_flag=True, help="And make its sender's domain known for its identifier from now on.")
@click.argument("number", type=int)
def release_mail(*, config: Path | None, as_json: bool, smtp: str | None, allow: bool, number: int) -> None:
    """Push what a held mail holds, on your own word. Look at it first (`mail show`); its code lives from when it first came.

    That alone makes nobody known; --allow does, as `mailbridge sender allow` would.

    Exit 4: it is not held, no longer kept, or its time is over.
    """
    settings = load_or_exit(config).settings
    address = smtp_address(settings, smtp)
    row, envelope = _kept(config, number)
    if not row.held:
        click.echo(f"mailbridge: mail {number} is not held for want of proof: {row.reason}", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    if allow:
        allow_sender(config, row.sender.rpartition("@")[2], row.identifiers)
    sealer, results = sealer_of(settings), []
    for rcpt in envelope.rcpt_to:
        now = datetime.now(UTC)
        sealed = sealer.make(envelope.content, rcpt=rcpt, mail_id=number, received_at=row.received_at, now=now)
        results += hand_in(address, mail_from=envelope.mail_from, rcpt_to=(rcpt,), content=sealed)
    _tell(f"mail {number}", results, as_json=as_json)
    if not all(sent.is_accepted for _, sent in results):
        raise SystemExit(Exit.GENERAL)
    made = [one for _, sent in results for one in _deliveries(config, sent.mail_id)]
    if all(one.state is State.EXPIRED for one in made):
        click.echo(f"mailbridge: nothing is pushed: the time of mail {number} is over", err=True)
        raise SystemExit(Exit.NOT_FOUND)


def _kept(config: Path | None, number: int) -> tuple[MailRow, Envelope]:
    """A mail as it is known and as it came; exit 4 where it is not kept."""
    row = visit(config, lambda store: store.mails.one(number))
    envelope = visit(config, lambda store: store.mails.raw(number))
    if row is None or envelope is None:
        click.echo(f"mailbridge: mail {number} is not, or no longer, kept ([retention] mail)", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    return row, envelope


def _deliveries(config: Path | None, mail_id: int | None) -> Sequence[Delivery]:
    return () if mail_id is None else visit(config, lambda store: store.outbox.deliveries(mail_id=mail_id))


@mail.command("import")
@config_option
@json_option
@listener_option
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option(
    "--rcpt", metavar="ADDR", help="The recipient here (default: X-Envelope-To of the mail, else a configured address)."
)
@click.option("--mail-from", metavar="ADDR", help="The envelope sender (default: Return-Path of the mail, else none).")
def import_mails(
    *, config: Path | None, as_json: bool, smtp: str | None, paths: tuple[str, ...], rcpt: str | None, mail_from: str | None
) -> None:
    """Send mails from files through the running daemon, as if they came in now: their codes are pushed.

    PATH is an .eml file, a folder of them, an mbox, or - for standard input. You vouch for them: nothing else has to prove them,
    if the daemon is this configuration's own. `mailbridge extract` shows what would come of it
    without pushing anything.
    """
    settings = load_or_exit(config).settings
    address = smtp_address(settings, smtp)
    default = rcpt or own_recipient(settings)
    is_missing = is_refused = False
    for path in paths:
        try:
            for name, content in mails(path):
                head = message_from_bytes(content[:HEAD_LIMIT], policy=policy.compat32)
                to = rcpt or parse_sole_mailbox(str(head.get("X-Envelope-To", ""))) or default
                sender = mail_from if mail_from is not None else parse_return_path_header(str(head.get("Return-Path", "")))
                results = hand_in(
                    address, mail_from=sender, rcpt_to=[to], content=vouched(settings, _with_crlf(content), rcpt=to)
                )
                _tell(name, results, as_json=as_json)
                is_refused = is_refused or not all(sent.is_accepted for _, sent in results)
        except OSError as fault:
            click.echo(f"mailbridge: {path}: {fault.strerror}", err=True)
            is_missing = True
    if is_missing or is_refused:
        raise SystemExit(Exit.NOT_FOUND if is_missing else Exit.GENERAL)


def _tell(name: str, results: Sequence[tuple[str, Sent]], *, as_json: bool) -> None:
    for rcpt, sent in results:
        row = {"file": name, "rcpt": rcpt, "code": sent.code, "text": sent.text, "mail": sent.mail_id}
        click.echo(dumped(row) if as_json else visible(f"{name} → {rcpt}: {sent.code} {sent.text}"))


def _with_crlf(content: bytes) -> bytes:
    """Files have the line ends of their system; SMTP has one kind (RFC 5321 2.3.8)."""
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _as_new(content: bytes) -> bytes:
    """The mail under a Message-ID of its own, so that it is not taken for the one that it repeats."""
    fresh = f"Message-ID: {make_msgid('replay', domain='mailbridge.localhost')}\r\n".encode()
    head, separator, body = content.partition(b"\r\n\r\n")
    lines: list[bytes] = []
    is_dropped = False
    for line in head.split(b"\r\n"):
        is_dropped = is_dropped if line[:1] in (b" ", b"\t") else line.lower().startswith(b"message-id:")
        if not is_dropped:
            lines.append(line)
    return fresh + b"\r\n".join(lines) + separator + body


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
    line = visible(f"{row.id:>6}  {at}  {row.verdict:12} {who:32} from {row.sender or row.mail_from or '<>'}: {row.reason}")
    return f"{line}\n        open this link to confirm: {visible(row.confirm_link)}" if row.confirm_link else line
