"""Checks of what came lately: held mails, codes that were lost, forwardings that wait for a yes; and what the trust settings mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

from mailbridge.core.delivery import State
from mailbridge.operator.doctor.finding import Finding, Patient, failure, ok, warning
from mailbridge.operator.faults import Fault
from mailbridge.store import Filter

LATELY = timedelta(hours=24)
MOST = 500


async def held(patient: Patient) -> AsyncIterator[Finding]:
    """Mails of the last day that are held, by the check that failed."""
    rows = await patient.store.mails.page(Filter(since=patient.now() - LATELY, is_held=True), limit=MOST)
    if not rows:
        yield ok("held", "no mail was held in the last 24 hours")
        return
    checks = Counter(row.held[0].partition(":")[0] for row in rows if row.held)
    told = ", ".join(f"{number} by {check}" for check, number in checks.most_common(4))
    yield warning("held", f"mails held in the last 24 hours: {len(rows)} ({told})", "mailbridge mail list --held")


async def lost(patient: Patient) -> AsyncIterator[Finding]:
    """Codes of the last day that were not delivered, with the reasons."""
    wanted = Filter(since=patient.now() - LATELY, states=(State.DEAD, State.EXPIRED))
    rows = await patient.store.outbox.deliveries(wanted, limit=MOST)
    if not rows:
        yield ok("lost", "no code of the last 24 hours was lost")
        return
    reasons = Counter(row.reason or str(row.state) for row in rows)
    told = "; ".join(f"{number} × {reason}" for reason, number in reasons.most_common(3))
    yield failure(
        "lost",
        f"codes of the last 24 hours that were not delivered: {len(rows)} ({told})",
        "mailbridge delivery list --state dead --state expired",
    )


async def forwardings(patient: Patient) -> AsyncIterator[Finding]:
    """Unconfirmed questions: Google's whether an account may forward here, a service's whether it may post here."""
    rows = await patient.store.mails.page(Filter(since=patient.now() - 7 * LATELY), limit=MOST)
    seen: set[str] = set()
    waiting = []
    for row in rows:
        if (
            row.verdict == "confirmation"
            and row.confirm_link
            and not seen.intersection(one.casefold() for one in row.identifiers)
        ):
            waiting.append(row)
        seen.update(one.casefold() for one in row.identifiers)
    for row in waiting:
        if row.ingress == "http" and not row.rcpt_to:
            yield warning("forwarding", f"mail {row.id}: {row.reason}", f"mailbridge mail show {row.id}, and open its link")
            continue
        yield warning(
            "forwarding", f"mail {row.id}: Gmail asks whether an account may forward here", f"mailbridge gmail confirm {row.id}"
        )
    if not waiting:
        yield ok("forwarding", "no forwarding waits for your confirmation")


async def trust(patient: Patient) -> AsyncIterator[Finding]:
    """The meaning of the trust settings in words."""
    settings, status = patient.settings.trust, patient.status
    is_real = isinstance(status, Fault) or not status.is_practice
    proofs = ", ".join(sorted(settings.default))
    if not is_real:
        yield ok("trust", f"no proof is needed while no Skyvern key is configured; with a key one of these: {proofs}")
    elif "none" in settings.default:
        yield failure("trust", "anybody can have a code pushed: no proof is required", 'remove "none" from [trust] default')
    elif "*" in settings.senders and not settings.accounts:
        yield ok("trust", f"a mail needs one of these proofs: {proofs}; codes of every proven sender are pushed")
    else:
        yield ok("trust", f"a mail needs one of these proofs: {proofs}; senders: {', '.join(settings.senders)}")
    loose = [one.rcpt for one in patient.settings.address if one.trust and "none" in one.trust]
    for rcpt in loose:
        yield warning("trust", f"{rcpt} accepts mails without proof", "[[address]] trust")
