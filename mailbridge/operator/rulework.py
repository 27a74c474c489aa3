"""What a worker process does for the verbs of rules and texts: it compiles rules and reads mails, where neither can do harm.

Never imported by the daemon, which reads no mail itself; `mailbridge.intake.worker` loads it by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec

from mailbridge.config.rulepack import TABLE, shipped_source
from mailbridge.config.toml_text import pair
from mailbridge.core.explain import proposal, trial
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction
from mailbridge.core.hops import hops
from mailbridge.core.mail import Message
from mailbridge.core.parse import parse
from mailbridge.core.rules import Rule, RuleError, load, searchable
from mailbridge.intake.worker_protocol import Request
from mailbridge.operator.marking import marked
from mailbridge.operator.ruletrial import LONGEST_TEXT, Found, Job, Seen

WORDING = "/wording/"
LIFETIME = timedelta(minutes=10)


def build(config: bytes) -> Callable[[Request], Found]:
    """Makes what answers each mail of a job."""
    job = msgspec.msgpack.decode(config, type=Job)
    match job.task:
        case "list":
            return lambda _: _listed(job)
        case "try":
            return lambda request: _tried(job, request.content)
        case "propose":
            return lambda request: _proposed(job, request)
        case "mark":
            return lambda request: _marked(job, request)


def _listed(job: Job) -> Found:
    shipped = (shipped_source(name) for name in job.shipped if WORDING not in name)
    try:
        found = load([*job.rules, *shipped])
    except RuleError as fault:
        return Found(problems=fault.problems)
    return Found(rules=tuple(_seen(rule) for rule in found.rules))


def _seen(rule: Rule) -> Seen:
    return Seen(
        name=rule.name,
        file=rule.origin,
        is_link=rule.is_link,
        senders=rule.senders,
        pattern=rule.pattern_text,
        adds=rule.adds,
        examples=len(rule.accepts) + len(rule.rejects),
        text="\n".join([TABLE, *(pair(key, value) for key, value in rule.table.items()), ""]),
    )


def _tried(job: Job, content: bytes) -> Found:
    """The first rule of the text on a mail; compiling it runs its examples. A bare text is of nobody's, and any rule is tried on it."""
    try:
        rules = load(list(job.rules)).rules
    except RuleError as fault:
        return Found(problems=fault.problems)
    if not rules:
        return Found(problems=("no [[rule]] is in it",))
    if len(rules) > 1:
        return Found(problems=("more than one [[rule]] is in it; one at a time",))
    known = Found(rules=(_seen(rules[0]),), tables=(dict(rules[0].table),))
    if not content.strip():
        return known
    message = parse(content)
    is_bare = not (message.sender or message.to or message.subject)
    rule = replace(rules[0], senders=(), recipients=(), subject=None) if is_bare else rules[0]
    tried = trial(rule, message)
    return msgspec.structs.replace(known, before=tried.before, found=tried.found or "", after=tried.after, reason=tried.reason)


def _proposed(job: Job, request: Request) -> Found:
    """A rule for mails like this one, of what the extractor and the rules find in it."""
    message = parse(request.content)
    found = _extracted(job, message, request)
    if isinstance(found, RuleError):
        return Found(problems=found.problems)
    text = proposal(message, found)
    return Found(reason=found.reason) if text is None else Found(text=text)


def _marked(job: Job, request: Request) -> Found:
    """The text of a mail with its candidates marked. Where the rules cannot be read, the code is not marked."""
    message = parse(request.content)
    found = _extracted(job, message, request)
    values = [] if isinstance(found, RuleError) else [one.reveal() for one in (found.displayed, found.value) if one is not None]
    others = [] if isinstance(found, RuleError) else [one.value.reveal() for one in found.rejected]
    passed = [*job.passed, *(one for one in others if one not in job.passed)]
    pieces = marked(searchable(message)[:LONGEST_TEXT], values, passed, is_clear=job.is_clear)
    known = len(job.passed)
    return Found(
        pieces=tuple((one.text, one.kind, one.number if one.number <= known else 0) for one in pieces),
        hops=tuple((one.sender, one.receiver, one.at) for one in hops(message.headers)),
    )


def _extracted(job: Job, message: Message, request: Request) -> Extraction | RuleError:
    try:
        rules = load([*job.rules, *map(shipped_source, job.shipped)])
    except RuleError as fault:
        return fault
    return extract(message, rules=rules, now=request.now, default_lifetime=LIFETIME)
