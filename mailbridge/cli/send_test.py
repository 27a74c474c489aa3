"""`send-test`: one mail through the running daemon, with a verdict for every hop."""

from __future__ import annotations

import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from mailbridge.cli import completing
from mailbridge.cli.client import Client, client, fail
from mailbridge.cli.exits import Exit
from mailbridge.cli.listener import smtp_address
from mailbridge.cli.options import config_option, host_and_port, json_option, listener_option
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import dumped, visible
from mailbridge.config.settings import ImapSettings
from mailbridge.demo.mails import plain_code
from mailbridge.net.smtp_client import is_answering, send
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.codes import CodeList, OfIdentifier
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.journal import TailAsk
from mailbridge.operator.mails import OneMail
from mailbridge.operator.shapes import DeliveryShape, MailDetail, TestAddress
from mailbridge.store.reading import literal

UNFINISHED = ("pending", "in_flight")
GLANCE = 0.003
"""Seconds between two checks of the delivery, which limit how exact the printed time is."""

MADE_UP = ("example", "example.com", "example.net", "example.org", "test", "invalid", "localhost")
"""Reserved domains (RFC 2606): no run reads what is pushed for them."""


@click.command()
@config_option
@json_option
@listener_option
@click.option(
    "--for", "account", default="ann@example.com", show_default=True, metavar="IDENTIFIER", help="The identifier of the code."
)
@click.option(
    "--via",
    type=click.Choice(["smtp", "lmtp", "imap"]),
    default="smtp",
    show_default=True,
    help="The way by which the mail is sent.",
)
@click.option(
    "--lmtp",
    metavar="HOST:PORT",
    callback=host_and_port,
    help="With --via lmtp: the listener (default: the first of [smtp] lmtp).",
)
@click.option(
    "--account", "mailbox", metavar="NAME", shell_complete=completing.accounts, help="With --via imap: which [[imap]] account."
)
@click.option("--rcpt", metavar="ADDR", help="Send to this address; the mail then needs a proof.")
@click.option(
    "--timeout", type=Seconds(), default=15.0, metavar="SECONDS", show_default=True, help="Seconds to wait for the delivery."
)
@click.option("--yes", is_flag=True, help="Push the made-up code for a real identifier without asking.")
def send_test(
    *,
    config: Path | None,
    as_json: bool,
    smtp: str | None,
    account: str,
    via: str,
    lmtp: str | None,
    mailbox: str | None,
    rcpt: str | None,
    timeout: float,
    yes: bool,
) -> None:
    """Send a mail with a made-up code, and show each step until it is delivered.

    The daemon makes an address for this one mail, valid for 60 seconds and
    bound to --for. At the end it says what a real mail must prove.
    """
    one = client(config)
    status = one.do(verbs.STATUS, Nothing())
    _agree(account, is_practice=all(target.is_practice for target in status.targets), yes=yes)
    hops = _Hops(as_json=as_json)
    way = _way(one, via, smtp, lmtp, mailbox)
    if isinstance(way, str) and not is_answering(way):
        hops.tell("listener", False, f"nobody answers on {via}://{way}: is `mailbridge serve` running?")
        raise SystemExit(Exit.UNAVAILABLE)
    test = one.do(verbs.TEST_ADDRESS, OfIdentifier(identifier=account))
    raise SystemExit(Exit.OK if _walk(one, hops, test, rcpt or test.rcpt, way, via, timeout) else Exit.GENERAL)


def _agree(account: str, *, is_practice: bool, yes: bool) -> None:
    """Ask before a made-up code becomes the newest one of an identifier that a run may wait for."""
    domain = account.rpartition("@")[2].casefold()
    if is_practice or yes or any(domain == one or domain.endswith(f".{one}") for one in MADE_UP):
        return
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{account} is a real identifier: a run that waits for its code would be given a made-up one; --yes does it anyway"
        )
    question = f"A run that waits for a code of {account} would be given a made-up one. Send it?"
    click.confirm(question, abort=True, err=True)


def _way(one: Client, via: str, smtp: str | None, lmtp: str | None, mailbox: str | None) -> str | ImapSettings:
    """Where the mail goes in: an address of a listener, or a mailbox."""
    settings = one.loaded.settings
    if via == "smtp":
        return smtp_address(settings, smtp)
    if via == "lmtp":
        chosen = lmtp or next(iter(settings.smtp.lmtp), None)
        if chosen is None:
            fail(Fault(kind=Kind.BAD_CONFIG, title="[smtp] lmtp has no listener; name one with --lmtp HOST:PORT"))
        return chosen
    found = [box for box in settings.imap if mailbox in (None, box.label)]
    if len(found) != 1:
        known = ", ".join(box.label for box in settings.imap)
        hint = (
            f"name one with --account: {known}"
            if known
            else "the file has no [[imap]]. For a mailbox that was added by command: send a mail to it, and watch `mailbridge mail list --follow`"
        )
        fail(Fault(kind=Kind.NOT_FOUND, title=f"--via imap works only with a mailbox of the configuration file; {hint}"))
    return found[0]


