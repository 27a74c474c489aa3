"""The metrics: the names that dashboards rely on, and labels from closed sets only."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from mailbridge import __version__
from mailbridge.core.delivery import State
from mailbridge.metrics import (
    ALARM_KINDS,
    DELIVERY_OUTCOMES,
    FLOODED_BY,
    HELD_CHECKS,
    INGEST_OUTCOMES,
    INGEST_WAYS,
    INGRESSES,
    MESSAGE_OUTCOMES,
    OTHER,
    PULLS,
    STAGES,
    STATUSES,
    WAYS,
    Metrics,
)

NAMES = {
    "mailbridge_messages": {"ingress", "outcome"},
    "mailbridge_deliveries": {"sink", "outcome"},
    "mailbridge_stage_seconds": {"stage", "le"},
    "mailbridge_received_to_accepted_seconds": {"le"},
    "mailbridge_outbox": {"state"},
    "mailbridge_skyvern_responses": {"code"},
    "mailbridge_pulls": {"outcome"},
    "mailbridge_waiting": {"way"},
    "mailbridge_tls_expiry_timestamp_seconds": set(),
    "mailbridge_mailbox_last_roundtrip_timestamp_seconds": {"mailbox"},
    "mailbridge_mailbox_canary_seconds": {"mailbox"},
    "mailbridge_mailbox_canary_last_arrival_timestamp_seconds": {"mailbox"},
    "mailbridge_alarm": {"kind", "name"},
    "mailbridge_build_info": {"version", "python"},
    "mailbridge_held": {"check"},
    "mailbridge_ingest_posts": {"post", "answer"},
    "mailbridge_first_seen": set(),
    "mailbridge_flooded": {"by"},
}
AT = datetime(2026, 7, 14, 9, 0, tzinfo=UTC)
CLOSED = {
    "ingress": {*INGRESSES},
    "outcome": {*MESSAGE_OUTCOMES, *DELIVERY_OUTCOMES, *PULLS, OTHER},
    "way": {*WAYS},
    "stage": {*STAGES},
    "state": {str(state) for state in State},
    "code": {*(str(status) for status in STATUSES), OTHER},
    "sink": {"skyvern"},
    "kind": {*ALARM_KINDS},
    "name": {"skyvern", "gmail", "gmail/INBOX"},
    "version": {__version__},
    "python": {platform.python_version()},
    "check": {*HELD_CHECKS, OTHER},
    "by": {*FLOODED_BY},
    "post": {*INGEST_WAYS, OTHER},
    "answer": {*INGEST_OUTCOMES},
    "mailbox": {"gmail/INBOX", "gmail"},
}


def _counted() -> Metrics:
    """Everything counted once, also what should never come: addresses and codes where a word belongs."""
    metrics = Metrics()
    for outcome in (*MESSAGE_OUTCOMES, "ann@corp.example", "482913"):
        metrics.message("smtp", outcome)
    for outcome in (*DELIVERY_OUTCOMES, "ann@corp.example"):
        metrics.delivery("skyvern", outcome)
    for stage in STAGES:
        metrics.stage(stage, 0.001)
    for status in (*STATUSES, 418, 999):
        metrics.response(status)
    metrics.accepted_after(0.5)
    metrics.outbox({State.DEAD: 2})
    for outcome in PULLS:
        metrics.pull(outcome)
    metrics.waiting({"pull": 2, "ann@corp.example": 1})
    metrics.tls_expiry(AT)
    metrics.mailboxes({"gone/INBOX": (AT, False)})
    metrics.mailboxes({"gmail/INBOX": (AT, False)})
    metrics.canaries({"gone": (1.0, AT, True), "new": (None, None, False)})
    metrics.canaries({"gmail": (1.5, AT, False)})
    metrics.alarm("target", "skyvern", is_raised=True)
    metrics.held("dkim")
    metrics.held("ann@corp.example")
    metrics.flooded("client")
    for status in (204, 401, 503):
        metrics.ingest("mime", status)
        metrics.ingest("ann@corp.example", status)
    return metrics


def _samples(metrics: Metrics) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """The samples of each family; the client's own ``_created`` and ``process_`` ones are left out."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        family.name: [(one.name, one.labels, one.value) for one in family.samples]
        for family in families
        if not family.name.endswith("_created") and not family.name.startswith("process_")
    }


def test_the_names_are_the_promised_ones() -> None:
    """No family more or less, each with its labels."""
    families = _samples(_counted())
    assert {name: {label for _, labels, _ in samples for label in labels} for name, samples in families.items()} == NAMES


def test_every_label_is_of_a_closed_set() -> None:
    """Whatever is counted: no address, no code, no status that a target made up."""
    for samples in _samples(_counted()).values():
        for _, labels, _ in samples:
            for name, value in labels.items():
                assert name == "le" or value in CLOSED[name], (name, value)
    assert b"corp.example" not in _counted().render()
    assert b"482913" not in _counted().render()


def test_what_is_not_foreseen_counts_as_other() -> None:
    """It is counted, and is not lost."""
    families = _samples(_counted())
    others = {name: sum(value for _, labels, value in samples if OTHER in labels.values()) for name, samples in families.items()}
    assert others["mailbridge_messages"] == 2
    assert others["mailbridge_deliveries"] == 1
    assert others["mailbridge_skyvern_responses"] == 2


def test_every_state_is_shown_also_at_zero() -> None:
    """An alert on dead letters works before the first one."""
    outbox = {labels["state"]: value for _, labels, value in _samples(_counted())["mailbridge_outbox"]}
    assert outbox == {**{str(state): 0 for state in State}, "dead": 2}


def test_a_fresh_daemon_shows_every_outcome_at_zero() -> None:
    """So that a rate exists from the first scrape."""
    messages = _samples(Metrics())["mailbridge_messages"]
    assert {labels["outcome"] for name, labels, value in messages if name.endswith("_total") and value == 0} >= {
        *MESSAGE_OUTCOMES
    }


def test_without_tls_there_is_no_expiry() -> None:
    """A daemon that lost its certificate, or never had one, has no time at which it ends; with one it is a timestamp."""
    metrics = Metrics()
    assert b"tls_expiry" not in metrics.render()
    metrics.tls_expiry(AT)
    metrics.tls_expiry(AT)
    assert _samples(metrics)["mailbridge_tls_expiry_timestamp_seconds"][0][2] == AT.timestamp()
    metrics.tls_expiry(None)
    assert b"tls_expiry" not in metrics.render()


def test_the_process_is_measured() -> None:
    """Memory, processor time and open files have the names that every dashboard knows."""
    written = Metrics().render()
    assert all(name in written for name in (b"process_resident_memory_bytes", b"process_cpu_seconds_total", b"process_open_fds"))


def test_times_are_timestamps() -> None:
    """No metric is an age: a scrape that comes late changes nothing."""
    assert not [name for name in NAMES if "age" in name.split("_") or name.endswith(("_expiry_seconds", "_roundtrip_seconds"))]
