"""What one mail means: parse, identify and extract in one pure step, run where hostile mail can do no harm."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import replace

from mailbridge.config.rulepack import shipped_source
from mailbridge.core.bound import Bound, agreed, bound_codes
from mailbridge.core.confirmation import Confirmation, gmail_confirmation
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identity import WRITTEN, identify
from mailbridge.core.mail import Message
from mailbridge.core.notice import notice
from mailbridge.core.parse import parse
from mailbridge.core.readings import others
from mailbridge.core.recipients import Recipient
from mailbridge.core.rules import RuleSet
from mailbridge.core.rules import load as load_rules
from mailbridge.core.secret import Secret
from mailbridge.intake.meaning import Addressed, Letter, Understanding
from mailbridge.intake.parser_config import ParserConfig
from mailbridge.intake.warmup import warm_ups
from mailbridge.intake.worker_protocol import Request
from mailbridge.trust.hosts import objection
from mailbridge.trust.suffixes import registrable

__all__ = ["Addressed", "Understander", "Understanding", "build"]

BODY_LIMIT = 65_536
"""Characters of a body that is pushed whole: above it Skyvern answers 400 (observed on 1.0.56)."""

LONGEST_TEXT = 262_144
"""Characters of a text that is read out."""

SHIPPED = "mailbridge/rules/"
"""How the names of rule files begin that come with mailbridge."""

ATTESTED = re.compile(rb"\n[dDaA](?:(?<=[dD])(?i:kim-signature)|(?<=[aA])(?i:rc-seal|uthentication-results))[ \t]*:")
"""DKIM-Signature, ARC-Seal, Authentication-Results. By its first letter most lines are passed over in half of the time."""

MOST_READINGS = 10
LARGEST_READ_AGAIN = 262_144
"""How often a mail is read again under other descriptions, and up to what size: a code mail has a few kB and one or two of them."""


class Understander:
    """Reads mails by one ParserConfig; pure but for the rules that it has compiled."""

    def __init__(self, parser_config: ParserConfig) -> None:
        self._recipients = parser_config.recipients()
        self._mailboxes = {address.casefold(): identifier for address, identifier in parser_config.mailboxes}
        self.rules: RuleSet = load_rules(itertools.chain(parser_config.rules, map(shipped_source, parser_config.shipped)))
        self._policy = replace(parser_config.policy(), forward=self.rules.wording.forward)
        self._lifetime = parser_config.lifetime
        self._link_hosts = parser_config.link_hosts
        self._ruled = {rule.name: rule.link_hosts for rule in self.rules.rules if rule.is_link}
        self._senders = {rule.name: rule.senders for rule in self.rules.rules if not rule.origin.startswith(SHIPPED)}
        self._with_body = parser_config.with_body

    def __call__(self, request: Request) -> Understanding:
        """Total: any octets give an answer."""
        began = time.perf_counter()
        message = parse(request.content)
        parsed = time.perf_counter()
        extraction, confirmation = self._read(message, request)
        extracted = time.perf_counter()
        addressed = self._addressed(message, request)
        body, bound = self._body(message, extraction), _bound(message, extraction)
        return Understanding(
            extraction=extraction,
            addressed=addressed,
            subject=message.subject,
            sender=message.sender,
            message_id=message.message_id,
            defects=(*message.defects, "truncated") if request.is_truncated else message.defects,
            body=body,
            link_objection=self._objection(message, extraction),
            is_certain=self._is_certain(request, extraction, body, bound),
            bound=bound,
            notice=self._notice(message) if extraction.value is not None or bound else "",
            ruled=self._senders.get(extraction.rule or "", ()),
            written_at=message.date,
            requester=confirmation.requester if confirmation else None,
            letter=_letter(message) if request.is_read_out else None,
            timings=(parsed - began, extracted - parsed, time.perf_counter() - extracted),
        )

    def _read(self, message: Message, request: Request) -> tuple[Extraction, Confirmation | None]:
        confirmation = gmail_confirmation(message, request.mail_from)
        if confirmation is not None:
            return _confirmation(confirmation), confirmation
        return extract(message, rules=self.rules, now=request.now, default_lifetime=self._lifetime), None

    def _is_certain(self, request: Request, extraction: Extraction, body: Secret | None, bound: tuple[Bound, ...]) -> bool:
        """Whether every other description that the mail's body fits shows the same. Where nothing would be pushed, or nothing is
        signed that a proof could rest on, nothing is asked."""
        if (extraction.value is None and body is None and not bound) or not ATTESTED.search(b"\n" + request.content):
            return True
        for number, other in enumerate(others(request.content)):
            if number >= MOST_READINGS or len(request.content) > LARGEST_READ_AGAIN:
                return False
            message = parse(other.content)
            found, _ = self._read(message, request)
            binds = _bound(message, found)
            if found.value is None and found.verdict is Verdict.NONE and not binds and other.is_loose:
                continue
            if _told(found) != _told(extraction) or binds != bound or self._body(message, found) != body:
                return False
        return True

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

    def _objection(self, message: Message, extraction: Extraction) -> str:
        """Why a link must not be pushed; "" where it may. The hosts that a rule names are good for the links that it finds."""
        if extraction.value is None or not extraction.is_link:
            return ""
        named = self._ruled.get(extraction.rule or "", ())
        return objection(extraction.value.reveal(), message.sender, (*named, *self._link_hosts))

    def _notice(self, message: Message) -> str:
        def is_own(domain: str) -> bool:  # asked of few mails: the list of suffixes takes 0.2 s to read
            own = registrable(message.sender.rpartition("@")[2])
            return own is not None and registrable(domain) == own

        return notice(message, is_own=is_own)

    def _mailbox(self, rcpt: str) -> Recipient:
        folded = rcpt.casefold()
        return Recipient(rcpt=rcpt, identifier=self._mailboxes.get(folded), is_mailbox=folded in self._mailboxes)

    def _body(self, message: Message, extraction: Extraction) -> Secret | None:
        if not self._with_body or extraction.verdict not in (Verdict.NONE, Verdict.AMBIGUOUS):
            return None
        text = f"{message.subject}\n\n{message.text}".strip()
        return Secret(text[:BODY_LIMIT]) if text else None


def _told(found: Extraction) -> tuple[object, ...]:
    """What two readings of a mail must have alike."""
    return found.verdict, found.value, found.is_link, found.is_attached


def _bound(message: Message, extraction: Extraction) -> tuple[Bound, ...]:
    """The codes that the mail binds to a site, as far as its words say none or the same."""
    told = extraction.value if extraction.verdict is Verdict.CODE else None
    return agreed(bound_codes(message), told.reveal() if told is not None else None)


def _letter(message: Message) -> Letter:
    text = Secret(message.text[:LONGEST_TEXT])
    return Letter(sender_name=message.sender_name, raw_to=next(iter(message.to), ""), text=text)


def build(config: bytes) -> Callable[[Request], Understanding]:
    """What the worker process calls at its start: octets of `ParserConfig.encode` to a function that reads mails."""
    understander = Understander(ParserConfig.decode(config))
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
