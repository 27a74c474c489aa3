"""All checks at once, each with its time; one that fails itself says so and hides no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType

from mailbridge.operator.doctor import accounts, machine, mail, network
from mailbridge.operator.doctor.finding import Check, Finding, Patient, unknown
from mailbridge.store import StoreUnavailable

log = logging.getLogger("mailbridge.doctor")

PATIENCE = 40.0
"""Seconds for one check; a mailbox that does not answer needs the longest."""

GROUPS: Mapping[str, tuple[Check, ...]] = MappingProxyType(
    {
        "this machine": (
            machine.configuration,
            machine.daemon,
            machine.replicas,
            machine.folders,
            machine.disk,
            machine.clock,
            machine.versions,
        ),
        "the way in": (network.listeners, network.records, network.certificate, mail.forwardings, accounts.mailboxes),
        "the way out": (accounts.skyvern, accounts.targets, network.public_url),
        "mail": (mail.trust, mail.held, mail.lost),
    }
)
"""The checks in the order in which they are shown."""


async def examine(patient: Patient) -> Mapping[str, tuple[Finding, ...]]:
    """What each check finds, by group."""
    async with asyncio.TaskGroup() as group:
        tasks = {name: [group.create_task(_one(check, patient)) for check in checks] for name, checks in GROUPS.items()}
    return {name: tuple(found for task in made for found in task.result()) for name, made in tasks.items()}


async def _one(check: Check, patient: Patient) -> list[Finding]:
    name = check.__name__.replace("_", "-")
    found: list[Finding] = []
    try:
        async with asyncio.timeout(PATIENCE):
            found += [finding async for finding in check(patient)]
    except TimeoutError:
        found.append(unknown(name, f"it took longer than {PATIENCE:g} s", "try again; the log may say more"))
    except StoreUnavailable as fault:
        found.append(unknown(name, f"the store is {fault.kind}"))
    return found
