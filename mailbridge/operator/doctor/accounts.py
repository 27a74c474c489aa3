"""Checks of what we talk to: each mailbox, and Skyvern with its key, clock, identifiers and sites."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mailbridge.core.addresses import canonical
from mailbridge.core.identification import IdentityPolicy
from mailbridge.operator.doctor.finding import Finding, Patient, failure, ok, unknown, warning
from mailbridge.operator.faults import Fault
from mailbridge.sinks.skyvern_account import CLOCK_SLACK, Account, SkyvernError
from mailbridge.trust.known import site_of


async def mailboxes(patient: Patient) -> AsyncIterator[Finding]:
    """Each mailbox by the daemon's own commands: connect, log in, open, fetch one mail; and how the daemon itself sees it."""
    if not patient.settings.imap:
        yield ok("mailbox", "no mailbox is watched")
    for account in patient.settings.imap:
        steps = await asyncio.to_thread(patient.probes.mailbox, account.label)
        bad = next((one for one in steps if not one.is_good), None)
        if bad is not None:
            yield failure("mailbox", f"{account.label}: {bad.name}: {bad.text}", f"mailbridge imap test {account.label}")
        else:
            yield ok("mailbox", f"{account.label}: {', '.join(one.name for one in steps)}")
    if isinstance(patient.status, Fault):
        return
    for one in patient.status.mailboxes:
        if not one.get("is_well", True):
            yield failure(
                "mailbox", f"{one.get('mailbox')}: the daemon does not watch it: {one.get('reason')}", "mailbridge imap status"
            )
        for note in one.get("notes", ()):
            yield warning("mailbox", f"{one.get('mailbox')}: {note}", "docs/imap.md, What is odd about a server")


async def skyvern(patient: Patient) -> AsyncIterator[Finding]:
    """The key, both clocks, and the identifiers on both sides."""
    account = patient.skyvern()
    if isinstance(account, Fault):
        yield warning("skyvern", account.title, "mailbridge setup")
        return
    try:
        found = await asyncio.to_thread(account.look)
    except SkyvernError as fault:
        yield failure("skyvern", str(fault), "mailbridge skyvern check")
        return
    yield ok("skyvern", f"the key is good, Skyvern {found.version or '(it does not say its version)'}")
    if found.clock_ahead is None:
        yield unknown("skyvern-clock", "Skyvern does not say its time")
    elif abs(found.clock_ahead) > CLOCK_SLACK:
        seconds = found.clock_ahead.total_seconds()
        yield failure("skyvern-clock", f"Skyvern's clock is {seconds:+.0f} s from ours", "set both by NTP")
    else:
        yield ok("skyvern-clock", "Skyvern's clock and ours agree")
    async for finding in _identifiers(patient, found):
        yield finding


async def _identifiers(patient: Patient, found: Account) -> AsyncIterator[Finding]:
    """Which of ours a credential of Skyvern names, which of its own can never come, and which credentials tell no site."""
    settings = patient.settings
    expected = sorted({one.totp_identifier for one in found.credentials if one.totp_identifier})
    ours = [one.identifier for one in settings.address if one.identifier]
    ours += [one.identifier for one in settings.imap if one.identifier]
    ours += [one for one in settings.identity.known if "*" not in one]
    folded = {one.strip().casefold() for one in expected}
    for one in dict.fromkeys(ours):
        near = next((name for name in expected if canonical(name) == canonical(one) and name.casefold() != one.casefold()), None)
        if expected and one.casefold() not in folded:
            hint = f"write it the same in both: Skyvern has {near}" if near else f"a run must name totp_identifier {one!r}"
            yield warning("identifier", f"{one}: no credential of Skyvern names it", hint)
    policy = IdentityPolicy(known=settings.identity.known)
    receivable = {one.casefold() for one in ours}
    for one in expected:
        if one.casefold() not in receivable and not policy.is_allowed(one):
            yield failure(
                "identifier",
                f"{one}: a credential of Skyvern names it, but no mail here can be for it",
                "[identity] known, or mailbridge address add --for it",
            )
    for login in found.credentials:
        if login.totp_identifier and not site_of(login.page):
            text = f"credential {login.name or login.id} has no login page (tested_url): its site is not known here, so the site's mails are a stranger's"
            yield warning("site", text, "enter it in Skyvern, or mailbridge sender allow DOMAIN")
    if expected:
        yield ok("identifier", f"Skyvern expects {', '.join(expected[:5])}{' …' if len(expected) > 5 else ''}")


async def targets(patient: Patient) -> AsyncIterator[Finding]:
    """What the daemon says of each target, and of each notice."""
    status = patient.status
    if isinstance(status, Fault):
        return
    for one in status.targets:
        if one.reason:
            yield failure("target", f"{one.name}: {one.reason}", f"mailbridge target test {one.name}")
        elif not one.is_practice:
            yield ok("target", f"{one.name} takes codes")
    told = {f"notify {notice.name}": notice.name for notice in patient.settings.notify}
    for check, name in told.items():
        if check in status.checks:
            yield failure("notice", f"{name}: {status.checks[check]}", f"mailbridge notify test {name}")
        else:
            yield ok("notice", f"{name}: no problem is known")
    if "heartbeat" in status.checks:
        yield failure("heartbeat", status.checks["heartbeat"], "[heartbeat] url_file")
