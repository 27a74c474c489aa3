"""Rules: listed, tried on a mail, proposed from one, and kept in the store. A worker process reads rules and mails: both may be hostile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import structs

from mailbridge.config.rulepack import TABLE, own_rules, shipped_names
from mailbridge.core.mail import Envelope
from mailbridge.core.rule_error import RuleError
from mailbridge.intake.meaning import ReaderUnavailable
from mailbridge.intake.pool import parser_pool
from mailbridge.operator.asks import Ask, MaybeText, Nothing, Text
from mailbridge.operator.entries import AddEntry, EntryList, EntryVerbs
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration
from mailbridge.operator.ruletrial import Found, Job
from mailbridge.operator.shapes import HopShape, MailText, Mark, RuleAdded, RulePage, RuleShape, RuleText, RuleTrial
from mailbridge.operator.shown import maybe_stamp

TIMEOUT = timedelta(seconds=5)
LONGEST_RULE = 20_000
LARGEST_MAIL = 1_500_000


class TryRule(Ask, frozen=True, kw_only=True):
    """A rule file with one rule, and the mail that it is tried on (its source, or bare text), in Base64; left out for its examples alone."""

    rule: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_RULE)]
    content: Annotated[bytes, msgspec.Meta(min_length=1, max_length=LARGEST_MAIL)] = b""


class AddRule(Ask, frozen=True, kw_only=True):
    """One rule with its examples, as a file of rules holds it. ``replaces``: the name of the one that was added before, which it takes the
    place of."""

    rule: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_RULE)]
    replaces: MaybeText = ""


class OneRule(Ask, frozen=True, kw_only=True):
    """A rule by its name."""

    name: Text


class RuleVerbs:
    """The verbs of rules, and the text of a mail. One worker at a time, for as long as its answer takes."""

    def __init__(self, *, configuration: Configuration, entries: EntryVerbs) -> None:
        self._configuration = configuration
        self._entries = entries
        self._one = asyncio.Lock()
        self._listed: tuple[Job, Found] | None = None

    async def find(self, ask: Nothing) -> RulePage | Fault:  # noqa: ARG002  (a verb's form)
        """Every rule in order of precedence."""
        entries = await self._entries.find(EntryList(kind="rule"))
        found = await self._with_all(Job(task="list"))
        if isinstance(entries, Fault):
            return entries
        if isinstance(found, Fault):
            return found
        added = {one.name: one for one in entries.entries if one.at is not None}
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
                    by=added[one.name].by if one.file == TABLE and one.name in added else None,
                    at=added[one.name].at if one.file == TABLE and one.name in added else None,
                )
                for one in found.rules
            ]
        )

    async def show(self, ask: OneRule) -> RuleText | Fault:
        """One rule as TOML, with its examples: what stands there may be of real mails."""
        found = await self._with_all(Job(task="list"))
        if isinstance(found, Fault):
            return found
        text = next((one.text for one in found.rules if one.name == ask.name), None)
        if text is None:
            return Fault(kind=Kind.NOT_FOUND, title=f"there is no rule {ask.name}; `mailbridge rule list` shows them")
        return RuleText(rule=text)

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

    async def propose(self, content: bytes) -> RuleText | Fault:
        """A rule for mails like this one, with its examples, in which made-up values stand in the place of the real ones."""
        found = await self._with_all(Job(task="propose"), with_headers(content))
        if isinstance(found, Fault):
            return found
        if not found.text:
            return Fault(kind=Kind.REFUSED, title=f"no rule can be made of this mail: {found.reason}")
        return RuleText(rule=found.text)

    async def add(self, ask: AddRule, by: str) -> RuleAdded | Fault:
        """Keep a rule, if its pattern compiles and its examples hold; it is in force when this is answered."""
        found = await self.work(Job(task="try", rules=(("the rule", ask.rule),)))
        if isinstance(found, Fault):
            return found
        if found.problems:
            return Fault(kind=Kind.BAD_CONFIG, title="the rule cannot be used", problems=found.problems)
        name = found.rules[0].name
        added = await self._entries.add(AddEntry(kind="rule", name=name, settings=found.tables[0]), by, replaces=ask.replaces)
        return added if isinstance(added, Fault) else RuleAdded(name=name)

    async def mark(self, number: int, content: bytes, passed: Sequence[str], *, is_clear: bool) -> MailText | Fault:
        """The text of a mail of this number, in clear or masked, with its candidates marked."""
        found = await self._with_all(Job(task="mark", passed=tuple(passed), is_clear=is_clear), content)
        if isinstance(found, Fault):
            return found
        return MailText(
            id=number,
            text="".join(text for text, _, _ in found.pieces),
            pieces=[Mark(text=text, kind=kind, number=place or None) for text, kind, place in found.pieces],
            hops=[HopShape(sender=sender, receiver=receiver, at=maybe_stamp(at)) for sender, receiver, at in found.hops],
        )

    async def _with_all(self, job: Job, content: bytes = b"") -> Found | Fault:
        """What a worker does that is given every rule."""
        settings = self._configuration.now
        try:
            own = await asyncio.to_thread(own_rules, settings)
        except RuleError as fault:
            return Fault(kind=Kind.BAD_CONFIG, title="the rules cannot be read", problems=fault.problems)
        whole = structs.replace(job, rules=own, shipped=shipped_names(settings.rules))
        if self._listed is not None and self._listed[0] == whole:  # a list of the same texts is the same list
            return self._listed[1]
        found = await self.work(whole, content)
        if whole.task == "list" and not isinstance(found, Fault):
            self._listed = whole, found
        if not isinstance(found, Fault) and found.problems:
            return Fault(kind=Kind.BAD_CONFIG, title="the rules cannot be used", problems=found.problems)
        return found

    async def work(self, job: Job, content: bytes = b"") -> Found | Fault:
        """Run it in a worker. If a mail or a pattern takes too long, the worker is ended, and this is a fault."""
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
        except (OSError, TimeoutError, ReaderUnavailable) as fault:
            return Fault(kind=Kind.TRY_AGAIN, title=f"no worker starts: {type(fault).__name__}; try again")
        return found if found is not None else Fault(kind=Kind.REFUSED, title="it could not be read in time")


def with_headers(content: bytes) -> bytes:
    """A mail; bare text gets an empty head, so that its first line is not taken for one."""
    first = content.lstrip().partition(b"\n")[0]
    name, colon, _ = first.partition(b":")
    is_head = bool(colon) and bool(name) and all(33 <= octet <= 126 for octet in name)
    return content if is_head or not content.strip() else b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + content


def _envelope(content: bytes) -> Envelope:
    """A mail for the worker, without a sender."""
    return Envelope(mail_from="", rcpt_to=(), content=content, received_at=datetime.now(UTC), ingress="http")
