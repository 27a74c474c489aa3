"""`rules`: list them, test them by their own examples, try one on a mail, and propose a new one from a mail."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from mailbridge.cli import completing
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, load_or_exit, rules_or_exit
from mailbridge.cli.printing import dumped
from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import Settings
from mailbridge.core.explain import Trial, proposal, trial
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction
from mailbridge.core.mail import Message
from mailbridge.core.parse import parse
from mailbridge.core.rules import Rule, RuleSet, load


@click.group(cls=Group)
def rules() -> None:
    """List, test, try and propose extraction rules."""


@rules.command("list")
@config_option
@json_option
def list_rules(*, config: Path | None, as_json: bool) -> None:
    """Every rule, in the order in which they are tried.

    Each line also says what the rule adds to the extractor, which comes after the rules.
    """
    for rule in _rules(load_or_exit(config).settings).rules:
        click.echo(dumped(_as_dict(rule)) if as_json else _line(rule))


@rules.command("test")
@config_option
@json_option
def test_rules(*, config: Path | None, as_json: bool) -> None:
    """Run every rule against its own examples.

    Prints one line for each mistake. Exit 78 where there is one.
    """
    found = _rules(load_or_exit(config).settings)
    examples = sum(len(rule.accepts) + len(rule.rejects) for rule in found.rules)
    if as_json:
        click.echo(dumped({"rules": len(found.rules), "examples": examples, "problems": []}))
    else:
        click.echo(f"{len(found.rules)} rules, {examples} examples: all hold")


@rules.command("try")
@config_option
@json_option
@click.argument("rule_name", metavar="RULE", shell_complete=completing.rules)
@click.argument("mail", metavar="MAIL")
def try_rule(*, config: Path | None, as_json: bool, rule_name: str, mail: str) -> None:
    """Run RULE on MAIL and show what it finds.

    RULE is the name of a rule, or "generic" for the extractor after the rules; MAIL an .eml file, or - for standard input.
    Shows the match in its text, and why each other candidate was passed over. Exit 4 where nothing is found.
    """
    settings = load_or_exit(config).settings
    found = _rules(settings)
    message = _message(mail)
    rule = next((one for one in found.rules if one.name == rule_name), None)
    if rule is None and rule_name != "generic":
        names = ", ".join(one.name for one in found.rules) or "none"
        complain(f"there is no rule {rule_name!r}; there are: {names}; and generic")
        raise SystemExit(Exit.NOT_FOUND)
    only = RuleSet(rules=(rule,) if rule else (), wording=found.wording)
    extraction = extract(message, rules=only, now=datetime.now(UTC), default_lifetime=settings.rules.lifetime)
    tried = trial(rule, message) if rule else None
    if as_json:
        click.echo(dumped(_tried_as_dict(tried, extraction)))
    else:
        _show(tried, extraction)
    if (tried.found if tried else extraction.value) is None:
        raise SystemExit(Exit.NOT_FOUND)


@rules.command("new")
@config_option
@json_option
@click.option("--from", "mail", metavar="MAIL", required=True, help="An .eml file, or - for standard input.")
def new_rule(*, config: Path | None, as_json: bool, mail: str) -> None:
    """Propose a rule for mails like MAIL, with its examples.

    Read it before you use it.
    """
    settings = load_or_exit(config).settings
    message = _message(mail)
    found = extract(message, rules=_rules(settings), now=datetime.now(UTC), default_lifetime=settings.rules.lifetime)
    text = proposal(message, found)
    if text is None:
        complain(f"no rule can be made of this mail: {found.reason}")
        raise SystemExit(Exit.NOT_FOUND)
    click.echo(dumped({"rule": text}) if as_json else text, nl=as_json)


def _rules(settings: Settings) -> RuleSet:
    return rules_or_exit(lambda: load(list(rule_sources(settings.rules))))


def _message(path: str) -> Message:
    try:
        return parse(sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes())
    except OSError as fault:
        complain(f"{path}: {fault.strerror}")
        raise SystemExit(Exit.NOT_FOUND) from None


def _as_dict(rule: Rule) -> dict[str, object]:
    return {
        "name": rule.name,
        "file": rule.origin,
        "version": rule.version,
        "finds": "link" if rule.is_link else "code",
        "from": list(rule.senders),
        "to": list(rule.recipients),
        "pattern": rule.pattern_text,
        "lifetime_s": int(rule.lifetime.total_seconds()) if rule.lifetime else None,
        "link_hosts": list(rule.link_hosts),
        "source": rule.source,
        "adds": rule.adds,
    }


def _line(rule: Rule) -> str:
    senders = ", ".join(rule.senders) or "anyone"
    adds = f": {rule.adds}" if rule.adds else ""
    return f"{rule.name:24} {'link' if rule.is_link else 'code'} from {senders} ({rule.origin}){adds}"


def _tried_as_dict(tried: Trial | None, extraction: Extraction) -> dict[str, object]:
    return {
        "rule": tried.rule if tried else "generic",
        "concerns": tried.concerns if tried else True,
        "found": tried.found if tried else extraction.value.reveal() if extraction.value else None,
        "span": [tried.start, tried.end] if tried and tried.found else None,
        "reason": (tried.reason if tried else "") or extraction.reason,
        "verdict": str(extraction.verdict),
        "confidence": extraction.confidence,
        "rejected": [{"value": one.value.reveal(), "why": one.why} for one in extraction.rejected],
    }


def _show(tried: Trial | None, extraction: Extraction) -> None:
    if tried is not None and tried.found is not None:
        click.echo(f"{tried.rule} matches:")
        click.echo(f"  …{tried.before}{click.style(tried.found, reverse=True, bold=True)}{tried.after}…".replace("\n", "\n   "))
    elif tried is not None:
        click.echo(f"{tried.rule} does not match: {tried.reason}")
    value = extraction.value.reveal() if extraction.value else "nothing"
    click.echo(f"verdict: {extraction.verdict} {value} ({extraction.rule or 'no rule'}; {extraction.reason})")
    for one in extraction.rejected:
        click.echo(f"  passed over: {one.value.reveal()}: {one.why}")
