"""Rules: listed, and one tried on a mail, examples first. A worker process does it: rules and mails may both be hostile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from mailbridge.config.rulepack import rule_texts, shipped_names
from mailbridge.core.mail import Envelope
from mailbridge.core.rules import RuleError
from mailbridge.intake.pool import parser_pool
from mailbridge.operator.asks import Ask, Nothing
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration
from mailbridge.operator.ruletrial import Found, Job
from mailbridge.operator.shapes import RulePage, RuleShape, RuleTrial

TIMEOUT = timedelta(seconds=5)
LONGEST_RULE = 20_000
LARGEST_MAIL = 1_500_000


class TryRule(Ask, frozen=True, kw_only=True):
    """A rule file with one rule, and the mail that it is tried on (its source, or bare text), in Base64; left out for its examples alone."""

    rule: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_RULE)]
    content: Annotated[bytes, msgspec.Meta(min_length=1, max_length=LARGEST_MAIL)] = b""


class RuleVerbs:
    """The verbs of rules, and the text of a mail. One worker at a time, for as long as its answer takes."""

    def __init__(self, *, configuration: Configuration) -> None:
        self._configuration = configuration
        self._one = asyncio.Lock()

    async def find(self, ask: Nothing) -> RulePage | Fault:  # noqa: ARG002  (a verb's form)
        """Every rule in order of precedence."""
        settings = self._configuration.now.rules
        try:
            texts = await asyncio.to_thread(rule_texts, settings)
        except RuleError as fault:
            return Fault(kind=Kind.BAD_CONFIG, title="the rules cannot be read", problems=fault.problems)
        found = await self.work(Job(task="list", rules=texts, shipped=shipped_names(settings)))
        if isinstance(found, Fault):
            return found
        if found.problems:
            return Fault(kind=Kind.BAD_CONFIG, title="the rules cannot be used", problems=found.problems)
        return RulePage(
            rules=[
                RuleShape(
                    name=one.name,
                    file=one.file,
                    finds="link" if one.is_link else "code",
                    senders=list(one.senders),
                    pattern=one.pattern,
                    adds=one.adds,
                    examples=one.examples,
                )
                for one in found.rules
            ]
        )

    async def attempt(self, ask: TryRule) -> RuleTrial | Fault:
        """Run a rule's examples, and the rule on a mail: what it finds, in clear, with the text around it."""
        found = await self.work(Job(task="try", rules=(("the rule", ask.rule),)), with_headers(ask.content))
        if isinstance(found, Fault):
            return found
        return RuleTrial(
            name=found.rules[0].name if found.rules else "",
            problems=list(found.problems),
            before=found.before,
            found=found.found,
            after=found.after,
            reason=found.reason,
        )

    async def work(self, job: Job, content: bytes = b"") -> Found | Fault:
        """Have a worker do it. A mail or a pattern that takes too long costs the worker, and is a fault."""
        try:
            async with (
                self._one,
                parser_pool(
                    target="mailbridge.operator.rulework:build",
                    answer=Found,
                    config=msgspec.msgpack.encode(job),
                    workers=1,
                    timeout=TIMEOUT,
                ) as pool,
            ):
                found = await pool.understand(_envelope(content))
        except (OSError, TimeoutError) as fault:
            return Fault(kind=Kind.TRY_AGAIN, title=f"no worker starts: {type(fault).__name__}; try again")
        return found if found is not None else Fault(kind=Kind.REFUSED, title="it could not be read in time")


def with_headers(content: bytes) -> bytes:
    """A mail; bare text gets an empty head, so that its first line is not taken for one."""
    first = content.lstrip().partition(b"\n")[0]
    name, colon, _ = first.partition(b":")
    is_head = bool(colon) and bool(name) and all(33 <= octet <= 126 for octet in name)
    return content if is_head or not content.strip() else b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + content


def _envelope(content: bytes) -> Envelope:
    """A mail as the pool takes it; nobody sent it."""
    return Envelope(mail_from="", rcpt_to=(), content=content, received_at=datetime.now(UTC), ingress="http")
