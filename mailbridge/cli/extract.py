"""`extract`: an offline dry run over mail files. It reads no network and no store, and pushes nothing."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.mailfiles import mails
from mailbridge.cli.options import config_option, load_or_exit
from mailbridge.cli.printing import dumped, visible
from mailbridge.config.rulepack import own_rules
from mailbridge.config.settings import Settings
from mailbridge.core.addresses import parse_return_path_header, parse_sole_mailbox
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identification import Identification
from mailbridge.core.secret import MASK, Secret
from mailbridge.intake.parser_config import ParserConfig, parser_config_of
from mailbridge.intake.policy import Policy, policy_of
from mailbridge.intake.understand import Understander, Understanding
from mailbridge.intake.worker_protocol import Request

HEAD_LIMIT = 65_536


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, in input order.")
@click.option("--mask", is_flag=True, help="Hide the values.")
@click.option("--rcpt", metavar="ADDR", help="The envelope recipient (else X-Envelope-To of the mail).")
@click.option("--mail-from", metavar="ADDR", default=None, help="The envelope sender (else Return-Path of the mail).")
@click.option(
    "--rules",
    "rule_paths",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Rule files in place of the configured ones.",
)
@click.option("--no-builtin-rules", is_flag=True, help="Use only your own rules, not the shipped ones.")
@click.option("--now", "now_text", metavar="ISO", help="The moment of arrival, for tests with old mails.")
def extract(
    *,
    paths: tuple[str, ...],
    config: Path | None,
    as_json: bool,
    mask: bool,
    rcpt: str | None,
    mail_from: str | None,
    rule_paths: tuple[Path, ...],
    no_builtin_rules: bool,
    now_text: str | None,
) -> None:
    """Show for each mail what would be pushed, for whom and by which rule, and what was rejected.

    PATH is an .eml file, a folder of them, an mbox, or - for standard input.
    """
    settings = load_or_exit(config).settings
    parser_config = _guide(settings, rule_paths, builtin=not no_builtin_rules)
    read, policy = Understander(parser_config), policy_of(settings, is_practice=False)
    now = _moment(now_text)
    is_missing = False
    for path in paths:
        if path != "-" and not Path(path).exists():
            complain(f"{path}: no such file or folder")
            is_missing = True
            continue
        for name, content in mails(path):
            request = _request(content, rcpt, mail_from, now)
            found = read(request)
            row = _row(name, found, now, settings.rules.lifetime, mask=mask)
            row["gate"] = _gate(found, policy, parser_config)
            click.echo(dumped(row) if as_json else visible(_line(row)))
            sys.stdout.flush()
    if is_missing:
        raise SystemExit(Exit.NOT_FOUND)


def _guide(settings: Settings, rule_paths: tuple[Path, ...], *, builtin: bool) -> ParserConfig:
    import msgspec

    from mailbridge.cli.options import rules_or_exit

    chosen = msgspec.structs.replace(
        settings,
        rules=msgspec.structs.replace(
            settings.rules, paths=rule_paths or settings.rules.paths, builtin=builtin and settings.rules.builtin
        ),
        rule=() if rule_paths else settings.rule,
    )
    return rules_or_exit(lambda: parser_config_of(chosen, rules=own_rules(chosen)))


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is not an ISO 8601 time such as 2026-11-23T13:00:00Z", param_hint="--now") from None


def _request(content: bytes, rcpt: str | None, mail_from: str | None, now: datetime) -> Request:
    head = message_from_bytes(content[:HEAD_LIMIT], policy=policy.compat32)
    to = rcpt or parse_sole_mailbox(str(head.get("X-Envelope-To", "")))
    sender = mail_from if mail_from is not None else parse_return_path_header(str(head.get("Return-Path", "")))
    return Request(content=content, rcpt_to=(to,) if to else ("",), mail_from=sender, now=now)


def _row(name: str, found: Understanding, now: datetime, default: timedelta, *, mask: bool) -> dict[str, object]:
    extraction = found.extraction
    identification = found.addressed[0].identification if found.addressed else Identification()
    lifetime = _lifetime(extraction, now, default)
    return {
        "file": name,
        "verdict": str(extraction.verdict),
        "value": _shown(extraction.value, mask=mask),
        "displayed": _shown(extraction.displayed, mask=mask),
        "identifier": identification.identifiers[0] if identification.identifiers else None,
        "identifiers": list(identification.identifiers),
        "identifier_from": identification.source,
        "rule": extraction.rule,
        "from": found.sender,
        "lifetime_s": int(lifetime.total_seconds()) if lifetime is not None else None,
        "expires_at": _iso(extraction.expires_at or (now + lifetime)) if lifetime is not None else None,
        "confidence": round(extraction.confidence, 3),
        "reason": extraction.reason or identification.reason,
        "rejected": [{"value": _shown(r.value, mask=mask), "why": r.why} for r in extraction.rejected],
        "defects": list(found.defects),
    }


def _gate(found: Understanding, policy: Policy, parser_config: ParserConfig) -> str:
    """What would happen to the mail after it was understood: whether it is ours at all, and what the gate asks of it."""
    entry = found.addressed[0] if found.addressed else None
    if entry is None or not found.extraction.verdict.is_pushed:
        return "would not ask: nothing would be pushed"
    is_ours = entry.recipient.is_mailbox or parser_config.recipients().accept(entry.recipient.rcpt) is not None
    if entry.recipient.rcpt and (parser_config.addresses or parser_config.domains) and not is_ours:
        return "would not see it: no [[address]], [domains] or [[imap]] takes this recipient"
    if not entry.identification.identifiers:
        return "would not ask: nobody is known whom it is for"
    return policy.asked(entry, found, "link" if found.extraction.is_link else "code")


def _lifetime(extraction: Extraction, now: datetime, default: timedelta) -> timedelta | None:
    if extraction.verdict in (Verdict.NONE, Verdict.CONFIRMATION, Verdict.UNREADABLE):
        return None
    if extraction.expires_at is not None:
        return max(extraction.expires_at - now, timedelta())
    return extraction.lifetime or default


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _shown(value: Secret | None, *, mask: bool) -> str | None:
    if value is None:
        return None
    return MASK if mask else value.reveal()


def _line(row: dict[str, object]) -> str:
    if row["verdict"] in ("code", "link"):
        return f"{row['file']}: {row['verdict']} {row['value']} for {row['identifier'] or 'nobody known'} ({row['rule']}; {row['identifier_from']}); the gate {row['gate']}"
    return f"{row['file']}: {row['verdict']}: {row['reason']}"
