"""What one mail means: parse, identify and extract in one pure step, run where hostile mail can do no harm."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mailbridge.core.confirmation import Confirmation, gmail_confirmation
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identity import WRITTEN, Identification, identify
from mailbridge.core.mail import Message
from mailbridge.core.parse import parse
from mailbridge.core.recipients import Recipient
from mailbridge.core.rules import RuleSet
from mailbridge.core.rules import load as load_rules
from mailbridge.core.secret import Secret
from mailbridge.intake.guide import Guide
from mailbridge.intake.warmup import warm_ups
from mailbridge.intake.wire import Request
from mailbridge.trust.hosts import is_authors

BODY_LIMIT = 65_536
"""Characters of a body that is pushed whole: above it Skyvern answers 400 (observed on 1.0.56)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """One recipient of the envelope, and for whom the mail was through it.

    ``unstamped`` is the answer that believes no forwarder's stamp, where it is another one; ``is_held`` is the gate's to set.
    """

    recipient: Recipient
    identification: Identification
    unstamped: Identification | None = None
    is_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """What a mail means. ``body`` is its visible text, only where the configuration has bodies pushed.

    ``is_link_plausible``: the link leads where its rule says, or to the author's own domain. ``requester`` is the account that
    a forwarding confirmation asks for. ``timings`` are the seconds that parsing, extracting and resolving took.
    """

    extraction: Extraction
    addressed: tuple[Addressed, ...] = ()
    subject: str = field(default="", repr=False)
    sender: str = ""
    message_id: str = ""
    defects: tuple[str, ...] = ()
    body: Secret | None = None
    is_link_plausible: bool = True
    requester: str | None = None
    timings: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Understander:
    """Reads mails by one Guide; pure but for the rules that it has compiled."""

    def __init__(self, guide: Guide) -> None:
        self._recipients = guide.recipients()
        self._mailboxes = {address.casefold(): identifier for address, identifier in guide.mailboxes}
        self._rules: RuleSet = load_rules(guide.rules)
        self._policy = replace(guide.policy(), forward=self._rules.wording.forward)
        self._lifetime = guide.lifetime
        self._link_hosts = guide.link_hosts
        self._ruled = frozenset(rule.name for rule in self._rules.rules if rule.is_link and rule.link_hosts)
        self._with_body = guide.with_body

    def __call__(self, request: Request) -> Understanding:
        """Total: any octets give an answer."""
        began = time.perf_counter()
        message = parse(request.content)
        parsed = time.perf_counter()
        confirmation = gmail_confirmation(message, request.mail_from)
        if confirmation is not None:
            extraction = _confirmation(confirmation)
        else:
            extraction = extract(message, rules=self._rules, now=request.now, default_lifetime=self._lifetime)
        extracted = time.perf_counter()
        addressed = self._addressed(message, request)
        return Understanding(
            extraction=extraction,
            addressed=addressed,
            subject=message.subject,
            sender=message.sender,
            message_id=message.message_id,
            defects=(*message.defects, "truncated") if request.is_truncated else message.defects,
            body=self._body(message, extraction),
            is_link_plausible=self._is_plausible(message, extraction),
            requester=confirmation.requester if confirmation else None,
            timings=(parsed - began, extracted - parsed, time.perf_counter() - extracted),
        )

    def _addressed(self, message: Message, request: Request) -> tuple[Addressed, ...]:
        found = []
        for rcpt in request.rcpt_to:
            recipient = self._recipients.accept(rcpt) or self._mailbox(rcpt)
            identification = identify(message, recipient=recipient, mail_from=request.mail_from, policy=self._policy)
            unstamped = None
            if identification.source not in WRITTEN or len(identification.identifiers) > 1:
                unstamped = identify(
                    message, recipient=recipient, mail_from=request.mail_from, policy=self._policy, are_stamps_believed=False
                )
            found.append(Addressed(recipient=recipient, identification=identification, unstamped=unstamped))
        return tuple(found)

    def _is_plausible(self, message: Message, extraction: Extraction) -> bool:
        """A rule that names hosts has looked at the link's already; any other link has to lead to the author."""
        if extraction.value is None or not extraction.is_link or extraction.rule in self._ruled:
            return True
        return is_authors(extraction.value.reveal(), message.sender, self._link_hosts)

    def _mailbox(self, rcpt: str) -> Recipient:
        folded = rcpt.casefold()
        return Recipient(rcpt=rcpt, identifier=self._mailboxes.get(folded), is_mailbox=folded in self._mailboxes)

    def _body(self, message: Message, extraction: Extraction) -> Secret | None:
        if not self._with_body or extraction.verdict not in (Verdict.NONE, Verdict.AMBIGUOUS):
            return None
        page = message.plain or message.html
        text = f"{message.subject}\n\n{page.text if page else ''}".strip()
        return Secret(text[:BODY_LIMIT]) if text else None


def build(config: bytes) -> Callable[[Request], Understanding]:
    """What the worker process calls at its start: octets of `Guide.encode` to a function that reads mails."""
    understander = Understander(Guide.decode(config))
    for request in warm_ups():
        understander(request)
    return understander


def _confirmation(found: Confirmation) -> Extraction:
    """A forwarding confirmation is never pushed; its link is kept for a person to open.

    Who asks stands in the mail's subject; the reason goes to the log, and holds no address.
    """
    if found.link is None:
        reason = "looks like Gmail's forwarding confirmation, but holds no genuine link"
    else:
        reason = "Gmail's forwarding confirmation: open its link to allow the forwarding"
    return Extraction(
        verdict=Verdict.CONFIRMATION, value=Secret(found.link) if found.link else None, confidence=1.0, reason=reason
    )
