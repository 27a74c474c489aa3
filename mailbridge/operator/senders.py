"""Senders that Skyvern's credentials make known, and what becomes of the mails of all others."""

from __future__ import annotations

from mailbridge.config.added import has_main
from mailbridge.operator.asks import Nothing
from mailbridge.operator.parts import Configuration
from mailbridge.operator.shapes import KnownSenders, LearnedSites
from mailbridge.store.sites import Sites


class SenderVerbs:
    """The verb of senders. Senders that a person allowed or forbade are entries."""

    def __init__(self, *, sites: Sites, configuration: Configuration) -> None:
        self._sites = sites
        self._configuration = configuration

    async def known(self, ask: Nothing) -> KnownSenders:  # noqa: ARG002
        """The sites of Skyvern's credentials by identifier, and the settings about everybody else."""
        settings, learned = self._configuration.now, await self._sites.learned()
        return KnownSenders(
            learned=[LearnedSites(identifier=line, sites=sorted(sites)) for line, sites in sorted(learned.items()) if sites],
            senders=list(settings.trust.senders),
            strangers=settings.trust.strangers,
            is_practice=not has_main(settings),
        )
