"""Senders that Skyvern's credentials make known, and what becomes of the mails of all others."""

from __future__ import annotations

from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault
from mailbridge.operator.parts import Configuration
from mailbridge.operator.shapes import KnownSenders, LearnedSites
from mailbridge.operator.targets import skyvern_account
from mailbridge.store.sites import Sites


class SenderVerbs:
    """The verb of senders. Senders that a person allowed or forbade are entries."""

    def __init__(self, *, sites: Sites, configuration: Configuration) -> None:
        self._sites = sites
        self._configuration = configuration

    async def known(self, ask: Nothing) -> KnownSenders:  # noqa: ARG002
        """The sites of Skyvern's credentials by identifier, and the settings about everybody else."""
        trust, learned = self._configuration.now.trust, await self._sites.learned()
        return KnownSenders(
            learned=[LearnedSites(identifier=line, sites=sorted(sites)) for line, sites in sorted(learned.items()) if sites],
            senders=list(trust.senders),
            strangers=trust.strangers,
            is_practice=isinstance(skyvern_account(self._configuration.now), Fault),
        )
