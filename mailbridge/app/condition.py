"""How the daemon is, as `/readyz`, the alarms and `/metrics` tell it."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from mailbridge import log_events
from mailbridge.app.mailboxes import shown_here
from mailbridge.app.watching import Alarms
from mailbridge.config.values import strangers_meaning
from mailbridge.store import StoreUnavailable
from mailbridge.store.processes import SKEW, skewed, told
from mailbridge.web.readiness import Health, Level

if TYPE_CHECKING:
    from mailbridge.app.daemon import Bridge

log = logging.getLogger("mailbridge.app")

NO_KEY = "no Skyvern key is configured: codes go to the practice receiver, and nothing leaves this machine"
NO_KEY_BESIDE = "no Skyvern key is configured: codes go to the practice receiver, and to the targets that list them"
"""The same where there are further targets."""


async def health_of(here: Bridge) -> Health:
    """Unready only while it starts or stops, and where mail cannot be accepted; a target or a mailbox that is down is a degradation."""
    engine = here.engine
    ailing = {**engine.dispatcher.failing, **engine.dispatcher.alarms}
    checks = {f"target {name}": reason for name, reason in ailing.items()}
    served = engine.targets.served(here.settings)
    if served.is_practice:
        checks["practice"] = NO_KEY if served.is_only_practice else NO_KEY_BESIDE
    if here.door.intake.is_alarmed(engine.clock.now()):
        checks["trust"] = "many mails are held without proof"
    for name, reason in engine.listeners.teller.failing.items():
        checks.setdefault(name, reason)
    mailboxes = here.mailboxes.health()
    checks |= {f"mailbox {one.mailbox}": one.reason for one in mailboxes if not one.is_well}
    checks |= {f"canary {name}": one.reason for name, one in here.mailboxes.canaries().items() if not one.is_well}
    if engine.store.processes.differing:
        checks["replicas"] = f"another configuration than this one: {told(engine.store.processes.differing)}"
    if abs(engine.clock.skew) > SKEW:
        checks["clock"] = skewed(engine.clock.skew)
    level = Level.DEGRADED if checks else Level.READY
    try:
        await engine.store.probe()
        await engine.store.outbox.counts()
    except StoreUnavailable as fault:
        level, checks = Level.UNREADY, {**checks, "store": fault.kind}
    if engine.pool.is_starting:
        level, checks = Level.UNREADY, {**checks, "start": "the parser is loading; mail is taken, and waits for it"}
    elif not engine.pool.is_alive:
        level, checks = Level.UNREADY, {**checks, "parser": "no worker process is running"}
    if here.live.is_leaving:
        level, checks = Level.UNREADY, {**checks, "stopping": "this daemon was told to stop"}
    checks = {name: engine.masks.masked(reason) for name, reason in checks.items()}
    strangers = strangers_meaning(here.settings.trust.strangers, is_practice=served.is_only_practice)
    shown = tuple(shown_here(one, engine.masks.masked) for one in mailboxes)
    return Health(level=level, checks=checks, mailboxes=shown, strangers=strangers)


def alarms_of(here: Bridge) -> Alarms:
    """What needs a person now."""
    engine = here.engine
    masked = engine.masks.masked
    raised = {f"target {name}": masked(reason) for name, reason in engine.dispatcher.alarms.items()}
    well = {f"target {name}" for name in engine.dispatcher.proven - engine.dispatcher.alarms.keys()}
    known = {f"target {one.name}" for one in engine.targets.served(here.settings).targets}
    mailboxes, canaries = here.mailboxes.health(), here.mailboxes.canaries()
    raised |= {f"mailbox {one.mailbox}": masked(one.reason) for one in mailboxes if not one.is_well}
    raised |= {f"canary {name}": masked(one.reason) for name, one in canaries.items() if not one.is_well}
    well |= {f"mailbox {one.mailbox}" for one in mailboxes if one.is_well}
    well |= {f"canary {name}" for name, one in canaries.items() if one.is_well}
    known |= {f"mailbox {name}" for name in here.mailboxes.names()}
    known |= {f"canary {name}" for name in here.mailboxes.with_canary()}
    if here.door.intake.is_alarmed(engine.clock.now()):
        raised["trust"] = "many mails are held without proof"
    return Alarms(raised=raised, well=frozenset(well), known=frozenset(known))


async def metrics_of(here: Bridge) -> bytes:
    """The metrics with what is read at the moment of asking."""
    engine, metrics = here.engine, here.engine.metrics
    try:
        metrics.outbox(await engine.store.outbox.counts())
    except StoreUnavailable:
        log.warning("metrics without the outbox: store unavailable", extra={"event": log_events.STORE_UNAVAILABLE})
    metrics.waiting(Counter(wait.way for wait in engine.waiting.everybody()))
    metrics.alarm("trust", "held", is_raised=here.door.intake.is_alarmed(engine.clock.now()))
    now = engine.clock.now()
    health = here.mailboxes.health()
    metrics.mailboxes({one.mailbox: (now - timedelta(seconds=one.age), one.drift is not None) for one in health})
    canaries = here.mailboxes.canaries()
    metrics.canaries(
        {
            name: (one.latency, None if one.seen is None else now - timedelta(seconds=one.seen), not one.is_well)
            for name, one in canaries.items()
        }
    )
    metrics.tls_expiry(here.listeners.tls_not_after if here.listeners is not None else None)
    return metrics.render()
