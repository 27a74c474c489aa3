"""`rule`: list rules, test them by their own examples, try one on a mail, propose a new one from a mail, add and remove one."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec import structs

from mailbridge.cli import completing
from mailbridge.cli.client import Client, client
from mailbridge.cli.entries import origin_of
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain, note
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, rules_or_exit
from mailbridge.cli.printing import dumped, visible
from mailbridge.config.load import table
from mailbridge.config.rulepack import TABLE, every_rule
from mailbridge.config.settings import RuleTable, Settings
from mailbridge.core.explain import Trial, proposal, trial
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction
from mailbridge.core.mail import Message
from mailbridge.core.parse import parse
from mailbridge.core.rules import Rule, RuleSet, load
from mailbridge.operator import verbs
from mailbridge.operator.entries import EntryList, OneEntry
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.rules import LONGEST_RULE, AddRule
from mailbridge.operator.shapes import EntryShape


@click.group(cls=Group)
def rules() -> None:
    """List, test, try, propose, add and remove extraction rules."""


@rules.command("list")
@config_option
@json_option
def list_rules(*, config: Path | None, as_json: bool) -> None:
    """List every rule in the order in which they are tried, those added by command first.

    Each line also says what the rule adds to the extractor, which runs after the rules.
    """
    one = client(config)
    origins = {entry.name: origin_of(one, entry) for entry in _added(one)}
    for rule in _rules(_with_added(one)).rules:
        origin = origins.get(rule.name, rule.origin) if rule.origin == TABLE else rule.origin
        click.echo(dumped(_as_dict(rule, origin)) if as_json else visible(_line(rule, origin)))


@rules.command("test")
@config_option
@json_option
def test_rules(*, config: Path | None, as_json: bool) -> None:
    """Run every rule against its own examples.

    Prints one line for each mistake. Exit 78 if there is one.
    """
    found = _rules(_with_added(client(config)))
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
    Shows the match in its text, and why each other candidate was rejected. Exit 4 if nothing is found.
    """
    settings = _with_added(client(config))
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

    Check it before you use it. `rule add` takes it as it is printed.
    """
    settings = _with_added(client(config))
    message = _message(mail)
    found = extract(message, rules=_rules(settings), now=datetime.now(UTC), default_lifetime=settings.rules.lifetime)
    text = proposal(message, found)
    if text is None:
        complain(f"no rule can be made of this mail: {found.reason}")
        raise SystemExit(Exit.NOT_FOUND)
    click.echo(dumped({"rule": text}) if as_json else text, nl=as_json)


@rules.command("add")
@config_option
@json_option
@click.option("--replace", is_flag=True, help="Replace the rule of this name that was added before.")
@click.argument("file", metavar="FILE")
def add_rule(*, config: Path | None, as_json: bool, replace: bool, file: str) -> None:
    """Add the rule in FILE. It is in force at once and kept.

    FILE is TOML with one [[rule]] and its examples, as `rule new` prints it, or - for standard input. The examples are run first;
    exit 78 if one fails or the pattern is refused. The rule is tried before the rules of files.
    """
    text = _octets(file).decode("utf-8", "replace")
    names = [one.get("name") for one in _tables(text)] if replace else []
    replaces = str(names[0]) if len(names) == 1 and names[0] else ""
    made = client(config).do(verbs.RULE_ADD, AddRule(rule=_whole(text, file), replaces=replaces))
    click.echo(dumped({"added": made.name}) if as_json else visible(f"rule {made.name} is in force"))


@rules.command("remove")
@config_option
@json_option
@click.argument("rule_name", metavar="RULE", shell_complete=completing.entries("rule"))
def remove_rule(*, config: Path | None, as_json: bool, rule_name: str) -> None:
    """Remove a rule that was added by command or on the page."""
    client(config).do(verbs.ENTRY_REMOVE, OneEntry(kind="rule", name=rule_name))
    click.echo(dumped({"removed": rule_name}) if as_json else visible(f"rule {rule_name} is removed"))


def _rules(settings: Settings) -> RuleSet:
    return rules_or_exit(lambda: load(list(every_rule(settings))))


def _added(one: Client) -> Sequence[EntryShape]:
    """The rules that were added. A rule can be tried on a mail without a database: if the database cannot be read, a remark
    says so."""
    found = one.attempt(verbs.ENTRY_LIST, EntryList(kind="rule"))
    if not isinstance(found, Fault):
        return [entry for entry in found.entries if entry.at is not None]
    if found.kind is not Kind.NO_DAEMON or one.has_database:
        note(f"rules that were added by command are left out: {found.title}")
    return ()


def _with_added(one: Client) -> Settings:
    """The settings of the file, with the rules that were added."""
    settings = one.loaded.settings
    tables = [table("rule", entry.settings, f"rule {entry.name}") for entry in _added(one)]
    return structs.replace(settings, rule=(*settings.rule, *(one for one in tables if isinstance(one, RuleTable))))


def _tables(text: str) -> list[dict[str, object]]:
    """The tables of a file of rules; none if it is not such a file, which the verb then reports."""
    try:
        found = tomllib.loads(text).get("rule")
    except ValueError:
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _whole(text: str, file: str) -> str:
    """The text. Exits with 2 if it is too long for a rule."""
    if not 0 < len(text) <= LONGEST_RULE:
        complain(f"{file}: a rule has 1 to {LONGEST_RULE:,} characters")
        raise SystemExit(Exit.USAGE)
    return text


def _message(path: str) -> Message:
    return parse(_octets(path))


def _octets(path: str) -> bytes:
    """A file, or standard input."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as fault:
        complain(f"{path}: {fault.strerror}")
        raise SystemExit(Exit.NOT_FOUND) from None


def _as_dict(rule: Rule, origin: str) -> dict[str, object]:
    return {
        "name": rule.name,
        "file": origin,
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


def _line(rule: Rule, origin: str) -> str:
    senders = ", ".join(rule.senders) or "anyone"
    adds = f": {rule.adds}" if rule.adds else ""
    return f"{rule.name:24} {'link' if rule.is_link else 'code'} from {senders} ({origin}){adds}"


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