def _walk(one: Client, hops: _Hops, test: TestAddress, rcpt: str, way: str | ImapSettings, via: str, timeout: float) -> bool:
    """Send and follow, telling each hop."""
    code = str(secrets.randbelow(900_000) + 100_000)
    sample = plain_code(code, account=test.identifier, rcpt=rcpt)
    until = time.monotonic() + timeout
    after = one.do(verbs.JOURNAL_TAIL, TailAsk()).next
    began = time.perf_counter()
    if isinstance(way, ImapSettings):
        number = _left_in(hops, one, way, sample.build(datetime.now(UTC)), after, until)
    else:
        number, began = _sent(hops, way, via, sample.mail_from, rcpt, sample.build(datetime.now(UTC)))
    if number is None:
        return False
    detail = _followed(one, number, until)
    seconds = time.perf_counter() - began
    if not hops.tell("understood", *_understood(detail, test.identifier)):
        return False
    is_good = [_delivered(one, hops, delivery, code, seconds, timeout, test.proofs) for delivery in detail.deliveries]
    if not is_good:
        return hops.tell("delivered", False, "no delivery was made")
    hops.add("a real mail needs one of these proofs:", *test.proofs)
    return all(is_good)


def _sent(hops: _Hops, address: str, via: str, mail_from: str, rcpt: str, content: bytes) -> tuple[int | None, float]:
    """Over a real connection. Returns the mail's number, and when its last octet was sent."""
    try:
        sent = send(address, mail_from=mail_from, rcpt=rcpt, content=content, is_lmtp=via == "lmtp")
    except OSError as fault:
        hops.tell("listener", False, f"{via}://{address} broke off: {type(fault).__name__}")
        return None, 0.0
    answer = f"{via}://{address} answered {sent.code} {sent.text}"
    took = f" ({sent.seconds * 1000:.1f} ms)" if sent.mail_id is not None else ""
    hops.tell("listener", sent.mail_id is not None, f"{answer}{took}")
    return sent.mail_id, sent.at


def _left_in(hops: _Hops, one: Client, box: ImapSettings, content: bytes, after: int, until: float) -> int | None:
    """Into the watched mailbox itself. Returns the mail's number once the daemon has fetched it."""
    from mailbridge.ingress.imap.faults import MailboxFault
    from mailbridge.ingress.imap.probe import leave
    from mailbridge.ingress.imap.vault import open_vault

    try:
        vault = open_vault(one.loaded.settings.store) if box.oauth is not None else None
        folder = leave(box, vault, content)
    except MailboxFault as fault:
        hops.tell("mailbox", False, f"{box.label}: {fault}")
        return None
    hops.tell("mailbox", True, f"{box.label} took it into {folder}")
    while time.monotonic() < until:
        tail = one.do(verbs.JOURNAL_TAIL, TailAsk(after=after, timeout=max(0.0, min(10.0, until - time.monotonic()))))
        after = tail.next
        for line in tail.lines:
            found = one.attempt(verbs.MAIL_SHOW, OneMail(id=line.mail)) if line.event == "stored" else None
            if isinstance(found, MailDetail) and found.trust.startswith("operator: tested"):
                return found.id
    hops.tell("fetched", False, "the daemon has not fetched it: `mailbridge imap status` says why")
    return None


def _followed(one: Client, number: int, until: float) -> MailDetail:
    """The mail when its deliveries are final, or its state when the time is over."""
    while True:
        detail = one.do(verbs.MAIL_SHOW, OneMail(id=number))
        if not any(row.state in UNFINISHED for row in detail.deliveries) or time.monotonic() >= until:
            return detail
        time.sleep(GLANCE)


def _understood(row: MailDetail, identifier: str) -> tuple[bool, str]:
    if row.held:
        return False, f"held for {', '.join(row.identifiers) or 'nobody known'}: {row.held[0]}"
    if row.verdict != "code" or not row.identifiers:
        return False, f"{row.verdict}, for {', '.join(row.identifiers) or 'nobody known'}: {row.reason}"
    if [name.casefold() for name in row.identifiers] != [identifier.casefold()]:
        return False, f"code for {', '.join(row.identifiers)} (from {row.identifier_from}), not for {identifier}"
    return True, f"code for {', '.join(row.identifiers)} (from {row.identifier_from}), rule {row.rule}"


def _delivered(
    one: Client, hops: _Hops, row: DeliveryShape, code: str, seconds: float, timeout: float, proofs: list[str]
) -> bool:
    target = "the practice receiver" if row.is_practice else row.target
    text = f"{target} as {row.identifier}: {row.state}"
    tries = f"{row.attempts} attempt{'s' if row.attempts != 1 else ''}"
    live = one.do(verbs.CODE_REVEAL, CodeList(identifier=literal(row.identifier), limit=1000)).codes
    is_same = any(found.mail == row.mail and found.code == code for found in live)
    if row.state == "delivered" and is_same:
        return hops.tell(
            "delivered", True, f"code {code} → {text}, {tries}, {seconds * 1000:.0f} ms after the mail's end", proofs=proofs
        )
    why = row.reason if is_same else "another code than the one that was sent"
    return hops.tell("delivered", False, f"{text}, {tries}: {why or f'nothing more within {timeout:g} s'}", proofs=proofs)


class _Hops:
    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def add(self, *lines: str) -> None:
        """More for people, below the hops."""
        for line in lines if not self._as_json and len(lines) > 1 else ():
            click.echo(visible(f"   {line}"))

    def tell(self, hop: str, is_good: bool, text: str, **more: object) -> bool:
        """One line a hop, and ``more`` for scripts. Returns whether it was a good one."""
        click.echo(
            dumped({"hop": hop, "ok": is_good, "text": text, **more})
            if self._as_json
            else visible(f" {'✓' if is_good else '✗'} {hop:11} {text}")
        )
        return is_good
