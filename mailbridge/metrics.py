"""What can be counted: Prometheus metrics with labels from closed sets only, never an address or a code."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from mailbridge import __version__
from mailbridge.core.delivery import State

INGRESSES = ("smtp", "lmtp", "imap", "http")
MESSAGE_OUTCOMES = (
    "code",
    "link",
    "body",
    "none",
    "ambiguous",
    "expired",
    "confirmation",
    "unreadable",
    "unidentified",
    "duplicate",
    "held",
    "deferred",
    "unavailable",
)
HELD_CHECKS = (
    "sender",
    "link-host",
    "dkim",
    "arc",
    "forwarder",
    "authres",
    "token",
    "recipient",
    "reading",
    "age",
    "stranger",
    "platform",
    "inbox",
)

FLOODED_BY = ("recipient", "sender", "client")
DELIVERY_OUTCOMES = ("accepted", "deferred", "doubtful", "refused", "expired")
STAGES = ("accept", "parse", "resolve", "extract", "gate", "commit", "push")
"""``accept`` is the whole from a way in to its answer, waiting for a turn among it: the rate of its sum is how many mails are in hand."""
STATUSES = frozenset({200, 400, 401, 402, 403, 404, 405, 408, 409, 422, 429, 500, 502, 503, 504})
PULLS = ("code", "none", "unsigned", "limited", "unavailable")
WAYS = ("pull", "api")
INGEST_WAYS = ("mime", "text", "skyvern", "mailgun", "postmark", "cloudmailin", "forwardemail", "sendgrid", "ses")
INGEST_OUTCOMES = ("taken", "refused", "again")
ALARM_KINDS = ("target", "canary", "clock", "trust")
OTHER = "other"

FINE = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
COARSE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Metrics:
    """One registry for one daemon; children are bound once, so that counting costs next to nothing."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        _describe_process(self._registry)
        messages = Counter("mailbridge_messages", "Mails by what became of them", ("ingress", "outcome"), registry=self._registry)
        self._messages = {
            (ingress, outcome): messages.labels(ingress, outcome)
            for ingress in INGRESSES
            for outcome in (*MESSAGE_OUTCOMES, OTHER)
        }
        deliveries = Counter(
            "mailbridge_deliveries", "Attempts by what came of them", ("sink", "outcome"), registry=self._registry
        )
        self._delivery_of = cache(deliveries.labels)
        stages = Histogram(
            "mailbridge_stage_seconds", "Time a mail spends in each stage", ("stage",), buckets=FINE, registry=self._registry
        )
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._accepted = Histogram(
            "mailbridge_received_to_accepted_seconds",
            "From the end of a mail to the target's yes",
            buckets=COARSE,
            registry=self._registry,
        )
        self._outbox = Gauge("mailbridge_outbox", "Deliveries by state", ("state",), registry=self._registry)
        responses = Counter("mailbridge_skyvern_responses", "Skyvern's answers by status", ("code",), registry=self._registry)
        self._response_of = cache(responses.labels)
        self._tls_expiry: Gauge | None = None
        pulls = Counter("mailbridge_pulls", "Polls of the pull endpoint by outcome", ("outcome",), registry=self._registry)
        self._pulls = {outcome: pulls.labels(outcome) for outcome in PULLS}
        waiting = Gauge("mailbridge_waiting", "Who waits for a code now", ("way",), registry=self._registry)
        self._waiting = {way: waiting.labels(way) for way in WAYS}
        held = Counter(
            "mailbridge_held", "Checks that failed on mails that were held without proof", ("check",), registry=self._registry
        )
        self._held = {check: held.labels(check) for check in (*HELD_CHECKS, OTHER)}
        self._first_seen = Counter(
            "mailbridge_first_seen",
            "Mails that were pushed although their sender is not known for the identifier",
            registry=self._registry,
        )
        flooded = Counter("mailbridge_flooded", "Mails put off because too many came", ("by",), registry=self._registry)
        self._flooded = {by: flooded.labels(by) for by in FLOODED_BY}
        self._watch_mailboxes()

    def _watch_mailboxes(self) -> None:
        self._mailboxes = Gauge(
            "mailbridge_mailbox_last_roundtrip_timestamp_seconds",
            "When a watched mailbox last answered; the start of the watch while it never has",
            ("mailbox",),
            registry=self._registry,
        )
        self._canaries = Gauge(
            "mailbridge_mailbox_canary_seconds",
            "How long the last canary took to arrive in the mailbox",
            ("mailbox",),
            registry=self._registry,
        )
        self._canary_arrivals = Gauge(
            "mailbridge_mailbox_canary_last_arrival_timestamp_seconds",
            "When the last canary arrived in the mailbox",
            ("mailbox",),
            registry=self._registry,
        )
        self._ingest = _ingest(self._registry)
        self._kept, self._watched = set[str](), set[str]()
        self._alarms = Gauge("mailbridge_alarm", "1 while something needs a person", ("kind", "name"), registry=self._registry)

    def mailboxes(self, told: Mapping[str, tuple[datetime, bool]]) -> None:
        """Set when each watched mailbox last answered, and whether its server's clock is an alarm; ``account/folder`` is a name
        from the configuration."""
        self._mailboxes.clear()
        for name in self._watched - told.keys():
            self._alarms.remove("clock", name)
        self._watched = set(told)
        for mailbox, (answered_at, is_raised) in told.items():
            self._mailboxes.labels(mailbox).set(answered_at.timestamp())
            self.alarm("clock", mailbox, is_raised=is_raised)

    def canaries(self, told: Mapping[str, tuple[float | None, datetime | None, bool]]) -> None:
        """Set for each account's canary how long it took, when it arrived (None: none has), and whether it is an alarm."""
        self._canaries.clear()
        self._canary_arrivals.clear()
        for name in self._kept - told.keys():
            self._alarms.remove("canary", name)
        self._kept = set(told)
        for name, (latency, arrived_at, is_raised) in told.items():
            self.alarm("canary", name, is_raised=is_raised)
            if latency is not None and arrived_at is not None:
                self._canaries.labels(name).set(latency)
                self._canary_arrivals.labels(name).set(arrived_at.timestamp())

    def message(self, ingress: str, outcome: str) -> None:
        """Count one mail. An outcome that is not one of MESSAGE_OUTCOMES counts as ``other``."""
        child = self._messages.get((ingress, outcome)) or self._messages[ingress, OTHER]
        child.inc()

    def ingest(self, way: str, status: int) -> None:
        """Count one post of mail over HTTP by how it was answered; ``way`` is one of INGEST_WAYS, else it counts as ``other``."""
        outcome = "taken" if status < 400 else "again" if status in (429, 500, 503) else "refused"
        self._ingest[way if way in INGEST_WAYS else OTHER, outcome].inc()

    def held(self, check: str) -> None:
        """Count one check that failed on a mail that is held."""
        (self._held.get(check) or self._held[OTHER]).inc()

    def first_seen(self) -> None:
        """Count one mail of a sender that is not known and that was pushed."""
        self._first_seen.inc()

    def flooded(self, by: str) -> None:
        """Count one mail or recipient that was put off; ``by`` is one of FLOODED_BY."""
        self._flooded[by].inc()

    def delivery(self, sink: str, outcome: str) -> None:
        """Count one attempt; ``sink`` is a name from the configuration."""
        self._delivery_of(sink, outcome if outcome in DELIVERY_OUTCOMES else OTHER).inc()

    def stage(self, stage: str, seconds: float) -> None:
        """Record how long a stage took."""
        self._stages[stage].observe(seconds)

    def accepted_after(self, seconds: float) -> None:
        """Record how long a code was on its way through us."""
        self._accepted.observe(seconds)

    def response(self, status: int) -> None:
        """Count one answer of Skyvern."""
        self._response_of(str(status) if status in STATUSES else OTHER).inc()

    def outbox(self, counts: Mapping[State, int]) -> None:
        """Set how many deliveries stand in each state."""
        for state in State:
            self._outbox.labels(str(state)).set(counts.get(state, 0))

    def pull(self, outcome: str) -> None:
        """Count one poll; ``outcome`` is one of PULLS."""
        self._pulls[outcome].inc()

    def waiting(self, counts: Mapping[str, int]) -> None:
        """Set how many wait, by the way in which they do."""
        for way, child in self._waiting.items():
            child.set(counts.get(way, 0))

    def tls_expiry(self, not_after: datetime | None) -> None:
        """Set when the certificate for STARTTLS ends. None, without TLS: the metric is absent."""
        name = "mailbridge_tls_expiry_timestamp_seconds"
        if not_after is None and self._tls_expiry is not None:
            self._registry.unregister(self._tls_expiry)
            self._tls_expiry = None
        if not_after is not None:
            if self._tls_expiry is None:
                self._tls_expiry = Gauge(name, "When the certificate for STARTTLS ends", registry=self._registry)
            self._tls_expiry.set(not_after.timestamp())

    def alarm(self, kind: str, name: str, *, is_raised: bool) -> None:
        """Raise or clear an alarm; ``kind`` is one of ALARM_KINDS, ``name`` is from the configuration."""
        self._alarms.labels(kind, name).set(1 if is_raised else 0)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)


def _ingest(registry: CollectorRegistry) -> dict[tuple[str, str], Counter]:
    """Mails posted over HTTP, by way in and by how they were answered (``again``: they are to come again)."""
    posts = Counter(
        "mailbridge_ingest_posts", "Mails posted over HTTP by how they were answered", ("post", "answer"), registry=registry
    )
    ways = (*INGEST_WAYS, OTHER)
    return {(way, outcome): posts.labels(way, outcome) for way in ways for outcome in INGEST_OUTCOMES}


def _describe_process(registry: CollectorRegistry) -> None:
    """``process_*`` and ``mailbridge_build_info``: which program runs, and what it takes of the machine."""
    ProcessCollector(registry=registry)
    build = Info("mailbridge_build", "The version that runs", registry=registry)
    build.info({"version": __version__, "python": platform.python_version()})
