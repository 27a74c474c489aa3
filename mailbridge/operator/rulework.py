"""What a worker process does for the verbs of rules and texts: it compiles rules and reads mails, where neither can do harm.

Never imported by the daemon, which reads no mail itself; `mailbridge.intake.worker` loads it by name.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mailbridge.config.rulepack import shipped_source
from mailbridge.core.explain import trial
from mailbridge.core.parse import parse
from mailbridge.core.rules import Rule, RuleError, load, searchable
from mailbridge.intake.worker_protocol import Request
from mailbridge.operator.ruletrial import LONGEST_TEXT, Found, Job, Seen

WORDING = "/wording/"


def build(config: bytes) -> Callable[[Request], Found]:
    """Makes what answers each mail of a job."""
    job = msgspec.msgpack.decode(config, type=Job)
    match job.task:
        case "list":
            return lambda _: _listed(job)
        case "try":
            return lambda request: _tried(job, request.content)
        case "text":
            return lambda request: Found(text=searchable(parse(request.content))[:LONGEST_TEXT])


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
    )


def _tried(job: Job, content: bytes) -> Found:
    """The first rule of the text on a mail; compiling it runs its examples."""
    try:
        rules = load(list(job.rules)).rules
    except RuleError as fault:
        return Found(problems=fault.problems)
    if not rules:
        return Found(problems=("no [[rule]] is in it",))
    if not content.strip():
        return Found(rules=(_seen(rules[0]),))
    tried = trial(rules[0], parse(content))
    return Found(rules=(_seen(rules[0]),), before=tried.before, found=tried.found or "", after=tried.after, reason=tried.reason)
