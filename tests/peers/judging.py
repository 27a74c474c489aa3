"""A mail understood and judged as the daemon does it, in this process: no listener, no worker, no store, and DNS from memory."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from mailbridge.config.rulepack import rule_texts
from mailbridge.config.settings import Settings
from mailbridge.core.mail import Envelope, Ingress
from mailbridge.intake.gate import Gate
from mailbridge.intake.judgement import Judgement, Passed
from mailbridge.intake.parser_config import ParserConfig, parser_config_of
from mailbridge.intake.policy import policy_of
from mailbridge.intake.understand import Understander, Understanding
from mailbridge.intake.worker_protocol import Request
from mailbridge.trust import Finding
from tests.peers.zone import Zone

Kind = Literal["code", "link", "body"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A mail and how it comes: what an envelope has, at a moment (None: now)."""

    content: bytes
    rcpts: tuple[str, ...]
    mail_from: str = "bounces@acme.example"
    peer: str = "192.0.2.10"
    ingress: Ingress = "smtp"
    at: datetime | None = None

    def envelope(self) -> Envelope:
        """As an ingress hands it in."""
        return Envelope(
            mail_from=self.mail_from,
            rcpt_to=self.rcpts,
            content=self.content,
            received_at=self.at or datetime.now(UTC),
            ingress=self.ingress,
            is_fetched=self.ingress == "imap",
            can_wait=self.ingress != "imap",
            peer=self.peer,
        )


@lru_cache(maxsize=32)
def _understander(config: bytes) -> Understander:
    """One for all benches of a configuration: what it compiles at its start is the same."""
    return Understander(ParserConfig.decode(config))


class Bench:
    """One configuration with its gate. ``zone`` is what DNS says."""

    def __init__(self, settings: Settings, zone: Zone | None = None, *, deadline: timedelta = timedelta(seconds=3)) -> None:
        self.zone = zone or Zone()
        self._understander = _understander(parser_config_of(settings, rules=rule_texts(settings.rules)).encode())
        self._policy = policy_of(settings, is_practice=False)
        self._deadline = deadline
        self.gate = self.new_gate()

    def new_gate(self) -> Gate:
        """A gate over the zone."""
        return Gate(policy=lambda: self._policy, dns=self.zone, deadline=self._deadline)

    def beside(self, zone: Zone) -> Bench:
        """The same bridge where DNS says something else; its rules are not compiled anew."""
        other = copy.copy(self)
        other.zone = zone
        other.gate = other.new_gate()
        return other

    def understand(self, post: Post, *, now: datetime | None = None) -> Understanding:
        """What the mail means. ``now`` is the arrival as far as codes expire, where it is another one."""
        at = now or post.at or datetime.now(UTC)
        return self._understander(Request(content=post.content, rcpt_to=post.rcpts, mail_from=post.mail_from, now=at))

    async def judge(self, post: Post, *, understood: Understanding | None = None, kind: Kind = "code") -> tuple[Judgement, ...]:
        """The gate's word on each recipient."""
        return await self.gate.judge(post.envelope(), understood or self.understand(post), kind)

    async def pushed(self, post: Post, *, kind: Kind = "code") -> tuple[str, ...]:
        """The identifiers that something would be pushed under, best first; the gate is not asked where there is none."""
        understood = self.understand(post)
        if not any(entry.identification.identifiers for entry in understood.addressed):
            return ()
        judgements = await self.judge(post, understood=understood, kind=kind)
        return tuple(one for found in judgements if isinstance(found, Passed) for one in found.identification.identifiers)

    async def confirmation(self, post: Post) -> Finding | object:
        """The gate's word on a forwarding confirmation."""
        return await self.gate.confirmation(post.envelope(), self.understand(post))
